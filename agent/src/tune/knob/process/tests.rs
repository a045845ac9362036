use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::host::{Host, Root};
use crate::tune::knob::error::KnobError;
use crate::tune::knob::fake;
use crate::tune::knob::reading::Reading;
use crate::tune::value::KnobTarget;

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

fn on(name: &str) -> KnobTarget {
    KnobTarget::Name(name.to_owned())
}

#[test]
fn rules_are_set_and_each_thread_gets_back_what_it_had() {
    let (_folder, host) = machine();
    for name in ["nginx", "ngi*", "/system.slice/nginx.service", "/system.slice"] {
        fake::round_trip(&rule::CPUS, &host, &on(name), "2-3");
        fake::round_trip(&rule::POLICY, &host, &on(name), "fifo:50");
    }
    fake::round_trip(&rule::CGROUP, &host, &on("nginx"), "/quell-isolated");
    fake::round_trip(&memory_nodes::MEMORY_NODES, &host, &on("/system.slice/nginx.service"), "0");
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
        assert!(rule::CPUS.matches(&of("nginx"), &cpus), "{named}");
        assert_eq!(others(), before, "{named}");
    }
    assert!(matches!(rule::CPUS.read(&host, &on("redis")), Ok(Reading::Absent(_))));
}

#[test]
fn what_is_no_policy_no_node_and_no_cgroup_is_refused_beforehand() {
    let (_folder, host) = machine();
    let text = |text: &str| crate::tune::value::Value::Text(text.to_owned());
    assert!(rule::POLICY.normalize(&host, &on("nginx"), &text("fifo:100")).is_err());
    assert!(memory_nodes::MEMORY_NODES.normalize(&host, &on("/system.slice"), &text("7")).is_err());
    assert!(matches!(memory_nodes::MEMORY_NODES.read(&host, &on("nginx")), Ok(Reading::Absent(_))));
}

#[test]
fn a_cgroup_that_leads_out_of_the_hierarchy_is_refused_and_nobody_moves() {
    let (folder, host) = machine();
    fake::put(folder.path(), "/sys/fs/elsewhere/cgroup.procs", "");
    for path in ["/../elsewhere", "/quell-isolated/../../elsewhere", "quell-isolated"] {
        let moved = rule::CGROUP.write(&host, &on("nginx"), &crate::tune::value::Value::Text(path.to_owned()));
        assert!(moved.is_err_and(|error| error.to_string().contains("is not a cgroup")), "{path}");
        assert_eq!(host.root.read("/sys/fs/elsewhere/cgroup.procs").expect("read"), "", "{path}");
    }
}

/// Changes the names of the processes that `nginx` matched.
fn rename(folder: &tempfile::TempDir) {
    for tid in [10, 11] {
        fake::put(folder.path(), &format!("/proc/10/task/{tid}/stat"), &stat(tid, "worker"));
    }
    fake::put(folder.path(), "/proc/10/stat", &stat(10, "worker"));
}

#[test]
fn a_process_that_left_the_cgroup_it_was_chosen_by_is_followed_there_and_back() {
    let (_folder, host) = machine();
    let (knob, target) = (&rule::CGROUP, on("/system.slice/nginx.service"));
    let before = fake::apply(knob, &host, &target, "/quell-isolated");
    assert!(matches!(knob.read(&host, &target), Ok(Reading::Absent(_))), "nobody is there any more");
    assert!(matches!(knob.read_back(&host, &target, &before), Ok(Reading::Value(now)) if !knob.matches(&now, &before)));
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
    assert!(!rule::CPUS.matches(&now(), &before));
    rule::CPUS.restore(&host, &target, &before).expect("back");
    assert_eq!(now(), before);
}

