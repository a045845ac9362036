use std::fs;

use super::*;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::fake;
use crate::tune::knob::reading::{Activation, Reading};
use crate::tune::value::{KnobTarget, Value};

const HOUSEKEEPING: &str = "0-1";

fn stat(tid: u32, name: &str, flags: u64) -> String {
    format!("{tid} ({name}) S 2 0 0 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0 0", tid * 10)
}

fn machine(more: &[(&str, &str)]) -> (tempfile::TempDir, crate::host::Host) {
    let kernel = 0x0020_0000;
    let bound = kernel | 0x0400_0000;
    let thread = |tid: u32, name: &str, flags: u64, cpus: &str| {
        [
            (format!("/proc/{tid}/stat"), stat(tid, name, flags)),
            (format!("/proc/{tid}/status"), format!("Name:\t{name}\nCpus_allowed_list:\t{cpus}\n")),
        ]
    };
    let threads = [
        thread(2, "kthreadd", kernel, "0-3"),
        thread(14, "rcu_sched", kernel, "0-3"),
        thread(15, "migration/0", bound, "0"),
        thread(16, "rcuop/2", kernel, "0-3"),
        thread(17, "irq/30-eth0", kernel, "2"),
        thread(18, "khungtaskd", kernel, "0-2"),
        thread(400, "sshd", 0, "0-3"),
    ];
    let mut files: Vec<(&str, &str)> =
        threads.iter().flatten().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    files.extend(more);
    fake::host(&files)
}

const V2: &[(&str, &str)] = &[
    ("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n"),
    ("/sys/fs/cgroup/cgroup.subtree_control", "cpu memory\n"),
    ("/sys/fs/cgroup/cgroup.procs", "1\n"),
];

const V1: &[(&str, &str)] = &[
    ("/sys/fs/cgroup/cpuset/cpuset.cpus", "0-3\n"),
    ("/sys/fs/cgroup/cpuset/cpuset.mems", "0\n"),
    ("/sys/fs/cgroup/cpuset/cpuset.sched_load_balance", "1\n"),
    ("/sys/fs/cgroup/cpuset/tasks", "1\n2\n400\n"),
];

#[test]
fn a_partition_is_made_and_taken_away_with_both_versions_of_cgroups() {
    for files in [V2, V1] {
        let (folder, host) = machine(files);
        fake::round_trip(&partition::Partition, &host, &KnobTarget::Host, "2-3");
        let left = fs::read_dir(folder.path().join("sys/fs/cgroup")).expect("the groups");
        assert!(left.flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with("quell")));
    }
}

/// Simulates that the kernel changes the affinity of a thread because a partition is created or changed.
fn kernel_moves_the_thread(host: &crate::host::Host, cpus: &str) {
    let status = format!("Name:\tirq/30-eth0\nCpus_allowed_list:\t{cpus}\n");
    host.root.write("/proc/17/status", &status).expect("a thread");
}

#[test]
fn threads_of_interrupts_are_with_them_beside_a_partition_and_where_they_were_after_it() {
    let effective = ("/proc/irq/30/effective_affinity_list", "1\n");
    let (folder, host) = machine(&[V2, &[effective]].concat());
    let runs_on = || host.root.read("/proc/17/status").expect("a thread").rsplit('\t').next().map(str::to_owned);
    let (some, none) = (ValueKind::Cpus.parse("2-3").expect("CPUs"), ValueKind::Cpus.parse("").expect("none"));
    let set = |value: &Value| partition::Partition.write(&host, &KnobTarget::Host, value).expect("write");
    set(&some);
    assert_eq!(runs_on().as_deref(), Some("1"), "with its interrupt");
    // The first change has moved the thread, which must not affect the saved affinity.
    kernel_moves_the_thread(&host, "0-1");
    set(&ValueKind::Cpus.parse("3").expect("a CPU"));
    kernel_moves_the_thread(&host, "0-3");
    set(&none);
    assert_eq!(runs_on().as_deref(), Some("2"), "as before the first");
    assert_eq!(fake::value(&partition::Partition, &host, &KnobTarget::Host), none);
    assert!(!folder.path().join("run/quell/irq-threads").exists());
}

