//! Code that the kernel generated or removed during the capture, mostly BPF programs.
//!
//! `/proc/kallsyms`, which is read after the capture, has it only as long as it exists.

use std::collections::BTreeMap;

use crate::recording::Symbol;
use crate::units::Addr;

/// The maximum number of symbols: 20 MB with long names. Further ones are not added.
const MOST: usize = 1 << 16;

/// The maximum length of a name in bytes (`KSYM_NAME_LEN`, include/linux/kallsyms.h).
const MOST_NAME: usize = 512;

/// Symbols by address, the last one at each.
#[derive(Debug, Default)]
pub(super) struct KernelCode {
    symbols: BTreeMap<u64, (u32, String)>,
}

impl KernelCode {
    /// Adds a symbol.
    pub(super) fn add(&mut self, start: Addr, length: u32, name: &[u8]) {
        if self.symbols.len() < MOST || self.symbols.contains_key(&start.0) {
            let name = &name[..name.len().min(MOST_NAME)];
            self.symbols.insert(start.0, (length, String::from_utf8_lossy(name).into_owned()));
        }
    }

    /// The symbol that contains an address.
    pub(super) fn find(&self, addr: u64) -> Option<Symbol> {
        let (start, (length, name)) = self.symbols.range(..=addr).next_back()?;
        let offset = addr - start;
        (offset < u64::from(*length)).then(|| Symbol { name: name.clone(), offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_name_up_to_the_end_of_its_symbol() {
        let mut code = KernelCode::default();
        code.add(Addr(1_000), 100, b"bpf_prog_1");
        code.add(Addr(1_200), 50, b"bpf_prog_2");
        code.add(Addr(1_000), 80, b"bpf_prog_3");
        let find = |addr| code.find(addr).map(|symbol| (symbol.name, symbol.offset));
        assert_eq!(find(999), None);
        assert_eq!(find(1_079), Some(("bpf_prog_3".to_owned(), 79)));
        assert_eq!(find(1_080), None, "the program before had this address");
        assert_eq!(find(1_249), Some(("bpf_prog_2".to_owned(), 49)));
        assert_eq!(find(1_250), None);
    }
}
