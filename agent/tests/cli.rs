//! The binary from outside: arguments in, text and exit codes out.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use quell::recording::Recording;
use quell::recording::example::{BLOCKED, CPU, Example};
use quell::units::{Nanos, Pid};

fn quell(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the binary runs")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quell"));
    // The width of help must not depend on the terminal that the tests run in.
    command.args(arguments).env("COLUMNS", "100").env_remove("QUELL_LOG").env_remove("NO_COLOR");
    command
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

fn help(arguments: &[&str]) -> String {
    let output = quell(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output).to_owned()
}

#[test]
fn every_verb_has_help() {
    insta::assert_snapshot!("help", help(&["--help"]));
    insta::assert_snapshot!("help_record", help(&["record", "--help"]));
    insta::assert_snapshot!("help_report", help(&["report", "--help"]));
    insta::assert_snapshot!("help_doctor", help(&["doctor", "--help"]));
    insta::assert_snapshot!("help_list", help(&["list", "--help"]));
    insta::assert_snapshot!("help_run", help(&["run", "--help"]));
    insta::assert_snapshot!("help_tune", help(&["tune", "--help"]));
    insta::assert_snapshot!("help_tune_plan", help(&["tune", "plan", "--help"]));
    insta::assert_snapshot!("help_tune_apply", help(&["tune", "apply", "--help"]));
    insta::assert_snapshot!("help_tune_rollback", help(&["tune", "rollback", "--help"]));
}

#[test]
fn wrong_usage_exits_with_2_and_says_so_on_stderr() {
    for arguments in [
        &["--no-such-flag"][..],
        &["no-such-verb"],
        &[],
        &["record", "--no-such-flag"],
        &["report"],
        &["report", "x.quell", "--probe", "memory"],
        &["report", "x.quell", "--since", "5 parsecs"],
        &["report", "x.quell", "--until", "0s"],
        &["report", "x.quell", "--format", "svg"],
        &["list", "wishes"],
        &["record", "-F", "100000"],
        &["report", "x.quell", "--json", "-o", "x.svg"],
        &["record", "ls"],
    ] {
        let output = quell(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_command_without_its_dashes_is_hinted_at() {
    let hint = "quell record -- ls";
    assert!(stderr(&quell(&["record", "ls"])).contains(hint), "{}", stderr(&quell(&["record", "ls"])));
    assert!(stderr(&quell(&["record", "-F", "99", "ls", "-l"])).contains(hint));
    assert!(!stderr(&quell(&["record", "--no-such-flag"])).contains("to record a command"));
    assert!(!stderr(&quell(&["doctor", "ls"])).contains("to record a command"));
}

#[test]
fn a_report_says_what_it_wrote_unless_it_goes_to_stdout() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let name = path("a.quell");
    quell::recording::write(&recording(), name.as_ref()).expect("it is written");
    let (one, two) = (path("a.svg"), path("a.folded"));
    let output = quell(&["report", &name, "-o", &one, "-o", &two]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), format!("written: {one}, {two}\n").as_str()));
    let output = quell(&["report", &name, "--format", "folded", "-o", &two, "-o", "-"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), std::fs::read_to_string(&two).expect("it is written"));
}

#[test]
fn an_output_that_cannot_be_written_is_refused_before_the_recording_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let recording = path("absent.quell");
    for (arguments, says) in [
        (vec!["-o", &path("a.xyz")], ".quell"),
        (vec!["-o", &path("a.quell")], "cp -r"),
        (vec!["-o", "-"], "--format"),
        (vec!["-o", &path("a.svg"), "--format", "pdf"], "unknown format `pdf`"),
        (vec!["--since", "2s", "--until", "1s"], "--since 2.00 s is not before --until 1.00 s"),
        (vec![], "absent.quell does not exist"),
    ] {
        let arguments = [&["report", recording.as_str()][..], &arguments].concat();
        let output = quell(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).starts_with("quell: ") && stderr(&output).contains(says), "{}", stderr(&output));
    }
}

