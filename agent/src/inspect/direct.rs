//! Access to other processes without children, for unit tests, in which no process is hostile.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use hashbrown::HashMap;

use super::protocol::Handed;
use super::{FileNumber, MAX_REQUEST, Mapped, Owner, ProcessAccess, Program, ToOpen, reader};
use crate::child::Channel;
use crate::host::identity;
use crate::units::{Addr, Pid};

/// Reads other processes from this process.
#[derive(Debug, Default)]
pub(crate) struct Direct {
    files: HashMap<FileNumber, File>,
    opened: Vec<(FileNumber, io::Result<Owner>)>,
    next: u32,
}

impl ProcessAccess for Direct {
    fn maps(&mut self, pid: Pid) -> io::Result<Vec<u8>> {
        reader::maps(pid.0)
    }

    fn memory(&mut self, pid: Pid, address: Addr, length: u32) -> io::Result<Vec<u8>> {
        reader::memory(pid.0, address.0, length)
    }

    fn program(&mut self, pid: Pid) -> io::Result<Program> {
        reader::program(pid.0).map(|answer| Program::parse(&answer))
    }

    fn is_elf(&mut self, mapped: &Mapped, path: &Path) -> bool {
        let mut magic = [0; 4];
        let read = |file: File| file.read_exact_at(&mut magic, 0);
        reader::open_mapped(mapped, path.as_os_str().as_bytes()).and_then(read).is_ok() && magic == *b"\x7fELF"
    }

    fn open(&mut self, file: ToOpen<'_>) -> FileNumber {
        let number = FileNumber(self.next);
        self.next += 1;
        let opened = match file {
            ToOpen::Mapped(mapped, path) => reader::open_mapped(&mapped, path.as_os_str().as_bytes()),
            ToOpen::PerfMap(pid) => identity(pid).and_then(|(owner, inner)| reader::open_perf_map(pid.0, inner, owner)),
        };
        let owner = opened.and_then(|file| {
            let metadata = file.metadata()?;
            self.files.insert(number, file);
            Ok(Owner { uid: metadata.uid(), device: metadata.dev() })
        });
        self.opened.push((number, owner));
        number
    }

    fn opened(&mut self, _: Duration) -> Vec<(FileNumber, io::Result<Owner>)> {
        std::mem::take(&mut self.opened)
    }

    fn is_opening(&self) -> bool {
        !self.opened.is_empty()
    }

    fn close(&mut self, number: FileNumber) {
        self.files.remove(&number);
    }

    fn forward(&mut self, number: FileNumber, to: UnixStream) -> io::Result<()> {
        match self.files.get(&number) {
            Some(file) => Channel::new(to, MAX_REQUEST).send(&Handed { number }, &[], &[file.as_fd()]),
            None => Ok(()),
        }
    }

    fn unanswered(&self) -> u64 {
        0
    }

    fn cpu(&self) -> Duration {
        Duration::ZERO
    }

    fn processes(&self) -> Vec<Pid> {
        Vec::new()
    }
}
