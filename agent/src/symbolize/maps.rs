//! Parses executable mappings from `/proc/PID/maps`.
//!
//! The crate procfs is not suitable: a path that is not UTF-8 is an error for the whole process, a short path that begins with
//! `/SYSV` causes a panic, and it allocates memory for every line, of which one in five is executable.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::file_identity::FileIdentity;
use crate::units::Addr;

/// A range of executable addresses, and the mapped file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedRange {
    /// The first address.
    pub start: Addr,
    /// The address after the last.
    pub end: Addr,
    /// The offset of `start` in the file, in bytes.
    pub offset: u64,
    /// The mapped file.
    pub file: FileIdentity,
}

/// The executable mappings in the contents of `/proc/PID/maps`, in ascending order. Kernel threads and zombies have none.
pub(super) fn executable(text: &[u8]) -> Vec<MappedRange> {
    text.split(|byte| *byte == b'\n').filter_map(parse).collect()
}

/// Parses one line (Documentation/filesystems/proc.rst, `/proc/PID/maps`). `None` if the mapping is not executable, and for the
/// vsyscall page, which is listed for every process but is in the kernel's half of the address space and is emulated there.
fn parse(line: &[u8]) -> Option<MappedRange> {
    let mut rest = line;
    let mut field = || {
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let (field, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        std::str::from_utf8(field).ok()
    };
    let (start, end) = field()?.split_once('-')?;
    if field()?.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let offset = field()?;
    let (major, minor) = field()?.split_once(':')?;
    let inode = field()?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let device = |text| u32::from_str_radix(text, 16).ok();
    Some(MappedRange {
        start: Addr(hex(start).filter(|start| start >> 63 == 0)?),
        end: Addr(hex(end)?),
        offset: hex(offset)?,
        file: FileIdentity::new(
            (device(major)?, device(minor)?),
            inode.parse().ok()?,
            OsStr::from_bytes(rest.trim_ascii_start()),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executable_mappings_are_listed_whatever_their_path_holds() {
        let line = b"7f00-8f00 r-xp 00002000 fe:10 4242                  /opt/a b/lib\xff.so (deleted)";
        let range = parse(line).expect("an executable mapping");
        assert_eq!((range.start, range.end, range.offset), (Addr(0x7f00), Addr(0x8f00), 0x2000));
        let path = OsStr::from_bytes(b"/opt/a b/lib\xff.so (deleted)");
        assert_eq!(range.file, FileIdentity::new((0xfe, 0x10), 4242, path));

        assert_eq!(parse(b"7f00-8f00 rw-p 00002000 fe:10 4242 /opt/lib.so"), None);
        assert_eq!(parse(b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]"), None);
        assert_eq!(parse(b""), None);
        let anonymous = parse(b"7f00-8f00 rwxp 00000000 00:00 0 ").expect("an executable mapping");
        assert_eq!(anonymous.file.path(), std::path::Path::new(""));
    }
}
