//! Perf events of all processes on one CPU: which ones quell opens ([`CpuEvent`]), and how it opens them on a CPU that comes
//! online when it has dropped the privileges for this ([`Opener`]).

mod cycles;
mod event;
mod opener;

pub use event::CpuEvent;
pub use opener::Opener;
pub(crate) use opener::serve as serve_opener;
