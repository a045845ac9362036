//! Writes the results of a capture. A capture cannot be repeated, so it is kept even if an output fails.

use std::io::Write;

use anyhow::Context as _;
use quell::file::PrivateDirectories;
use quell::output::{Form, Output, OutputError, Unnamed};
use quell::profile::{Profile, Selection, build};
use quell::recording::Recording;
use quell::report;
use quell::text::Shown;

use super::closing::Closing;
use super::report::say_written;
use super::terminal::Terminal;

/// The outputs of a capture.
pub(super) struct Results<'a> {
    outputs: &'a [Output],
    /// Directories for the recording if an output cannot be written.
    private: Option<PrivateDirectories>,
    /// The output that was written before symbolization.
    unnamed: Option<(Place<'a>, Unnamed)>,
    /// The output that still is as it was written before symbolization, because it could not be overwritten.
    without_names: Option<&'a Output>,
    /// Whether the recording was written to a private directory.
    is_kept_elsewhere: bool,
}

fn print_summary(
    profile: &Profile,
    terminal: Terminal,
    written: Vec<&Output>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    report::summary(profile, terminal.width, terminal.style, out)?;
    writeln!(out)?;
    let has_recording = written.iter().any(|output| output.form() == Form::Recording);
    // Without it, no other report can be made of the capture.
    let note = if has_recording { "" } else { " (no recording: add -o NAME.quell to keep one)" };
    say_written(written, note, &mut Shown::new(&mut *out))?;
    // Here, so that a full disk is reported as that of stdout.
    Ok(out.flush()?)
}

/// The kind of output that was written first.
enum Place<'a> {
    Output(&'a Output),
    Private(Output),
}

impl<'a> Results<'a> {
    /// Call this before the capture begins: other users may change directories during the capture.
    pub(super) fn prepare(outputs: &'a [Output]) -> Self {
        Self {
            outputs,
            private: Some(PrivateDirectories::open()),
            unnamed: None,
            without_names: None,
            is_kept_elsewhere: false,
        }
    }

    /// Writes the recording before symbolization. If no output is a recording, the first regular file is written instead. If
    /// that fails, the recording is written to a private directory. Returns whether the capture is on disk.
    pub(super) fn write_unnamed(&mut self, recording: &Recording) -> bool {
        let is_recording = |output: &&Output| output.form() == Form::Recording;
        let is_replaceable = |output: &&Output| output.is_replaceable();
        let first = self.outputs.iter().find(is_recording).or_else(|| self.outputs.iter().find(is_replaceable));
        let profile = build(recording, &Selection::default());
        if let Some(first) = first {
            match first.write_unnamed(recording, &profile) {
                Ok(unnamed) => self.unnamed = Some((Place::Output(first), unnamed)),
                // It is written again after symbolization, and reported then.
                Err(error) => {
                    tracing::debug!("not written before symbolization: {error:#}");
                    self.write_privately(recording, &profile);
                }
            }
        }
        first.is_none() || self.unnamed.is_some()
    }

    /// Writes all outputs and the summary. Pipes come last, since a slow reader can block them.
    ///
    /// # Errors
    /// The last output that failed; the others are logged, and so is stdout. The remaining outputs are written nevertheless.
    pub(super) fn write(
        mut self,
        recording: &Recording,
        closing: &Closing,
        terminal: Terminal,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let profile = build(recording, &Selection::default());
        let (files, streams): (Vec<_>, Vec<_>) = self.outputs.iter().partition(|output| output.is_replaceable());
        let mut written = Vec::new();
        let mut failed = Vec::new();
        let mut first = match self.unnamed.take() {
            Some((Place::Output(first), unnamed)) => Some((first, unnamed)),
            private => {
                self.unnamed = private;
                None
            }
        };
        for output in files {
            let result = match first.take_if(|(first, _)| std::ptr::eq(*first, output)) {
                Some((_, unnamed)) => output.write_named(unnamed, recording, &profile).inspect_err(|error| {
                    // What was written before symbolization is still there.
                    self.without_names = (!error.is_kept()).then_some(output);
                }),
                None => output.write(recording, &profile, out),
            };
            match result {
                Ok(()) => written.push(output),
                Err(error) => failed.push((output, error)),
            }
        }
        self.keep_recording(recording, &profile, &failed);
        // Only pipes are left. Their readers may be slow: from here on, a signal ends quell.
        closing.captured_is_safe();
        for output in streams {
            match output.write(recording, &profile, out) {
                Ok(()) => written.push(output),
                Err(error) => failed.push((output, error)),
            }
        }
        self.keep_recording(recording, &profile, &failed);
        let printed = match self.outputs.iter().all(|output| output.path().is_some()) {
            true => print_summary(&profile, terminal, written, out).context("could not print the summary"),
            false => Ok(()),
        };
        if !failed.is_empty() {
            self.say_what_is_kept();
        }
        let Some((_, last)) = failed.pop() else { return printed };
        for (_, error) in failed {
            tracing::error!("{:#}", anyhow::Error::from(error));
        }
        if let Err(error) = printed {
            tracing::error!("{error:#}");
        }
        Err(last.into())
    }

    /// Says where the capture is, if an output could not be overwritten after symbolization and there is no other recording.
    fn say_what_is_kept(&self) {
        let Some(path) = self.without_names.filter(|_| !self.is_kept_elsewhere).and_then(Output::written_path) else {
            return;
        };
        tracing::warn!(
            "{} has the capture, but without the names of functions, which could not be added\nhint: free disk space before the next capture",
            path.display()
        );
    }

    /// Writes the recording to a private directory if an output was lost and no recording was written.
    fn keep_recording(&mut self, recording: &Recording, profile: &Profile, failed: &[(&Output, OutputError)]) {
        let is_written = |output: &Output| {
            output.form() == Form::Recording
                && failed.iter().all(|(one, error)| !std::ptr::eq(*one, output) || error.is_kept())
        };
        // A closed pipe is not a loss: its reader has read what it wanted.
        let is_lost = |(output, error): &(&Output, OutputError)| {
            !error.is_kept() && (output.is_replaceable() || matches!(error, OutputError::File(_)))
        };
        if failed.iter().any(is_lost) && !self.outputs.iter().any(is_written) && self.unnamed.is_none() {
            self.write_privately(recording, profile);
        }
        if let Some((Place::Private(output), unnamed)) = self.unnamed.take() {
            if let Err(error) = output.write_named(unnamed, recording, profile) {
                tracing::warn!("{:#}", anyhow::Error::from(error));
            }
            self.is_kept_elsewhere = true;
            let path = output.written_path().unwrap_or_default().display().to_string();
            tracing::warn!(
                "the recording was written to {path}\nhint: `quell report {path} -o FILE` writes the other outputs"
            );
        }
    }

    /// Writes the recording to a directory that other users cannot change.
    fn write_privately(&mut self, recording: &Recording, profile: &Profile) {
        for directory in self.private.take().into_iter().flat_map(PrivateDirectories::directories) {
            let written = Output::recording_in(directory)
                .and_then(|output| output.write_unnamed(recording, profile).map(|unnamed| (output, unnamed)));
            match written {
                Ok((output, unnamed)) => {
                    self.unnamed = Some((Place::Private(output), unnamed));
                    return;
                }
                Err(error) => tracing::debug!("could not write the recording: {:#}", anyhow::Error::from(error)),
            }
        }
    }
}
