//! From which frequency to which: of CPUs, and of what is around them.

use std::time::Duration;

use crate::host::Host;
use crate::tune::knob::file::path_of;
use crate::tune::knob::range::{Hardware, RangeKnob, Steps};
use crate::tune::knob::{KeptBy, KnobSpec};
use crate::tune::{Kind, Scope, Target};
use crate::units::CpuId;

const CPUFREQ: &str = "/sys/devices/system/cpu/cpu{}/cpufreq";

pub(super) static FREQUENCY: RangeKnob = RangeKnob {
    spec: KnobSpec {
        id: "cpu.frequency",
        doc: "From which frequency to which a CPU runs. `max max` keeps it at the highest; the hardware may still go lower for \
              heat or power.",
        source: "Documentation/admin-guide/pm/cpufreq.rst, scaling_min_freq and scaling_max_freq",
        kind: Kind::Range { unit: "kHz" },
        scope: Scope::Cpu,
        ..KnobSpec::RUNTIME
    },
    low: "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_min_freq",
    high: "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_max_freq",
    parts: None,
    // The write sets a request, and a worker the limit (cpufreq_notifier_min, drivers/cpufreq/cpufreq.c).
    lag: Duration::from_millis(100),
    hardware: |host, target| {
        let directory = path_of(CPUFREQ, target);
        let file = |name: &str| number(host, &format!("{directory}/{name}"));
        let (least, most) = (file("cpuinfo_min_freq")?, file("cpuinfo_max_freq")?);
        // Drivers without a table take any frequency in between.
        let table = host.root.read(&format!("{directory}/scaling_available_frequencies")).unwrap_or_default();
        let mut table: Vec<i64> = table.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        table.sort_unstable();
        let steps = if table.is_empty() { Steps::Any } else { Steps::Table(table) };
        Some(Hardware { least, most, steps, slack: 0 })
    },
};

pub(super) static PERFORMANCE_PCT: RangeKnob = RangeKnob {
    spec: KnobSpec {
        id: "cpu.performance_pct",
        doc: "From which share of the highest turbo frequency to which all CPUs run, under intel_pstate. `max max` is what \
              tuned's min_perf_pct=100 does.",
        source: "Documentation/admin-guide/pm/intel_pstate.rst, min_perf_pct and max_perf_pct",
        kind: Kind::Range { unit: "%" },
        ..KnobSpec::RUNTIME
    },
    low: "/sys/devices/system/cpu/intel_pstate/min_perf_pct",
    high: "/sys/devices/system/cpu/intel_pstate/max_perf_pct",
    parts: None,
    lag: Duration::ZERO,
    hardware: |host, _| {
        // min_perf_pct_min, drivers/cpufreq/intel_pstate.c: by the first CPU. It divides ratios, which have steps of about 100
        // MHz, where these are frequencies: one more or less.
        let first = host.topology.online().iter().next().unwrap_or(CpuId(0));
        let directory = path_of(CPUFREQ, &Target::Cpu(first));
        let file = |name: &str| number(host, &format!("{directory}/{name}"));
        let least = file("cpuinfo_min_freq")? * 100 / file("cpuinfo_max_freq")?.max(1);
        Some(Hardware { least, most: 100, steps: Steps::Any, slack: 1 })
    },
};

const UNCORES: &str = "/sys/devices/system/cpu/intel_uncore_frequency";

pub(super) static UNCORE: RangeKnob = RangeKnob {
    spec: KnobSpec {
        id: "cpu.uncore_frequency",
        doc: "From which frequency to which the mesh, last-level cache and memory controllers of a die run. Left alone they \
              slow down when few cores are busy, and memory latency grows. Where a die has clusters of its own, those are set.",
        source: "Documentation/admin-guide/pm/intel_uncore_frequency_scaling.rst (5.6)",
        kind: Kind::Range { unit: "kHz" },
        scope: Scope::Each("die"),
        kept_by: KeptBy::Hardware,
        ..KnobSpec::RUNTIME
    },
    low: "/sys/devices/system/cpu/intel_uncore_frequency/{}/min_freq_khz",
    high: "/sys/devices/system/cpu/intel_uncore_frequency/{}/max_freq_khz",
    parts: Some(UNCORES),
    lag: Duration::ZERO,
    hardware: |host, target| {
        let file = |name: &str| number(host, &path_of(&format!("{UNCORES}/{{}}/{name}"), target));
        let (least, most) = (file("initial_min_freq_khz")?, file("initial_max_freq_khz")?);
        // UNCORE_FREQ_KHZ_MULTIPLIER, drivers/platform/x86/intel/uncore-frequency/uncore-frequency.c: the rest is dropped.
        Some(Hardware { least, most, steps: Steps::Of(100_000), slack: 0 })
    },
};

fn number(host: &Host, file: &str) -> Option<i64> {
    host.root.read(file).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::{Knob as _, fake};

    /// A host with frequencies in some directories of the uncore.
    fn uncore(names: &[&str]) -> Vec<Target> {
        let files: Vec<String> = names.iter().map(|name| format!("{UNCORES}/{name}/min_freq_khz")).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|file| (file.as_str(), "800000\n")).collect();
        UNCORE.targets(&fake::host(&files).1)
    }

    #[test]
    fn clusters_are_set_and_not_the_die_that_they_are_part_of() {
        let names = |names: &[&str]| -> Vec<Target> { names.iter().map(|name| Target::Name((*name).into())).collect() };
        let dies = ["package_00_die_00", "package_01_die_00"];
        assert_eq!(uncore(&dies), names(&dies));
        assert_eq!(uncore(&["package_00_die_00", "uncore00", "uncore01"]), names(&["uncore00", "uncore01"]));
    }

    #[test]
    fn frequencies_are_set_and_put_back() {
        let file = |name: &str| format!("{}/{name}", path_of(CPUFREQ, &Target::Cpu(CpuId(1))));
        let (_folder, host) = fake::host(&[
            (&file("cpuinfo_min_freq"), "800000\n"),
            (&file("cpuinfo_max_freq"), "3000000\n"),
            (&file("scaling_min_freq"), "800000\n"),
            (&file("scaling_max_freq"), "2000000\n"),
        ]);
        for wanted in ["max max", "min 1000000", "900000 950000"] {
            fake::round_trip(&FREQUENCY, &host, &Target::Cpu(CpuId(1)), wanted);
        }
    }
}
