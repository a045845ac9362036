//! Fields of `task_struct`, at the offsets that the running kernel's BTF gives.
//!
//! The loads are direct: the verifier checks them against BTF as the offset is a known constant
//! (`btf_struct_access`, kernel/bpf/btf.c, 5.5).

use aya_ebpf::helpers::bpf_probe_read_kernel;
use quell_ebpf_common::reason;

use crate::settings::setting;

/// A `struct task_struct *` that the verifier trusts: a tracepoint's or an iterator's argument.
#[derive(Clone, Copy)]
pub struct Task(*const u8);

/// `TASK_DEAD` of include/linux/sched.h: the thread's last switch, from which it does not come back.
const TASK_DEAD: u64 = 0x80;

/// `TASK_UNINTERRUPTIBLE`, also where a fatal signal ends the sleep (`TASK_KILLABLE`).
const TASK_UNINTERRUPTIBLE: u64 = 0x02;

/// `__TASK_STOPPED` and `__TASK_TRACED`.
const STOPPED: u64 = 0x04 | 0x08;

/// Why a thread leaves the CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// For one of [`reason`].
    For(u32),
    /// For good.
    Dead,
}

impl Task {
    /// From a tracepoint's or iterator's argument.
    ///
    /// # Safety
    /// `task` is one of those, a `struct task_struct *`, and it is used for no longer than the program runs.
    #[inline(always)]
    pub unsafe fn new(task: *const u8) -> Self {
        Self(task)
    }

    /// The pointer, for helpers.
    #[inline(always)]
    pub fn as_ptr(self) -> *const u8 {
        self.0
    }

    /// Loads a field at an offset that BTF gave. The verifier refuses the program where no field of this size is there.
    #[inline(always)]
    pub fn load<T: Copy>(self, offset: u32) -> T {
        // SAFETY: the verifier refuses the program unless the load lies within one field of the task, a byte of it or
        // all (`btf_struct_walk`, kernel/bpf/btf.c); the kernel keeps the task while the program runs (`new`). `T` is an integer or a raw pointer: any bits will do. Volatile, since the kernel may
        // write the field meanwhile.
        unsafe { self.0.add(offset as usize).cast::<T>().read_volatile() }
    }

    /// The thread's id; 0 for an idle thread.
    #[inline(always)]
    pub fn tid(self) -> u32 {
        self.load(setting!(task_pid))
    }

    /// Its process.
    #[inline(always)]
    pub fn tgid(self) -> u32 {
        self.load(setting!(task_tgid))
    }

    /// Whether it runs on some CPU now.
    #[inline(always)]
    pub fn on_cpu(self) -> bool {
        // 0 or 1, in an `int` up to 6.18 at least and in a `u8` in 7.2: the lowest byte holds it in both.
        self.load::<u8>(setting!(task_on_cpu)) != 0
    }

    /// The CPU that it runs on, or ran on last: only waking it and moving it between run queues change it.
    #[inline(always)]
    pub fn cpu(self) -> u32 {
        self.load(setting!(task_cpu))
    }

    /// Its state bits; 0 for runnable.
    #[inline(always)]
    pub fn state(self) -> u64 {
        if setting!(task_state_bytes) == 8 {
            self.load::<u64>(setting!(task_state))
        } else {
            u64::from(self.load::<u32>(setting!(task_state)))
        }
    }

    /// The lowest address of its kernel stack, only to be read by helpers.
    #[inline(always)]
    pub fn stack(self) -> *const u8 {
        self.load(setting!(stack_regs[0]))
    }

    /// The end of its kernel stack while it does not run, only to be read by helpers.
    #[inline(always)]
    pub fn stack_pointer(self) -> *const u8 {
        self.load(setting!(task_sp))
    }

    /// Its name.
    #[inline(always)]
    pub fn comm(self) -> [u8; 16] {
        let offset = setting!(task_comm) as usize;
        // SAFETY: the helper checks the address and fails rather than faults.
        unsafe { bpf_probe_read_kernel(self.0.add(offset).cast::<[u8; 16]>()) }.unwrap_or_default()
    }

    /// Why it leaves the CPU in this `state`.
    #[inline(always)]
    pub fn leaving(self, preempted: bool, state: u64) -> Leaving {
        if state & TASK_DEAD != 0 {
            Leaving::Dead
        } else if preempted || state == 0 {
            Leaving::For(if self.is_throttled() { reason::THROTTLED } else { reason::PREEMPTED })
        } else if state & STOPPED != 0 {
            Leaving::For(reason::STOPPED)
        } else if state & TASK_UNINTERRUPTIBLE != 0
            && u32::from(self.load::<u8>(setting!(task_in_iowait))) & setting!(in_iowait_mask) != 0
        {
            Leaving::For(reason::IO_WAIT)
        } else {
            Leaving::For(reason::BLOCKED)
        }
    }

    /// Whether its cgroup, or one above it, has used up its CPU quota. From 6.18 on the kernel throttles each thread as it
    /// returns to user space (`throttle_cfs_rq_work`, kernel/sched/fair.c), before it throttles their run queue.
    #[inline(always)]
    fn is_throttled(self) -> bool {
        let [first, second] = setting!(throttled);
        if first == 0 {
            false
        } else if second == 0 {
            self.load::<u8>(first) != 0
        } else {
            // The verifier follows the pointer, whose target the kernel lets a program read; a fault gives 0.
            Self(self.load::<*const u8>(first)).load::<u32>(second) != 0
        }
    }
}