#[test]
fn a_kill_between_a_partition_and_its_threads_is_made_good() {
    let (_folder, host) = machine(V2);
    let none = ValueKind::Cpus.parse("").expect("none");
    let now = || fake::value(&partition::Partition, &host, &KnobTarget::Host);
    irq_threads::save(&host).expect("kept");
    assert_eq!(now(), none, "nothing was changed yet");
    irq_threads::mark_restore_pending(&host).expect("said");
    kernel_moves_the_thread(&host, "0-3");
    assert_ne!(now(), none, "it is to be taken away once more");
    partition::Partition.write(&host, &KnobTarget::Host, &none).expect("write");
    assert_eq!(now(), none);
    assert!(host.root.read("/proc/17/status").expect("a thread").ends_with("\t2"));
}

#[test]
fn what_was_kept_for_a_partition_that_somebody_took_away_is_kept_anew_for_the_next() {
    let (folder, host) = machine(V2);
    let set = |cpus: &str| {
        let cpus = ValueKind::Cpus.parse(cpus).expect("CPUs");
        partition::Partition.write(&host, &KnobTarget::Host, &cpus).expect("write");
    };
    set("2-3");
    fs::remove_dir_all(folder.path().join("sys/fs/cgroup/quell-isolated")).expect("the group");
    assert_eq!(fake::value(&partition::Partition, &host, &KnobTarget::Host), ValueKind::Cpus.parse("").expect("none"));
    // After the partition is gone, the affinity is changed manually.
    kernel_moves_the_thread(&host, "3");
    set("2");
    set("");
    assert!(host.root.read("/proc/17/status").expect("a thread").ends_with("\t3"));
}

#[test]
fn a_partition_of_version_one_takes_the_rest_out_of_its_way() {
    let (_folder, host) = machine(V1);
    let cpus = ValueKind::Cpus.parse("2-3").expect("CPUs");
    partition::Partition.write(&host, &KnobTarget::Host, &cpus).expect("write");
    let of = |file: &str| host.root.read(&format!("/sys/fs/cgroup/cpuset/{file}")).expect("read");
    assert_eq!(of("quell-isolated/cpuset.cpus"), "2-3");
    assert_eq!(of("quell-isolated/cpuset.sched_load_balance"), "0");
    assert_eq!(of("quell-housekeeping/cpuset.cpus"), "0-1");
    assert_eq!(of("cpuset.sched_load_balance"), "0");
}

#[test]
fn a_partition_of_version_one_has_memory_and_its_cpus_alone_and_nobody_stays_at_the_root() {
    let (_folder, host) = machine(V1);
    partition::Partition.write(&host, &KnobTarget::Host, &ValueKind::Cpus.parse("2-3").expect("CPUs")).expect("write");
    let of = |file: &str| host.root.read(&format!("/sys/fs/cgroup/cpuset/{file}")).expect("read");
    assert_eq!(of("quell-isolated/cpuset.mems"), "0");
    assert_eq!(of("quell-housekeeping/cpuset.mems"), "0");
    assert_eq!(of("quell-isolated/cpuset.cpu_exclusive"), "1");
    assert_eq!(of("quell-housekeeping/tasks"), "400", "the last of who was told to go there");
    assert_eq!(of("quell-isolated/tasks"), "");
}

