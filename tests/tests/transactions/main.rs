//! Whatever ends an apply, the host is put back: on a host that is a tree, with the real binary.

mod any;
mod boost;
mod boot;
mod case;
mod confirm;
mod crash;
mod disk;
mod edits;
mod elsewhere;
mod held;
mod hostile_profiles;
mod journals;
mod limited;
mod parts;
mod privileged;
mod processes;
mod prompt;
mod refused;
mod said;
mod signals;
mod together;
