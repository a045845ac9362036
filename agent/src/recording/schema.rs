//! The tables of a recording: their columns, as Parquet writes schemas.
//!
//! Names end in their unit. Identifiers count rows from 0, so that `stack_id` is both a column and a row number. Every
//! `_ns` is a signed integer, so that SQL may subtract; a duration of more than 2^63 ns (292 years) is written as that.

use super::limits::TableLimit;

/// A table: the file that holds it, and its columns.
pub(super) struct Table {
    /// The file's name in the recording.
    pub(super) file: &'static str,
    /// Its columns as a Parquet message type.
    pub(super) columns: &'static str,
    /// Columns whose values rise slowly: stored as differences.
    pub(super) rising: &'static [&'static str],
    /// How large it may be for a reader. The rows are what this machine's reader takes some 10 GiB for, in a report of all
    /// of them.
    pub(super) limit: TableLimit,
}

/// One row for each observation, in the order in which they ended. `value_ns / probability` estimates what a row stands
/// for. Thread names stand beside the identifiers so that common questions need no join.
pub(super) const SAMPLES: Table = Table {
    file: "samples.parquet",
    columns: "message samples {
        required int32 sample_id (INTEGER(32, false));
        required int64 time_ns;
        required binary kind (STRING);
        optional binary reason (STRING);
        required int64 value_ns;
        required double probability;
        optional int64 runqueue_ns;
        optional boolean still_blocked;
        required int32 cpu (INTEGER(32, false));
        required int32 thread_id (INTEGER(32, false));
        required int32 pid (INTEGER(32, false));
        required int32 tid (INTEGER(32, false));
        required binary comm (STRING);
        optional int32 stack_id (INTEGER(32, false));
        optional int32 waker_thread_id (INTEGER(32, false));
        optional int32 waker_pid (INTEGER(32, false));
        optional int32 waker_tid (INTEGER(32, false));
        optional binary waker_comm (STRING);
        optional int32 waker_stack_id (INTEGER(32, false));
        optional int32 waker_sample_id (INTEGER(32, false));
    }",
    rising: &["sample_id", "time_ns"],
    limit: TableLimit { rows: 32 << 20, rows_per_kib: 512, bytes: 2 << 30 },
};

/// One row for each node of the tree of call stacks: a frame and its caller's row, which comes earlier.
pub(super) const STACKS: Table = Table {
    file: "stacks.parquet",
    columns: "message stacks {
        required int32 stack_id (INTEGER(32, false));
        optional int32 parent_id (INTEGER(32, false));
        required int32 frame_id (INTEGER(32, false));
    }",
    rising: &["stack_id"],
    limit: TableLimit { rows: 16 << 20, rows_per_kib: 2048, bytes: 512 << 20 },
};

/// One row for each code location. `address` is a kernel address, an offset in the file of the module, or an address in
/// the process `pid`, as `kind` says; a label has none.
pub(super) const FRAMES: Table = Table {
    file: "frames.parquet",
    columns: "message frames {
        required int32 frame_id (INTEGER(32, false));
        required binary kind (STRING);
        optional binary name (STRING);
        optional int64 name_offset (INTEGER(64, false));
        optional int64 address (INTEGER(64, false));
        optional int32 pid (INTEGER(32, false));
        optional int32 module_id (INTEGER(32, false));
        optional binary module (STRING);
        optional binary build_id (STRING);
    }",
    rising: &["frame_id"],
    limit: TableLimit { rows: 4 << 20, rows_per_kib: 512, bytes: 512 << 20 },
};

/// One row for each thread under one name.
pub(super) const THREADS: Table = Table {
    file: "threads.parquet",
    columns: "message threads {
        required int32 thread_id (INTEGER(32, false));
        required int32 pid (INTEGER(32, false));
        required int32 tid (INTEGER(32, false));
        required binary comm (STRING);
    }",
    rising: &["thread_id"],
    limit: TableLimit { rows: 4 << 20, rows_per_kib: 1024, bytes: 256 << 20 },
};

/// Exact totals: one row for each thread and counter.
pub(super) const COUNTERS: Table = Table {
    file: "counters.parquet",
    columns: "message counters {
        required int32 thread_id (INTEGER(32, false));
        required int32 pid (INTEGER(32, false));
        required int32 tid (INTEGER(32, false));
        required binary comm (STRING);
        required binary name (STRING);
        required int64 value;
    }",
    rising: &[],
    limit: TableLimit { rows: 24 << 20, rows_per_kib: 4096, bytes: 512 << 20 },
};

/// The counters of [`COUNTERS`], by reason in the order of [`crate::profile::Reason::ALL`]: how often, and how long.
pub(super) const OFF_CPU_COUNTERS: [(&str, &str); 3] = [
    ("offcpu.blocked.count", "offcpu.blocked.ns"),
    ("offcpu.preempted.count", "offcpu.preempted.ns"),
    ("offcpu.io-wait.count", "offcpu.io-wait.ns"),
];

/// Values of the column `kind` of [`SAMPLES`].
pub(super) mod sample_kind {
    pub(in crate::recording) const ON_CPU: &str = "on-cpu";
    pub(in crate::recording) const OFF_CPU: &str = "off-cpu";
}

/// Values of the column `kind` of [`FRAMES`].
pub(super) mod frame_kind {
    pub(in crate::recording) const KERNEL: &str = "kernel";
    pub(in crate::recording) const MODULE: &str = "module";
    pub(in crate::recording) const UNMAPPED: &str = "unmapped";
    pub(in crate::recording) const LABEL: &str = "label";
}
