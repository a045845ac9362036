//! Whether a probe works on a host.

/// What a probe can do on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// All that it is made for.
    Ready,
    /// Less than that; what is missing.
    Degraded(String),
    /// Nothing; why.
    Unavailable(String),
}
