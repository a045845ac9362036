//! Steal time of the captured CPUs in words.

use crate::recording::Meta;

/// The most CPUs that are listed one by one.
const LISTED: usize = 8;

/// The time that a hypervisor took from each CPU, such as `CPU 0 12.0 %, CPU 3 0.2 % (time in which the hypervisor ran other guests)`;
/// `None` if it rounds to 0.0 % on every CPU.
pub(super) fn steal_in_words(meta: &Meta) -> Option<String> {
    // A share in a file may be any number.
    let percents = meta.steal.iter().map(|(cpu, share)| (*cpu, 100.0 * share.clamp(0.0, 1.0)));
    let stolen: Vec<_> = percents.filter(|(_, percent)| *percent >= 0.05).collect();
    let (most_cpu, most) = *stolen.iter().max_by(|(_, x), (_, y)| x.total_cmp(y))?;
    let text = if stolen.len() <= LISTED {
        let each: Vec<String> = stolen.iter().map(|(cpu, percent)| format!("CPU {cpu} {percent:.1} %")).collect();
        each.join(", ")
    } else {
        // CPUs without steal time have no entry.
        let cpus = meta.cpus.len().max(stolen.len());
        let mean = stolen.iter().map(|(_, percent)| percent).sum::<f64>() / cpus as f64;
        format!("mean of {cpus} CPUs {mean:.1} %, at most {most:.1} % on CPU {most_cpu}")
    };
    Some(format!("{text} (time in which the hypervisor ran other guests)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::example;
    use crate::units::CpuId;

    fn words(shares: impl IntoIterator<Item = (u32, f64)>) -> Option<String> {
        let mut meta = example::meta();
        meta.steal = shares.into_iter().map(|(cpu, share)| (CpuId(cpu), share)).collect();
        let words = steal_in_words(&meta)?;
        Some(words.strip_suffix(" (time in which the hypervisor ran other guests)").expect("what it means").to_owned())
    }

    #[test]
    fn steal_is_shown_for_each_cpu_where_it_does_not_round_to_zero() {
        assert_eq!(words([]), None);
        assert_eq!(words([(0, 0.0), (1, 0.000_49), (2, f64::NAN)]), None);
        assert_eq!(words([(0, 0.12), (1, 0.0004), (3, 0.0006)]).as_deref(), Some("CPU 0 12.0 %, CPU 3 0.1 %"));
        assert_eq!(words([(7, f64::MAX), (8, f64::NEG_INFINITY)]).as_deref(), Some("CPU 7 100.0 %"));
    }

    #[test]
    fn many_cpus_have_a_mean_and_the_largest_value() {
        let shares = (0..10).map(|cpu| (cpu, f64::from(cpu) / 100.0));
        assert_eq!(words(shares).as_deref(), Some("mean of 9 CPUs 5.0 %, at most 9.0 % on CPU 9"));
    }
}
