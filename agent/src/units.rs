//! Types for quantities and IDs, so that units are not confused.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($repr:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $repr);

        impl From<$repr> for $name {
            fn from(raw: $repr) -> Self {
                Self(raw)
            }
        }
    };
}

unit! {
    /// A time or a duration in nanoseconds. As a time it is `CLOCK_MONOTONIC`, or counted from the start of
    /// a capture where the field says so.
    Nanos(u64)
}
unit! {
    /// A size in bytes.
    Bytes(u64)
}
unit! {
    /// A rate per second.
    Hertz(u32)
}
unit! {
    /// A logical CPU, as the kernel numbers them.
    CpuId(u32)
}
unit! {
    /// A process: the kernel's thread-group id, in the initial PID namespace.
    Pid(u32)
}
unit! {
    /// A thread: the kernel's `pid`, in the initial PID namespace.
    Tid(u32)
}
unit! {
    /// A NUMA node, as the kernel numbers them.
    NodeId(u32)
}
unit! {
    /// An interrupt, as `/proc/interrupts` numbers them.
    Irq(u32)
}
unit! {
    /// The speed of a network link in millions of bits per second.
    Megabits(u32)
}
unit! {
    /// A virtual address.
    Addr(u64)
}

impl Nanos {
    /// One second.
    pub const SECOND: Self = Self(1_000_000_000);

    /// `self - earlier`, or zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// The value in seconds.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl From<Duration> for Nanos {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Nanos> for Duration {
    fn from(nanos: Nanos) -> Self {
        Self::from_nanos(nanos.0)
    }
}

impl Hertz {
    /// The time between two events at this rate; one second for a rate of zero.
    #[must_use]
    pub fn interval(self) -> Nanos {
        Nanos(Nanos::SECOND.0 / u64::from(self.0.max(1)))
    }
}

/// Three significant digits with a suitable unit: `1.23 ms`, `640 ns`, `12.0 s`.
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            0..1_000 => return write!(f, "{} ns", self.0),
            1_000..1_000_000 => (self.0 as f64 / 1e3, "us"),
            1_000_000..1_000_000_000 => (self.0 as f64 / 1e6, "ms"),
            _ => (self.0 as f64 / 1e9, "s"),
        };
        let digits = if value < 10.0 {
            2
        } else if value < 100.0 {
            1
        } else {
            0
        };
        write!(f, "{value:.digits$} {unit}")
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1_024 => write!(f, "{} B", self.0),
            1_024..1_048_576 => write!(f, "{:.1} KiB", self.0 as f64 / 1_024.0),
            1_048_576..1_073_741_824 => write!(f, "{:.1} MiB", self.0 as f64 / 1_048_576.0),
            _ => write!(f, "{:.2} GiB", self.0 as f64 / 1_073_741_824.0),
        }
    }
}

impl fmt::Display for Hertz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}

macro_rules! plain_display {
    ($($name:ident),+) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        })+
    };
}
plain_display!(CpuId, NodeId, Irq, Pid, Tid);

impl Addr {
    /// An address inside the call that returns to this one: the byte before it.
    #[must_use]
    pub fn call_site(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A set of CPUs, read and written as the kernel's list format: `0-3,8,10-11`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuSet(std::collections::BTreeSet<CpuId>);

/// An invalid CPU list.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{} is not a CPU list; expected numbers and ranges, such as 0-3,8", crate::excerpt::quoted(_0))]
pub struct CpuListError(String);

impl CpuSet {
    /// The CPUs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = CpuId> + '_ {
        self.0.iter().copied()
    }

    /// Whether `cpu` is in the set.
    #[must_use]
    pub fn contains(&self, cpu: CpuId) -> bool {
        self.0.contains(&cpu)
    }

    /// The number of CPUs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The CPUs of both sets together.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    /// The CPUs that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.iter().filter(|cpu| other.contains(*cpu)).collect()
    }

    /// The CPUs of `self` that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }
}

impl FromIterator<CpuId> for CpuSet {
    fn from_iter<I: IntoIterator<Item = CpuId>>(cpus: I) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl std::str::FromStr for CpuSet {
    type Err = CpuListError;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        let bad = || CpuListError(list.trim().chars().take(256).collect());
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| bad());
        let mut cpus = std::collections::BTreeSet::new();
        // The list may come from a file of any length. A list that names so many CPUs repeats them, and is not valid.
        let mut named = 0;
        for part in list.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            // The kernel's own limit (NR_CPUS, x86-64 MAXSMP) is 8192.
            if first > last || last >= 8192 {
                return Err(bad());
            }
            named += last - first + 1;
            if named > 8 * 8192 {
                return Err(bad());
            }
            cpus.extend((first..=last).map(CpuId));
        }
        Ok(Self(cpus))
    }
}

impl TryFrom<String> for CpuSet {
    type Error = CpuListError;

    fn try_from(list: String) -> Result<Self, Self::Error> {
        list.parse()
    }
}

impl From<CpuSet> for String {
    fn from(set: CpuSet) -> Self {
        set.to_string()
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.0.iter().map(|cpu| cpu.0).peekable();
        let mut separator = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while cpus.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            match last - first {
                0 => write!(f, "{separator}{first}")?,
                _ => write!(f, "{separator}{first}-{last}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_list_reads_back_as_the_kernel_writes_it() {
        for (given, canonical) in [("0-3,8", "0-3,8"), ("8,0,1,2,3", "0-3,8"), ("5", "5"), ("", ""), ("1,2\n", "1-2")] {
            assert_eq!(given.parse::<CpuSet>().map(|set| set.to_string()), Ok(canonical.to_owned()), "{given}");
        }
    }

    #[test]
    fn a_wrong_cpu_list_is_an_error_that_shows_it() {
        for wrong in ["a", "3-1", "0-", "0-99999999", "0-4294967295"] {
            let error = wrong.parse::<CpuSet>().expect_err(wrong);
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }

    #[test]
    fn a_cpu_list_without_end_is_an_error_that_shows_its_beginning() {
        let error = "0-8191,".repeat(1 << 20).parse::<CpuSet>().expect_err("too long").to_string();
        assert!(error.starts_with("`0-8191,0-8191,") && error.len() < 200, "{error}");
        assert!(!"1\u{1b}[2J".parse::<CpuSet>().expect_err("no list").to_string().contains('\u{1b}'));
    }

    #[test]
    fn durations_are_shown_in_the_unit_a_person_would_choose() {
        for (nanos, text) in
            [(0, "0 ns"), (999, "999 ns"), (1_234, "1.23 us"), (45_600_000, "45.6 ms"), (12_000_000_000, "12.0 s")]
        {
            assert_eq!(Nanos(nanos).to_string(), text);
        }
    }
}
