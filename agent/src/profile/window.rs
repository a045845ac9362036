//! A time window. What it has of a sample: [`Span`](super::Span).

use crate::units::Nanos;

/// A time window of a capture. The default is the whole capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The start of the window, from the start of the capture; included.
    pub since: Option<Nanos>,
    /// The end of the window; not included.
    pub until: Option<Nanos>,
}

impl Window {
    /// A description, such as `from 2.00 s to 5.00 s`; `None` for the whole capture.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        match (self.since, self.until) {
            (None, None) => None,
            (Some(since), None) => Some(format!("from {since} on")),
            (None, Some(until)) => Some(format!("up to {until}")),
            (Some(since), Some(until)) => Some(format!("from {since} to {until}")),
        }
    }
}
