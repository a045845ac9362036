//! The profiles that come with quell.

/// Names and texts: `tuning-profiles/*.toml`.
pub const SHIPPED: &[(&str, &str)] = &[];
