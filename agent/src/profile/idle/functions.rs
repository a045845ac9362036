//! What functions say about a wait.

use crate::profile::kernel_frames::{Part, part};
use crate::recording::{Frame, Location};

/// Kernel functions that wait for a request, a time, a signal or a child: the innermost one outside the scheduler.
const WORK: &[&str] = &[
    // fs/eventpoll.c, fs/select.c
    "ep_poll",
    "do_epoll_wait",
    "do_poll",
    "do_sys_poll",
    "do_select",
    "core_sys_select",
    "poll_schedule_timeout",
    // net/: connections and data that arrive. Sending is not among them: it waits for memory.
    "inet_csk_accept",
    "inet_csk_wait_for_connect",
    "unix_accept",
    "vsock_accept",
    "__skb_wait_for_more_packets",
    "skb_recv_datagram",
    "sk_wait_data",
    "unix_stream_data_wait",
    "unix_stream_read_generic",
    // fs/pipe.c: reading
    "pipe_read",
    "anon_pipe_read",
    "fifo_pipe_read",
    "pipe_wait_readable",
    // kernel/time, kernel/signal.c, kernel/exit.c
    "do_nanosleep",
    "hrtimer_nanosleep",
    "do_sigtimedwait",
    "sigsuspend",
    "__do_sys_pause",
    "__ia32_sys_pause",
    "__x64_sys_pause",
    "__arm64_sys_pause",
    "do_wait",
    "kernel_wait4",
    // Files that report events
    "eventfd_read",
    "timerfd_read",
    "timerfd_read_iter",
    "signalfd_dequeue",
    "signalfd_read_iter",
    "inotify_read",
    "n_tty_read",
    "fuse_dev_do_read",
    "syslog_print",
    "devkmsg_read",
    // virt/kvm: a CPU of a guest that is idle
    "kvm_vcpu_block",
    "kvm_vcpu_halt",
];

/// Kernel functions that wait in a futex without a lock of its own (kernel/futex). A futex with priority inheritance is one.
const FUTEX: &[&str] =
    &["futex_wait", "__futex_wait", "futex_wait_queue", "futex_do_wait", "futex_wait_queue_me", "futex_wait_multiple"];

/// The main functions of kernel threads that do not call their wait directly, and of kernel threads that have no `kthread` in
/// their stacks.
const KERNEL_LOOPS: &[&str] = &[
    "kthreadd",
    "rescuer_thread",
    "devtmpfs_work_loop",
    "worker_thread",
    "rcu_gp_fqs_loop",
    "rcu_tasks_one_gp",
    "rcu_nocb_cb_wait",
    "kswapd_try_to_sleep",
    "irq_wait_for_interrupt",
    "io_wq_worker",
    "io_sq_thread",
    "vhost_task_fn",
];

/// Functions that call the main function of a kernel thread (kernel/kthread.c).
const KTHREAD: &[&str] = &["kthread"];

/// Functions between a wait and the switch to another thread. Functions that sleep uninterruptibly are not among them.
const SCHEDULER: &[&str] = &[
    "schedule",
    "__schedule",
    "schedule_timeout",
    "schedule_timeout_interruptible",
    "schedule_timeout_idle",
    "schedule_hrtimeout",
    "schedule_hrtimeout_range",
    "schedule_hrtimeout_range_clock",
    "preempt_schedule",
    "freezable_schedule",
    "wait_woken",
    "do_wait_intr",
    "do_wait_intr_irq",
    "prepare_to_wait_event",
];

/// Functions that end a wait because its time is over (kernel/time, kernel/workqueue.c, fs/timerfd.c).
const TIMERS: &[&str] =
    &["hrtimer_wakeup", "process_timeout", "timerfd_tmrproc", "delayed_work_timer_fn", "it_real_fn", "posix_timer_fn"];

/// Parts of the names of functions of programs that take a lock: of glibc and musl, of Rust, and of the Java VM.
const LOCKS: &[&str] =
    &["mutex_lock", "lll_lock_wait", "rwlock_", "lock_contended", "ObjectMonitor::enter", "Mutex::lock", "mtx_lock"];

/// What a function says about a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameClass {
    /// See [`SCHEDULER`], and the programs of quell.
    Scheduler,
    /// See [`WORK`] and [`FUTEX`].
    Work,
    /// See [`KERNEL_LOOPS`].
    KernelLoop,
    /// See [`KTHREAD`].
    KernelThread,
    /// See [`TIMERS`].
    Timer,
    /// Another function of the kernel.
    Kernel,
    /// See [`LOCKS`].
    Lock,
    /// Another function of a program.
    Program,
}

/// What the function of a frame says about a wait.
pub(super) fn classify(frame: &Frame) -> FrameClass {
    let name = frame.symbol.as_ref().map_or("", |symbol| symbol.name.as_str());
    if !matches!(frame.location, Location::Kernel(_)) {
        let is_lock = LOCKS.iter().any(|part| name.contains(part));
        return if is_lock { FrameClass::Lock } else { FrameClass::Program };
    }
    // Compilers add `.isra.0`, `.constprop.0` or `.part.0` to copies of functions.
    let name = name.split('.').next().unwrap_or_default();
    let classes = [
        (SCHEDULER, FrameClass::Scheduler),
        (WORK, FrameClass::Work),
        (FUTEX, FrameClass::Work),
        (KERNEL_LOOPS, FrameClass::KernelLoop),
        (KTHREAD, FrameClass::KernelThread),
        (TIMERS, FrameClass::Timer),
    ];
    let known = classes.into_iter().find(|(names, _)| names.contains(&name)).map(|(_, class)| class);
    known.unwrap_or(if part(frame) == Part::Tracing { FrameClass::Scheduler } else { FrameClass::Kernel })
}
