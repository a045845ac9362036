//! Interrupt affinity.

mod affinity;
mod irqbalance;
mod nic_queues;
mod smp_affinity;

use crate::tune::knob::file_knob::FileKnob;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::spec::{KnobSpec, Stage};
use crate::tune::knob::value_file::{Codec, ValueFile};
use crate::tune::value::ValueKind;

/// The knobs of this family.
pub(super) static KNOBS: &[&dyn Knob] =
    &[&DEFAULT_AFFINITY, &affinity::IrqAffinity, &nic_queues::NicQueues, &irqbalance::BannedCpus];

static DEFAULT_AFFINITY: FileKnob = FileKnob {
    spec: KnobSpec {
        id: "irq.default_affinity",
        doc: "The CPUs of interrupts that are requested from now on, when a driver is loaded or an interface is brought up. Interrupts with \
              an explicit affinity keep it as long as they exist.",
        source: "Documentation/core-api/irq/irq-affinity.rst",
        kind: ValueKind::Cpus,
        // In a later stage than the channels of network interfaces, so that the rollback restores it first: a driver that
        // recreates its queues uses the default affinity.
        stage: Stage::Setting,
        ..KnobSpec::RUNTIME
    },
    file: ValueFile { path: "/proc/irq/default_smp_affinity", codec: Codec::CpuMask },
};

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::tune::knob::error::KnobError;
    use crate::tune::knob::fake;
    use crate::tune::knob::reading::Reading;
    use crate::tune::value::KnobTarget;
    use crate::units::Irq;

    const INTERRUPTS: &str = "           CPU0       CPU1       CPU2       CPU3
 30:          0          0          0          0 PCI-MSIX-0000:01:00.0   0-edge      mlx5_async0@pci:0000:01:00.0
 31:          9          0          0          0 PCI-MSIX-0000:01:00.0   1-edge      mlx5_comp0@pci:0000:01:00.0
 32:          9          0          0          0 PCI-MSIX-0000:01:00.0   2-edge      mlx5_comp1@pci:0000:01:00.0
 33:          9          0          0          0 PCI-MSIX-0000:01:00.0   3-edge      mlx5_comp2@pci:0000:01:00.0
 40:          9          0          0          0 PCI-MSIX-0000:02:00.0   1-edge      nvme0q1
