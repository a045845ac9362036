//! Whether a probe works on a host.

/// Whether a probe works on a host, and how well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// The probe works completely.
    Ready,
    /// The probe works partly; the text says what is missing.
    Degraded(String),
    /// The probe does not work; the text is the reason.
    Unavailable(String),
}
