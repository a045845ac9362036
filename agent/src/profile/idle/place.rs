//! What a stack says about a wait: where its thread sleeps, and what ended it.

use super::functions::{FrameClass, classify};
use crate::recording::Recording;

/// Where a thread sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// In a wait for work.
    Work,
    /// In the main function of a kernel thread.
    KernelLoop,
    /// Somewhere else, or unknown.
    #[default]
    Other,
}

/// The position of a frame in the stack of a kernel thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum KernelThread {
    /// It is none, as far as the stack shows.
    #[default]
    No,
    /// The frame calls the main function.
    Entry,
    /// The frame is the main function, or is called by it.
    Inside,
}

/// What the frames of a stack, from the outermost on, say about the thread.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StackFacts {
    kernel_place: Place,
    kernel_thread: KernelThread,
    /// Whether the program takes a lock.
    lock: bool,
    /// Whether a timer ends a wait.
    pub(super) timer: bool,
}

impl StackFacts {
    /// Where the thread sleeps.
    pub(super) fn place(self) -> Place {
        if self.lock { Place::Other } else { self.kernel_place }
    }

    /// The facts of the stack with one more frame.
    fn with(self, frame: FrameClass) -> Self {
        let inside = match self.kernel_thread {
            KernelThread::No => KernelThread::No,
            KernelThread::Entry | KernelThread::Inside => KernelThread::Inside,
        };
        match frame {
            FrameClass::Scheduler => self,
            FrameClass::Timer => Self { timer: true, kernel_place: Place::Other, ..self },
            FrameClass::Lock => Self { lock: true, kernel_place: Place::Other, ..self },
            FrameClass::KernelThread => Self { kernel_thread: KernelThread::Entry, kernel_place: Place::Other, ..self },
            FrameClass::Work => Self { kernel_place: Place::Work, kernel_thread: inside, ..self },
            FrameClass::KernelLoop => Self { kernel_place: Place::KernelLoop, kernel_thread: inside, ..self },
            FrameClass::Kernel if self.kernel_thread == KernelThread::Entry => {
                Self { kernel_place: Place::KernelLoop, kernel_thread: inside, ..self }
            }
            FrameClass::Kernel | FrameClass::Program => Self { kernel_place: Place::Other, ..self },
        }
    }
}

/// The facts of each stack. Callers precede their callees in the table.
pub(super) fn stack_facts(recording: &Recording) -> Vec<StackFacts> {
    let classes: Vec<FrameClass> = recording.frames.rows().iter().map(classify).collect();
    let mut facts: Vec<StackFacts> = Vec::with_capacity(recording.stacks.rows().len());
    for node in recording.stacks.rows() {
        let caller = node.parent.map_or_else(StackFacts::default, |parent| facts[parent.index()]);
        facts.push(caller.with(classes[node.frame.index()]));
    }
    facts
}
