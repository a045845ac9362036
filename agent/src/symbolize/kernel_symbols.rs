//! The kernel's symbols, opened while that is allowed and read when they are needed.

use std::fs::File;

/// `/proc/kallsyms`. Whether it shows addresses is decided when it is opened (kernel/kallsyms.c, `kallsyms_open`), so that
/// `CAP_SYSLOG` is needed only then.
#[derive(Debug)]
pub struct KernelSymbols(Option<File>);

impl KernelSymbols {
    /// Opens it. Where that fails, kernel frames get no names, and that is counted.
    #[must_use]
    pub fn open() -> Self {
        Self(File::open("/proc/kallsyms").ok())
    }

    pub(super) fn file(&self) -> Option<&File> {
        self.0.as_ref()
    }
}
