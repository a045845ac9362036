//! Checksums of the files of a recording, which detect damage before decoding.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use flate2::Crc;
use serde::{Deserialize, Serialize};

/// The size and checksum of a file, in `meta.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileCheck {
    /// The size in bytes.
    pub(super) bytes: u64,
    /// The CRC-32 of its content (IEEE 802.3).
    pub(super) crc32: u32,
}

impl FileCheck {
    /// Computes the checksum of the first `bytes` of a file, or of the whole file if it is shorter. A growing or endless file is not read
    /// further.
    pub(super) fn of(file: &File, bytes: u64) -> io::Result<Self> {
        let mut crc = Crc::new();
        let mut buffer = vec![0; 256 * 1024];
        let mut done = 0;
        while done < bytes {
            let wanted = usize::try_from(bytes - done).unwrap_or(usize::MAX).min(buffer.len());
            match file.read_at(&mut buffer[..wanted], done) {
                Ok(0) => break,
                Ok(length) => {
                    crc.update(&buffer[..length]);
                    done += length as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { bytes: done, crc32: crc.sum() })
    }
}
