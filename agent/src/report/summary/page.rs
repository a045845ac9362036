//! The lines of a summary: their width, and their escapes.

use std::io::{self, Write};

use super::TITLE;
use crate::text;

/// The width at which text is wrapped, at most: longer lines are hard to read.
const PROSE: usize = 100;

/// The minimum width of a table: with less, its columns would have no room.
const NARROWEST: usize = 72;

/// The width of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// A number of columns. Names that do not fit are shortened in the middle.
    Columns(usize),
    /// As wide as the names in it: for files and other programs. Nothing is shortened.
    Whole,
}

/// The colours of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// No escape sequences.
    Plain,
    /// Headings and titles in bold, for terminals.
    Colored,
}

/// What is printed, line by line. Each line is escaped, so that no name can control a terminal or begin a line.
pub(super) struct Page<'a> {
    out: &'a mut dyn Write,
    width: Width,
    style: Style,
}

impl<'a> Page<'a> {
    pub(super) fn new(out: &'a mut dyn Write, width: Width, style: Style) -> Self {
        Self { out, width, style }
    }

    /// Writes a line of a table or a text.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{}", text::shown(line.trim_end()))
    }

    /// Writes an empty line.
    pub(super) fn gap(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// Writes a heading, and text beside it.
    pub(super) fn heading(&mut self, heading: &str, beside: &str) -> io::Result<()> {
        let (bold, plain) = self.codes();
        let (heading, beside) = (text::shown(heading), text::shown(beside.trim_end()));
        writeln!(self.out, "{bold}{heading}{plain}{beside}")
    }

    /// Writes a wrapped text with a title on the left.
    pub(super) fn item(&mut self, title: &str, text: &str) -> io::Result<()> {
        let (bold, plain) = if title.is_empty() { ("", "") } else { self.codes() };
        let words: Vec<&str> = text.split_whitespace().collect();
        let columns = match self.width {
            Width::Columns(columns) => columns.clamp(NARROWEST, PROSE),
            Width::Whole => PROSE,
        };
        let text = text::wrapped(&words.join(" "), TITLE, columns);
        writeln!(self.out, "{bold}{title:<TITLE$}{plain}{text}")
    }

    /// The columns that are left for names beside `others`; `None` if any name has room.
    pub(super) fn room(&self, others: usize) -> Option<usize> {
        match self.width {
            Width::Columns(columns) => Some(columns.max(NARROWEST).saturating_sub(others)),
            Width::Whole => None,
        }
    }

    fn codes(&self) -> (&'static str, &'static str) {
        match self.style {
            Style::Plain => ("", ""),
            Style::Colored => ("\x1b[1m", "\x1b[0m"),
        }
    }
}

/// A column of texts: the escaped texts, shortened in the middle to `most` characters if it is given, and the width of the widest.
pub(super) fn column<'a>(texts: impl IntoIterator<Item = &'a str>, most: Option<usize>) -> (Vec<String>, usize) {
    let cells: Vec<String> = texts
        .into_iter()
        .map(|name| {
            let shown = text::shown(name);
            most.map_or_else(|| shown.clone().into_owned(), |most| text::shortened(&shown, most).into_owned())
        })
        .collect();
    let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    (cells, width)
}
