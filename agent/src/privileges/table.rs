//! The privileges of each verb and each child process, in one place.

use std::fmt::Write as _;

use hashbrown::HashSet;

use crate::host::Capability;

/// A capability, with the reason for it.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// The required capability.
    pub capability: Capability,
    /// The purpose, to follow `quell needs it to`.
    pub reason: &'static str,
    /// How long it is kept.
    pub kept: Kept,
}

/// How long a capability is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Until the capture starts.
    AtStart,
    /// Until the capture or the tests end.
    WhileRunning,
    /// Until the capture ends, in a child process only.
    InChild,
}

/// The capabilities that a verb keeps.
#[derive(Clone, Copy, Debug)]
pub enum Keeps {
    /// No capability.
    Nothing,
    /// Only these capabilities.
    Only(&'static [Need]),
    /// These capabilities, as far as the caller has them without the file capabilities of quell.
    OnlyOfCaller(&'static [Need]),
    /// All capabilities that the caller has without the file capabilities of quell, with the reason.
    AllOfCaller(&'static str),
}

/// The privileges of one or more verbs.
#[derive(Clone, Copy, Debug)]
pub struct VerbPrivileges {
    /// The verbs, as they are typed after `quell`.
    pub verbs: &'static [&'static str],
    /// The capabilities that they keep.
    pub keeps: Keeps,
}

const fn need(capability: Capability, kept: Kept, reason: &'static str) -> Need {
    Need { capability, reason, kept }
}

/// The capabilities that `quell record` needs during the capture.
pub const RECORD: &[Need] = &[
    need(Capability::Bpf, Kept::WhileRunning, "load BPF programs, create and read BPF maps"),
    need(Capability::Perfmon, Kept::WhileRunning, "open perf events for all processes, attach BPF programs"),
];

/// The capabilities of the child processes of `quell record` that read other processes. `CAP_SYS_PTRACE` is equivalent to
/// root, so these child processes parse nothing.
pub const RECORD_TO_READ: &[Need] = &[
    need(Capability::SysPtrace, Kept::InChild, "read the mappings and the stacks of other users' processes"),
    need(Capability::DacReadSearch, Kept::InChild, "read the symbols of other users' executables and libraries"),
    need(
        Capability::CheckpointRestore,
        Kept::InChild,
        "open mapped files that were deleted, or that are in other mount namespaces",
    ),
];

/// The capability of the child process of `quell record` that opens perf events on CPUs that come online. It is started only if
/// `kernel.perf_event_paranoid` is above 2.
pub const RECORD_TO_OPEN: &[Need] = &[need(
    Capability::SysAdmin,
    Kept::InChild,
    "open perf events on CPUs that come online, if kernel.perf_event_paranoid is above 2",
)];

/// The capabilities that `quell record` needs before the capture starts.
pub const RECORD_AT_START: &[Need] = &[
    need(Capability::Syslog, Kept::AtStart, "read the names of kernel functions from /proc/kallsyms"),
    need(Capability::DacReadSearch, Kept::AtStart, "look up tracepoints in tracefs, which only root may read"),
];

/// The optional capabilities of `quell record`, which are used if available.
pub const RECORD_IF_GIVEN: &[Need] = &[need(
    Capability::SysResource,
    Kept::AtStart,
    "raise the limit of locked memory (RLIMIT_MEMLOCK): before 5.11, BPF maps count against it",
)];

/// The capability that `quell record` keeps until its results are written, if a result is written to a directory that user
/// root may not write without it. It is not effective before the capture has ended.
pub const RECORD_TO_WRITE: &[Need] = &[need(
    Capability::DacOverride,
    Kept::WhileRunning,
    "write the results to a directory that user root may not write without capabilities, such as a directory of another user",
)];

/// The capabilities that `quell doctor` needs for its tests.
pub const DOCTOR: &[Need] = &[
    need(Capability::Bpf, Kept::WhileRunning, "load test programs"),
    need(Capability::Perfmon, Kept::WhileRunning, "attach test programs"),
    need(Capability::Syslog, Kept::WhileRunning, "test whether /proc/kallsyms contains addresses"),
    need(
        Capability::SysResource,
        Kept::WhileRunning,
        "raise the limit of locked memory (RLIMIT_MEMLOCK): before 5.11, BPF maps count against it",
    ),
];

const LOOKING: &[Need] =
    &[need(Capability::SysPtrace, Kept::WhileRunning, "read the executable and the namespaces of each process")];

/// The privileges of every verb.
pub const VERBS: &[VerbPrivileges] = &[
    VerbPrivileges { verbs: &["record"], keeps: Keeps::Only(RECORD) },
    VerbPrivileges { verbs: &["doctor"], keeps: Keeps::Only(DOCTOR) },
    VerbPrivileges {
        verbs: &["report", "list", "tune list", "tune show", "tune explain", "tune history"],
        keeps: Keeps::Nothing,
    },
    VerbPrivileges { verbs: &["tune --root"], keeps: Keeps::Nothing },
    VerbPrivileges { verbs: &["tune plan", "tune status", "tune verify"], keeps: Keeps::OnlyOfCaller(LOOKING) },
    VerbPrivileges {
        verbs: &["tune apply", "tune confirm", "tune rollback", "tune recover", "tune guard", "tune hold"],
        keeps: Keeps::AllOfCaller("change the host"),
    },
    VerbPrivileges { verbs: &["run"], keeps: Keeps::AllOfCaller("executes the command of the caller") },
];

/// The privileges of a verb by its name; none if the name is unknown. A test checks that every verb is known.
#[must_use]
pub fn of_verb(name: &str) -> Keeps {
    VERBS.iter().find(|line| line.verbs.contains(&name)).map_or(Keeps::Nothing, |line| line.keeps)
}

/// The capabilities that `quell record` requires, each once.
pub fn required() -> impl Iterator<Item = &'static Need> {
    let mut seen = HashSet::new();
    [RECORD, RECORD_TO_READ, RECORD_AT_START].into_iter().flatten().filter(move |need| seen.insert(need.capability))
}

/// The file capabilities that `quell doctor` suggests.
pub fn suggested() -> impl Iterator<Item = Capability> {
    required().map(|need| need.capability)
}

/// Whether `capability` is among those that `quell doctor` suggests.
#[must_use]
pub fn is_suggested(capability: Capability) -> bool {
    suggested().any(|one| one == capability)
}

/// How to run `quell record` without being root: a line of explanation, then a command on each line.
#[must_use]
pub fn advice(program: &str) -> String {
    let names: Vec<String> = suggested().map(|one| one.name().to_lowercase()).collect();
    // chgrp removes capabilities, so setcap comes last; each setcap replaces all earlier capabilities of the file.
    format!(
        "run as root, or with file capabilities for a group, whose members are then equivalent to root:\n\
         sudo groupadd -f quell\n\
         sudo chgrp quell {program}\n\
         sudo chmod 0750 {program}\n\
         sudo setcap {}+ep {program}",
        names.join(",")
    )
}

/// The table that SECURITY.md shows, in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = "| verb | keeps | for |\n|---|---|---|\n".to_owned();
    for VerbPrivileges { verbs, keeps } in VERBS {
        let verbs: Vec<String> = verbs.iter().map(|verb| format!("`{verb}`")).collect();
        let verbs = verbs.join(", ");
        match keeps {
            Keeps::Nothing => row(&mut text, &verbs, "nothing", "accesses files only with the rights of its caller"),
            Keeps::AllOfCaller(why) => {
                row(&mut text, &verbs, "the privileges of its caller, without file capabilities", why);
            }
            Keeps::Only(needs) | Keeps::OnlyOfCaller(needs) => {
                for need in *needs {
                    row(&mut text, &verbs, &kept(need, matches!(keeps, Keeps::OnlyOfCaller(_))), need.reason);
                }
            }
        }
        if verbs == "`record`" {
            for need in RECORD_TO_READ.iter().chain(RECORD_TO_OPEN).chain(RECORD_AT_START) {
                row(&mut text, &verbs, &kept(need, false), need.reason);
            }
            for need in RECORD_IF_GIVEN.iter().chain(RECORD_TO_WRITE) {
                row(&mut text, &verbs, &format!("{}, if available", kept(need, false)), need.reason);
            }
        }
    }
    text
}

