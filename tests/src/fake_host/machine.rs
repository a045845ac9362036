//! Builds the tree of a fake host from a description.

use std::fmt::Write as _;

use super::FakeHost;
use super::system::{self, Boots};
use super::tables::{ETHTOOL, FILES, SYSCTLS, UNITS};

/// The description of a host.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The CPU vendor, as CPUID returns it.
    pub vendor: &'static str,
    /// The kernel release.
    pub kernel: &'static str,
    /// The number of sockets. Each is a NUMA node.
    pub sockets: u32,
    /// The number of cores per socket.
    pub cores: u32,
    /// The number of threads per core. They are numbered as by most firmware: the first threads of all cores before the
    /// second threads.
    pub threads: u32,
    /// The number of cores that share a last-level cache.
    pub cores_per_cache: u32,
    /// Whether the host is a virtual machine.
    pub virtual_machine: bool,
    /// The frequency driver: its governors, energy preferences and frequencies.
    pub frequency: Option<Frequency>,
    /// The idle states: the name, and the exit latency in microseconds.
    pub idle: &'static [(&'static str, u32)],
    /// The network cards.
    pub cards: Vec<Card>,
    /// The handler names of interrupts that do not belong to network cards.
    pub interrupts: &'static [&'static str],
    /// The source of the kernel command line. Unless it is [`Boots::FromOutside`], the host also has systemd, and its kernel
    /// threads are visible.
    pub boots: Boots,
    /// Files that the host has in addition, or with other contents.
    pub files: Vec<(String, String)>,
}

/// A frequency driver.
#[derive(Clone, Copy, Debug)]
pub struct Frequency {
    /// The available governors. The first is active.
    pub governors: &'static str,
    /// The available energy preferences. The first is active.
    pub preferences: Option<&'static str>,
    /// The minimum and maximum frequency, in kHz.
    pub range: (u32, u32),
    /// The available frequencies; empty if every frequency in the range is available.
    pub table: &'static str,
}

/// A network card with one interface.
#[derive(Clone, Copy, Debug)]
pub struct Card {
    /// The name of the interface.
    pub name: &'static str,
    /// The name of the driver.
    pub driver: &'static str,
    /// The PCI address.
    pub address: &'static str,
    /// The NUMA node; -1 if unknown.
    pub node: i32,
    /// The number of pairs of receive and transmit queues.
    pub queues: u32,
    /// The speed of the link, in Mb/s; -1 if unknown.
    pub speed: i32,
    /// Whether the link is up.
    pub up: bool,
}

const CPU: &str = "/sys/devices/system/cpu";

impl Machine {
    /// Creates the tree of the host.
    #[must_use]
    pub fn build(&self) -> FakeHost {
        let host = FakeHost::new();
        let line = |path: &str, text: &str| host.put(path, format!("{text}\n"));
        for (name, value) in SYSCTLS {
            line(&format!("/proc/sys/{name}"), value);
        }
        for (path, value) in FILES {
            line(path, value);
        }
        for (unit, state, enabled) in UNITS {
            line(&format!("/run/quell-fake/units/{unit}/state"), state);
            line(&format!("/run/quell-fake/units/{unit}/enabled"), enabled);
        }
        line("/proc/sys/kernel/osrelease", self.kernel);
        line("/proc/cmdline", "BOOT_IMAGE=/boot/vmlinuz root=/dev/sda2 ro quiet");
        let hypervisor = if self.virtual_machine { " hypervisor" } else { "" };
        line("/proc/cpuinfo", &format!("processor\t: 0\nvendor_id\t: {}\nflags\t\t: fpu tsc{hypervisor}", self.vendor));
        host.put("/dev/cpu_dma_latency", 2_000_000_000_i32.to_ne_bytes());
        self.topology(&host);
        self.power(&host);
        self.memory(&host);
        self.interrupts_and_cards(&host);
        self.boots.build(&host, self.kernel);
        if self.boots != Boots::FromOutside {
            system::threads(&host, self.cpus());
        }
        for (path, text) in &self.files {
            line(path, text);
        }
        host
    }

    fn cpus(&self) -> u32 {
        self.sockets * self.cores * self.threads
    }

    /// The CPUs of a range of cores, as a list.
    fn list(&self, cores: std::ops::Range<u32>) -> String {
        let all = self.sockets * self.cores;
        let threads = (0..self.threads).map(|thread| {
            let (first, last) = (thread * all + cores.start, thread * all + cores.end - 1);
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        });
        threads.collect::<Vec<_>>().join(",")
    }

    /// All CPUs, as a mask.
    fn mask(&self) -> String {
        let words = (0..self.cpus().div_ceil(32)).rev().map(|word| match self.cpus() - word * 32 {
            32.. => "ffffffff".to_owned(),
            bits => format!("{:x}", (1u64 << bits) - 1),
        });
        words.collect::<Vec<_>>().join(",")
    }

