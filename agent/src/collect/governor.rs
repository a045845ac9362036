//! Keeping what the probes cost below a budget, by sampling less. Pure: measurements in, rates out.

use quell_ebpf_common::{CERTAIN, LEAST_ODDS, Rates as AbiRates};

use crate::units::Nanos;

/// Sampling intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplingRates {
    /// Time between two CPU samples on a CPU.
    pub cpu_interval: Nanos,
    /// Mean time off CPU between two off-CPU samples of a thread; zero samples every sleep, and is not governed.
    pub offcpu_interval: Nanos,
}

/// The off-CPU interval without a governor: a sleep that is expected to last this long or longer is always sampled.
pub const OFFCPU_INTERVAL: Nanos = Nanos(1_000_000);

/// As far as the governor goes: one CPU sample a second, one off-CPU sample for each 256 ms off CPU.
const SLOWEST: SamplingRates = SamplingRates { cpu_interval: Nanos::SECOND, offcpu_interval: Nanos(256_000_000) };

impl SamplingRates {
    /// As the programs want them.
    #[must_use]
    pub fn to_abi(self) -> AbiRates {
        let (odds_per_nano, least_odds) = match self.offcpu_interval.0 {
            0 => (CERTAIN, CERTAIN),
            interval => {
                let odds = u32::try_from((1u64 << 32) / interval).unwrap_or(CERTAIN).max(1);
                (odds, LEAST_ODDS)
            }
        };
        AbiRates { odds_per_nano, least_odds, cpu_interval: self.cpu_interval.0 }
    }
}

/// What to do after a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The rates stay.
    Keep,
    /// These from now on.
    Change(SamplingRates),
    /// The rates are at their lowest and the cost is still above the budget.
    OverBudget,
}

/// What the probes were measured to cost, each as a share of one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProbeShares {
    /// CPU sampling.
    pub cpu: f64,
    /// Off-CPU.
    pub offcpu: f64,
}

/// Adapts rates to a budget.
///
/// Each probe may use half of it, and what the other leaves: a host that switches a lot loses no CPU samples for it.
#[derive(Clone, Copy, Debug)]
pub struct Governor {
    budget: f64,
    asked: SamplingRates,
    rates: SamplingRates,
}

impl Governor {
    /// `budget` is a share of one CPU; `asked` are the rates to have where it allows.
    #[must_use]
    pub fn new(budget: f64, asked: SamplingRates) -> Self {
        Self { budget, asked, rates: asked }
    }

    /// Takes a measured cost.
    pub fn step(&mut self, cost: ProbeShares) -> Step {
        let allowed = |other: f64| (self.budget / 2.0).max(self.budget - other);
        let next = SamplingRates {
            cpu_interval: adapted(
                self.rates.cpu_interval,
                cost.cpu / allowed(cost.offcpu),
                (self.asked.cpu_interval, SLOWEST.cpu_interval),
            ),
            offcpu_interval: adapted(
                self.rates.offcpu_interval,
                cost.offcpu / allowed(cost.cpu),
                (self.asked.offcpu_interval, SLOWEST.offcpu_interval),
            ),
        };
        if next != self.rates {
            self.rates = next;
            return Step::Change(next);
        }
        if cost.cpu + cost.offcpu > self.budget { Step::OverBudget } else { Step::Keep }
    }
}

/// The interval for a cost of `load` times what is allowed, within bounds. Near the budget nothing moves, so that the rates
/// do not swing.
fn adapted(now: Nanos, load: f64, (shortest, longest): (Nanos, Nanos)) -> Nanos {
    let scale = match load {
        load if load > 1.0 => load.clamp(1.25, 4.0),
        load if load < 0.6 => 0.8,
        _ => return now,
    };
    let next = Nanos((now.0 as f64 * scale) as u64);
    next.clamp(shortest, longest.max(shortest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: SamplingRates = SamplingRates { cpu_interval: Nanos(10_101_010), offcpu_interval: OFFCPU_INTERVAL };

    fn both(each: f64) -> ProbeShares {
        ProbeShares { cpu: each, offcpu: each }
    }

    #[test]
    fn a_probe_within_its_half_is_left_alone_whatever_the_other_costs() {
        let mut governor = Governor::new(0.01, ASKED);
        let Step::Change(rates) = governor.step(ProbeShares { cpu: 0.004, offcpu: 0.1 }) else { panic!("it acts") };
        assert_eq!(rates.cpu_interval, ASKED.cpu_interval);
        assert!(rates.offcpu_interval > ASKED.offcpu_interval);
    }

    #[test]
    fn a_cost_above_the_budget_lowers_the_rates_and_one_far_below_restores_them() {
        let mut governor = Governor::new(0.01, ASKED);
        let Step::Change(slower) = governor.step(both(0.01)) else { panic!("it acts") };
        assert!(slower.cpu_interval > ASKED.cpu_interval && slower.offcpu_interval > ASKED.offcpu_interval);
        let mut rates = slower;
        while let Step::Change(faster) = governor.step(both(0.0005)) {
            assert!(faster.cpu_interval < rates.cpu_interval);
            rates = faster;
        }
        assert_eq!(rates, ASKED);
    }

    #[test]
    fn a_cost_near_the_budget_changes_nothing() {
        let mut governor = Governor::new(0.01, ASKED);
        assert_eq!(governor.step(both(0.0049)), Step::Keep);
        assert_eq!(governor.step(both(0.0035)), Step::Keep);
    }

    #[test]
    fn a_budget_that_cannot_be_kept_is_said_so() {
        let mut governor = Governor::new(0.01, ASKED);
        let mut steps = 0;
        while let Step::Change(_) = governor.step(both(0.5)) {
            steps += 1;
        }
        assert!((2..20).contains(&steps), "{steps}");
        assert_eq!(governor.step(both(0.5)), Step::OverBudget);
    }

    #[test]
    fn the_odds_of_a_sleep_as_long_as_the_interval_are_certain() {
        for interval in [OFFCPU_INTERVAL, Nanos(64_000_000)] {
            let rates = SamplingRates { offcpu_interval: interval, ..ASKED }.to_abi();
            let odds = u64::from(rates.odds_per_nano) * interval.0;
            assert!(odds as f64 / (1u64 << 32) as f64 > 0.98, "{odds}");
            assert!(rates.least_odds > 0);
        }
    }
}
