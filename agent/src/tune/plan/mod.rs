//! Plans: the difference between the state that a profile describes and the state of a host.

#[expect(clippy::module_inception, reason = "a file has the name of the type that it defines")]
mod plan;
mod planner;
mod resolve;
mod survey;
mod variables;

pub use plan::{Plan, Skipped, Step};
pub use planner::{plan, validate};
pub use resolve::{Assignment, Inapplicable, resolve};
pub use survey::{SurveyedAssignment, assemble, survey};
pub use variables::Variables;
