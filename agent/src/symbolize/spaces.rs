//! From an address in a process to an offset in a file, while the process lives and for a while after.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;

use super::events::MappingEvent;
use super::files::ModuleFiles;
use super::mappings::{Mapping, Mappings};
use super::maps::{self, MappedRange};
use super::perf_map;
use super::reason::Unnamed;
use crate::profile::{Location, ModuleId, ModuleTable};
use crate::units::{Addr, Pid};

/// How many ended processes are remembered, since samples of them may still be on their way.
const MAX_ENDED: usize = 4_096;

/// From how many processes on those are looked for that ended without a report of it.
const SWEEP_FROM: usize = 8_192;

/// The executable mappings of every process that was seen.
///
/// What it knows comes from two sources: [`apply`](Self::apply) follows the kernel's reports, and
/// [`locate`](Self::locate) reads `/proc/PID/maps` when it meets a process for the first time. Without reports it
/// still works, but misses processes that end before they are looked at.
///
/// Memory is bounded by the live processes, 65,536 mappings for each, and the 4,096 processes that ended last. At most
/// 16,384 files are held open, or half of the limit on descriptors (`RLIMIT_NOFILE`); its soft value is raised to the
/// hard one when half of it is used.
#[derive(Debug)]
pub struct AddressSpaces {
    spaces: HashMap<Pid, Space>,
    /// Ended processes, the first to end first.
    ended: VecDeque<(Pid, u64)>,
    files: ModuleFiles,
    /// Tells processes apart that had the same number.
    next_serial: u64,
    sweep_at: usize,
}

#[derive(Debug)]
struct Space {
    serial: u64,
    /// Shared with the parent until one of them changes its own.
    mappings: Arc<Mappings>,
    /// What was there before the last exec or the last reading: for samples that are older than that.
    previous: Option<Arc<Mappings>>,
    /// Whether `mappings` was ever complete.
    known: bool,
    ended: bool,
    /// Addresses that no mapping held.
    misses: u32,
    /// Addresses in memory that belongs to no file.
    anonymous: u32,
    /// Names of code made at run time.
    perf_map: Option<File>,
}

impl Default for AddressSpaces {
    fn default() -> Self {
        Self::new()
    }
}

