//! How a profile is drawn: one file for each format, one line for each in [`FORMATS`].

pub mod html;
mod summary;

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
pub static FORMATS: &[Format] = &[Format {
    name: "html",
    endings: &["html"],
    doc: "one interactive page: flame graphs, time axis, functions, threads and wake chains; needs no network",
    sink: &html::Html,
}];

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
