//! Appending records to the file of a transaction.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use super::error::{JournalError, io_error};
use super::line;
use super::record::Record;
use super::transaction::Transaction;

/// A transaction whose file is open for writing.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    output: Output,
    transaction: Transaction,
    error: Option<JournalError>,
}

/// The destination of records.
#[derive(Debug)]
pub(super) enum Output {
    /// A file that ends with a complete record.
    File(File),
    /// No destination, for this reason: the file is not writable, or a failed write may have left an incomplete record.
    Closed(String),
}

impl Journal {
    pub(super) fn new(path: PathBuf, output: Output, transaction: Transaction) -> Self {
        Self { path, output, transaction, error: None }
    }

    /// The transaction, with all records so far.
    #[must_use]
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// Appends a record. If the record must be synced, it is on disk when this returns.
    ///
    /// # Errors
    /// The record cannot be written. In this case the file is unchanged.
    pub fn append(&mut self, record: Record) -> Result<(), JournalError> {
        self.write(&record)?;
        self.transaction.apply(record);
        Ok(())
    }

    /// Appends a record of an action that is carried out even if it cannot be recorded. After the first failure, nothing more
    /// is written, so that the file stays a prefix of the actions.
    pub fn append_best_effort(&mut self, record: Record) {
        if self.error.is_none() {
            self.error = self.write(&record).err();
        }
        self.transaction.apply(record);
    }

    /// The first error of [`append_best_effort`](Self::append_best_effort).
    #[must_use]
    pub fn take_error(&mut self) -> Option<JournalError> {
        self.error.take()
    }

    fn write(&mut self, record: &Record) -> Result<(), JournalError> {
        let path = &self.path;
        let file = match &mut self.output {
            Output::File(file) => file,
            Output::Closed(reason) => {
                return Err(JournalError::NotWritable { path: path.clone(), reason: reason.clone() });
            }
        };
        let line = line::encode(record).map_err(|error| io_error("write", path)(error.into()))?;
        let length = file.metadata().map_err(io_error("look up", path))?.len();
        let written = file.write_all(line.as_bytes());
        let written = written.and_then(|()| if record.is_synced() { file.sync_data() } else { Ok(()) });
        let Err(error) = written else { return Ok(()) };
        // An incomplete line would make later ones unreadable, and a complete one may describe an action that will not be
        // carried out.
        if file.set_len(length).is_err() {
            self.output = Output::Closed(error.to_string());
        }
        Err(io_error("write", path)(error))
    }
}
