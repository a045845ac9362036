//! Tests of network knobs on a tree, and on interfaces of the running kernel in a separate network namespace.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use crate::host::{Host, Root};
use crate::needs;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::fake;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::Reading;
use crate::tune::value::KnobTarget;

fn knob(id: &str) -> &'static dyn Knob {
    let known = super::KNOBS.iter().copied().flatten().copied().find(|knob| knob.spec().id == id);
    known.unwrap_or_else(|| panic!("there is no {id}"))
}

fn eth0() -> KnobTarget {
    KnobTarget::Nic("eth0".to_owned())
}

fn machine() -> (tempfile::TempDir, Host) {
    let card = |name: &str, text: &str| (format!("/run/quell-fake/ethtool/eth0/{name}"), text.to_owned());
    let file = |name: &str, text: &str| (format!("/sys/class/net/eth0/{name}"), text.to_owned());
    let files = [
        card("rx-usecs", "50"),
        card("adaptive-rx", "on"),
        card("rx-ring", "1024"),
        card("rx-ring-max", "4096"),
        card("pause-rx", "on"),
        card("mtu", "1500"),
        card("rx-gro", "on"),
        card("tx-tcp-segmentation", "on"),
        card("tx-tcp6-segmentation", "off"),
        card("rss-queues", "4"),
        card("rss", "0 1 2 3 0 1 2 3"),
        card("flow-rules/.keep", ""),
        file("device/.keep", ""),
        file("gro_flush_timeout", "0"),
        file("threaded", "0"),
        file("queues/rx-0/rps_cpus", "0"),
        file("queues/rx-1/rps_cpus", "3"),
        file("queues/rx-0/rps_flow_cnt", "0"),
        file("queues/tx-0/xps_cpus", "0"),
        file("queues/tx-1/xps_cpus", "0"),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    fake::host(&files)
}

#[test]
fn rps_excludes_the_cpus_that_the_kernel_excludes() {
    let (folder, _) = machine();
    fake::put(folder.path(), "/sys/devices/system/cpu/isolated", "2\n");
    fake::put(folder.path(), "/sys/devices/system/cpu/nohz_full", "2-3\n");
    let (host, rps) = (fake::read(folder.path()), knob("net.rps_cpus"));
    let normalized = |list: &str| rps.normalize(&host, &eth0(), &rps.spec().kind.parse(list).expect("CPUs"));
    assert_eq!(normalized("0-3").expect("some remain").to_string(), "0-1");
    assert_eq!(normalized("").expect("none is possible").to_string(), "(none)");
    assert!(matches!(normalized("2-3"), Err(KnobError::Impossible { .. })));
}

#[test]
fn settings_of_a_card_are_set_and_restored() {
    let (_folder, host) = machine();
    for (id, desired) in [
        ("net.rx_usecs", "0"),
        ("net.adaptive_rx", "off"),
        ("net.ring_rx", "512"),
        ("net.pause_rx", "off"),
        ("net.mtu", "9000"),
        ("net.gro", "off"),
        ("net.tso", "off"),
        ("net.tso", "on"),
        ("net.rss_table", "equal 2"),
        ("net.rss_table", "queues 2 3"),
        ("net.gro_flush_timeout", "20000"),
        ("net.threaded", "on"),
        ("net.rps_cpus", "0-1"),
        ("net.rps_flow_cnt", "4096"),
        ("net.xps_cpus", "0-3"),
    ] {
        fake::round_trip(knob(id), &host, &eth0(), desired);
    }
    let named = |name: &str| KnobTarget::Name(format!("eth0:{name}"));
    fake::round_trip(knob("net.feature"), &host, &named("rx-gro"), "off");
    fake::round_trip(knob("net.flow_rule"), &host, &named("7"), "udp4 dst-port 5000 queue 3");
}

#[test]
fn unsupported_settings_are_absent_with_the_reason() {
    let (_folder, host) = machine();
    for (id, word) in [("net.tx_usecs", "tx-usecs"), ("net.lro", "rx-lro"), ("net.eee", "eee")] {
        match knob(id).current(&host, &eth0()) {
            Ok(Reading::Absent(why)) => assert!(why.contains(word), "{why}"),
            other => panic!("{id}: {other:?}"),
        }
    }
}

#[test]
fn a_queue_that_refuses_does_not_keep_the_others_from_being_restored() {
    let (folder, host) = machine();
    let rps = knob("net.rps_cpus");
    let before = fake::apply(rps, &host, &eth0(), "2");
    // A file that is readable but refuses writes: the thread siblings of a CPU of this machine.
    let (file, real) =
        ("/sys/class/net/eth0/queues/rx-0/rps_cpus", "/sys/devices/system/cpu/cpu0/topology/thread_siblings");
    fake::with_refusing(folder.path(), file, real, |host| {
        let error = rps.roll_back(host, &eth0(), &before).expect_err("rx-0 refuses").to_string();
        assert!(error.starts_with("1 of 2 could not be set") && error.contains("rx-0"), "{error}");
        assert_eq!(host.root.read("/sys/class/net/eth0/queues/rx-1/rps_cpus").expect("read"), "3");
        // Setting the value changes either all queues or none.
        let desired = rps.spec().kind.parse("3").expect("CPUs");
        rps.write(host, &eth0(), &desired).expect_err("rx-0 refuses");
        assert_eq!(host.root.read("/sys/class/net/eth0/queues/rx-1/rps_cpus").expect("read"), "3");
    });
}

#[test]
fn a_value_is_restored_on_its_card_only() {
    let (folder, host) = machine();
    let device = folder.path().join("sys/class/net/eth0/device");
    let card = |address: &str| {
        let _ = fs::remove_dir_all(&device);
        let _ = fs::remove_file(&device);
        fake::put(folder.path(), &format!("/sys/devices/{address}/.keep"), "");
        symlink(format!("../../../devices/{address}"), &device).expect("a link");
    };
    card("0000:ca:00.0");
    let usecs = knob("net.rx_usecs");
    let before = fake::apply(usecs, &host, &eth0(), "0");
    card("0000:ca:00.1");
    match usecs.current_since(&host, &eth0(), &before) {
        Ok(Reading::Absent(why)) => assert!(why.contains("ca:00.1, and was") && why.contains("ca:00.0"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(!usecs.equals(&fake::value(usecs, &host, &eth0()), &before));
    assert!(usecs.roll_back(&host, &eth0(), &before).is_err());
    assert_eq!(host.root.read("/run/quell-fake/ethtool/eth0/rx-usecs").expect("read"), "0");
    card("0000:ca:00.0");
    // Now the interface refers to another port of the same device.
    fake::put(folder.path(), "/sys/class/net/eth0/dev_port", "1\n");
    match usecs.current_since(&host, &eth0(), &before) {
        Ok(Reading::Absent(why)) => assert!(why.contains("0000:ca:00.0 port 1"), "{why}"),
        other => panic!("{other:?}"),
    }
    fake::put(folder.path(), "/sys/class/net/eth0/dev_port", "0\n");
    usecs.roll_back(&host, &eth0(), &before).expect("the original card");
    for (id, name) in [("net.feature", "eth0:rx-gro"), ("net.flow_rule", "eth0:7")] {
        let now = fake::value(knob(id), &host, &KnobTarget::Name(name.to_owned()));
        assert!(
            matches!(&now, crate::tune::value::Value::OnDevice { device, .. } if device.contains("0000:ca:00.0")),
            "{id}: {now:?}"
        );
    }
    assert_eq!(host.root.read("/run/quell-fake/ethtool/eth0/rx-usecs").expect("read"), "50");
}

#[test]
fn a_ring_above_the_maximum_is_impossible_and_the_maximum_is_reported() {
    let (_folder, host) = machine();
    let ring = knob("net.ring_rx");
    let desired = ring.spec().kind.parse("8192").expect("a number");
    let error = ring.normalize(&host, &eth0(), &desired).expect_err("it is too large");
    assert_eq!(error.to_string(), "8192 is not possible on this host: the maximum of the card is 4096");
}

#[test]
fn sending_cpus_are_dealt_to_the_queues() {
    let (_folder, host) = machine();
    let xps = knob("net.xps_cpus");
    let desired = xps.spec().kind.parse("0-3").expect("CPUs");
    xps.write(&host, &eth0(), &desired).expect("write");
    let of = |queue: &str| host.root.read(&format!("/sys/class/net/eth0/queues/{queue}/xps_cpus")).expect("read");
    assert_eq!([of("tx-0"), of("tx-1")], ["5", "a"]);
}

/// Calls `body` in new network and mount namespaces with a pair of interfaces, `left` and `right`, with four queues each. Without
/// the privilege or the program `ip` the test is skipped.
fn with_interfaces(body: impl FnOnce(&Host) + Send + 'static) {
    let run = |program: &str, arguments: &str| {
        let status = Command::new(program).args(arguments.split(' ')).output();
        status.is_ok_and(|output| output.status.success())
    };
    let test = std::any::type_name_of_val(&body);
    let in_namespace = move || {
        // The new namespaces apply only to this thread.
        if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS) {
            return needs::print_skipped(test, &format!("permission to unshare namespaces ({errno})"));
        }
        let made = run("mount", "--make-rprivate /")
            && run("mount", "-t sysfs sysfs /sys")
            && run(
                "ip",
                "link add left numrxqueues 4 numtxqueues 4 type veth peer name right numrxqueues 4 numtxqueues 4",
            );
        if made {
            body(&Host::read(Root::host()).expect("this host"));
        } else {
            needs::print_skipped(test, "permission to mount sysfs, the program `ip`, and the driver veth");
        }
    };
    std::thread::spawn(in_namespace).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn left() -> KnobTarget {
    KnobTarget::Nic("left".to_owned())
}

#[test]
fn the_running_kernel_accepts_settings_and_restores_them() {
    with_interfaces(|host| {
        for (id, desired) in [
            ("net.gro", "toggle"),
            ("net.gso", "toggle"),
            ("net.tso", "toggle"),
            ("net.sg", "toggle"),
            ("net.mtu", "1400"),
            ("net.channels_rx", "2"),
            ("net.gro_flush_timeout", "20000"),
            ("net.napi_defer_hard_irqs", "2"),
            ("net.tx_queue_len", "77"),
            ("net.rps_cpus", "0"),
            ("net.rps_flow_cnt", "64"),
        ] {
            let desired = match fake::value(knob(id), host, &left()) {
                _ if desired != "toggle" => desired,
                now if now.matches(&crate::tune::value::Value::Switch(true)) => "off",
                _ => "on",
            };
            fake::round_trip(knob(id), host, &left(), desired);
        }
        let name = KnobTarget::Name("left:tx-udp-segmentation".to_owned());
        fake::round_trip(knob("net.feature"), host, &name, "off");
    });
}

/// The state of a feature in `ethtool -k`, by its name there.
fn shown(feature: &str) -> Option<String> {
    let shown = Command::new("ethtool").args(["-k", "left"]).output().ok()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    shown.lines().find_map(|line| line.trim().strip_prefix(feature)?.strip_prefix(": ").map(str::to_owned))
}

#[test]
fn ethtool_shows_the_feature_that_was_set_and_no_other_change() {
    const FEATURES: [(&str, &str); 5] = [
        ("net.rx_vlan", "rx-vlan-offload"),
        ("net.tx_vlan", "tx-vlan-offload"),
        ("net.tx_checksum", "tx-checksum-ip-generic"),
        ("net.gro", "generic-receive-offload"),
        ("net.gso", "generic-segmentation-offload"),
    ];
    with_interfaces(|host| {
        if shown("rx-vlan-offload").is_none() {
            crate::skip!("the program `ethtool`");
        }
        let all = || FEATURES.map(|(_, name)| shown(name));
        let before = all();
        for (index, (id, name)) in FEATURES.iter().enumerate() {
            let on = before[index].as_deref() == Some("on");
            let kept = fake::apply(knob(id), host, &left(), if on { "off" } else { "on" });
            assert_eq!(shown(name).as_deref(), Some(if on { "off" } else { "on" }), "{id}");
            // Segmentation offloads depend on checksum offloads.
            let others = |index: &usize| FEATURES[*index].0 != *id && !FEATURES[*index].0.ends_with("gso");
            for other in (0..FEATURES.len()).filter(others) {
                assert_eq!(all()[other], before[other], "{id} is not {}", FEATURES[other].0);
            }
            knob(id).roll_back(host, &left(), &kept).expect("back");
            assert_eq!(all(), before, "{id}");
        }
    });
}

#[test]
fn the_running_kernel_reports_unsupported_settings() {
    with_interfaces(|host| {
        for (id, words) in [
            ("net.rx_usecs", "not support coalescing settings"),
            ("net.pause_rx", "not support pause frames"),
            ("net.eee", "not support energy-efficient Ethernet"),
            ("net.rss_table", "not support an RSS table"),
            ("net.ntuple", "rx-ntuple-filter fixed to off"),
        ] {
            match knob(id).current(host, &left()) {
                Ok(Reading::Absent(why)) => assert!(why.contains(words), "{why}"),
                other => panic!("{id}: {other:?}"),
            }
        }
        match knob("net.rx_usecs").read(host, &KnobTarget::Nic("nowhere".to_owned())) {
            Ok(Reading::Absent(why)) => assert!(why.contains("no network interface nowhere"), "{why}"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_refusal_includes_the_message_of_the_kernel() {
    with_interfaces(|host| {
        let combined = knob("net.channels_rx");
        let desired = crate::tune::value::Value::Integer(100);
        assert!(matches!(combined.normalize(host, &left(), &desired), Err(KnobError::Impossible { .. })));
        let error = combined.write(host, &left(), &desired).expect_err("there are four queues");
        assert!(matches!(error, KnobError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("requested channel count exceeds maximum"), "{error}");
        let error =
            knob("net.mtu").write(host, &left(), &crate::tune::value::Value::Integer(70000)).expect_err("too large");
        assert!(error.to_string().contains("mtu greater than device maximum"), "{error}");
    });
}
