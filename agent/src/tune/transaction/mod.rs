//! Transactions: plans that are applied either completely or not at all, journaled, verified and rolled back.

mod active;
mod apply;
pub mod background;
mod boot_time;
mod conflict;
mod executor;
mod hint;
pub mod journal;
mod lock;
mod namespaces;
mod preconditions;
mod recovery;
mod request;
pub mod resource_limits;
mod rollback;
mod signals;
mod state_file;
mod step_error;
mod unrestored;
mod verify;

pub use active::{ActiveValue, active_values, needs_recovery};
pub use apply::{ApplyError, apply};
pub use boot_time::BootTime;
pub use conflict::OnConflict;
pub use executor::{Applied, ApplyOptions, Holder};
pub use lock::{Lock, LockError};
pub use namespaces::Namespaces;
pub use preconditions::{PreconditionError, check_preconditions};
pub use recovery::{RollbackError, RollbackResults, recover, retry, roll_back};
pub use request::{Request, shell_quoted};
pub use rollback::{Cause, NotRestored, RollbackReport};
pub use step_error::StepError;
pub use unrestored::{UnrestoredValue, unrestored_values};
pub use verify::{Verdict, Verified, verify};
