//! Tests of mapping events and address spaces together.

use std::collections::{HashMap, HashSet};
use std::process::Command;

use super::files::Holding;
use super::{AddressSpaces, Lives, MappingEvent, MappingEvents, MappingEventsError};
use crate::recording::{CodeLocator as _, Location, ModuleTable};
use crate::units::{CpuSet, Nanos, Pid};

#[test]
fn every_short_lived_process_is_reported_in_order_and_its_code_located_when_it_is_gone() {
    // CPUs of this machine that may be offline are not in the affinity mask of this process.
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("listed");
    let cpus: CpuSet = allowed.parse().expect("a CPU list");
    let mut events = match MappingEvents::open(&cpus, Lives::Perf) {
        Ok(events) => events,
        Err(error @ MappingEventsError::Failed { .. }) => panic!("{error}"),
        Err(error) => crate::skip!(&format!("perf events ({error})")),
    };

    let mut spawned = HashSet::new();
    let mut seen: HashMap<Pid, Vec<&'static str>> = HashMap::new();
    let mut last = Nanos(0);
    let (mut spaces, mut modules) =
        (AddressSpaces::new(Box::new(crate::inspect::Direct::default())), ModuleTable::default());
    let mut programs = HashMap::new();
    for _ in 0..100 {
        let mut child = Command::new("/bin/true").spawn().expect("/bin/true runs");
        spawned.insert(Pid(child.id()));
        child.wait().expect("it ends");
    }
    events.drain(|time, event| {
        assert!(time >= last, "{time} after {last}");
        last = time;
        spaces.apply(&event);
        let (pid, what) = match event {
            MappingEvent::Mapped { pid, range } => {
                let is_program = range.file.path().ends_with("true");
                if is_program {
                    programs.insert(pid, range.start);
                }
                (pid, if is_program { "program" } else { "library" })
            }
            MappingEvent::Exec { pid } => (pid, "exec"),
            MappingEvent::KernelCode { .. } | MappingEvent::NewThread { .. } => return,
            MappingEvent::Executed { pid } => panic!("process {pid}: only programs report this"),
            MappingEvent::Fork { pid, .. } => (pid, "fork"),
            MappingEvent::Exit { pid } => (pid, "exit"),
        };
        seen.entry(pid).or_default().push(what);
    });
    assert_eq!(events.lost(), 0);
    for pid in spawned {
        let mut steps = seen.remove(&pid).unwrap_or_default();
        steps.retain(|step| *step != "library");
        assert_eq!(steps, ["fork", "exec", "program", "exit"], "process {pid}");
        let Some(Location::Module { module, .. }) = spaces.locate_code(pid, programs[&pid], &mut modules) else {
            panic!("process {pid} is forgotten");
        };
        assert_eq!(modules.get(module).name(), "true");
        spaces.poll(std::time::Duration::ZERO);
        assert!(matches!(spaces.holding(module), Holding::Held { .. }), "its file is held open");
    }
}
