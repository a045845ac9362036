//! Fields of the kernel's structs that one probe alone reads.

/// A field that a probe declares in its folder. The user side looks its offset up in the kernel's BTF and sets the
/// read-only global before it loads the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelField {
    /// The global of the programs that holds the offset, in bytes: a `u32`.
    pub global: &'static str,
    /// The struct that the offset counts from.
    pub structure: &'static str,
    /// The member, and members inside it.
    pub path: &'static [&'static str],
}
