//! What is behind a file of a tree: a kernel or a driver that takes a value, and makes another of it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response};

use super::FakeHost;

/// A kernel behind a file, while this value lives.
#[derive(Debug)]
pub struct Behind {
    // Closed to end the thread.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl FakeHost {
    /// Has a kernel behind a file: every write succeeds, and who opens the file next finds what `keeps` makes of what was written. The
    /// opener waits for that (`FAN_OPEN_PERM`, fanotify(7)): nothing here is a race.
    ///
    /// # Errors
    /// This test may not watch files so: it takes root.
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
                    // What fails here is seen by who reads the file.
                    let _ = file.try_clone_to_owned().and_then(|file| settle(&mut File::from(file), &keeps));
                    let _ = group.write_response(FanotifyResponse::new(file, Response::FAN_ALLOW));
                }
            }
        };
        Ok(Behind { stop: Some(stop), thread: Some(std::thread::spawn(serve)) })
    }
}

/// Makes of the text what the kernel makes of it.
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
        // A thread that panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