#[test]
fn only_what_has_provably_ended_is_gone() {
    let (folder, host) = machine();
    let before = fake::apply(&rule::CPUS, &host, &on("nginx"), "2-3");
    let path = |name: &str| folder.path().join(name);
    // Invalid UTF-8 makes the file unreadable even for root.
    std::fs::write(path("proc/10/task/11/stat"), [0xff]).expect("bytes");
    let unknown = rule::CPUS.read_back(&host, &on("nginx"), &before);
    assert!(matches!(unknown, Err(KnobError::Read { .. })), "{unknown:?}");
    let survey = rule::CPUS.survey(&host, &on("nginx")).expect("the other thread");
    assert!(survey.remarks.iter().any(|remark| remark.starts_with("thread 11 is skipped")), "{:?}", survey.remarks);
    std::fs::remove_dir_all(path("proc/10")).expect("it ends");
    let gone = rule::CPUS.read_back(&host, &on("nginx"), &before);
    assert!(matches!(gone, Ok(Reading::Absent(_))) && rule::CPUS.spec().target_may_end, "{gone:?}");
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
    let desired = rule::CPUS.spec().kind.parse("2").expect("CPUs");
    rule::CPUS.write(&host, &on("nginx"), &rule::CPUS.limit_to_parts(&before, &desired)).expect("write");
    assert_eq!(host.root.read("/proc/30/status").expect("read"), status(33, "0-3").trim_end());
    assert_eq!(host.root.read("/proc/10/status").expect("read"), status(33, "2").trim_end());
}

#[test]
fn a_child_that_was_forked_since_is_named() {
    let (folder, host) = machine();
    let before = fake::apply(&rule::CPUS, &host, &on("nginx"), "2-3");
    let desired = rule::CPUS.spec().kind.parse("2-3").expect("CPUs");
    let side_effects =
        || rule::CPUS.side_effects(&host, &on("nginx"), &before, &desired).expect("an answer").join("; ");
    assert_eq!(side_effects(), "");
    // A child and a grandchild, which have changed their names.
    for (pid, parent) in [(30, 10), (31, 30)] {
        let text = stat(pid, "helper").replace(" S 1 ", &format!(" S {parent} "));
        fake::put(folder.path(), &format!("/proc/{pid}/stat"), &text);
        fake::put(folder.path(), &format!("/proc/{pid}/task/{pid}/stat"), &text);
        fake::put(folder.path(), &format!("/proc/{pid}/cgroup"), "0::/\n");
        fake::put(folder.path(), &format!("/proc/{pid}/status"), &status(33, "2-3"));
    }
    let effects = side_effects();
    assert!(effects.starts_with("30 (helper), 31 (helper) started later and inherited 2-3"), "{effects}");
    fake::put(folder.path(), "/proc/30/status", &status(33, "0-3"));
    assert!(side_effects().starts_with("31 "), "30 has been given other CPUs");
}

#[test]
fn a_thread_that_refuses_keeps_no_other_from_what_it_had() {
    let (folder, host) = machine();
    let before = fake::apply(&rule::CPUS, &host, &on("nginx"), "2");
    // A file that is readable but refuses writes.
    let real = format!("/proc/{}/status", std::process::id());
    fake::with_refusing(folder.path(), "/proc/10/status", &real, |host| {
        let error = rule::CPUS.restore(host, &on("nginx"), &before).expect_err("10 refuses").to_string();
        assert!(error.starts_with("1 of 2 could not be set: thread 10 (nginx) rejected"), "{error}");
        assert_eq!(host.root.read("/proc/11/status").expect("read"), status(33, "1").trim_end());
    });
}

/// A process with its own name, which is killed when the test ends.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        // The process is asleep and can be killed. If it has exited already, there is nothing to do.
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
        crate::skip!("two CPUs");
    }
    fake::round_trip(&rule::CPUS, &host, &on("quell-sleeper"), &first.to_string());
    fake::round_trip(&rule::POLICY, &host, &on("quell-sleeper"), "batch:0");
}

#[test]
fn the_running_kernel_gives_a_process_back_what_it_had_whatever_it_executes() {
    let host = Host::read(Root::host()).expect("this host");
    let first = host.topology.online().iter().next().expect("a CPU");
    if host.topology.online().len() < 2 {
        crate::skip!("two CPUs");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("quell-shell");
    std::os::unix::fs::symlink("/bin/sh", &program).expect("a link");
    let mut shell = Command::new(&program);
    let mut shell = Sleeper(shell.args(["-c", "read go; exec sleep 60"]).stdin(Stdio::piped()).spawn().expect("sh"));
    let target = on("quell-shell");
    let before = fake::apply(&rule::CPUS, &host, &target, &first.to_string());
    drop(shell.0.stdin.take().expect("a pipe").write_all(b"go\n"));
    // The rule no longer matches once the process has executed another program, which changes its name.
    while matches!(rule::CPUS.read(&host, &target), Ok(Reading::Value(_))) {
        std::thread::yield_now();
    }
    let now = |of: &_| rule::CPUS.read_back(&host, &target, of).expect("it runs");
    assert!(!now(&before).value().is_some_and(|now| rule::CPUS.matches(now, &before)));
    rule::CPUS.restore(&host, &target, &before).expect("back");
    assert_eq!(now(&before), Reading::Value(before.clone()));
}

/// A process that is added to a fake host.
struct Process<'a> {
    pid: u32,
    name: &'a [u8],
    users: (u32, u32),
    group: &'a str,
    executable: &'a str,
}