/// Two threads of two processes: `busy` computes for 300 ms, `idle` waits for 2 s.
fn recording() -> Recording {
    let mut example = Example::new();
    let meta = &mut example.recording.meta;
    (meta.quell, meta.duration) = ("0.0.0".to_owned(), Nanos(2_000_000_000));
    let [busy, idle] = [(10, "busy"), (20, "idle")].map(|(pid, name)| example.thread(pid, pid, name));
    let [compute, wait] = ["compute", "do_lock"].map(|name| example.stack(&format!("app kernel:{name}")));
    example.sample(CPU, busy, compute, 300_000_000);
    let waits = example.sample(BLOCKED, idle, wait, 2_000_000_000);
    (waits.time, waits.ongoing) = (Nanos(1_000_000_000), true);
    let processes = &mut example.recording.processes;
    let busy = processes.find(Pid(10)).expect("a process");
    let busy = processes.get_mut(busy);
    (busy.user, busy.user_name) = (Some(1_000), Some("alice".to_owned()));
    busy.executable = Some("/usr/bin/app1".into());
    busy.cgroup = Some("/user.slice/user-1000.slice".to_owned());
    example.recording
}

#[test]
fn idle_threads_are_listed_only_if_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().join("capture.quell");
    let mut example = Example::new();
    let idle = example.thread(20, 20, "idle");
    let wait = example.stack("app kernel:ep_poll");
    example.sample(BLOCKED, idle, wait, 1_000_000_000).ongoing = true;
    quell::recording::write(&example.recording, &name).expect("a recording");
    let name = name.to_str().expect("text");
    let (folded, listed) = (quell(&["report", name]), quell(&["report", name, "--idle"]));
    assert!(
        stdout(&folded).contains(" 1  idle thread (") && !stdout(&folded).contains("ep_poll"),
        "{}",
        stdout(&folded)
    );
    assert!(stdout(&listed).contains("ep_poll"), "{}", stdout(&listed));
}

#[test]
fn a_pattern_that_is_not_closed_is_wrong_usage() {
    for verb in [&["report", "x.quell"][..], &["record"]] {
        let output = quell(&[verb, &["--user", "a[b"]].concat());
        assert_eq!(output.status.code(), Some(2), "{verb:?}");
        assert!(stderr(&output).contains("`a[b` is not a valid pattern"), "{}", stderr(&output));
    }
}

#[test]
fn a_recording_is_summed_up_and_drawn_as_far_as_it_is_selected() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let name = path("capture.quell");
    quell::recording::write(&recording(), Path::new(&name)).expect("a recording");
    let report = |arguments: &[&str]| {
        let output = quell(&[&["report", name.as_str()][..], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        stdout(&output).to_owned()
    };
    for (arguments, computes, waits) in [
        (&[][..], true, true),
        (&["--probe", "cpu"], true, false),
        (&["--probe", "cpu,offcpu"], true, true),
        (&["--pid", "20"], false, true),
        (&["--comm", "busy", "--comm", "idle"], true, true),
        (&["--comm", "busy"], true, false),
        (&["--comm", "b*y"], true, false),
        (&["--user", "alice"], true, false),
        (&["--user", "1000", "--exe", "app*", "--cgroup", "/sys/fs/cgroup/user.slice"], true, false),
        (&["--since", "500ms"], false, true),
        (&["--until", "1s"], true, false),
    ] {
        let text = report(arguments);
        assert_eq!((text.contains("compute"), text.contains("do_lock")), (computes, waits), "{arguments:?}:\n{text}");
    }
    assert!(report(&["--thread"]).contains("idle (20)"));
    for format in quell::report::FORMATS {
        let by_ending = path(&format!("out.{}", format.endings[0]));
        assert_eq!(report(&["-o", &by_ending]), format!("written: {by_ending}\n"), "{}", format.name);
        let file = std::fs::read(&by_ending).expect(format.name);
        let output = quell(&["report", &name, "--format", format.name, "-o", "-"]);
        assert!(!file.is_empty() && output.stdout == file, "{}", format.name);
    }
}

#[test]
fn a_selection_that_matches_nothing_is_an_error_and_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (name, out) = (path("capture.quell"), path("out.html"));
    quell::recording::write(&recording(), Path::new(&name)).expect("a recording");
    for (arguments, option, contents) in [
        (&["--comm", "nobody"][..], "nothing in this recording matches --comm", "threads named busy, idle"),
        (&["--pid", "7"], "nothing in this recording matches --pid", "the processes 10, 20"),
        (&["--tid", "7"], "nothing in this recording matches --tid", "the threads 10, 20"),
        (&["--probe", "runqueue"], "nothing in this recording matches --probe", "the probes cpu, offcpu"),
        (&["--since", "5s"], "nothing in this recording matches --since and --until", "a length of 2.00 s"),
        (&["--exe", "ap"], "nothing in this recording matches --exe", "the executables (unknown), /usr/bin/app1"),
        (&["--cgroup", "system.slice"], "nothing in this recording matches --cgroup", "/user.slice/user-1000.slice"),
        (&["--user", "bob"], "nothing in this recording matches --user", "the users (unknown), alice"),
        (&["--function", "comp"], "nothing in this recording matches --function and --exclude", "`*NAME*`"),
        (&["--comm", "busy", "--since", "500ms"], "nothing matches all of them", "leave out one of the options"),
    ] {
        let output = quell(&[&["report", name.as_str(), "-o", &out][..], arguments].concat());
        let error = stderr(&output);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{arguments:?}: {error}");
        assert!(error.starts_with("quell: the selection is empty: ") && error.contains(option), "{error}");
        assert!(error.contains("\nhint: ") && error.contains(contents), "{error}");
        assert!(!Path::new(&out).exists(), "{arguments:?}");
    }
    // A recording without anything in it is reported.
    let empty = path("empty.quell");
    quell::recording::write(&Example::new().recording, Path::new(&empty)).expect("a recording");
    assert_eq!(quell(&["report", &empty]).status.code(), Some(0));
}

