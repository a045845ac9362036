//! The frames without a name, and the order in which they are symbolized.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use crate::recording::{FrameId, Location, ModuleId, Recording, StackId, SymbolizeStats};
use crate::units::Pid;

/// Frames, with their address or their offset in a file.
pub(super) type Frames = Vec<(FrameId, u64)>;

/// The frames without a name, by the source of their names.
pub(super) struct Places {
    pub(super) kernel: Frames,
    /// The frames of each file, in the order in which they are symbolized.
    pub(super) modules: BTreeMap<ModuleId, Frames>,
    pub(super) unmapped: BTreeMap<Pid, Frames>,
    pub(super) stats: SymbolizeStats,
}

impl Places {
    pub(super) fn of(recording: &Recording) -> Self {
        let (mut modules, mut unmapped) = (BTreeMap::<_, Frames>::new(), BTreeMap::<_, Frames>::new());
        let (mut kernel, mut stats) = (Vec::new(), SymbolizeStats::default());
        for (id, frame) in (0..).map(FrameId::new).zip(recording.frames.rows()) {
            match &frame.location {
                Location::Label(_) | Location::NamedLabel(_) => {}
                _ if frame.symbol.is_some() => stats.named += 1,
                Location::Kernel(addr) => kernel.push((id, addr.0)),
                Location::Module { module, offset } => modules.entry(*module).or_default().push((id, *offset)),
                Location::Unmapped { pid, addr } => unmapped.entry(*pid).or_default().push((id, addr.0)),
            }
        }
        let crowds = Crowds::of(recording);
        for frames in modules.values_mut() {
            frames.sort_by_cached_key(|(frame, _)| crowds.smallest(*frame));
        }
        Self { kernel, modules, unmapped, stats }
    }
}

/// For each frame, the smallest number of locations in its file that one of its processes has. A process with forged stacks can
/// have any number of locations, even in libraries that others use; they come after the locations of processes that have fewer.
struct Crowds(HashMap<FrameId, u32>);

impl Crowds {
    fn of(recording: &Recording) -> Self {
        let has = pairs(recording);
        let module = |frame: FrameId| match recording.frames.get(frame).location {
            Location::Module { module, .. } => Some(module),
            _ => None,
        };
        let mut sizes: HashMap<(Pid, ModuleId), u32> = HashMap::new();
        for (pid, frame) in &has {
            if let Some(module) = module(*frame) {
                *sizes.entry((*pid, module)).or_default() += 1;
            }
        }
        let mut smallest: HashMap<FrameId, u32> = HashMap::new();
        for (pid, frame) in has {
            if let Some(size) = module(frame).and_then(|module| sizes.get(&(pid, module))) {
                smallest.entry(frame).and_modify(|least| *least = (*least).min(*size)).or_insert(*size);
            }
        }
        Self(smallest)
    }

    fn smallest(&self, frame: FrameId) -> u32 {
        self.0.get(&frame).copied().unwrap_or(u32::MAX)
    }
}

/// All pairs of a process and a frame in one of its stacks.
fn pairs(recording: &Recording) -> HashSet<(Pid, FrameId)> {
    let (mut seen, mut pairs) = (HashSet::new(), HashSet::new());
    let mut take = |pid: Pid, stack: Option<StackId>| {
        let mut at = stack;
        while let Some(stack) = at.filter(|stack| seen.insert((pid, *stack))) {
            let node = recording.stacks.get(stack);
            pairs.insert((pid, node.frame));
            at = node.parent;
        }
    };
    for sample in &recording.samples {
        take(recording.threads.get(sample.thread).pid, sample.stack);
        if let Some(wake) = &sample.wake {
            take(recording.threads.get(wake.waker).pid, wake.stack);
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::super::tests::recording;
    use super::*;
    use crate::recording::MetricId;
    use crate::recording::{Module, Sample};
    use crate::units::{Nanos, Tid};

    #[test]
    fn the_places_of_a_forger_come_after_those_of_the_others() {
        let mut recording = recording();
        let module = recording.modules.push(Module { path: "/lib/libc.so".into(), file: None, build_id: None });
        let mut sampled = |pid: u32, places: &[u64]| {
            let frames: Vec<FrameId> = places
                .iter()
                .map(|offset| recording.frames.intern(Location::Module { module, offset: *offset }))
                .collect();
            let thread = recording.threads.intern(&mut recording.processes, Pid(pid), Tid(pid), [0; 16]);
            let stack = recording.stacks.intern_all(frames);
            recording.samples.push(Sample { stack, ..Sample::new(MetricId(0), thread, Nanos(0), 1) });
        };
        // The forged stacks come first, and contain locations of the other processes too.
        sampled(1, &(0..500).collect::<Vec<_>>());
        sampled(2, &[400, 1_000]);
        sampled(3, &[300, 1_001, 1_002]);
        let places = Places::of(&recording);
        let order: Vec<u64> = places.modules[&module].iter().map(|(_, place)| *place).collect();
        let mut first = order[..5].to_vec();
        first.sort_unstable();
        assert_eq!((first, order.len()), (vec![300, 400, 1_000, 1_001, 1_002], 503));
    }
}