const MALLORY: Process<'_> =
    Process { pid: 60, name: b"nginx", users: (1000, 1000), group: "/user.slice", executable: "/home/mallory/nginx" };

impl Process<'_> {
    fn put(&self, folder: &tempfile::TempDir) {
        let Self { pid, name, users: (real, effective), group, executable } = *self;
        let start = format!(") S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0 0\n", pid * 10);
        let stat = [format!("{pid} (").as_bytes(), name, start.as_bytes()].concat();
        let status = format!("Uid:\t{real}\t{effective}\t{effective}\t{effective}\nCpus_allowed_list:\t0-3\n");
        let status = [b"Name:\t", name, b"\n", status.as_bytes()].concat();
        fake::put(folder.path(), &format!("/proc/{pid}/cgroup"), &format!("0::{group}\n"));
        fake::put(folder.path(), &format!("/proc/{pid}/task/{pid}/stat"), "");
        let at = |file: &str| folder.path().join(format!("proc/{pid}/{file}"));
        for (file, text) in [("stat", &stat), (&format!("task/{pid}/stat"), &stat), ("status", &status)] {
            std::fs::write(at(file), text).expect("a file");
        }
        let _ = std::fs::remove_file(at("exe"));
        std::os::unix::fs::symlink(executable, at("exe")).expect("a link");
    }
}

fn users(folder: &tempfile::TempDir) {
    fake::put(folder.path(), "/etc/passwd", "root:x:0:0::/:\nwww-data:x:33:33::/:\nmallory:x:1000:1000::/:\n");
}

/// The IDs of the processes that a rule matches.
fn matched(host: &Host, on_what: &str) -> Vec<u32> {
    let survey = rule::POLICY.survey(host, &on(on_what)).unwrap_or_else(|error| panic!("{on_what}: {error}"));
    survey.processes.iter().map(|process| process.pid.0).collect()
}

#[test]
fn processes_of_different_users_are_refused_unless_the_rule_says_whose() {
    let (folder, host) = machine();
    users(&folder);
    assert_eq!(matched(&host, "nginx"), [10], "of one user that nobody named");
    MALLORY.put(&folder);
    for name in ["nginx", "ngin?", "name=*"] {
        let error = rule::POLICY.survey(&host, &on(name)).expect_err(name);
        assert!(matches!(error, KnobError::SeveralUsers { .. }), "{name}: {error:?}");
        let said = error.to_string();
        assert!(said.contains("60 (nginx) of mallory, /home/mallory/nginx"), "{said}");
        assert!(said.contains("\nhint: name the user or the cgroup"), "{said}");
        let read = rule::POLICY.read(&host, &on(name));
        assert!(matches!(read, Err(KnobError::SeveralUsers { .. })), "{name}: {read:?}");
    }
    assert_eq!(matched(&host, "name=nginx,user=www-data"), [10]);
    assert_eq!(matched(&host, "nginx,user=33"), [10]);
    assert_eq!(matched(&host, "name=nginx,user=mallory"), [60]);
    assert_eq!(matched(&host, "user=www-data|mallory,name=nginx"), [10, 60]);
    assert_eq!(matched(&host, "/system.slice/nginx.service,name=nginx"), [10]);
    assert_eq!(matched(&host, "cgroup=/user.slice"), [60]);
    assert_eq!(matched(&host, "exe=/home/mallory/*"), [60]);
    let absent = rule::POLICY.read(&host, &on("name=nginx,user=redis")).expect("no error");
    assert_eq!(absent, Reading::Absent("there is no user `redis`".to_owned()));
}

#[test]
fn who_started_a_set_id_program_is_its_user_too() {
    let (folder, host) = machine();
    users(&folder);
    Process { name: b"su", users: (1000, 0), executable: "/usr/bin/su", ..MALLORY }.put(&folder);
    let refused = rule::POLICY.survey(&host, &on("su")).expect_err("two users").to_string();
    assert!(refused.contains("60 (su) of mallory and root"), "{refused}");
    for one in ["su,user=root", "su,user=mallory"] {
        assert!(matches!(rule::POLICY.read(&host, &on(one)), Ok(Reading::Absent(_))), "{one}");
    }
    assert_eq!(matched(&host, "su,user=root|mallory"), [60]);
}

