//! Access to other processes through child processes.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::allowance::Allowance;
use super::protocol::{Keep, Reply, Request};
use super::strikes::Strikes;
use super::{
    FileNumber, MAX_ANSWER, MAX_MEMORY, MAX_REQUEST, Mapped, Owner, ProcessAccess, Program, Responsible, ToOpen,
};
use crate::child::{CallError, Limits, Message, Role, Starter, Watch, Worker};
use crate::host::identity;
use crate::units::{Addr, Pid};

/// The initial time limit for a blocked reader. The kernel holds its own locks for less time, and the ring buffers can hold
/// the events of more time.
const PATIENCE: Duration = Duration::from_millis(250);

/// The initial time limit for opening a file, which may wait for disks and networks. Nothing waits for this.
const OPEN_PATIENCE: Duration = Duration::from_secs(1);

/// The initial allowance of a user for requests: two requests for each of about 10,000 threads.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The initial allowance of a user for opening files.
const OPEN_AT_ONCE: Duration = Duration::from_secs(3);

/// The minimum time limit.
const LEAST: Duration = Duration::from_millis(20);

/// The maximum CPU time of a request: ten times the time for the longest list of mappings.
const CPU: Duration = Duration::from_secs(2);

/// The maximum number of files that wait to be opened. More are rejected.
const MAX_QUEUE: usize = 16_384;

/// The maximum number of files that are requested before the first answer: paths have at most 4 KiB, and a socket buffer
/// holds about 200 KiB.
const MAX_ASKED: usize = 32;

/// The number of failed starts of children after which no more are started.
const MAX_FAILURES: u32 = 3;

/// The child processes that read other processes and hold their files open. Dropping this kills them.
#[derive(Debug)]
pub struct Children {
    readers: Starter,
    keeper: Worker,
    reader: Lane,
    opener: Lane,
    reading: Strikes,
    opening: Strikes,
    read_time: Allowance,
    open_time: Allowance,
    /// The process of the last request, and the user or process that its timeouts are counted for.
    last: Option<(Pid, Responsible)>,
    queue: VecDeque<Waiting>,
    /// The files that were requested from the reader, in order.
    asked: VecDeque<Waiting>,
    /// Measures the first of these requests: its limits and its begin.
    watch: Option<(Watch, Instant)>,
    opened: Vec<(FileNumber, io::Result<Owner>)>,
    next: u32,
}

/// A file that is waiting to be opened.
#[derive(Debug)]
struct Waiting {
    number: FileNumber,
    who: Responsible,
    request: Request,
    path: Vec<u8>,
}

/// A reader that is started on demand.
#[derive(Debug, Default)]
struct Lane {
    worker: Option<Worker>,
    failures: u32,
    /// The CPU time of the previous readers.
    cpu: Duration,
}

impl Children {
    /// Starts all children. Call this before privileges are dropped.
    ///
    /// # Errors
    /// A process cannot be started, or cannot read `/proc`.
    pub fn start() -> io::Result<Self> {
        let mut keeper = Worker::start(Role::Keeper, MAX_REQUEST)?;
        let mut readers = Starter::start(Role::Readers, MAX_ANSWER)?;
        let mut reader = Lane::default();
        reader.worker(&mut readers, &mut keeper)?;
        let mut children = Self {
            readers,
            keeper,
            reader,
            opener: Lane::default(),
            reading: Strikes::new(PATIENCE, LEAST),
            opening: Strikes::new(OPEN_PATIENCE, LEAST),
            read_time: Allowance::new(AT_ONCE, Instant::now()),
            open_time: Allowance::new(OPEN_AT_ONCE, Instant::now()),
            last: None,
            queue: VecDeque::new(),
            asked: VecDeque::new(),
            watch: None,
            opened: Vec::new(),
            next: 0,
        };
        // Fail early: without a working reader, nothing could be symbolized.
        match children.maps(Pid(std::process::id())) {
            Err(error) if error.kind() != io::ErrorKind::TimedOut => Err(error),
            _ => Ok(children),
        }
    }

