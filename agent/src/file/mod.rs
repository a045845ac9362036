//! Writes files on hosts whose other users are not trusted.
//!
//! All files are written through an open [`Directory`]: they are opened, created, renamed and removed by a name relative to its
//! descriptor, without following links. Opening a directory follows only links of root or of the caller, and only if no other
//! user can have moved them. It records which users can change where the path leads: a directory below one that others can
//! write to is not trusted more than that one. New files have a random name and mode 0600 (directories 0700) until they are
//! complete. Only in a trusted directory do they get the permissions of the file that they replace.
//!
//! | existing file at the path of an output | result |
//! |---|---|
//! | none | a new file is written and renamed |
//! | a regular file of the caller | it is replaced, unless users who could not remove it may have moved it there |
//! | a recording of the caller without other files in it | it is replaced; if others may have moved it there (no sticky bit), only at the path where it was written |
//! | a FIFO of the caller, or the null device | it is written; a FIFO without a reader for 1 s is an error |
//! | other files, in a directory that only the caller or root can write to | links of the caller or root are followed, FIFOs and character devices are written, files are replaced |
//! | other files | an error with the type and the owner of the file |
//!
//! This is checked before a capture begins. If the path is not available when the result is complete, the result gets an
//! unpredictable name in the same directory, which the error contains.

mod directory;
mod entry;
mod error;
mod exposure;
mod open;
mod output;
mod owner;
mod place;
mod private;
mod replacement;
mod stream;
#[cfg(test)]
mod tests;
mod walk;

pub use directory::Directory;
pub use entry::{Entry, Kind};
pub use error::FileError;
pub use output::{OutputFile, WrittenFile};
pub use owner::Owner;
pub use place::Place;
pub use private::PrivateDirectories;
pub use replacement::Replacement;

pub use crate::sys::catch_file_size_signal;
