//! Output formats for profiles. Each format has a file, and an entry in [`FORMATS`].

#[cfg(test)]
mod any_probe;
mod columns;
mod distribution;
mod firefox;
mod folded;
mod folding;
#[cfg(test)]
mod hostile;
pub mod html;
mod libraries;
mod perfetto;
mod pprof;
mod series;
mod share;
mod speedscope;
mod steal;
mod summary;
mod sums;
mod svg;
mod tracks;

use std::io::{self, Write};
use std::path::Path;

pub use summary::{Style, Width, summary, summary_json};

use crate::profile::Profile;

/// Writes a profile in a format.
pub trait Sink: Sync {
    /// Writes the whole profile.
    ///
    /// # Errors
    /// `out` cannot be written, or the format cannot represent the profile.
    fn write(&self, profile: &Profile, out: &mut dyn Write) -> Result<(), ReportError>;
}

/// The reason why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// `out` could not be written.
    #[error("could not write the report")]
    Io(#[from] io::Error),
    /// The report exceeds its size limit, because the format writes each stack in full. A recording stores a tree of stacks, which is much
    /// smaller.
    #[error(
        "{format} writes each stack in full, and the stacks of this profile exceed {most}\nhint: select a part (--pid, --comm, --since, --until), or use HTML, which stores a tree"
    )]
    TooLarge {
        /// The name of the format.
        format: &'static str,
        /// The limit, with its unit.
        most: String,
    },
    /// The encoder of the format failed.
    #[error("could not encode the report as {format}: {why}")]
    Encode {
        /// The name of the format.
        format: &'static str,
        /// The message of the encoder.
        why: String,
    },
}

/// The description of a format.
pub struct Format {
    /// The name, for `--format`.
    pub name: &'static str,
    /// The file extensions, without the first dot; the first one is the usual one.
    pub endings: &'static [&'static str],
    /// A description for `quell list formats`.
    pub doc: &'static str,
    /// The writer of the format.
    pub sink: &'static dyn Sink,
}

/// All formats, in the order of `quell list formats`.
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
        doc: "a line `METRIC;THREAD;FRAME;... VALUE` for each metric and stack, times in nanoseconds; for flamegraph.pl, inferno and scripts",
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
    Format {
        name: "firefox",
        endings: &["firefox.json"],
        doc: "JSON for https://profiler.firefox.com: threads on a time axis, with CPU samples, sampled intervals and wakeups",
        sink: &firefox::Firefox,
    },
    Format {
        name: "perfetto",
        endings: &["perfetto-trace"],
        doc: "a trace for https://ui.perfetto.dev: the same, with call stacks, and flows from wakers to the threads that they woke",
        sink: &perfetto::Perfetto,
    },
];

/// The format for the file extension of `path`, by the longest extension that matches.
#[must_use]
pub fn format_for(path: &Path) -> Option<&'static Format> {
    format_among(FORMATS, path)
}

/// The format with this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// Like [`format_for`], in a table of the caller.
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
