//! Text for terminals.

/// The widest line.
const COLUMNS: usize = 100;

/// Breaks `text` between words so that no line goes past column 100 where each begins at column `indent`.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = indent;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > COLUMNS {
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

/// `1 value`, `2 values`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_before_column_100() {
        let text = "word ".repeat(40);
        let lines = wrapped(text.trim(), 10);
        assert!(lines.lines().skip(1).all(|line| line.starts_with("          word") && line.len() <= 100), "{lines}");
        assert_eq!(lines.split_whitespace().count(), 40);
        assert_eq!(lines.lines().count(), 3);
    }
}
