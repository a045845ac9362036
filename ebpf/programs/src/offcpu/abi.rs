//! What the off-CPU probe's programs and their user side agree on.

use quell_ebpf_common::{Header, Stacks, Total, abi, reason};

/// The number of this probe.
pub const PROBE: u16 = 2;

/// [`Header::kind`] of a [`SleepStart`].
pub const SLEEP_START: u16 = 1;
/// [`Header::kind`] of a [`Wake`].
pub const WAKE: u16 = 2;
/// [`Header::kind`] of a [`SleepEnd`].
pub const SLEEP_END: u16 = 3;
/// [`Header::kind`] of a [`ThreadExit`].
pub const THREAD_EXIT: u16 = 4;
/// [`Header::kind`] of a [`ThreadExit`] of a thread that does not end, but gets another name.
pub const THREAD_RENAMED: u16 = 5;

/// [`SleepStart::odds`] of a sleep that is sampled for certain.
pub const CERTAIN: u32 = u32::MAX;

abi! {
    /// A sampled thread leaves the CPU.
    pub struct SleepStart {
        /// The thread that leaves.
        pub header: Header,
        /// Its name.
        pub comm: [u8; 16],
        /// The number of this sleep among those of its thread.
        pub seq: u32,
        /// One of [`reason`](quell_ebpf_common::reason).
        pub reason: u32,
        /// The probability with which this sleep was sampled, in units of 2^-32; [`CERTAIN`] is exactly 1.
        pub odds: u32,
        /// 1 where the task iterator walked the thread instead of its own context switch; then `user_regs` holds
        /// what is needed to walk its user stack from outside.
        pub walked: u32,
        /// Instruction pointer, stack pointer and frame pointer in user mode, for a walked thread; else 0.
        pub user_regs: [u64; 3],
        /// Where it stands. For a walked thread, the user's stack is [`Call`]s instead, from the end of its kernel stack, the
        /// innermost first, since the kernel leaves out its innermost frames.
        pub stacks: Stacks,
    } size 88

    /// A word on the kernel stack of a thread that does not run: an address that a call returns to, as far as that can be told.
    pub struct Call {
        /// The address that the call returns to.
        pub address: u64,
        /// The function that is called; 0 where the call is indirect.
        pub target: u64,
    } size 16

    /// A thread in a sampled sleep is woken. The header names the waker: the thread that ran on this CPU, which is
    /// only a bystander where the wake-up came from an interrupt (its kernel stack shows it).
    pub struct Wake {
        /// The waker.
        pub header: Header,
        /// The waker's name.
        pub comm: [u8; 16],
        /// The thread that is woken.
        pub woken_tid: u32,
        /// Which of its sleeps ends: [`SleepStart::seq`].
        pub woken_seq: u32,
        /// The number of the waker's own last sleep, 0 for none known.
        pub waker_seq: u32,
        /// Always 0: keeps the next field aligned.
        pub pad: u32,
        /// Where the waker runs.
        pub stacks: Stacks,
    } size 64

    /// A thread comes back onto a CPU after a sampled sleep.
    pub struct SleepEnd {
        /// The thread that comes back.
        pub header: Header,
        /// How long it was off the CPU, in nanoseconds, without what walking stacks has added to it.
        pub duration: u64,
        /// How long of that it was runnable and waited for a CPU, in nanoseconds (run-queue latency).
        pub runqueue: u64,
        /// As in its [`SleepStart`].
        pub seq: u32,
        /// As in its [`SleepStart`].
        pub reason: u32,
    } size 48

    /// A thread has ended, or gets another name; its exact totals under its last name.
    pub struct ThreadExit {
        /// The thread.
        pub header: Header,
        /// Its last name.
        pub comm: [u8; 16],
        /// Its sleeps, by [`reason`](quell_ebpf_common::reason).
        pub totals: [Total; reason::COUNT],
        /// What they are counted under: [`ThreadState::generation`](quell_ebpf_common::ThreadState::generation).
        pub generation: u32,
        /// That of its next name, or 0 where the thread has ended.
        pub next_generation: u32,
    } size 128
}
