//! Finds the file and offset of an address in a process, while the process runs and for some time after it exited.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use nix::time::{ClockId, clock_gettime};

use super::budget::{AFTER, Budget, MOST};
use super::events::MappingEvent;
use super::files::{Holding, ModuleFiles};
use super::kernel_code::KernelCode;
use super::known_files::KnownFiles;
use super::mappings::{Mapping, Mappings};
use super::maps::{self, MappedRange};
use super::space::{PerfMap, Reading, Space};
use super::trust::Trust;
use super::unnamed::Unnamed;
use crate::inspect::{FileNumber, Owner, ProcessAccess, ProcessMemory, Program, ToOpen};
use crate::recording::{CodeLocator, Location, ModuleId, ModuleTable, Symbol};
use crate::units::{Addr, Nanos, Pid};

/// The number of exited processes that are remembered, since samples of them may arrive later.
const MAX_ENDED: usize = 4_096;

/// The number of processes from which on exited ones are searched for that were not reported.
const SWEEP_FROM: usize = 8_192;

/// The executable mappings of all known processes.
///
/// There are two sources: [`apply`](Self::apply) takes events from the kernel, and [`locate_code`](Self::locate_code) reads
/// `/proc/PID/maps` of a new process. Without events it works too, but misses processes that exit before they are read.
///
/// Any process can make so many mappings that events are lost, also those of others. After a loss, processes with samples are read
/// again ([`distrust`](Self::distrust)), at a limited rate. Which program a process executes does not depend on such events. What is
/// read counts for later samples only ([`advance`](Self::advance)): a process may have executed another program since an earlier one.
/// So an earlier sample of a program without events has no mapping, rather than that of another program.
///
/// Mappings, files and descriptors of all processes take at most 64 MiB. At this limit, the processes and files with the oldest
/// samples are dropped, and counted. They are looked up again for new samples.
pub struct AddressSpaces {
    spaces: HashMap<Pid, Space>,
    /// Exited processes, in the order in which they exited.
    ended: VecDeque<(Pid, u64)>,
    known: KnownFiles,
    files: ModuleFiles,
    /// The process of each perf map.
    opening: HashMap<FileNumber, (Pid, u64)>,
    kernel_code: KernelCode,
    access: Box<dyn ProcessAccess>,
    budget: Budget,
    /// Counts lookups, for the age of the last sample.
    now: u64,
    /// Distinguishes processes that had the same PID, and versions of a process.
    next_serial: u64,
    /// The time of the samples that are being looked up, and of the events that are being applied.
    time: Nanos,
    trust: Trust,
    sweep_at: usize,
    evicted: u64,
}

impl AddressSpaces {
    /// Without processes. Until the first call of [`advance`](Self::advance), a process is looked up as it is at the time of the call.
    pub(crate) fn new(access: Box<dyn ProcessAccess>) -> Self {
        Self {
            spaces: HashMap::new(),
            ended: VecDeque::new(),
            known: KnownFiles::default(),
            files: ModuleFiles::new(),
            opening: HashMap::new(),
            kernel_code: KernelCode::default(),
            access,
            budget: Budget::default(),
            now: 0,
            next_serial: 0,
            time: Nanos(u64::MAX),
            trust: Trust::default(),
            sweep_at: SWEEP_FROM,
            evicted: 0,
        }
    }

    /// Reads the mappings of a new process now, so that they are known even if it exits before its first sample arrives. This takes
    /// about 150 us for each process, mostly in the kernel.
    pub fn preload(&mut self, pid: Pid) {
        if !self.spaces.contains_key(&pid) {
            self.read(pid);
        }
    }

    /// Events and samples of this time (`CLOCK_MONOTONIC`) follow. They must be in order of time.
    pub fn advance(&mut self, time: Nanos) {
        self.time = time;
    }

