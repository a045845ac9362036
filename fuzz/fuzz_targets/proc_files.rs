//! The other files of a process in `/proc`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quell::fuzzing::proc_files(bytes, quell_fuzz::tree()));
