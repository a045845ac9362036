//! Settings of interfaces in sysfs files.

use crate::tune::knob::file_knob::FileKnob;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::spec::{KnobSpec, Risk};
use crate::tune::knob::value_file::{Codec, ValueFile};
use crate::tune::value::{Scope, ValueKind};

const ABI: &str = "Documentation/ABI/testing/sysfs-class-net";
const NAPI: &str = "Documentation/networking/napi.rst (IRQ mitigation)";

const fn file(
    (id, doc, source): (&'static str, &'static str, &'static str),
    kind: ValueKind,
    path: &'static str,
    codec: Codec,
) -> FileKnob {
    FileKnob {
        spec: KnobSpec { id, doc, source, kind, scope: Scope::Nic, ..KnobSpec::RUNTIME },
        file: ValueFile { path, codec },
    }
}

pub(super) static KNOBS: &[&dyn Knob] = &[
    &file(
        (
            "net.gro_flush_timeout",
            "How long packets may be held for GRO, and how long interrupts stay disabled with `net.napi_defer_hard_irqs`. 0 delivers all \
             packets at the end of a poll.",
            NAPI,
        ),
        ValueKind::Integer { min: 0, max: i64::MAX, unit: "ns" },
        "/sys/class/net/{}/gro_flush_timeout",
        Codec::Plain,
    ),
    &file(
        (
            "net.napi_defer_hard_irqs",
            "The number of empty polls after which interrupts are enabled again. With `net.gro_flush_timeout`, a busy-polling thread is \
             not interrupted.",
            NAPI,
        ),
        ValueKind::Integer { min: 0, max: i32::MAX as i64, unit: "polls" },
        "/sys/class/net/{}/napi_defer_hard_irqs",
        Codec::Plain,
    ),
    &FileKnob {
        spec: KnobSpec {
            id: "net.threaded",
            doc: "Whether packets are processed in kernel threads, which have an affinity and a priority, instead of softirqs.",
            source: "Documentation/ABI/testing/sysfs-class-net; since 5.12",
            kind: ValueKind::Switch,
            scope: Scope::Nic,
            risk: Risk::Medium("the threads compete with others for the CPU, and may need a priority"),
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/sys/class/net/{}/threaded", codec: Codec::Words("0", "1") },
    },
    &file(
        (
            "net.tx_queue_len",
            "The maximum number of packets in the queueing discipline, for those that use it, such as pfifo_fast. fq and fq_codel have \
             their own limits.",
            ABI,
        ),
        ValueKind::Integer { min: 0, max: u32::MAX as i64, unit: "packets" },
        "/sys/class/net/{}/tx_queue_len",
        Codec::Plain,
    ),
];
