//! Threads by name.

use hashbrown::HashMap;

use super::row::row_number;
use super::{ProcessIdx, ProcessTable};
use crate::units::{Pid, Tid};

row_number! {
    /// A row of a [`ThreadTable`].
    ThreadIdx
}

/// A thread under one name. A thread that renames itself has several rows, and so have threads that had one TID one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thread {
    /// The row of its process.
    pub process: ProcessIdx,
    /// The PID of its process.
    pub pid: Pid,
    /// The TID of the thread.
    pub tid: Tid,
    /// How many threads of the process had the TID before, as far as they are in the recording.
    pub incarnation: u32,
    /// The name, at most 15 bytes.
    pub comm: String,
}

/// What identifies a thread, whatever its name: its process, its TID and its incarnation.
pub type ThreadKey = (ProcessIdx, Tid, u32);

impl Thread {
    /// What identifies a thread, whatever its name, and although TIDs and PIDs are used again.
    #[must_use]
    pub fn key(&self) -> ThreadKey {
        (self.process, self.tid, self.incarnation)
    }

    /// How reports name a single thread: `worker (TID)`, and `worker (TID #2)` for the second one with the TID.
    #[must_use]
    pub fn label(&self) -> String {
        let Self { comm, tid, incarnation, .. } = self;
        match incarnation {
            0 => format!("{comm} ({tid})"),
            _ => format!("{comm} ({tid} #{})", u64::from(*incarnation) + 1),
        }
    }
}

/// Interned threads.
#[derive(Clone, Debug, Default)]
pub struct ThreadTable {
    rows: Vec<Thread>,
    index: HashMap<(ThreadKey, [u8; 16]), ThreadIdx>,
    latest: HashMap<(ProcessIdx, Tid), Latest>,
}

/// The last thread with a TID in its process.
#[derive(Clone, Copy, Debug, Default)]
struct Latest {
    incarnation: u32,
    has_ended: bool,
}

impl ThreadTable {
    /// The row of a thread with its NUL-terminated name. The thread and its process are added if they are new.
    pub fn intern(&mut self, processes: &mut ProcessTable, pid: Pid, tid: Tid, comm: [u8; 16]) -> ThreadIdx {
        let next = ThreadIdx::from_index(self.rows.len());
        let process = processes.intern(pid);
        let latest = self.latest.entry((process, tid)).or_default();
        if latest.has_ended {
            *latest = Latest { incarnation: latest.incarnation + 1, has_ended: false };
        }
        let incarnation = latest.incarnation;
        let id = *self.index.entry(((process, tid, incarnation), comm)).or_insert(next);
        if id == next {
            let text = comm.split(|byte| *byte == 0).next().unwrap_or_default();
            let comm = String::from_utf8_lossy(text).into_owned();
            self.rows.push(Thread { process, pid, tid, incarnation, comm });
        }
        id
    }

    /// The thread that had this TID in its process is gone: the next one gets rows of its own.
    pub fn end(&mut self, process: ProcessIdx, tid: Tid) {
        if let Some(latest) = self.latest.get_mut(&(process, tid)) {
            latest.has_ended = true;
        }
    }

    /// Appends a thread without interning it: for readers of recordings. [`Self::intern`] does not find it.
    pub fn push(&mut self, thread: Thread) -> ThreadIdx {
        let id = ThreadIdx::from_index(self.rows.len());
        self.rows.push(thread);
        id
    }

    /// The thread in row `id`.
    #[must_use]
    pub fn get(&self, id: ThreadIdx) -> &Thread {
        &self.rows[id.index()]
    }

    /// All rows in order.
    #[must_use]
    pub fn rows(&self) -> &[Thread] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: Pid = Pid(7);

    fn name(name: u8) -> [u8; 16] {
        std::array::from_fn(|byte| if byte == 0 { name } else { 0 })
    }

    #[test]
    fn threads_that_have_one_tid_one_after_the_other_have_rows_of_their_own() {
        let (mut threads, mut processes) = (ThreadTable::default(), ProcessTable::default());
        let first = threads.intern(&mut processes, PID, Tid(8), name(b'a'));
        let renamed = threads.intern(&mut processes, PID, Tid(8), name(b'b'));
        let other = threads.intern(&mut processes, PID, Tid(9), name(b'a'));
        let process = threads.get(first).process;
        // It ended, and another one that was in no record.
        threads.end(process, Tid(8));
        threads.end(process, Tid(8));
        let second = threads.intern(&mut processes, PID, Tid(8), name(b'a'));
        assert_eq!(threads.intern(&mut processes, PID, Tid(8), name(b'a')), second);
        assert_eq!(threads.intern(&mut processes, PID, Tid(9), name(b'a')), other);
        let keys = [first, renamed, second, other].map(|row| threads.get(row).key());
        assert_eq!(keys, [(8, 0), (8, 0), (8, 1), (9, 0)].map(|(tid, number)| (process, Tid(tid), number)));
        assert_eq!([first, second].map(|row| threads.get(row).label()), ["a (8)", "a (8 #2)"]);
        // The process with the PID is another one.
        processes.release(PID);
        let third = threads.intern(&mut processes, PID, Tid(8), name(b'a'));
        assert_eq!(threads.get(third).incarnation, 0);
    }
}
