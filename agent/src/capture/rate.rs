//! Rate control: divides the budget for sampling among probes and CPUs. Pure functions from measurements to allowances.
//!
//! The limit is enforced in the kernel, on each CPU, over windows of about 34 ms (`quell_ebpf_common::pace`). This
//! module computes, ten times a second, the allowance of each probe on each CPU: the budget is divided equally among the
//! probes, and the share of a probe equally among the CPUs. Unused shares are given to the others.

use quell_ebpf_common::pace::WINDOW_SHIFT;

use crate::probe::ProbeSpec;
use crate::units::{CpuId, CpuSet, Nanos};

/// The minimum part of the budget for sampling, even if counting costs more than the rest.
pub const LEAST_PART: f64 = 0.15;

/// The allowance of a CPU at the full sampling rate, relative to its current cost: the cost can double until the next
/// division.
const RESERVE: f64 = 2.0;

/// The least allowance, in nanoseconds per window: with none at all, the scale of an idle CPU could only fall.
const LEAST_NANOS: u64 = 512;

/// The cost of sampling for a probe on a CPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// The CPU of the samples.
    pub cpu: CpuId,
    /// The number of the probe.
    pub probe: u16,
    /// The cost since the last division, as a share of one CPU.
    pub share: f64,
    /// Whether sampling was below the full rate.
    pub limited: bool,
}

/// The allowance for samples of a probe on a CPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// The CPU of the samples.
    pub cpu: CpuId,
    /// The number of the probe.
    pub probe: u16,
    /// The maximum cost of samples in each window.
    pub nanos: u64,
}

/// The numbers of the probes that sample, among which the budget is divided.
#[must_use]
pub fn limited_probes(probes: impl Iterator<Item = &'static ProbeSpec>) -> Vec<u16> {
    probes.filter(|spec| spec.samples).map(|spec| spec.number).collect()
}

/// Divides `budget` without the cost `counting`, both as shares of one CPU, among the probes and CPUs of `spent`.
#[must_use]
pub fn divide(budget: f64, counting: f64, spent: &[Spent]) -> Vec<Allowance> {
    let available = (budget - counting).max(budget * LEAST_PART);
    let mut probes: Vec<u16> = spent.iter().map(|cell| cell.probe).collect();
    probes.sort_unstable();
    probes.dedup();
    let of_probe = |probe: u16| spent.iter().filter(move |cell| cell.probe == probe);
    let demands: Vec<f64> = probes.iter().map(|probe| of_probe(*probe).map(demand).sum()).collect();
    let mut allowances = Vec::with_capacity(spent.len());
    for (probe, share) in probes.iter().zip(fair_shares(available, &demands)) {
        let cpus: Vec<&Spent> = of_probe(*probe).collect();
        let demands: Vec<f64> = cpus.iter().map(|cell| demand(cell)).collect();
        for (cell, share) in cpus.iter().zip(fair_shares(share, &demands)) {
            let nanos = ((share * (1u64 << WINDOW_SHIFT) as f64) as u64).max(LEAST_NANOS);
            allowances.push(Allowance { cpu: cell.cpu, probe: *probe, nanos });
        }
    }
    allowances
}

/// The allowances until the cost of counting is known: [`LEAST_PART`] of the budget in equal parts. On a host whose CPUs are all busy,
/// a second can pass before quell runs and divides the rest.
#[must_use]
pub fn divide_at_start(budget: f64, cpus: &CpuSet, probes: &[u16]) -> Vec<Allowance> {
    let cells = cpus
        .iter()
        .flat_map(|cpu| probes.iter().map(move |probe| Spent { cpu, probe: *probe, share: 0.0, limited: true }));
    divide(budget, budget, &cells.collect::<Vec<_>>())
}

/// The demand of a probe on a CPU.
fn demand(cell: &Spent) -> f64 {
    if cell.limited { f64::INFINITY } else { cell.share * RESERVE }
}

/// Divides `total` equally, up to the demand of each. What remains is given to those that demand more; if all demands are met, the
/// rest is divided equally.
fn fair_shares(total: f64, demands: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..demands.len()).collect();
    order.sort_by(|a, b| demands[*a].total_cmp(&demands[*b]));
    let mut shares = vec![0.0; demands.len()];
    let mut left = total;
    for (place, index) in order.iter().enumerate() {
        let share = demands[*index].min(left / (demands.len() - place) as f64);
        shares[*index] = share;
        left -= share;
    }
    let each = left / demands.len().max(1) as f64;
    shares.iter().map(|share| share + each).collect()
}

/// A sufficient budget, if counting alone exceeds `budget`; otherwise `None`. Shares of one CPU.
#[must_use]
pub fn sufficient_budget(budget: f64, counting: f64) -> Option<f64> {
    // Rounded up to tenths of a percent.
    (counting > budget).then(|| (counting * 1.25 * 1_000.0).ceil() / 1_000.0)
}

