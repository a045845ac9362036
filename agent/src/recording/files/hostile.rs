//! Malicious recordings: each is rejected, or read as far as it is valid, with little time and memory.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use parquet::data_type::ByteArray;
use tempfile::TempDir;

use super::limits;
use super::table::Table;
use super::table_write::write_table;
use super::tables::frames::{FRAMES, INLINED};
use super::tables::histograms::HISTOGRAMS;
use super::tables::processes::PROCESSES;
use super::tables::samples::SAMPLES;
use super::tables::stacks::STACKS;
use super::tables::threads::THREADS;
use super::tests::{TABLES, meta_json, smallest, vouch, written};
use super::*;
use crate::file::Directory;
use crate::recording::{Location, Recording, Sample};
use crate::units::{Addr, Nanos};

fn refused(dir: &Path) -> String {
    read(dir).expect_err("a hostile recording").to_string()
}

/// Bytes of Thrift's compact protocol.
#[derive(Clone, Default)]
struct Made(Vec<u8>);

impl Made {
    fn varint(mut self, mut number: u64) -> Self {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// A field, by the difference between its number and the number of the previous field.
    fn integer(self, above: u8, number: i64) -> Self {
        self.byte(above << 4 | 6).varint(((number << 1) ^ (number >> 63)) as u64)
    }

    fn text(mut self, above: u8, text: &str) -> Self {
        self = self.byte(above << 4 | 8).varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn list(self, above: u8, length: u64) -> Self {
        self.byte(above << 4 | 9).byte(0xfc).varint(length)
    }

    fn stop(self) -> Self {
        self.byte(0)
    }

    fn append(mut self, other: &Self) -> Self {
        self.0.extend_from_slice(&other.0);
        self
    }
}

/// A required column of 32-bit numbers.
fn leaf(name: &str) -> Made {
    Made::default().integer(1, 1).integer(2, 0).text(1, name).stop()
}

fn root(children: i64) -> Made {
    Made::default().text(4, "root").integer(1, children).stop()
}

/// A page header. `field` is the number of the struct for its kind.
fn page_header(kind: i64, decompressed: i64, compressed: usize, field: u8, values: i64, encoding: i64) -> Made {
    let header = Made::default().integer(1, kind).integer(1, decompressed).integer(1, compressed as i64);
    header.byte((field - 3) << 4 | 12).integer(1, values).integer(1, encoding).integer(1, 3).stop().stop()
}

/// A table of 32-bit columns that all have the same position in the file, with `groups` groups of `rows` rows.
fn table_file(columns: &[&str], groups: u64, rows: i64, codec: i64, chunk: &[u8]) -> Vec<u8> {
    let mut footer =
        Made::default().integer(1, 1).list(1, columns.len() as u64 + 1).append(&root(columns.len() as i64));
    for name in columns {
        footer = footer.append(&leaf(name));
    }
    footer = footer.integer(1, rows).list(1, groups);
    for _ in 0..groups {
        footer = footer.list(1, columns.len() as u64);
        for _ in columns {
            let data = Made::default().integer(4, codec).integer(3, chunk.len() as i64).integer(2, 4).stop();
            footer = footer.byte(3 << 4 | 12).append(&data).stop();
        }
        footer = footer.integer(2, rows).stop();
    }
    file_of(chunk, &footer.stop())
}

fn file_of(chunk: &[u8], footer: &Made) -> Vec<u8> {
    let length = u32::try_from(footer.0.len()).expect("a small footer").to_le_bytes();
    [b"PAR1", chunk, &footer.0, &length, b"PAR1"].concat()
}

/// [`smallest`], with the file of a table replaced, and with the checksum of the new file.
fn with_table(table: &Table, content: &[u8]) -> (TempDir, PathBuf) {
    let (parent, dir) = written(&smallest());
    fs::write(dir.join(table.file), content).expect("a writable file");
    vouch(&dir);
    (parent, dir)
}

const STACK_COLUMNS: [&str; 3] = ["stack_id", "parent_id", "frame_id"];

/// A run of `values` zeros in five bytes.
fn run_of_zeros(values: u64) -> Vec<u8> {
    // The bit width of an index, then an RLE run (Parquet, Encodings: RLE = 3).
    Made::default().byte(1).varint(values << 1).byte(0).0
}

#[test]
fn a_few_bytes_that_stand_for_millions_of_rows_are_refused_by_their_footer() {
    let rows = 200_000_000 / 400;
    let index = run_of_zeros(rows);
    let dictionary = page_header(2, 4, 4, 7, 1, 0).0;
    let data = page_header(0, index.len() as i64, index.len(), 5, rows as i64, 8).0;
    let chunk = [&dictionary[..], &[0; 4], &data, &index].concat();
    for (groups, why) in [(400, "200000000 rows (limit: 16777216)"), (4, "which is implausible (limit: 65536)")] {
        let (_parent, dir) = with_table(&STACKS, &table_file(&STACK_COLUMNS, groups, rows as i64, 0, &chunk));
        let error = refused(&dir);
        assert!(error.contains(why) && error.contains("\nhint: "), "{error}");
    }
    // All rows in one group, in a table with consistent row counts.
    let (_parent, dir) = with_table(&STACKS, &table_file(&STACK_COLUMNS, 1, 200_000_000, 0, &chunk));
    assert!(refused(&dir).contains("200000000 rows in one group"), "{}", refused(&dir));
    let mut recording = smallest();
    recording.samples = (0..300_000).map(|time| Sample { time: Nanos(time), ..recording.samples[0] }).collect();
    let (_parent, dir) = written(&recording);
    assert!(refused(&dir).contains("implausible"), "{}", refused(&dir));
}

#[test]
fn what_a_page_states_is_not_made_room_for() {
    let bomb = zstd::bulk::compress(&vec![0; 256 << 20], 1).expect("zeros");
    let huge = i64::from(i32::MAX);
    let plain = [0_u8; 4];
    let none: &[u8] = &[];
    let impossible = Made::default().varint(1 << 60).varint(1 << 50).varint(1).varint(0).0;
    let chunks: [(i64, Vec<u8>, &[u8], &str); 7] = [
        (6, page_header(0, huge, bomb.len(), 5, 1, 0).0, &bomb, "a page of 2147483647 bytes"),
        (6, page_header(0, 4, bomb.len(), 5, 1, 0).0, &bomb, "stack_id"),
        (0, page_header(2, 4, 4, 7, huge, 0).0, &plain, "a dictionary states more values than it holds"),
        (0, page_header(0, 4, 4, 5, 1, 8).0, &plain, "an unknown encoding"),
        (0, page_header(0, 4, 4, 5, 1, 7).0, &plain, "an unknown encoding"),
        (0, page_header(0, 4, 400, 5, 1, 0).0, &plain, "a page is longer than its column"),
        (0, page_header(0, huge, 0, 5, huge, 0).0, none, "a page of 2147483647 bytes"),
    ];
    for (codec, header, body, why) in chunks {
        let chunk = [&header[..], body].concat();
        let (_parent, dir) = with_table(&STACKS, &table_file(&STACK_COLUMNS, 1, 1, codec, &chunk));
        assert!(refused(&dir).contains(why), "{why}: {}", refused(&dir));
    }
    let header = page_header(0, impossible.len() as i64, impossible.len(), 5, 1, 5).0;
    let chunk = [&header[..], &impossible].concat();
    let (_parent, dir) = with_table(&STACKS, &table_file(&STACK_COLUMNS, 1, 1, 0, &chunk));
    assert!(refused(&dir).contains("impossible blocks"), "{}", refused(&dir));
}

#[test]
fn pages_are_decompressed_no_further_than_their_file_warrants() {
    // Each page is within its limit and contains one row; the sum of all pages exceeds the limit.
    let zeros = zstd::bulk::compress(&vec![0; 16 << 20], 1).expect("zeros");
    let page = [&page_header(0, 16 << 20, zeros.len(), 5, 1, 0).0[..], &zeros].concat();
    let (_parent, dir) = with_table(&STACKS, &table_file(&STACK_COLUMNS, 1, 40, 6, &page.repeat(40)));
    assert!(refused(&dir).contains("its pages take more than"), "{}", refused(&dir));
}

#[test]
fn a_footer_that_states_or_nests_without_end_is_refused() {
    let nested = |depth| (0..depth).fold(Made::default(), |made, _| made.append(&root(1)));
    let begin = || Made::default().integer(1, 1);
    let footers = [
        begin().list(1, 100_001).append(&nested(100_000)).append(&leaf("x")).stop(),
        begin().list(1, 2).append(&root(i64::from(i32::MAX))).append(&leaf("x")).stop(),
        begin().list(1, u64::from(u32::MAX)).append(&root(1)).stop(),
        begin().list(1, 1).append(&root(0)).integer(1, 1).list(1, u64::from(u32::MAX)).stop(),
        begin().list(1, 2).append(&root(1)).append(&Made::default().text(4, "x").integer(1, i64::MAX).stop()).stop(),
        Made(vec![0x1c; 1 << 20]),
        Made(vec![0x19; 1 << 20]),
    ];
    for (number, footer) in footers.iter().enumerate() {
        let (_parent, dir) = with_table(&STACKS, &file_of(&[], footer));
        assert!(matches!(read(&dir), Err(RecordingError::Damaged { .. })), "{number}: {}", refused(&dir));
    }
    let (_parent, dir) = with_table(&STACKS, &file_of(&[], &Made(vec![0; 5 << 20])));
    assert!(refused(&dir).contains("its footer has 5242880 bytes"), "{}", refused(&dir));
}

#[test]
fn only_regular_files_are_read() {
    for name in TABLES.iter().map(|table| table.file).chain([META_FILE]) {
        let replaced = |what: &dyn Fn(&Path), kind: &str| {
            let (_parent, dir) = written(&smallest());
            let path = dir.join(name);
            let bytes = fs::metadata(&path).expect("a file").len();
            fs::remove_file(&path).expect("a file");
            what(&path);
            let error = refused(&dir);
            assert!(error.contains(name) && error.contains(kind), "{bytes}: {error}");
        };
        replaced(&|path| mkfifo(path, Mode::S_IRWXU).expect("a FIFO"), "a FIFO");
        replaced(&|path| symlink("/dev/zero", path).expect("a link"), "a symbolic link");
        replaced(&|path| symlink("/etc/passwd", path).expect("a link"), "a symbolic link");
        replaced(&|path| fs::create_dir(path).expect("a directory"), "a directory");
        replaced(&|path| drop(UnixListener::bind(path).expect("a socket")), "not a regular file");
    }
}

#[test]
fn a_recording_may_be_reached_by_a_link_that_its_reader_names() {
    let (parent, dir) = written(&smallest());
    let link = parent.path().join("latest.quell");
    symlink(&dir, &link).expect("a link");
    read(&link).expect("the recording");
}

#[test]
fn a_file_is_read_no_further_than_meta_json_states() {
    let (_parent, dir) = written(&smallest());
    let path = dir.join(SAMPLES.file);
    let bytes = fs::metadata(&path).expect("a file").len();
    fs::File::options().write(true).open(&path).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    assert!(refused(&dir).contains(&format!("instead of {bytes}")), "{}", refused(&dir));
    // If `meta.json` states this size, the limit applies; the checksum is not computed.
    let mut meta = meta_json(&dir);
    meta["files"][SAMPLES.file]["bytes"] = (1_u64 << 40).into();
    fs::write(dir.join(META_FILE), meta.to_string()).expect("a writable file");
    assert!(refused(&dir).contains("1099511627776 bytes (limit: 2147483648)"), "{}", refused(&dir));
}

#[test]
fn meta_json_is_bounded_in_size_and_in_what_it_states() {
    let (_parent, dir) = written(&smallest());
    let path = dir.join(META_FILE);
    let whole = fs::read(&path).expect("a file");
    fs::File::options().write(true).open(&path).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    assert!(refused(&dir).contains("limit: 16777216"), "{}", refused(&dir));

    let change = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut meta = serde_json::from_slice(&whole).expect("JSON");
        change(&mut meta);
        fs::write(&path, meta.to_string()).expect("a writable file");
        let error = refused(&dir);
        assert!(error.len() < 2_000 && crate::text::tests::hidden(&error.replace('\n', "")).is_none(), "{error:?}");
        error
    };
    assert!(change(&|meta| meta["cpus"] = "0-4294967295".into()).contains("0-4294967295"));
    let all = "0-8191,".repeat(1 << 20);
    assert!(change(&|meta| meta["host"]["cpus"] = all.clone().into()).contains("0-8191,"));
    assert!(change(&|meta| meta["duration"] = u64::MAX.into()).contains("duration"));
    assert!(change(&|meta| meta["frequency"] = (-1).into()).contains("invalid"));
    let name = "\u{1b}]0;owned\u{7}\u{202e}".repeat(1 << 16);
    assert!(change(&|meta| meta["target"] = name.clone().into()).contains(r"\u001b]0;owned\u0007\u202e"));
    let newer = change(&|meta| (meta["schema"], meta["quell"]) = (99.into(), name.clone().into()));
    assert!(newer.contains("upgrade quell"), "{newer}");
    // Deeper than the recursion limit of the parser.
    let mut file = fs::File::create(&path).expect("a writable file");
    file.write_all(&b"[".repeat(1 << 20)).expect("a writable file");
    assert!(matches!(read(&dir), Err(RecordingError::Damaged { .. })));
}

#[test]
fn stacks_are_as_deep_as_captures_make_them() {
    let deep = |frames: u64| {
        let mut recording = smallest();
        let mut stack = None;
        for addr in 0..frames {
            let frame = recording.frames.intern(Location::Kernel(Addr(addr)));
            stack = Some(recording.stacks.intern(stack, frame));
        }
        recording
    };
    let (_parent, dir) = written(&deep(limits::STACK_DEPTH.into()));
    read(&dir).expect("a deep stack");
    let (_parent, dir) = written(&deep(u64::from(limits::STACK_DEPTH) + 1));
    assert!(refused(&dir).contains("has more than 512 frames"), "{}", refused(&dir));
}

/// The directory of the recording, whose table is written again.
fn directory(dir: &Path) -> Directory {
    Directory::open(dir).expect("a directory")
}

#[test]
fn texts_are_cut_and_their_sum_is_bounded() {
    let long = "ä".repeat(1 << 20);
    let (_parent, dir) = written(&smallest());
    fs::remove_file(dir.join(THREADS.file)).expect("the table");
    write_table(&directory(&dir), &THREADS, &[0_u32], |columns, first, rows| {
        columns.row_numbers("thread_id", first, rows.len())?;
        columns.u32("process_id", rows.iter().copied())?;
        columns.u32("pid", rows.iter().copied())?;
        columns.u32("tid", rows.iter().copied())?;
        columns.text("comm", rows.iter().map(|_| ByteArray::from(long.as_str())))?;
        columns.u32("incarnation", rows.iter().copied())
    })
    .expect("a table");
    vouch(&dir);
    let recording = read(&dir).expect("a cut name");
    let comm = &recording.threads.rows()[0].comm;
    assert!(comm.len() <= limits::COMM_BYTES + '…'.len_utf8() && comm.ends_with("ä…"), "{comm}");

    // The same name of 4 KiB for every frame.
    let name = ByteArray::from("n".repeat(limits::NAME_BYTES).as_str());
    let rows: Vec<u64> = (0..60_000).collect();
    fs::remove_file(dir.join(FRAMES.file)).expect("the table");
    write_table(&directory(&dir), &FRAMES, &rows, |columns, first, rows| {
        columns.row_numbers("frame_id", first, rows.len())?;
        columns.hashes("hash", &vec![0; 16 * 60_000].into(), first, rows.len())?;
        columns.text("kind", rows.iter().map(|_| ByteArray::from("kernel")))?;
        columns.optional_text("name", rows.iter().map(|_| Some(name.clone())))?;
        columns.optional_u64("name_offset", rows.iter().map(|_| Some(0)))?;
        columns.optional_text("file", rows.iter().map(|_| None))?;
        columns.optional_u32("line", rows.iter().map(|_| None))?;
        columns.optional_u64("address", rows.iter().map(|row| Some(*row)))?;
        columns.optional_u32("pid", rows.iter().map(|_| None))?;
        columns.optional_u32("module_id", rows.iter().map(|_| None))?;
        columns.optional_text("module", rows.iter().map(|_| None))?;
        columns.optional_u32("module_major", rows.iter().map(|_| None))?;
        columns.optional_u32("module_minor", rows.iter().map(|_| None))?;
        columns.optional_u64("module_inode", rows.iter().map(|_| None))?;
        columns.optional_text("build_id", rows.iter().map(|_| None))
    })
    .expect("a table");
    vouch(&dir);
    assert!(refused(&dir).contains("its names take more than"), "{}", refused(&dir));
}

#[test]
fn a_probability_that_outweighs_everything_is_refused() {
    for probability in [f64::MIN_POSITIVE, 1e-13, -1.0, f64::INFINITY, 1.5] {
        let whole = smallest();
        let sample = Sample { probability, ..whole.samples[0] };
        let (_parent, dir) = written(&Recording { samples: vec![sample], ..whole });
        assert!(refused(&dir).contains("is not a valid probability"), "{}", refused(&dir));
    }
}

#[test]
fn a_frame_has_no_more_inlined_functions_than_compilers_make() {
    let (_parent, dir) = written(&smallest());
    fs::remove_file(dir.join(INLINED.file)).expect("the table");
    let rows: Vec<u32> = (0..=limits::INLINED_DEPTH).collect();
    write_table(&directory(&dir), &INLINED, &rows, |columns, _, rows| {
        columns.u32("frame_id", rows.iter().map(|_| 0))?;
        columns.u32("depth", rows.iter().copied())?;
        columns.text("name", rows.iter().map(|_| ByteArray::from("x")))?;
        columns.optional_text("file", rows.iter().map(|_| None))?;
        columns.optional_u32("line", rows.iter().map(|_| None))
    })
    .expect("a table");
    vouch(&dir);
    assert!(refused(&dir).contains("frame 0 has more than 64 inlined functions"), "{}", refused(&dir));
}

/// A word of three bytes (`"",`) takes 24 bytes in memory, and a row that takes one bit in the file may repeat 10,922 of them.
#[test]
fn command_lines_are_bounded_in_length_and_in_what_they_take() {
    let table = |text: &str, rows: usize| {
        let (parent, dir) = written(&smallest());
        fs::remove_file(dir.join(PROCESSES.file)).expect("the table");
        let text = ByteArray::from(text);
        write_table(&directory(&dir), &PROCESSES, &vec![(); rows], |columns, first, rows| {
            columns.row_numbers("process_id", first, rows.len())?;
            columns.u32("pid", rows.iter().map(|()| 1))?;
            columns.optional_text("command_line", rows.iter().map(|()| Some(text.clone())))?;
            for column in ["executable", "cgroup", "container"] {
                columns.optional_text(column, rows.iter().map(|()| None))?;
            }
            columns.optional_u32("uid", rows.iter().map(|()| None))?;
            columns.optional_text("user", rows.iter().map(|()| None))
        })
        .expect("a table");
        vouch(&dir);
        (parent, dir)
    };
    let words = |count: usize| format!("[{}]", vec![r#""""#; count].join(","));
    let (_parent, dir) = table(&words(10_000), 1);
    assert_eq!(
        read(&dir).expect("a command line").processes.rows()[0].command_line.as_ref().map(Vec::len),
        Some(10_000)
    );
    let (_parent, dir) = table(&words(11_000), 1);
    assert!(refused(&dir).contains("a command line of 33001 bytes"), "{}", refused(&dir));
    let (_parent, dir) = table(&words(10_000), 60_000);
    assert!(refused(&dir).contains("its names take more than"), "{}", refused(&dir));
    let (_parent, dir) = table("[1]", 1);
    assert!(refused(&dir).contains("not a list of strings"), "{}", refused(&dir));
}

/// A single value requires memory for all lower values.
#[test]
fn histograms_are_bounded_in_what_they_take() {
    let table = |digits: u32, count: u32| {
        let (parent, dir) = written(&smallest());
        fs::remove_file(dir.join(HISTOGRAMS.file)).expect("the table");
        let rows: Vec<u32> = (0..count).collect();
        write_table(&directory(&dir), &HISTOGRAMS, &rows, |columns, _, rows| {
            columns.u32("histogram_id", rows.iter().copied())?;
            columns.text("metric", rows.iter().map(|_| ByteArray::from("cpu")))?;
            columns.text("scope", rows.iter().map(|_| ByteArray::from("host")))?;
            columns.optional_u32("cpu", rows.iter().map(|_| None))?;
            columns.optional_text("cgroup", rows.iter().map(|_| None))?;
            for column in ["thread_id", "pid", "tid"] {
                columns.optional_u32(column, rows.iter().map(|_| None))?;
            }
            columns.optional_text("comm", rows.iter().map(|_| None))?;
            columns.u32("significant_digits", rows.iter().map(|_| digits))?;
            for column in ["value_low", "value_high", "count"] {
                columns.amount(column, rows.iter().map(|_| i64::MAX as u64))?;
            }
            Ok(())
        })
        .expect("a table");
        vouch(&dir);
        (parent, dir)
    };
    let (_parent, dir) = table(3, 1);
    assert_eq!(read(&dir).expect("a histogram").histograms.len(), 1);
    let (_parent, dir) = table(3, 1_000);
    assert!(refused(&dir).contains("its histograms take more than"), "{}", refused(&dir));
    let (_parent, dir) = table(4, 1);
    assert!(refused(&dir).contains("too many significant digits"), "{}", refused(&dir));
}
