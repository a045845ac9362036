//! Values of knobs: their kinds, their text representation, and their targets.

mod kind;
mod policy;
mod range;
mod target;
#[expect(clippy::module_inception, reason = "a file has the name of the type that it defines")]
mod value;

pub use kind::{ValueError, ValueKind};
pub use policy::{Policy, PolicyError};
pub use range::{Range, RangeBound, RangeError};
pub use target::{KnobTarget, Scope, TargetError};
pub use value::Value;
