//! Settings of an interface that are files.

use crate::tune::knob::{Codec, FileKnob, Knob, KnobSpec, Lifetime, Risk, Stage};
use crate::tune::{Kind, Scope};

const ABI: &str = "Documentation/ABI/testing/sysfs-class-net";
const NAPI: &str = "Documentation/networking/napi.rst (IRQ mitigation)";

const fn file(
    (id, doc, source): (&'static str, &'static str, &'static str),
    kind: Kind,
    path: &'static str,
    codec: Codec,
) -> FileKnob {
    FileKnob { spec: KnobSpec { id, doc, source, kind, scope: Scope::Nic, ..KnobSpec::RUNTIME }, path, codec }
}

pub(super) static KNOBS: &[&dyn Knob] = &[
    &file(
        (
            "net.gro_flush_timeout",
            "How long the stack may hold packets for GRO, and how long interrupts stay off while `net.napi_defer_hard_irqs` lasts. \
             0 holds none beyond a poll.",
            NAPI,
        ),
        Kind::Integer { min: 0, max: i64::MAX, unit: "ns" },
        "/sys/class/net/{}/gro_flush_timeout",
        Codec::Plain,
    ),
    &file(
        (
            "net.napi_defer_hard_irqs",
            "How many empty polls may pass before interrupts are on again: with `net.gro_flush_timeout`, a busy-polling thread is \
             not interrupted.",
            NAPI,
        ),
        Kind::Integer { min: 0, max: i32::MAX as i64, unit: "polls" },
        "/sys/class/net/{}/napi_defer_hard_irqs",
        Codec::Plain,
    ),
    &FileKnob {
        spec: KnobSpec {
            id: "net.threaded",
            doc: "Whether packets are handled in kernel threads, which have an affinity and a priority, rather than in softirqs.",
            source: "Documentation/ABI/testing/sysfs-class-net; from 5.12 on",
            kind: Kind::Switch,
            scope: Scope::Nic,
            lifetime: Lifetime::Runtime,
            risk: Risk::Medium("threads compete with others for the CPU: give them a priority"),
            stage: Stage::Setting,
            ..KnobSpec::RUNTIME
        },
        path: "/sys/class/net/{}/threaded",
        codec: Codec::Words("0", "1"),
    },
    &file(
        (
            "net.tx_queue_len",
            "How many packets the queueing discipline may hold, for those that ask for it, as pfifo_fast: fq and fq_codel have limits of \
         their own.",
            ABI,
        ),
        Kind::Integer { min: 0, max: u32::MAX as i64, unit: "packets" },
        "/sys/class/net/{}/tx_queue_len",
        Codec::Plain,
    ),
];
