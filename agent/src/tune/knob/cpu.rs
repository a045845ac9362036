//! How fast CPUs run, how deep they sleep, and which of them there are.

mod boost;
mod dma_latency;
mod frequency;
mod idle;
mod limits;
mod platform_profile;
mod smt;

use super::{Codec, FileKnob, KeptBy, Knob, KnobSpec, Risk};
use crate::tune::{Kind, Scope};

/// The family.
pub(super) static KNOBS: &[&'static dyn Knob] = &[
    &smt::Smt,
    &boost::Boost,
    &FileKnob {
        spec: KnobSpec {
            id: "cpu.governor",
            doc: "Who chooses the frequency. `performance` keeps the highest: no ramp-up after idling. CPUs that share a \
                  frequency domain change together.",
            source: "Documentation/admin-guide/pm/cpufreq.rst",
            kind: Kind::Word(&["performance", "powersave", "schedutil", "ondemand", "conservative", "userspace"]),
            scope: Scope::Cpu,
            ..KnobSpec::RUNTIME
        },
        path: "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor",
        codec: Codec::OneOf("/sys/devices/system/cpu/cpu{}/cpufreq/scaling_available_governors"),
    },
    &FileKnob {
        spec: KnobSpec {
            id: "cpu.epp",
            doc: "The hint to a CPU that chooses its frequency itself (HWP, CPPC): speed or energy. Under the governor \
                  `performance` the kernel takes nothing but `performance` (EBUSY).",
            source: "Documentation/admin-guide/pm/intel_pstate.rst; amd-pstate.rst (6.3)",
            kind: Kind::Word(&["performance", "balance_performance", "balance_power", "power", "default"]),
            scope: Scope::Cpu,
            kept_by: KeptBy::Hardware,
            ..KnobSpec::RUNTIME
        },
        path: "/sys/devices/system/cpu/cpu{}/cpufreq/energy_performance_preference",
        codec: Codec::OneOf("/sys/devices/system/cpu/cpu{}/cpufreq/energy_performance_available_preferences"),
    },
    &FileKnob {
        spec: KnobSpec {
            id: "cpu.energy_perf_bias",
            doc: "How much speed a CPU may give up to save energy: 0 for none, 15 for most.",
            source: "Documentation/admin-guide/pm/intel_epb.rst",
            kind: Kind::Integer { min: 0, max: 15, unit: "" },
            scope: Scope::Cpu,
            kept_by: KeptBy::Hardware,
            ..KnobSpec::RUNTIME
        },
        path: "/sys/devices/system/cpu/cpu{}/power/energy_perf_bias",
        codec: Codec::Plain,
    },
    &platform_profile::PLATFORM_PROFILE,
    &frequency::FREQUENCY,
    &frequency::PERFORMANCE_PCT,
    &frequency::UNCORE,
    &FileKnob {
        spec: KnobSpec {
            id: "cpu.resume_latency",
            doc: "The longest that one CPU may take to leave an idle state: deeper states are not entered. 0 allows none but \
                  polling (on x86), 2147483647 allows all. It needs no process that holds it, unlike `cpu.dma_latency`.",
            source: "Documentation/ABI/testing/sysfs-devices-power, pm_qos_resume_latency_us; drivers/cpuidle/governor.c",
            kind: Kind::Integer { min: 0, max: i32::MAX as i64, unit: "us" },
            scope: Scope::Cpu,
            risk: Risk::Medium("a CPU that polls takes the power, and the boost, of its neighbours"),
            ..KnobSpec::RUNTIME
        },
        path: "/sys/devices/system/cpu/cpu{}/power/pm_qos_resume_latency_us",
        codec: Codec::ResumeLatency,
    },
    &idle::Disabled,
    &dma_latency::DmaLatency,
];