NMI:          0          0          0          0   Non-maskable interrupts
";

    fn machine() -> (tempfile::TempDir, crate::host::Host) {
        fake::host(&[
            ("/proc/interrupts", INTERRUPTS),
            ("/proc/irq/default_smp_affinity", "f\n"),
            ("/proc/irq/30/smp_affinity_list", "0-3\n"),
            ("/proc/irq/31/smp_affinity_list", "0-1\n"),
            ("/proc/irq/32/smp_affinity_list", "3\n"),
            ("/proc/irq/33/smp_affinity_list", "0-3\n"),
            ("/proc/irq/40/smp_affinity_list", "0-3\n"),
            ("/proc/irq/40/nvme0q1/.keep", ""),
            ("/sys/class/net/eth0/device/msi_irqs/30", "msix\n"),
            ("/sys/class/net/eth0/device/msi_irqs/31", "msix\n"),
            ("/sys/class/net/eth0/device/msi_irqs/32", "msix\n"),
            ("/sys/class/net/eth0/device/msi_irqs/33", "msix\n"),
        ])
    }

    #[test]
    fn interrupts_are_set_and_restored() {
        let (_folder, host) = machine();
        fake::round_trip(&DEFAULT_AFFINITY, &host, &KnobTarget::Host, "0-1");
        fake::round_trip(&affinity::IrqAffinity, &host, &KnobTarget::Irq(Irq(30)), "0");
        fake::round_trip(&nic_queues::NicQueues, &host, &KnobTarget::Nic("eth0".to_owned()), "0-1");
    }

    #[test]
    fn queues_are_spread_and_other_interrupts_are_not_touched() {
        let (_folder, host) = machine();
        let nic = KnobTarget::Nic("eth0".to_owned());
        let cpus = ValueKind::Cpus.parse("1-2").expect("CPUs");
        nic_queues::NicQueues.write(&host, &nic, &cpus).expect("write");
        let of = |irq: u32| host.root.read(&format!("/proc/irq/{irq}/smp_affinity_list")).expect("read");
        assert_eq!([of(30), of(31), of(32), of(33)], ["0-3", "1", "2", "1"]);
    }

    #[test]
    fn queues_are_writable_if_their_files_are_whatever_the_mode_of_the_directory() {
        let (folder, host) = machine();
        let (knob, nic) = (&nic_queues::NicQueues, KnobTarget::Nic("eth0".to_owned()));
        let mode = |path: &str, mode: u32| {
            fs::set_permissions(folder.path().join(path), fs::Permissions::from_mode(mode)).expect("chmod");
        };
        // The mode that proc_mkdir uses, fs/proc/generic.c.
        mode("proc/irq", 0o555);
        knob.check_writable(&host, &nic).expect("the files are writable");
        mode("proc/irq", 0o755);
        fs::remove_dir_all(folder.path().join("proc/irq/31")).expect("removed");
        knob.check_writable(&host, &nic).expect("the others are writable");
    }

    #[test]
    fn queues_of_network_interfaces_belong_to_the_knob_that_spreads_them() {
        let (_folder, host) = machine();
        assert_eq!(affinity::IrqAffinity.targets(&host), [KnobTarget::Irq(Irq(30)), KnobTarget::Irq(Irq(40))]);
    }

    #[test]
    fn an_interrupt_whose_number_was_reused_has_ended() {
        let (folder, host) = machine();
        fake::put(folder.path(), "/proc/irq/30/mlx5_async0/.keep", "");
        let (knob, irq) = (&affinity::IrqAffinity, KnobTarget::Irq(Irq(30)));
        let before = fake::apply(knob, &host, &irq, "0");
        fs::rename(folder.path().join("proc/irq/30/mlx5_async0"), folder.path().join("proc/irq/30/ahci"))
            .expect("other");
        match knob.read_back(&host, &irq, &before) {
            Ok(Reading::Absent(why)) => assert!(why.contains("now belongs to ahci"), "{why}"),
            other => panic!("{other:?}"),
        }
        assert!(knob.spec().target_may_end);
        assert!(matches!(knob.restore(&host, &irq, &before), Err(KnobError::Impossible { .. })));
        assert_eq!(
            host.root.read("/proc/irq/30/smp_affinity_list").expect("read"),
            "0",
            "the interrupt of the other device is not touched"
        );
    }

    #[test]
    fn an_interrupt_is_identified_by_its_chip_and_hardware_number() {
        let (folder, host) = machine();
        let chip = |name: &str, number: &str| {
            fake::put(folder.path(), "/sys/kernel/irq/30/chip_name", &format!("{name}\n"));
            fake::put(folder.path(), "/sys/kernel/irq/30/hwirq", &format!("{number}\n"));
        };
        chip("PCI-MSIX-0000:ca:00.0", "3");
        fake::put(folder.path(), "/proc/irq/30/mlx5_async0/.keep", "");
        let (knob, irq) = (&affinity::IrqAffinity, KnobTarget::Irq(Irq(30)));
        let before = fake::apply(knob, &host, &irq, "0");
        // While the interface is down, the interrupt has no handler.
        fs::remove_dir_all(folder.path().join("proc/irq/30/mlx5_async0")).expect("the handler");
        let now = || knob.read_back(&host, &irq, &before).expect("a reading");
        assert!(now().value().is_some_and(|now| !knob.matches(now, &before)), "{:?}", now());
        for (name, number) in [("PCI-MSIX-0000:ca:00.0", "4"), ("PCI-MSIX-0000:cb:00.0", "3")] {
            chip(name, number);
            assert!(
                matches!(now(), Reading::Absent(why) if why.contains("now belongs to PCI-MSIX")),
                "{name} {number}"
            );
            assert!(knob.restore(&host, &irq, &before).is_err(), "{name} {number}");
        }
        chip("PCI-MSIX-0000:ca:00.0", "3");
        knob.restore(&host, &irq, &before).expect("back");
        assert_eq!(host.root.read("/proc/irq/30/smp_affinity_list").expect("read"), "0-3");
    }

    #[test]
    fn queues_are_as_wanted_only_if_each_of_them_is() {
        let (_folder, host) = machine();
        let nic = KnobTarget::Nic("eth0".to_owned());
        let cpus = ValueKind::Cpus.parse("1-2").expect("CPUs");
        nic_queues::NicQueues.write(&host, &nic, &cpus).expect("write");
        let matches = || nic_queues::NicQueues.matches(&fake::value(&nic_queues::NicQueues, &host, &nic), &cpus);
        assert!(matches());
        host.root.write("/proc/irq/32/smp_affinity_list", "3").expect("write");
        assert!(!matches(), "one of three differs");
    }

    #[test]
    fn managed_interrupts_are_absent_with_the_reason() {
        let (folder, host) = machine();
        let absent = |irq: u32| match affinity::IrqAffinity.read(&host, &KnobTarget::Irq(Irq(irq))) {
            Ok(Reading::Absent(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(absent(40).contains("nvme0q1"), "{}", absent(40));
        let file = folder.path().join("proc/irq/30/smp_affinity_list");
        fs::set_permissions(file, fs::Permissions::from_mode(0o444)).expect("chmod");
        assert!(absent(30).contains("managed by the kernel"));
    }

    #[test]
    fn absent_cpus_are_refused_before_anything_is_written() {
        let (_folder, host) = machine();
        let cpus = ValueKind::Cpus.parse("3-4").expect("CPUs");
        for (knob, target) in [
            (KNOBS[0], KnobTarget::Host),
            (KNOBS[1], KnobTarget::Irq(Irq(30))),
            (KNOBS[2], KnobTarget::Nic("eth0".to_owned())),
        ] {
            let error = knob.normalize(&host, &target, &cpus).expect_err("there is no CPU 4");
            assert!(matches!(error, KnobError::Impossible { .. }), "{error}");
        }
    }

    #[test]
    fn cpus_that_are_isolated_at_boot_are_banned_too() {
        let (_folder, host) = fake::host(&[
            ("/etc/default/irqbalance", ""),
            ("/sys/devices/system/cpu/isolated", "1\n"),
            ("/sys/devices/system/cpu/nohz_full", "3\n"),
        ]);
        let normalized = |list: &str| {
            let cpus = ValueKind::Cpus.parse(list).expect("CPUs");
            irqbalance::BannedCpus.normalize(&host, &KnobTarget::Host, &cpus).expect("possible").to_string()
        };
        assert_eq!(normalized("2"), "1-3");
        assert_eq!(normalized(""), "(none)", "then irqbalance adds them itself");
        fake::round_trip(&irqbalance::BannedCpus, &host, &KnobTarget::Host, "2");
    }

    #[test]
    fn a_mask_has_precedence_over_a_list() {
        let (_folder, host) = fake::host(&[("/etc/default/irqbalance", "IRQBALANCE_BANNED_CPUS=\"c\"\n")]);
        assert_eq!(fake::value(&irqbalance::BannedCpus, &host, &KnobTarget::Host).to_string(), "2-3");
        let normalize = |list: &str| {
            irqbalance::BannedCpus.normalize(&host, &KnobTarget::Host, &ValueKind::Cpus.parse(list).expect("CPUs"))
        };
        assert!(matches!(normalize("3"), Err(KnobError::Impossible { .. })));
        assert!(normalize("2-3").is_ok());
        let (_folder, host) = fake::host(&[("/etc/default/irqbalance", "IRQBALANCE_BANNED_CPUS=\n")]);
        assert_eq!(fake::value(&irqbalance::BannedCpus, &host, &KnobTarget::Host).to_string(), "(none)");
    }

    #[test]
    fn other_settings_of_irqbalance_are_preserved() {
        let own = "# Debian\nOPTIONS=\"--foreground\"\nIRQBALANCE_BANNED_CPULIST=3\n";
        let (folder, host) = fake::host(&[("/etc/default/irqbalance", own)]);
        assert_eq!(fake::value(&irqbalance::BannedCpus, &host, &KnobTarget::Host).to_string(), "3");
        fake::round_trip(&irqbalance::BannedCpus, &host, &KnobTarget::Host, "2-3");
        assert_eq!(fs::read_to_string(folder.path().join("etc/default/irqbalance")).expect("read"), own);
        let (_folder, without) = fake::host(&[]);
        assert!(matches!(irqbalance::BannedCpus.read(&without, &KnobTarget::Host), Ok(Reading::Absent(_))));
    }

    #[test]
    fn later_edits_of_others_are_preserved() {
        for later in [None, Some(("/etc/default/irqbalance", "OPTIONS=\n"))] {
            let (folder, host) = fake::host(&[("/etc/sysconfig/irqbalance", "IRQBALANCE_BANNED_CPULIST=3\n")]);
            let before = fake::apply(&irqbalance::BannedCpus, &host, &KnobTarget::Host, "2-3");
            let file = folder.path().join("etc/sysconfig/irqbalance");
            let now = fs::read_to_string(&file).expect("read").replacen("IRQBALANCE_BANNED_CPULIST=3\n", "", 1);
            fs::write(&file, now).expect("write");
            if let Some((path, text)) = later {
                // This file has precedence over the previous one.
                fake::put(folder.path(), path, text);
            }
            assert!(
                !irqbalance::BannedCpus
                    .matches(&fake::value(&irqbalance::BannedCpus, &host, &KnobTarget::Host), &before)
            );
            irqbalance::BannedCpus.restore(&host, &KnobTarget::Host, &before).expect("back");
            assert!(
                irqbalance::BannedCpus
                    .matches(&fake::value(&irqbalance::BannedCpus, &host, &KnobTarget::Host), &before)
            );
            assert_eq!(fs::read_to_string(file).expect("read"), "");
        }
    }
}
