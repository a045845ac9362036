//! Kernel lockdown (security/lockdown, since 5.4), which restricts even root.

/// The level at which BPF programs may not read kernel memory (`LOCKDOWN_BPF_READ_KERNEL`).
pub(crate) const CONFIDENTIALITY: &str = "confidentiality";

/// The remedy for that level, as a hint for the user.
pub(crate) const REMEDY: &str = "boot with lockdown=integrity or without lockdown";

/// The current level, `none`, `integrity` or `confidentiality`; `None` if the kernel has no lockdown, or if securityfs is not
/// mounted.
pub(crate) fn level() -> Option<String> {
    super::read("/sys/kernel/security/lockdown").ok().as_deref().and_then(chosen)
}

/// Whether lockdown is active.
pub(crate) fn is_locked_down() -> bool {
    level().is_some_and(|level| level != "none")
}

/// Whether lockdown prevents BPF programs from reading kernel memory.
pub(crate) fn hides_kernel_memory() -> bool {
    level().as_deref() == Some(CONFIDENTIALITY)
}

/// The word in brackets, such as `integrity` in `none [integrity] confidentiality`.
fn chosen(words: &str) -> Option<String> {
    words.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_the_one_in_brackets() {
        assert_eq!(chosen("none [integrity] confidentiality").as_deref(), Some("integrity"));
        assert_eq!(chosen("none"), None);
    }
}
