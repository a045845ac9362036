//! A transaction's file, as it is written.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use super::error::failed;
use super::{JournalError, Record, Transaction, line};

/// A transaction that is being written.
#[derive(Debug)]
pub struct Journal {
    pub(super) path: PathBuf,
    pub(super) medium: Medium,
    pub(super) transaction: Transaction,
    pub(super) unrecorded: Option<JournalError>,
}

/// What records go to.
#[derive(Debug)]
pub(super) enum Medium {
    /// A file that ends with a whole record.
    File(File),
    /// Nothing: a failure, which this is, may have left half a record at the end, or the file could only be read.
    Lost(String),
}

impl Journal {
    /// What its records come to.
    #[must_use]
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// Adds a record. One of a kind that is synced is on disk when this returns.
    ///
    /// # Errors
    /// It cannot be written: then there is nothing of it.
    pub fn append(&mut self, record: Record) -> Result<(), JournalError> {
        self.write(&record)?;
        self.transaction.take(record);
        Ok(())
    }

    /// Adds a record if that can be done, for what is done all the same. From the first on that cannot be written none is: what
    /// is on disk stays the beginning of what happened.
    pub fn note(&mut self, record: Record) {
        if self.unrecorded.is_none() {
            self.unrecorded = self.write(&record).err();
        }
        self.transaction.take(record);
    }

    /// Why not all that was noted is on disk, if so.
    #[must_use]
    pub fn take_unrecorded(&mut self) -> Option<JournalError> {
        self.unrecorded.take()
    }

    fn write(&mut self, record: &Record) -> Result<(), JournalError> {
        let path = &self.path;
        let file = match &mut self.medium {
            Medium::File(file) => file,
            Medium::Lost(why) => return Err(JournalError::Stopped { path: path.clone(), why: why.clone() }),
        };
        let line = line::encode(record).map_err(|error| failed("write", path)(error.into()))?;
        let before = file.metadata().map_err(failed("look at", path))?.len();
        let written = file.write_all(line.as_bytes());
        let written = written.and_then(|()| if record.is_synced() { file.sync_data() } else { Ok(()) });
        let Err(error) = written else { return Ok(()) };
        // Half a line of a full disk would make what comes after it unreadable, and a whole one may say what will not be.
        if file.set_len(before).is_err() {
            self.medium = Medium::Lost(error.to_string());
        }
        Err(failed("write", path)(error))
    }
}
