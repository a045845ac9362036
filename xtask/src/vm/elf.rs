//! What an ELF file says of itself.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// The loader that a program wants (elf(5)).
const PT_INTERP: u32 = 3;

/// Whether a program runs without a loader.
pub(super) fn is_static(file: &Path) -> Result<bool> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let kinds = segments(&bytes).with_context(|| format!("{} is no ELF file of 64 bits", file.display()))?;
    Ok(!kinds.contains(&PT_INTERP))
}

/// The kinds of a program's segments: `e_phoff`, `e_phentsize` and `e_phnum` of the header of a little-endian file of 64 bits.
fn segments(elf: &[u8]) -> Result<Vec<u32>> {
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        bail!("it begins otherwise");
    }
    let number = |at: usize, size: usize| -> Result<usize> {
        let bytes = at.checked_add(size).and_then(|end| elf.get(at..end)).context("it is cut off")?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    let (first, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    let at = |index: usize| first.checked_add(index * size).context("it is cut off");
    (0..count).map(|index| Ok(u32::try_from(number(at(index)?, 4)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of 64 bits with one segment.
    fn program(kind: u32) -> Vec<u8> {
        let mut elf = vec![0; 0x40 + 0x38];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[0x20], elf[0x36], elf[0x38]) = (0x40, 0x38, 1);
        elf[0x40..0x44].copy_from_slice(&kind.to_le_bytes());
        elf
    }

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("program");
        for (kind, expected) in [(1, true), (PT_INTERP, false)] {
            fs::write(&file, program(kind)).expect("a file");
            assert_eq!(is_static(&file).expect("an ELF file"), expected);
        }
        fs::write(&file, "#!/bin/sh\n").expect("a file");
        assert!(is_static(&file).is_err());
        // The test itself is linked by default against the C library.
        #[cfg(target_env = "gnu")]
        assert!(!is_static(Path::new("/proc/self/exe")).expect("an ELF file"));
    }
}
