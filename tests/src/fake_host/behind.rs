//! Emulates the kernel or driver behind a file of a fake host, which may change the values that are written.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response};

use super::FakeHost;

/// An emulated kernel behind a file. Dropping this ends the emulation.
#[derive(Debug)]
pub struct Behind {
    // Closed in order to end the thread.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl FakeHost {
    /// Emulates a kernel behind a file: every write succeeds, and the next process that opens the file reads what `keeps`
    /// returned for the written text. Opening the file waits for this (`FAN_OPEN_PERM`, fanotify(7)), so there are no races.
    ///
    /// # Errors
    /// This test may not use permission events, which requires root.
    pub fn behind(&self, path: &str, keeps: impl Fn(&str) -> String + Send + 'static) -> nix::Result<Behind> {
        let group = Fanotify::init(InitFlags::FAN_CLASS_CONTENT, EventFFlags::O_RDWR)?;
        let path = self.at(path);
        group.mark(MarkFlags::FAN_MARK_ADD, MaskFlags::FAN_OPEN_PERM, nix::fcntl::AT_FDCWD, Some(&path))?;
        let (stopped, stop) = nix::unistd::pipe()?;
        let serve = move || {
            loop {
                let mut ready =
                    [PollFd::new(group.as_fd(), PollFlags::POLLIN), PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
                let polled = poll(&mut ready, PollTimeout::NONE);
                let [asked, stopped] = ready.map(|fd| fd.any().unwrap_or(true));
                if polled.is_err() || stopped {
                    return;
                }
                for event in asked.then(|| group.read_events().unwrap_or_default()).into_iter().flatten() {
                    let Some(file) = event.fd() else { continue };
                    // Errors are noticed by the process that reads the file.
                    let _ = file.try_clone_to_owned().and_then(|file| settle(&mut File::from(file), &keeps));
                    let _ = group.write_response(FanotifyResponse::new(file, Response::FAN_ALLOW));
                }
            }
        };
        Ok(Behind { stop: Some(stop), thread: Some(std::thread::spawn(serve)) })
    }
}

/// Replaces the text by the text that the kernel would keep.
fn settle(file: &mut File, keeps: impl Fn(&str) -> String) -> io::Result<()> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", keeps(text.trim_end()))
}

impl Drop for Behind {
    fn drop(&mut self) {
        drop(self.stop.take());
        // The panic of a thread was already printed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
