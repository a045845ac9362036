//! Opens perf events on CPUs that come online.
//!
//! If `kernel.perf_event_paranoid` is above 2, perf_event_open(2) requires `CAP_SYS_ADMIN` (a patch of Debian and Ubuntu), which
//! quell drops before the capture. A child process then keeps it. The events are fixed when the child starts: a request
//! has only the number of an event and a CPU, and the answer is the descriptor of the open event. Attaching a program to it
//! (`PERF_EVENT_IOC_SET_BPF`), enabling it and mapping its ring buffer require no capability, so quell does this itself.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use perf_event::Counter;
use serde::{Deserialize, Serialize};

use super::CpuEvent;
use crate::child::{CallError, Channel, Limits, Message, Role, Worker};
use crate::sys::perf;
use crate::units::{CpuId, Pid};

/// The limits for opening an event. The kernel may wait for other CPUs.
const PATIENCE: Limits = Limits { blocked: Duration::from_secs(1), cpu: Duration::from_secs(1) };

/// The maximum length of a message, in bytes.
const MAX_MESSAGE: usize = 512;

/// A request to open an event.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Request {
    /// The index of the event in the list that the child was started with.
    event: usize,
    cpu: CpuId,
}

/// The answer: the descriptor is attached, or there is an errno.
type Answer = Result<(), i32>;

/// Opens perf events on CPUs that come online. Dropping it ends its process.
#[derive(Debug, Default)]
pub struct Opener {
    process: Option<OpenerProcess>,
}

#[derive(Debug)]
struct OpenerProcess {
    worker: Worker,
    events: Vec<CpuEvent>,
}

impl Opener {
    /// Without a process: the privileges that quell keeps are sufficient.
    #[must_use]
    pub fn direct() -> Self {
        Self::default()
    }

    /// Starts a process that opens these events with the current privileges of this thread. Call this before they are dropped.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(events: Vec<CpuEvent>) -> io::Result<Self> {
        let mut worker = Worker::start_trusted(Role::Opener, MAX_MESSAGE)?;
        worker.send(&events, &[], &[])?;
        Ok(Self { process: Some(OpenerProcess { worker, events }) })
    }

    /// Opens an event on a CPU, disabled.
    ///
    /// # Errors
    /// The error of perf_event_open(2). If the process does not answer, it is killed, and this process opens later events.
    pub fn open(&mut self, event: CpuEvent, cpu: CpuId) -> io::Result<Counter> {
        let Some(process) = &mut self.process else { return event.open(cpu) };
        match process.open(event, cpu) {
            Ok(opened) => opened,
            Err(error) => {
                self.process = None;
                Err(io::Error::new(error.kind(), format!("the process that opens perf events failed: {error}")))
            }
        }
    }

    /// The PID of its process, if it has one.
    #[must_use]
    pub fn process(&self) -> Option<Pid> {
        self.process.as_ref().map(|process| Pid(process.worker.id()))
    }

    /// The CPU time that its process has used.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        self.process.as_ref().map_or(Duration::ZERO, |process| process.worker.cpu())
    }
}

impl OpenerProcess {
    /// The outer error is that of the process, the inner one that of the kernel.
    fn open(&mut self, event: CpuEvent, cpu: CpuId) -> io::Result<io::Result<Counter>> {
        let index = self.events.iter().position(|fixed| *fixed == event).ok_or(io::ErrorKind::InvalidInput)?;
        self.worker.send(&Request { event: index, cpu }, &[], &[])?;
        let answer = self.worker.receive::<Answer>(PATIENCE, &mut || false).map_err(|error| match error {
            CallError::Failed(error) => error,
            CallError::TimedOut | CallError::Cancelled => io::ErrorKind::TimedOut.into(),
        })?;
        opened(answer, event, cpu)
    }
}