#[test]
fn a_plan_says_that_anybody_can_be_what_a_name_matches() {
    let (folder, host) = machine();
    users(&folder);
    let remarks = |name: &str| rule::POLICY.survey(&host, &on(name)).expect("a survey").remarks;
    assert!(remarks("nginx")[0].ends_with("for example `name=nginx,user=www-data`"), "{:?}", remarks("nginx"));
    assert_eq!(remarks("nginx,user=www-data"), Vec::<String>::new());
    assert_eq!(remarks("/system.slice"), Vec::<String>::new());
    Process { name: b"cron", users: (0, 0), ..MALLORY }.put(&folder);
    assert_eq!(remarks("cron"), Vec::<String>::new(), "it is root's");
}

#[test]
fn what_starts_after_the_plan_is_left_out_and_refused_where_it_has_another_user() {
    for on_what in ["nginx", "/system.slice/nginx.service", "name=nginx,user=www-data|mallory"] {
        let (folder, host) = machine();
        users(&folder);
        let planned = rule::CPUS.survey(&host, &on(on_what)).expect("a survey").processes;
        let group = "/system.slice/nginx.service";
        let read = || <dyn Knob>::current_for(&rule::CPUS, &host, &on(on_what), &planned);
        let parts = |reading: Reading| match reading {
            Reading::Value(crate::tune::value::Value::PerPart(parts)) => parts.into_keys().collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        let alone = parts(read().expect("those of the plan"));
        Process { pid: 61, users: (33, 33), group, ..MALLORY }.put(&folder);
        assert_eq!(parts(read().expect("those of the plan")), alone, "{on_what}");
        Process { group, ..MALLORY }.put(&folder);
        let refused = read().expect_err("another user's");
        assert!(refused.to_string().contains("60 (nginx) of mallory"), "{on_what}: {refused}");
        // The rule is also refused after the planned processes have exited.
        std::fs::remove_dir_all(folder.path().join("proc/10")).expect("it ends");
        std::fs::remove_dir_all(folder.path().join("proc/61")).expect("it ends");
        let refused = read();
        assert!(matches!(refused, Err(KnobError::NewUsers { .. })), "{on_what}: {refused:?}");
    }
}

#[test]
fn a_process_that_became_another_since_the_plan_is_seen() {
    let (folder, host) = machine();
    MALLORY.put(&folder);
    let planned = rule::CPUS.survey(&host, &on("name=nginx,user=1000")).expect("a survey").processes;
    let recheck = || <dyn Knob>::check_processes(&rule::CPUS, &host, &planned);
    recheck().expect("it is the same");
    Process { name: b"renamed", group: "/", ..MALLORY }.put(&folder);
    recheck().expect("a name and a cgroup are not what it is");
    for (changed, what) in [
        (Process { users: (1000, 0), ..MALLORY }, "it has another user"),
        (Process { users: (0, 0), ..MALLORY }, "it has another user"),
        (Process { executable: "/usr/bin/su", ..MALLORY }, "it executes another program"),
    ] {
        changed.put(&folder);
        let error = recheck().expect_err(what).to_string();
        assert!(error.starts_with("process 60 (nginx) of 1000") && error.contains(what), "{error}");
    }
    // The process ID was reused. The new process was not set, so there is nothing to undo.
    let anew = folder.path().join("proc/60/stat");
    std::fs::write(&anew, stat(60, "other").replace(" 600 ", " 601 ")).expect("a file");
    recheck().expect("the planned one has ended");
    std::fs::remove_dir_all(folder.path().join("proc/60")).expect("it ends");
    recheck().expect("it has ended");
}

#[test]
fn a_name_cut_in_a_character_keeps_no_process_from_its_rule() {
    let (folder, host) = machine();
    for (pid, name) in [(60, &b"nginx\xc3"[..]), (61, b"\xff\xfe"), (62, b"a) Z 9 (\xf0\x9f")] {
        Process { pid, name, users: (33, 33), ..MALLORY }.put(&folder);
    }
    assert_eq!(matched(&host, "nginx"), [10]);
    assert_eq!(matched(&host, "nginx?"), [50, 60]);
    assert_eq!(matched(&host, "\u{fffd}*"), [0; 0], "bytes are not guessed");
    assert_eq!(matched(&host, "name=??,user=33"), [61]);
    fake::round_trip(&rule::CPUS, &host, &on("name=??,user=33"), "2-3");
    let survey = rule::CPUS.survey(&host, &on("nginx?")).expect("a survey");
    assert_eq!(survey.processes[1].name, "nginx\u{fffd}");
}

#[test]
fn a_process_that_cannot_be_read_is_left_out_alone_and_that_is_said() {
    let (folder, host) = machine();
    MALLORY.put(&folder);
    fake::put(folder.path(), "/proc/60/status", "Name:\tnginx\n");
    let survey = rule::CPUS.survey(&host, &on("nginx")).expect("the others");
    assert_eq!(survey.processes.len(), 1);
    let said = survey.remarks.iter().find(|remark| remark.contains("is skipped")).expect("it is said");
    assert!(said.starts_with("process 60 (nginx) is skipped: could not read /proc/60"), "{said}");
    // A name with terminal escape sequences must be sanitized.
    Process { name: b"nginx\x1b[31m", users: (33, 33), ..MALLORY }.put(&folder);
    let shown = rule::CPUS.survey(&host, &on("nginx*")).expect("all of one user").processes;
    assert!(shown.iter().all(|process| !process.to_string().contains('\u{1b}')), "{shown:?}");
}

#[test]
fn a_zombie_is_nobodys_process() {
    let (folder, host) = machine();
    MALLORY.put(&folder);
    fake::put(folder.path(), "/proc/60/stat", &stat(60, "nginx").replace(") S ", ") Z "));
    assert_eq!(matched(&host, "nginx"), [10]);
}

/// Starts a shell of a user, which changes its own name and waits.
fn shell_of(user: u32, name: &str) -> Sleeper {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::process::CommandExt as _;
    let mut shell = Command::new("/bin/sh");
    let script = format!("printf '{name}' > /proc/$$/comm; echo ready; read line");
    shell.args(["-c", &script]).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).uid(user).gid(user);
    let mut shell = Sleeper(shell.spawn().expect("a shell"));
    let mut line = String::new();
    BufReader::new(shell.0.stdout.take().expect("a pipe")).read_line(&mut line).expect("it is ready");
    shell
}

