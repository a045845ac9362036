use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use super::super::fake;
use super::*;
use crate::host::{Host, Root};
use crate::tune::Target;
use crate::tune::knob::{KnobError, Reading};

fn stat(tid: u32, name: &str) -> String {
    format!("{tid} ({name}) S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0 0", tid * 10)
}

/// The status of a process of one user.
fn status(user: u32, cpus: &str) -> String {
    format!("Name:\tx\nUid:\t{user}\t{user}\t{user}\t{user}\nCpus_allowed_list:\t{cpus}\n")
}

fn machine() -> (tempfile::TempDir, Host) {
    let mut files: Vec<(String, String)> = Vec::new();
    for (pid, name, group, cpus) in [
        (10, "nginx", "/system.slice/nginx.service", "0-3"),
        (20, "sshd", "/system.slice/ssh.service", "0-1"),
        (50, "nginx2", "/system.slice/nginx.service2", "0-2"),
    ] {
        files.push((format!("/proc/{pid}/stat"), stat(pid, name)));
        files.push((format!("/proc/{pid}/cgroup"), format!("0::{group}\n")));
        files.push((format!("/sys/fs/cgroup{group}/cgroup.procs"), format!("{pid}\n")));
        files.push((format!("/sys/fs/cgroup{group}/cpuset.mems"), "\n".to_owned()));
        for tid in [pid, pid + 1] {
            files.push((format!("/proc/{pid}/task/{tid}/stat"), stat(tid, name)));
            let cpus = if tid == pid { cpus } else { "1" };
            files.push((format!("/proc/{tid}/status"), status(33, cpus)));
        }
    }
    files.push(("/sys/fs/cgroup/quell-isolated/cgroup.procs".to_owned(), String::new()));
    files.push(("/sys/devices/system/node/node0/cpulist".to_owned(), "0-3\n".to_owned()));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    fake::host(&files)
}

fn on(name: &str) -> Target {
    Target::Name(name.to_owned())
}

#[test]
fn rules_are_set_and_each_thread_gets_back_what_it_had() {
    let (_folder, host) = machine();
    for name in ["nginx", "ngi*", "/system.slice/nginx.service", "/system.slice"] {
        fake::round_trip(&rule::CPUS, &host, &on(name), "2-3");
        fake::round_trip(&rule::POLICY, &host, &on(name), "fifo:50");
    }
    fake::round_trip(&rule::GROUP, &host, &on("nginx"), "/quell-isolated");
    fake::round_trip(&memory::MEMORY_NODES, &host, &on("/system.slice/nginx.service"), "0");
}

#[test]
fn a_rule_touches_the_processes_that_it_names_and_no_others() {
    let (_folder, host) = machine();
    let of = |name: &str| fake::value(&rule::CPUS, &host, &on(name));
    let others = || [of("sshd"), of("nginx2")];
    let before = others();
    for (named, cpu) in [("nginx", "3"), ("/system.slice/nginx.service", "2")] {
        let cpus = rule::CPUS.spec().kind.parse(cpu).expect("CPUs");
        rule::CPUS.write(&host, &on(named), &cpus).expect("write");
        assert!(rule::CPUS.meets(&of("nginx"), &cpus), "{named}");
        assert_eq!(others(), before, "{named}");
    }
    assert!(matches!(rule::CPUS.read(&host, &on("redis")), Ok(Reading::Absent(_))));
}

#[test]
fn what_is_no_policy_no_node_and_no_cgroup_is_refused_beforehand() {
    let (_folder, host) = machine();
    let text = |text: &str| crate::tune::Value::Text(text.to_owned());
    assert!(rule::POLICY.normalize(&host, &on("nginx"), &text("fifo:100")).is_err());
    assert!(memory::MEMORY_NODES.normalize(&host, &on("/system.slice"), &text("7")).is_err());
    assert!(matches!(memory::MEMORY_NODES.read(&host, &on("nginx")), Ok(Reading::Absent(_))));
}

#[test]
fn a_cgroup_that_leads_out_of_the_hierarchy_is_refused_and_nobody_moves() {
    let (folder, host) = machine();
    fake::put(folder.path(), "/sys/fs/elsewhere/cgroup.procs", "");
    for path in ["/../elsewhere", "/quell-isolated/../../elsewhere", "quell-isolated"] {
        let moved = rule::GROUP.write(&host, &on("nginx"), &crate::tune::Value::Text(path.to_owned()));
        assert!(moved.is_err_and(|error| error.to_string().contains("is no cgroup")), "{path}");
        assert_eq!(host.root.read("/sys/fs/elsewhere/cgroup.procs").expect("read"), "", "{path}");
    }
}