#[test]
fn samples_are_selected_by_thread_and_by_function() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().join("capture.quell").to_str().expect("text").to_owned();
    quell::recording::write(&recording(), Path::new(&name)).expect("a recording");
    for (arguments, computes, waits) in [
        (&["--tid", "10"][..], true, false),
        (&["--tid", "10", "--tid", "20"], true, true),
        (&["--function", "comp*"], true, false),
        (&["--function", "compute", "--function", "do_?ock"], true, true),
        (&["--exclude", "do_*"], true, false),
        (&["--exclude", "main"], true, true),
    ] {
        let output = quell(&[&["report", name.as_str()][..], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        let text = stdout(&output);
        assert_eq!((text.contains("compute"), text.contains("do_lock")), (computes, waits), "{arguments:?}:\n{text}");
    }
}

#[test]
fn a_summary_is_as_wide_as_columns_says_and_else_whole_if_it_is_not_on_a_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().join("capture.quell").to_str().expect("text").to_owned();
    let mut example = Example::new();
    let thread = example.thread(10, 10, "busy");
    let function = format!("{}::last", "very_long_namespace::".repeat(20));
    let stack = example.stack(&format!("app {function}"));
    example.sample(CPU, thread, stack, 1_000_000);
    quell::recording::write(&example.recording, Path::new(&name)).expect("a recording");
    let report = |change: &dyn Fn(&mut Command)| {
        let mut command = command(&["report", &name]);
        change(&mut command);
        stdout(&command.output().expect("the binary runs")).to_owned()
    };
    for columns in ["80", "200"] {
        let text = report(&|command| {
            command.env("COLUMNS", columns);
        });
        assert!(text.contains("::last") && !text.contains(&function), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= columns.parse().expect("a number")), "{text}");
    }
    for columns in [None, Some("wide"), Some("0")] {
        let text = report(&|command| match columns {
            None => {
                command.env_remove("COLUMNS");
            }
            Some(columns) => {
                command.env("COLUMNS", columns);
            }
        });
        assert!(text.contains(&function), "{columns:?}: {text}");
    }
}

#[test]
fn colors_are_used_if_they_are_asked_for_and_not_in_a_pipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().join("capture.quell").to_str().expect("text").to_owned();
    quell::recording::write(&recording(), Path::new(&name)).expect("a recording");
    let absent = format!("{name}.absent");
    for (color, is_colored) in [
        (&[][..], false),
        (&["--color", "auto"], false),
        (&["--color", "never"], false),
        (&["--color", "always"], true),
    ] {
        let output = quell(&[&["report", name.as_str()][..], color].concat());
        assert_eq!(stdout(&output).contains("\x1b[1mOn-CPU\x1b[0m"), is_colored, "{color:?}");
        assert_eq!(stdout(&output).contains('\x1b'), is_colored, "{color:?}");
        let error = quell(&[&["report", absent.as_str()][..], color].concat());
        assert_eq!(stderr(&error).contains("\x1b[1;31mquell:\x1b[0m "), is_colored, "{color:?}");
        assert_eq!(stderr(&error).contains("\x1b[1mhint:\x1b[0m "), is_colored, "{color:?}");
    }
}

