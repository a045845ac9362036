//! `/proc/PID/maps`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quell::fuzzing::proc_maps(bytes));
