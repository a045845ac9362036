//! Reasons why a frame has no name.

use std::fmt;

use blazesym::symbolize::Reason;
use serde::{Deserialize, Serialize};

/// The reason why a frame has no name. Its text is the key in [`SymbolizeStats::unnamed`](crate::recording::SymbolizeStats).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Unnamed {
    /// `/proc/kallsyms` does not contain addresses for quell.
    KernelHidden,
    /// `/proc/kallsyms` cannot be read.
    KernelUnreadable,
    /// The kernel has no symbol for the address.
    KernelUnknown,
    /// The file was deleted or replaced, and was not held open.
    FileGone,
    /// The file may not be read.
    FileForbidden,
    /// The file is not an ELF file, or is damaged.
    FileMalformed,
    /// The file is stripped, and no exported symbol contains the address; no debug file was found.
    Stripped,
    /// The file has symbols, but none for the address.
    UnknownOffset,
    /// No segment of the file contains the offset.
    NotLoaded,
    /// The vDSO of 32-bit processes, which quell cannot read.
    Vdso32,
    /// The process exited before its mappings could be read.
    UnknownProcess,
    /// The process has no mapping for the address: most likely the stack walk was wrong.
    NoMapping,
    /// JIT-compiled code of a process without a perf map.
    RuntimeCode,
    /// JIT-compiled code that is not in the perf map of the process.
    NotInPerfMap,
    /// JIT-compiled code that is not in the part of the perf map that was read.
    PerfMapTooLarge,
    /// The symbols of the file exceed the limit.
    TooLarge,
    /// The process that read the file died.
    Killed,
    /// The process that reads files could not be started.
    NoNamer,
    /// Opening or reading the file took too long.
    TimedOut,
    /// The file had to be closed, since too many were open.
    Evicted,
    /// The file was skipped because other files of the same user took too long.
    OwnerRefused,
    /// Symbolization was ended early, or the time limit was reached before this file.
    Skipped,
    /// Symbolization failed for another reason.
    Failed,
}

impl Unnamed {
    /// Whether the file is the cause, so that its path is reported.
    pub(super) fn blames_file(self) -> bool {
        matches!(self, Self::TooLarge | Self::Killed | Self::TimedOut | Self::PerfMapTooLarge)
    }

    /// The reason why a whole batch failed.
    pub(super) fn of_error(error: &blazesym::Error) -> Self {
        match error.kind() {
            blazesym::ErrorKind::NotFound => Self::FileGone,
            blazesym::ErrorKind::PermissionDenied => Self::FileForbidden,
            blazesym::ErrorKind::InvalidData
            | blazesym::ErrorKind::InvalidInput
            | blazesym::ErrorKind::UnexpectedEof
            | blazesym::ErrorKind::Unsupported => Self::FileMalformed,
            _ => Self::Failed,
        }
    }

    /// The reason why an offset of a file has no name.
    pub(super) fn of_offset(reason: Reason) -> Self {
        match reason {
            Reason::MissingSyms => Self::Stripped,
            Reason::UnknownAddr => Self::UnknownOffset,
            Reason::InvalidFileOffset | Reason::Unmapped | Reason::MissingComponent => Self::NotLoaded,
            // The symbol table is inconsistent.
            Reason::IgnoredError => Self::FileMalformed,
            _ => Self::Failed,
        }
    }
}

impl fmt::Display for Unnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KernelHidden => "kernel symbols hidden (sysctl kernel.kptr_restrict)",
            Self::KernelUnreadable => "kernel symbols not readable",
            Self::KernelUnknown => "no kernel symbol for the address",
            Self::FileGone => "file deleted or replaced",
            Self::FileForbidden => "file not readable",
            Self::FileMalformed => "not an ELF file, or damaged",
            Self::Stripped => "file stripped, no exported symbol for the address",
            Self::UnknownOffset => "no symbol for the address in the file",
            Self::NotLoaded => "offset in no segment of the file",
            Self::Vdso32 => "vDSO of a 32-bit process",
            Self::UnknownProcess => "process exited before its mappings were read",
            Self::NoMapping => "address in no mapping",
            Self::RuntimeCode => "JIT-compiled code, no perf map",
            Self::NotInPerfMap => "JIT-compiled code, not in the perf map",
            Self::PerfMapTooLarge => "perf map too large, not in the part that was read",
            Self::TooLarge => "symbols too large",
            Self::Killed => "file damaged, parsing it failed",
            Self::NoNamer => "symbolizer process could not be started",
            Self::TimedOut => "reading the file timed out",
            Self::Evicted => "file closed, too many were open",
            Self::OwnerRefused => "file skipped, other files of the same user took too long",
            Self::Skipped => "symbolization was ended early",
            Self::Failed => "symbolization failed",
        })
    }
}
