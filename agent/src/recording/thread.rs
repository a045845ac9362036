//! Threads by name.

use hashbrown::HashMap;

use super::row::row_number;
use super::{ProcessIdx, ProcessTable};
use crate::units::{Pid, Tid};

row_number! {
    /// A row of a [`ThreadTable`].
    ThreadIdx
}

/// A thread under one name. A thread that renames itself has several rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thread {
    /// The row of its process.
    pub process: ProcessIdx,
    /// The PID of its process.
    pub pid: Pid,
    /// The TID of the thread.
    pub tid: Tid,
    /// The name, at most 15 bytes.
    pub comm: String,
}

impl Thread {
    /// What identifies a thread, whatever its name, and although TIDs and PIDs are used again: its process and its TID.
    #[must_use]
    pub fn key(&self) -> (ProcessIdx, Tid) {
        (self.process, self.tid)
    }
}

/// Interned threads.
#[derive(Clone, Debug, Default)]
pub struct ThreadTable {
    rows: Vec<Thread>,
    index: HashMap<(Tid, ProcessIdx, [u8; 16]), ThreadIdx>,
}

impl ThreadTable {
    /// The row of a thread with its NUL-terminated name. The thread and its process are added if they are new.
    pub fn intern(&mut self, processes: &mut ProcessTable, pid: Pid, tid: Tid, comm: [u8; 16]) -> ThreadIdx {
        let next = ThreadIdx::from_index(self.rows.len());
        let process = processes.intern(pid);
        let id = *self.index.entry((tid, process, comm)).or_insert(next);
        if id == next {
            let text = comm.split(|byte| *byte == 0).next().unwrap_or_default();
            let comm = String::from_utf8_lossy(text).into_owned();
            self.rows.push(Thread { process, pid, tid, comm });
        }
        id
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
