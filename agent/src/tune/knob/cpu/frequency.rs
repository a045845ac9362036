//! Frequency ranges of CPUs and of the uncore.

use std::time::Duration;

use crate::host::Host;
use crate::tune::knob::range_knob::{HardwareLimits, RangeKnob, Steps};
use crate::tune::knob::spec::{KnobSpec, RetainedBy};
use crate::tune::knob::value_file::path_for;
use crate::tune::value::{KnobTarget, Scope, ValueKind};
use crate::units::CpuId;

const CPUFREQ: &str = "/sys/devices/system/cpu/cpu{}/cpufreq";

pub(super) static FREQUENCY: RangeKnob = RangeKnob {
    spec: KnobSpec {
        id: "cpu.frequency",
        doc: "The frequency range of a CPU. `max max` keeps it at the highest frequency; the hardware may still go lower to limit heat \
              or power.",
        source: "Documentation/admin-guide/pm/cpufreq.rst, scaling_min_freq and scaling_max_freq",
        kind: ValueKind::Range { unit: "kHz" },
        scope: Scope::Cpu,
        ..KnobSpec::RUNTIME
    },
    low: "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_min_freq",
    high: "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_max_freq",
    target_directory: None,
    // The write sets a request, and a worker applies it (cpufreq_notifier_min, drivers/cpufreq/cpufreq.c).
    delay: Duration::from_millis(100),
    limits: |host, target| {
        let directory = path_for(CPUFREQ, target);
        let file = |name: &str| number(host, &format!("{directory}/{name}"));
        let (min, max) = (file("cpuinfo_min_freq")?, file("cpuinfo_max_freq")?);
        // Drivers without a table support any frequency in between.
        let table = host.root.read(&format!("{directory}/scaling_available_frequencies")).unwrap_or_default();
        let mut table: Vec<i64> = table.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        table.sort_unstable();
        let steps = if table.is_empty() { Steps::Any } else { Steps::Table(table) };
        Some(HardwareLimits { min, max, steps, tolerance: 0 })
    },
};

pub(super) static PERFORMANCE_PCT: RangeKnob = RangeKnob {
    spec: KnobSpec {
        id: "cpu.performance_pct",
        doc: "The frequency range of all CPUs with intel_pstate, as shares of the highest turbo frequency. `max max` is the equivalent of \
              min_perf_pct=100 in tuned.",
        source: "Documentation/admin-guide/pm/intel_pstate.rst, min_perf_pct and max_perf_pct",
        kind: ValueKind::Range { unit: "%" },
        ..KnobSpec::RUNTIME
    },
    low: "/sys/devices/system/cpu/intel_pstate/min_perf_pct",
    high: "/sys/devices/system/cpu/intel_pstate/max_perf_pct",
    target_directory: None,
    delay: Duration::ZERO,
    limits: |host, _| {
        // min_perf_pct_min, drivers/cpufreq/intel_pstate.c: the kernel computes the minimum for the first CPU from ratios,
        // which have steps of about 100 MHz. The result that is computed here from frequencies may differ by one.
        let first = host.topology.online().iter().next().unwrap_or(CpuId(0));
        let directory = path_for(CPUFREQ, &KnobTarget::Cpu(first));
        let file = |name: &str| number(host, &format!("{directory}/{name}"));
        let min = file("cpuinfo_min_freq")? * 100 / file("cpuinfo_max_freq")?.max(1);
        Some(HardwareLimits { min, max: 100, steps: Steps::Any, tolerance: 1 })
    },
};

const UNCORES: &str = "/sys/devices/system/cpu/intel_uncore_frequency";

pub(super) static UNCORE: RangeKnob = RangeKnob {
    spec: KnobSpec {
        id: "cpu.uncore_frequency",
        doc: "The frequency range of the mesh, last-level cache and memory controllers of a die. By default they slow down when few \
              cores are busy, which increases memory latency. If a die has clusters, the clusters are set.",
        source: "Documentation/admin-guide/pm/intel_uncore_frequency_scaling.rst (5.6)",
        kind: ValueKind::Range { unit: "kHz" },
        scope: Scope::Each("die"),
        retained_by: RetainedBy::Hardware,
        ..KnobSpec::RUNTIME
    },
    low: "/sys/devices/system/cpu/intel_uncore_frequency/{}/min_freq_khz",
    high: "/sys/devices/system/cpu/intel_uncore_frequency/{}/max_freq_khz",
    target_directory: Some(UNCORES),
    delay: Duration::ZERO,
    limits: |host, target| {
        let file = |name: &str| number(host, &path_for(&format!("{UNCORES}/{{}}/{name}"), target));
        let (min, max) = (file("initial_min_freq_khz")?, file("initial_max_freq_khz")?);
        // UNCORE_FREQ_KHZ_MULTIPLIER, drivers/platform/x86/intel/uncore-frequency/uncore-frequency.c: the remainder is dropped.
        Some(HardwareLimits { min, max, steps: Steps::Of(100_000), tolerance: 0 })
    },
};

fn number(host: &Host, file: &str) -> Option<i64> {
    host.root.read(file).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;
    use crate::tune::knob::knob::Knob as _;

    /// The targets of a host whose uncore directories have these names.
    fn uncore(names: &[&str]) -> Vec<KnobTarget> {
        let files: Vec<String> = names.iter().map(|name| format!("{UNCORES}/{name}/min_freq_khz")).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|file| (file.as_str(), "800000\n")).collect();
        UNCORE.targets(&fake::host(&files).1)
    }

    #[test]
    fn clusters_are_set_instead_of_the_die_that_contains_them() {
        let names =
            |names: &[&str]| -> Vec<KnobTarget> { names.iter().map(|name| KnobTarget::Name((*name).into())).collect() };
        let dies = ["package_00_die_00", "package_01_die_00"];
        assert_eq!(uncore(&dies), names(&dies));
        assert_eq!(uncore(&["package_00_die_00", "uncore00", "uncore01"]), names(&["uncore00", "uncore01"]));
    }

    #[test]
    fn frequencies_are_set_and_restored() {
        let file = |name: &str| format!("{}/{name}", path_for(CPUFREQ, &KnobTarget::Cpu(CpuId(1))));
        let (_folder, host) = fake::host(&[
            (&file("cpuinfo_min_freq"), "800000\n"),
            (&file("cpuinfo_max_freq"), "3000000\n"),
            (&file("scaling_min_freq"), "800000\n"),
            (&file("scaling_max_freq"), "2000000\n"),
        ]);
        for desired in ["max max", "min 1000000", "900000 950000"] {
            fake::round_trip(&FREQUENCY, &host, &KnobTarget::Cpu(CpuId(1)), desired);
        }
    }

    #[test]
    fn a_frequency_policy_without_an_online_cpu_is_absent() {
        use crate::tune::knob::reading::Reading;

        let (folder, host) = fake::host(&[("/sys/devices/system/cpu/cpu3/online", "0\n")]);
        let absent = FREQUENCY.read(&host, &KnobTarget::Cpu(CpuId(3)));
        assert_eq!(absent.expect("no error"), Reading::Absent("CPU 3 is offline".to_owned()));
        fake::put(folder.path(), "/sys/devices/system/cpu/cpu3/online", "1\n");
        let governor = crate::tune::knob::cpu::KNOBS.iter().find(|knob| knob.spec().id == "cpu.governor");
        let governor = governor.expect("the knob");
        assert!(
            matches!(governor.read(&host, &KnobTarget::Cpu(CpuId(3))), Ok(Reading::Absent(why)) if why.contains("does not exist"))
        );
    }
}
