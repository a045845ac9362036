//! Tuning profiles: TOML files that name knobs, values and reasons.

mod budget;
mod condition;
mod directory;
mod error;
mod parse;
mod place;
mod shipped;
mod suggestion;
mod template;
mod tuning_profile;

pub(super) use budget::{Budget, MAX_ASSIGNMENTS, MAX_DEPTH, MAX_EXPANDED_TOTAL, MAX_RULES, MAX_WORDS};
pub(super) use directory::is_path;
pub(super) use template::{substitute, variable_names};

pub use condition::Condition;
pub use error::ProfileError;
pub use parse::PROFILE_DIRECTORY;
pub use place::Place;
pub use shipped::SHIPPED;
pub use suggestion::closest_name;
pub use tuning_profile::{Setting, TuningProfile, Variable};
