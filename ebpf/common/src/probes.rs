//! The probes: the one list that both sides go by.

/// Calls `$then!` with every probe: the name of its folder on both sides, and its number in records. A number is
/// never used for another probe, since recordings of older versions hold it.
#[macro_export]
macro_rules! probes {
    ($then:ident) => {
        $then! {
            cpu = 1,
            offcpu = 2,
            runqueue = 3,
        }
    };
}

/// One more than the highest number of a probe.
pub const PROBES: u32 = 16;