/// The cost of `events` with a mean duration of `mean` nanoseconds, as a share of one CPU over `elapsed`.
#[must_use]
pub fn share(events: u64, mean: f64, elapsed: Nanos) -> f64 {
    events as f64 * mean / elapsed.0.max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn cell(cpu: u32, probe: u16, share: f64, limited: bool) -> Spent {
        Spent { cpu: CpuId(cpu), probe, share, limited }
    }

    /// Shares of one CPU, in percent.
    fn divided(budget: f64, counting: f64, spent: &[Spent]) -> Vec<f64> {
        let window = (1u64 << WINDOW_SHIFT) as f64;
        divide(budget / 100.0, counting / 100.0, spent).iter().map(|cell| 100.0 * cell.nanos as f64 / window).collect()
    }

    #[track_caller]
    fn assert_shares(actual: &[f64], expected: &[f64]) {
        assert_eq!(actual.len(), expected.len());
        for (one, other) in actual.iter().zip(expected) {
            assert!((one - other).abs() < 0.002, "{actual:?}, expected {expected:?}");
        }
    }

    #[test]
    fn a_budget_is_divided_whole_whatever_is_demanded() {
        for limited in [true, false] {
            let spent: Vec<Spent> =
                (0..4).flat_map(|cpu| [cell(cpu, 1, 0.0005, false), cell(cpu, 2, 0.0005, limited)]).collect();
            let sum: f64 = divided(1.0, 0.2, &spent).iter().sum();
            assert!((sum - 0.8).abs() < 0.01, "{sum}");
        }
    }

    #[test]
    fn a_probe_has_an_equal_part_and_what_others_leave() {
        let spent = [cell(0, 1, 0.0005, false), cell(0, 2, 0.009, true)];
        assert_shares(&divided(1.0, 0.0, &spent), &[0.1, 0.9]);
        let spent = [cell(0, 1, 0.02, true), cell(0, 2, 0.009, true)];
        assert_shares(&divided(1.0, 0.0, &spent), &[0.5, 0.5]);
    }

    /// A probe that no other code knows.
    const LOCKS: ProbeSpec = ProbeSpec {
        name: "test.locks",
        number: 9,
        label: "Locks",
        doc: "time in locks",
        events: &[],
        hooks: &[],
        kernel: "5.10",
        cost: "nothing",
        samples: true,
        fields: &[],
        maps: &[],
        metrics: &[],
    };
    const COUNTS: ProbeSpec = ProbeSpec { number: 10, samples: false, ..LOCKS };

    #[test]
    fn any_probe_that_samples_has_its_part_and_one_that_counts_has_none() {
        let shipped = crate::probe::PROBES.iter().map(|probe| probe.spec());
        let numbers = limited_probes(shipped.chain([&LOCKS, &COUNTS]));
        assert!(numbers.contains(&LOCKS.number) && !numbers.contains(&COUNTS.number), "{numbers:?}");
        let spent: Vec<Spent> = numbers.iter().map(|number| cell(0, *number, 0.02, true)).collect();
        let equal = 1.0 / numbers.len() as f64;
        assert_shares(&divided(1.0, 0.0, &spent), &vec![equal; numbers.len()]);
    }

    #[test]
    fn a_busy_cpu_has_what_idle_ones_leave() {
        let spent = [cell(0, 1, 0.0, false), cell(1, 1, 0.003, true), cell(2, 1, 0.0005, false)];
        assert_shares(&divided(1.0, 0.0, &spent), &[0.0, 0.9, 0.1]);
    }

    #[test]
    fn counting_leaves_a_part_of_the_budget_however_much_it_costs() {
        let spent = [cell(0, 1, 0.02, true)];
        assert_shares(&divided(1.0, 0.6, &spent), &[0.4]);
        assert_shares(&divided(1.0, 3.0, &spent), &[0.15]);
    }

    #[test]
    fn until_counting_is_known_only_the_least_part_is_divided() {
        let cpus: CpuSet = [CpuId(0), CpuId(2)].into_iter().collect();
        let window = (1u64 << WINDOW_SHIFT) as f64;
        let allowances = divide_at_start(0.01, &cpus, &[1, 2]);
        assert_eq!(
            allowances.iter().map(|cell| (cell.cpu, cell.probe)).collect::<BTreeSet<_>>(),
            BTreeSet::from([(CpuId(0), 1), (CpuId(0), 2), (CpuId(2), 1), (CpuId(2), 2)])
        );
        for cell in allowances {
            assert!((cell.nanos as f64 / window - 0.01 * 0.15 / 4.0).abs() < 1e-6, "{cell:?}");
        }
    }

    #[test]
    fn a_budget_that_counting_exceeds_is_told_with_one_that_suffices() {
        assert_eq!(sufficient_budget(0.01, 0.009), None);
        let sufficient = sufficient_budget(0.01, 0.02).expect("it exceeds");
        assert!(sufficient > 0.02 && sufficient < 0.03, "{sufficient}");
        assert_eq!(sufficient_budget(sufficient, 0.02), None);
    }
}
