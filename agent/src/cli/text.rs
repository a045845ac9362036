//! Text for terminals.

use std::fmt;
use std::io::{self, Write};

use quell::text::{self, shown};

/// The maximum width of a line.
const COLUMNS: usize = 100;

/// Writes one line. Line breaks in it are escaped, since text from other sources could forge lines.
pub(crate) fn line(out: &mut dyn Write, line: fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(out, "{}", shown(&line.to_string()))
}

/// Indents a message with several lines, such as an error with a hint: all lines after the first begin at column `indent`.
pub(crate) fn indented(text: &str, indent: usize) -> String {
    let lines: Vec<_> = text.lines().map(shown).collect();
    lines.join(&format!("\n{:indent$}", ""))
}

/// Wraps and indents a message with several lines, such as an error with a hint.
pub(crate) fn wrapped_lines(text: &str, indent: usize) -> String {
    let lines: Vec<String> = text.lines().map(|line| wrapped(line, indent)).collect();
    lines.join(&format!("\n{:indent$}", ""))
}

/// Wraps one line of `text` between words at column 100; the lines begin at column `indent`. Line breaks in `text` are escaped.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    text::wrapped(text, indent, COLUMNS)
}

/// `1 value`, `2 values`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_begins_with_text_of_others() {
        assert_eq!(wrapped("a\n\nb", 4), r"a\u000a\u000ab");
        for lines in [wrapped_lines("a\nhint: b\r", 4), indented("a\nhint: b\r", 4)] {
            assert_eq!(lines, "a\n    hint: b\\u000d");
        }
        let mut out = Vec::new();
        line(&mut out, format_args!("{} is", "a\nb\r")).expect("memory");
        assert_eq!(String::from_utf8_lossy(&out), "a\\u000ab\\u000d is\n");
    }

    #[test]
    fn lines_break_between_words_before_column_100() {
        let text = "word ".repeat(40);
        let lines = wrapped(text.trim(), 10);
        assert!(lines.lines().skip(1).all(|line| line.starts_with("          word") && line.len() <= 100), "{lines}");
        assert_eq!(lines.split_whitespace().count(), 40);
        assert_eq!(lines.lines().count(), 3);
    }
}
