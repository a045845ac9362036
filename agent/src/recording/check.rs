//! Checksums of a recording's files: damage is found before anything is decoded.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::Crc;
use serde::{Deserialize, Serialize};

/// What a file must be: written into `meta.json` beside the facts of the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileCheck {
    /// Its size.
    pub(super) bytes: u64,
    /// The CRC-32 of its content (IEEE 802.3).
    pub(super) crc32: u32,
}

impl FileCheck {
    /// Of the file at `path`.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut crc = Crc::new();
        let mut bytes = 0;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let length = file.read(&mut buffer)?;
            if length == 0 {
                return Ok(Self { bytes, crc32: crc.sum() });
            }
            crc.update(&buffer[..length]);
            bytes += length as u64;
        }
    }
}
