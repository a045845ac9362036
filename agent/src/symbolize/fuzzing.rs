//! See [`crate::fuzzing`].

use std::fs::File;
use std::io::Write as _;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::maps;
use super::naming::{Naming, names_for_fuzzing};

fn file(bytes: &[u8]) -> File {
    let mut file = File::from(memfd_create(c"fuzzed", MFdFlags::MFD_CLOEXEC).expect("memory"));
    file.write_all(bytes).expect("memory");
    file
}

pub(crate) fn elf(bytes: &[u8]) {
    let offsets: Vec<u64> = (0..64).map(|shift| 1 << shift).collect();
    names_for_fuzzing(Naming::File, &file(bytes), &offsets);
}

pub(crate) fn perf_map(bytes: &[u8]) {
    let addresses: Vec<u64> = (0..64).map(|shift| 1 << shift).collect();
    names_for_fuzzing(Naming::PerfMap, &file(bytes), &addresses);
}

pub(crate) fn maps(bytes: &[u8]) {
    let _ = maps::executable(bytes);
}
