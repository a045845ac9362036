//! What the scheduler, the timers and the kernel's watchers do to a running thread.

mod watchdog;

use self::watchdog::Watchdog;
use super::{Codec, FileKnob, Knob, KnobSpec, Risk};
use crate::tune::{Kind, Scope};

/// The family.
///
/// `kernel.watchdog` is none of it: it stands for both watchdogs, and reads as what they are.
pub(super) static KNOBS: &[&'static dyn Knob] = &[
    &FileKnob {
        spec: KnobSpec {
            id: "sched.rt_runtime",
            doc: "How much of each `kernel.sched_rt_period_us`, a second, real-time threads may run before others get the CPU; \
                  -1 for all of it, 0 for none. From 6.12 on, without CONFIG_RT_GROUP_SCHED, it only bounds what deadline \
                  threads may ask for; less than those have is refused (EBUSY), as 0 is then, and so is more than the period \
                  (EINVAL) everywhere.",
            source: "Documentation/scheduler/sched-rt-group.rst, sched_rt_runtime_us; sched_dl_global_validate, \
                     kernel/sched/deadline.c",
            kind: Kind::Integer { min: -1, max: i32::MAX as i64, unit: "us" },
            risk: Risk::High(
                "a real-time thread that never sleeps starves everything else on its CPU, kernel threads too",
            ),
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/sched_rt_runtime_us",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.timer_migration",
            doc: "Whether an idle CPU sets its timers on a busy one, and a CPU of `nohz_full=` on a housekeeping one. Off, a \
                  thread's timers fire on its own CPU, and no other's fire there. From 6.9 on it is about high-resolution \
                  timers alone: the others expire elsewhere while their CPU idles, whatever this says.",
            source: "get_nohz_timer_target, kernel/sched/core.c; get_target_base, kernel/time/hrtimer.c",
            kind: Kind::Switch,
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/timer_migration",
        codec: Codec::Words("0", "1"),
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.base_slice",
            doc: "How long a thread of the fair class runs before another may have the CPU. Longer slices mean fewer switches, \
                  shorter ones shorter waits.",
            source: "Documentation/scheduler/sched-design-CFS.rst, base_slice_ns (6.6)",
            kind: Kind::Integer { min: 1, max: u32::MAX as i64, unit: "ns" },
            ..KnobSpec::RUNTIME
        },
        path: "/sys/kernel/debug/sched/base_slice_ns",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.fair_server_runtime",
            doc: "How much of each second a CPU runs fair threads that real-time threads starve, before those; 0 for none. For as \
                  long as fair threads are ready there, a timer is armed: on a CPU without a tick it comes about once a second. \
                  While they run in the place of real-time threads, the tick is on.",
            source: "dl_server_timer, kernel/sched/deadline.c; kernel/sched/debug.c, fair_server (6.12)",
            kind: Kind::Integer { min: 0, max: 1_000_000_000, unit: "ns" },
            scope: Scope::Cpu,
            // task_non_contending: `dl_rq->running_bw > old`, seen on Debian's 6.12.117 where the CPU was of isolcpus=.
            risk: Risk::Medium(
                "nothing helps fair threads that a real-time thread starves on this CPU; 6.12 prints a warning for 0 where the CPU \
                 is of isolcpus=, which ends a host that panics on warnings",
            ),
            ..KnobSpec::RUNTIME
        },
        path: "/sys/kernel/debug/sched/fair_server/cpu{}/runtime",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.autogroup",
            doc: "Whether each session is a group of its own to the scheduler, which undoes what nice values say between \
                  sessions.",
            source: "man 7 sched, the autogroup feature",
            kind: Kind::Switch,
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/sched_autogroup_enabled",
        codec: Codec::Words("0", "1"),
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.schedstats",
            doc: "Whether the scheduler keeps statistics of waits and sleeps: some nanoseconds for each switch.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, sched_schedstats",
            kind: Kind::Switch,
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/sched_schedstats",
        codec: Codec::Words("0", "1"),
    },
    &Watchdog(FileKnob {
        spec: KnobSpec {
            id: "sched.nmi_watchdog",
            doc: "Whether a counter interrupts each CPU to see that it takes interrupts, once in `sched.watchdog_thresh` seconds \
                  that it worked. It takes a hardware counter too; without such counters it can only be off, but for kernels \
                  whose CPUs watch each other instead (CONFIG_HARDLOCKUP_DETECTOR_BUDDY, 6.5).",
            source: "Documentation/admin-guide/lockup-watchdogs.rst; sysctl/kernel.rst, nmi_watchdog",
            kind: Kind::Switch,
            risk: Risk::Medium("a CPU that hangs with interrupts off is not reported"),
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/nmi_watchdog",
        codec: Codec::Words("0", "1"),
    }),
    &Watchdog(FileKnob {
        spec: KnobSpec {
            id: "sched.soft_watchdog",
            doc: "Whether a timer and a stopper thread on each CPU see to it that tasks get to run.",
            source: "Documentation/admin-guide/lockup-watchdogs.rst; sysctl/kernel.rst, soft_watchdog",
            kind: Kind::Switch,
            risk: Risk::Medium("a CPU that the kernel does not leave is not reported"),
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/soft_watchdog",
        codec: Codec::Words("0", "1"),
    }),
    &FileKnob {
        spec: KnobSpec {
            id: "sched.watchdog_cpumask",
            doc: "The CPUs that the watchdogs run on. Without the isolated ones, the others stay watched.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, watchdog_cpumask",
            kind: Kind::Cpus,
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/watchdog_cpumask",
        codec: Codec::CpuList,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.watchdog_thresh",
            doc: "After how long without interrupts a CPU counts as hung, and after twice as long if it runs nothing but one \
                  task in the kernel. A timer on each CPU looks every 2/5 of it, every 4 s for 10. 0 turns both watchdogs off.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, watchdog_thresh",
            kind: Kind::Integer { min: 0, max: 60, unit: "s" },
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/watchdog_thresh",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.hung_task_timeout",
            doc: "After how long a task that waits uninterruptibly is reported; khungtaskd looks at all tasks as often. 0 for \
                  never.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, hung_task_timeout_secs",
            kind: Kind::Integer { min: 0, max: i32::MAX as i64, unit: "s" },
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/hung_task_timeout_secs",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.split_lock_mitigate",
            doc: "Whether a thread that locks across two cache lines is slowed down by 10 ms each time, to keep it from slowing \
                  down everybody else.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, split_lock_mitigate (6.2, x86)",
            kind: Kind::Switch,
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/split_lock_mitigate",
        codec: Codec::Words("0", "1"),
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.ignore_ce",
            doc: "Whether corrected machine-check errors are neither polled for nor taken as interrupts: a timer less on every \
                  CPU. One switch for all, whichever CPU's file it is in.",
            source: "Documentation/ABI/testing/sysfs-mce; set_ignore_ce, arch/x86/kernel/cpu/mce/core.c",
            kind: Kind::Switch,
            risk: Risk::Medium("memory that begins to fail goes unnoticed for longer"),
            ..KnobSpec::RUNTIME
        },
        path: "/sys/devices/system/machinecheck/machinecheck0/ignore_ce",
        codec: Codec::Words("0", "1"),
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.delayacct",
            doc: "Whether the kernel accounts for each task's delays: a clock reading for each wait.",
            source: "Documentation/accounting/delay-accounting.rst, kernel.task_delayacct (5.14)",
            kind: Kind::Switch,
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/task_delayacct",
        codec: Codec::Words("0", "1"),
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.ftrace",
            doc: "Whether ftrace can trace functions, for itself and for probes, BPF programs and live patches that use it. Off, \
                  it does not patch code under a running thread, which interrupts every CPU; static keys and other probes still \
                  do. Newer kernels do not let it be turned off (EOPNOTSUPP, as 7.3).",
            source: "Documentation/trace/ftrace.rst, ftrace_enabled; ftrace_enable_sysctl, kernel/trace/ftrace.c",
            kind: Kind::Switch,
            risk: Risk::Medium("tracers and live patches that need it stop, or refuse the change (EBUSY)"),
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/ftrace_enabled",
        codec: Codec::Words("0", "1"),
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.bpf_stats",
            doc: "Whether each run of a BPF program is timed: two clock readings for each event that is traced.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, bpf_stats_enabled",
            kind: Kind::Switch,
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/bpf_stats_enabled",
        codec: Codec::Words("0", "1"),
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.perf_cpu_share",
            doc: "How much of a CPU's time sampling by perf events may take before the kernel lowers the rate.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, perf_cpu_time_max_percent",
            kind: Kind::Integer { min: 0, max: 100, unit: "%" },
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/perf_cpu_time_max_percent",
        codec: Codec::Plain,
    },
];
