//! Background processes that outlive the command that started them: one holds files open, and one rolls back transactions that
//! are not confirmed.

mod caller;
mod pid_file;
mod start;
mod stop;
mod task;

pub use pid_file::PidFile;
pub use start::{BackgroundError, detach, start};
pub use stop::{StopError, stop_holder};
pub use task::BackgroundTask;
