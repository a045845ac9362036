//! Transactions as files.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::error::{failed, refused};
use super::file::Medium;
use super::line::{self, NoRecord};
use super::{Begin, Journal, JournalError, Record, Transaction, TransactionId};
use crate::file::Directory;
use crate::host::Root;
use crate::tune::lock::open_own;

/// Where transactions are kept, from the host's root.
pub(crate) const DIRECTORY: &str = "/var/lib/quell/tune";
const ENDING: &str = "journal";
/// Far more than any transaction writes.
const MOST: u64 = 1 << 30;

/// Every transaction of a host.
#[derive(Clone, Debug)]
pub struct Store {
    root: Root,
}

/// What a store holds.
#[derive(Debug, Default)]
pub struct Transactions {
    /// Those that can be read, the oldest first.
    pub readable: Vec<Transaction>,
    /// Those that cannot.
    pub broken: Vec<(TransactionId, JournalError)>,
}

/// What the whole records of a file come to, and how many bytes they are.
struct Parsed {
    transaction: Transaction,
    whole: u64,
}

impl Store {
    /// Those of a host.
    #[must_use]
    pub fn of(root: &Root) -> Self {
        Self { root: root.clone() }
    }

    /// Where they are, for messages.
    #[must_use]
    pub fn display_path(&self) -> PathBuf {
        self.root.display_path(DIRECTORY)
    }

    /// The directory, where there is one.
    fn directory(&self) -> Result<Option<Directory>, JournalError> {
        self.root.existing_state_directory(DIRECTORY).map_err(refused("list", &self.display_path()))
    }

