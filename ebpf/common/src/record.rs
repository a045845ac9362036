//! How ring records begin, and the stacks that may follow them.

/// The most frames walked in one stack: the kernel's own default limit (`sysctl kernel.perf_event_max_stack`, 127).
pub const MAX_FRAMES: usize = 127;

/// Bytes of one walked stack at its deepest.
pub const STACK_BYTES: usize = MAX_FRAMES * 8;

crate::abi! {
    /// How every ring record begins.
    pub struct Header {
        /// The probe that wrote it, by its number in [`probes!`](crate::probes).
        pub probe: u16,
        /// What kind of the probe's records it is.
        pub kind: u16,
        /// The CPU that it is about.
        pub cpu: u32,
        /// When, `CLOCK_MONOTONIC` nanoseconds.
        pub time: u64,
        /// The thread that it is about.
        pub tid: u32,
        /// Its process.
        pub tgid: u32,
    } size 24

    /// Two walked stacks. The frames follow the record that holds this, innermost first, 8 bytes each: first the
    /// kernel's, then the user's.
    pub struct Stacks {
        /// Bytes of kernel frames, or a negative errno.
        pub kernel: i32,
        /// Bytes of user frames, or a negative errno (`-EFAULT` for a kernel thread).
        pub user: i32,
    } size 8
}