#[test]
fn the_running_kernels_processes_of_two_users_are_told_apart() {
    crate::needs!(Root);
    let host = Host::read(Root::host()).expect("this host");
    let name = format!("q{}", std::process::id());
    let (own, other) = (shell_of(0, &name), shell_of(65534, &format!("{name}\\303")));
    let (own, other) = (own.0.id(), (other.0.id(), other));
    let both = format!("{name}*");
    let refused = rule::POLICY.survey(&host, &on(&both)).expect_err("two users").to_string();
    for pid in [own, other.0] {
        assert!(refused.contains(&format!("{pid} (")), "{pid}: {refused}");
    }
    let batch = crate::tune::value::Value::Text("batch:0".to_owned());
    assert!(rule::POLICY.write(&host, &on(&both), &batch).is_err());
    assert_eq!(matched(&host, &format!("name={both},user=root")), [own]);
    assert_eq!(matched(&host, &format!("name={both},user=65534")), [other.0]);
    fake::round_trip(&rule::POLICY, &host, &on(&format!("name={both},user=65534")), "batch:0");
    let shell = std::fs::canonicalize("/bin/sh").expect("a shell");
    assert_eq!(matched(&host, &format!("name={both},user=root,exe={}", shell.display())), [own]);
}

#[test]
fn the_running_kernels_process_of_a_file_that_is_gone_is_not_matched_by_its_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("quell-gone");
    std::fs::copy("/bin/sleep", &program).expect("a copy");
    let sleeper = Sleeper(Command::new(&program).arg("60").spawn().expect("sleep"));
    let host = Host::read(Root::host()).expect("this host");
    let rule = format!("exe={}", program.display());
    assert_eq!(matched(&host, &rule), [sleeper.0.id()]);
    std::fs::remove_file(&program).expect("remove");
    for there in [false, true] {
        if there {
            std::fs::copy("/bin/cat", &program).expect("another program");
        }
        let survey = rule::POLICY.survey(&host, &on(&rule)).expect("a survey");
        assert_eq!(survey.processes, []);
        assert!(survey.remarks.iter().any(|remark| remark.contains("not at")), "{:?}", survey.remarks);
    }
}