    fn topology(&self, host: &FakeHost) {
        let line = |path: String, text: &str| host.put(&path, format!("{text}\n"));
        let all = format!("0-{}", self.cpus() - 1);
        for name in ["present", "online", "possible"] {
            line(format!("{CPU}/{name}"), &all);
        }
        line(format!("{CPU}/isolated"), "");
        line(format!("{CPU}/nohz_full"), " (null)");
        line(format!("{CPU}/smt/control"), if self.threads > 1 { "on" } else { "notsupported" });
        line("/proc/sys/kernel/watchdog_cpumask".to_owned(), &all);
        line("/sys/devices/virtual/workqueue/cpumask".to_owned(), &self.mask());
        line("/sys/devices/virtual/workqueue/writeback/cpumask".to_owned(), &self.mask());
        line("/sys/fs/cgroup/cpuset.cpus.effective".to_owned(), &all);
        for cpu in 0..self.cpus() {
            let core = cpu % (self.sockets * self.cores);
            let (socket, cache) = (core / self.cores, core / self.cores_per_cache);
            let directory = format!("{CPU}/cpu{cpu}");
            line(format!("{directory}/topology/physical_package_id"), &socket.to_string());
            line(format!("{directory}/topology/thread_siblings_list"), &self.list(core..core + 1));
            let socket_cores = socket * self.cores..(socket + 1) * self.cores;
            line(format!("{directory}/topology/core_siblings_list"), &self.list(socket_cores));
            let sharing = cache * self.cores_per_cache..(cache + 1) * self.cores_per_cache;
            line(format!("{directory}/cache/index3/shared_cpu_list"), &self.list(sharing));
            line(format!("{directory}/power/pm_qos_resume_latency_us"), "0");
        }
    }

    fn power(&self, host: &FakeHost) {
        let line = |path: String, text: &str| host.put(&path, format!("{text}\n"));
        for cpu in 0..self.cpus() {
            for (number, (name, latency)) in self.idle.iter().enumerate() {
                let directory = format!("{CPU}/cpu{cpu}/cpuidle/state{number}");
                line(format!("{directory}/name"), name);
                line(format!("{directory}/latency"), &latency.to_string());
                line(format!("{directory}/disable"), "0");
            }
            let Some(frequency) = self.frequency else { continue };
            let policy = format!("{CPU}/cpufreq/policy{cpu}");
            host.link(&format!("{CPU}/cpu{cpu}/cpufreq"), &format!("../cpufreq/policy{cpu}"));
            let (least, most) = frequency.range;
            for (name, number) in [("cpuinfo_min", least), ("cpuinfo_max", most), ("scaling_min", least)] {
                line(format!("{policy}/{name}_freq"), &number.to_string());
            }
            line(format!("{policy}/scaling_max_freq"), &most.to_string());
            let first = |words: &'static str| words.split(' ').next().unwrap_or_default();
            line(format!("{policy}/scaling_available_governors"), frequency.governors);
            line(format!("{policy}/scaling_governor"), first(frequency.governors));
            if !frequency.table.is_empty() {
                line(format!("{policy}/scaling_available_frequencies"), frequency.table);
            }
            if let Some(preferences) = frequency.preferences {
                line(format!("{policy}/energy_performance_available_preferences"), preferences);
                line(format!("{policy}/energy_performance_preference"), first(preferences));
            }
        }
    }

    fn memory(&self, host: &FakeHost) {
        for node in 0..self.sockets {
            let directory = format!("/sys/devices/system/node/node{node}");
            let cores = node * self.cores..(node + 1) * self.cores;
            host.put(&format!("{directory}/cpulist"), format!("{}\n", self.list(cores)));
            for size in [2048, 1_048_576] {
                host.put(&format!("{directory}/hugepages/hugepages-{size}kB/nr_hugepages"), "0\n");
            }
        }
    }

