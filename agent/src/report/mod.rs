//! How a profile is drawn: one file for each format, one line for each in [`FORMATS`].

use std::io::{self, Write};
use std::path::Path;

use crate::profile::Profile;

mod folded;
mod pprof;
mod speedscope;
mod sums;
mod svg;

/// A format that a profile is written in.
pub trait Sink: Sync {
    /// Writes the whole profile.
    ///
    /// # Errors
    /// Whatever `out` refuses, or a profile that has no form in this format.
    fn write(&self, profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError>;
}

/// Why a report was not written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// `out` failed.
    #[error("could not write the report")]
    Io(#[from] io::Error),
    /// The format's own encoder failed.
    #[error("could not encode the report as {format}: {why}")]
    Encode {
        /// The format's name.
        format: &'static str,
        /// What its encoder says.
        why: String,
    },
}

/// A format as users see it.
pub struct Format {
    /// What `--format` takes.
    pub name: &'static str,
    /// How its files end, without the first dot; the first is the usual one.
    pub endings: &'static [&'static str],
    /// One line for `quell list formats`.
    pub doc: &'static str,
    /// What writes it.
    pub sink: &'static dyn Sink,
}

/// Every format, in the order that `quell list formats` shows.
pub static FORMATS: &[Format] = &[
    Format {
        name: "folded",
        endings: &["folded", "folded.txt"],
        doc: "one line for each stack and its nanoseconds, for flamegraph.pl, inferno and scripts",
        sink: &folded::Folded,
    },
    Format { name: "svg", endings: &["svg"], doc: "a flame graph as one picture, by inferno", sink: &svg::Svg },
    Format {
        name: "pprof",
        endings: &["pb.gz", "pprof"],
        doc: "a gzipped protocol buffer for go tool pprof, Pyroscope and others",
        sink: &pprof::Pprof,
    },
    Format {
        name: "speedscope",
        endings: &["speedscope.json"],
        doc: "JSON for https://www.speedscope.app",
        sink: &speedscope::Speedscope,
    },
];

/// The format that the name of a file calls for by its ending, the longest if several match.
#[must_use]
pub fn format_for(path: &Path) -> Option<&'static Format> {
    let name = path.file_name()?.to_str()?;
    let matches = |ending: &str| name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.'));
    FORMATS
        .iter()
        .flat_map(|format| format.endings.iter().map(move |ending| (format, ending)))
        .filter(|(_, ending)| matches(ending))
        .max_by_key(|(_, ending)| ending.len())
        .map(|(format, _)| format)
}

/// The format of a name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_file_chooses_its_format() {
        let format = |path: &str| format_for(Path::new(path)).map(|format| format.name);
        assert_eq!(format("out/a.svg"), Some("svg"));
        assert_eq!(format("a.b.speedscope.json"), Some("speedscope"));
        assert_eq!(format("a.folded.txt"), Some("folded"));
        assert_eq!(format("a.pb.gz"), Some("pprof"));
        assert_eq!(format("a.json"), None);
        assert_eq!(format("svg"), None);
    }

    #[test]
    fn every_format_is_found_by_its_name_and_its_endings_and_has_a_doc() {
        for format in FORMATS {
            assert!(std::ptr::eq(by_name(format.name).expect(format.name), format));
            assert!(!format.doc.is_empty() && !format.endings.is_empty(), "{}", format.name);
            for ending in format.endings {
                let found = format_for(Path::new(&format!("a.{ending}"))).map(|found| found.name);
                assert_eq!(found, Some(format.name), "{ending}");
            }
        }
    }
}
