//! Transparent huge pages.

use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::KnobSpec;
use crate::tune::knob::value_file::{Codec, ValueFile, write};
use crate::tune::value::{KnobTarget, Value, ValueKind};

/// A knob for the memory that may use transparent huge pages.
pub(super) struct TransparentHugePages;

static SPEC: KnobSpec = KnobSpec {
    id: "memory.thp",
    doc: "Which memory gets transparent huge pages: `always` all of it, `madvise` only memory for which a program calls madvise(2), \
          `never` none. They reduce TLB misses, but a program stalls when khugepaged merges its pages.",
    source: "Documentation/admin-guide/mm/transhuge.rst, enabled",
    kind: ValueKind::Word(&["always", "madvise", "never"]),
    ..KnobSpec::RUNTIME
};

static FILE: ValueFile = ValueFile { path: "/sys/kernel/mm/transparent_hugepage/enabled", codec: Codec::Bracketed };

const MIN_FREE: &str = "/proc/sys/vm/min_free_kbytes";

impl Knob for TransparentHugePages {
    fn spec(&self) -> &KnobSpec {
        &SPEC
    }

    fn value_file(&self) -> Option<&ValueFile> {
        Some(&FILE)
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        FILE.read(host, target, SPEC.kind)
    }

    /// When khugepaged starts or stops, the kernel adjusts min_free_kbytes (set_recommended_min_free_kbytes, mm/khugepaged.c).
    /// That value belongs to another knob, so it is restored. It is written only if it has changed: the kernel regards a
    /// written value as set by the user, and no longer goes below it (user_min_free_kbytes, mm/page_alloc.c).
    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let before = host.root.read(MIN_FREE);
        let held = FILE.write(host, target, value)?;
        if let (Ok(before), Ok(after)) = (before, host.root.read(MIN_FREE))
            && before != after
        {
            write(host, MIN_FREE, &before)?;
        }
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn min_free_kbytes_is_restored() {
        let choices = "always [madvise] never";
        let (folder, host) = fake::host(&[(FILE.path, choices), ("/proc/sys/vm/.keep", "")]);
        // A link to the same file: a write to one changes the other, as with khugepaged.
        let at = |path: &str| folder.path().join(path.trim_start_matches('/'));
        std::os::unix::fs::symlink(FILE.path, at(MIN_FREE)).expect("a link");
        TransparentHugePages.write(&host, &KnobTarget::Host, &Value::Word("never".to_owned())).expect("write");
        assert_eq!(host.root.read(MIN_FREE).expect("read"), choices);
    }
}