    /// Creates `/proc/interrupts`, `/proc/irq`, and the files of network cards in sysfs.
    fn interrupts_and_cards(&self, host: &FakeHost) {
        let columns: String = (0..self.cpus()).fold(String::new(), |mut line, cpu| {
            let _ = write!(line, " {:>10}", format!("CPU{cpu}"));
            line
        });
        let mut table = format!("    {columns}\n");
        let zeros = format!(" {:>10}", 0).repeat(self.cpus() as usize);
        let mut next = 24;
        let mut add = |controller: &str, action: &str| {
            let irq = next;
            next += 1;
            let _ = writeln!(table, "{irq:>4}:{zeros}  {controller}  {action}");
            let directory = format!("/proc/irq/{irq}");
            host.put(&format!("{directory}/smp_affinity"), format!("{}\n", self.mask()));
            let all = format!("0-{}\n", self.cpus() - 1);
            host.put(&format!("{directory}/smp_affinity_list"), &all);
            host.put(&format!("{directory}/effective_affinity_list"), "0\n");
            // The directory of the handler is empty.
            std::fs::create_dir_all(host.at(&format!("{directory}/{action}"))).expect("a folder");
            irq
        };
        for action in self.interrupts {
            add("PCI-MSIX-0000:00:1f.0   0-edge", action);
        }
        for card in &self.cards {
            let controller = format!("PCI-MSIX-{}   0-edge", card.address);
            let irqs: Vec<u32> = card.handlers().iter().map(|action| add(&controller, action)).collect();
            card.build(host, &irqs, &self.mask().replace(|digit: char| digit != ',', "0"));
        }
        host.put("/proc/irq/default_smp_affinity", format!("{}\n", self.mask()));
        // Directories made by proc_mkdir are not writable (fs/proc/generic.c): this one and the directory of each interrupt.
        for irq in 24..next {
            host.seal_directory(&format!("/proc/irq/{irq}"));
        }
        host.seal_directory("/proc/irq");
        table += "NMI: 0 Non-maskable interrupts\n";
        host.put("/proc/interrupts", table);
    }
}

impl Card {
    /// The names of its interrupt handlers, as its driver chooses them.
    fn handlers(&self) -> Vec<String> {
        let queues = 0..self.queues;
        match self.driver {
            "mlx5_core" => {
                let control = format!("mlx5_async0@pci:{}", self.address);
                let queues = queues.map(|queue| format!("mlx5_comp{queue}@pci:{}", self.address));
                [control].into_iter().chain(queues).collect()
            }
            "virtio_net" => {
                let queues =
                    queues.flat_map(|queue| [format!("virtio0-input.{queue}"), format!("virtio0-output.{queue}")]);
                ["virtio0-config".to_owned()].into_iter().chain(queues).collect()
            }
            driver => queues.map(|queue| format!("{driver}-{}-TxRx-{queue}", self.name)).collect(),
        }
    }

    fn build(&self, host: &FakeHost, irqs: &[u32], no_cpus: &str) {
        let line = |path: String, text: &str| host.put(&path, format!("{text}\n"));
        let (name, address) = (self.name, self.address);
        let pci = format!("/sys/devices/pci{}/{address}", &address[..7]);
        let virtio = self.driver == "virtio_net";
        let (device, bus) = if virtio { (format!("{pci}/virtio0"), "virtio") } else { (pci.clone(), "pci") };
        let interface = format!("{device}/net/{name}");
        let up = "../".repeat(device.matches('/').count() - 2);
        host.link(&format!("{device}/driver"), &format!("{up}../bus/{bus}/drivers/{}", self.driver));
        host.put(&format!("/sys/bus/{bus}/drivers/{}/bind", self.driver), "");
        host.link(&format!("/sys/bus/pci/devices/{address}"), &format!("../../..{}", &pci["/sys".len()..]));
        host.link(&format!("/sys/class/net/{name}"), &format!("../..{}", &interface["/sys".len()..]));
        host.link(
            &format!("{interface}/device"),
            &format!("../../../{}", device.rsplit('/').next().unwrap_or_default()),
        );
        line(format!("{pci}/numa_node"), &self.node.to_string());
        line(format!("{pci}/power/control"), "on");
        for irq in irqs {
            line(format!("{pci}/msi_irqs/{irq}"), "msix");
        }
        line(format!("{interface}/operstate"), if self.up { "up" } else { "down" });
        // If the link is down, the speed is -1, or reading it fails with EINVAL (speed_show, net/core/net-sysfs.c).
        line(format!("{interface}/speed"), &if self.up { self.speed } else { -1 }.to_string());
        line(format!("{interface}/mtu"), "1500");
        line(format!("{interface}/tx_queue_len"), "1000");
        line(format!("{interface}/gro_flush_timeout"), "0");
        line(format!("{interface}/napi_defer_hard_irqs"), "0");
        line(format!("{interface}/threaded"), "0");
        let ethtool = format!("/run/quell-fake/ethtool/{name}");
        for (name, value) in ETHTOOL.iter().filter(|(driver, _)| *driver == self.driver).flat_map(|(_, values)| *values)
        {
            line(format!("{ethtool}/{name}"), value);
        }
        line(format!("{ethtool}/combined"), &self.queues.to_string());
        line(format!("{ethtool}/combined-max"), &self.queues.to_string());
        for queue in 0..self.queues {
            line(format!("{interface}/queues/rx-{queue}/rps_cpus"), no_cpus);
            line(format!("{interface}/queues/rx-{queue}/rps_flow_cnt"), "0");
            line(format!("{interface}/queues/tx-{queue}/xps_cpus"), no_cpus);
        }
    }
}
