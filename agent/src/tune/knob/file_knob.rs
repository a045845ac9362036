//! A knob whose value is in one file: most of sysfs, and all of `/proc/sys`.

use super::error::KnobError;
use super::knob::Knob;
use super::reading::{Held, Reading};
use super::spec::KnobSpec;
use super::value_file::ValueFile;
use crate::host::Host;
use crate::tune::value::{KnobTarget, Value};

/// A knob whose value is in one file.
#[derive(Clone, Copy, Debug)]
pub struct FileKnob {
    /// The description of the knob.
    pub spec: KnobSpec,
    /// The file.
    pub file: ValueFile,
}

impl Knob for FileKnob {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn value_file(&self) -> Option<&ValueFile> {
        Some(&self.file)
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        self.file.read(host, target, self.spec.kind)
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        self.file.write(host, target, value)
    }
}
