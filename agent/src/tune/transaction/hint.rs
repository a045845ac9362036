//! Hints at the end of messages.

/// Splits a message at its first hint line, so that a longer message can put hints last.
pub(super) fn split_hint(message: &str) -> (&str, Option<&str>) {
    match message.split_once("\nhint: ") {
        Some((message, hint)) => (message, Some(hint)),
        None => (message, None),
    }
}
