//! Why a frame has no name.

use std::fmt;

use blazesym::symbolize::Reason;
use serde::{Deserialize, Serialize};

/// Why a frame has no name. Its text is what [`SymbolizeStats::unnamed`](crate::recording::SymbolizeStats) counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Unnamed {
    /// `/proc/kallsyms` shows no addresses to the agent.
    KernelHidden,
    /// `/proc/kallsyms` cannot be read.
    KernelUnreadable,
    /// The kernel has no symbol there.
    KernelUnknown,
    /// The file is gone, or another has its path, and it was not held open.
    FileGone,
    /// The file may not be read.
    FileForbidden,
    /// The file is no ELF file, or it is damaged.
    FileMalformed,
    /// The file has only the symbols that it exports, if any, and none of them is there; no debug file was found.
    Stripped,
    /// The file has symbols, but none there.
    UnknownOffset,
    /// The offset is in no segment of the file.
    NotLoaded,
    /// The vDSO of 32-bit processes, which the agent does not have.
    Vdso32,
    /// The process was gone before its mappings could be read.
    UnknownProcess,
    /// The process has nothing mapped there: most likely the stack was not walked right.
    NoMapping,
    /// Code made at run time, and the process wrote no perf map.
    RuntimeCode,
    /// Code made at run time that the perf map of the process does not name.
    NotInPerfMap,
    /// Code made at run time, and the part of the perf map that is read does not name it.
    PerfMapTooLarge,
    /// The symbols of the file are more than is read of one file.
    TooLarge,
    /// The process that read the file ended over it.
    Killed,
    /// The process that reads files could not be started.
    NoNamer,
    /// Opening or reading the file took too long.
    TimedOut,
    /// The file had to be closed, since too many were open.
    Evicted,
    /// Other files of the same owner took too long.
    OwnerRefused,
    /// Naming was cut short, or had taken too long before it came to this file.
    Skipped,
    /// Naming failed otherwise.
    Failed,
}

impl Unnamed {
    /// Whether it is the file's fault, and worth saying by its path.
    pub(super) fn blames_file(self) -> bool {
        matches!(self, Self::TooLarge | Self::Killed | Self::TimedOut | Self::PerfMapTooLarge)
    }

    /// Why a batch failed as a whole.
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

    /// Why one offset of a file has no name.
    pub(super) fn of_offset(reason: Reason) -> Self {
        match reason {
            Reason::MissingSyms => Self::Stripped,
            Reason::UnknownAddr => Self::UnknownOffset,
            Reason::InvalidFileOffset | Reason::Unmapped | Reason::MissingComponent => Self::NotLoaded,
            // A symbol table that contradicts itself.
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
            Self::OwnerRefused => "file skipped, other files of its owner took too long",
            Self::Skipped => "symbolization was ended early",
            Self::Failed => "symbolization failed",
        })
    }
}
