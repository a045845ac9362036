//! Rate control: how the budget for sampling is divided among probes and CPUs. Pure: measurements in, allowances out.
//!
//! The limit itself acts in the kernel, on each CPU and within one window of some 34 ms (`quell_ebpf_common::pace`). Here
//! is decided, ten times a second, what each CPU may spend on each probe: every probe has an equal part of the budget
//! and what others leave, and within it every CPU in the same way.

use quell_ebpf_common::pace::WINDOW_SHIFT;

use crate::units::{CpuId, Nanos};

/// What is left for sampling however much counting costs, as a part of the budget.
pub const LEAST_PART: f64 = 0.15;

/// What a CPU whose sampling is not slowed down may use, for each share that it does use: it can double before the next
/// division.
const RESERVE: f64 = 2.0;

/// What sampling has cost one probe on one CPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// The CPU.
    pub cpu: CpuId,
    /// The probe, by its number.
    pub probe: u16,
    /// As a share of one CPU, since the last division.
    pub share: f64,
    /// Whether it was slowed down.
    pub limited: bool,
}

/// What sampling may cost a probe on a CPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// The CPU.
    pub cpu: CpuId,
    /// The probe, by its number.
    pub probe: u16,
    /// In each window.
    pub nanos: u64,
}

/// Divides a budget, as a share of one CPU, of which counting takes `counting`, among the probes and CPUs of `spent`.
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
            let nanos = (share * (1u64 << WINDOW_SHIFT) as f64) as u64;
            allowances.push(Allowance { cpu: cell.cpu, probe: *probe, nanos });
        }
    }
    allowances
}

/// What a cell would use if it could.
fn demand(cell: &Spent) -> f64 {
    if cell.limited { f64::INFINITY } else { cell.share * RESERVE }
}

/// Divides `total` so that nobody gets more than it demands as long as another gets less than an equal part; what nobody
/// demands is divided equally.
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

/// A budget that counting alone exceeds, and the next larger one that does not, both as shares of one CPU.
#[must_use]
pub fn sufficient_budget(budget: f64, counting: f64) -> Option<f64> {
    // In tenths of a percent.
    (counting > budget).then(|| (counting * 1.25 * 1_000.0).ceil() / 1_000.0)
}

/// What a count of events has cost, as a share of one CPU over `elapsed`, when each took `mean` nanoseconds.
#[must_use]
pub fn share(events: u64, mean: f64, elapsed: Nanos) -> f64 {
    events as f64 * mean / elapsed.0.max(1) as f64
}

#[cfg(test)]
mod tests {
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
    fn a_budget_that_counting_exceeds_is_told_with_one_that_suffices() {
        assert_eq!(sufficient_budget(0.01, 0.009), None);
        let sufficient = sufficient_budget(0.01, 0.02).expect("it exceeds");
        assert!(sufficient > 0.02 && sufficient < 0.03, "{sufficient}");
        assert_eq!(sufficient_budget(sufficient, 0.02), None);
    }
}
