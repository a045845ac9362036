//! Names that a process gives to the code that it makes at run time: `/tmp/perf-PID.map`
//! (tools/perf/Documentation/jit-interface.txt in the kernel's sources).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::files::open_regular;
use crate::profile::Symbol;
use crate::units::Pid;

/// How much of a map is read. A line is about 60 bytes, so this is some four million functions.
const MAX_BYTES: u64 = 256 << 20;

/// Opens the map of a live process, in its own mount and PID namespace.
///
/// `/tmp` is open to all: only a map that belongs to the process's user, or to root, is taken.
pub(super) fn open(pid: Pid) -> io::Result<File> {
    let owner = std::fs::metadata(format!("/proc/{pid}"))?.uid();
    // With the name, which is bytes.
    let status = std::fs::read(format!("/proc/{pid}/status"))?;
    let status = String::from_utf8_lossy(&status);
    let inner = status.lines().find_map(|line| line.strip_prefix("NSpid:")?.split_whitespace().next_back());
    let inner = inner.map_or_else(|| pid.to_string(), str::to_owned);
    let path = format!("/proc/{pid}/root/tmp/perf-{inner}.map");
    let file = open_regular(Path::new(&path), libc::O_NOFOLLOW)?;
    match file.metadata()?.uid() {
        uid if uid == owner || uid == 0 => Ok(file),
        _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "the perf map belongs to another user")),
    }
}

/// The names of `addresses`, which are in ascending order. Of several entries for one address the last counts:
/// compilers reuse memory.
pub(super) fn names(mut file: &File, addresses: &[u64]) -> io::Result<Vec<Option<Symbol>>> {
    file.rewind()?;
    let mut reader = BufReader::with_capacity(1 << 16, file.take(MAX_BYTES));
    let mut names = vec![None; addresses.len()];
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Some((start, size, name)) = parse(&line) {
            let first = addresses.partition_point(|address| *address < start);
            for (address, slot) in addresses[first..].iter().zip(&mut names[first..]) {
                let offset = address - start;
                if offset >= size {
                    break;
                }
                *slot = Some(Symbol { name: String::from_utf8_lossy(name).into_owned(), offset });
            }
        }
        line.clear();
    }
    Ok(names)
}

/// `START SIZE NAME`, both numbers in hexadecimal; the name may hold spaces.
fn parse(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let mut fields = line.trim_ascii_end().splitn(3, |byte| *byte == b' ');
    let mut number = || {
        let text = std::str::from_utf8(fields.next()?).ok()?;
        u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
    };
    let (start, size) = (number()?, number()?);
    let name = fields.next()?.trim_ascii();
    (!name.is_empty()).then_some((start, size, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_last_entry_that_covers_an_address_names_it() {
        let mut map = tempfile::tempfile().expect("a temporary file");
        map.write_all(b"1000 20 old one\n1000 10 LazyCompile:~run /a b.js:1\nrubbish\n0x2000 0x8 stub\n4000 10")
            .expect("written");
        let names = names(&map, &[0xfff, 0x1008, 0x1010, 0x2008, 0x4000]).expect("readable");
        let symbol = |name: &str, offset| Some(Symbol { name: name.to_owned(), offset });
        assert_eq!(names, [None, symbol("LazyCompile:~run /a b.js:1", 8), symbol("old one", 0x10), None, None]);
    }

    #[test]
    fn the_map_of_a_live_process_is_found_and_another_users_is_not_taken() {
        let pid = Pid(std::process::id());
        let path = format!("/tmp/perf-{pid}.map");
        std::fs::write(&path, "1000 10 jitted\n").expect("/tmp is writable");
        let opened = open(pid);
        std::os::unix::fs::chown(&path, Some(12_345), None).ok();
        let foreign = std::fs::metadata(&path).is_ok_and(|metadata| metadata.uid() == 12_345);
        let refused = open(pid).is_err();
        std::fs::remove_file(&path).expect("removed");
        assert!(opened.is_ok(), "{opened:?}");
        // Only root can give a file away.
        assert!(refused || !foreign);
    }
}
