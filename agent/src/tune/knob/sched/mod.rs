//! The scheduler, timers, watchdogs and other sources of noise in the kernel.

mod watchdog;

use crate::tune::knob::file_knob::FileKnob;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::sched::watchdog::Watchdog;
use crate::tune::knob::spec::{KnobSpec, Risk};
use crate::tune::knob::value_file::{Codec, ValueFile};
use crate::tune::value::{Scope, ValueKind};

/// The knobs of this family.
///
/// `kernel.watchdog` is not one of them: it switches both watchdogs, and reads as their combined state.
pub(super) static KNOBS: &[&'static dyn Knob] = &[
    &FileKnob {
        spec: KnobSpec {
            id: "sched.rt_runtime",
            doc: "How long real-time threads may run in each period of `kernel.sched_rt_period_us`, usually a second, before other threads \
                  get the CPU; -1 for no limit, 0 for not at all. Since 6.12, without CONFIG_RT_GROUP_SCHED, it only limits the \
                  bandwidth of deadline threads: a value below the bandwidth in use is refused (EBUSY), and so is 0. A value above \
                  the period is always refused (EINVAL).",
            source: "Documentation/scheduler/sched-rt-group.rst, sched_rt_runtime_us; sched_dl_global_validate, \
                     kernel/sched/deadline.c",
            kind: ValueKind::Integer { min: -1, max: i32::MAX as i64, unit: "us" },
            risk: Risk::High(
                "a real-time thread that never sleeps starves everything else on its CPU, including kernel threads",
            ),
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/sched_rt_runtime_us", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.timer_migration",
            doc: "Whether timers are placed on other CPUs: those of an idle CPU on a busy one, and those of a `nohz_full=` CPU on a \
                  housekeeping one. Off, timers fire on the CPU of the thread that set them, and on no other. Since 6.9 this applies \
                  to high-resolution timers only: other timers of an idle CPU always expire elsewhere.",
            source: "get_nohz_timer_target, kernel/sched/core.c; get_target_base, kernel/time/hrtimer.c",
            kind: ValueKind::Switch,
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/timer_migration", codec: Codec::Words("0", "1") },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.base_slice",
            doc: "How long a thread of the fair class runs before it may be preempted by another. Longer slices mean fewer context \
                  switches, shorter ones less run-queue latency.",
            source: "Documentation/scheduler/sched-design-CFS.rst, base_slice_ns (6.6)",
            kind: ValueKind::Integer { min: 1, max: u32::MAX as i64, unit: "ns" },
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/sys/kernel/debug/sched/base_slice_ns", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.fair_server_runtime",
            doc: "How long a CPU runs fair threads in each second if real-time threads starve them; 0 disables it. A timer is armed as long \
                  as fair threads are runnable: on a tickless CPU it fires about once a second. While fair threads run in the place of \
                  real-time threads, the tick is enabled.",
            source: "dl_server_timer, kernel/sched/deadline.c; kernel/sched/debug.c, fair_server (6.12)",
            kind: ValueKind::Integer { min: 0, max: 1_000_000_000, unit: "ns" },
            scope: Scope::Cpu,
            // task_non_contending: `dl_rq->running_bw > old`, observed on Debian 6.12.117 on a CPU of isolcpus=.
            risk: Risk::Medium(
                "fair threads on this CPU may starve; for 0 on a CPU of isolcpus=, 6.12 prints a kernel warning, which crashes a host with \
                 panic_on_warn",
            ),
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/sys/kernel/debug/sched/fair_server/cpu{}/runtime", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.autogroup",
            doc: "Whether the scheduler puts each session into a group of its own, so that nice values have no effect between sessions.",
            source: "man 7 sched, the autogroup feature",
            kind: ValueKind::Switch,
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/sched_autogroup_enabled", codec: Codec::Words("0", "1") },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.schedstats",
            doc: "Whether the scheduler keeps statistics of waits and sleeps, which costs some nanoseconds per context switch.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, sched_schedstats",
            kind: ValueKind::Switch,
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/sched_schedstats", codec: Codec::Words("0", "1") },
    },
    &Watchdog {
        spec: KnobSpec {
            id: "sched.nmi_watchdog",
            doc: "Whether the hard lockup detector runs: a hardware counter interrupts each CPU once in `sched.watchdog_thresh` seconds of \
                  CPU time to check that it handles interrupts. It occupies the counter. Without hardware counters it can only be off, \
                  except in kernels whose CPUs watch each other (CONFIG_HARDLOCKUP_DETECTOR_BUDDY, 6.5).",
            source: "Documentation/admin-guide/lockup-watchdogs.rst; sysctl/kernel.rst, nmi_watchdog",
            kind: ValueKind::Switch,
            risk: Risk::Medium("a CPU that hangs with interrupts off is not reported"),
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/nmi_watchdog", codec: Codec::Words("0", "1") },
    },
    &Watchdog {
        spec: KnobSpec {
            id: "sched.soft_watchdog",
            doc: "Whether the soft lockup detector runs: a timer and a stopper thread on each CPU check that tasks are scheduled.",
            source: "Documentation/admin-guide/lockup-watchdogs.rst; sysctl/kernel.rst, soft_watchdog",
            kind: ValueKind::Switch,
            risk: Risk::Medium("a CPU that is stuck in the kernel is not reported"),
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/soft_watchdog", codec: Codec::Words("0", "1") },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.watchdog_cpumask",
            doc: "The CPUs that the watchdogs run on. Isolated CPUs can be excluded while the others stay monitored.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, watchdog_cpumask",
            kind: ValueKind::Cpus,
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/watchdog_cpumask", codec: Codec::CpuList },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.watchdog_thresh",
            doc: "The time without interrupts after which a CPU is reported as hung. A CPU that runs a single task in the kernel for twice as \
                  long is reported too. A timer on each CPU checks every 2/5 of it: every 4 s for 10. 0 turns both watchdogs off.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, watchdog_thresh",
            kind: ValueKind::Integer { min: 0, max: 60, unit: "s" },
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/watchdog_thresh", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.hung_task_timeout",
            doc: "The time after which a task in uninterruptible sleep is reported. khungtaskd checks all tasks at this interval. 0 disables \
                  it.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, hung_task_timeout_secs",
            kind: ValueKind::Integer { min: 0, max: i32::MAX as i64, unit: "s" },
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/hung_task_timeout_secs", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.split_lock_mitigate",
            doc: "Whether a thread that takes a split lock, across two cache lines, is delayed by 10 ms each time, so that it cannot slow \
                  down all other CPUs.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, split_lock_mitigate (6.2, x86)",
            kind: ValueKind::Switch,
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/split_lock_mitigate", codec: Codec::Words("0", "1") },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.ignore_ce",
            doc: "Whether corrected machine-check errors are ignored: neither polled by a timer on every CPU nor handled as interrupts. The \
                  file of one CPU controls all of them.",
            source: "Documentation/ABI/testing/sysfs-mce; set_ignore_ce, arch/x86/kernel/cpu/mce/core.c",
            kind: ValueKind::Switch,
            risk: Risk::Medium("failing memory is noticed later"),
            ..KnobSpec::RUNTIME
        },
        file: ValueFile {
            path: "/sys/devices/system/machinecheck/machinecheck0/ignore_ce",
            codec: Codec::Words("0", "1"),
        },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.delayacct",
            doc: "Whether the kernel accounts for the delays of each task, which costs a clock reading per wait.",
            source: "Documentation/accounting/delay-accounting.rst, kernel.task_delayacct (5.14)",
            kind: ValueKind::Switch,
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/task_delayacct", codec: Codec::Words("0", "1") },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.ftrace",
            doc: "Whether ftrace can trace functions, also for kprobes, BPF programs and live patches that use it. Off, it does not patch \
                  running code, which interrupts every CPU; static keys and other probes still do. Recent kernels such as 7.3 do not \
                  support turning it off (EOPNOTSUPP).",
            source: "Documentation/trace/ftrace.rst, ftrace_enabled; ftrace_enable_sysctl, kernel/trace/ftrace.c",
            kind: ValueKind::Switch,
            risk: Risk::Medium("tracers and live patches that use it stop, or prevent the change (EBUSY)"),
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/ftrace_enabled", codec: Codec::Words("0", "1") },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.bpf_stats",
            doc: "Whether the run time of BPF programs is measured, which costs two clock readings per run.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, bpf_stats_enabled",
            kind: ValueKind::Switch,
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/bpf_stats_enabled", codec: Codec::Words("0", "1") },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.perf_cpu_share",
            doc: "The share of CPU time that sampling by perf events may use before the kernel lowers the sampling rate.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, perf_cpu_time_max_percent",
            kind: ValueKind::Integer { min: 0, max: 100, unit: "%" },
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/perf_cpu_time_max_percent", codec: Codec::Plain },
    },
];