    /// Applies an event. Events must be in order of time.
    pub fn apply(&mut self, event: &MappingEvent) {
        match event {
            MappingEvent::Mapped { pid, range } => {
                // The first read of an unknown process will include this mapping.
                if self.spaces.contains_key(pid) {
                    let mapping = self.mapping(range);
                    let (time, version) = (self.time, self.serial());
                    if let Some(space) = self.spaces.get_mut(pid) {
                        space.map(mapping, time, version);
                    }
                }
            }
            MappingEvent::Exec { pid } => {
                let none = Arc::new(Mappings::new(&self.budget));
                let space = self.space(none, true);
                self.insert(*pid, Space { is_executing: true, ..space });
            }
            MappingEvent::Executed { pid } => self.executed(*pid),
            MappingEvent::Fork { pid, parent } => {
                self.adopt(*parent);
                let (mappings, known) = match self.spaces.get(parent) {
                    Some(Space { mappings, known, .. }) => (mappings.clone(), *known),
                    None => (Arc::new(Mappings::new(&self.budget)), false),
                };
                let space = self.space(mappings, known);
                self.insert(*pid, space);
            }
            MappingEvent::Exit { pid } => self.end(*pid),
            MappingEvent::NewThread { .. } => {}
            MappingEvent::KernelCode { start, length, name } => self.kernel_code.add(*start, *length, name),
        }
        self.keep_budget();
    }

    fn executed(&mut self, pid: Pid) {
        let time = self.time;
        match self.spaces.get_mut(&pid) {
            Some(space) if space.is_executing => {
                space.is_executing = false;
                space.discard(time);
            }
            // The events of its mappings may be lost too.
            Some(_) => {
                let none = Arc::new(Mappings::new(&self.budget));
                let space = self.space(none, false);
                self.insert(pid, space);
            }
            None => {}
        }
    }

    /// Events were lost: known mappings may be out of date.
    pub fn distrust(&mut self) {
        self.trust.lose();
    }

    /// Processes files that were opened in the meantime. Call this regularly. It waits at most for `patience` if files are being opened.
    pub fn poll(&mut self, patience: Duration) {
        self.trust.poll();
        for (number, result) in self.access.opened(patience) {
            if self.files.opened(number, &result, &self.budget, &mut *self.access) {
                continue;
            }
            let space = self
                .opening
                .remove(&number)
                .and_then(|(pid, serial)| self.spaces.get_mut(&pid).filter(|space| space.serial == serial));
            match (space, result) {
                (Some(space), Ok(owner)) => space.perf_map = PerfMap::Held(number, owner),
                (Some(space), Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    space.perf_map = PerfMap::TimedOut;
                }
                (Some(space), Err(_)) => space.perf_map = PerfMap::None,
                (None, Ok(_)) => self.access.close(number),
                (None, Err(_)) => {}
            }
        }
    }

    /// Opens the perf maps of running processes, and waits for all files that are being opened, until `cancelled` returns `true`. The time
    /// is bounded: files that cannot be opened in time are skipped.
    pub(super) fn settle(&mut self, processes: impl Iterator<Item = Pid>, cancelled: &mut dyn FnMut() -> bool) {
        for pid in processes {
            self.open_perf_map(pid);
        }
        while self.access.is_opening() && !cancelled() {
            self.poll(Duration::from_millis(10));
        }
    }

    /// The program of a process, and its command line.
    ///
    /// # Errors
    /// It has exited, may not be read, or does not answer.
    pub(crate) fn program(&mut self, pid: Pid) -> io::Result<Program> {
        self.access.program(pid)
    }

