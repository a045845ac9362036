//! Files that quell writes, on hosts whose other users are not trusted.
//!
//! Every writer goes through a [`Directory`] that is held open. The walk to it follows only links of root or of the caller, and
//! everything in it is opened, created, renamed and removed by name relative to that descriptor, without following links. What
//! is new has a random name and mode 0600 (directories 0700) until it is whole.
//!
//! | what is in an output's place | what happens |
//! |---|---|
//! | nothing, or a regular file of the caller's | a new file takes its place by rename |
//! | a FIFO of the caller's, or the null device | it is written, without blocking on a missing reader |
//! | anything else, in a directory that only the caller (or root) can write to | links of the caller's or root's are followed, FIFOs and character devices are written, files replaced |
//! | anything else | an error that says what it is and whose |

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
