//! Writes to a pipe or a device with a timeout.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::FileError;

/// The maximum time for which a reader may accept no data. It is long, since a pager waits for its user.
const PATIENCE: Duration = Duration::from_secs(30);
/// The number of bytes that a pipe accepts without blocking when it is writable: PIPE_BUF (pipe(7)).
const PIECE: usize = 4096;

/// A pipe or a device, which is written in place.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

impl Stream {
    fn wait(&self) -> io::Result<()> {
        let begin = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            let mut descriptors = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut descriptors, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Ok(0) if left.is_zero() => {
                    let stalled = FileError::Stalled { path: self.path.clone(), seconds: PATIENCE.as_secs() };
                    return Err(io::Error::new(io::ErrorKind::TimedOut, stalled));
                }
                // Writable, or in an error state, which the write itself reports.
                Ok(1..) => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.wait()?;
            match self.file.write(&bytes[..bytes.len().min(PIECE)]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