impl AddressSpaces {
    /// Knows no process yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            spaces: HashMap::new(),
            ended: VecDeque::new(),
            files: ModuleFiles::new(),
            next_serial: 0,
            sweep_at: SWEEP_FROM,
        }
    }

    /// Reads the mappings of a process now, if it is not known, so that it is known even if it ends before its first
    /// sample arrives. About 100 us for each process, mostly the kernel's.
    pub fn meet(&mut self, pid: Pid, modules: &mut ModuleTable) {
        if !self.spaces.contains_key(&pid) {
            self.read(pid, modules);
        }
    }

    /// Takes note of a report. Reports must come in the order of their times.
    pub fn apply(&mut self, event: &MappingEvent, modules: &mut ModuleTable) {
        match event {
            MappingEvent::Mapped { pid, range } => {
                // An unknown process gets this one too when it is first looked at.
                if let Some(space) = self.spaces.get_mut(pid) {
                    let mapping = mapping(&mut self.files, *pid, range, modules);
                    Arc::make_mut(&mut space.mappings).insert(mapping);
                }
            }
            MappingEvent::Exec { pid } => {
                let previous = self.spaces.get_mut(pid).map(|space| std::mem::take(&mut space.mappings));
                let space = self.space(Arc::default(), true);
                self.spaces.insert(*pid, Space { previous, ..space });
            }
            MappingEvent::Fork { pid, parent } => {
                self.meet(*parent, modules);
                if let Some(Space { mappings, previous, known, .. }) = self.spaces.get(parent) {
                    let (mappings, previous, known) = (mappings.clone(), previous.clone(), *known);
                    let space = self.space(mappings, known);
                    self.spaces.insert(*pid, Space { previous, ..space });
                }
            }
            MappingEvent::Exit { pid } => self.end(*pid),
        }
    }

    /// Where `addr` of a process is. For a frame that is not the innermost of its stack, pass
    /// [`call_site`](super::call_site) of its return address.
    ///
    /// A known process costs one hash lookup and one binary search, without allocating. An unknown one is looked up in
    /// `/proc`. An address that no mapping holds has the list read again, but only at the 1st, 2nd, 4th, 8th, ... such
    /// address of a process, so that stray addresses do not turn into a reading for each sample.
    ///
    /// An address that no current mapping holds is looked for in what the process had mapped before its last exec.
    pub fn locate(&mut self, pid: Pid, addr: Addr, modules: &mut ModuleTable) -> Location {
        self.code_at(pid, addr, modules).unwrap_or(Location::Unmapped { pid, addr })
    }

    /// As [`AddressSpaces::locate`], but `None` for an address that no executable mapping holds: no code is there, so
    /// it was never a return address.
    pub fn code_at(&mut self, pid: Pid, addr: Addr, modules: &mut ModuleTable) -> Option<Location> {
        match self.spaces.get_mut(&pid) {
            Some(space) => {
                if let Some(found) = space.find(addr) {
                    if found.module.is_none() {
                        space.note_anonymous(pid);
                    }
                    return Some(location(&found, pid, addr));
                }
                space.misses = space.misses.saturating_add(1);
                if !space.misses.is_power_of_two() {
                    return None;
                }
            }
            None => self.sweep(),
        }
        self.read(pid, modules);
        let found = self.spaces.get_mut(&pid)?.find(addr)?;
        Some(location(&found, pid, addr))
    }

    /// The file of a module, where it is held open.
    #[must_use]
    pub fn file(&self, module: ModuleId) -> Option<&File> {
        self.files.get(module)
    }

    pub(super) fn files(&self) -> &ModuleFiles {
        &self.files
    }

    /// The names that a process gave to the code that it made at run time.
    pub(super) fn perf_map(&self, pid: Pid) -> Option<File> {
        match self.spaces.get(&pid) {
            Some(Space { perf_map: Some(held), .. }) => held.try_clone().ok(),
            Some(Space { ended: true, .. }) => None,
            _ => perf_map::open(pid).ok(),
        }
    }

    /// Why an address of a process is in no file.
    pub(super) fn why_unmapped(&self, pid: Pid, addr: Addr) -> Unnamed {
        match self.spaces.get(&pid) {
            None | Some(Space { known: false, .. }) => Unnamed::UnknownProcess,
            Some(space) if space.find(addr).is_some() => Unnamed::RuntimeCode,
            Some(_) => Unnamed::NoMapping,
        }
    }

    fn space(&mut self, mappings: Arc<Mappings>, known: bool) -> Space {
        self.next_serial += 1;
        Space {
            serial: self.next_serial,
            mappings,
            previous: None,
            known,
            ended: false,
            misses: 0,
            anonymous: 0,
            perf_map: None,
        }
    }

    fn read(&mut self, pid: Pid, modules: &mut ModuleTable) {
        let ranges = maps::executable(pid).unwrap_or_default();
        let read: Mappings = ranges.iter().map(|range| mapping(&mut self.files, pid, range, modules)).collect();
        let new = self.space(Arc::default(), false);
        let space = self.spaces.entry(pid).or_insert(new);
        // An ended process has no list. What is known of it stays.
        if !read.is_empty() && *space.mappings != read {
            let old = std::mem::replace(&mut space.mappings, Arc::new(read));
            if !old.is_empty() {
                space.previous = Some(old);
            }
            space.known = true;
        }
    }

    fn end(&mut self, pid: Pid) {
        let Some(space) = self.spaces.get_mut(&pid).filter(|space| !space.ended) else { return };
        space.ended = true;
        self.ended.push_back((pid, space.serial));
        while self.ended.len() > MAX_ENDED {
            let Some((pid, serial)) = self.ended.pop_front() else { break };
            // The number may have passed to another process since.
            if self.spaces.get(&pid).is_some_and(|space| space.ended && space.serial == serial) {
                self.spaces.remove(&pid);
            }
        }
    }

    /// Without reports nothing says that a process ended.
    fn sweep(&mut self) {
        if self.spaces.len() < self.sweep_at {
            return;
        }
        let gone: Vec<Pid> =
            self.spaces.keys().filter(|pid| !Path::new(&format!("/proc/{pid}")).exists()).copied().collect();
        gone.into_iter().for_each(|pid| self.end(pid));
        self.sweep_at = SWEEP_FROM.max(2 * self.spaces.len());
    }
}

