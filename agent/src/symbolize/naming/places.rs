//! The frames without a name, who needs their names, and the order in which they are symbolized.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use super::payer::Requester;
use crate::recording::{FrameId, Location, ModuleId, ProcessIdx, Recording, StackId, SymbolizeStats};
use crate::units::Pid;

/// The maximum number of locations of a file at a time. The others follow after all other files.
const MAX_PLACES: usize = 16_384;

/// Frames, with their address or their offset in a file.
pub(super) type Frames = Vec<(FrameId, u64)>;

/// Frames of a file that are symbolized at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The user who needs their names.
    pub(super) requester: Requester,
    /// The frames, in the order in which they are symbolized.
    pub(super) frames: Frames,
}

/// The frames without a name, by the source of their names.
pub(super) struct Places {
    pub(super) kernel: Frames,
    pub(super) modules: BTreeMap<ModuleId, Vec<Part>>,
    pub(super) unmapped: BTreeMap<Pid, Part>,
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
        let needs = Needs::of(recording);
        let modules = modules.into_iter().map(|(module, frames)| (module, needs.parts(frames))).collect();
        let unmapped = unmapped.into_iter().map(|(pid, mut frames)| {
            frames.sort_unstable_by_key(|(_, addr)| *addr);
            (pid, Part { requester: needs.requester(&frames), frames })
        });
        Self { kernel, modules, unmapped: unmapped.collect(), stats }
    }
}

/// Who needs a frame.
#[derive(Clone, Copy)]
struct Need {
    /// The smallest number of locations in the file of the frame that one of its processes has. A process with forged stacks can
    /// have any number of locations, even in libraries that others use; they come after the locations of processes that have fewer.
    crowd: u32,
    /// Of the users of its processes, the one with the fewest files: for most users, a library that another user needs too costs
    /// nothing. Root comes before all others.
    requester: Requester,
    rank: (bool, u32),
}

struct Needs(HashMap<FrameId, Need>);

impl Needs {
    fn of(recording: &Recording) -> Self {
        let has = pairs(recording);
        let module = |frame: FrameId| match recording.frames.get(frame).location {
            Location::Module { module, .. } => Some(module),
            _ => None,
        };
        let requester = |process: ProcessIdx| Requester::of(recording.processes.get(process));
        let mut crowds: HashMap<(ProcessIdx, ModuleId), u32> = HashMap::new();
        for (process, frame) in &has {
            if let Some(module) = module(*frame) {
                *crowds.entry((*process, module)).or_default() += 1;
            }
        }
        let of_users: HashSet<(Requester, ModuleId)> =
            crowds.keys().map(|(process, module)| (requester(*process), *module)).collect();
        let mut files: HashMap<Requester, u32> = HashMap::new();
        for (requester, _) in of_users {
            *files.entry(requester).or_default() += 1;
        }
        let mut needs: HashMap<FrameId, Need> = HashMap::new();
        for (process, frame) in has {
            let requester = requester(process);
            let crowd = module(frame).and_then(|module| crowds.get(&(process, module))).copied().unwrap_or_default();
            let rank = (!requester.is_root(), files.get(&requester).copied().unwrap_or_default());
            let new = Need { crowd, requester, rank };
            needs.entry(frame).and_modify(|need| need.add(&new)).or_insert(new);
        }
        Self(needs)
    }

    /// Divides the frames of a file. The first part is for all users. The further parts of a file with very many frames are for one
    /// user each.
    fn parts(&self, mut frames: Frames) -> Vec<Part> {
        frames.sort_by_cached_key(|(frame, _)| self.0.get(frame).map_or(u32::MAX, |need| need.crowd));
        let rest = frames.split_off(frames.len().min(MAX_PLACES));
        let mut by_user: BTreeMap<Requester, Frames> = BTreeMap::new();
        for place in rest {
            by_user.entry(self.requester(&[place])).or_default().push(place);
        }
        let first = Part { requester: self.requester(&frames), frames };
        let further = by_user.into_iter().flat_map(|(requester, frames)| {
            let chunks: Vec<Frames> = frames.chunks(MAX_PLACES).map(<[_]>::to_vec).collect();
            chunks.into_iter().map(move |frames| Part { requester, frames })
        });
        [first].into_iter().chain(further).collect()
    }

    /// The user who needs at least one of these frames, and comes first.
    fn requester(&self, frames: &[(FrameId, u64)]) -> Requester {
        let needs = frames.iter().filter_map(|(frame, _)| self.0.get(frame));
        needs.min_by_key(|need| (need.rank, need.requester)).map_or(Requester::UNKNOWN, |need| need.requester)
    }
}

