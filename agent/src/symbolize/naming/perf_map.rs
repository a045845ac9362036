//! Names of JIT-compiled code from `/tmp/perf-PID.map`, which the process writes (tools/perf/Documentation/jit-interface.txt in
//! the kernel sources).

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use super::demangle::shortened;
use crate::recording::Symbol;

/// The maximum number of bytes of a map that are read: about two million functions.
pub(super) const MAX_BYTES: u64 = 128 << 20;

/// The maximum number of lines that are parsed.
pub(super) const MAX_LINES: usize = 2_000_000;

/// The names that a perf map contains for some addresses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The name for each address.
    pub(super) names: Vec<Option<Symbol>>,
    /// Whether the map exceeds the limits, so that only a part was read.
    pub(super) truncated: bool,
}

/// The names of `addresses`, which are in ascending order. If several entries contain an address, the last one applies, because
/// JIT compilers reuse memory.
///
/// # Errors
/// The map cannot be read.
pub(super) fn names(mut file: &File, addresses: &[u64]) -> io::Result<Names> {
    let mut text = Vec::new();
    file.rewind()?;
    // One more byte, to detect a map that is longer than the limit.
    file.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    let mut truncated = text.len() as u64 > MAX_BYTES;
    text.truncate(MAX_BYTES as usize);
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').take(MAX_LINES + 1).collect();
    truncated |= lines.len() > MAX_LINES;
    lines.truncate(MAX_LINES);
    // From the last line backwards: an address that has a name is not looked at again.
    let mut names = vec![None; addresses.len()];
    let mut unnamed = Unnamed::new(addresses.len());
    for line in lines.into_iter().rev() {
        let Some((start, size, name)) = parse(line) else { continue };
        let mut row = unnamed.from(addresses.partition_point(|address| *address < start));
        while let Some(offset) = addresses.get(row).map(|address| address - start).filter(|offset| *offset < size) {
            names[row] = Some(Symbol { name: shortened(&String::from_utf8_lossy(name)), offset });
            unnamed.remove(row);
            row = unnamed.from(row);
        }
    }
    Ok(Names { names, truncated })
}

/// The rows without a name, as a union-find structure: each row points to a later candidate, and paths are shortened by each
/// search.
struct Unnamed(Vec<usize>);

impl Unnamed {
    fn new(rows: usize) -> Self {
        Self((0..=rows).collect())
    }

    /// The first row without a name, starting at `row`.
    fn from(&mut self, mut row: usize) -> usize {
        while self.0[row] != row {
            self.0[row] = self.0[self.0[row]];
            row = self.0[row];
        }
        row
    }

    fn remove(&mut self, row: usize) {
        self.0[row] = row + 1;
    }
}

/// Parses `START SIZE NAME`. Both numbers are hexadecimal; the name may contain spaces.
fn parse(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let mut fields = line.trim_ascii_end().splitn(3, |byte| *byte == b' ');
    let mut number = || {
        let text = std::str::from_utf8(fields.next()?).ok()?;
        u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
    };
    let (start, size) = (number()?, number()?);
    let name = fields.next()?.trim_ascii();
    // Longer names are truncated later, and need only these bytes for that.
    let name = &name[..name.len().min(2 * super::MAX_NAME)];
    (!name.is_empty()).then_some((start, size, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn map(text: &[u8]) -> File {
        let mut map = tempfile::tempfile().expect("a temporary file");
        map.write_all(text).expect("written");
        map
    }

    fn symbol(name: &str, offset: u64) -> Option<Symbol> {
        Some(Symbol { name: name.to_owned(), offset })
    }

    #[test]
    fn the_last_entry_that_covers_an_address_names_it() {
        let map = map(b"1000 20 old one\n1000 10 LazyCompile:~run /a b.js:1\nrubbish\n0x2000 0x8 stub\n4000 10");
        let found = names(&map, &[0xfff, 0x1008, 0x1010, 0x2008, 0x4000]).expect("readable");
        let expected = vec![None, symbol("LazyCompile:~run /a b.js:1", 8), symbol("old one", 0x10), None, None];
        assert_eq!(found, Names { names: expected, truncated: false });
    }

    /// Compared with a search of all lines for each address, which is the definition of the format.
    #[test]
    fn overlapping_entries_name_as_the_definition_says() {
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let entries: Vec<(u64, u64)> = (0..300).map(|_| (next(1_000), next(60))).collect();
        let text: String =
            entries.iter().enumerate().map(|(line, (start, size))| format!("{start:x} {size:x} f{line}\n")).collect();
        let addresses: Vec<u64> = (0..1_100).collect();
        let found = names(&map(text.as_bytes()), &addresses).expect("readable");
        for (address, found) in addresses.iter().zip(found.names) {
            let covers = |(_, (start, size)): &(usize, &(u64, u64))| address >= start && address - start < *size;
            let last = entries.iter().enumerate().rfind(covers);
            assert_eq!(found, last.and_then(|(line, (start, _))| symbol(&format!("f{line}"), address - start)));
        }
    }

    #[test]
    fn a_line_without_an_end_names_with_its_beginning() {
        let mut text = b"1000 10 ".to_vec();
        text.resize(9 << 20, b'x');
        let found = names(&map(&text), &[0x1000]).expect("readable");
        assert_eq!(found.names, [symbol(&"x".repeat(super::super::MAX_NAME), 0)]);
    }

    #[test]
    fn a_map_of_many_lines_is_read_to_its_bound_and_that_is_said() {
        let mut text = b"1000 10 first\n".repeat(MAX_LINES);
        assert!(!names(&map(&text[..text.len() - 1]), &[0x1000]).expect("readable").truncated);
        text.extend(b"1000 10 beyond\n");
        let found = names(&map(&text), &[0x1000]).expect("readable");
        assert_eq!(found, Names { names: vec![symbol("first", 0)], truncated: true });
    }
}
