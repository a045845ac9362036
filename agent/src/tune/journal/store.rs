//! Transactions as files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::error::failed;
use super::file::Medium;
use super::line::{self, NoRecord};
use super::{Begin, Journal, JournalError, Record, Transaction, TransactionId};
use crate::host::Root;

/// Where transactions are kept, from the host's root.
const DIRECTORY: &str = "/var/lib/quell/tune";
const ENDING: &str = "journal";

/// Every transaction of a host.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
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
        Self { directory: root.path(DIRECTORY) }
    }

    /// Where they are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
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
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed("list", &self.directory))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed("list", &self.directory))?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if path.extension().is_some_and(|ending| ending == ENDING) {
                ids.extend(stem.and_then(|stem| stem.parse().ok()).map(TransactionId));
            }
        }
        ids.sort();
        Ok(ids)
    }

    fn path(&self, id: TransactionId) -> PathBuf {
        self.directory.join(format!("{id}.{ENDING}"))
    }

    /// Begins a transaction: its first record is on disk when this returns.
    ///
    /// # Errors
    /// The directory cannot be made, or the file not written. There is no transaction then.
    pub fn begin(&self, begin: Begin) -> Result<Journal, JournalError> {
        make(&self.directory)?;
        let id = TransactionId(self.ids()?.last().map_or(1, |last| last.0 + 1));
        let path = self.path(id);
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(failed("create", &path))?;
        let transaction = Transaction::begin(id, begin.clone());
        let mut journal = Journal { path, medium: Medium::File(file), transaction, unrecorded: None };
        // The name too is to survive a crash.
        let written = journal.append(Record::Begin(begin)).and_then(|()| sync(&self.directory));
        if written.is_err() {
            // Nothing was done under it, and it would have to be recovered.
            let _ = fs::remove_file(&journal.path);
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
            let file = OpenOptions::new().append(true).open(&path)?;
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
        let text = fs::read(&path).map_err(failed("read", &path))?;
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

/// Makes a directory and those that it is in, to stay.
fn make(directory: &Path) -> Result<(), JournalError> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        make(parent)?;
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        made => made.map_err(failed("make", directory)),
    }?;
    directory.parent().map_or(Ok(()), sync)
}

fn sync(directory: &Path) -> Result<(), JournalError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("write", directory))
}