    /// The number of processes and files that were dropped because of the memory limit.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted + self.files.evicted + self.files.refused
    }

    /// The number of requests about other processes and their files that timed out, or that were not sent because other
    /// requests for the same user had taken too long.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.access.unanswered()
    }

    /// The PIDs of the child processes that read other processes.
    #[must_use]
    pub fn readers(&self) -> Vec<Pid> {
        self.access.processes()
    }

    /// The CPU time of the child processes that read other processes.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        self.access.cpu()
    }

    /// The symbol of code that the kernel generated or removed during the capture.
    pub(super) fn kernel_code(&self, addr: u64) -> Option<Symbol> {
        self.kernel_code.find(addr)
    }

    /// Whether the file of a module can be read.
    pub(super) fn holding(&self, module: ModuleId) -> Holding {
        self.files.holding(module)
    }

    /// Sends an open file through a socket.
    pub(super) fn forward(&mut self, number: FileNumber, to: UnixStream) -> io::Result<()> {
        self.access.forward(number, to)
    }

    /// The perf map of a process.
    pub(super) fn perf_map(&self, pid: Pid) -> Option<(FileNumber, Owner)> {
        match self.spaces.get(&pid)?.perf_map {
            PerfMap::Held(number, owner) => Some((number, owner)),
            _ => None,
        }
    }

    /// The reason why an address of a process is in no file.
    pub(super) fn why_unmapped(&self, pid: Pid, addr: Addr) -> Unnamed {
        match self.spaces.get(&pid) {
            None | Some(Space { known: false, .. }) => Unnamed::UnknownProcess,
            Some(space) if space.find(addr).is_none() => Unnamed::NoMapping,
            Some(Space { perf_map: PerfMap::TimedOut, .. }) => Unnamed::TimedOut,
            Some(_) => Unnamed::RuntimeCode,
        }
    }

    fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    fn space(&mut self, mappings: Arc<Mappings>, known: bool) -> Space {
        let serial = self.serial();
        Space { losses: self.trust.losses(), last_used: self.now, ..Space::new(serial, mappings, known) }
    }

    /// Replaces a process by another with the same PID.
    fn insert(&mut self, pid: Pid, space: Space) {
        let Some(mut before) = self.spaces.insert(pid, space) else { return };
        before.discard(self.time);
        if let Some(space) = self.spaces.get_mut(&pid) {
            space.reading = before.reading;
        }
        if let PerfMap::Held(number, _) = before.perf_map {
            self.access.close(number);
        }
    }

    fn remove(&mut self, pid: Pid) {
        if let Some(Space { perf_map: PerfMap::Held(number, _), .. }) = self.spaces.remove(&pid) {
            self.access.close(number);
        }
    }

    /// Reads the mappings of a process, for samples from now on.
    fn read(&mut self, pid: Pid) {
        if self.spaces.get(&pid).is_some_and(|space| space.reading.is_some()) {
            return;
        }
        let begun = now();
        let text = self.access.maps(pid).unwrap_or_default();
        let ended = now();
        let mappings: Vec<Mapping> = maps::executable(&text).iter().map(|range| self.mapping(range)).collect();
        let mappings = Mappings::of(mappings, &self.budget);
        if !self.spaces.contains_key(&pid) {
            let none = Arc::new(Mappings::new(&self.budget));
            let space = self.space(none, false);
            self.spaces.insert(pid, space);
        }
        let losses = self.trust.losses();
        if let Some(space) = self.spaces.get_mut(&pid) {
            space.losses = losses;
            // An exited process has no list. The known mappings are kept.
            space.reading = (!mappings.is_empty()).then_some(Reading { begun, ended, mappings });
        }
        self.adopt(pid);
        self.keep_budget();
    }

    /// Uses the list that was read, if it was read before the samples that are being looked up.
    fn adopt(&mut self, pid: Pid) {
        let version = self.next_serial + 1;
        if self.spaces.get_mut(&pid).is_some_and(|space| space.adopt(self.time, version)) {
            self.next_serial = version;
        }
    }

    /// Reads a process again whose events may have been lost.
    fn reread(&mut self, pid: Pid) {
        if self.spaces.get_mut(&pid).is_some_and(|space| self.trust.is_to_be_read(space)) {
            self.read(pid);
        }
    }

    fn mapping(&mut self, range: &MappedRange) -> Mapping {
        // Without a file on disk, the offset has no meaning: perf reports the page number of the address.
        let offset = if range.file.path().is_absolute() { range.offset } else { 0 };
        let file = self.known.get(&range.file, &self.budget);
        Mapping { start: range.start.0, end: range.end.0, offset, file }
    }

    fn location(&mut self, found: &Mapping, pid: Pid, addr: Addr, modules: &mut ModuleTable) -> Location {
        match self.files.module(pid, found, self.now, &mut *self.access, modules) {
            Some(module) => Location::Module { module, offset: (addr.0 - found.start).wrapping_add(found.offset) },
            None => {
                self.note_anonymous(pid);
                Location::Unmapped { pid, addr }
            }
        }
    }

    /// Opens the perf map of a process as soon as it exists, so that it can be read after the process exited.
    fn note_anonymous(&mut self, pid: Pid) {
        let Some(space) = self.spaces.get_mut(&pid) else { return };
        space.anonymous = space.anonymous.saturating_add(1);
        if space.anonymous.is_power_of_two() {
            self.open_perf_map(pid);
        }
    }

    fn open_perf_map(&mut self, pid: Pid) {
        let Some(space) = self.spaces.get_mut(&pid) else { return };
        if space.perf_map == PerfMap::None && !space.ended && space.anonymous > 0 {
            space.perf_map = PerfMap::Opening;
            let serial = space.serial;
            self.opening.insert(self.access.open(ToOpen::PerfMap(pid)), (pid, serial));
        }
    }

    fn end(&mut self, pid: Pid) {
        let Some(space) = self.spaces.get_mut(&pid).filter(|space| !space.ended) else { return };
        space.ended = true;
        self.ended.push_back((pid, space.serial));
        while self.ended.len() > MAX_ENDED {
            let Some((pid, serial)) = self.ended.pop_front() else { break };
            // The PID may belong to another process by now.
            if self.spaces.get(&pid).is_some_and(|space| space.ended && space.serial == serial) {
                self.remove(pid);
            }
        }
    }

    /// Removes exited processes, for captures without events.
    fn sweep(&mut self) {
        if self.spaces.len() < self.sweep_at {
            return;
        }
        let gone: Vec<Pid> =
            self.spaces.keys().filter(|pid| !Path::new(&format!("/proc/{pid}")).exists()).copied().collect();
        gone.into_iter().for_each(|pid| self.end(pid));
        self.sweep_at = SWEEP_FROM.max(2 * self.spaces.len());
    }

    /// Drops the processes and files with the oldest samples if the memory limit is exceeded.
    fn keep_budget(&mut self) {
        if self.budget.used() <= MOST {
            return;
        }
        self.known.sweep();
        let mut oldest: Vec<(u64, Pid)> = self.spaces.iter().map(|(pid, space)| (space.last_used, *pid)).collect();
        oldest.sort_unstable();
        let mut gone = HashSet::new();
        for (last_used, pid) in oldest {
            if self.budget.used() <= AFTER {
                break;
            }
            self.files.evict(last_used.saturating_sub(1), &mut *self.access);
            self.remove(pid);
            gone.insert(pid);
        }
        self.evicted += gone.len() as u64;
        self.ended.retain(|(pid, _)| !gone.contains(pid));
        self.known.sweep();
    }
}

