//! A recording of which one file is hostile.
#![no_main]

// As for `elf`: quell contains a decoder that panics.
libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| quell::fuzzing::recording(bytes, quell_fuzz::template(), quell_fuzz::tree())
);
