//! Generic knobs: sysctls, sysfs files and device attributes by name.

mod named_file;
mod power_control;

use crate::tune::knob::file_knob::FileKnob;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::spec::KnobSpec;
use crate::tune::knob::value_file::{Codec, ValueFile};
use crate::tune::value::ValueKind;

/// The knobs of this family.
pub(super) static KNOBS: &[&'static dyn Knob] = &[
    &named_file::SYSCTL,
    &named_file::SYSFS,
    &power_control::PowerControl,
    &FileKnob {
        spec: KnobSpec {
            id: "device.aspm",
            doc: "The power management policy of PCI Express links (ASPM). Waking a sleeping link takes microseconds. The firmware may not \
                  allow the kernel to control it (EPERM).",
            source: "pcie_aspm_set_policy, drivers/pci/pcie/aspm.c",
            kind: ValueKind::Word(&["default", "performance", "powersave", "powersupersave"]),
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/sys/module/pcie_aspm/parameters/policy", codec: Codec::Bracketed },
    },
];