    /// Reads every transaction. Files that were cut before anything was done are left out.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn transactions(&self) -> Result<Transactions, JournalError> {
        let mut transactions = Transactions::default();
        for id in self.ids()? {
            match self.read(id) {
                Ok(transaction) => transactions.readable.extend(transaction),
                Err(error) => transactions.broken.push((id, error)),
            }
        }
        Ok(transactions)
    }

    fn ids(&self) -> Result<Vec<TransactionId>, JournalError> {
        let Some(directory) = self.directory()? else { return Ok(Vec::new()) };
        let mut ids = Vec::new();
        for name in directory.names().map_err(refused("list", &self.display_path()))? {
            let stem = name.to_str().and_then(|name| name.strip_suffix(ENDING)?.strip_suffix('.'));
            ids.extend(stem.and_then(|stem| stem.parse().ok()).map(TransactionId));
        }
        ids.sort();
        Ok(ids)
    }

    fn path(&self, id: TransactionId) -> PathBuf {
        self.display_path().join(file_name(id))
    }

    /// Begins a transaction: its first record is on disk when this returns.
    ///
    /// # Errors
    /// The directory cannot be made, or the file not written. There is no transaction then.
    pub fn begin(&self, begin: Begin) -> Result<Journal, JournalError> {
        let directory = self.root.state_directory(DIRECTORY).map_err(refused("make", &self.display_path()))?;
        let id = TransactionId(self.ids()?.last().map_or(1, |last| last.0 + 1));
        let (name, path) = (file_name(id), self.path(id));
        let file = directory.create_file(&name).map_err(refused("create", &path))?;
        // What is cut off after a full disk leaves no hole.
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND)).map_err(|errno| failed("create", &path)(errno.into()))?;
        let transaction = Transaction::begin(id, begin.clone());
        let mut journal = Journal { path, medium: Medium::File(file), transaction, unrecorded: None };
        // The name too is to survive a crash.
        let written = journal.append(Record::Begin(begin));
        let written = written.and_then(|()| directory.sync().map_err(refused("write", &self.display_path())));
        if written.is_err() {
            // Nothing was done under it, and it would have to be recovered.
            let _ = directory.remove_file(&name);
        }
        written.map(|()| journal)
    }

    /// Reads a transaction; `None` where it was cut before anything was done.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or of another version.
    pub fn read(&self, id: TransactionId) -> Result<Option<Transaction>, JournalError> {
        Ok(self.parse(id)?.map(|parsed| parsed.transaction))
    }

    /// Opens a transaction to go on with it. Who calls this holds the lock: a record that was cut is cut off. Where nothing can
    /// be written, as on a file system that is read-only, what is [noted](Journal::note) later is not recorded.
    ///
    /// # Errors
    /// It cannot be read, is damaged or of another version, or has no beginning.
    pub fn resume(&self, id: TransactionId) -> Result<Journal, JournalError> {
        let path = self.path(id);
        let Some(Parsed { transaction, whole }) = self.parse(id)? else {
            let (why, known) = ("it has no beginning".to_owned(), "unknown".to_owned());
            return Err(JournalError::Damaged { path, line: 1, why, known });
        };
        let open = || {
            let directory = self.directory().map_err(io::Error::other)?.ok_or(io::ErrorKind::NotFound)?;
            let file = open_own(&directory, &file_name(id), OFlag::O_WRONLY | OFlag::O_APPEND)?;
            let file = file.ok_or(io::ErrorKind::NotFound)?;
            if file.metadata()?.len() > whole {
                file.set_len(whole)?;
            }
            Ok(file)
        };
        let medium = open().map_or_else(|error: io::Error| Medium::Lost(error.to_string()), Medium::File);
        Ok(Journal { path, medium, transaction, unrecorded: None })
    }

    fn parse(&self, id: TransactionId) -> Result<Option<Parsed>, JournalError> {
        let path = self.path(id);
        let file = match self.directory()? {
            Some(directory) => open_own(&directory, &file_name(id), OFlag::O_RDONLY).map_err(refused("read", &path))?,
            None => None,
        };
        let missing = || failed("read", &path)(io::ErrorKind::NotFound.into());
        let file = file.ok_or_else(missing)?;
        restrict(&file);
        let mut text = Vec::new();
        file.take(MOST).read_to_end(&mut text).map_err(failed("read", &path))?;
        let mut parsed: Option<Parsed> = None;
        let mut torn = None;
        for (index, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            match line::decode(line) {
                // Before a record that was synced all is on disk: whatever is wrong came later.
                Ok(record) if torn.is_some() && !record.is_synced() => {}
                Ok(record) => {
                    if let Some((line, why)) = torn {
                        return Err(JournalError::Damaged {
                            path,
                            line,
                            why: String::from(why),
                            known: known(&parsed),
                        });
                    }
                    let length = line.len() as u64;
                    match (&mut parsed, record) {
                        (Some(parsed), record) => {
                            parsed.transaction.take(record);
                            parsed.whole += length;
                        }
                        (None, Record::Begin(begin)) => {
                            parsed = Some(Parsed { transaction: Transaction::begin(id, begin), whole: length });
                        }
                        (None, _) => {
                            let why = "it has no beginning".to_owned();
                            return Err(JournalError::Damaged { path, line: 1, why, known: known(&parsed) });
                        }
                    }
                }
                Err(NoRecord::Foreign { why, version }) => {
                    let writer = parsed.as_ref().map(|parsed| parsed.transaction.quell.clone());
                    let version = writer.or(version).unwrap_or_else(|| "of another version".to_owned());
                    return Err(JournalError::Foreign { path, version, line: index + 1, why, known: known(&parsed) });
                }
                // The power went before it was on disk, or the disk was full: what it would have said was not relied on.
                Err(NoRecord::Torn(why)) => torn = torn.or(Some((index + 1, why))),
            }
        }
        Ok(parsed)
    }
}

/// The original values that the records so far tell.
fn known(parsed: &Option<Parsed>) -> String {
    parsed.as_ref().map_or_else(|| "unknown".to_owned(), |parsed| parsed.transaction.originals())
}

/// Of an earlier version everybody could read it. Who may only look leaves it as it is.
fn restrict(file: &File) {
    if file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        let _ = file.set_permissions(Permissions::from_mode(0o600));
    }
}

fn file_name(id: TransactionId) -> OsString {
    format!("{id}.{ENDING}").into()
}
