//! Memory: huge pages, reclaim, compaction and writeback.

mod dirty;
mod thp;

use crate::tune::knob::file_knob::FileKnob;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::spec::{KnobSpec, Risk, Stage};
use crate::tune::knob::value_file::{Codec, ValueFile};
use crate::tune::value::{Scope, ValueKind};

/// The knobs of this family.
pub(super) static KNOBS: &[&'static dyn Knob] = &[
    &huge_pages("memory.hugepages_64k", "/sys/devices/system/node/node{}/hugepages/hugepages-64kB/nr_hugepages"),
    &huge_pages("memory.hugepages_2m", "/sys/devices/system/node/node{}/hugepages/hugepages-2048kB/nr_hugepages"),
    &huge_pages("memory.hugepages_32m", "/sys/devices/system/node/node{}/hugepages/hugepages-32768kB/nr_hugepages"),
    &huge_pages("memory.hugepages_512m", "/sys/devices/system/node/node{}/hugepages/hugepages-524288kB/nr_hugepages"),
    &huge_pages("memory.hugepages_1g", "/sys/devices/system/node/node{}/hugepages/hugepages-1048576kB/nr_hugepages"),
    &thp::TransparentHugePages,
    &FileKnob {
        spec: KnobSpec {
            id: "memory.thp_defrag",
            doc: "What a page fault does if no huge page is free: `always` reclaims and compacts memory immediately, which stalls the \
                  thread for milliseconds; `defer` leaves that to kernel threads.",
            source: "Documentation/admin-guide/mm/transhuge.rst",
            kind: ValueKind::Word(&["always", "defer", "defer+madvise", "madvise", "never"]),
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/sys/kernel/mm/transparent_hugepage/defrag", codec: Codec::Bracketed },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.thp_shmem",
            doc: "Whether shared memory gets transparent huge pages.",
            source: "Documentation/admin-guide/mm/transhuge.rst",
            kind: ValueKind::Word(&["always", "within_size", "advise", "never", "deny", "force"]),
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/sys/kernel/mm/transparent_hugepage/shmem_enabled", codec: Codec::Bracketed },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.thp_khugepaged_defrag",
            doc: "Whether khugepaged reclaims and compacts memory to obtain huge pages. Off, it still merges small pages into free \
                  huge pages; `memory.thp` stops it completely.",
            source: "Documentation/admin-guide/mm/transhuge.rst, khugepaged/defrag; alloc_hugepage_khugepaged_gfpmask, \
                     mm/khugepaged.c",
            kind: ValueKind::Switch,
            ..KnobSpec::RUNTIME
        },
        file: ValueFile {
            path: "/sys/kernel/mm/transparent_hugepage/khugepaged/defrag",
            codec: Codec::Words("0", "1"),
        },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.ksm",
            doc: "Whether ksmd merges identical pages: 0 stops it, 1 runs it, 2 stops it and unmerges all pages. A write to a merged \
                  page faults and copies the page.",
            source: "Documentation/admin-guide/mm/ksm.rst, run",
            kind: ValueKind::Integer { min: 0, max: 2, unit: "" },
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/sys/kernel/mm/ksm/run", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.numa_balancing",
            doc: "Whether the kernel unmaps pages periodically to find out which CPUs access them, and migrates them: 0 off, 1 between \
                  nodes, 2 between memory tiers, 3 both. Each unmapped page costs the program a page fault.",
            source: "Documentation/admin-guide/sysctl/kernel.rst, numa_balancing (2 and 3: 5.18)",
            kind: ValueKind::Integer { min: 0, max: 3, unit: "" },
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/kernel/numa_balancing", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.compaction_proactiveness",
            doc: "How aggressively kcompactd compacts memory in the background to make huge pages available, from 0 (not at all) to 100.",
            source: "Documentation/admin-guide/sysctl/vm.rst, compaction_proactiveness",
            kind: ValueKind::Integer { min: 0, max: 100, unit: "" },
            // compaction_proactiveness_sysctl_handler, mm/compaction.c
            risk: Risk::Medium(
                "since 5.15 writing any value except 0 compacts memory immediately, also during a rollback",
            ),
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/vm/compaction_proactiveness", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.compact_unevictable",
            doc: "Whether compaction migrates locked pages. Off, it causes no page faults in a program that locked its memory. Other \
                  kinds of migration are not affected.",
            source: "Documentation/admin-guide/sysctl/vm.rst, compact_unevictable_allowed",
            kind: ValueKind::Switch,
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/vm/compact_unevictable_allowed", codec: Codec::Words("0", "1") },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.swappiness",
            doc: "The preference for swapping anonymous pages over reclaiming pages of files: at 100 both are reclaimed alike. At 0 the \
                  kernel swaps only if hardly any file pages are left, and never because of a cgroup limit. With the \
                  multi-generational LRU (CONFIG_LRU_GEN_ENABLED, 6.1) 0 never swaps, and 1 is the lowest useful value.",
            source: "Documentation/admin-guide/sysctl/vm.rst, swappiness; get_scan_count and isolate_folios, mm/vmscan.c",
            kind: ValueKind::Integer { min: 0, max: 200, unit: "" },
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/vm/swappiness", codec: Codec::Plain },
    },
    &dirty::LIMIT,
    &dirty::BACKGROUND_LIMIT,
    &FileKnob {
        spec: KnobSpec {
            id: "memory.dirty_expire",
            doc: "The age at which the flusher threads must write out dirty pages.",
            source: "Documentation/admin-guide/sysctl/vm.rst, dirty_expire_centisecs",
            kind: ValueKind::Integer { min: 0, max: i32::MAX as i64, unit: "cs" },
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/vm/dirty_expire_centisecs", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.dirty_writeback",
            doc: "The interval at which the flusher threads wake up; 0 disables the periodic wakeups.",
            source: "Documentation/admin-guide/sysctl/vm.rst, dirty_writeback_centisecs",
            kind: ValueKind::Integer { min: 0, max: i32::MAX as i64, unit: "cs" },
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/vm/dirty_writeback_centisecs", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.stat_interval",
            doc: "The interval at which each CPU folds its counters into the global memory statistics, by a worker on the CPU. Idle CPUs \
                  are not woken. Recent kernels (6.12, but not 6.1) skip isolated CPUs.",
            source: "Documentation/admin-guide/sysctl/vm.rst, stat_interval; vmstat_shepherd, mm/vmstat.c",
            kind: ValueKind::Integer { min: 1, max: i32::MAX as i64, unit: "s" },
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/vm/stat_interval", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.min_free_kbytes",
            doc: "The amount of memory that is kept free. A larger reserve lets bursts of allocations proceed without waiting for reclaim.",
            source: "Documentation/admin-guide/sysctl/vm.rst, min_free_kbytes",
            kind: ValueKind::Integer { min: 1024, max: i32::MAX as i64, unit: "kB" },
            risk: Risk::Medium("a large reserve leaves less memory to programs"),
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/vm/min_free_kbytes", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.zone_reclaim_mode",
            doc: "Whether a full node reclaims its own pages before memory of another node is used: 0 off; otherwise the sum of 1 (enable), \
                  2 (write out dirty pages) and 4 (swap).",
            source: "Documentation/admin-guide/sysctl/vm.rst, zone_reclaim_mode",
            kind: ValueKind::Integer { min: 0, max: 7, unit: "" },
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/vm/zone_reclaim_mode", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.watermark_scale_factor",
            doc: "The distance between the watermarks of a node, in 10,000ths of its memory: it determines when kswapd starts and how much \
                  it frees. A larger value makes direct reclaim in programs less likely.",
            source: "Documentation/admin-guide/sysctl/vm.rst, watermark_scale_factor (up to 3000: 5.17)",
            kind: ValueKind::Integer { min: 1, max: 3000, unit: "/10000" },
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/vm/watermark_scale_factor", codec: Codec::Plain },
    },
    &FileKnob {
        spec: KnobSpec {
            id: "memory.watermark_boost_factor",
            doc: "How much more memory kswapd frees when memory is fragmented, in 10,000ths of the high watermark; 0 disables it.",
            source: "Documentation/admin-guide/sysctl/vm.rst, watermark_boost_factor",
            kind: ValueKind::Integer { min: 0, max: i32::MAX as i64, unit: "/10000" },
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path: "/proc/sys/vm/watermark_boost_factor", codec: Codec::Plain },
    },
];

/// Huge pages of one size, on each node.
const fn huge_pages(id: &'static str, path: &'static str) -> FileKnob {
    FileKnob {
        spec: KnobSpec {
            id,
            doc: "The number of huge pages of this size that are reserved on each NUMA node for programs that request them. They reduce \
                  TLB misses and page faults. The kernel may find less contiguous memory than requested; that is an error.",
            source: "Documentation/admin-guide/mm/hugetlbpage.rst",
            kind: ValueKind::Integer { min: 0, max: i32::MAX as i64, unit: "pages" },
            scope: Scope::Node,
            risk: Risk::Medium("the reserved memory is not available to programs that do not request huge pages"),
            // In an earlier stage than settings that use contiguous memory.
            stage: Stage::Presence,
            ..KnobSpec::RUNTIME
        },
        file: ValueFile { path, codec: Codec::Plain },
    }
}
