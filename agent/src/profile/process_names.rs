//! Names of processes for reports.

use std::path::Path;

use crate::recording::{Process, Recording};

/// The maximum length of a name in characters. A recording may contain longer ones.
const MOST: usize = 64;

/// The name of each process: that of its main thread, or else of its program, or else of any of its threads.
pub(super) fn process_names(recording: &Recording) -> Vec<String> {
    let mut main = vec![None; recording.processes.rows().len()];
    let mut any = main.clone();
    for thread in recording.threads.rows() {
        let process = thread.process.index();
        // The last name is that of the program that was executed last.
        if thread.tid.0 == thread.pid.0 {
            main[process] = Some(thread.comm.as_str());
        }
        any[process] = any[process].or(Some(thread.comm.as_str()));
    }
    let name = |(row, process): (usize, &Process)| {
        let name = main[row].filter(|name| !name.is_empty()).or_else(|| program(process)).or(any[row]);
        name.unwrap_or("[unknown]").chars().take(MOST).collect()
    };
    recording.processes.rows().iter().enumerate().map(name).collect()
}

/// The file name of the program of a process.
fn program(process: &Process) -> Option<&str> {
    let executable = process.executable.as_deref();
    let first = || process.command_line.as_ref().and_then(|words| words.first()).map(Path::new);
    executable.or_else(first)?.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::example::Example;
    use crate::units::Pid;

    #[test]
    fn a_process_is_named_by_its_main_thread_its_program_or_any_thread() {
        let mut example = Example::new();
        for (pid, tid, name) in
            [(1, 2, "worker"), (1, 1, "main"), (2, 3, "worker"), (3, 4, "worker"), (4, 5, "worker"), (5, 5, "")]
        {
            example.thread(pid, tid, name);
        }
        let processes = &mut example.recording.processes;
        let mut set = |pid, change: &dyn Fn(&mut Process)| {
            let id = processes.find(Pid(pid)).expect("a process");
            change(processes.get_mut(id));
        };
        set(1, &|process| process.executable = Some("/bin/app".into()));
        set(2, &|process| process.executable = Some("/bin/app".into()));
        set(3, &|process| process.command_line = Some(vec!["./tool".to_owned(), "-x".to_owned()]));
        set(5, &|process| process.executable = Some("x".repeat(100).into()));
        assert_eq!(process_names(&example.recording), ["main", "app", "tool", "worker", "x".repeat(64).as_str()]);
    }
}
