//! The kernel events on which quell's programs run.

use quell_ebpf_common::hook;

/// An event, with one program for all probes that need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// A sampling interrupt. Each probe opens its own perf events.
    Interrupt,
    /// A context switch.
    Switch,
    /// A wakeup.
    Waking,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 3] = [Self::Interrupt, Self::Switch, Self::Waking];

    /// The name of its program in the object.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Interrupt => "quell_interrupt",
            Self::Switch => "quell_switch",
            Self::Waking => "quell_waking",
        }
    }

    /// The tracepoint of the program; `None` for an event that is not a tracepoint.
    #[must_use]
    pub fn tracepoint(self) -> Option<&'static str> {
        match self {
            Self::Interrupt => None,
            Self::Switch => Some("sched_switch"),
            Self::Waking => Some("sched_waking"),
        }
    }

    /// The name of the event in reports.
    #[must_use]
    pub fn event(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Switch => "context switch",
            Self::Waking => "wake-up",
        }
    }

    /// Its index in the map `HOOKS`.
    pub(super) fn element(self) -> u32 {
        match self {
            Self::Interrupt => hook::INTERRUPT,
            Self::Switch => hook::SWITCH,
            Self::Waking => hook::WAKING,
        }
    }
}
