//! The child that holds the files of other processes open.
//!
//! Closing a file may block forever, because a FUSE server is asked (`fuse_flush`, fs/fuse/file.c), also below overlayfs. So
//! neither quell itself nor a reader holds such files: they would have to close them when they exit. The keeper closes files
//! in threads, and nothing waits until it exits.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;

use hashbrown::HashMap;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::MAX_REQUEST;
use super::protocol::{FileNumber, Handed, Keep};
use crate::child::{Channel, Message};

/// The maximum number of files that are being closed at a time. Others stay open.
const CLOSERS: usize = 8;

/// A keeper whose threads were started, so that creating threads can be forbidden.
pub(crate) struct Keeper {
    close: Sender<OwnedFd>,
}

impl Keeper {
    /// Starts the threads that close files, and raises the limit on descriptors.
    pub(crate) fn start() -> Self {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
        // If this fails, fewer files can be held.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        Self { close: closers() }
    }

    /// Serves requests until the connection ends.
    ///
    /// # Errors
    /// The connection fails; its end is the error `UnexpectedEof`.
    pub(crate) fn serve(&self, socket: UnixStream) -> io::Result<()> {
        let mut parent = Channel::new(socket, MAX_REQUEST).taking_descriptors();
        let mut readers: Vec<Channel> = Vec::new();
        let mut files: HashMap<FileNumber, OwnedFd> = HashMap::new();
        loop {
            wait(&parent, &readers)?;
            // A reader sends the file to the keeper before it answers quell, so the file is available before quell refers to
            // it.
            while let Some(message) = parent.try_receive::<Keep>()? {
                readers.retain_mut(|reader| take_files(reader, &mut files).is_ok());
                self.obey(message, &mut readers, &mut files)?;
            }
            readers.retain_mut(|reader| take_files(reader, &mut files).is_ok());
        }
    }

    fn obey(
        &self,
        message: Message<Keep>,
        readers: &mut Vec<Channel>,
        files: &mut HashMap<FileNumber, OwnedFd>,
    ) -> io::Result<()> {
        {
            let Message { head, descriptors, .. } = message;
            let socket = || descriptors.into_iter().next().map(UnixStream::from).ok_or(io::ErrorKind::InvalidData);
            match head {
                Keep::From => readers.push(Channel::new(socket()?, MAX_REQUEST).taking_descriptors()),
                Keep::Forward { number } => {
                    let to = Channel::new(socket()?, MAX_REQUEST);
                    // If the receiver has exited, nothing is sent. Without the file, the receiver sees the end of the
                    // connection.
                    let _ = match files.get(&number) {
                        Some(file) => to.send(&Handed { number }, &[], &[file.as_fd()]),
                        None => Ok(()),
                    };
                }
                Keep::Close { number } => {
                    if let Some(file) = files.remove(&number) {
                        // Fails if no closer could be started. Then the file stays open, because closing it here may block.
                        if let Err(SendError(file)) = self.close.send(file) {
                            std::mem::forget(file);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn take_files(reader: &mut Channel, files: &mut HashMap<FileNumber, OwnedFd>) -> io::Result<()> {
    while let Some(message) = reader.try_receive::<Handed>()? {
        if let Some(file) = message.descriptors.into_iter().next() {
            files.insert(message.head.number, file);
        }
    }
    Ok(())
}

fn wait(parent: &Channel, readers: &[Channel]) -> io::Result<()> {
    let mut all: Vec<PollFd<'_>> =
        [parent].into_iter().chain(readers).map(|channel| PollFd::new(channel.as_fd(), PollFlags::POLLIN)).collect();
    match poll(&mut all, PollTimeout::NONE) {
        Err(nix::errno::Errno::EINTR) | Ok(_) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Starts the threads that close the files that are sent to the returned channel. Returns when the threads run, because the
/// system calls that start a thread may be forbidden later.
fn closers() -> Sender<OwnedFd> {
    let (send, receive) = channel();
    let receive: Arc<Mutex<Receiver<OwnedFd>>> = Arc::new(Mutex::new(receive));
    let mut running = Vec::new();
    for _ in 0..CLOSERS {
        let receive = receive.clone();
        let begun = Arc::new(Barrier::new(2));
        let here = begun.clone();
        let started = thread::Builder::new().name("closer".to_owned()).stack_size(64 << 10).spawn(move || {
            here.wait();
            loop {
                let next = receive.lock().unwrap_or_else(PoisonError::into_inner).recv();
                match next {
                    Ok(file) => drop(file),
                    Err(_) => return,
                }
            }
        });
        // If no thread can be started, sending fails.
        running.extend(started.is_ok().then_some(begun));
    }
    for begun in running {
        begun.wait();
    }
    send
}
