//! A journal of `quell tune`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quell::fuzzing::journal(bytes, quell_fuzz::tree()));
