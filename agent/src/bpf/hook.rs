//! The events that quell's programs run on.

use quell_ebpf_common::hook;

/// A program of the object that serves every probe that needs its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// A sampling interrupt. Each probe that needs it opens perf events of its own.
    Interrupt,
    /// A context switch.
    Switch,
    /// A wake-up.
    Waking,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 3] = [Self::Interrupt, Self::Switch, Self::Waking];

    /// Its program in the object.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Interrupt => "quell_interrupt",
            Self::Switch => "quell_switch",
            Self::Waking => "quell_waking",
        }
    }

    /// The tracepoint that the program runs on, if it is one.
    #[must_use]
    pub fn tracepoint(self) -> Option<&'static str> {
        match self {
            Self::Interrupt => None,
            Self::Switch => Some("sched_switch"),
            Self::Waking => Some("sched_waking"),
        }
    }

    /// What one of its events is called in reports.
    #[must_use]
    pub fn event(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Switch => "context switch",
            Self::Waking => "wake-up",
        }
    }

    /// Its element of the map `HOOKS`.
    pub(super) fn element(self) -> u32 {
        match self {
            Self::Interrupt => hook::INTERRUPT,
            Self::Switch => hook::SWITCH,
            Self::Waking => hook::WAKING,
        }
    }
}
