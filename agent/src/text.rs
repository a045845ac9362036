//! Escapes untrusted text for output.
//!
//! Names of threads, functions, files and hosts are untrusted. Control characters in them could control a terminal (colours, window
//! title, clipboard, key bindings). Bidirectional controls and invisible characters make a line look different from its content.
//! XML does not permit all of Unicode.
//!
//! - [`shown`] is for names: one line of visible characters. Reports use it for all names, in every format.
//! - [`Shown`] is a writer for terminals. It escapes everything invisible except line ends, as a safeguard for names that were
//!   not escaped. All output of `quell` passes through it.
//! - [`xml`] is for text in an XML document.
//! - [`Json`] is for JSON whose strings are displayed.
//!
//! Escapes are those of JSON: `\u001b`, `\u202e`, `\udb40\udc01`. Within a JSON string they mean the original character, so that JSON
//! can pass through [`Shown`] without changing its meaning.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use serde_json::ser::{CharEscape, Formatter};

/// Wraps `text` between words: lines begin at column `indent` and end before column `columns`. The text is made safe by [`shown`], which
/// escapes its line ends.
#[must_use]
pub fn wrapped(text: &str, indent: usize, columns: usize) -> String {
    let text = shown(text);
    let mut lines = String::new();
    let mut column = indent;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > columns {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

/// Shortens a name to `width` characters, in the middle: the end of a function name says more than its beginning, and names with
/// the same beginning or end remain different. `text` is [`shown`] before.
#[must_use]
pub fn shortened(text: &str, width: usize) -> Cow<'_, str> {
    let length = text.chars().count();
    if length <= width {
        return Cow::Borrowed(text);
    }
    let kept = width.saturating_sub(1);
    let begin = kept / 3;
    let end = text.chars().skip(length - (kept - begin));
    Cow::Owned(text.chars().take(begin).chain(['…']).chain(end).take(width).collect())
}

/// Whether a character is visible: letters, signs and marks of all scripts are; control and format characters, separators other than the
/// space, private and unassigned code points are not.
fn is_visible(letter: char) -> bool {
    match letter {
        ' '..='~' => true,
        '\0'..='\u{a0}' => false,
        // Letters and marks without a visible glyph: joiner, fillers, inherent vowels, variation selectors, blank Braille.
        '\u{34f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}'
        | '\u{e0100}'..='\u{e01ef}' => false,
        _ => std_prints(letter),
    }
}

/// Whether the standard library prints the character in `{:?}`. It contains the table of the Unicode categories that is needed
/// here (Cc, Cf, Cs, Co, Cn, Zl, Zp and Zs are escaped; library/core/src/unicode/printable.py). It escapes marks only if no
/// letter precedes them.
fn std_prints(letter: char) -> bool {
    let mut buffer = [b'a'; 5];
    let length = letter.encode_utf8(&mut buffer[1..]).len();
    let text = std::str::from_utf8(&buffer[..=length]).unwrap_or_default();
    text.escape_debug().nth(1) == Some(letter)
}

/// Whether XML 1.0 permits the character (section 2.2, Char) and does not discourage it as a control character or noncharacter.
fn is_xml(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fdcf}')
        || matches!(letter, '\u{fdf0}'..='\u{fffd}')
        || (letter > '\u{ffff}' && u32::from(letter) & 0xfffe != 0xfffe)
}

fn push_escape(letter: char, out: &mut String) {
    for unit in letter.encode_utf16(&mut [0; 2]) {
        // Writing to a string does not fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let Some(first) = text.find(|letter| !keep(letter)) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for letter in text[first..].chars() {
        if keep(letter) { out.push(letter) } else { push_escape(letter, &mut out) }
    }
    Cow::Owned(out)
}

/// Escapes a name: the result has visible characters only, in one line.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, is_visible)
}

/// Escapes a message that may have several lines.
#[must_use]
pub fn shown_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |letter| letter == '\n' || is_visible(letter))
}

/// Escapes a path, in one line.
#[must_use]
pub fn shown_path(path: &Path) -> String {
    shown(&path.display().to_string()).into_owned()
}

/// Escapes text for XML. `&` and `<` are left to the XML writer.
#[must_use]
pub fn xml(text: &str) -> Cow<'_, str> {
    escaped(text, |letter| is_xml(letter) && is_visible(letter))
}

/// A writer that escapes everything except visible characters and line ends. Invalid UTF-8 is escaped byte by byte, as U+0080 to U+00FF.
pub struct Shown<W: Write> {
    out: W,
    /// The beginning of an incomplete character.
    held: Vec<u8>,
}

impl<W: Write> Shown<W> {
    /// A writer to `out`.
    pub fn new(out: W) -> Self {
        Self { out, held: Vec::new() }
    }

    /// Writes the complete characters of the buffer, and keeps an incomplete one.
    fn drain(&mut self, last: bool) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.held);
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            // An incomplete character at the end may be continued by the next write.
            if !last && is_end_of(&bytes, invalid) && may_continue(invalid) {
                self.held = invalid.to_vec();
            } else {
                text.extend(invalid.iter().map(|byte| char::from(*byte)));
            }
        }
        self.out.write_all(shown_lines(&text).as_bytes())
    }
}

