//! See [`crate::fuzzing`].

use std::fs::File;
use std::io::Write as _;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{maps, perf_map, symbolizer};

fn file(bytes: &[u8]) -> File {
    let mut file = File::from(memfd_create(c"fuzzed", MFdFlags::MFD_CLOEXEC).expect("memory"));
    file.write_all(bytes).expect("memory");
    file
}

pub(crate) fn elf(bytes: &[u8]) {
    symbolizer::fuzz_file(&file(bytes));
}

pub(crate) fn perf_map(bytes: &[u8]) {
    let addresses: Vec<u64> = (0..64).map(|shift| 1 << shift).collect();
    let _ = perf_map::names(&file(bytes), &addresses);
}

pub(crate) fn maps(bytes: &[u8]) {
    let _ = maps::parse_all(bytes);
}