fn kept(need: &Need, of_caller: bool) -> String {
    let name = need.capability.name();
    match (need.kept, of_caller) {
        (_, true) => format!("`{name}`, if the caller has it without file capabilities"),
        (Kept::AtStart, _) => format!("`{name}`, until the capture starts"),
        (Kept::InChild, _) => format!("`{name}`, in a child process"),
        (Kept::WhileRunning, _) => format!("`{name}`"),
    }
}

fn row(text: &mut String, verbs: &str, kept: &str, reason: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "| {verbs} | {kept} | {reason} |");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_security_page_shows_this_table_and_the_setcap_line() {
        let page = include_str!("../../../SECURITY.md");
        assert!(page.contains(&markdown()), "SECURITY.md should have:\n{}", markdown());
        let advice = advice("/usr/local/bin/quell");
        for command in advice.lines().skip(1) {
            assert!(page.contains(command), "SECURITY.md should have: {command}");
        }
    }

    #[test]
    fn the_suggestion_keeps_others_out_and_gives_no_more_than_a_capture_keeps() {
        let advice = advice("quell");
        assert!(advice.contains("chgrp quell quell\nsudo chmod 0750 quell\nsudo setcap "), "{advice}");
        assert!(advice.contains("equivalent to root"), "{advice}");
        for never in ["cap_sys_admin", "cap_dac_override", "cap_setpcap", "cap_sys_resource"] {
            assert!(!advice.contains(never), "{advice}");
        }
    }
}