/// Makes the processes of `nginx` look otherwise than when they were chosen.
fn rename(folder: &tempfile::TempDir) {
    for tid in [10, 11] {
        fake::put(folder.path(), &format!("/proc/10/task/{tid}/stat"), &stat(tid, "worker"));
    }
    fake::put(folder.path(), "/proc/10/stat", &stat(10, "worker"));
}

#[test]
fn a_process_that_left_the_cgroup_it_was_chosen_by_is_followed_there_and_back() {
    let (_folder, host) = machine();
    let (knob, target) = (&rule::GROUP, on("/system.slice/nginx.service"));
    let before = fake::apply(knob, &host, &target, "/quell-isolated");
    assert!(matches!(knob.read(&host, &target), Ok(Reading::Absent(_))), "nobody is there any more");
    assert!(matches!(knob.read_back(&host, &target, &before), Ok(Reading::Value(now)) if !knob.meets(&now, &before)));
    knob.restore(&host, &target, &before).expect("back");
    assert_eq!(fake::value(knob, &host, &target), before);
}

#[test]
fn a_process_that_has_another_name_by_now_gets_back_what_it_had() {
    let (folder, host) = machine();
    let target = on("nginx");
    let before = fake::apply(&rule::CPUS, &host, &target, "2-3");
    rename(&folder);
    assert!(matches!(rule::CPUS.read(&host, &target), Ok(Reading::Absent(_))));
    let now = || match rule::CPUS.read_back(&host, &target, &before) {
        Ok(Reading::Value(now)) => now,
        other => panic!("{other:?}"),
    };
    assert!(!rule::CPUS.meets(&now(), &before));
    rule::CPUS.restore(&host, &target, &before).expect("back");
    assert_eq!(now(), before);
}

#[test]
fn only_what_has_provably_ended_is_gone() {
    let (folder, host) = machine();
    let before = fake::apply(&rule::CPUS, &host, &on("nginx"), "2-3");
    let path = |name: &str| folder.path().join(name);
    // No text: as unreadable to root as a file can be made.
    std::fs::write(path("proc/10/task/11/stat"), [0xff]).expect("bytes");
    let unknown = rule::CPUS.read_back(&host, &on("nginx"), &before);
    assert!(matches!(unknown, Err(KnobError::Read { .. })), "{unknown:?}");
    let survey = rule::CPUS.survey(&host, &on("nginx")).expect("the other thread");
    assert!(survey.remarks.iter().any(|remark| remark.starts_with("thread 11 is left out")), "{:?}", survey.remarks);
    std::fs::remove_dir_all(path("proc/10")).expect("it ends");
    let gone = rule::CPUS.read_back(&host, &on("nginx"), &before);
    assert!(matches!(gone, Ok(Reading::Absent(_))) && rule::CPUS.may_end(), "{gone:?}");
    std::fs::rename(path("proc"), path("elsewhere")).expect("move");
    std::fs::write(path("proc"), "no directory").expect("a file");
    assert!(matches!(rule::CPUS.read(&host, &on("nginx")), Err(KnobError::Read { .. })), "no list is no empty list");
}

#[test]
fn a_process_that_came_while_others_were_set_is_not_set_without_a_word_of_it() {
    let (folder, host) = machine();
    let before = fake::value(&rule::CPUS, &host, &on("nginx"));
    fake::put(folder.path(), "/proc/30/stat", &stat(30, "nginx"));
    fake::put(folder.path(), "/proc/30/task/30/stat", &stat(30, "nginx"));
    fake::put(folder.path(), "/proc/30/status", &status(33, "0-3"));
    let wanted = rule::CPUS.spec().kind.parse("2").expect("CPUs");
    rule::CPUS.write(&host, &on("nginx"), &rule::CPUS.spread(&before, &wanted)).expect("write");
    assert_eq!(host.root.read("/proc/30/status").expect("read"), status(33, "0-3").trim_end());
    assert_eq!(host.root.read("/proc/10/status").expect("read"), status(33, "2").trim_end());
}

