//! Pages: how large, where, and what the kernel does behind a program's back to them.

mod dirty;
mod thp;

use super::{Codec, FileKnob, Knob, KnobSpec, Risk, Stage};
use crate::tune::{Kind, Scope};

/// The family.
pub(super) static KNOBS: &[&'static dyn Knob] = &[
    &huge_pages("memory.hugepages_64k", "/sys/devices/system/node/node{}/hugepages/hugepages-64kB/nr_hugepages"),
    &huge_pages("memory.hugepages_2m", "/sys/devices/system/node/node{}/hugepages/hugepages-2048kB/nr_hugepages"),
    &huge_pages("memory.hugepages_32m", "/sys/devices/system/node/node{}/hugepages/hugepages-32768kB/nr_hugepages"),
    &huge_pages("memory.hugepages_512m", "/sys/devices/system/node/node{}/hugepages/hugepages-524288kB/nr_hugepages"),
    &huge_pages("memory.hugepages_1g", "/sys/devices/system/node/node{}/hugepages/hugepages-1048576kB/nr_hugepages"),
    &thp::ENABLED,
    &FileKnob {
        spec: KnobSpec {
            id: "memory.thp_defrag",
            doc: "What a page fault does for a transparent huge page when there is none: `always` reclaims and compacts there \
                  and then, which stalls the thread for milliseconds; `defer` leaves that to kernel threads.",
            source: "Documentation/admin-guide/mm/transhuge.rst",
            kind: Kind::Word(&["always", "defer", "defer+madvise", "madvise", "never"]),
            ..KnobSpec::RUNTIME
        },
        path: "/sys/kernel/mm/transparent_hugepage/defrag",
        codec: Codec::Bracketed,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.thp_shmem",
            doc: "Whether shared memory gets transparent huge pages.",
            source: "Documentation/admin-guide/mm/transhuge.rst",
            kind: Kind::Word(&["always", "within_size", "advise", "never", "deny", "force"]),
            ..KnobSpec::RUNTIME
        },
        path: "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
        codec: Codec::Bracketed,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.thp_khugepaged_defrag",
            doc: "Whether khugepaged reclaims and compacts memory to get huge pages. Off, it goes on merging small pages into \
                  huge ones that are free; `memory.thp` stops it.",
            source: "Documentation/admin-guide/mm/transhuge.rst, khugepaged/defrag; alloc_hugepage_khugepaged_gfpmask, \
                     mm/khugepaged.c",
            kind: Kind::Switch,
            ..KnobSpec::RUNTIME
        },
        path: "/sys/kernel/mm/transparent_hugepage/khugepaged/defrag",
        codec: Codec::Words("0", "1"),
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.ksm",
            doc: "Whether ksmd looks for equal pages to share: 0 stops it, 1 runs it, 2 stops it and takes the sharing back. \
                  A write to a shared page is a fault that copies.",
            source: "Documentation/admin-guide/mm/ksm.rst, run",
            kind: Kind::Integer { min: 0, max: 2, unit: "" },
            ..KnobSpec::RUNTIME
        },
        path: "/sys/kernel/mm/ksm/run",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.numa_balancing",
            doc: "Whether the kernel unmaps pages now and then to see who touches them, and moves them: 0 for no, 1 for \
                  between nodes, 2 for between tiers, 3 for both. Each such page costs its program a fault.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, numa_balancing (2 and 3: 5.18)",
            kind: Kind::Integer { min: 0, max: 3, unit: "" },
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/kernel/numa_balancing",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.compaction_proactiveness",
            doc: "How eagerly kcompactd makes room for huge pages before they are asked for; 0 for not at all.",
            source: "Documentation/admin-guide/sysctl/vm.rst, compaction_proactiveness",
            kind: Kind::Integer { min: 0, max: 100, unit: "" },
            // compaction_proactiveness_sysctl_handler, mm/compaction.c
            risk: Risk::Medium("writing any value but 0 compacts memory at once, undoing too, from 5.15 on"),
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/vm/compaction_proactiveness",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.compact_unevictable",
            doc: "Whether compaction moves locked pages. Off, a program that locked its memory takes no faults from it; what else \
                  moves pages still does.",
            source: "Documentation/admin-guide/sysctl/vm.rst, compact_unevictable_allowed",
            kind: Kind::Switch,
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/vm/compact_unevictable_allowed",
        codec: Codec::Words("0", "1"),
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.swappiness",
            doc: "What the kernel would rather take when memory is short, pages of files or anonymous ones, which it swaps: 100 \
                  for both alike. 0 swaps only when hardly any page of a file is left, and never for a cgroup's limit; with the \
                  multi-generational LRU (CONFIG_LRU_GEN_ENABLED, 6.1) it never swaps: 1 is the least there.",
            source: "Documentation/admin-guide/sysctl/vm.rst, swappiness; get_scan_count and isolate_folios, mm/vmscan.c",
            kind: Kind::Integer { min: 0, max: 200, unit: "" },
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/vm/swappiness",
        codec: Codec::Plain,
    },
    &dirty::LIMIT,
    &dirty::BACKGROUND_LIMIT,
    &FileKnob {
        spec: KnobSpec {
            id: "memory.dirty_expire",
            doc: "How old a written page may get before the flusher threads must write it out.",
            source: "Documentation/admin-guide/sysctl/vm.rst, dirty_expire_centisecs",
            kind: Kind::Integer { min: 0, max: i32::MAX as i64, unit: "cs" },
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/vm/dirty_expire_centisecs",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.dirty_writeback",
            doc: "How often the flusher threads wake up; 0 for never by themselves.",
            source: "Documentation/admin-guide/sysctl/vm.rst, dirty_writeback_centisecs",
            kind: Kind::Integer { min: 0, max: i32::MAX as i64, unit: "cs" },
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/vm/dirty_writeback_centisecs",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.stat_interval",
            doc: "How often CPUs that have something to add to the memory statistics run a worker that adds it. An idle CPU is \
                  not woken for it. Kernels of today (6.12, not 6.1) leave isolated CPUs out.",
            source: "Documentation/admin-guide/sysctl/vm.rst, stat_interval; vmstat_shepherd, mm/vmstat.c",
            kind: Kind::Integer { min: 1, max: i32::MAX as i64, unit: "s" },
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/vm/stat_interval",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.min_free_kbytes",
            doc: "How much memory is kept free. More leaves room for bursts, which then need not wait for reclaim.",
            source: "Documentation/admin-guide/sysctl/vm.rst, min_free_kbytes",
            kind: Kind::Integer { min: 1024, max: i32::MAX as i64, unit: "kB" },
            risk: Risk::Medium("too much of it leaves too little to programs"),
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/vm/min_free_kbytes",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.zone_reclaim_mode",
            doc: "Whether a node that is full reclaims its own pages before it takes another node's: 0 for no; 1, 2 and 4 \
                  add up to how far it goes.",
            source: "Documentation/admin-guide/sysctl/vm.rst, zone_reclaim_mode",
            kind: Kind::Integer { min: 0, max: 7, unit: "" },
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/vm/zone_reclaim_mode",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.watermark_scale_factor",
            doc: "How far before memory is short kswapd begins, and how much it frees, in 10,000ths of a node: more of it keeps \
                  programs from reclaiming themselves.",
            source: "Documentation/admin-guide/sysctl/vm.rst, watermark_scale_factor (up to 3000: 5.17)",
            kind: Kind::Integer { min: 1, max: 3000, unit: "/10000" },
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/vm/watermark_scale_factor",
        codec: Codec::Plain,
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.watermark_boost_factor",
            doc: "How much more kswapd frees when memory fragments, in 10,000ths of the high watermark; 0 for no more.",
            source: "Documentation/admin-guide/sysctl/vm.rst, watermark_boost_factor",
            kind: Kind::Integer { min: 0, max: i32::MAX as i64, unit: "/10000" },
            ..KnobSpec::RUNTIME
        },
        path: "/proc/sys/vm/watermark_boost_factor",
        codec: Codec::Plain,
    },
];

/// Huge pages of one size, on each node.
const fn huge_pages(id: &'static str, path: &'static str) -> FileKnob {
    FileKnob {
        spec: KnobSpec {
            id,
            doc: "Huge pages of this size to keep for programs that ask for them, on each NUMA node. Fewer TLB misses and page \
                  faults. The kernel gives as many as it finds in one piece, which may be fewer: then it is refused.",
            source: "Documentation/admin-guide/mm/hugetlbpage.rst",
            kind: Kind::Integer { min: 0, max: i32::MAX as i64, unit: "pages" },
            scope: Scope::Node,
            risk: Risk::Medium("their memory is lost to everything that does not ask for huge pages"),
            // Before anything else takes the large pieces of memory.
            stage: Stage::Presence,
            ..KnobSpec::RUNTIME
        },
        path,
        codec: Codec::Plain,
    }
}