#[test]
fn other_cpus_of_a_partition_of_version_one_move_nobody() {
    let (folder, host) = machine(V1);
    let write =
        |cpus| partition::Partition.write(&host, &KnobTarget::Host, &ValueKind::Cpus.parse(cpus).expect("CPUs"));
    let before = fake::apply(&partition::Partition, &host, &KnobTarget::Host, "2-3");
    let isolated = fake::value(&partition::Partition, &host, &KnobTarget::Host);
    fake::put(folder.path(), "/sys/fs/cgroup/cpuset/quell-isolated/tasks", "812\n");
    write("1-2").expect("other CPUs");
    let of = |file: &str| host.root.read(&format!("/sys/fs/cgroup/cpuset/{file}")).expect("read");
    assert_eq!(of("quell-isolated/tasks"), "812");
    assert_eq!(of("quell-isolated/cpuset.cpus"), "1-2");
    assert_eq!(of("quell-isolated/cpuset.cpu_exclusive"), "1");
    assert_eq!(of("quell-housekeeping/cpuset.cpus"), "0,3");
    let side_effects =
        |before| partition::Partition.side_effects(&host, &KnobTarget::Host, before, &isolated).expect("an answer");
    assert_eq!(side_effects(&isolated), Vec::<String>::new());
    assert!(matches!(side_effects(&before).as_slice(), [effect] if effect.contains("812")));
    // CPUs that quell cannot get do not change the partition either.
    fake::put(folder.path(), "/sys/fs/cgroup/cpuset/docker/cpuset.cpus", "0\n");
    fake::put(folder.path(), "/sys/fs/cgroup/cpuset/docker/cpuset.sched_load_balance", "1\n");
    write("0-1").expect_err("docker has one of them");
    assert_eq!((of("quell-isolated/tasks"), of("quell-isolated/cpuset.cpus")), ("812".to_owned(), "1-2".to_owned()));
}

#[test]
fn a_cpuset_that_balances_over_the_same_cpus_is_named() {
    let mut files = V1.to_vec();
    files.extend([
        ("/sys/fs/cgroup/cpuset/docker/cpuset.cpus", "0-3\n"),
        ("/sys/fs/cgroup/cpuset/docker/cpuset.sched_load_balance", "1\n"),
    ]);
    let (_folder, host) = machine(&files);
    let cpus = ValueKind::Cpus.parse("2-3").expect("CPUs");
    let error = partition::Partition.write(&host, &KnobTarget::Host, &cpus).expect_err("docker has them too");
    assert!(error.to_string().contains("docker"), "{error}");
    assert_eq!(fake::value(&partition::Partition, &host, &KnobTarget::Host), ValueKind::Cpus.parse("").expect("none"));
}

#[test]
fn a_group_that_cannot_be_made_leaves_no_controller_enabled() {
    let (folder, host) = machine(V2);
    // Simulates that the kernel cannot create the cgroup, for example because of ENOMEM or too many cgroups: the name is taken
    // by a dangling link, so the cgroup seems not to exist, and cannot be created.
    let group = folder.path().join("sys/fs/cgroup/quell-isolated");
    std::os::unix::fs::symlink("nowhere", group).expect("a link");
    let cpus = ValueKind::Cpus.parse("2-3").expect("CPUs");
    partition::Partition.write(&host, &KnobTarget::Host, &cpus).expect_err("no group can be made");
    assert_eq!(host.root.read("/sys/fs/cgroup/cgroup.subtree_control").expect("read"), "cpu memory");
    assert!(!folder.path().join("run/quell/cpuset-was-off").exists());
}

#[test]
fn who_entered_the_partition_is_named_before_it_goes() {
    let (folder, host) = machine(V2);
    let before = fake::apply(&partition::Partition, &host, &KnobTarget::Host, "2-3");
    let side_effects =
        || partition::Partition.side_effects(&host, &KnobTarget::Host, &before, &before).expect("an answer").join("; ");
    assert_eq!(side_effects(), "");
    fake::put(folder.path(), "/sys/fs/cgroup/quell-isolated/cgroup.procs", "812\n813\n");
    assert!(side_effects().contains("812, 813"), "{}", side_effects());
    partition::Partition.restore(&host, &KnobTarget::Host, &before).expect("undone");
    assert_eq!(
        host.root.read("/sys/fs/cgroup/cgroup.procs").expect("read"),
        "813",
        "the last one that was moved there"
    );
}

#[test]
fn the_controller_stays_with_a_slice_that_has_cpus_of_its_own_by_now() {
    let slice = "/sys/fs/cgroup/web.slice/";
    let uses = [("cpuset.cpus", "0-1\n"), ("cpuset.mems", "0\n"), ("cgroup.subtree_control", "cpuset\n")];
    for (file, text) in uses {
        let (folder, host) = machine(V2);
        let before = fake::apply(&partition::Partition, &host, &KnobTarget::Host, "2-3");
        let side_effects = || {
            partition::Partition.side_effects(&host, &KnobTarget::Host, &before, &before).expect("an answer").join("; ")
        };
        fake::put(folder.path(), &format!("{slice}cpuset.cpus"), "\n");
        assert_eq!(side_effects(), "", "nothing of the slice is lost");
        fake::put(folder.path(), &format!("{slice}{file}"), text);
        assert!(side_effects().contains("web.slice"), "{}", side_effects());
        partition::Partition.restore(&host, &KnobTarget::Host, &before).expect("undone");
        assert_eq!(
            host.root.read("/sys/fs/cgroup/cgroup.subtree_control").expect("read"),
            "cpu memory cpuset",
            "{file}"
        );
        assert!(!host.root.has("/run/quell/cpuset-was-off"), "it is not quell's to take back any more");
    }
}

