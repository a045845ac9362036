//! Huge pages for the heap of a command.

use std::env;
use std::ffi::OsString;
use std::process::Command;

use super::error::LaunchError;
use crate::host::Root;

/// The variable that glibc reads tunables from.
const TUNABLES: &str = "GLIBC_TUNABLES";

/// The values of `glibc.malloc.hugetlb` (glibc manual, Memory Allocation Tunables).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HugePages {
    Transparent = 1,
    Reserved = 2,
}

/// Sets the environment of a command so that glibc allocates its heap from huge pages.
pub(super) fn set(command: &mut Command, root: &Root) -> Result<(), LaunchError> {
    command.env(TUNABLES, tunables(available(root)?));
    Ok(())
}

/// The huge pages that are available. Reserved ones are preferred.
fn available(root: &Root) -> Result<HugePages, LaunchError> {
    let memory = root.read("/proc/meminfo").unwrap_or_default();
    let free = memory.lines().find_map(|line| line.strip_prefix("HugePages_Free:")?.trim().parse::<u64>().ok());
    let transparent = root.read("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    match free {
        Some(free) if free > 0 => Ok(HugePages::Reserved),
        _ if transparent.contains("[always]") || transparent.contains("[madvise]") => Ok(HugePages::Transparent),
        _ => Err(LaunchError::HugePages),
    }
}

/// The tunables of the user with this one appended.
fn tunables(pages: HugePages) -> OsString {
    let own = format!("glibc.malloc.hugetlb={}", pages as u8);
    match env::var_os(TUNABLES).filter(|tunables| !tunables.is_empty()) {
        Some(mut tunables) => {
            tunables.push(format!(":{own}"));
            tunables
        }
        None => own.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn reserved_huge_pages_are_preferred() {
        let host = |meminfo: &str, transparent: &str| {
            let folder = tempfile::tempdir().expect("a folder");
            for (path, text) in [("proc/meminfo", meminfo), ("sys/kernel/mm/transparent_hugepage/enabled", transparent)]
            {
                let path = folder.path().join(path);
                fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
                fs::write(path, text).expect("a file");
            }
            available(&Root::at(folder.path()).expect("a root"))
        };
        let (some, none) = ("HugePages_Free:       4\n", "HugePages_Free:       0\n");
        assert_eq!(host(some, "always madvise [never]").ok(), Some(HugePages::Reserved));
        assert_eq!(host(none, "always [madvise] never").ok(), Some(HugePages::Transparent));
        assert!(matches!(host(none, "always madvise [never]"), Err(LaunchError::HugePages)));
    }
}
