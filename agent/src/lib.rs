//! quell finds what makes a Linux host slow.
//!
//! A capture flows one way: a [`probe`] writes records into rings, [`collect`] orders and joins them into a
//! [`profile::Recording`], [`symbolize`] names its code, [`profile::build`] weighs it, and [`report`] draws it.

#![deny(missing_docs)]

mod bounded;
pub mod child;
pub mod collect;
mod excerpt;
pub mod file;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod inspect;
pub mod launch;
pub mod output;
pub mod privileges;
pub mod probe;
pub mod profile;
pub mod program;
pub mod recording;
pub mod report;
pub mod symbolize;
mod sys;
pub mod text;
pub mod tune;
pub mod units;
