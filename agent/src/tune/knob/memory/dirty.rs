//! How much written data may wait in memory.

use crate::host::Host;
use crate::tune::knob::file::{changeable, number, write};
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Reading};
use crate::tune::{Kind, Target, Value};

/// A limit that the kernel has as two files, of which one is in force and the other reads 0: a share of memory, and bytes.
/// They are one value: 0 cannot be written to the file of bytes, and writing either changes the other (dirty_ratio_handler and
/// dirty_bytes_handler, mm/page-writeback.c).
pub(super) struct DirtyLimit {
    spec: KnobSpec,
    /// The fewest pages that the file of bytes takes.
    least: i64,
    ratio: &'static str,
    bytes: &'static str,
}

pub(super) static LIMIT: DirtyLimit = DirtyLimit {
    spec: KnobSpec {
        id: "memory.dirty_limit",
        doc: "How much written data may wait in memory, as a share or in bytes, before programs that write must write it out \
              themselves: a stall.",
        source: "Documentation/admin-guide/sysctl/vm.rst, dirty_ratio and dirty_bytes",
        kind: Kind::PercentOrBytes,
        ..KnobSpec::RUNTIME
    },
    // dirty_bytes_min, mm/page-writeback.c
    least: 2,
    ratio: "/proc/sys/vm/dirty_ratio",
    bytes: "/proc/sys/vm/dirty_bytes",
};

pub(super) static BACKGROUND_LIMIT: DirtyLimit = DirtyLimit {
    spec: KnobSpec {
        id: "memory.dirty_background_limit",
        doc: "How much written data may wait in memory, as a share or in bytes, before the flusher threads begin: less makes \
              smaller bursts of writing.",
        source: "Documentation/admin-guide/sysctl/vm.rst, dirty_background_ratio and dirty_background_bytes",
        kind: Kind::PercentOrBytes,
        ..KnobSpec::RUNTIME
    },
    least: 0,
    ratio: "/proc/sys/vm/dirty_background_ratio",
    bytes: "/proc/sys/vm/dirty_background_bytes",
};

impl Knob for DirtyLimit {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        vec![Target::Host]
    }

    fn read(&self, host: &Host, _: &Target) -> Result<Reading, KnobError> {
        let number = |file: &str| number(host, file, file);
        Ok(match (number(self.bytes)?, number(self.ratio)?) {
            (Err(why), _) | (_, Err(why)) => Reading::Absent(why),
            (Ok(0), Ok(share)) => Reading::Value(Value::Percent(share)),
            (Ok(bytes), _) => Reading::Value(Value::Integer(bytes)),
        })
    }

    fn normalize(&self, _: &Host, _: &Target, value: &Value) -> Result<Value, KnobError> {
        let least = self.least * page_size();
        match value {
            Value::Integer(bytes) if *bytes < least => {
                let why = format!("the least is {} pages, {least} bytes", self.least);
                Err(KnobError::Impossible { value: value.clone(), why })
            }
            _ => Ok(value.clone()),
        }
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let (file, text, other) = match value {
            Value::Percent(share) => (self.ratio, share, self.bytes),
            Value::Integer(bytes) => (self.bytes, bytes, self.ratio),
            _ => return Err(KnobError::Target { target: target.clone() }),
        };
        if *value == Value::Percent(0) {
            // The bytes stay in force where the share, 0 beside them, does not change.
            write(host, file, "1")?;
        }
        write(host, file, &text.to_string())?;
        if !host.root.is_host() {
            // A tree has no kernel that does it.
            write(host, other, "0")?;
        }
        Ok(Held::Nothing)
    }

    fn changeable(&self, host: &Host, _: &Target) -> Result<(), KnobError> {
        changeable(host, self.ratio)
    }
}

/// Of this machine's kernel: a tree has none of its own.
fn page_size() -> i64 {
    i64::try_from(procfs::page_size()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn a_share_and_bytes_are_one_value_and_each_is_put_back() {
        let (_folder, host) = fake::host(&[(LIMIT.ratio, "20\n"), (LIMIT.bytes, "0\n")]);
        fake::round_trip(&LIMIT, &host, &Target::Host, "10 %");
        fake::round_trip(&LIMIT, &host, &Target::Host, "268435456");
        let (_folder, host) = fake::host(&[(LIMIT.ratio, "0\n"), (LIMIT.bytes, "1048576\n")]);
        fake::round_trip(&LIMIT, &host, &Target::Host, "0 %");
        fake::round_trip(&LIMIT, &host, &Target::Host, "30%");
    }

    #[test]
    fn less_than_two_pages_is_refused_before_the_kernel_does() {
        let (_folder, host) = fake::host(&[(LIMIT.ratio, "20\n"), (LIMIT.bytes, "0\n")]);
        let bytes = |pages| Value::Integer(pages * page_size());
        let error = LIMIT.normalize(&host, &Target::Host, &bytes(1)).expect_err("one page");
        assert!(matches!(error, KnobError::Impossible { .. }), "{error}");
        assert!(LIMIT.normalize(&host, &Target::Host, &bytes(2)).is_ok());
        assert!(BACKGROUND_LIMIT.normalize(&host, &Target::Host, &bytes(1)).is_ok());
    }
}
