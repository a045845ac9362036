//! Transparent huge pages.

use crate::host::Host;
use crate::tune::knob::file::write;
use crate::tune::knob::{Codec, FileKnob, Held, Knob, KnobError, KnobSpec, Reading};
use crate::tune::{Kind, Target, Value};

/// Who gets transparent huge pages.
pub(super) struct Enabled(FileKnob);

pub(super) static ENABLED: Enabled = Enabled(FileKnob {
    spec: KnobSpec {
        id: "memory.thp",
        doc: "Who gets transparent huge pages: all, who asks by madvise(2), or nobody. They save TLB misses, and cost stalls when \
              khugepaged merges pages under a running program.",
        source: "Documentation/admin-guide/mm/transhuge.rst, enabled",
        kind: Kind::Word(&["always", "madvise", "never"]),
        ..KnobSpec::RUNTIME
    },
    path: "/sys/kernel/mm/transparent_hugepage/enabled",
    codec: Codec::Bracketed,
});

const MIN_FREE: &str = "/proc/sys/vm/min_free_kbytes";

impl Knob for Enabled {
    fn spec(&self) -> &KnobSpec {
        self.0.spec()
    }

    fn targets(&self, host: &Host) -> Vec<Target> {
        self.0.targets(host)
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        self.0.read(host, target)
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        self.0.normalize(host, target, value)
    }

    /// khugepaged, where it starts or stops, makes min_free_kbytes what suits it (set_recommended_min_free_kbytes,
    /// mm/khugepaged.c): that is a knob of its own, and stays as it was. It is written only where it changed: a value that is
    /// written counts as the user's, and the kernel does not go below it by itself from then on (user_min_free_kbytes,
    /// mm/page_alloc.c).
    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let before = host.root.read(MIN_FREE);
        let held = self.0.write(host, target, value)?;
        if let (Ok(before), Ok(now)) = (before, host.root.read(MIN_FREE))
            && before != now
        {
            write(host, MIN_FREE, &before)?;
        }
        Ok(held)
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        self.0.changeable(host, target)
    }

    fn file(&self, target: &Target) -> Option<String> {
        self.0.file(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;

    #[test]
    fn the_least_free_memory_stays_as_it_was() {
        let choices = "always [madvise] never";
        let (folder, host) = fake::host(&[(ENABLED.0.path, choices), ("/proc/sys/vm/.keep", "")]);
        // As one file: what is written to the one changes the other, as khugepaged does.
        let at = |path: &str| folder.path().join(path.trim_start_matches('/'));
        std::os::unix::fs::symlink(ENABLED.0.path, at(MIN_FREE)).expect("a link");
        ENABLED.write(&host, &Target::Host, &Value::Word("never".to_owned())).expect("write");
        assert_eq!(host.root.read(MIN_FREE).expect("read"), choices);
    }
}
