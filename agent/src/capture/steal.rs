//! Time that a hypervisor gave to other guests while a CPU of this one had work (steal time).
//!
//! The kernel leaves it out of the time of a thread (`update_rq_clock_task`, kernel/sched/core.c), but the time between two sampling
//! interrupts contains it.

use std::fs;

use crate::host;
use crate::recording::StealTime;
use crate::units::{CpuId, Nanos};

/// How often the counters of the kernel are read. Reading them takes up to a millisecond on a host with many interrupts.
const INTERVAL: Nanos = Nanos::SECOND;

/// A tick of `/proc/stat` (`USER_HZ`, 100 on every architecture that quell is built for).
const TICK: u64 = 10_000_000;

/// Measures steal time by CPU. On a host without a hypervisor it does nothing.
#[derive(Debug)]
pub(super) struct StealMeter {
    is_guest: bool,
    read_at: Nanos,
    /// The counters at that time, in ticks.
    before: Vec<(CpuId, u64)>,
}

impl StealMeter {
    /// A meter that begins at `now`.
    pub(super) fn new(now: Nanos) -> Self {
        let is_guest = host::is_virtual_machine();
        Self { is_guest, read_at: now, before: if is_guest { read() } else { Vec::new() } }
    }

    /// Adds the steal time since the last reading to `stolen`, if it is time to read.
    pub(super) fn update(&mut self, now: Nanos, begin: Nanos, stolen: &mut Vec<StealTime>) {
        if self.is_guest && now.since(self.read_at) >= INTERVAL {
            self.add(now, begin, stolen);
        }
    }

    /// Adds the steal time since the last reading.
    pub(super) fn finish(&mut self, end: Nanos, begin: Nanos, stolen: &mut Vec<StealTime>) {
        if self.is_guest {
            self.add(end, begin, stolen);
        }
    }

    fn add(&mut self, now: Nanos, begin: Nanos, stolen: &mut Vec<StealTime>) {
        let counters = read();
        let (from, until) = (self.read_at.since(begin), now.since(begin));
        for (cpu, ticks) in &counters {
            let before = self.before.iter().find(|(of, _)| of == cpu).map_or(*ticks, |(_, ticks)| *ticks);
            let time = Nanos(ticks.saturating_sub(before) * TICK);
            if time.0 > 0 {
                stolen.push(StealTime { cpu: *cpu, from, until, time });
            }
        }
        (self.before, self.read_at) = (counters, now);
    }
}

fn read() -> Vec<(CpuId, u64)> {
    fs::read_to_string("/proc/stat").map(|text| steal(&text)).unwrap_or_default()
}

/// The steal time of each CPU in ticks, from `/proc/stat`: the eighth number of a line (proc_stat(5)).
fn steal(text: &str) -> Vec<(CpuId, u64)> {
    let of_line = |line: &str| {
        let mut words = line.strip_prefix("cpu")?.split_ascii_whitespace();
        let cpu = words.next()?.parse().ok()?;
        Some((CpuId(cpu), words.nth(7)?.parse().ok()?))
    };
    // The first line is the sum of all CPUs, and begins with two blanks.
    text.lines().skip(1).map_while(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_number_of_a_cpu() {
        let text = "cpu  1 2 3 4 5 6 7 300 9 10\ncpu0 1 2 3 4 5 6 7 100 9 10\ncpu12 1 2 3 4 5 6 7 200 9 10\nintr 5 6\n";
        assert_eq!(steal(text), [(CpuId(0), 100), (CpuId(12), 200)]);
        assert_eq!(steal(""), []);
        assert_eq!(steal("cpu 1\ncpu0 1 2\n"), []);
    }
}
