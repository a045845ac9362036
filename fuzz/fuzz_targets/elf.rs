//! An ELF file that a process has mapped: headers, notes, symbols.
#![no_main]

// quell contains a parser that panics, as it does one that dies: only a panic that gets out is a finding. libFuzzer's own hook would
// end the process at every one.
libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| quell::fuzzing::elf(bytes)
);
