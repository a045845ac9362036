//! Thread pools: threads whose names differ only in a number.

use std::borrow::Cow;

use hashbrown::HashMap;

/// The names of threads that have several names with the same pattern.
pub(super) struct ThreadPools {
    pools: HashMap<String, bool>,
}

impl ThreadPools {
    /// Finds the pools among thread names.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut first: HashMap<String, &str> = HashMap::new();
        let mut pools = HashMap::new();
        for name in names {
            let Some(pattern) = pattern(name) else { continue };
            let known = *first.entry_ref(pattern.as_str()).or_insert(name);
            let several = pools.entry(pattern).or_insert(false);
            *several |= known != name;
        }
        pools.retain(|_, several| *several);
        Self { pools }
    }

    /// The name of the pool of a thread, such as `worker-*`, or its own name.
    pub(super) fn name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match pattern(name) {
            Some(pattern) if self.pools.contains_key(&pattern) => Cow::Owned(pattern),
            _ => Cow::Borrowed(name),
        }
    }
}

/// The name with `*` in place of its last number; `None` if it has none. A number is a group of digits at the end of the name, or
/// after a character that is neither a letter nor a digit: so the names `C1 CompilerThread` and `C2 CompilerThread` have none. Of
/// the kernel's workers (`kworker/CPU:ID`, kernel/workqueue.c), all numbers are replaced.
fn pattern(name: &str) -> Option<String> {
    let last = last_number(name, name.len())?;
    let pattern = format!("{}*{}", &name[..last.0], &name[last.1..]);
    if !name.starts_with("kworker/") {
        return Some(pattern);
    }
    match last_number(name, last.0) {
        Some(first) => Some(format!("{}*{}", &name[..first.0], &pattern[first.1..])),
        None => Some(pattern),
    }
}

/// The first byte and the end of the last number that ends at `before` or earlier.
fn last_number(name: &str, before: usize) -> Option<(usize, usize)> {
    let mut end = before;
    loop {
        end = name[..end].rfind(|character: char| character.is_ascii_digit())? + 1;
        let text = name[..end].trim_end_matches(|character: char| character.is_ascii_digit());
        let follows_a_letter = text.chars().next_back().is_some_and(char::is_alphanumeric);
        if !text.is_empty() && (end == name.len() || !follows_a_letter) {
            return Some((text.len(), end));
        }
        end = text.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pools(names: &[&str]) -> ThreadPools {
        ThreadPools::of(names.iter().copied())
    }

    #[test]
    fn the_last_number_of_a_name_is_replaced() {
        for (name, expected) in [
            ("worker-1", Some("worker-*")),
            ("worker12", Some("worker*")),
            ("GC Thread#3", Some("GC Thread#*")),
            ("pool-1-thread-7", Some("pool-1-thread-*")),
            ("pool-1-thread-", Some("pool-*-thread-")),
            ("http-nio-8080-e", Some("http-nio-*-e")),
            ("ksoftirqd/0", Some("ksoftirqd/*")),
            ("kworker/0:1-events", Some("kworker/*:*-events")),
            ("kworker/u8:12", Some("kworker/u8:*")),
            ("kworker/3:1H", Some("kworker/*:*H")),
            ("jbd2/sda1-8", Some("jbd2/sda1-*")),
            ("tokio-runtime-w", None),
            ("C2 CompilerThre", None),
            ("ext4-rsv-conver", None),
            ("12", None),
            ("", None),
        ] {
            assert_eq!(pattern(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn only_several_names_make_a_pool() {
        let found = pools(&["worker-1", "worker-2", "worker-2", "python3", "other-1", "other-1"]);
        let names = ["worker-1", "worker-9", "python3", "other-1", "main"].map(|name| found.name(name).into_owned());
        assert_eq!(names, ["worker-*", "worker-*", "python3", "other-1", "main"]);
    }

    proptest! {
        /// Whatever the names are: names that differ in their number only are of one pool, others stay what they are, and a name is
        /// never longer than before by more than a byte.
        #[test]
        fn names_that_differ_only_in_a_number_are_one(
            before in "[a-zé *#-]{1,9}", after in "(-[a-zé*]{0,4})?", numbers in prop::collection::vec(0_u32..2_000, 1..5), others in prop::collection::vec("\\PC{0,15}", 0..5),
        ) {
            let before = format!("{before}-");
            let names: Vec<String> = numbers.iter().map(|number| format!("{before}{number}{after}")).collect();
            let all: Vec<&str> = names.iter().chain(&others).map(String::as_str).collect();
            let found = pools(&all);
            let distinct = names.iter().any(|name| *name != names[0]);
            for name in &names {
                let expected = if distinct { format!("{before}*{after}") } else { name.clone() };
                let shown = found.name(name);
                prop_assert!(shown == expected || others.iter().any(|other| pattern(other) == pattern(name)));
            }
            for other in &others {
                let shown = found.name(other);
                prop_assert!(shown.len() <= other.len() + 1);
                prop_assert!(shown == other.as_str() || pattern(other).as_deref() == Some(&*shown));
            }
        }
    }
}
