//! A recording of which one file is hostile.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quell::fuzzing::recording(
    bytes,
    quell_fuzz::template(),
    quell_fuzz::tree()
));
