//! The fake hosts for which tests create plans.

use super::FakeHost;
use super::machine::{Card, Frequency, Machine};
use super::system::Boots;

const DISKS: &[&str] = &["ahci[0000:00:17.0]", "nvme0q0", "nvme0q1", "nvme0q2", "xhci_hcd"];

fn own(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

/// The scheduler's debugfs files of Linux 6.12, for this number of CPUs.
fn scheduler(cpus: u32) -> Vec<(String, String)> {
    let server = |cpu| (format!("/sys/kernel/debug/sched/fair_server/cpu{cpu}/runtime"), "50000000".to_owned());
    let slice = ("/sys/kernel/debug/sched/base_slice_ns".to_owned(), "2800000".to_owned());
    (0..cpus).map(server).chain([slice]).collect()
}

/// The files with the energy bias of each CPU.
fn energy_bias(cpus: u32) -> Vec<(String, String)> {
    (0..cpus).map(|cpu| (format!("/sys/devices/system/cpu/cpu{cpu}/power/energy_perf_bias"), "6".to_owned())).collect()
}

/// Two sockets of 28 cores with SMT, and intel_pstate. Two mlx5 interfaces on the second socket, of which one has a carrier,
/// and the on-board card on the first socket. Debian with GRUB. Kernel 6.12.
#[must_use]
pub fn two_socket_intel() -> FakeHost {
    let pstate = "/sys/devices/system/cpu/intel_pstate";
    let uncore = "/sys/devices/system/cpu/intel_uncore_frequency";
    let mut files = [scheduler(112), energy_bias(112)].concat();
    files.push(("/sys/devices/system/machinecheck/machinecheck0/ignore_ce".to_owned(), "0".to_owned()));
    for (name, value) in [("min_perf_pct", "21"), ("max_perf_pct", "100"), ("no_turbo", "0"), ("status", "active")] {
        files.push((format!("{pstate}/{name}"), value.to_owned()));
    }
    for die in ["package_00_die_00", "package_01_die_00"] {
        for (name, value) in
            [("min", "800000"), ("max", "2400000"), ("initial_min", "800000"), ("initial_max", "2400000")]
        {
            files.push((format!("{uncore}/{die}/{name}_freq_khz"), value.to_owned()));
        }
    }
    Machine {
        vendor: "GenuineIntel",
        kernel: "6.12.9",
        sockets: 2,
        cores: 28,
        threads: 2,
        cores_per_cache: 28,
        virtual_machine: false,
        frequency: Some(Frequency {
            governors: "powersave performance",
            preferences: Some("balance_performance default performance balance_power power"),
            range: (800_000, 3_700_000),
            table: "",
        }),
        idle: &[("POLL", 0), ("C1", 2), ("C1E", 10), ("C6", 170)],
        cards: vec![
            Card { name: "eno1", driver: "igb", address: "0000:3a:00.0", node: 0, queues: 4, speed: 1_000, up: true },
            Card {
                name: "ens1f0",
                driver: "mlx5_core",
                address: "0000:ca:00.0",
                node: 1,
                queues: 28,
                speed: 100_000,
                up: true,
            },
            Card {
                name: "ens1f1",
                driver: "mlx5_core",
                address: "0000:ca:00.1",
                node: 1,
                queues: 28,
                speed: 100_000,
                up: false,
            },
        ],
        interrupts: DISKS,
        boots: Boots::ByGrub,
        files,
    }
    .build()
}

/// One socket of 64 cores with SMT, in eight dies with one last-level cache each, and acpi-cpufreq. Fedora with boot loader
/// entries. Kernel 6.1.
#[must_use]
pub fn amd_with_eight_dies() -> FakeHost {
    Machine {
        vendor: "AuthenticAMD",
        kernel: "6.1.18-200.fc37.x86_64",
        sockets: 1,
        cores: 64,
        threads: 2,
        cores_per_cache: 8,
        virtual_machine: false,
        frequency: Some(Frequency {
            governors: "schedutil conservative ondemand userspace powersave performance",
            preferences: None,
            range: (1_500_000, 2_450_000),
            table: "2450000 2000000 1500000",
        }),
        idle: &[("POLL", 0), ("C1", 1), ("C2", 800)],
        cards: vec![Card {
            name: "enp65s0",
            driver: "mlx5_core",
            address: "0000:41:00.0",
            node: 0,
            queues: 63,
            speed: 100_000,
            up: true,
        }],
        interrupts: DISKS,
        boots: Boots::ByEntries,
        files: own(&[
            ("/sys/devices/system/cpu/cpufreq/boost", "1"),
            ("/sys/devices/system/machinecheck/machinecheck0/ignore_ce", "0"),
        ]),
    }
    .build()
}

fn two_cpus(kernel: &'static str) -> Machine {
    Machine {
        vendor: "GenuineIntel",
        kernel,
        sockets: 1,
        cores: 2,
        threads: 1,
        cores_per_cache: 2,
        virtual_machine: true,
        frequency: None,
        idle: &[],
        cards: vec![Card {
            name: "eth0",
            driver: "virtio_net",
            address: "0000:00:03.0",
            node: -1,
            queues: 2,
            speed: -1,
            up: true,
        }],
        interrupts: &["ata_piix"],
        boots: Boots::FromOutside,
        // There are no performance counters, so the NMI watchdog is off.
        files: own(&[("/proc/sys/kernel/nmi_watchdog", "0"), ("/proc/sys/kernel/numa_balancing", "0")]),
    }
}

/// A virtual machine with two CPUs and a virtio card. Kernel 6.18.
#[must_use]
pub fn small_vm() -> FakeHost {
    two_cpus("6.18.15+deb13-amd64").build()
}

/// A container on a virtual machine like [`small_vm`]. It has a network interface without a device, no debugfs and no systemd
/// units, and may not change the files that it sees: use [`FakeHost::sealed`]. Kernel 6.8.
#[must_use]
pub fn container() -> FakeHost {
    let mut machine = two_cpus("6.8.0-40-generic");
    machine.cards.clear();
    machine.files.extend(own(&[("/run/.containerenv", ""), ("/sys/class/net/lo/operstate", "unknown")]));
    let host = machine.build();
    for absent in ["run/quell-fake", "dev"] {
        std::fs::remove_dir_all(host.at(absent)).expect("a folder");
    }
    host
}

/// Two sockets with 256 CPUs in total, and a card with 128 queues, to measure the time for planning.
#[must_use]
pub fn large() -> FakeHost {
    let mut files = [scheduler(256), energy_bias(256)].concat();
    files.push(("/sys/devices/system/machinecheck/machinecheck0/ignore_ce".to_owned(), "0".to_owned()));
    Machine {
        vendor: "AuthenticAMD",
        kernel: "6.18.2",
        sockets: 2,
        cores: 64,
        threads: 2,
        cores_per_cache: 8,
        virtual_machine: false,
        frequency: Some(Frequency {
            governors: "powersave performance",
            preferences: Some("balance_performance default performance balance_power power"),
            range: (1_500_000, 3_700_000),
            table: "",
        }),
        idle: &[("POLL", 0), ("C1", 1), ("C2", 800)],
        cards: vec![Card {
            name: "enp65s0",
            driver: "mlx5_core",
            address: "0000:41:00.0",
            node: 1,
            queues: 128,
            speed: 100_000,
            up: true,
        }],
        interrupts: DISKS,
        boots: Boots::FromOutside,
        files,
    }
    .build()
}