#[test]
fn a_child_that_was_forked_since_is_named() {
    let (folder, host) = machine();
    let before = fake::apply(&rule::CPUS, &host, &on("nginx"), "2-3");
    let wanted = rule::CPUS.spec().kind.parse("2-3").expect("CPUs");
    let remainder = || rule::CPUS.remainder(&host, &on("nginx"), &before, &wanted).expect("an answer");
    assert_eq!(remainder(), None);
    // Of a child, whose name is its own by now.
    for (pid, parent) in [(30, 10), (31, 30)] {
        let text = stat(pid, "helper").replace(" S 1 ", &format!(" S {parent} "));
        fake::put(folder.path(), &format!("/proc/{pid}/stat"), &text);
        fake::put(folder.path(), &format!("/proc/{pid}/task/{pid}/stat"), &text);
        fake::put(folder.path(), &format!("/proc/{pid}/cgroup"), "0::/\n");
        fake::put(folder.path(), &format!("/proc/{pid}/status"), &status(33, "2-3"));
    }
    let said = remainder().expect("a child and its child");
    assert!(said.starts_with("30 (helper), 31 (helper) came since and got 2-3"), "{said}");
    fake::put(folder.path(), "/proc/30/status", &status(33, "0-3"));
    assert!(remainder().is_some_and(|said| said.starts_with("31 ")), "30 has been given other CPUs");
}

#[test]
fn a_thread_that_refuses_keeps_no_other_from_what_it_had() {
    let (folder, host) = machine();
    let before = fake::apply(&rule::CPUS, &host, &on("nginx"), "2");
    // A file that can be read and takes nothing.
    let refusing = folder.path().join("proc/10/status");
    std::fs::remove_file(&refusing).expect("remove");
    std::os::unix::fs::symlink("/proc/self/status", refusing).expect("a link");
    let error = rule::CPUS.restore(&host, &on("nginx"), &before).expect_err("10 refuses").to_string();
    assert!(error.starts_with("1 of 2 could not be set: thread 10 (nginx) does not take"), "{error}");
    assert_eq!(host.root.read("/proc/11/status").expect("read"), status(33, "1").trim_end());
}

/// A process with a name of its own that ends with the test.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        // It sleeps, so it is there to be ended; and where it is not, there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_running_kernel_moves_a_process_and_schedules_it_anew_and_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("quell-sleeper");
    std::os::unix::fs::symlink("/bin/sleep", &program).expect("a link");
    let _sleeper = Sleeper(Command::new(&program).arg("60").spawn().expect("sleep"));
    let host = Host::read(Root::host()).expect("this host");
    let first = host.topology.online().iter().next().expect("a CPU");
    if host.topology.online().len() < 2 {
        eprintln!("skipped: with one CPU there is nowhere to go");
        return;
    }
    fake::round_trip(&rule::CPUS, &host, &on("quell-sleeper"), &first.to_string());
    fake::round_trip(&rule::POLICY, &host, &on("quell-sleeper"), "batch:0");
}

#[test]
fn the_running_kernel_gives_a_process_back_what_it_had_whatever_it_executes() {
    let host = Host::read(Root::host()).expect("this host");
    let first = host.topology.online().iter().next().expect("a CPU");
    if host.topology.online().len() < 2 {
        eprintln!("skipped: with one CPU there is nowhere to go");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("quell-shell");
    std::os::unix::fs::symlink("/bin/sh", &program).expect("a link");
    let mut shell = Command::new(&program);
    let mut shell = Sleeper(shell.args(["-c", "read go; exec sleep 60"]).stdin(Stdio::piped()).spawn().expect("sh"));
    let target = on("quell-shell");
    let before = fake::apply(&rule::CPUS, &host, &target, &first.to_string());
    drop(shell.0.stdin.take().expect("a pipe").write_all(b"go\n"));
    // It has executed when it is called otherwise.
    while matches!(rule::CPUS.read(&host, &target), Ok(Reading::Value(_))) {
        std::thread::yield_now();
    }
    let now = |of: &_| rule::CPUS.read_back(&host, &target, of).expect("it runs");
    assert!(!now(&before).value().is_some_and(|now| rule::CPUS.meets(now, &before)));
    rule::CPUS.restore(&host, &target, &before).expect("back");
    assert_eq!(now(&before), Reading::Value(before.clone()));
}
