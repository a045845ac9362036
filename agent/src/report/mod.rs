//! How a profile is drawn: one file for each format, one line for each in [`FORMATS`].

pub mod html;

use std::io::{self, Write};

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
