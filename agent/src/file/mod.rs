//! Files that quell writes, on hosts whose other users are not trusted.
//!
//! Every writer goes through a [`Directory`] that is held open, and everything in it is opened, created, renamed and removed by
//! name relative to that descriptor, without following links. The walk to it follows only links of root or of the caller, and those
//! only where nobody else can have moved them. It remembers who can make the same path lead elsewhere: a directory below one that
//! others can write to is no more trusted than that. What is new has a random name and mode 0600 (directories 0700) until it is
//! whole; only in a directory that is trusted does it take over the permissions of what it replaces.
//!
//! | what is in an output's place | what happens |
//! |---|---|
//! | nothing | a new file takes it by rename |
//! | a regular file of the caller's | it is replaced, unless others who could not remove it can have moved it there |
//! | a recording of the caller's with nothing else in it | it is replaced; if others can have moved it there (no sticky bit), only at the path where it was written |
//! | a FIFO of the caller's, or the null device | it is written, without blocking on a missing reader |
//! | anything else, in a directory that only the caller (or root) can write to | links of the caller's or root's are followed, FIFOs and character devices are written, files replaced |
//! | anything else | an error that says what it is and whose |
//!
//! That is looked at before a capture begins. Where the place is taken when the result is whole, the result is given a name beside
//! it that nobody could guess, and the error says which.

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
