//! Which kernels: the names that users give, and the releases that they stand for.

use std::collections::BTreeSet;

/// Every kernel that quell is tested on, oldest first.
pub(super) const MATRIX: [&str; 7] = ["5.10", "6.1", "6.12", "6.18", "newest", "6.1-rt", "6.12-rt"];

/// Those of every change: the oldest, Debian's own for years, and the newest.
pub(super) const USUAL: [&str; 3] = ["5.10", "6.1", "newest"];

/// How Debian ends the releases for the only architecture that guests have.
const ARCHITECTURE: &str = "-amd64";
/// ... of kernels with PREEMPT_RT, before that.
pub(super) const RT: &str = "-rt";
/// The name of whatever is newest.
const NEWEST: &str = "newest";

/// The newest release that a name stands for: `6.1`, `6.1-rt`, `newest`, `newest-rt`, or a release itself. Nothing else is a
/// name: under one that nearly is, such as `6.1_rt`, another kernel would be booted.
pub(super) fn newest<'a>(name: &str, releases: &'a BTreeSet<String>) -> Option<&'a str> {
    if let Some(release) = releases.get(name) {
        return Some(release);
    }
    let (series, rt) = name.strip_suffix(RT).map_or((name, false), |series| (series, true));
    let known = releases.iter().filter_map(|release| Some((version(release, rt)?, release.as_str())));
    let wanted = match series {
        NEWEST => Vec::new(),
        _ => series.split('.').map(number).collect::<Option<Vec<u64>>>()?,
    };
    let in_series = |version: &Vec<u64>| version.starts_with(&wanted);
    known.filter(|(version, _)| in_series(version)).max().map(|(_, release)| release)
}

/// The version of a release, if it is of the flavour: neither Debian's cloud kernels nor those with debug information.
fn version(release: &str, rt: bool) -> Option<Vec<u64>> {
    let flavoured = release.strip_suffix(ARCHITECTURE)?;
    let version = if rt { flavoured.strip_suffix(RT)? } else { flavoured };
    version.replace("deb", "").chars().all(|letter| !letter.is_alphabetic()).then(|| numbers(version))
}

/// A number that is written in digits, and in nothing else.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn numbers(text: &str) -> Vec<u64> {
    text.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_the_newest_release_of_its_series_and_flavour() {
        let releases = [
            "5.10.0-9-amd64",
            "5.10.0-46-amd64",
            "5.10.0-46-cloud-amd64",
            "6.1.0-56-amd64",
            "6.1.0-56-rt-amd64",
            "6.12.90+deb12-amd64",
            "6.12.90+deb12.1-amd64",
            "6.12.117+deb12-amd64",
            "6.12.117+deb12-amd64-dbg",
            "7.3.4+deb13-amd64",
            "7.3.4+deb13-rt-amd64",
            "unsigned-7.4.0-amd64",
        ];
        let releases: BTreeSet<String> = releases.map(str::to_owned).into();
        for (name, release) in [
            ("5.10", Some("5.10.0-46-amd64")),
            ("6.1", Some("6.1.0-56-amd64")),
            ("6.1-rt", Some("6.1.0-56-rt-amd64")),
            ("6.12", Some("6.12.117+deb12-amd64")),
            ("newest", Some("7.3.4+deb13-amd64")),
            ("newest-rt", Some("7.3.4+deb13-rt-amd64")),
            ("6.12.90+deb12-amd64", Some("6.12.90+deb12-amd64")),
            ("6.12-rt", None),
            ("4.19", None),
            ("", None),
            ("6.1-RT", None),
            ("6.1_rt", None),
            ("v6.1", None),
            ("6.1.", None),
            ("6.+1", None),
            ("6.1.0-56-rt", None),
            ("Newest", None),
        ] {
            assert_eq!(newest(name, &releases), release, "{name}");
        }
    }
}
