//! The symbols of the kernel, which are opened with privileges and read later.

use std::fs::File;

/// `/proc/kallsyms`. Whether it contains addresses is decided when it is opened (kernel/kallsyms.c, `kallsyms_open`), so
/// `CAP_SYSLOG` is required only then.
#[derive(Debug)]
pub struct KernelSymbols(Option<File>);

impl KernelSymbols {
    /// Opens it. If this fails, kernel frames get no names, and are counted.
    #[must_use]
    pub fn open() -> Self {
        Self(File::open("/proc/kallsyms").ok())
    }

    pub(super) fn file(&self) -> Option<&File> {
        self.0.as_ref()
    }
}
