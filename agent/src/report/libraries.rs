//! Libraries whose functions show how a thread waits, but not for what.

/// Whether a module is the C library, or belongs to it. A module may have its path as a name.
pub(super) fn is_c_library(module: &str) -> bool {
    let file = module.rsplit('/').next().unwrap_or(module);
    ["libc.so", "libc-", "libpthread", "ld-linux", "ld-musl", "[vdso]"].iter().any(|start| file.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_c_library_is_known_with_and_without_its_path() {
        for module in ["libc.so.6", "/usr/lib/libc.so.6 (build ID 12345678)", "ld-linux-x86-64.so.2", "[vdso]"] {
            assert!(is_c_library(module), "{module}");
        }
        for module in ["libcurl.so.4", "/usr/lib/libc.so.6/app", "app"] {
            assert!(!is_c_library(module), "{module}");
        }
    }
}
