use std::process::{Child, Command};

use super::super::fake;
use super::*;
use crate::host::{Host, Root};
use crate::tune::Target;
use crate::tune::knob::Reading;

fn stat(tid: u32, name: &str) -> String {
    format!("{tid} ({name}) S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0 0", tid * 10)
}

fn machine() -> (tempfile::TempDir, Host) {
    let mut files: Vec<(String, String)> = Vec::new();
    for (pid, name, group, cpus) in
        [(10, "nginx", "/system.slice/nginx.service", "0-3"), (20, "sshd", "/system.slice/ssh.service", "0-1")]
    {
        files.push((format!("/proc/{pid}/stat"), stat(pid, name)));
        files.push((format!("/proc/{pid}/cgroup"), format!("0::{group}\n")));
        files.push((format!("/sys/fs/cgroup{group}/cgroup.procs"), format!("{pid}\n")));
        files.push((format!("/sys/fs/cgroup{group}/cpuset.mems"), "\n".to_owned()));
        for tid in [pid, pid + 1] {
            files.push((format!("/proc/{pid}/task/{tid}/stat"), stat(tid, name)));
            let cpus = if tid == pid { cpus } else { "1" };
            files.push((format!("/proc/{tid}/status"), format!("Cpus_allowed_list:\t{cpus}\n")));
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
    let ssh = fake::value(&rule::CPUS, &host, &on("sshd"));
    let cpus = rule::CPUS.spec().kind.parse("3").expect("CPUs");
    rule::CPUS.write(&host, &on("nginx"), &cpus).expect("write");
    assert_eq!(fake::value(&rule::CPUS, &host, &on("sshd")), ssh);
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
