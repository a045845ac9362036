//! Extended attributes of open files (xattr(7)).

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// The names of all visible attributes; empty on a file system without extended attributes.
pub(crate) fn names(file: &File) -> io::Result<Vec<CString>> {
    let list = grown(|buffer: &mut [u8]| {
        // SAFETY: the kernel writes at most the given length of the buffer.
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

/// The value of an attribute.
pub(crate) fn get(file: &File, name: &CStr) -> io::Result<Vec<u8>> {
    grown(|buffer: &mut [u8]| {
        // SAFETY: the name is NUL-terminated, and the kernel writes at most the given length of the buffer.
        unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
    })
}

/// Sets an attribute.
pub(crate) fn set(file: &File, name: &CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: the name is NUL-terminated, and the kernel reads the given length of the value.
    let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The result of a call that fills a buffer, which is enlarged as long as it is too small.
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