/// The time (`CLOCK_MONOTONIC`).
fn now() -> Nanos {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Nanos(u64::MAX), |time| {
        Nanos(u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0))
    })
}

impl CodeLocator for AddressSpaces {
    /// The mappings of a new process are read from `/proc`.
    fn version(&mut self, pid: Pid) -> u64 {
        if self.spaces.contains_key(&pid) {
            self.reread(pid);
        } else {
            self.sweep();
            self.read(pid);
        }
        self.adopt(pid);
        self.spaces.get(&pid).map_or(0, |space| space.version)
    }

    /// For a frame that is not the innermost of its stack, pass the [`call_site`](Addr::call_site) of its return address.
    ///
    /// A known process costs three hash lookups and one binary search. The mappings of a new one are read from `/proc`, for later
    /// samples. An address without a mapping causes another read, but only for the 1st, 2nd, 4th, 8th, ... such address of a process, so
    /// that invalid addresses do not cause a read for each sample.
    fn locate_code(&mut self, pid: Pid, addr: Addr, modules: &mut ModuleTable) -> Option<Location> {
        self.now += 1;
        self.adopt(pid);
        match self.spaces.get_mut(&pid) {
            Some(space) => {
                space.last_used = self.now;
                if let Some(found) = space.find(addr).cloned() {
                    return Some(self.location(&found, pid, addr, modules));
                }
                space.misses = space.misses.saturating_add(1);
                if !space.misses.is_power_of_two() {
                    return None;
                }
            }
            None => self.sweep(),
        }
        self.read(pid);
        let found = self.spaces.get(&pid)?.find(addr).cloned()?;
        Some(self.location(&found, pid, addr, modules))
    }
}