    fn ask(&mut self, pid: Pid, request: &Request, path: &[u8]) -> io::Result<Vec<u8>> {
        let (begin, who) = (Instant::now(), self.responsible(pid));
        if self.reading.is_out(who) || !self.read_time.permits(who, begin) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let answer = self.request(who, request, path);
        self.read_time.spend(who, begin.elapsed());
        answer
    }

    /// The user or process that timeouts for this process are counted for. The last result is kept, because successive
    /// requests are mostly for the same process, and this takes as long as a request.
    fn responsible(&mut self, pid: Pid) -> Responsible {
        match self.last {
            Some((last, who)) if last == pid => who,
            _ => self.last.insert((pid, Responsible::of(pid))).1,
        }
    }

    fn request(&mut self, who: Responsible, request: &Request, path: &[u8]) -> io::Result<Vec<u8>> {
        let limits = Limits { blocked: self.reading.patience(), cpu: CPU };
        let worker = self.reader.worker(&mut self.readers, &mut self.keeper)?;
        let sent = worker.send(request, path, &[]).map_err(CallError::Failed);
        match sent.and_then(|()| worker.receive::<Reply>(limits, &mut || false)) {
            Ok(Message { head: Reply::Refused { errno }, .. }) => Err(io::Error::from_raw_os_error(errno)),
            Ok(message) => Ok(message.data),
            Err(error) => {
                self.reader.discard();
                self.reading.strike(who);
                Err(match error {
                    CallError::Failed(error) => error,
                    CallError::TimedOut | CallError::Cancelled => io::ErrorKind::TimedOut.into(),
                })
            }
        }
    }

    /// Receives available answers, and requests more files.
    fn advance(&mut self) {
        loop {
            self.ask_ahead();
            let (Some(worker), Some(first)) = (&mut self.opener.worker, self.asked.front()) else { return };
            let limits = Limits { blocked: self.opening.patience(), cpu: CPU };
            let (watch, begin) = self.watch.get_or_insert_with(|| (worker.watch(limits), Instant::now()));
            let answer = match worker.try_receive::<Reply>() {
                Ok(None) if worker.has_expired(watch) => Err(io::ErrorKind::TimedOut.into()),
                Ok(None) => return,
                Ok(Some(Message { head: Reply::Opened(owner), .. })) => Ok(Ok(owner)),
                Ok(Some(Message { head: Reply::Refused { errno }, .. })) => {
                    Ok(Err(io::Error::from_raw_os_error(errno)))
                }
                Ok(Some(Message { head: Reply::Done, .. })) => Err(io::ErrorKind::InvalidData.into()),
                Err(error) => Err(error),
            };
            self.open_time.spend(first.who, begin.elapsed());
            self.watch = None;
            let answer = answer.unwrap_or_else(|error| {
                self.opener.discard();
                self.opening.strike(first.who);
                Err(error)
            });
            if let Some(Waiting { number, .. }) = self.asked.pop_front() {
                self.opened.push((number, answer));
            }
            if self.opener.worker.is_none() {
                // The remaining files are requested from the next reader.
                while let Some(waiting) = self.asked.pop_back() {
                    self.queue.push_front(waiting);
                }
            }
        }
    }

    fn ask_ahead(&mut self) {
        while self.asked.len() < MAX_ASKED {
            let Some(waiting) = self.queue.pop_front() else { return };
            if self.opening.is_out(waiting.who) || !self.open_time.permits(waiting.who, Instant::now()) {
                self.opened.push((waiting.number, Err(io::ErrorKind::TimedOut.into())));
                continue;
            }
            let sent = self
                .opener
                .worker(&mut self.readers, &mut self.keeper)
                .and_then(|worker| worker.send(&waiting.request, &waiting.path, &[]));
            match sent {
                Ok(()) => self.asked.push_back(waiting),
                Err(error) if self.asked.is_empty() => {
                    self.opener.discard();
                    self.opened.push((waiting.number, Err(error)));
                }
                // The reader has exited, which is detected when its answers are read.
                Err(_) => {
                    self.queue.push_front(waiting);
                    return;
                }
            }
        }
    }
}

