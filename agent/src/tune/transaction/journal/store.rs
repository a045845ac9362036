//! The files of all transactions.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::error::{JournalError, file_error, io_error};
use super::line::{self, LineError};
use super::record::{Begin, Record, TransactionId};
use super::transaction::Transaction;
use super::writer::{Journal, Output};
use crate::file::Directory;
use crate::host::Root;
use crate::tune::transaction::state_file::open_own;

/// The directory of journals, from the root of the host.
pub(crate) const DIRECTORY: &str = "/var/lib/quell/tune";
const EXTENSION: &str = "journal";
/// The maximum size of a file that is read, in bytes: far more than any transaction writes.
const MAX_SIZE: u64 = 1 << 30;

/// The journals of a host.
#[derive(Clone, Debug)]
pub struct Store {
    root: Root,
}

/// The transactions of a host.
#[derive(Debug, Default)]
pub struct Transactions {
    /// The transactions, the oldest first.
    pub readable: Vec<Transaction>,
    /// The transactions that cannot be read, with the errors.
    pub unreadable: Vec<(TransactionId, JournalError)>,
}

/// The complete records of a file.
struct Parsed {
    transaction: Transaction,
    /// The size of the records, in bytes.
    length: u64,
}

impl Store {
    /// The journals of a host.
    #[must_use]
    pub fn of(root: &Root) -> Self {
        Self { root: root.clone() }
    }

    /// The directory, for messages.
    #[must_use]
    pub fn display_path(&self) -> PathBuf {
        self.root.display_path(DIRECTORY)
    }

    /// The directory, if it exists.
    fn directory(&self) -> Result<Option<Directory>, JournalError> {
        self.root.existing_state_directory(DIRECTORY).map_err(file_error("list", &self.display_path()))
    }

