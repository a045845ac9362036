//! Helpers.

pub mod small;
