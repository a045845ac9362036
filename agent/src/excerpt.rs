//! Excerpts of untrusted text for messages: names of processes, values of files, messages of parsers.
//!
//! The user who reads an error may not be permitted to read the file. So only the expected value of a file is quoted, and nothing if
//! the file contains something else.

use crate::text;

/// The maximum number of characters of a value in a message.
pub(crate) const VALUE: usize = 64;
/// The maximum number of characters of a path, or of a message of a parser or program.
const MESSAGE: usize = 256;

/// An expected value: one line of text, truncated to 64 characters. Several lines, or bytes that are not text, are only described.
pub(crate) fn value(value: impl AsRef<[u8]>) -> String {
    shown(value.as_ref()).unwrap_or_else(|what| what)
}

/// The value in backticks.
pub(crate) fn quoted(value: impl AsRef<[u8]>) -> String {
    shown(value.as_ref()).map_or_else(|what| what, |value| format!("`{value}`"))
}

fn shown(value: &[u8]) -> Result<String, String> {
    let value = value.trim_ascii();
    if std::str::from_utf8(value).is_err() {
        return Err(format!("the current content ({} bytes, not text)", value.len()));
    }
    match value.split(|&byte| byte == b'\n').count() {
        1 => Ok(printable(value, VALUE)),
        lines => Err(format!("the current content ({lines} lines)")),
    }
}

/// Whether a text is a single word that is quoted unchanged, such as the value of a kernel file.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace) && printable(text.as_bytes(), VALUE) == text
}

/// The name of a process or thread, which its owner chooses.
pub(crate) fn name(name: impl AsRef<[u8]>) -> String {
    printable(name.as_ref(), VALUE)
}

/// A path, such as that of an executable.
pub(crate) fn path(path: impl AsRef<[u8]>) -> String {
    printable(path.as_ref(), MESSAGE)
}

/// A message of a parser or program: one line, whose quotations are truncated like values.
pub(crate) fn message(text: impl AsRef<[u8]>) -> String {
    let text = printable(text.as_ref(), usize::MAX);
    let (mut out, mut quote, mut inside) = (String::new(), None, 0);
    for c in text.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => {
                inside += 1;
                match inside - VALUE.min(inside) {
                    0 => {}
                    1 => {
                        out += "...";
                        continue;
                    }
                    _ => continue,
                }
            }
            None if c == '`' || c == '"' => (quote, inside) = (Some(c), 0),
            None => {}
        }
        out.push(c);
    }
    printable(out.as_bytes(), MESSAGE)
}

/// The first `limit` characters of a text, escaped, in one line.
fn printable(bytes: &[u8], limit: usize) -> String {
    let line = String::from_utf8_lossy(bytes).replace(['\n', '\t'], " ");
    let cut = line.char_indices().nth(limit).map_or(line.len(), |(at, _)| at);
    let rest = if cut < line.len() { "..." } else { "" };
    format!("{}{rest}", text::shown(&line[..cut]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_up_to_64_characters_and_a_file_of_several_lines_not_at_all() {
        assert_eq!(quoted("60\n"), "`60`");
        assert_eq!(quoted("x".repeat(64)), format!("`{}`", "x".repeat(64)));
        assert_eq!(quoted("x".repeat(65)), format!("`{}...`", "x".repeat(64)));
        assert_eq!(quoted("root:$6$salt:1::\nbin:*:1::\n"), "the current content (2 lines)");
        assert_eq!(quoted([0xff, b'a']), "the current content (2 bytes, not text)");
    }

    #[test]
    fn what_steers_a_terminal_or_turns_text_around_is_escaped() {
        let hostile = "a\u{1b}]0;x\u{7}b\u{9b}31m\u{202e}c\u{200b}d\re";
        let shown = name(hostile);
        assert_eq!(shown, r"a\u001b]0;x\u0007b\u009b31m\u202ec\u200bd\u000de");
        assert_eq!(name(b"k\xc3"), "k\u{fffd}");
    }

    #[test]
    fn a_parsers_quotation_is_cut_and_the_rest_of_its_message_is_not() {
        let long = "s".repeat(300);
        assert_eq!(message("unknown field `on`, expected `knob`"), "unknown field `on`, expected `knob`");
        for quote in ['`', '"'] {
            let shown = message(format!("unknown {quote}{long}{quote}, expected a number"));
            assert_eq!(shown, format!("unknown {quote}{}...{quote}, expected a number", &long[..64]));
        }
        assert!(message(&long).chars().count() <= MESSAGE + 3);
        assert!(!message("two\nlines").contains('\n'));
    }
}