    /// Reads every transaction, except those that were interrupted before their first record was complete.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn transactions(&self) -> Result<Transactions, JournalError> {
        let mut transactions = Transactions::default();
        for id in self.ids()? {
            match self.read(id) {
                Ok(transaction) => transactions.readable.extend(transaction),
                Err(error) => transactions.unreadable.push((id, error)),
            }
        }
        Ok(transactions)
    }

    fn ids(&self) -> Result<Vec<TransactionId>, JournalError> {
        let Some(directory) = self.directory()? else { return Ok(Vec::new()) };
        let mut ids = Vec::new();
        for name in directory.names().map_err(file_error("list", &self.display_path()))? {
            let stem = name.to_str().and_then(|name| name.strip_suffix(EXTENSION)?.strip_suffix('.'));
            ids.extend(stem.and_then(|stem| stem.parse().ok()).map(TransactionId));
        }
        ids.sort();
        Ok(ids)
    }

    fn path(&self, id: TransactionId) -> PathBuf {
        self.display_path().join(file_name(id))
    }

    /// Begins a transaction. Its first record is on disk when this returns.
    ///
    /// # Errors
    /// The directory cannot be created, or the file cannot be written. Then there is no transaction.
    pub fn begin(&self, begin: Begin) -> Result<Journal, JournalError> {
        let directory = self.root.state_directory(DIRECTORY).map_err(file_error("create", &self.display_path()))?;
        let id = TransactionId(self.ids()?.last().map_or(1, |last| last.0 + 1));
        let (name, path) = (file_name(id), self.path(id));
        let file = directory.create_file(&name).map_err(file_error("create", &path))?;
        // With O_APPEND, truncating the file after a failed write leaves no hole.
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND)).map_err(|errno| io_error("create", &path)(errno.into()))?;
        let transaction = Transaction::begin(id, begin.clone());
        let mut journal = Journal::new(path, Output::File(file), transaction);
        // The directory entry must survive a crash too.
        let written = journal.append(Record::Begin(begin));
        let written = written.and_then(|()| directory.sync().map_err(file_error("write", &self.display_path())));
        if written.is_err() {
            // No step was executed, and the file would otherwise have to be recovered.
            let _ = directory.remove_file(&name);
        }
        written.map(|()| journal)
    }

    /// Reads a transaction; `None` if it was interrupted before its first record was complete.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or was written by an incompatible version.
    pub fn read(&self, id: TransactionId) -> Result<Option<Transaction>, JournalError> {
        Ok(self.parse(id)?.map(|parsed| parsed.transaction))
    }

    /// Opens a transaction to continue it, and removes an incomplete record. The caller holds the lock. If the file is not
    /// writable, as on a read-only file system, records that are appended [best effort](Journal::append_best_effort) are lost.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, was written by an incompatible version, or has no first record.
    pub fn resume(&self, id: TransactionId) -> Result<Journal, JournalError> {
        let path = self.path(id);
        let Some(Parsed { transaction, length }) = self.parse(id)? else {
            return Err(no_first_record(path));
        };
        let file = self.open_for_append(id, length);
        let output = file.map_or_else(|error| Output::Closed(error.to_string()), Output::File);
        Ok(Journal::new(path, output, transaction))
    }

    /// Opens a file and removes everything after its complete records.
    fn open_for_append(&self, id: TransactionId, length: u64) -> io::Result<File> {
        let directory = self.directory().map_err(io::Error::other)?.ok_or(io::ErrorKind::NotFound)?;
        let file = open_own(&directory, &file_name(id), OFlag::O_WRONLY | OFlag::O_APPEND)?;
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        if file.metadata()?.len() > length {
            file.set_len(length)?;
        }
        Ok(file)
    }

    fn parse(&self, id: TransactionId) -> Result<Option<Parsed>, JournalError> {
        let path = self.path(id);
        let file = match self.directory()? {
            Some(directory) => {
                open_own(&directory, &file_name(id), OFlag::O_RDONLY).map_err(file_error("read", &path))?
            }
            None => None,
        };
        let missing = || io_error("read", &path)(io::ErrorKind::NotFound.into());
        let file = file.ok_or_else(missing)?;
        restrict(&file);
        let mut text = Vec::new();
        file.take(MAX_SIZE).read_to_end(&mut text).map_err(io_error("read", &path))?;
        let mut parsed: Option<Parsed> = None;
        let mut torn = None;
        for (index, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            match line::decode(line) {
                // Everything before a synced record is on disk, so only later records can be incomplete.
                Ok(record) if torn.is_some() && !record.is_synced() => {}
                Ok(record) => {
                    if let Some((line, reason)) = torn {
                        let (reason, originals) = (String::from(reason), originals(&parsed));
                        return Err(JournalError::Damaged { path, line, reason, originals });
                    }
                    let length = line.len() as u64;
                    match (&mut parsed, record) {
                        (Some(parsed), record) => {
                            parsed.transaction.apply(record);
                            parsed.length += length;
                        }
                        (None, Record::Begin(begin)) => {
                            parsed = Some(Parsed { transaction: Transaction::begin(id, begin), length });
                        }
                        (None, _) => return Err(no_first_record(path)),
                    }
                }
                Err(LineError::Foreign { reason, version }) => {
                    let writer = parsed.as_ref().map(|parsed| parsed.transaction.quell.clone());
                    let version = writer.or(version).unwrap_or_else(|| "of another version".to_owned());
                    let (line, originals) = (index + 1, originals(&parsed));
                    return Err(JournalError::Foreign { path, version, line, reason, originals });
                }
                // The power failed before the record was on disk, or the disk was full. No action depended on the record.
                Err(LineError::Torn(reason)) => torn = torn.or(Some((index + 1, reason))),
            }
        }
        Ok(parsed)
    }
}

fn no_first_record(path: PathBuf) -> JournalError {
    let (reason, originals) = ("it has no first record".to_owned(), "unknown".to_owned());
    JournalError::Damaged { path, line: 1, reason, originals }
}

/// The original values in the records so far.
fn originals(parsed: &Option<Parsed>) -> String {
    parsed.as_ref().map_or_else(|| "unknown".to_owned(), |parsed| parsed.transaction.originals())
}

/// Removes the permissions of group and others from a file, best effort.
fn restrict(file: &File) {
    if file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        let _ = file.set_permissions(Permissions::from_mode(0o600));
    }
}

fn file_name(id: TransactionId) -> OsString {
    format!("{id}.{EXTENSION}").into()
}