impl Space {
    fn find(&self, addr: Addr) -> Option<Mapping> {
        let previous = || self.previous.as_ref().and_then(|previous| previous.find(addr.0));
        self.mappings.find(addr.0).or_else(previous).copied()
    }

    /// Opens the process's perf map once there is one, to have it when the process is gone.
    fn note_anonymous(&mut self, pid: Pid) {
        self.anonymous = self.anonymous.saturating_add(1);
        if self.perf_map.is_none() && !self.ended && self.anonymous.is_power_of_two() {
            self.perf_map = perf_map::open(pid).ok();
        }
    }
}

fn location(mapping: &Mapping, pid: Pid, addr: Addr) -> Location {
    match mapping.module {
        Some(module) => Location::Module { module, offset: (addr.0 - mapping.start).wrapping_add(mapping.offset) },
        None => Location::Unmapped { pid, addr },
    }
}

fn mapping(files: &mut ModuleFiles, pid: Pid, range: &MappedRange, modules: &mut ModuleTable) -> Mapping {
    let module = files.intern(pid, range, modules);
    // What is no file on disk has no offset that means anything: perf shows the page number of the address.
    let offset = if range.file.path().is_absolute() { range.offset } else { 0 };
    Mapping { start: range.start.0, end: range.end.0, offset, module }
}

#[cfg(test)]
mod tests {
    use super::super::FileIdentity;
    use super::*;
    use std::ffi::OsStr;

    /// Above the kernel's limit on process ids (`PID_MAX_LIMIT`, 4,194,304), so that /proc never has them.
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
            let mut test = Self { spaces: AddressSpaces::new(), modules: ModuleTable::default() };
            test.apply(events);
            test
        }

        fn apply(&mut self, events: &[MappingEvent]) {
            events.iter().for_each(|event| self.spaces.apply(event, &mut self.modules));
        }

        fn locate(&mut self, pid: Pid, addr: u64) -> Option<(String, u64)> {
            match self.spaces.locate(pid, Addr(addr), &mut self.modules) {
                Location::Module { module, offset } => Some((self.modules.get(module).name().to_owned(), offset)),
                _ => None,
            }
        }
    }

    fn at(name: &str, offset: u64) -> Option<(String, u64)> {
        Some((name.to_owned(), offset))
    }

    #[test]
    fn a_program_replaces_the_one_before_it_but_older_samples_still_find_theirs() {
        let exec = MappingEvent::Exec { pid: PARENT };
        let mut test = Test::new(&[exec.clone(), mapped(PARENT, 0x1000, "/a/sh"), mapped(PARENT, 0x8000, "/a/libc")]);
        assert_eq!(test.locate(PARENT, 0x1010), at("sh", 0x210));

        test.apply(&[exec.clone(), mapped(PARENT, 0x1000, "/a/compiler")]);
        assert_eq!(test.locate(PARENT, 0x1010), at("compiler", 0x210));
        assert_eq!(test.locate(PARENT, 0x8010), at("libc", 0x210));

        test.apply(&[exec]);
        assert_eq!(test.locate(PARENT, 0x8010), None);
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
            // A reading repairs what is wrong, which shows that it took place.
            let broken = Arc::new(Mappings::default());
            if let Some(space) = test.spaces.spaces.get_mut(&own) {
                space.mappings = broken.clone();
                space.previous = None;
            }
            assert_eq!(test.locate(own, 1), None);
            readings += u32::from(test.spaces.spaces.get(&own).is_some_and(|space| !space.mappings.is_empty()));
        }
        // The first sight, and misses 1, 2, 4, ... 512.
        assert_eq!(readings, 11);
    }

    #[test]
    fn own_code_is_found_through_proc_and_its_file_is_held() {
        let own = Pid(std::process::id());
        let mut test = Test::new(&[]);
        let here = Addr(at as fn(&str, u64) -> Option<(String, u64)> as usize as u64);
        let Location::Module { module, offset } = test.spaces.locate(own, here, &mut test.modules) else {
            panic!("{here} is in no module");
        };
        let exe = std::env::current_exe().expect("known");
        assert_eq!(test.modules.get(module).path, exe);
        let file = test.spaces.file(module).expect("held open");
        assert!(offset < file.metadata().expect("readable").len());
    }
}
