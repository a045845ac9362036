//! Transactions as files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{Record, Transaction, TransactionId};
use crate::host::Root;

/// Where transactions are kept, from the host's root.
const DIRECTORY: &str = "/var/lib/quell/tune";
const ENDING: &str = "journal";

/// Every transaction of a host.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// A transaction that is being written.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    transaction: Transaction,
}

/// A journal that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file or directory fails.
    #[error("could not {what} {}: {source}", path.display())]
    Io {
        /// What was tried: `write`.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record in the middle is damaged: not by a crash, which can only cut the end.
    #[error("{} is damaged at line {line}: {why}; what it says before that line: {}", path.display(), known)]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
        /// The original values that can still be read.
        known: String,
    },
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

    /// Reads every transaction, the oldest first. Files that were cut before anything was done are left out.
    ///
    /// # Errors
    /// The directory or a file cannot be read, or is damaged.
    pub fn transactions(&self) -> Result<Vec<Transaction>, JournalError> {
        let mut transactions = Vec::new();
        for id in self.ids()? {
            transactions.extend(self.read(id)?);
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
    /// The directory cannot be made, or the file not written. Nothing of the host was changed.
    pub fn begin(&self, begin: Record) -> Result<Journal, JournalError> {
        fs::create_dir_all(&self.directory).map_err(failed("make", &self.directory))?;
        let id = TransactionId(self.ids()?.last().map_or(1, |last| last.0 + 1));
        let path = self.path(id);
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(failed("create", &path))?;
        let mut journal = Journal { path, file, transaction: Transaction::new(id) };
        let written = journal.append(begin).and_then(|()| journal.sync());
        if written.is_err() {
            // A beginning without an end on disk; nothing was done under it.
            let _ = fs::remove_file(&journal.path);
        }
        written?;
        // The name too is to survive a crash.
        let directory = File::open(&self.directory).map_err(failed("open", &self.directory))?;
        directory.sync_all().map_err(failed("write", &self.directory))?;
        Ok(journal)
    }

    /// Reads a transaction; `None` where it was cut before anything was done.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn read(&self, id: TransactionId) -> Result<Option<Transaction>, JournalError> {
        Ok(self.parse(id)?.map(|(transaction, _)| transaction))
    }

    /// Opens a transaction to go on with it. Who calls this holds the lock: a record that was cut is cut off.
    ///
    /// # Errors
    /// It cannot be read or written, is damaged, or has no beginning.
    pub fn resume(&self, id: TransactionId) -> Result<Journal, JournalError> {
        let path = self.path(id);
        let Some((transaction, whole)) = self.parse(id)? else {
            let known = "nothing was changed".to_owned();
            return Err(JournalError::Damaged { path, line: 1, why: "it has no beginning".to_owned(), known });
        };
        let file = OpenOptions::new().append(true).open(&path).map_err(failed("open", &path))?;
        file.set_len(whole).map_err(failed("write", &path))?;
        Ok(Journal { path, file, transaction })
    }

    /// What the whole records of a file come to, and how many bytes they are.
    fn parse(&self, id: TransactionId) -> Result<Option<(Transaction, u64)>, JournalError> {
        let path = self.path(id);
        let text = fs::read(&path).map_err(failed("read", &path))?;
        let mut transaction = Transaction::new(id);
        let mut whole = 0;
        let mut lines = text.split_inclusive(|&byte| byte == b'\n').enumerate().peekable();
        while let Some((index, line)) = lines.next() {
            match parse(line) {
                Ok(record) => transaction.take(record),
                // The last line was cut: what it would have said was not done.
                Err(_) if lines.peek().is_none() => break,
                Err(why) => {
                    let known = transaction.originals();
                    return Err(JournalError::Damaged { path, line: index + 1, why, known });
                }
            }
            whole += line.len() as u64;
        }
        Ok(transaction.has_begun().then_some((transaction, whole)))
    }
}

impl Journal {
    /// What its records come to.
    #[must_use]
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// Adds a record. It is on disk after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// It cannot be written.
    pub fn append(&mut self, record: Record) -> Result<(), JournalError> {
        let json = serde_json::to_string(&record).map_err(|error| JournalError::Io {
            what: "write",
            path: self.path.clone(),
            source: error.into(),
        })?;
        let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        let before = self.file.metadata().map_err(failed("look at", &self.path))?.len();
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            // Half a line of a full disk would make what comes after it unreadable.
            let _ = self.file.set_len(before);
            return Err(failed("write", &self.path)(error));
        }
        self.transaction.take(record);
        Ok(())
    }

    /// Waits until all records are on disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(failed("write", &self.path))
    }
}

fn parse(line: &[u8]) -> Result<Record, String> {
    let line = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    let line = line.strip_suffix('\n').ok_or("it is cut")?;
    let (sum, json) = line.split_once(' ').ok_or("it has no checksum")?;
    if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(json.as_bytes())) {
        return Err("its checksum is wrong".to_owned());
    }
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { what, path, source }
}