#[test]
fn the_tables_and_the_summary_are_available_as_json() {
    for what in ["probes", "formats"] {
        let output = quell(&["list", what, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(json.as_array().is_some_and(|entries| entries.len() >= 3), "{json}");
        insta::assert_snapshot!(format!("list_{what}_json"), stdout(&output));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().join("capture.quell").to_str().expect("text").to_owned();
    quell::recording::write(&recording(), Path::new(&name)).expect("a recording");
    let output = quell(&["report", &name, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    insta::assert_snapshot!("report_json", serde_json::to_string_pretty(&json).expect("JSON"));
}

/// Each key of the JSON is in the docs.
#[test]
fn the_keys_of_the_json_are_documented() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md")).expect("the page");
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().join("capture.quell").to_str().expect("text").to_owned();
    let mut example = Example { recording: recording() };
    example.add_locks();
    let meta = &mut example.recording.meta;
    meta.losses.ring_full = 3;
    meta.symbols.unnamed = [("x".to_owned(), 1)].into();
    quell::recording::write(&example.recording, Path::new(&name)).expect("a recording");
    for arguments in [
        &["report", &name, "--json"][..],
        &["list", "probes", "--json"],
        &["list", "formats", "--json"],
        &["list", "knobs", "--json"],
    ] {
        let json: serde_json::Value = serde_json::from_slice(&quell(arguments).stdout).expect("JSON");
        for key in keys(&json) {
            // A reason and a target are values.
            assert!(key == "x" || page.contains(&format!("`{key}`")), "{arguments:?}: {key}");
        }
    }
}

fn keys(json: &serde_json::Value) -> Vec<String> {
    match json {
        serde_json::Value::Array(values) => values.iter().flat_map(keys).collect(),
        serde_json::Value::Object(fields) => {
            fields.iter().flat_map(|(name, value)| [vec![name.clone()], keys(value)].concat()).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn the_doctors_json_agrees_with_its_exit_code() {
    let output = quell(&["doctor", "--json"]);
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(findings["schema"], 1);
    let usable = findings["usable"].as_bool().expect("a truth value");
    assert_eq!(output.status.code(), Some(if usable { 0 } else { 1 }));
    let states: Vec<&str> = findings["probes"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|probe| probe["state"].as_str().expect("a word"))
        .collect();
    assert_eq!(states.len(), quell::probe::PROBES.len());
    assert_eq!(states.contains(&"unavailable"), !usable);
    for check in findings["checks"].as_array().expect("an array") {
        assert_eq!(check["status"] == "no", check["remedy"].is_string(), "{check}");
    }
}

#[test]
fn the_doctor_works_without_any_privilege_and_finds_that_out() {
    // Only root can give privileges up; anybody else has none to begin with.
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let output = if root {
        // The build folder may lie where nobody else may look.
        let folder = tempfile::tempdir().expect("a folder");
        let binary = folder.path().join("quell");
        std::fs::copy(env!("CARGO_BIN_EXE_quell"), &binary).expect("a copy");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("permissions");
        let mut command = Command::new(&binary);
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
        std::os::unix::process::CommandExt::gid(&mut command, 65_534);
        command.args(["doctor"]).output().expect("the binary runs")
    } else {
        quell(&["doctor"])
    };
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stdout(&output).contains("with CAP_BPF and CAP_PERFMON"), "{}", stdout(&output));
    // Commands are not wrapped.
    let fits = |line: &str| line.chars().count() <= 100 || line.trim_start().starts_with("sudo ");
    assert!(stdout(&output).lines().all(fits), "{}", stdout(&output));
}

#[test]
fn the_tables_are_listed() {
    let probes = quell(&["list", "probes"]);
    assert_eq!(probes.status.code(), Some(0));
    insta::assert_snapshot!("list_probes", stdout(&probes));
    let formats = quell(&["list", "formats"]);
    assert_eq!(formats.status.code(), Some(0));
    for format in quell::report::FORMATS {
        assert!(stdout(&formats).lines().any(|line| line.starts_with(format.name)), "{}", format.name);
    }
    assert!(stdout(&formats).contains(".quell"));
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is_one() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut gone = command(&["doctor", "--json"]);
    let output = gone.stdout(writer).stderr(Stdio::piped()).spawn().and_then(|child| child.wait_with_output());
    let output = output.expect("the binary runs");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    if Path::new("/dev/full").exists() {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("the full device");
        let output = command(&["list", "probes"]).stdout(full).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("No space left"), "{}", stderr(&output));
    }
}

#[test]
fn a_command_that_was_not_started_has_the_exit_codes_of_others_that_start_one() {
    for (words, code) in [
        (&["--", "true"][..], 0),
        (&["--", "no-such-command-of-ours"], 127),
        (&["--", "/etc/passwd"], 126),
        (&["--cpus", "8191", "--", "true"], 125),
    ] {
        let output = quell(&[&["run"], words].concat());
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", stderr(&output));
    }
}
