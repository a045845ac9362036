//! Takes steal time out of samples.
//!
//! A sample stands for the time since the last interrupt of its CPU if the thread has run all the while. That is the sampling interval,
//! and longer if an interrupt came late or not at all: because the hypervisor did not run the CPU, but also because interrupts were
//! disabled or the kernel throttled them. So at most the time beyond the interval was stolen.

use hashbrown::HashMap;

use crate::recording::{MetricId, Sample, StealTime};
use crate::units::{CpuId, Nanos};

/// Takes the steal time of each CPU and period out of the samples that stand for more than `interval`, in proportion to the rest.
pub(super) fn take_out(samples: &mut [Sample], metric: MetricId, interval: Nanos, stolen: &[StealTime]) {
    let mut periods: HashMap<CpuId, Vec<(StealTime, u64)>> = HashMap::new();
    for time in stolen {
        periods.entry(time.cpu).or_default().push((*time, 0));
    }
    periods.values_mut().for_each(|of_cpu| of_cpu.sort_by_key(|(time, _)| time.from));
    let find = |periods: &HashMap<CpuId, Vec<(StealTime, u64)>>, sample: &Sample| {
        if sample.metric != metric || sample.value <= interval.0 {
            return None;
        }
        let of_cpu = periods.get(&sample.cpu)?;
        let row = of_cpu.partition_point(|(time, _)| time.from <= sample.time).checked_sub(1)?;
        (sample.time < of_cpu[row].0.until).then_some(row)
    };
    for sample in samples.iter() {
        if let Some(row) = find(&periods, sample)
            && let Some(of_cpu) = periods.get_mut(&sample.cpu)
        {
            of_cpu[row].1 += sample.value - interval.0;
        }
    }
    for sample in samples {
        if let Some(row) = find(&periods, sample) {
            let (time, beyond) = periods[&sample.cpu][row];
            let share = time.time.0.min(beyond) as f64 / beyond as f64;
            sample.value -= ((sample.value - interval.0) as f64 * share) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::ThreadIdx;

    const MS: u64 = 1_000_000;
    const CPU: MetricId = MetricId(0);

    fn sample(metric: MetricId, cpu: u32, at: u64, value: u64) -> Sample {
        Sample { cpu: CpuId(cpu), ..Sample::new(metric, ThreadIdx::new(0), Nanos(at * MS), value * MS) }
    }

    fn stolen(cpu: u32, from: u64, until: u64, time: u64) -> StealTime {
        StealTime { cpu: CpuId(cpu), from: Nanos(from * MS), until: Nanos(until * MS), time: Nanos(time * MS) }
    }

    fn values(mut samples: Vec<Sample>, stolen: &[StealTime]) -> Vec<u64> {
        take_out(&mut samples, CPU, Nanos(10 * MS), stolen);
        samples.iter().map(|sample| sample.value / MS).collect()
    }

    #[test]
    fn what_was_stolen_is_taken_out_of_late_samples_of_its_cpu_and_period() {
        let samples = vec![
            sample(CPU, 0, 10, 10),
            sample(CPU, 0, 40, 30),
            sample(CPU, 0, 80, 40),
            sample(CPU, 1, 80, 40),
            sample(MetricId(1), 0, 80, 40),
            sample(CPU, 0, 1_080, 40),
        ];
        assert_eq!(values(samples, &[stolen(0, 0, 1_000, 25)]), [10, 20, 25, 40, 40, 40]);
    }

    #[test]
    fn no_sample_loses_its_interval_to_steal_time() {
        // The CPU was idle, or the thread new, when the rest was stolen.
        assert_eq!(values(vec![sample(CPU, 0, 40, 30)], &[stolen(0, 0, 1_000, 900)]), [10]);
    }
}
