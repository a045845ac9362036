//! The software of a fake host: boot loader, systemd, irqbalance and kernel threads.

use super::FakeHost;

/// The source of the kernel command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boots {
    /// Outside of the host, as for virtual machines and containers.
    FromOutside,
    /// GRUB, as configured on Debian.
    ByGrub,
    /// A boot loader entry for each kernel, as on Fedora.
    ByEntries,
}

const WORDS: &str = "root=UUID=6e1f0c5b-8a0c-4c1e-9d53-1b6f0c2d7e11 ro";
const GRUB: &str = "GRUB_DEFAULT=0
GRUB_TIMEOUT=5
GRUB_DISTRIBUTOR=`( . /etc/os-release && echo ${NAME} )`
GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"
GRUB_CMDLINE_LINUX=\"skew_tick=0\"";
const MACHINE: &str = "8c9d2f7b1a504e3b9c6f0d1e2a3b4c5d";

const PF_KTHREAD: u32 = 0x0020_0000;
const PF_NO_SETAFFINITY: u32 = 0x0400_0000;

impl Boots {
    pub(super) fn build(self, host: &FakeHost, kernel: &str) {
        let line = |path: &str, text: &str| host.put(path, format!("{text}\n"));
        match self {
            Self::FromOutside => return,
            Self::ByGrub => {
                line("/etc/default/grub", GRUB);
                line("/etc/default/grub.d/init-select.cfg", "GRUB_TIMEOUT_STYLE=menu");
                host.put("/usr/sbin/update-grub", "");
                line("/etc/default/irqbalance", "# Configuration for the irqbalance daemon\n#IRQBALANCE_ONESHOT=0");
            }
            Self::ByEntries => {
                for version in [kernel, "6.1.9-200.fc37.x86_64"] {
                    line(
                        &format!("/boot/loader/entries/{MACHINE}-{version}.conf"),
                        &format!(
                            "title Fedora Linux ({version}) 37 (Server Edition)\nversion {version}\nlinux /vmlinuz-{version}\n\
                             initrd /initramfs-{version}.img\noptions {WORDS} rhgb quiet\ngrub_users $grub_users\n\
                             grub_arg --unrestricted\ngrub_class fedora"
                        ),
                    );
                }
                line("/etc/kernel/cmdline", &format!("{WORDS} rhgb quiet"));
                line("/etc/default/grub", "GRUB_ENABLE_BLSCFG=true\nGRUB_CMDLINE_LINUX=\"rhgb quiet\"");
                host.put("/usr/sbin/grub2-mkconfig", "");
                line(
                    "/etc/sysconfig/irqbalance",
                    "# irqbalance is a daemon process that distributes interrupt load\n#IRQBALANCE_ARGS=",
                );
            }
        }
        host.put("/usr/sbin/irqbalance", "");
        host.put("/run/systemd/system/.keep", "");
        line("/etc/systemd/system.conf", "[Manager]\n#LogLevel=info\n#CPUAffinity=");
        line("/etc/systemd/system.conf.d/10-limits.conf", "[Manager]\nDefaultLimitNOFILE=65536");
    }
}

/// Creates the threads of a kernel that was built with RCU_NOCB_CPU_DEFAULT_ALL, for this number of CPUs, and the first
/// process. Some of the threads are bound to a CPU.
pub(super) fn threads(host: &FakeHost, cpus: u32) {
    let all = format!("0-{}", cpus - 1);
    let mut next = 2;
    let mut add = |name: &str, flags: u32, allowed: &str| {
        let tid = next;
        next += 1;
        thread(host, tid, name, 2, flags, allowed);
    };
    for name in ["kthreadd", "rcu_preempt", "khungtaskd", "kcompactd0", "ksmd", "kauditd", "oom_reaper"] {
        add(name, PF_KTHREAD, &all);
    }
    for cpu in 0..cpus {
        for name in ["cpuhp", "migration", "ksoftirqd"] {
            add(&format!("{name}/{cpu}"), PF_KTHREAD | PF_NO_SETAFFINITY, &cpu.to_string());
        }
        add(&format!("kworker/{cpu}:0-events"), PF_KTHREAD | PF_NO_SETAFFINITY, &cpu.to_string());
        add(&format!("rcuop/{cpu}"), PF_KTHREAD, &all);
        if cpu % 8 == 0 {
            add(&format!("rcuog/{cpu}"), PF_KTHREAD, &all);
        }
    }
    add("kworker/u448:1-events_unbound", PF_KTHREAD | PF_NO_SETAFFINITY, &all);
    thread(host, 1, "systemd", 0, 0, &all);
}

fn thread(host: &FakeHost, tid: u32, name: &str, parent: u32, flags: u32, allowed: &str) {
    // The threads start at intervals of one tick.
    let stat = format!("{tid} ({name}) S {parent} 0 0 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0 0\n", 10 + tid);
    host.put(&format!("/proc/{tid}/stat"), stat);
    host.put(&format!("/proc/{tid}/cgroup"), "0::/\n");
    host.put(
        &format!("/proc/{tid}/status"),
        format!("Name:\t{name}\nUid:\t0\t0\t0\t0\nCpus_allowed_list:\t{allowed}\n"),
    );
}
