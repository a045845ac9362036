//! Kernel versions.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// The first three numbers of a kernel release. Distributions backport features, so the version shows only which features to
/// expect; whether a kernel has a feature has to be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct KernelVersion {
    /// The major version: 6 in 6.18.3.
    pub major: u32,
    /// The minor version: 18 in 6.18.3.
    pub minor: u32,
    /// The patch level: 3 in 6.18.3; 0 if the release has none.
    pub patch: u32,
}

/// A kernel release that does not begin with a version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{} is not a kernel release; expected one such as 6.1.0-18-amd64", crate::excerpt::quoted(_0))]
pub struct KernelVersionError(String);

impl KernelVersion {
    /// The version `major.minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor, patch: 0 }
    }
}

impl FromStr for KernelVersion {
    type Err = KernelVersionError;

    /// Parses a release as in the output of `uname -r`: `6.18.44-rt5`, `5.10`, `6.1-rc3+`.
    fn from_str(release: &str) -> Result<Self, Self::Err> {
        let error = || KernelVersionError(release.trim().to_owned());
        let version = release.trim().split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
        let mut numbers = version.split('.').map(str::parse::<u32>);
        let mut number = || numbers.next().and_then(Result::ok);
        let (major, minor) = (number().ok_or_else(error)?, number().ok_or_else(error)?);
        Ok(Self { major, minor, patch: number().unwrap_or(0) })
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, patch } = self;
        match patch {
            0 => write!(f, "{major}.{minor}"),
            _ => write!(f, "{major}.{minor}.{patch}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_all_distributions_are_read() {
        for (release, version) in [
            ("6.18.44-fc-v509", "6.18.44"),
            ("5.10.0-33-cloud-amd64\n", "5.10"),
            ("6.1-rc3+", "6.1"),
            ("5.14.0-427.el9.x86_64", "5.14"),
            ("4.19.325+", "4.19.325"),
        ] {
            assert_eq!(release.parse::<KernelVersion>().map(|version| version.to_string()).as_deref(), Ok(version));
        }
        for wrong in ["", "linux", "6", "6.x"] {
            assert!(wrong.parse::<KernelVersion>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        let release = |text: &str| text.parse::<KernelVersion>().expect("a release");
        assert!(release("5.9.16") < KernelVersion::new(5, 10));
        assert!(release("6.18.44") >= KernelVersion::new(6, 18));
    }
}
