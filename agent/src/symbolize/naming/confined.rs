//! Symbolization in a confined child process: the side of quell.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::demangle::shortened;
use super::protocol::{MAX_ANSWER, Names, Naming, encode};
use super::{Effort, Namer};
use crate::child::{CallError, Limits, Role, Starter, Worker};
use crate::inspect::Owner;
use crate::symbolize::unnamed::Unnamed;
use crate::units::Pid;

/// The time for the child to close a file after it has answered: a FUSE server may block close for ever.
const PATIENCE: Limits = Limits { blocked: Duration::from_millis(200), cpu: Duration::from_secs(1) };

/// The number of failed attempts to start a child, after which no more are made.
const MAX_FAILURES: u32 = 3;

/// The maximum length of a build ID, in hexadecimal digits.
const MAX_BUILD_ID: usize = 128;

/// Starts the children that symbolize code. It is created before privileges are dropped.
#[derive(Debug)]
pub struct Namers(Starter);

impl Namers {
    /// Starts the process that starts the children.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start() -> io::Result<Self> {
        Starter::start(Role::Namers, MAX_ANSWER).map(Self)
    }

    /// The PID of the process that starts the children.
    #[must_use]
    pub fn process(&self) -> Pid {
        self.0.process()
    }
}

/// A child process that is started on demand. It is replaced after a timeout or crash, and for files of another owner:
/// otherwise a malicious file of one user could take over the child and falsify the names in the files of another.
#[derive(Debug)]
pub(super) struct ConfinedNamer<'a> {
    namers: &'a mut Namers,
    worker: Option<Worker>,
    /// The owner of the files that the child has read.
    owner: Option<Owner>,
    failures: u32,
}

impl<'a> ConfinedNamer<'a> {
    pub(super) fn new(namers: &'a mut Namers) -> Self {
        Self { namers, worker: None, owner: None, failures: 0 }
    }

    fn ask(
        &mut self,
        naming: Naming,
        file: &impl AsFd,
        places: &[u64],
        effort: Effort,
        cancelled: &mut dyn FnMut() -> bool,
    ) -> Result<Names, CallError> {
        let limits = match effort {
            Effort::Little => Limits { blocked: Duration::from_millis(250), cpu: Duration::from_millis(250) },
            Effort::Usual => Limits { blocked: Duration::from_millis(500), cpu: Duration::from_secs(1) },
            Effort::Great => Limits { blocked: Duration::from_secs(2), cpu: Duration::from_secs(6) },
        };
        let worker = self.worker().map_err(CallError::Failed)?;
        worker.send(&naming, &encode(places), &[file.as_fd()]).map_err(CallError::Failed)?;
        let names = worker.receive::<Names>(limits, cancelled)?.head;
        if worker.receive::<()>(PATIENCE, &mut || false).is_err() {
            self.worker = None;
        }
        Ok(names)
    }

    fn worker(&mut self) -> io::Result<&mut Worker> {
        if self.worker.is_none() {
            if self.failures >= MAX_FAILURES {
                return Err(io::Error::other("the symbolizer process could not be started"));
            }
            self.failures += 1;
            self.worker = Some(self.namers.0.child()?);
            self.failures = 0;
        }
        self.worker.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn name(
        &mut self,
        naming: Naming,
        file: &impl AsFd,
        places: &[u64],
        effort: Effort,
        cancelled: &mut dyn FnMut() -> bool,
    ) -> Names {
        if let Err(error) = self.worker() {
            tracing::debug!("the symbolizer process could not be started: {error}");
            return Names { build_id: None, names: vec![Err(Unnamed::NoNamer); places.len()] };
        }
        let why = match self.ask(naming, file, places, effort, cancelled) {
            // The answer is untrusted, because the child has read untrusted files.
            Ok(names) if is_plausible(&names, places.len()) => return names,
            Ok(_) | Err(CallError::Failed(_)) => Unnamed::Killed,
            Err(CallError::TimedOut) => Unnamed::TimedOut,
            Err(CallError::Cancelled) => Unnamed::Skipped,
        };
        self.worker = None;
        Names { build_id: None, names: vec![Err(why); places.len()] }
    }
}

fn is_plausible(names: &Names, places: usize) -> bool {
    let hexadecimal = |id: &String| id.len() <= MAX_BUILD_ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let short = |name: &Result<(String, u64), Unnamed>| {
        name.as_ref().map_or(true, |(name, _)| name.len() == shortened(name).len())
    };
    names.names.len() == places && names.build_id.as_ref().is_none_or(hexadecimal) && names.names.iter().all(short)
}

impl Namer for ConfinedNamer<'_> {
    fn kernel(&mut self, kallsyms: &File, addresses: &[u64], cancelled: &mut dyn FnMut() -> bool) -> Names {
        self.name(Naming::Kernel, kallsyms, addresses, Effort::Great, cancelled)
    }

    fn file(
        &mut self,
        owner: Owner,
        naming: Naming,
        from: UnixStream,
        places: &[u64],
        effort: Effort,
        cancelled: &mut dyn FnMut() -> bool,
    ) -> Names {
        if self.owner.replace(owner).is_some_and(|before| before != owner) {
            self.worker = None;
        }
        self.name(naming, &from, places, effort, cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_a_child_that_was_taken_over_is_not_believed() {
        let name = |name: &str| Ok((name.to_owned(), 0));
        let names = |build_id: Option<&str>, names| Names { build_id: build_id.map(str::to_owned), names };
        assert!(is_plausible(&names(Some("00ff"), vec![name("f"), Err(Unnamed::Stripped)]), 2));
        assert!(!is_plausible(&names(None, vec![name("f")]), 2));
        assert!(!is_plausible(&names(Some("../../etc"), vec![]), 0));
        assert!(!is_plausible(&names(Some(&"0".repeat(MAX_BUILD_ID + 1)), vec![]), 0));
        assert!(!is_plausible(&names(None, vec![name(&"x".repeat(1 << 20))]), 1));
    }
}
