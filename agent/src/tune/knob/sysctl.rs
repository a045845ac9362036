//! Any value by its name: what no knob of its own has.

mod device;
mod path;

pub(super) use device::file as file_of_device;
pub(super) use path::sysctl as file_of_parameter;

use super::{Codec, FileKnob, Knob, KnobSpec};
use crate::tune::Kind;

/// The family.
pub(super) static KNOBS: &[&'static dyn Knob] = &[
    &path::SYSCTL,
    &path::SYSFS,
    &device::PowerControl,
    &FileKnob {
        spec: KnobSpec {
            id: "device.aspm",
            doc: "Whether PCI Express links sleep between transfers: waking one takes microseconds. Firmware may keep it to \
                  itself (EPERM).",
            source: "pcie_aspm_set_policy, drivers/pci/pcie/aspm.c",
            kind: Kind::Word(&["default", "performance", "powersave", "powersupersave"]),
            ..KnobSpec::RUNTIME
        },
        path: "/sys/module/pcie_aspm/parameters/policy",
        codec: Codec::Bracketed,
    },
];
