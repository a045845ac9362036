//! What the scheduler, the timers and the kernel's watchers do to a running thread.

use super::{Codec, FileKnob, Knob, KnobSpec, Risk};
use crate::tune::{Kind, Scope};

/// The family.
///
/// `kernel.watchdog` is none of it: it stands for both watchdogs, reads as what they are, and kernels before 6.10 lose
/// what each was set to when they are read while it is off (proc_watchdog_common, kernel/watchdog.c).
pub(super) static KNOBS: &[&'static dyn Knob] = &[
    &FileKnob {
        spec: KnobSpec {
            id: "sched.rt_runtime",
            doc: "How much of each second real-time threads may run before others get the CPU; -1 for all of it. Use -1 \
                  rather than 0, which kernels refuse while real-time threads run (EBUSY).",
            source: "Documentation/scheduler/sched-rt-group.rst, sched_rt_runtime_us",
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
            doc: "Whether idle CPUs hand their timers to busy ones. Off, a thread's timers fire on its own CPU, and no other's \
                  fire there.",
            source: "get_nohz_timer_target, kernel/sched/core.c; kernel/time/timer.c, timer_migration",
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
            kind: Kind::Integer { min: 100_000, max: 1_000_000_000, unit: "ns" },
            ..KnobSpec::RUNTIME
        },
        path: "/sys/kernel/debug/sched/base_slice_ns",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "sched.fair_server_runtime",
            doc: "How much of each second a CPU keeps for fair threads that real-time threads starve; 0 for none. Its timer \
                  keeps the tick on for real-time threads on CPUs that would do without.",
            source: "Documentation/scheduler/sched-deadline.rst; kernel/sched/debug.c, fair_server (6.12)",
            kind: Kind::Integer { min: 0, max: 1_000_000_000, unit: "ns" },
            scope: Scope::Cpu,
            risk: Risk::Medium("nothing helps fair threads that a real-time thread starves on this CPU"),
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
    &FileKnob {
        spec: KnobSpec {
            id: "sched.nmi_watchdog",
            doc: "Whether a counter interrupts each CPU every few seconds to see that it takes interrupts. It takes a hardware \
                  counter too. Without such counters it can only be off (EINVAL).",
            source: "Documentation/admin-guide/lockup-watchdogs.rst; sysctl/kernel.rst, nmi_watchdog",
            kind: Kind::Switch,
            risk: Risk::Medium("a CPU that hangs with interrupts off is not reported"),
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/nmi_watchdog",
        codec: Codec::Words("0", "1"),
    },
    &FileKnob {
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
    },
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
            doc: "After how long a CPU counts as hung; its checks come five times as often. 0 turns both watchdogs off.",
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
            doc: "Whether functions can be traced. Off, no tracer can make the kernel patch its code under a running thread, \
                  which interrupts every CPU; what traces functions sees nothing.",
            source: "Documentation/trace/ftrace.rst, kernel.ftrace_enabled",
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