impl Need {
    fn add(&mut self, other: &Self) {
        self.crowd = self.crowd.min(other.crowd);
        if (other.rank, other.requester) < (self.rank, self.requester) {
            (self.rank, self.requester) = (other.rank, other.requester);
        }
    }
}

/// All pairs of a process and a frame in one of its stacks.
fn pairs(recording: &Recording) -> HashSet<(ProcessIdx, FrameId)> {
    let (mut seen, mut pairs) = (HashSet::new(), HashSet::new());
    let mut take = |process: ProcessIdx, stack: Option<StackId>| {
        let mut at = stack;
        while let Some(stack) = at.filter(|stack| seen.insert((process, *stack))) {
            let node = recording.stacks.get(stack);
            pairs.insert((process, node.frame));
            at = node.parent;
        }
    };
    for sample in &recording.samples {
        take(recording.threads.get(sample.thread).process, sample.stack);
        if let Some(wake) = &sample.wake {
            take(recording.threads.get(wake.waker).process, wake.stack);
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

    const ROOT: u32 = 0;
    const VICTIM: u32 = 1_000;
    const HOSTILE: u32 = 1_001;

    fn file(recording: &mut Recording, path: &str) -> ModuleId {
        recording.modules.push(Module { path: path.into(), file: None, build_id: None })
    }

    /// A sample of a process of a user, with these places in a file.
    fn sampled(recording: &mut Recording, (pid, user): (u32, u32), module: ModuleId, places: &[u64]) {
        let locations = places.iter().map(|offset| Location::Module { module, offset: *offset });
        let frames: Vec<FrameId> = locations.map(|location| recording.frames.intern(location)).collect();
        let thread = recording.threads.intern(&mut recording.processes, Pid(pid), Tid(pid), [0; 16]);
        let process = recording.threads.get(thread).process;
        recording.processes.get_mut(process).user = Some(user);
        let stack = recording.stacks.intern_all(frames);
        recording.samples.push(Sample { stack, ..Sample::new(MetricId(0), thread, Nanos(0), 1) });
    }

    fn users(places: &Places, module: ModuleId) -> Vec<Option<u32>> {
        places.modules[&module].iter().map(|part| part.requester.user()).collect()
    }

    #[test]
    fn the_places_of_a_forger_come_after_those_of_the_others() {
        let mut recording = recording();
        let module = file(&mut recording, "/lib/libc.so");
        // The forged stacks come first, and contain locations of the other processes too.
        sampled(&mut recording, (1, ROOT), module, &(0..500).collect::<Vec<_>>());
        sampled(&mut recording, (2, ROOT), module, &[400, 1_000]);
        sampled(&mut recording, (3, ROOT), module, &[300, 1_001, 1_002]);
        let places = Places::of(&recording);
        let order: Vec<u64> = places.modules[&module][0].frames.iter().map(|(_, place)| *place).collect();
        let mut first = order[..5].to_vec();
        first.sort_unstable();
        assert_eq!((first, order.len()), (vec![300, 400, 1_000, 1_001, 1_002], 503));
    }

    #[test]
    fn a_file_is_read_for_the_user_who_has_the_fewest_files_and_for_root_before_others() {
        let mut recording = recording();
        let [own, shared, roots] = ["/own", "/shared", "/lib/libc.so"].map(|path| file(&mut recording, path));
        sampled(&mut recording, (1, HOSTILE), own, &[1]);
        for module in [shared, roots] {
            sampled(&mut recording, (1, HOSTILE), module, &[1]);
            sampled(&mut recording, (2, VICTIM), module, &[1]);
        }
        for number in 0..20 {
            let module = file(&mut recording, &format!("/lib/{number}"));
            sampled(&mut recording, (3, ROOT), module, &[1]);
        }
        sampled(&mut recording, (3, ROOT), roots, &[1]);
        let places = Places::of(&recording);
        assert_eq!(users(&places, own), [Some(HOSTILE)]);
        assert_eq!(users(&places, shared), [Some(VICTIM)]);
        assert_eq!(users(&places, roots), [Some(ROOT)]);
    }

    #[test]
    fn what_a_forger_has_in_a_library_beyond_a_part_is_read_for_the_forger() {
        let mut recording = recording();
        let module = file(&mut recording, "/lib/libc.so");
        sampled(&mut recording, (1, ROOT), module, &[5, 6]);
        let forged: Vec<u64> = (0..3 * MAX_PLACES as u64).collect();
        sampled(&mut recording, (2, HOSTILE), module, &forged);
        let places = Places::of(&recording);
        assert_eq!(users(&places, module), [Some(ROOT), Some(HOSTILE), Some(HOSTILE)]);
    }
}
