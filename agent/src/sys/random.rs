//! Random numbers from the kernel.

use std::io;

/// 64 bits that other processes cannot guess. Blocks only early during boot (getrandom(2)).
pub(crate) fn next_random() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    loop {
        // SAFETY: the kernel writes only to `bytes`, with the given length, and `bytes` outlives the call.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        match usize::try_from(got) {
            // Up to 256 bytes are returned completely or not at all.
            Ok(length) if length == bytes.len() => return Ok(u64::from_ne_bytes(bytes)),
            Ok(_) => {}
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}