impl Lane {
    fn worker(&mut self, readers: &mut Starter, keeper: &mut Worker) -> io::Result<&mut Worker> {
        if self.worker.is_none() {
            if self.failures >= MAX_FAILURES {
                return Err(io::Error::other("could not start the child processes that read other processes"));
            }
            self.failures += 1;
            let mut worker = readers.child()?;
            let (hands, takes) = UnixStream::pair()?;
            keeper.send(&Keep::From, &[], &[takes.as_fd()])?;
            worker.send(&(), &[], &[hands.as_fd()])?;
            self.failures = 0;
            self.worker = Some(worker);
        }
        self.worker.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn discard(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.cpu += worker.cpu();
        }
    }
}

impl ProcessAccess for Children {
    fn maps(&mut self, pid: Pid) -> io::Result<Vec<u8>> {
        self.ask(pid, &Request::Maps { pid: pid.0 }, &[])
    }

    fn memory(&mut self, pid: Pid, address: Addr, length: u32) -> io::Result<Vec<u8>> {
        self.ask(pid, &Request::Memory { pid: pid.0, address: address.0, length: length.min(MAX_MEMORY) }, &[])
    }

    fn program(&mut self, pid: Pid) -> io::Result<Program> {
        self.ask(pid, &Request::Program { pid: pid.0 }, &[]).map(|answer| Program::parse(&answer))
    }

    fn is_elf(&mut self, mapped: &Mapped, path: &Path) -> bool {
        let request = Request::Magic { mapped: mapped.clone() };
        self.ask(Pid(mapped.pid), &request, path.as_os_str().as_bytes()).is_ok_and(|magic| magic == b"\x7fELF")
    }

    fn open(&mut self, file: ToOpen<'_>) -> FileNumber {
        let number = FileNumber(self.next);
        self.next += 1;
        let waiting = match file {
            ToOpen::Mapped(mapped, path) => Ok(Waiting {
                number,
                who: self.responsible(Pid(mapped.pid)),
                path: path.as_os_str().as_bytes().to_vec(),
                request: Request::Open { number, mapped },
            }),
            ToOpen::PerfMap(pid) => identity(pid).map(|(owner, inner)| Waiting {
                number,
                who: self.responsible(pid),
                path: Vec::new(),
                request: Request::OpenPerfMap { number, pid: pid.0, inner, owner },
            }),
        };
        match waiting {
            Ok(waiting) if self.queue.len() < MAX_QUEUE => self.queue.push_back(waiting),
            Ok(_) => self.opened.push((number, Err(io::ErrorKind::QuotaExceeded.into()))),
            Err(error) => self.opened.push((number, Err(error))),
        }
        self.advance();
        number
    }

    fn opened(&mut self, patience: Duration) -> Vec<(FileNumber, io::Result<Owner>)> {
        self.advance();
        if self.opened.is_empty()
            && let Some(worker) = &self.opener.worker
        {
            worker.wait(patience);
            self.advance();
        }
        std::mem::take(&mut self.opened)
    }

    fn is_opening(&self) -> bool {
        !self.asked.is_empty() || !self.queue.is_empty() || !self.opened.is_empty()
    }

    fn close(&mut self, number: FileNumber) {
        // If the keeper has exited, it holds no files.
        let _ = self.keeper.send(&Keep::Close { number }, &[], &[]);
    }

    fn forward(&mut self, number: FileNumber, to: UnixStream) -> io::Result<()> {
        self.keeper.send(&Keep::Forward { number }, &[], &[to.as_fd()])
    }

    fn unanswered(&self) -> u64 {
        self.reading.all() + self.opening.all() + self.read_time.refused() + self.open_time.refused()
    }

    fn cpu(&self) -> Duration {
        let of = |lane: &Lane| lane.cpu + lane.worker.as_ref().map_or(Duration::ZERO, Worker::cpu);
        of(&self.reader) + of(&self.opener) + self.readers.cpu() + self.keeper.cpu()
    }

    fn processes(&self) -> Vec<Pid> {
        let readers = [&self.reader, &self.opener].into_iter().filter_map(|lane| lane.worker.as_ref()).map(Worker::id);
        readers.chain([self.keeper.id()]).map(Pid).chain([self.readers.process()]).collect()
    }
}