fn opened(answer: Message<Answer>, event: CpuEvent, cpu: CpuId) -> io::Result<io::Result<Counter>> {
    match (answer.head, answer.descriptors.into_iter().next()) {
        (Ok(()), Some(descriptor)) => perf::adopt(descriptor, &event.builder(cpu)).map(Ok),
        (Err(errno), None) => Ok(Err(io::Error::from_raw_os_error(errno))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Serves requests until the connection ends. The first message is the list of events.
///
/// # Errors
/// The connection fails, or a message is invalid.
pub(crate) fn serve(socket: UnixStream) -> io::Result<()> {
    let mut parent = Channel::new(socket, MAX_MESSAGE);
    let Some(Message { head: events, .. }) = parent.receive::<Vec<CpuEvent>>()? else { return Ok(()) };
    while let Some(Message { head: Request { event, cpu }, .. }) = parent.receive::<Request>()? {
        let fixed = events.get(event).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL));
        match fixed.and_then(|event| event.open(cpu)) {
            Ok(counter) => parent.send(&Answer::Ok(()), &[], &[perf::descriptor(&counter)])?,
            Err(error) => parent.send(&Answer::Err(error.raw_os_error().unwrap_or(libc::EIO)), &[], &[])?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::units::Hertz;

    const CLOCK: CpuEvent = CpuEvent::CpuClock { frequency: Hertz(99) };

    /// The answers to requests, from an opener of the events.
    fn answers(events: &[CpuEvent], requests: &[Request]) -> Vec<Message<Answer>> {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let server = thread::spawn(|| serve(theirs));
        let mut channel = Channel::new(ours, MAX_MESSAGE).taking_descriptors();
        channel.send(&events, &[], &[]).expect("sent");
        let mut answer = |request: &Request| {
            channel.send(request, &[], &[]).expect("sent");
            channel.receive::<Answer>().expect("received").expect("an answer")
        };
        let answers = requests.iter().map(&mut answer).collect();
        drop(channel);
        server.join().expect("no panic").expect("served to the end");
        answers
    }

    #[test]
    fn events_that_were_not_fixed_at_the_start_are_not_opened() {
        for answer in answers(&[CLOCK], &[1, usize::MAX].map(|event| Request { event, cpu: CpuId(0) })) {
            assert_eq!((answer.head, answer.descriptors.len()), (Err(libc::EINVAL), 0));
        }
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_refused_with_the_errno_of_the_kernel() {
        for answer in answers(&[CLOCK], &[Request { event: 0, cpu: CpuId(1 << 20) }]) {
            assert!(answer.head.is_err() && answer.descriptors.is_empty(), "{answer:?}");
            let error = opened(answer, CLOCK, CpuId(1 << 20)).expect("a valid answer").expect_err("no such CPU");
            assert!(error.raw_os_error().is_some(), "{error:?}");
        }
    }

    #[test]
    fn an_event_that_another_process_opened_is_as_one_that_quell_opened() {
        crate::needs!(Bpf);
        let cpu = CpuId(0);
        let events = [CLOCK, CpuEvent::Mappings, CpuEvent::MappingsAndProcesses, CpuEvent::KernelCode];
        for (number, event) in events.into_iter().enumerate() {
            let answer = answers(&events, &[Request { event: number, cpu }]).into_iter().next().expect("an answer");
            let mut counter = opened(answer, event, cpu).expect("a valid answer").expect("opened");
            counter.enable().expect("enabled");
            let own = event.open(cpu).expect("opened");
            assert_ne!(counter.id(), own.id(), "opening events goes to the kernel again");
        }
    }

    #[test]
    fn an_answer_without_its_descriptor_is_invalid() {
        let answer = Message { head: Answer::Ok(()), data: Vec::new(), descriptors: Vec::new() };
        assert_eq!(opened(answer, CLOCK, CpuId(0)).expect_err("invalid").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_descriptor_that_is_no_perf_event_is_an_error() {
        let (socket, _other) = UnixStream::pair().expect("a socket pair");
        let answer = Message { head: Answer::Ok(()), data: Vec::new(), descriptors: vec![socket.into()] };
        assert!(opened(answer, CLOCK, CpuId(0)).is_err());
    }
}