#[test]
fn a_controller_that_somebody_else_enabled_since_is_not_taken_back() {
    let (folder, host) = machine(V2);
    let before = fake::apply(&partition::Partition, &host, &KnobTarget::Host, "2-3");
    // Another program removes the partition and disables the controller, and a program enables the controller again.
    fs::remove_dir_all(folder.path().join("sys/fs/cgroup/quell-isolated")).expect("the group");
    partition::Partition
        .write(&host, &KnobTarget::Host, &ValueKind::Cpus.parse("3").expect("CPUs"))
        .expect("made again");
    partition::Partition.restore(&host, &KnobTarget::Host, &before).expect("undone");
    assert_eq!(host.root.read("/sys/fs/cgroup/cgroup.subtree_control").expect("read"), "cpu memory cpuset");
}

#[test]
fn kernels_whose_partitions_break_are_left_alone() {
    let mut files = V2.to_vec();
    files.push(("/proc/sys/kernel/osrelease", "5.10.0-32-amd64\n"));
    let (_folder, host) = machine(&files);
    match partition::Partition.read(&host, &KnobTarget::Host) {
        Ok(Reading::Absent(why)) => assert!(why.contains("6.1") && why.contains("5.10"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_partition_that_became_invalid_is_no_match() {
    let (folder, host) = machine(V2);
    let cpus = ValueKind::Cpus.parse("2-3").expect("CPUs");
    partition::Partition.write(&host, &KnobTarget::Host, &cpus).expect("write");
    let state = "isolated invalid (Cpu list in cpuset.cpus not exclusive)";
    fake::put(folder.path(), "/sys/fs/cgroup/quell-isolated/cpuset.cpus.partition", state);
    let now = fake::value(&partition::Partition, &host, &KnobTarget::Host);
    assert_eq!(now, Value::Text(state.to_owned()));
    assert!(!partition::Partition.matches(&now, &cpus));
}

#[test]
fn a_partition_that_went_with_its_controller_is_no_match_and_can_be_undone() {
    let (folder, host) = machine(V2);
    let cpus = ValueKind::Cpus.parse("2-3").expect("CPUs");
    partition::Partition.write(&host, &KnobTarget::Host, &cpus).expect("write");
    // As in the kernel after a write of `-cpuset` to the root's cgroup.subtree_control.
    let group = folder.path().join("sys/fs/cgroup/quell-isolated");
    for file in ["cpuset.cpus", "cpuset.cpus.partition"] {
        fs::remove_file(group.join(file)).expect("a file");
    }
    let now = fake::value(&partition::Partition, &host, &KnobTarget::Host);
    assert!(now.to_string().contains("cpuset controller was disabled"), "{now}");
    assert!(!partition::Partition.matches(&now, &cpus));
    partition::Partition.write(&host, &KnobTarget::Host, &ValueKind::Cpus.parse("").expect("none")).expect("undone");
    assert!(!group.exists());
}

#[test]
fn some_cpu_is_left_for_everything_else() {
    let (_folder, host) = machine(V2);
    let cpus = ValueKind::Cpus.parse("0-3").expect("CPUs");
    let error = partition::Partition.normalize(&host, &KnobTarget::Host, &cpus).expect_err("all of them");
    assert!(matches!(error, KnobError::Impossible { .. }), "{error}");
}

#[test]
fn kernel_threads_are_moved_and_each_put_back_where_it_was() {
    let (_folder, host) = machine(&[]);
    fake::round_trip(&kernel_threads::KERNEL_THREADS, &host, &KnobTarget::Host, HOUSEKEEPING);
    fake::round_trip(&kernel_threads::RCU_THREADS, &host, &KnobTarget::Host, HOUSEKEEPING);
    let Value::PerPart(parts) = fake::value(&kernel_threads::KERNEL_THREADS, &host, &KnobTarget::Host) else {
        panic!("threads have a value each");
    };
    let threads: Vec<&str> = parts.keys().map(String::as_str).collect();
    assert_eq!(threads, ["14@140", "18@180", "2@20"], "neither bound ones, nor those of interrupts, nor processes");
}

#[test]
fn a_thread_that_ended_is_no_difference_and_a_new_one_with_its_number_is_not_touched() {
    let (folder, host) = machine(&[]);
    let knob = &kernel_threads::KERNEL_THREADS;
    let before = fake::value(knob, &host, &KnobTarget::Host);
    knob.write(&host, &KnobTarget::Host, &ValueKind::Cpus.parse("0").expect("CPUs")).expect("write");
    let reborn = stat(18, "kworker", 0x0020_0000).replace(" 180 ", " 999 ");
    fake::put(folder.path(), "/proc/18/stat", &reborn);
    knob.write(&host, &KnobTarget::Host, &before).expect("write");
    let now = fake::value(knob, &host, &KnobTarget::Host);
    assert!(knob.matches(&now, &before));
    let Value::PerPart(parts) = now else { panic!("threads have a value each") };
    assert_eq!(parts["18@999"].to_string(), "0", "where the write before left it");
}

#[test]
fn workqueues_and_systemd_are_set_and_put_back() {
    let queue = "/sys/devices/virtual/workqueue";
    let files = [
        (format!("{queue}/cpumask"), "f\n"),
        (format!("{queue}/writeback/cpumask"), "f\n"),
        ("/etc/systemd/system.conf".to_owned(), "[Manager]\n#CPUAffinity=\n"),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let (folder, host) = machine(&files);
    for knob in KNOBS.iter().filter(|knob| knob.spec().id.contains("cpumask")) {
        fake::round_trip(*knob, &host, &KnobTarget::Host, HOUSEKEEPING);
    }
    // The kernel reads the mask as hexadecimal: bit 0 and bit 1.
    let one = KNOBS.iter().find(|knob| knob.spec().id == "isolation.workqueue").expect("the knob");
    let writeback = KnobTarget::Name("writeback".to_owned());
    let before = fake::apply(*one, &host, &writeback, HOUSEKEEPING);
    let mask = || host.root.read(&format!("{queue}/writeback/cpumask")).expect("the mask");
    assert_eq!(mask(), "3");
    one.restore(&host, &writeback, &before).expect("back");
    assert_eq!(mask(), "f");
    fake::round_trip(&systemd_affinity::SystemdAffinity, &host, &KnobTarget::Host, HOUSEKEEPING);
    assert!(!folder.path().join("etc/systemd/system.conf.d/99-quell.conf").exists());
}

#[test]
fn what_systemd_was_told_by_the_user_is_read_and_overruled_not_added_to() {
    let (folder, host) = machine(&[("/etc/systemd/system.conf.d/10-site.conf", "[Manager]\nCPUAffinity=0 1-2\n")]);
    assert_eq!(fake::value(&systemd_affinity::SystemdAffinity, &host, &KnobTarget::Host).to_string(), "0-2");
    fake::round_trip(&systemd_affinity::SystemdAffinity, &host, &KnobTarget::Host, "0");
    let own = folder.path().join("etc/systemd/system.conf.d/99-quell.conf");
    systemd_affinity::SystemdAffinity
        .write(&host, &KnobTarget::Host, &ValueKind::Cpus.parse("0").expect("CPUs"))
        .expect("write");
    let text = fs::read_to_string(own).expect("the file");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, ["[Manager]", "CPUAffinity=", "CPUAffinity=0"], "assignments outside a section are ignored");
}

#[test]
fn what_systemd_runs_with_is_what_its_process_may_use() {
    let status = ("/proc/1/status", "Name:\tsystemd\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n");
    let (_folder, host) = machine(&[status, ("/run/systemd/system/.keep", "")]);
    let running = |cpus| {
        <dyn Knob>::activation(
            &systemd_affinity::SystemdAffinity,
            &host,
            &KnobTarget::Host,
            &ValueKind::Cpus.parse(cpus).expect("CPUs"),
        )
    };
    let now = ValueKind::Cpus.parse("0-3").expect("CPUs");
    assert_eq!(running("0-3").expect("an answer"), Activation::Active);
    assert_eq!(running("0-1").expect("an answer"), Activation::Inactive { running: now });
    let (_folder, other) = machine(&[status]);
    let desired = ValueKind::Cpus.parse("0-1").expect("CPUs");
    let elsewhere = <dyn Knob>::activation(&systemd_affinity::SystemdAffinity, &other, &KnobTarget::Host, &desired);
    assert_eq!(elsewhere.expect("an answer"), Activation::Active, "process 1 is not systemd");
}

#[test]
fn what_the_user_added_to_quells_file_stays() {
    let site = "/etc/systemd/system.conf.d/10-site.conf";
    let (folder, host) = machine(&[(site, "[Manager]\nCPUAffinity=0-1\n")]);
    let before = fake::apply(&systemd_affinity::SystemdAffinity, &host, &KnobTarget::Host, "0");
    let own = folder.path().join("etc/systemd/system.conf.d/99-quell.conf");
    let users = "[Manager]\nLogLevel=debug\n";
    fs::write(&own, format!("{users}{}", fs::read_to_string(&own).expect("read"))).expect("write");
    // The user removes the site configuration, which must not be restored.
    fs::remove_file(folder.path().join(site.trim_start_matches('/'))).expect("remove");
    systemd_affinity::SystemdAffinity
        .write(&host, &KnobTarget::Host, &ValueKind::Cpus.parse("1").expect("CPUs"))
        .expect("write");
    systemd_affinity::SystemdAffinity.restore(&host, &KnobTarget::Host, &before).expect("back");
    assert!(
        systemd_affinity::SystemdAffinity
            .matches(&fake::value(&systemd_affinity::SystemdAffinity, &host, &KnobTarget::Host), &before)
    );
    assert_eq!(fs::read_to_string(&own).expect("read"), users);
    fs::write(folder.path().join("etc/systemd/system.conf"), [0xff]).expect("bytes");
    assert!(matches!(systemd_affinity::SystemdAffinity.read(&host, &KnobTarget::Host), Err(KnobError::Read { .. })));
}

#[test]
fn a_process_whose_name_is_cut_in_a_character_leaves_out_no_kernel_thread() {
    let (folder, host) = machine(&[]);
    let threads = |knob: &kernel_threads::KernelThreads| {
        let survey = knob.survey(&host, &KnobTarget::Host).expect("a survey");
        let Reading::Value(Value::PerPart(parts)) = survey.reading else { panic!("{:?}", survey.reading) };
        (parts.into_keys().collect::<Vec<_>>(), survey.remarks)
    };
    let all = || (threads(&kernel_threads::KERNEL_THREADS), threads(&kernel_threads::RCU_THREADS));
    let before = all();
    assert!(before.0.0.len() >= 3 && before.1.0.len() == 1 && before.0.1.is_empty(), "{before:?}");
    let cut = stat(401, "NAME", 0).into_bytes();
    let at = cut.iter().position(|&byte| byte == b'N').expect("the name");
    fake::put(folder.path(), "/proc/401/stat", "");
    for name in [&b"\xc3"[..], b"\xff\xfe", b"a) R 2 (\xe2\x82"] {
        let stat = [&cut[..at], name, &cut[at + 4..]].concat();
        fs::write(folder.path().join("proc/401/stat"), stat).expect("a file");
        assert_eq!(all(), before, "{name:?}");
        irq_threads::save(&host).expect("those of interrupts are kept");
    }
    // A malformed stat file does not affect the other threads, and is reported as skipped.
    fs::write(folder.path().join("proc/401/stat"), "401").expect("a file");
    let (threads, remarks) = threads(&kernel_threads::KERNEL_THREADS);
    assert_eq!(threads, before.0.0);
    assert!(remarks.iter().any(|remark| remark.starts_with("thread 401 is skipped")), "{remarks:?}");
}
