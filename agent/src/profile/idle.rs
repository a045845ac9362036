//! Idle threads: sleeps that nobody has to act on.
//!
//! Most threads of a host wait for work that does not come. Their sleeps are longer than all others, so that they hide the
//! sleeps that slow something down. The scheduler does not know the difference. This is the definition of quell.
//!
//! A sleep is idle if all of this holds:
//!
//! 1. **It is a wait for work**: the thread sleeps in a kernel function that waits for a request, a time, a signal or a child
//!    ([`WORK`]), in a futex ([`FUTEX`]), or in the main function of a kernel thread. These are functions that are meant to wait
//!    without limit. All others are never idle: block I/O, page faults, mutexes and semaphores of the kernel, a full socket or
//!    pipe, completions of asynchronous I/O. A futex is a lock as well as the condition variable of a thread pool. If the
//!    program's stack shows a lock ([`LOCKS`]), the sleep is never idle.
//! 2. **Its thread has nothing to do**: the thread sleeps for at least 99 % of the capture, and for at most 1 % in sleeps that
//!    are no waits for work or that something other than time ended. It is time if the sleep had not ended at the end of
//!    the capture, if a timer ended it, or if it lasted at least a quarter of the capture. At least a tenth of the capture must
//!    be such sleeps: of the others, it is not known what ended them, since they had begun before the capture or
//!    were not sampled, and they are taken to be like those that are known. So a thread that waits for the replies of a slow server again and again is not idle, although it never
//!    runs: each of its waits is ended by a reply. Nor is a thread that started or exited during the capture. For the main
//!    function of a kernel thread, the function alone is sufficient: a worker that slept there had no work.
//! 3. **No other thread waited for it**: if a thread that is not idle was woken by this one, and had been waiting during most
//!    of the sleep, then the sleep delayed it, and is shown. This follows wake chains: a sleep that delayed such a sleep is shown
//!    too.
//!
//! What this cannot tell: a request that takes the whole capture looks like no request, and threads in a deadlock without a lock in their
//! stacks look like a thread pool.

use hashbrown::HashMap;

use super::calibration::Key;
use super::kernel_frames::{Part, part};
use crate::recording::{Frame, Location, MetricId, ProcessIdx, Recording, Sample, Wake};
use crate::units::{Nanos, Tid};

/// The metric of sleeps that do not wait for block I/O.
const SLEEPS: &str = "offcpu.blocked";

/// The share of a capture for which an idle thread waits for work at least.
const IDLE_SHARE: f64 = 0.99;

/// The share of a capture for which an idle thread is at least seen to wait for work until time ends the wait.
const SEEN_SHARE: f64 = 0.1;

/// The part of a capture, as its inverse, from which on a wait is long, so that it does not matter what ended it.
const LONG_PART: u64 = 4;

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

/// Which samples of a recording are idle sleeps.
pub(super) struct IdleSleeps {
    rows: Vec<bool>,
    /// The sleeps of each thread.
    threads: HashMap<(ProcessIdx, Tid), Sleeps>,
    metric: Option<MetricId>,
}

/// The sleeps of a thread, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Sleeps {
    /// All that were counted or sampled.
    all: f64,
    /// Those that were sampled.
    sampled: f64,
    /// Waits for work that nothing but time ended.
    undisturbed: f64,
    /// Sleeps that are no waits for work, or that something else ended.
    disturbed: f64,
    /// Those that are idle by their place and their thread.
    idle: f64,
}

impl Sleeps {
    /// Condition 2.
    fn has_nothing_to_do(&self, duration: Nanos) -> bool {
        let share = |time: f64| time / (duration.0 as f64).max(1.0);
        share(self.all) >= IDLE_SHARE
            && share(self.disturbed) <= 1.0 - IDLE_SHARE
            && share(self.undisturbed) >= SEEN_SHARE
    }
}

