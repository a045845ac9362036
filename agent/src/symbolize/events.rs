//! Events of the kernel about executable mappings: mmap, exec, fork, exit.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::time::{ClockId, clock_gettime};
use perf_event::data::Record;
use perf_event::events::Software;
use perf_event::{Builder, Clock, SampleFlag, Sampler};

use super::file_identity::FileIdentity;
use super::maps::MappedRange;
use crate::units::{Addr, CpuId, CpuSet, Nanos, Pid};

/// The number of pages of each ring buffer: 256 KiB with 4 KiB pages. An event takes 100 to 200 bytes, and the start of a
/// dynamically linked program causes about ten events. So about 200 program starts fit between two calls of
/// [`MappingEvents::drain`].
const RING_PAGES: usize = 64;

/// `PERF_RECORD_MISC_COMM_EXEC` (include/uapi/linux/perf_event.h, since 3.16): the name changed because of an exec.
const MISC_COMM_EXEC: u16 = 1 << 13;

/// A change of the executable mappings of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingEvent {
    /// The process created an executable mapping, or made one executable.
    Mapped {
        /// The PID of the process.
        pid: Pid,
        /// The mapping.
        range: MappedRange,
    },
    /// The process executed another program, which removes all mappings.
    Exec {
        /// The PID of the process.
        pid: Pid,
    },
    /// The process was forked, with the mappings of its parent. This is not reported for threads.
    Fork {
        /// The new process.
        pid: Pid,
        /// Its parent.
        parent: Pid,
    },
    /// The main thread of the process exited.
    Exit {
        /// The PID of the process.
        pid: Pid,
    },
}

/// The reason why these events are not available.
#[derive(Debug, thiserror::Error)]
pub enum MappingEventsError {
    /// It is not permitted.
    #[error(
        "perf_event_open was not permitted on CPU {cpu}\nhint: run as root or with CAP_PERFMON; with CAP_SYS_ADMIN if \
         kernel.perf_event_paranoid is above 2"
    )]
    Permission {
        /// The CPU of the event.
        cpu: CpuId,
        /// The error of the kernel.
        source: io::Error,
    },
    /// The kernel does not support it.
    #[error("this kernel does not report new mappings by perf events, or CPU {cpu} is offline")]
    Unsupported {
        /// The CPU of the event.
        cpu: CpuId,
        /// The error of the kernel.
        source: io::Error,
    },
    /// The system call failed.
    #[error("perf_event_open or mmap of its ring buffer failed on CPU {cpu}")]
    Failed {
        /// The CPU of the event.
        cpu: CpuId,
        /// The error of the kernel.
        source: io::Error,
    },
}

/// The events of all processes on some CPUs, from a ring buffer of 256 KiB for each CPU.
///
/// # Ordering
/// The ring buffers are merged: over all calls of [`drain`](Self::drain), dependent events (of the same process, or of a parent
/// before its fork) are in the order in which they happened. An event is in its ring buffer before the system call returns to user
/// space. So a caller that first reads samples, then these events, then applies the events, and only then resolves the samples, has
/// all mappings of these samples. It may have applied events that are newer than a sample: [`AddressSpaces::locate`] tolerates one
/// exec. For exact results, apply events and resolve samples in order of time.
///
/// [`AddressSpaces::locate`]: super::AddressSpaces::locate
pub struct MappingEvents {
    rings: Vec<Sampler>,
    pending: Vec<(Nanos, MappingEvent)>,
    lost: u64,
}

impl MappingEvents {
    /// Opens the ring buffers and starts the events. PIDs are those of the PID namespace of quell.
    ///
    /// # Errors
    /// It is not permitted or not supported. A capture works without it: see
    /// [`AddressSpaces`](super::AddressSpaces).
    pub fn open(cpus: &CpuSet) -> Result<Self, MappingEventsError> {
        let rings = cpus.iter().map(|cpu| open_ring(cpu).map_err(|source| explain(cpu, source)));
        Ok(Self { rings: rings.collect::<Result<_, _>>()?, pending: Vec::new(), lost: 0 })
    }

