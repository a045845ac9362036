//! quell finds what makes a Linux host slow.
//!
//! A capture flows one way: a [`probe`] writes records into rings, [`collect`] orders and joins them into a
//! [`profile::Recording`], [`symbolize`] names its code, [`profile::build`] weighs it, and [`report`] draws it.

#![deny(missing_docs)]

pub mod collect;
pub mod host;
pub mod output;
pub mod probe;
pub mod profile;
pub mod recording;
pub mod report;
pub mod symbolize;
mod sys;
pub mod text;
pub mod tune;
pub mod units;
