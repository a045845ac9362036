//! A tuning profile.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quell::fuzzing::profile(bytes, quell_fuzz::tree()));
