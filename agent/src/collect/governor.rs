//! Keeping what the probes cost below a budget, by sampling less. Pure: measurements in, rates out.

use quell_ebpf_common::{CERTAIN, LEAST_ODDS, Rates as AbiRates};

use crate::units::Nanos;

/// Sampling intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplingRates {
    /// Time between two CPU samples on a CPU.
    pub cpu_interval: Nanos,
    /// Mean time off CPU between two off-CPU samples of a thread; zero samples every sleep.
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
                let slowdown = (interval / OFFCPU_INTERVAL.0).max(1);
                (odds, u32::try_from(u64::from(LEAST_ODDS) / slowdown).unwrap_or(LEAST_ODDS).max(1))
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

/// Adapts rates to a budget.
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

    /// Takes a measured cost, as a share of one CPU.
    pub fn step(&mut self, cost: f64) -> Step {
        // Within these bounds nothing moves, so that the rates do not swing.
        let scale = if cost > self.budget {
            (cost / self.budget).clamp(1.25, 4.0)
        } else if cost < self.budget * 0.6 {
            0.8
        } else {
            return Step::Keep;
        };
        let scaled = |now: Nanos, asked: Nanos, slowest: Nanos| {
            // Every-event stays every-event until the budget is broken.
            let now = if now.0 == 0 && scale > 1.0 { OFFCPU_INTERVAL.0 / 4 } else { now.0 };
            let next = (now as f64 * scale) as u64;
            let next = Nanos(next.clamp(asked.0, slowest.0.max(asked.0)));
            if next.0 <= OFFCPU_INTERVAL.0 / 4 && asked.0 == 0 { Nanos(0) } else { next }
        };
        let next = SamplingRates {
            cpu_interval: scaled(self.rates.cpu_interval, self.asked.cpu_interval, SLOWEST.cpu_interval),
            offcpu_interval: scaled(self.rates.offcpu_interval, self.asked.offcpu_interval, SLOWEST.offcpu_interval),
        };
        if next == self.rates {
            return if scale > 1.0 { Step::OverBudget } else { Step::Keep };
        }
        self.rates = next;
        Step::Change(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: SamplingRates = SamplingRates { cpu_interval: Nanos(10_101_010), offcpu_interval: OFFCPU_INTERVAL };

    #[test]
    fn a_cost_above_the_budget_lowers_the_rates_and_one_far_below_restores_them() {
        let mut governor = Governor::new(0.01, ASKED);
        let Step::Change(slower) = governor.step(0.02) else { panic!("it acts") };
        assert!(slower.cpu_interval > ASKED.cpu_interval && slower.offcpu_interval > ASKED.offcpu_interval);
        let mut rates = slower;
        while let Step::Change(faster) = governor.step(0.001) {
            assert!(faster.cpu_interval < rates.cpu_interval);
            rates = faster;
        }
        assert_eq!(rates, ASKED);
    }

    #[test]
    fn a_cost_near_the_budget_changes_nothing() {
        let mut governor = Governor::new(0.01, ASKED);
        assert_eq!(governor.step(0.0095), Step::Keep);
        assert_eq!(governor.step(0.0065), Step::Keep);
    }

    #[test]
    fn a_budget_that_cannot_be_kept_is_said_so() {
        let mut governor = Governor::new(0.01, ASKED);
        let mut steps = 0;
        while let Step::Change(_) = governor.step(1.0) {
            steps += 1;
        }
        assert!((2..20).contains(&steps), "{steps}");
        assert_eq!(governor.step(1.0), Step::OverBudget);
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
