//! Host tuning: a profile becomes a plan, and the plan is applied as a transaction that can be rolled back.
//!
//! | module | contents | imports |
//! |---|---|---|
//! | [`value`] | values, their kinds, and the targets that they are set on | nothing of `tune` |
//! | [`knob`] | everything that can be set: one directory per family | `value` |
//! | [`profile`] | tuning profiles: TOML files and their errors | `knob` |
//! | [`plan`] | the difference between a profile and a host | `profile` |
//! | [`transaction`] | apply, journal, verify, roll back, recover | `plan` |

pub mod knob;
pub mod plan;
pub mod profile;
pub mod transaction;
pub mod value;