impl ProcessMemory for AddressSpaces {
    fn read(&mut self, pid: Pid, address: Addr, length: u32) -> Option<Vec<u8>> {
        self.access.memory(pid, address, length).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::FileIdentity;
    use super::*;
    use std::ffi::OsStr;

    use crate::inspect::Direct;

    /// Above the maximum PID (`PID_MAX_LIMIT`, 4,194,304), so that /proc does not contain them.
    const PARENT: Pid = Pid(1 << 23);
    const CHILD: Pid = Pid((1 << 23) + 1);

    fn mapped(pid: Pid, start: u64, path: &str) -> MappingEvent {
        let file = FileIdentity::new((1, 1), path.len() as u64, OsStr::new(path));
        MappingEvent::Mapped {
            pid,
            range: MappedRange { start: Addr(start), end: Addr(start + 0x1000), offset: 0x200, file },
        }
    }

    struct Test {
        spaces: AddressSpaces,
        modules: ModuleTable,
    }

    impl Test {
        fn new(events: &[MappingEvent]) -> Self {
            let mut test =
                Self { spaces: AddressSpaces::new(Box::new(Direct::default())), modules: ModuleTable::default() };
            test.apply(events);
            test
        }

        fn apply(&mut self, events: &[MappingEvent]) {
            events.iter().for_each(|event| self.spaces.apply(event));
        }

        fn locate(&mut self, pid: Pid, addr: u64) -> Option<(String, u64)> {
            match self.spaces.locate_code(pid, Addr(addr), &mut self.modules) {
                Some(Location::Module { module, offset }) => Some((self.modules.get(module).name().to_owned(), offset)),
                _ => None,
            }
        }
    }

    fn at(name: &str, offset: u64) -> Option<(String, u64)> {
        Some((name.to_owned(), offset))
    }

    #[test]
    fn a_program_replaces_the_one_before_it() {
        let exec = MappingEvent::Exec { pid: PARENT };
        let mut test = Test::new(&[exec.clone(), mapped(PARENT, 0x1000, "/a/sh"), mapped(PARENT, 0x8000, "/a/libc")]);
        assert_eq!(test.locate(PARENT, 0x1010), at("sh", 0x210));

        test.apply(&[exec.clone(), mapped(PARENT, 0x1000, "/a/compiler")]);
        assert_eq!(test.locate(PARENT, 0x1010), at("compiler", 0x210));
        assert_eq!(test.locate(PARENT, 0x8010), None);
    }

    #[test]
    fn a_program_replaces_the_one_before_it_although_all_perf_events_of_it_are_lost() {
        let executed = MappingEvent::Executed { pid: PARENT };
        let mut test = Test::new(&[MappingEvent::Exec { pid: PARENT }, mapped(PARENT, 0x1000, "/a/sh")]);
        test.apply(std::slice::from_ref(&executed));
        assert_eq!(test.locate(PARENT, 0x1010), at("sh", 0x210));
        let before = test.spaces.version(PARENT);
        test.apply(&[executed]);
        assert_eq!(test.locate(PARENT, 0x1010), None);
        assert_ne!(test.spaces.version(PARENT), before);
    }

    /// The time of a sample or event before a reading that follows, and after it.
    const BEFORE: Nanos = Nanos(0);
    const AFTER: Nanos = Nanos(u64::MAX);

    #[test]
    fn what_is_read_counts_for_later_samples_only() {
        let own = Pid(std::process::id());
        let here = at as fn(&str, u64) -> Option<(String, u64)> as usize as u64;
        let mut test = Test::new(&[]);
        test.spaces.advance(BEFORE);
        let before = test.spaces.version(own);
        assert_eq!(test.locate(own, here), None, "it may be a sample of the program before");
        // The reading was after this.
        test.apply(&[MappingEvent::Executed { pid: own }]);
        assert_eq!(test.locate(own, here), None);
        test.spaces.advance(AFTER);
        assert_ne!(test.spaces.version(own), before);
        assert!(test.locate(own, here).is_some());
    }

    #[test]
    fn what_was_read_of_a_program_does_not_count_for_the_next_one() {
        let here = at as fn(&str, u64) -> Option<(String, u64)> as usize as u64;
        let own = Pid(std::process::id());
        let (executed, exec) = (MappingEvent::Executed { pid: own }, MappingEvent::Exec { pid: own });
        let fork = MappingEvent::Fork { pid: own, parent: PARENT };
        for events in [&[executed.clone()][..], &[exec, executed], &[fork]] {
            let mut test = Test::new(&[]);
            test.spaces.advance(BEFORE);
            test.spaces.version(own);
            test.spaces.advance(AFTER);
            test.apply(events);
            let space = &test.spaces.spaces[&own];
            assert!(space.reading.is_none() && space.find(Addr(here)).is_none(), "{events:?}");
        }
    }

    #[test]
    fn a_version_ends_when_an_address_gets_another_meaning() {
        let mut test = Test::new(&[MappingEvent::Exec { pid: PARENT }, mapped(PARENT, 0x1000, "/a/plugin")]);
        let mut changes = |events: &[MappingEvent]| {
            let before = test.spaces.version(PARENT);
            test.apply(events);
            test.spaces.version(PARENT) != before
        };
        assert!(!changes(&[mapped(PARENT, 0x1000, "/a/plugin")]), "the same, such as after mprotect");
        assert!(!changes(&[mapped(PARENT, 0x8000, "/a/other")]), "where nothing was");
        assert!(changes(&[mapped(PARENT, 0x1000, "/a/second plugin")]), "unloaded, and another loaded there");
        assert!(changes(&[MappingEvent::Fork { pid: PARENT, parent: CHILD }]), "the PID of another process");
        assert_eq!(test.locate(PARENT, 0x4010), None);
        let mut test = Test::new(&[MappingEvent::Exec { pid: PARENT }]);
        let before = test.spaces.version(PARENT);
        assert_eq!(test.locate(PARENT, 0x4010), None);
        test.apply(&[mapped(PARENT, 0x4000, "/a/late")]);
        assert_ne!(test.spaces.version(PARENT), before, "where an address was looked for in vain");
    }

    #[test]
    fn a_child_has_its_parents_mappings_until_either_changes_its_own() {
        let mut test = Test::new(&[MappingEvent::Exec { pid: PARENT }, mapped(PARENT, 0x1000, "/a/sh")]);
        test.apply(&[
            MappingEvent::Fork { pid: CHILD, parent: PARENT },
            mapped(PARENT, 0x2000, "/a/parents"),
            mapped(CHILD, 0x2000, "/a/child's"),
        ]);
        assert_eq!(test.locate(CHILD, 0x1010), at("sh", 0x210));
        assert_eq!(test.locate(CHILD, 0x2010), at("child's", 0x210));
        assert_eq!(test.locate(PARENT, 0x2010), at("parents", 0x210));

        test.apply(&[MappingEvent::Exec { pid: CHILD }]);
        assert_eq!(test.locate(PARENT, 0x1010), at("sh", 0x210));
    }

    #[test]
    fn an_ended_process_is_remembered_until_many_others_ended() {
        let life = |pid| [MappingEvent::Exec { pid }, mapped(pid, 0x1000, "/a/true"), MappingEvent::Exit { pid }];
        let mut test = Test::new(&life(PARENT));
        let others = (1..).map(|number| Pid(PARENT.0 + number)).take(MAX_ENDED);
        for (number, pid) in others.enumerate() {
            if number == MAX_ENDED - 1 {
                assert_eq!(test.locate(PARENT, 0x1010), at("true", 0x210));
            }
            test.apply(&life(pid));
        }
        assert_eq!(test.locate(PARENT, 0x1010), None);
    }

    #[test]
    fn a_number_that_passed_to_a_new_process_is_not_forgotten_with_the_old_one() {
        let life = |pid| [MappingEvent::Exec { pid }, MappingEvent::Exit { pid }];
        let mut test = Test::new(&life(PARENT));
        test.apply(&[MappingEvent::Exec { pid: PARENT }, mapped(PARENT, 0x1000, "/a/new")]);
        (1..).map(|number| Pid(PARENT.0 + number)).take(MAX_ENDED).for_each(|pid| test.apply(&life(pid)));
        assert_eq!(test.locate(PARENT, 0x1010), at("new", 0x210));
    }

    #[test]
    fn stray_addresses_have_the_list_read_ever_more_seldom() {
        let own = Pid(std::process::id());
        let mut test = Test::new(&[]);
        let mut readings = 0;
        for _ in 0..1_000 {
            // The list is damaged here; a read repairs it, which shows that it took place.
            let broken = Arc::new(Mappings::new(&test.spaces.budget));
            if let Some(space) = test.spaces.spaces.get_mut(&own) {
                space.mappings = broken.clone();
            }
            assert_eq!(test.locate(own, 1), None);
            readings += u32::from(test.spaces.spaces.get(&own).is_some_and(|space| !space.mappings.is_empty()));
        }
        // The first lookup, and the misses 1, 2, 4, ... 512.
        assert_eq!(readings, 11);
    }

    #[test]
    fn own_code_is_found_through_proc_and_its_file_is_held() {
        let own = Pid(std::process::id());
        let mut test = Test::new(&[]);
        let here = Addr(at as fn(&str, u64) -> Option<(String, u64)> as usize as u64);
        let Some(Location::Module { module, offset }) = test.spaces.locate_code(own, here, &mut test.modules) else {
            panic!("{here} is in no module");
        };
        let exe = std::env::current_exe().expect("known");
        assert_eq!(test.modules.get(module).path, exe);
        test.spaces.poll(Duration::ZERO);
        assert!(matches!(test.spaces.holding(module), Holding::Held { .. }));
        assert!(offset < std::fs::metadata(&exe).expect("readable").len());
    }

    /// A process with the maximum number of mappings, which forks repeatedly; each child has its own mappings.
    #[test]
    fn a_flood_of_mappings_takes_a_bounded_amount_of_memory_and_others_stay_known() {
        let mut test = Test::new(&[MappingEvent::Exec { pid: PARENT }]);
        let others: Vec<Pid> = (1_000..1_100).map(|number| Pid(PARENT.0 + number)).collect();
        for pid in &others {
            test.apply(&[MappingEvent::Exec { pid: *pid }, mapped(*pid, 0x1000, "/a/server")]);
        }
        let many: Vec<MappingEvent> = (0..60_000).map(|page| mapped(PARENT, page * 0x2000, "/a/bomb")).collect();
        test.apply(&many);
        for number in 1..=200 {
            let child = Pid(PARENT.0 + number);
            test.apply(&[
                MappingEvent::Fork { pid: child, parent: PARENT },
                mapped(child, 0x10_0000_0000, "/a/own"),
                MappingEvent::Exit { pid: child },
            ]);
            assert!(test.spaces.budget.used() <= MOST, "{} bytes", test.spaces.budget.used());
            // Samples of the other processes and of the bomb arrive meanwhile.
            for pid in &others {
                assert_eq!(test.locate(*pid, 0x1010), at("server", 0x210));
            }
            assert_eq!(test.locate(child, 0x1010), None);
            assert_eq!(test.locate(PARENT, 0x10), at("bomb", 0x210));
        }
        assert!(test.spaces.evicted() > 100, "{}", test.spaces.evicted());
    }

    #[test]
    fn paths_of_files_that_are_mapped_and_gone_take_no_memory() {
        let mut test = Test::new(&[MappingEvent::Exec { pid: PARENT }]);
        let long = "x".repeat(3_000);
        for number in 0..50_000 {
            // At the same address, as for a file that is renamed, mapped and unmapped in a loop.
            test.apply(&[mapped(PARENT, 0x1000, &format!("/{number}/{long}"))]);
        }
        assert!(test.spaces.budget.used() < MOST / 4, "{} bytes", test.spaces.budget.used());
        assert_eq!(test.spaces.evicted(), 0);
    }
}
