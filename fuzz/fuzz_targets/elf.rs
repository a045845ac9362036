//! An ELF file that a process has mapped: headers, notes, symbols.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quell::fuzzing::elf(bytes));
