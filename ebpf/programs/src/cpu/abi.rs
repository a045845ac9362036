//! What the CPU probe's program and its user side agree on.

use quell_ebpf_common::{Header, Stacks, abi};

/// The number of this probe.
pub const PROBE: u16 = 1;

/// [`Header::kind`] of a [`CpuSample`].
pub const CPU_SAMPLE: u16 = 1;

abi! {
    /// A timer or counter interrupt that found a thread running.
    pub struct CpuSample {
        /// The thread that ran.
        pub header: Header,
        /// Its name.
        pub comm: [u8; 16],
        /// The time that this sample stands for, in nanoseconds: that since the CPU's last interrupt if the thread has run
        /// throughout, or 0 for the sampling interval.
        pub ran: u64,
        /// The probability with which the interrupt was sampled, in units of 2^-32.
        pub odds: u32,
        /// Always 0.
        pub pad: u32,
        /// Where it ran.
        pub stacks: Stacks,
    } size 64
}
