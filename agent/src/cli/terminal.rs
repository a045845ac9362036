//! The terminal of the user: its width and colours.

use std::env;
use std::io::{self, IsTerminal};

use quell::report::{Style, Width};

/// When to print in colours.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Color {
    // With a doc comment, all help would have the long form.
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    /// The style of a stream.
    pub(crate) fn style(self, stream: &impl IsTerminal) -> Style {
        // <https://no-color.org>: any value except the empty one.
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        match self {
            Self::Always => Style::Colored,
            Self::Auto if stream.is_terminal() && !no_color && !dumb => Style::Colored,
            Self::Auto | Self::Never => Style::Plain,
        }
    }
}

/// How results are printed on stdout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    pub(crate) width: Width,
    pub(crate) style: Style,
}

impl Terminal {
    /// The terminal of stdout. `COLUMNS` is its width if it is set, even if stdout is not a terminal.
    pub(crate) fn of_stdout(color: Color) -> Self {
        let from_variable =
            env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
        // None if stdout is not a terminal.
        let of_terminal = || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        let width = from_variable.or_else(of_terminal).map_or(Width::Whole, Width::Columns);
        Self { width, style: color.style(&io::stdout()) }
    }
}
