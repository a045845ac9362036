//! Processes: their executable, user and container.

use std::path::PathBuf;

use hashbrown::HashMap;

use super::row::row_number;
use crate::units::Pid;

row_number! {
    /// A row of a [`ProcessTable`].
    ProcessIdx
}

/// A process. Fields that could not be read are `None`: the process had exited, or reading was not permitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The PID in the initial PID namespace.
    pub pid: Pid,
    /// The command line, beginning with the name of the program. It may be truncated.
    pub command_line: Option<Vec<String>>,
    /// The path of the executable, as the process sees it.
    pub executable: Option<PathBuf>,
    /// The cgroup, from the root of the cgroup v2 hierarchy.
    pub cgroup: Option<String>,
    /// The ID of the container: 64 hexadecimal digits.
    pub container: Option<String>,
    /// The real user ID in the initial user namespace.
    pub user: Option<u32>,
    /// The name of this user on the host.
    pub user_name: Option<String>,
}

impl Process {
    /// A process of which only the PID is known.
    #[must_use]
    pub fn new(pid: Pid) -> Self {
        Self { pid, command_line: None, executable: None, cgroup: None, container: None, user: None, user_name: None }
    }
}

/// Processes by PID.
#[derive(Clone, Debug, Default)]
pub struct ProcessTable {
    rows: Vec<Process>,
    index: HashMap<Pid, ProcessIdx>,
}

impl ProcessTable {
    /// The row of a process, which is added if it is new.
    pub fn intern(&mut self, pid: Pid) -> ProcessIdx {
        let next = ProcessIdx::from_index(self.rows.len());
        let id = *self.index.entry(pid).or_insert(next);
        if id == next {
            self.rows.push(Process::new(pid));
        }
        id
    }

    /// The process that had this PID is gone: the next one gets a row of its own.
    pub fn release(&mut self, pid: Pid) {
        self.index.remove(&pid);
    }

    /// Appends a process without interning it: for readers of recordings. [`Self::intern`] finds the first one with its PID.
    pub fn push(&mut self, process: Process) -> ProcessIdx {
        let id = ProcessIdx::from_index(self.rows.len());
        self.index.entry(process.pid).or_insert(id);
        self.rows.push(process);
        id
    }

    /// The process in row `id`.
    #[must_use]
    pub fn get(&self, id: ProcessIdx) -> &Process {
        &self.rows[id.index()]
    }

    /// The process in row `id`, to add data.
    pub fn get_mut(&mut self, id: ProcessIdx) -> &mut Process {
        &mut self.rows[id.index()]
    }

    /// The row of a process, if there is one.
    #[must_use]
    pub fn find(&self, pid: Pid) -> Option<ProcessIdx> {
        self.index.get(&pid).copied()
    }

    /// All rows in order.
    #[must_use]
    pub fn rows(&self) -> &[Process] {
        &self.rows
    }
}