impl IdleSleeps {
    /// Finds the idle sleeps of a recording. `value` is the estimated value that a sample represents, in its unit; `unsampled` the
    /// counted values that no sample represents.
    pub(super) fn of(
        recording: &Recording,
        value: impl Fn(&Sample) -> f64,
        unsampled: impl Iterator<Item = (Key, u64)>,
    ) -> Self {
        let rows = vec![false; recording.samples.len()];
        let metric = recording.meta.metric_named(SLEEPS);
        let mut found = Self { rows, threads: HashMap::new(), metric };
        let Some(sleeps) = metric else { return found };
        let stacks = stack_facts(recording);
        let place = |sample: &Sample| sample.stack.map(|stack| stacks[stack.index()].place()).unwrap_or_default();
        let duration = recording.meta.duration;
        let is_ended_by_timer = |wake: Wake| wake.stack.is_some_and(|stack| stacks[stack.index()].timer);
        for sample in recording.samples.iter().filter(|sample| is_sleep(sample, sleeps)) {
            let (time, thread) = (value(sample), found.threads.entry(thread(recording, sample)).or_default());
            thread.all += time;
            thread.sampled += time;
            let lasts = sample.ongoing || sample.value >= duration.0 / LONG_PART;
            match (place(sample), sample.wake) {
                (Place::Other, _) => thread.disturbed += time,
                _ if lasts => thread.undisturbed += time,
                (_, Some(wake)) if is_ended_by_timer(wake) => thread.undisturbed += time,
                (_, Some(_)) => thread.disturbed += time,
                (_, None) => {}
            }
        }
        for ((process, tid, _), time) in unsampled.filter(|((_, _, metric), _)| *metric == sleeps) {
            found.threads.entry((process, tid)).or_default().all += time as f64;
        }
        for (row, sample) in recording.samples.iter().enumerate().filter(|(_, sample)| is_sleep(sample, sleeps)) {
            let thread = found.threads.entry(thread(recording, sample)).or_default();
            found.rows[row] = match place(sample) {
                Place::Other => false,
                Place::KernelLoop => true,
                Place::Work => thread.has_nothing_to_do(duration),
            };
            if found.rows[row] {
                thread.idle += value(sample);
            }
        }
        show_what_delayed_others(recording, &mut found.rows);
        found
    }

    /// Whether the sample in this row is an idle sleep.
    pub(super) fn contains(&self, row: usize) -> bool {
        self.rows[row]
    }

    /// Whether sleeps of a thread that were counted and not sampled are taken to be idle: if those that were sampled are.
    pub(super) fn contains_unsampled(&self, thread: (ProcessIdx, Tid), metric: MetricId) -> bool {
        let sleeps = self.threads.get(&thread).filter(|_| self.metric == Some(metric));
        sleeps.is_some_and(|sleeps| sleeps.idle > 0.0 && sleeps.idle >= IDLE_SHARE * sleeps.sampled)
    }
}

fn thread(recording: &Recording, sample: &Sample) -> (ProcessIdx, Tid) {
    recording.threads.get(sample.thread).key()
}

/// Whether a sample is a sleep, and not only a wait for a CPU.
fn is_sleep(sample: &Sample, sleeps: MetricId) -> bool {
    sample.metric == sleeps && sample.runqueue.is_none_or(|time| time.0 < sample.value)
}

/// Condition 3. The sleep of a waker is always an earlier row, so that one pass from the last row on follows whole chains.
fn show_what_delayed_others(recording: &Recording, idle: &mut [bool]) {
    for row in (0..idle.len()).rev().filter(|row| recording.samples[*row].wake.is_some()) {
        let sample = &recording.samples[row];
        let earlier = sample.wake.and_then(|wake| wake.waker_sleep).filter(|_| !idle[row]);
        if let Some(earlier) = earlier
            && is_mostly_within(&recording.samples[earlier.index()], sample)
        {
            idle[earlier.index()] = false;
        }
    }
}

/// Whether at least half of the interval `one` is in the interval `other`.
fn is_mostly_within(one: &Sample, other: &Sample) -> bool {
    let end = |sample: &Sample| sample.time.0.saturating_add(sample.value);
    let shared = Nanos(end(one).min(end(other))).since(one.time.max(other.time));
    shared.0 > 0 && shared.0 >= one.value / 2
}

/// Where a thread sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In a wait for work.
    Work,
    /// In the main function of a kernel thread.
    KernelLoop,
    /// Somewhere else, or unknown.
    #[default]
    Other,
}

/// The position of a frame in the stack of a kernel thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum KernelThread {
    /// It is none, as far as the stack shows.
    #[default]
    No,
    /// The frame calls the main function.
    Entry,
    /// The frame is the main function, or is called by it.
    Inside,
}

/// What the frames of a stack, from the outermost on, say about the thread.
#[derive(Clone, Copy, Debug, Default)]
struct StackFacts {
    kernel_place: Place,
    kernel_thread: KernelThread,
    /// Whether the program takes a lock.
    lock: bool,
    /// Whether a timer ends a wait.
    timer: bool,
}

impl StackFacts {
    fn place(self) -> Place {
        if self.lock { Place::Other } else { self.kernel_place }
    }

