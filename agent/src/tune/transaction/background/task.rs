//! The tasks of background processes.

use std::fs;

use nix::unistd::Pid;

use crate::tune::transaction::boot_time::BootTime;
use crate::tune::transaction::journal::TransactionId;

/// The task of a background process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackgroundTask {
    /// `quell tune hold`: keeps the files of a transaction open.
    Hold(TransactionId),
    /// `quell tune guard`: waits until this time, and rolls back transactions that were not confirmed by then.
    Guard(BootTime),
}

impl BackgroundTask {
    /// The subcommand of `quell tune` and its argument.
    pub(super) fn words(&self) -> [String; 2] {
        match self {
            Self::Hold(id) => ["hold".to_owned(), id.to_string()],
            Self::Guard(BootTime(until)) => ["guard".to_owned(), until.to_string()],
        }
    }

    /// Whether a process runs with the arguments of this task, because its ID may have been reused.
    pub(super) fn is_running_as(&self, pid: Pid) -> bool {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = words.split(|&byte| byte == 0).collect();
        words.windows(2).any(|pair| pair == self.words().each_ref().map(|word| word.as_bytes()))
    }
}