/// Whether these bytes begin a character of more bytes.
fn may_continue(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

fn is_end_of(whole: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && std::ptr::eq(whole.as_ptr_range().end, part.as_ptr_range().end)
}

impl<W: Write> Write for Shown<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        self.drain(false)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drain(true)?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Shown<W> {
    fn drop(&mut self) {
        // Only an incomplete character can be left, and an error cannot be reported here.
        let _ = self.drain(true);
    }
}

/// A JSON formatter whose strings are [`shown`]: for viewers that display the decoded strings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl Formatter for Json {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let shown = shown(fragment);
        match &shown {
            Cow::Borrowed(text) => out.write_all(text.as_bytes()),
            // The only backslashes in a fragment are those of the escapes.
            Cow::Owned(text) => out.write_all(text.replace('\\', r"\\").as_bytes()),
        }
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, out: &mut W, escape: CharEscape) -> io::Result<()> {
        let control = match escape {
            CharEscape::Quote => return out.write_all(br#"\""#),
            CharEscape::ReverseSolidus => return out.write_all(br"\\"),
            CharEscape::Solidus => return out.write_all(b"/"),
            CharEscape::Backspace => 8,
            CharEscape::Tab => 9,
            CharEscape::LineFeed => 10,
            CharEscape::FormFeed => 12,
            CharEscape::CarriageReturn => 13,
            CharEscape::AsciiControl(byte) => byte,
        };
        write!(out, r"\\u{control:04x}")
    }
}

/// Writes `value` as JSON whose strings are [`shown`].
///
/// # Errors
/// `out` cannot be written.
pub fn to_json(out: &mut dyn Write, value: &impl serde::Serialize) -> io::Result<()> {
    Ok(value.serialize(&mut serde_json::Serializer::with_formatter(out, Json))?)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Characters of every kind that must be escaped.
    pub(crate) const HOSTILE: &str = "\u{1b}]0;title\u{7}\u{1b}[31m\r\t\n\0\u{7f}\u{85}\u{9b}2J\u{9d}\u{ad}\u{61c}\u{200b}\
        \u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{2028}\u{2029}\u{2060}\u{206a}\
        \u{feff}\u{fff9}\u{fdd0}\u{fffe}\u{ffff}\u{fe0f}\u{3164}\u{a0}\u{e000}\u{e0001}\u{e0041}\u{f0000}\u{1fffe}\u{10ffff}\
        </script><!--<b a='b'>&amp;]]>\"\\;";

    /// The first character of a text that must be escaped. It has its own lists and does not use the tables of the code above.
    pub(crate) fn hidden(text: &str) -> Option<char> {
        text.chars().find(|letter| {
            letter.is_control()
                || matches!(*letter, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
                || matches!(*letter, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
                || matches!(*letter, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'.. | '\u{fe00}'..='\u{fe0f}' | '\u{fdd0}'..='\u{fdef}')
                || u32::from(*letter) & 0xfffe == 0xfffe
        })
    }

    #[test]
    fn nothing_hidden_is_left_and_what_is_visible_stays() {
        assert_eq!(hidden(&shown(HOSTILE)), None, "{}", shown(HOSTILE));
        assert_eq!(shown("a\u{1b}b\u{202e}c\u{e0001}\n"), r"a\u001bb\u202ec\udb40\udc01\u000a");
        for plain in ["worker-3", "Zürich", "工作线程", "поток", "e\u{301}", "नमस्ते", "☃ 🦀 ± … >", "a;b\\c\"<&"]
        {
            assert!(matches!(shown(plain), Cow::Borrowed(_)), "{plain}");
        }
    }

    #[test]
    fn a_name_is_shortened_in_the_middle_so_that_its_end_is_left() {
        let names = ["std::vector<int>::push_back", "std::vector<int>::pop_back"].map(|name| shortened(name, 16));
        assert_eq!(names, ["std::…:push_back", "std::…::pop_back"]);
        assert_eq!(shortened("Zürich", 6), "Zürich");
        assert_eq!(shortened("Zürich", 5), "Z…ich");
        assert_eq!([2, 1, 0].map(|width| shortened("Zürich", width)), ["…h", "…", ""]);
    }

    #[test]
    fn all_of_unicode_is_shown_or_escaped_and_what_is_shown_is_valid_in_xml() {
        for letter in '\0'..=char::MAX {
            let text = letter.to_string();
            assert_eq!(hidden(&shown(&text)), None, "{letter:?}");
            assert!(xml(&text).chars().all(is_xml), "{letter:?}");
            assert_eq!(xml(&text), shown(&text), "{letter:?}");
        }
    }

    #[test]
    fn json_shows_escapes_and_stays_json() {
        let mut out = Vec::new();
        to_json(&mut out, &[HOSTILE]).expect("memory");
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(hidden(&text), None);
        let read: Vec<String> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read, [shown(HOSTILE)]);
    }

    #[test]
    fn ordinary_json_means_the_same_behind_the_writer() {
        let mut out = Vec::new();
        serde_json::to_writer(Shown::new(&mut out), &[HOSTILE]).expect("memory");
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(hidden(&text), None);
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).expect("JSON"), [HOSTILE]);
    }

    fn written(bytes: &[u8], piece: usize) -> String {
        let mut out = Vec::new();
        let mut writer = Shown::new(&mut out);
        for part in bytes.chunks(piece) {
            writer.write_all(part).expect("memory");
        }
        drop(writer);
        String::from_utf8(out).expect("UTF-8")
    }

    proptest! {
        #[test]
        fn the_writer_does_the_same_however_its_text_is_cut(text in "\\PC{0,9}[\\p{Cf}\\p{Cc}é☃🦀]{0,9}", piece in 1usize..5) {
            prop_assert_eq!(written(text.as_bytes(), piece), shown_lines(&text));
        }

        #[test]
        fn no_bytes_get_past_the_writer(bytes in prop::collection::vec(any::<u8>(), 0..40), piece in 1usize..5) {
            let text = written(&bytes, piece);
            prop_assert_eq!(hidden(&text.replace('\n', "")), None);
        }
    }
}
