//! A perf map: names of code that a process makes at run time.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quell::fuzzing::perf_map(bytes));