    /// Passes the events since the last call to a callback, in order, with their times (`CLOCK_MONOTONIC`).
    pub fn drain(&mut self, mut each: impl FnMut(Nanos, MappingEvent)) {
        // While the ring buffers are read, an event may be seen in one, and an earlier event on which it depends missed in
        // another that was already read. So newer events are held back until the next call.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Nanos(u64::MAX), |now| {
            Nanos(u64::try_from(now.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0))
        });
        for ring in &mut self.rings {
            while let Some(record) = ring.next_record() {
                // With `sample_id_all` and only the time requested, the time is the last 8 bytes of each record.
                let time = record.to_contiguous().last_chunk().map(|time| Nanos(u64::from_ne_bytes(*time)));
                match (time, record.parse_record()) {
                    (_, Ok(Record::Lost(lost))) => self.lost += lost.lost,
                    (Some(time), Ok(parsed)) => {
                        self.pending.extend(event(&parsed, record.misc()).map(|event| (time, event)));
                    }
                    (None, _) | (_, Err(_)) => self.lost += 1,
                }
            }
        }
        // Stable, because records of one ring with the same time are in order already.
        self.pending.sort_by_key(|(time, _)| *time);
        let ready = self.pending.partition_point(|(time, _)| *time <= now);
        self.pending.drain(..ready).for_each(|(time, event)| each(time, event));
    }

    /// The number of events that were lost because a ring buffer was full, or that are unknown.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

fn open_ring(cpu: CpuId) -> io::Result<Sampler> {
    let counter = Builder::new(Software::DUMMY)
        .any_pid()
        .one_cpu(cpu.0 as usize)
        .sample(SampleFlag::TIME)
        .sample_id_all(true)
        .clockid(Clock::MONOTONIC)
        .mmap(true)
        .mmap2(true)
        .comm(true)
        .comm_exec(true)
        .task(true)
        .build()?;
    let page = usize::try_from(procfs::page_size()).unwrap_or(4_096);
    let mut ring = counter.sampled(RING_PAGES * page)?;
    ring.enable()?;
    Ok(ring)
}

fn explain(cpu: CpuId, source: io::Error) -> MappingEventsError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => MappingEventsError::Permission { cpu, source },
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput | io::ErrorKind::NotFound => {
            MappingEventsError::Unsupported { cpu, source }
        }
        _ if matches!(source.raw_os_error(), Some(libc::ENODEV | libc::ENOSYS)) => {
            MappingEventsError::Unsupported { cpu, source }
        }
        _ => MappingEventsError::Failed { cpu, source },
    }
}

fn event(record: &Record<'_>, misc: u16) -> Option<MappingEvent> {
    match record {
        Record::Mmap2(mmap) => {
            let file = FileIdentity::new(
                (mmap.maj().unwrap_or(0), mmap.min().unwrap_or(0)),
                mmap.ino().unwrap_or(0),
                OsStr::from_bytes(&mmap.filename),
            );
            let (start, end) = (Addr(mmap.addr), Addr(mmap.addr.saturating_add(mmap.len)));
            Some(MappingEvent::Mapped {
                pid: Pid(mmap.pid),
                range: MappedRange { start, end, offset: mmap.pgoff, file },
            })
        }
        Record::Comm(comm) if misc & MISC_COMM_EXEC != 0 => Some(MappingEvent::Exec { pid: Pid(comm.pid) }),
        Record::Fork(fork) if fork.pid != fork.ppid => {
            Some(MappingEvent::Fork { pid: Pid(fork.pid), parent: Pid(fork.ppid) })
        }
        Record::Exit(exit) if exit.pid == exit.tid => Some(MappingEvent::Exit { pid: Pid(exit.pid) }),
        _ => None,
    }
}
