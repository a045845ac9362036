//! quell finds what makes a Linux host slow.
//!
//! A capture flows one way: a [`probe`] writes records into rings, [`capture`] orders them and has the probe join them into a
//! [`recording::Recording`], [`symbolize`] names its code, [`profile::build`] weighs it, and [`report`] draws it.

#![deny(missing_docs)]

mod bounded;
pub mod bpf;
pub mod capture;
pub mod child;
pub mod doctor;
mod excerpt;
pub mod file;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod inspect;
pub mod launch;
#[cfg(test)]
#[allow(unreachable_pub, dead_code, reason = "a file of the tests' library, included by its path")]
#[path = "../../tests/src/needs.rs"]
mod needs;
pub mod output;
pub mod pattern;
pub mod perf;
pub mod privileges;
pub mod probe;
pub mod profile;
pub mod program;
pub mod recording;
pub mod report;
pub mod roles;
pub mod symbolize;
mod sys;
pub mod text;
pub mod tune;
pub mod units;
