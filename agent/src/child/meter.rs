//! The meter: turns the kernel's BPF run-time statistics on and off, and can do nothing else.
//!
//! `BPF_ENABLE_STATS` needs `CAP_SYS_ADMIN` (kernel/bpf/syscall.c, `bpf_enable_stats`, 5.8), which the process that captures
//! does not keep. A message of one byte asks; the answer is the errno, 0 for success, in four bytes.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::filter::{self, Allowed};
use super::{Channel, Child, ChildError, Role, spawn};
use crate::sys::bpf;

const ON: u8 = 1;
const OFF: u8 = 0;

/// How long an answer may take: the kernel patches its text on every CPU to turn the statistics on.
const PATIENCE: Duration = Duration::from_secs(1);

/// A running meter, from its parent's side.
#[derive(Debug)]
pub struct Meter(Child);

impl Meter {
    /// Starts one, with the privileges that this thread has now; see [`spawn`].
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start() -> io::Result<Self> {
        let child = spawn(Role::Meter)?;
        child.channel().set_timeout(PATIENCE)?;
        Ok(Self(child))
    }

    /// Turns the statistics on until [`Self::disable`] or the end of this process.
    ///
    /// # Errors
    /// What the kernel told the meter, `EPERM` without `CAP_SYS_ADMIN`; the meter has ended or does not answer.
    pub fn enable(&self) -> io::Result<()> {
        self.ask(ON)
    }

    /// Turns them off.
    ///
    /// # Errors
    /// The meter has ended or does not answer.
    pub fn disable(&self) -> io::Result<()> {
        self.ask(OFF)
    }

    fn ask(&self, command: u8) -> io::Result<()> {
        self.0.channel().send(&[command])?;
        let mut answer = [0; 4];
        match self.0.channel().receive(&mut answer)? {
            4 => match i32::from_ne_bytes(answer) {
                0 => Ok(()),
                errno => Err(io::Error::from_raw_os_error(errno)),
            },
            _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }
}

/// What the meter does until its parent closes the channel.
pub(super) fn serve(channel: &Channel) -> Result<(), ChildError> {
    filter::allow_only(&ALLOWED)?;
    let mut on: Option<OwnedFd> = None;
    let mut command = [0; 1];
    while channel.receive(&mut command).is_ok_and(|length| length == 1) {
        let result = match command {
            [ON] if on.is_some() => Ok(()),
            [ON] => bpf::enable_run_time_statistics().map(|statistics| on = Some(statistics)),
            _ => {
                on = None;
                Ok(())
            }
        };
        let answer = result.err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EIO));
        if channel.send(&answer.to_ne_bytes()).is_err() {
            break;
        }
    }
    Ok(())
}

/// Its loop, and what the end of a process takes.
const ALLOWED: [Allowed; 10] = [
    (libc::SYS_bpf, Some(aya_obj::generated::bpf_cmd::BPF_ENABLE_STATS as u32)),
    (libc::SYS_recvfrom, None),
    (libc::SYS_sendto, None),
    (libc::SYS_read, None),
    (libc::SYS_write, None),
    (libc::SYS_close, None),
    (libc::SYS_munmap, None),
    (libc::SYS_sigaltstack, None),
    (libc::SYS_exit, None),
    (libc::SYS_exit_group, None),
];