    /// The facts of the stack with one more frame.
    fn with(self, frame: FrameClass) -> Self {
        let inside = match self.kernel_thread {
            KernelThread::No => KernelThread::No,
            KernelThread::Entry | KernelThread::Inside => KernelThread::Inside,
        };
        match frame {
            FrameClass::Scheduler => self,
            FrameClass::Timer => Self { timer: true, kernel_place: Place::Other, ..self },
            FrameClass::Lock => Self { lock: true, kernel_place: Place::Other, ..self },
            FrameClass::KernelThread => Self { kernel_thread: KernelThread::Entry, kernel_place: Place::Other, ..self },
            FrameClass::Work => Self { kernel_place: Place::Work, kernel_thread: inside, ..self },
            FrameClass::KernelLoop => Self { kernel_place: Place::KernelLoop, kernel_thread: inside, ..self },
            FrameClass::Kernel if self.kernel_thread == KernelThread::Entry => {
                Self { kernel_place: Place::KernelLoop, kernel_thread: inside, ..self }
            }
            FrameClass::Kernel | FrameClass::Program => Self { kernel_place: Place::Other, ..self },
        }
    }
}

/// What a function says about a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FrameClass {
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

fn classify(frame: &Frame) -> FrameClass {
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

/// The facts of each stack. Callers precede their callees in the table.
fn stack_facts(recording: &Recording) -> Vec<StackFacts> {
    let classes: Vec<FrameClass> = recording.frames.rows().iter().map(classify).collect();
    let mut facts: Vec<StackFacts> = Vec::with_capacity(recording.stacks.rows().len());
    for node in recording.stacks.rows() {
        let caller = node.parent.map_or_else(StackFacts::default, |parent| facts[parent.index()]);
        facts.push(caller.with(classes[node.frame.index()]));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::example::{BLOCKED, CPU, Example, IO_WAIT};
    use crate::recording::{SampleIdx, ThreadIdx};

    const MILLIS: u64 = 1_000_000;

    /// Adds a sleep from one millisecond of the capture to another.
    fn sleep(example: &mut Example, thread: ThreadIdx, path: &str, from: u64, to: u64) -> usize {
        let stack = example.stack(path);
        example.sample(BLOCKED, thread, stack, (to - from) * MILLIS).time = Nanos(from * MILLIS);
        example.recording.samples.len() - 1
    }

    /// A sleep that lasts the whole capture.
    fn ongoing(example: &mut Example, thread: ThreadIdx, path: &str) -> usize {
        let row = sleep(example, thread, path, 0, 1_000);
        example.recording.samples[row].ongoing = true;
        row
    }

    fn woken(example: &mut Example, row: usize, waker: ThreadIdx, path: &str, waker_sleep: Option<usize>) {
        let stack = Some(example.stack(path));
        let waker_sleep = waker_sleep.map(|row| SampleIdx::new(row as u32));
        example.recording.samples[row].wake = Some(Wake { waker, stack, waker_sleep });
    }

    const TIMER: &str = "app main kernel:asm_sysvec_apic_timer_interrupt kernel:hrtimer_wakeup kernel:try_to_wake_up";
    const NETWORK: &str = "app main kernel:asm_common_interrupt kernel:net_rx_action kernel:sock_def_readable";

    fn idle(example: &Example) -> Vec<bool> {
        let value = |sample: &Sample| sample.value as f64 / sample.probability;
        IdleSleeps::of(&example.recording, value, std::iter::empty()).rows
    }

    /// Whether a thread that sleeps at this place for the whole capture is idle.
    fn is_idle_at(path: &str) -> bool {
        let mut example = Example::new();
        let thread = example.thread(7, 7, "server");
        ongoing(&mut example, thread, path);
        idle(&example)[0]
    }

    #[test]
    fn a_thread_that_sleeps_throughout_is_idle_only_in_a_wait_for_work() {
        for place in [
            "app main epoll_wait@libc.so.6 kernel:do_epoll_wait kernel:ep_poll kernel:schedule_hrtimeout_range kernel:schedule kernel:__schedule kernel:__traceiter_sched_switch kernel:bpf_trace_run4",
            "app main kernel:do_sys_poll kernel:poll_schedule_timeout.constprop.0 kernel:schedule_hrtimeout_range",
            "app main kernel:inet_csk_accept kernel:schedule_timeout",
            "app main kernel:tcp_recvmsg kernel:sk_wait_data kernel:wait_woken kernel:schedule_timeout",
            "app main pthread_cond_wait@libc.so.6 kernel:do_futex kernel:futex_wait kernel:futex_wait_queue kernel:schedule",
            "java Unsafe_Park kernel:futex_wait_queue",
            "app kernel:do_wait kernel:schedule",
            "kworker kernel:ret_from_fork kernel:kthread kernel:worker_thread kernel:schedule",
            "any kernel:ret_from_fork kernel:kthread kernel:of_a_driver kernel:schedule_timeout",
            "rcu kernel:kthread kernel:rcu_gp_kthread kernel:rcu_gp_fqs_loop kernel:schedule_timeout",
        ] {
            assert!(is_idle_at(place), "{place}");
        }
        for place in [
            "app main kernel:vfs_read kernel:folio_wait_bit_common kernel:io_schedule",
            "app main kernel:do_epoll_wait kernel:asm_exc_page_fault kernel:folio_wait_bit_common kernel:schedule",
            "app main kernel:ksys_write kernel:rwsem_down_write_slowpath kernel:schedule",
            "app main kernel:tcp_sendmsg kernel:sk_stream_wait_memory kernel:wait_woken kernel:schedule_timeout",
            "app main kernel:anon_pipe_write kernel:schedule",
            "app main kernel:do_io_getevents kernel:read_events kernel:schedule",
            "app main kernel:msleep kernel:schedule_timeout_uninterruptible kernel:schedule_timeout",
            "app main pthread_mutex_lock@libc.so.6 __lll_lock_wait@libc.so.6 kernel:futex_wait kernel:futex_wait_queue",
            "java ObjectMonitor::enter pthread_cond_wait@libc.so.6 kernel:futex_wait_queue",
            "app main kernel:futex_lock_pi kernel:schedule",
            "jbd2 kernel:kthread kernel:kjournald2 kernel:jbd2_journal_commit_transaction kernel:schedule",
            "app main",
        ] {
            assert!(!is_idle_at(place), "{place}");
        }
    }

    #[test]
    fn other_metrics_and_waits_for_a_cpu_are_never_idle() {
        let mut example = Example::new();
        let thread = example.thread(7, 7, "server");
        let stack = example.stack("app kernel:ep_poll");
        for metric in [CPU, IO_WAIT] {
            example.sample(metric, thread, stack, 1_000 * MILLIS);
        }
        let sleep = example.sample(BLOCKED, thread, stack, 1_000 * MILLIS);
        sleep.runqueue = Some(Nanos(1_000 * MILLIS));
        assert_eq!(idle(&example), [false, false, false]);
    }

    #[test]
    fn a_thread_that_only_timers_wake_is_idle_and_one_that_requests_wake_is_not() {
        let mut example = Example::new();
        let [cron, client, other] =
            [(1, "cron"), (2, "client"), (3, "other")].map(|(id, name)| example.thread(id, id, name));
        for (thread, path, end) in
            [(cron, "cron kernel:do_nanosleep", TIMER), (client, "client kernel:sk_wait_data", NETWORK)]
        {
            for from in (0..1_000).step_by(100) {
                let row = sleep(&mut example, thread, path, from, from + 100);
                woken(&mut example, row, other, end, None);
            }
        }
        assert_eq!(idle(&example), [[true; 10], [false; 10]].concat());
    }

    #[test]
    fn a_thread_that_runs_or_waits_for_anything_else_is_not_idle() {
        for (busy, expected) in [(5, true), (15, false)] {
            let mut example = Example::new();
            let thread = example.thread(7, 7, "server");
            sleep(&mut example, thread, "app kernel:ep_poll", 0, 500);
            sleep(&mut example, thread, "app kernel:ep_poll", 500 + busy, 1_000);
            assert_eq!(idle(&example), [expected; 2], "busy for {busy} ms");
            sleep(&mut example, thread, "app kernel:mutex_lock", 500, 500 + busy);
            assert_eq!(idle(&example), [expected, expected, false], "a lock for {busy} ms");
        }
    }

    #[test]
    fn a_pool_thread_with_one_job_is_idle_and_a_thread_of_a_part_of_the_capture_is_not() {
        let mut example = Example::new();
        let [pool, late, main] = [(1, "pool"), (2, "late"), (3, "main")].map(|(id, name)| example.thread(id, id, name));
        let first = sleep(&mut example, pool, "app kernel:futex_wait_queue", 0, 600);
        woken(&mut example, first, main, "app main kernel:futex_wake", None);
        sleep(&mut example, pool, "app kernel:futex_wait_queue", 601, 1_000);
        let row = sleep(&mut example, late, "app kernel:futex_wait_queue", 500, 1_000);
        example.recording.samples[row].ongoing = true;
        assert_eq!(idle(&example), [true, true, false]);
    }

    #[test]
    fn samples_count_with_what_they_represent() {
        let mut example = Example::new();
        let thread = example.thread(7, 7, "server");
        let row = sleep(&mut example, thread, "app kernel:ep_poll", 0, 500);
        assert_eq!(idle(&example), [false]);
        example.recording.samples[row].probability = 0.5;
        assert_eq!(idle(&example), [true]);
    }

    /// A sleep that had begun before the capture has no waker, and a busy host samples few of many sleeps.
    #[test]
    fn sleeps_of_which_nothing_is_known_are_like_those_that_are_known() {
        let mut example = Example::new();
        let [cron, client, never] =
            [(1, "cron"), (2, "client"), (3, "never")].map(|(id, name)| example.thread(id, id, name));
        for (thread, path, end) in
            [(cron, "cron kernel:do_nanosleep", TIMER), (client, "client kernel:sk_wait_data", NETWORK)]
        {
            sleep(&mut example, thread, path, 0, 200);
            let row = sleep(&mut example, thread, path, 200, 350);
            woken(&mut example, row, never, end, None);
        }
        sleep(&mut example, never, "app kernel:do_nanosleep", 0, 200);
        let sleeps = example.metric(BLOCKED);
        let [cron, client, never] = [cron, client, never].map(|thread| example.recording.threads.get(thread).key());
        let rest = |(process, tid), time| ((process, tid, sleeps), time * MILLIS);
        let rests = [rest(cron, 645), rest(client, 645), rest(never, 800)];
        let value = |sample: &Sample| sample.value as f64;
        let found = IdleSleeps::of(&example.recording, value, rests.into_iter());
        assert_eq!(found.rows, [true, true, false, false, false]);
        let unsampled = [cron, client, never].map(|thread| found.contains_unsampled(thread, sleeps));
        assert_eq!(unsampled, [true, false, false]);
        assert!(!found.contains_unsampled(cron, example.metric(IO_WAIT)));
        let value = |sample: &Sample| sample.value as f64;
        assert_eq!(IdleSleeps::of(&example.recording, value, std::iter::empty()).rows, [false; 5], "they slept less");
    }

    #[test]
    fn a_kernel_worker_that_works_is_idle_only_in_its_main_function() {
        let mut example = Example::new();
        let thread = example.thread(7, 7, "kworker/0:1");
        sleep(&mut example, thread, "k kernel:kthread kernel:worker_thread kernel:schedule", 0, 10);
        sleep(
            &mut example,
            thread,
            "k kernel:kthread kernel:worker_thread kernel:process_one_work kernel:mutex_lock",
            10,
            20,
        );
        assert_eq!(idle(&example), [true, false]);
    }

    /// `main` waits for `helper` from 300 to 610 ms, and `helper` for `deeper`.
    #[test]
    fn a_sleep_that_delays_another_thread_is_shown_and_so_is_what_delayed_it() {
        let mut example = Example::new();
        let [main, helper, deeper] =
            [(1, "main"), (2, "helper"), (3, "deeper")].map(|(id, name)| example.thread(id, id, name));
        let path = "app kernel:do_nanosleep";
        let before = sleep(&mut example, helper, path, 0, 300);
        let first = sleep(&mut example, deeper, path, 0, 299);
        let chained = sleep(&mut example, deeper, path, 299, 590);
        let delaying = sleep(&mut example, helper, path, 300, 600);
        let waits = sleep(&mut example, main, "app kernel:mutex_lock", 300, 610);
        for row in [before, first, chained] {
            woken(&mut example, row, main, TIMER, None);
        }
        woken(&mut example, delaying, deeper, "app kernel:futex_wake", Some(chained));
        woken(&mut example, waits, helper, "app kernel:mutex_unlock", Some(delaying));
        sleep(&mut example, helper, path, 600, 1_000);
        sleep(&mut example, deeper, path, 590, 1_000);
        assert_eq!(idle(&example), [true, true, false, false, false, true, true]);
        // If most of the sleep was before `main` waited, it delayed nobody.
        example.recording.samples[waits].time = Nanos(590 * MILLIS);
        example.recording.samples[waits].value = 20 * MILLIS;
        assert_eq!(idle(&example), [true, true, true, true, false, true, true]);
    }

    #[test]
    fn a_recording_without_sleeps_has_no_idle_ones() {
        let mut example = Example::new();
        let thread = example.thread(7, 7, "server");
        let stack = example.stack("app main");
        example.sample(CPU, thread, stack, 10);
        example.recording.meta.metrics.retain(|metric| metric.name != BLOCKED);
        assert_eq!(idle(&example), [false]);
    }
}
