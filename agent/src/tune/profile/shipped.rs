//! The profiles that come with quell.

/// The names and texts of `tuning-profiles/*.toml`.
pub const SHIPPED: &[(&str, &str)] = &[
    ("latency", include_str!("../../../../tuning-profiles/latency.toml")),
    ("network-latency", include_str!("../../../../tuning-profiles/network-latency.toml")),
    ("trading", include_str!("../../../../tuning-profiles/trading.toml")),
    ("throughput", include_str!("../../../../tuning-profiles/throughput.toml")),
];
