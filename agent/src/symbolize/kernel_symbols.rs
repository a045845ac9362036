//! The kernel's symbols, opened while that is allowed and read when they are needed.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::PathBuf;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::files::descriptor_path;

const PATH: &str = "/proc/kallsyms";
const NAME: &CStr = c"kallsyms";

/// So much is read at most: a kernel with all its modules has 20 MB.
const LIMIT: u64 = 256 << 20;

/// `/proc/kallsyms`. Whether it shows addresses is decided when it is opened (kernel/kallsyms.c, `kallsyms_open`), so that
/// `CAP_SYSLOG` is needed only then.
#[derive(Debug)]
pub struct KernelSymbols(io::Result<File>);

impl KernelSymbols {
    /// Opens it. That it cannot be opened is found out when names are asked for.
    #[must_use]
    pub fn open() -> Self {
        Self(File::open(PATH))
    }

    /// A copy in memory of what it says now, and a path to that: opening `/proc/self/fd/N` of the original would be another
    /// opening, with the privileges of then.
    ///
    /// # Errors
    /// It could not be opened or read.
    pub(super) fn copy(&self) -> io::Result<(File, PathBuf)> {
        let original = self.0.as_ref().map_err(|error| io::Error::from(error.kind()))?;
        let mut original = original.try_clone()?;
        original.rewind()?;
        let mut copy = File::from(memfd_create(NAME, MFdFlags::MFD_CLOEXEC)?);
        io::copy(&mut original.take(LIMIT), &mut copy)?;
        let path = descriptor_path(&copy);
        Ok((copy, path))
    }
}
