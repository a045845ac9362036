//! The processes of a profile, as the page shows them.

use serde::Serialize;

use crate::profile::Profile;

/// The maximum length of a command line in the page, in characters.
const COMMAND: usize = 200;

/// A process. Texts that are not known are empty.
#[derive(Serialize)]
pub(super) struct ProcessRow<'a> {
    pid: u32,
    name: &'a str,
    command: String,
    executable: String,
    cgroup: &'a str,
    container: &'a str,
    uid: Option<u32>,
    user: &'a str,
}

/// The processes, in the order of [`Profile::processes`].
pub(super) fn processes(profile: &Profile) -> Vec<ProcessRow<'_>> {
    let rows = profile.processes.iter().zip(&profile.process_names);
    rows.map(|(process, name)| ProcessRow {
        pid: process.pid.0,
        name,
        command: command(process.command_line.as_deref().unwrap_or_default()),
        executable: process.executable.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        cgroup: process.cgroup.as_deref().unwrap_or_default(),
        container: process.container.as_deref().unwrap_or_default(),
        uid: process.user,
        user: process.user_name.as_deref().unwrap_or_default(),
    })
    .collect()
}

/// The arguments in one line, truncated.
fn command(words: &[String]) -> String {
    let line = words.join(" ");
    if line.chars().count() <= COMMAND {
        return line;
    }
    line.chars().take(COMMAND - 1).chain(['…']).collect()
}

/// The pools of the threads, each once, and the row of each thread in them.
pub(super) fn pools(profile: &Profile) -> (Vec<&str>, Vec<usize>) {
    let mut index = hashbrown::HashMap::new();
    let mut pools = Vec::new();
    let of_thread = profile.pools.iter().map(|pool| {
        *index.entry(pool.as_str()).or_insert_with(|| {
            pools.push(pool.as_str());
            pools.len() - 1
        })
    });
    let of_thread = of_thread.collect();
    (pools, of_thread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Selection, build};
    use crate::recording::example::Example;

    #[test]
    fn a_command_line_is_cut_to_a_line() {
        assert_eq!(command(&["a".to_owned(), "b c".to_owned()]), "a b c");
        let long = command(&["x".to_owned(), "é".repeat(1 << 16)]);
        assert!(long.chars().count() == COMMAND && long.ends_with("é…"), "{long}");
    }

    #[test]
    fn threads_of_a_pool_share_its_name() {
        let mut example = Example::new();
        for (tid, name) in [(1, "worker-1"), (2, "main"), (3, "worker-2")] {
            example.thread(7, tid, name);
        }
        let profile = build(&example.recording, &Selection::default());
        assert_eq!(pools(&profile), (vec!["worker-*", "main"], vec![0, 1, 0]));
    }
}
