//! Extended attributes of open files: xattr(7).

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// The names of all that may be seen; none on a file system that has no attributes.
pub(crate) fn names(file: &File) -> io::Result<Vec<CString>> {
    let list = grown(|buffer: &mut [u8]| {
        // SAFETY: the kernel writes at most as many bytes as it is told that the buffer has.
        unsafe { libc::flistxattr(file.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) }
    });
    match list {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(Vec::new()),
        list => list?
            .split_inclusive(|byte| *byte == 0)
            .map(|name| Ok(CStr::from_bytes_with_nul(name).map_err(io::Error::other)?.to_owned()))
            .collect(),
    }
}

/// The value of one.
pub(crate) fn get(file: &File, name: &CStr) -> io::Result<Vec<u8>> {
    grown(|buffer: &mut [u8]| {
        // SAFETY: the name ends with a zero byte, and the kernel writes at most as many bytes as it is told that the buffer has.
        unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
    })
}

/// Sets one.
pub(crate) fn set(file: &File, name: &CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: the name ends with a zero byte, and the kernel reads as many bytes as it is told that the value has.
    let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What a call writes into a buffer, which grows for as long as it is too small.
fn grown(call: impl Fn(&mut [u8]) -> isize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 256];
    loop {
        match usize::try_from(call(&mut buffer)) {
            Ok(written) => {
                buffer.truncate(written);
                return Ok(buffer);
            }
            // XATTR_SIZE_MAX and XATTR_LIST_MAX, include/uapi/linux/limits.h.
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ERANGE) && buffer.len() < 1 << 16 => {
                buffer.resize(buffer.len() * 2, 0);
            }
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
}
