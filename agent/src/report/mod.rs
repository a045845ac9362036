//! How a profile is drawn: one file for each format, one line for each in [`FORMATS`].

#[cfg(test)]
mod any_probe;
mod distribution;
mod folded;
#[cfg(test)]
mod hostile;
pub mod html;
mod pprof;
mod series;
mod speedscope;
mod summary;
mod sums;
mod svg;

use std::io::{self, Write};
use std::path::Path;

pub use summary::summary;

use crate::profile::Profile;

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
    /// Writing out each stack takes more room than a report may. A recording is a tree of stacks and holds them in much less.
    #[error(
        "the stacks of this profile take more than {most} in {format}, which writes each stack in full\nhint: select a part (--pid, --comm, --since, --until), or use HTML, which stores a tree"
    )]
    TooLarge {
        /// The format's name.
        format: &'static str,
        /// The limit, with its unit.
        most: String,
    },
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
        name: "html",
        endings: &["html"],
        doc: "an interactive page: flame graphs, time axis, functions, threads, wake chains and histograms; works offline",
        sink: &html::Html,
    },
    Format {
        name: "folded",
        endings: &["folded", "folded.txt"],
        doc: "a line for each stack with its nanoseconds, for flamegraph.pl, inferno and scripts",
        sink: &folded::Folded,
    },
    Format { name: "svg", endings: &["svg"], doc: "a flame graph, drawn by inferno", sink: &svg::Svg },
    Format {
        name: "pprof",
        endings: &["pb.gz", "pprof"],
        doc: "a gzip-compressed protocol buffer for go tool pprof, Pyroscope and others",
        sink: &pprof::Pprof,
    },
    Format {
        name: "speedscope",
        endings: &["speedscope.json"],
        doc: "JSON for https://www.speedscope.app",
        sink: &speedscope::Speedscope,
    },
];

/// The format that the ending of `path` tells; the longest ending that fits decides.
#[must_use]
pub fn format_for(path: &Path) -> Option<&'static Format> {
    format_among(FORMATS, path)
}

/// The format of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// [`format_for`] in a table of the caller's.
pub(crate) fn format_among<'a>(formats: &'a [Format], path: &Path) -> Option<&'a Format> {
    let name = path.file_name()?.to_str()?;
    let fits = |ending: &str| name.strip_suffix(ending).is_some_and(|stem| stem.len() > 1 && stem.ends_with('.'));
    formats
        .iter()
        .flat_map(|format| format.endings.iter().map(move |ending| (format, *ending)))
        .filter(|(_, ending)| fits(ending))
        .max_by_key(|(_, ending)| ending.len())
        .map(|(format, _)| format)
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
