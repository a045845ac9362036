//! Limits for dirty memory.

use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::KnobSpec;
use crate::tune::knob::value_file::{check_writable, read_number, write};
use crate::tune::value::{KnobTarget, Value, ValueKind};

/// A limit with two files: as a percentage of memory, and in bytes. One of them is in force, and the other one reads 0. They
/// form one value, because 0 cannot be written to the file in bytes, and writing one file changes the other
/// (dirty_ratio_handler and dirty_bytes_handler, mm/page-writeback.c).
pub(super) struct DirtyLimit {
    spec: KnobSpec,
    /// The minimum of the limit in bytes, as a number of pages.
    min_pages: i64,
    ratio: &'static str,
    bytes: &'static str,
}

pub(super) static LIMIT: DirtyLimit = DirtyLimit {
    spec: KnobSpec {
        id: "memory.dirty_limit",
        doc: "The amount of dirty memory, as a share or in bytes, at which programs that write must write out pages themselves, which \
              stalls them.",
        source: "Documentation/admin-guide/sysctl/vm.rst, dirty_ratio and dirty_bytes",
        kind: ValueKind::PercentOrBytes,
        ..KnobSpec::RUNTIME
    },
    // dirty_bytes_min, mm/page-writeback.c
    min_pages: 2,
    ratio: "/proc/sys/vm/dirty_ratio",
    bytes: "/proc/sys/vm/dirty_bytes",
};

pub(super) static BACKGROUND_LIMIT: DirtyLimit = DirtyLimit {
    spec: KnobSpec {
        id: "memory.dirty_background_limit",
        doc: "The amount of dirty memory, as a share or in bytes, at which the flusher threads start. A lower limit makes bursts of \
              writeback smaller.",
        source: "Documentation/admin-guide/sysctl/vm.rst, dirty_background_ratio and dirty_background_bytes",
        kind: ValueKind::PercentOrBytes,
        ..KnobSpec::RUNTIME
    },
    min_pages: 0,
    ratio: "/proc/sys/vm/dirty_background_ratio",
    bytes: "/proc/sys/vm/dirty_background_bytes",
};

impl Knob for DirtyLimit {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn read(&self, host: &Host, _: &KnobTarget) -> Result<Reading, KnobError> {
        let bytes = read_number(host, self.bytes, self.bytes)?;
        Ok(match (bytes, read_number(host, self.ratio, self.ratio)?) {
            (Err(reason), _) | (_, Err(reason)) => Reading::Absent(reason),
            (Ok(0), Ok(share)) => Reading::Value(Value::Percent(share)),
            (Ok(bytes), _) => Reading::Value(Value::Integer(bytes)),
        })
    }

    fn normalize(&self, _: &Host, _: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        let min = self.min_pages * page_size();
        match value {
            Value::Integer(bytes) if *bytes < min => {
                let reason = format!("the minimum is {} pages, {min} bytes", self.min_pages);
                Err(KnobError::Impossible { value: value.clone(), reason })
            }
            _ => Ok(value.clone()),
        }
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let (file, text, other) = match value {
            Value::Percent(share) => (self.ratio, share, self.bytes),
            Value::Integer(bytes) => (self.bytes, bytes, self.ratio),
            _ => return Err(KnobError::WrongTarget { target: target.clone() }),
        };
        if *value == Value::Percent(0) {
            // The percentage reads 0 while the limit in bytes is in force. Writing 0 would not change that.
            write(host, file, "1")?;
        }
        write(host, file, &text.to_string())?;
        if !host.root.is_host() {
            // In a tree, there is no kernel that resets the other file.
            write(host, other, "0")?;
        }
        Ok(Held::Nothing)
    }

    fn check_writable(&self, host: &Host, _: &KnobTarget) -> Result<(), KnobError> {
        check_writable(host, self.ratio)
    }
}

/// The page size of the running kernel, also for a tree.
fn page_size() -> i64 {
    i64::try_from(procfs::page_size()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn a_share_and_bytes_are_one_value_and_each_is_restored() {
        let (_folder, host) = fake::host(&[(LIMIT.ratio, "20\n"), (LIMIT.bytes, "0\n")]);
        fake::round_trip(&LIMIT, &host, &KnobTarget::Host, "10 %");
        fake::round_trip(&LIMIT, &host, &KnobTarget::Host, "268435456");
        let (_folder, host) = fake::host(&[(LIMIT.ratio, "0\n"), (LIMIT.bytes, "1048576\n")]);
        fake::round_trip(&LIMIT, &host, &KnobTarget::Host, "0 %");
        fake::round_trip(&LIMIT, &host, &KnobTarget::Host, "30%");
    }

    #[test]
    fn less_than_two_pages_is_refused_before_the_kernel_does() {
        let (_folder, host) = fake::host(&[(LIMIT.ratio, "20\n"), (LIMIT.bytes, "0\n")]);
        let bytes = |pages| Value::Integer(pages * page_size());
        let error = LIMIT.normalize(&host, &KnobTarget::Host, &bytes(1)).expect_err("one page");
        assert!(matches!(error, KnobError::Impossible { .. }), "{error}");
        assert!(LIMIT.normalize(&host, &KnobTarget::Host, &bytes(2)).is_ok());
        assert!(BACKGROUND_LIMIT.normalize(&host, &KnobTarget::Host, &bytes(1)).is_ok());
    }
}
