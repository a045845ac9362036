//! Setting a host: planned as a difference, applied as a transaction, verified, and undone.
//!
//! A profile names what is wanted; with a [`Host`](crate::host::Host) it becomes a plan. Applying one
//! journals what every value was before it is changed, so that whatever happens it can be put back.

mod allocator;
mod apply;
pub mod background;
mod boot_time;
mod in_force;
mod interruption;
pub mod journal;
pub mod knob;
mod leftover;
pub mod limits;
mod lock;
mod matched_process;
mod namespaces;
mod owner;
mod plan;
mod planned;
mod policy;
pub mod profile;
mod range;
mod ready;
mod recover;
mod request;
mod run;
mod similar;
mod step_error;
mod target;
mod undo;
mod value;
mod variables;
mod verify;
mod want;

pub use allocator::out_of_reach;
pub use apply::{Applied, ApplyError, Holder, Terms, apply};
pub use boot_time::BootTime;
pub use in_force::{InForce, in_force, to_recover};
pub use leftover::{Leftover, leftovers};
pub use lock::{Lock, LockError};
pub use matched_process::MatchedProcess;
pub use namespaces::Namespaces;
pub use plan::{Plan, Skipped, Step, Surveyed, plan, survey};
pub use planned::{check, planned};
pub use policy::{Policy, PolicyError};
pub use range::{End, Range, RangeError};
pub use ready::{Blocked, ready};
pub use recover::{UndoError, Unwound, again, recover, rollback};
pub use request::Request;
pub use run::{RunConfig, RunError, run};
pub use similar::nearest;
pub use step_error::StepError;
pub use target::{Scope, Target, TargetError};
pub use undo::{Kept, Left, Undone, Unless, undo};
pub use value::{Kind, Value, ValueError};
pub use variables::Variables;
pub use verify::{Verdict, Verified, verify};
pub use want::{Inapplicable, Want, wants};
