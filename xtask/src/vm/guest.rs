//! A guest: what it has, and QEMU's words for it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::accelerator::Accelerator;
use super::kernel::Kernel;
use super::{disk, power, tools};
use crate::machine::{Init, Machine, Power};

/// What a guest has, beside its kernel.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    pub(super) machine: &'static str,
    pub(super) cpus: u32,
    /// Of a core.
    pub(super) threads: u32,
    pub(super) nodes: u32,
    /// All of it.
    pub(super) command_line: String,
    pub(super) nics: Vec<String>,
    power: Option<Power>,
    pub(super) init: Init,
}

/// What every guest is started with: not to wait for entropy, nor for a watchdog that TCG's clock may set off. Without page tables
/// of their own for user space (`mitigations=off`, 5.2): TCG would empty its TLB at each system call, a third of the time.
const COMMAND_LINE: &str = "console=ttyS0 panic=-1 oops=panic tsc=reliable random.trust_cpu=on mitigations=off";

/// Memory of a guest with one node; each further node has half as much.
const MEMORY_MIB: u32 = 2048;

/// The file in the directory of a boot that a guest's console is written to.
pub(super) const CONSOLE: &str = "console";

/// Who reads the guest's console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Console {
    /// The file [`CONSOLE`].
    File,
    /// The terminal that this runs on.
    Terminal,
}

impl Guest {
    /// The guest that a machine describes.
    pub(super) fn of(machine: &Machine) -> Self {
        Self {
            machine: machine.name,
            cpus: machine.cpus,
            threads: machine.threads,
            nodes: machine.nodes,
            command_line: format!("{COMMAND_LINE} {}", machine.command_line),
            nics: machine.nics.iter().map(|&nic| nic.to_owned()).collect(),
            power: machine.power,
            init: machine.init,
        }
    }

    /// Whether it has devices that need drivers beside those of every guest.
    pub(super) fn has_devices(&self) -> bool {
        !self.nics.is_empty()
    }

    /// Modules that no device asks for.
    pub(super) fn modules(&self) -> &'static [&'static str] {
        match self.power {
            Some(Power::FrequenciesAndIdleStates) => &["acpi_cpufreq"],
            None => &[],
        }
    }

    /// The command that boots it with the files of `dir`, which is also its job directory.
    pub(super) fn command(
        &self,
        kernel: &Kernel,
        accelerator: Accelerator,
        dir: &Path,
        console: Console,
    ) -> Result<Command> {
        let disk = disk::of(dir);
        // Whatever ends this process, kill -9 too, ends QEMU.
        let mut command = if self.nics.is_empty() { tools::command("setpriv") } else { private_network()? };
        command.args(["--pdeathsig", "KILL"]);
        command.arg("qemu-system-x86_64").args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.args(["-machine", "q35", "-smp", &self.topology()]).args(accelerator.arguments());
        command.arg("-kernel").arg(kernel.vmlinux()).arg("-initrd").arg(dir.join("initramfs"));
        command.args(["-append", &self.command_line]);
        match console {
            Console::File => command.arg("-serial").arg(format!("file:{}", dir.join(CONSOLE).display())),
            Console::Terminal => command.args(["-serial", "mon:stdio"]),
        };
        for (tag, path, writing) in
            [("root", Path::new("/"), "readonly=on,multidevs=remap"), ("job", dir, "readonly=off")]
        {
            command.arg("-fsdev").arg(format!("local,id={tag},path={},security_model=none,{writing}", path.display()));
            command.arg("-device").arg(format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
        }
        command.arg("-drive").arg(format!("file={},if=none,id=disk,format=raw,cache=unsafe", disk.display()));
        command.args(["-device", "virtio-blk-pci,drive=disk"]);
        command.args(self.memory()).args(self.network());
        if self.power.is_some() {
            power::table(self.cpus, dir)?;
            command.arg("-acpitable").arg(format!("file={}", dir.join("power.aml").display()));
        }
        Ok(command)
    }

    fn topology(&self) -> String {
        let cores = self.cpus / self.nodes / self.threads;
        format!("{},sockets={},cores={cores},threads={}", self.cpus, self.nodes, self.threads)
    }

    fn memory(&self) -> Vec<String> {
        if self.nodes == 1 {
            return vec!["-m".to_owned(), MEMORY_MIB.to_string()];
        }
        let each = MEMORY_MIB / 2;
        let mut words = vec!["-m".to_owned(), (each * self.nodes).to_string()];
        let cores = self.cpus / self.nodes;
        for node in 0..self.nodes {
            words.extend(["-object".to_owned(), format!("memory-backend-ram,id=memory{node},size={each}M")]);
            let (first, last) = (node * cores, (node + 1) * cores - 1);
            words.extend(["-numa".to_owned(), format!("node,nodeid={node},cpus={first}-{last},memdev=memory{node}")]);
        }
        for (from, to) in (0..self.nodes).flat_map(|from| (0..from).map(move |to| (from, to))) {
            words.extend(["-numa".to_owned(), format!("dist,src={from},dst={to},val=21")]);
        }
        words
    }

    /// Network cards, spread over the nodes, each with a TAP device for its other end.
    fn network(&self) -> Vec<String> {
        /// Bus numbers of a node's PCI host bridge begin here, and so far apart.
        const FIRST_BUS: usize = 0x40;
        let nodes = self.nodes as usize;
        let mut words = Vec::new();
        if nodes > 1 && !self.nics.is_empty() {
            for node in 0..nodes {
                let bus = FIRST_BUS * (node + 1);
                words.extend([
                    "-device".to_owned(),
                    format!("pxb-pcie,id=node{node},bus_nr={bus},numa_node={node},bus=pcie.0"),
                ]);
            }
        }
        for (index, nic) in self.nics.iter().enumerate() {
            let bus = if nodes > 1 { format!("node{}", index % nodes) } else { "pcie.0".to_owned() };
            words.extend([
                "-device".to_owned(),
                format!("pcie-root-port,id=port{index},bus={bus},chassis={}", index + 1),
            ]);
            // The only model whose queues are those of its other end.
            let (queues, options) = match nic.split(',').next() {
                Some("virtio-net-pci") => {
                    (format!(",queues={}", self.cpus), format!(",mq=on,vectors={},rss=on,hash=on", 2 * self.cpus + 2))
                }
                _ => (String::new(), String::new()),
            };
            let backend = format!("tap,id=net{index},ifname=guest{index},script=no,downscript=no{queues}");
            words.extend(["-netdev".to_owned(), backend]);
            // Nobody boots from it: without the option ROMs, which are a package of their own.
            words.extend(["-device".to_owned(), format!("{nic},romfile=,netdev=net{index},bus=port{index}{options}")]);
        }
        words
    }
}

/// A command that runs in a network of its own, up to `setpriv`: QEMU makes the other ends of network cards there.
fn private_network() -> Result<Command> {
    let own = fs::metadata("/proc/self").context("cannot tell who runs this")?;
    let mut command = tools::command("unshare");
    if own.uid() != 0 {
        command.arg("--map-root-user");
    }
    command.args(["--net", "--", "setpriv"]);
    Ok(command)
}
