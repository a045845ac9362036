//! CPU frequencies, idle states and SMT.

mod boost;
mod boost_limits;
mod dma_latency;
mod frequency;
mod idle_states;
mod platform_profile;
mod smt;

use crate::tune::knob::file_knob::FileKnob;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::spec::{KnobSpec, RetainedBy, Risk};
use crate::tune::knob::value_file::{Codec, ValueFile};
use crate::tune::value::{Scope, ValueKind};

pub(crate) use smt::SMT_ID;

/// The knobs of this family.
pub(super) static KNOBS: &[&'static dyn Knob] = &[
    &smt::Smt,
    &boost::Boost,
    &FileKnob {
        spec: KnobSpec {
            id: "cpu.governor",
            doc: "The cpufreq governor, which selects the frequency. `performance` keeps the highest one, without ramp-up after idle. CPUs \
                  of one frequency domain change together.",
            source: "Documentation/admin-guide/pm/cpufreq.rst",
            kind: ValueKind::Word(&["performance", "powersave", "schedutil", "ondemand", "conservative", "userspace"]),
            scope: Scope::Cpu,
            ..KnobSpec::RUNTIME
        },
        file: ValueFile {
            path: "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor",
            codec: Codec::OneOf("/sys/devices/system/cpu/cpu{}/cpufreq/scaling_available_governors"),
        },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "cpu.epp",
            doc: "The energy performance preference: a hint to CPUs that select their frequency themselves (HWP, CPPC). With the governor \
                  `performance` the kernel accepts only `performance` (EBUSY).",
            source: "Documentation/admin-guide/pm/intel_pstate.rst; amd-pstate.rst (6.3)",
            kind: ValueKind::Word(&["performance", "balance_performance", "balance_power", "power", "default"]),
            scope: Scope::Cpu,
            retained_by: RetainedBy::Hardware,
            ..KnobSpec::RUNTIME
        },
        file: ValueFile {
            path: "/sys/devices/system/cpu/cpu{}/cpufreq/energy_performance_preference",
            codec: Codec::OneOf("/sys/devices/system/cpu/cpu{}/cpufreq/energy_performance_available_preferences"),
        },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "cpu.energy_perf_bias",
            doc: "The energy performance bias: 0 favours performance, 15 favours saving energy.",
            source: "Documentation/admin-guide/pm/intel_epb.rst",
            kind: ValueKind::Integer { min: 0, max: 15, unit: "" },
            scope: Scope::Cpu,
            retained_by: RetainedBy::Hardware,
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/sys/devices/system/cpu/cpu{}/power/energy_perf_bias", codec: Codec::Plain },
    },
    &platform_profile::PLATFORM_PROFILE,
    &frequency::FREQUENCY,
    &frequency::PERFORMANCE_PCT,
    &frequency::UNCORE,
    &FileKnob {
        spec: KnobSpec {
            id: "cpu.resume_latency",
            doc: "The maximum latency of leaving an idle state, per CPU: deeper states are not entered. 0 allows only polling (on x86), \
                  2147483647 allows all states. Unlike `cpu.dma_latency`, no process needs to hold it.",
            source: "Documentation/ABI/testing/sysfs-devices-power, pm_qos_resume_latency_us; drivers/cpuidle/governor.c",
            kind: ValueKind::Integer { min: 0, max: i32::MAX as i64, unit: "us" },
            scope: Scope::Cpu,
            risk: Risk::Medium("polling uses power that other CPUs could use for boost"),
            ..KnobSpec::RUNTIME
        },
        file: ValueFile {
            path: "/sys/devices/system/cpu/cpu{}/power/pm_qos_resume_latency_us",
            codec: Codec::ResumeLatency,
        },
    },
    &idle_states::DisabledStates,
    &dma_latency::DmaLatency,
];
