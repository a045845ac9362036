//! Where interrupts go.

mod affinity;
mod balance;
mod queues;

use super::{Codec, FileKnob, Knob, KnobSpec, Lifetime, Risk, Stage};
use crate::tune::{Kind, Scope};

/// The family.
pub(super) static KNOBS: &[&dyn Knob] =
    &[&DEFAULT_AFFINITY, &affinity::Affinity, &queues::NicQueues, &balance::BannedCpus];

static DEFAULT_AFFINITY: FileKnob = FileKnob {
    spec: KnobSpec {
        id: "irq.default_affinity",
        doc: "The CPUs of interrupts that are made from now on, by a driver that loads or an interface that goes up with new \
              ones. Those that were given CPUs of their own keep them for as long as they are there.",
        source: "Documentation/core-api/irq/irq-affinity.rst",
        kind: Kind::Cpus,
        scope: Scope::Host,
        lifetime: Lifetime::Runtime,
        risk: Risk::Low,
        // After the channels, so that it is put back before them: a driver that makes its queues anew gives them what this is.
        stage: Stage::Setting,
        ..KnobSpec::RUNTIME
    },
    path: "/proc/irq/default_smp_affinity",
    codec: Codec::CpuMask,
};

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::tune::Target;
    use crate::tune::knob::fake;
    use crate::tune::knob::{KnobError, Reading};
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
    fn interrupts_are_set_and_put_back() {
        let (_folder, host) = machine();
        fake::round_trip(&DEFAULT_AFFINITY, &host, &Target::Host, "0-1");
        fake::round_trip(&affinity::Affinity, &host, &Target::Irq(Irq(30)), "0");
        fake::round_trip(&queues::NicQueues, &host, &Target::Nic("eth0".to_owned()), "0-1");
    }

    #[test]
    fn queues_are_spread_and_what_is_no_queue_is_left_alone() {
        let (_folder, host) = machine();
        let nic = Target::Nic("eth0".to_owned());
        let cpus = Kind::Cpus.parse("1-2").expect("CPUs");
        queues::NicQueues.write(&host, &nic, &cpus).expect("write");
        let of = |irq: u32| host.root.read(&format!("/proc/irq/{irq}/smp_affinity_list")).expect("read");
        assert_eq!([of(30), of(31), of(32), of(33)], ["0-3", "1", "2", "1"]);
    }

    #[test]
    fn queues_may_be_set_where_their_files_may_be_written_whatever_the_directory_is() {
        let (folder, host) = machine();
        let (knob, nic) = (&queues::NicQueues, Target::Nic("eth0".to_owned()));
        let mode = |path: &str, mode: u32| {
            fs::set_permissions(folder.path().join(path), fs::Permissions::from_mode(mode)).expect("chmod");
        };
        // As proc_mkdir makes it, fs/proc/generic.c.
        mode("proc/irq", 0o555);
        knob.changeable(&host, &nic).expect("the files may be written");
        mode("proc/irq", 0o755);
        fs::remove_dir_all(folder.path().join("proc/irq/31")).expect("gone");
        knob.changeable(&host, &nic).expect("the others may be written");
    }

    #[test]
    fn queues_of_network_interfaces_are_left_to_the_knob_that_spreads_them() {
        let (_folder, host) = machine();
        assert_eq!(affinity::Affinity.targets(&host), [Target::Irq(Irq(30)), Target::Irq(Irq(40))]);
    }

    #[test]
    fn an_interrupt_whose_number_went_to_another_device_has_ended() {
        let (folder, host) = machine();
        fake::put(folder.path(), "/proc/irq/30/mlx5_async0/.keep", "");
        let (knob, irq) = (&affinity::Affinity, Target::Irq(Irq(30)));
        let before = fake::apply(knob, &host, &irq, "0");
        fs::rename(folder.path().join("proc/irq/30/mlx5_async0"), folder.path().join("proc/irq/30/ahci"))
            .expect("other");
        match knob.read_back(&host, &irq, &before) {
            Ok(Reading::Absent(why)) => assert!(why.contains("now that of ahci"), "{why}"),
            other => panic!("{other:?}"),
        }
        assert!(knob.may_end());
        assert!(matches!(knob.restore(&host, &irq, &before), Err(KnobError::Impossible { .. })));
        assert_eq!(host.root.read("/proc/irq/30/smp_affinity_list").expect("read"), "0", "another's is left alone");
    }

    #[test]
    fn an_interrupt_is_known_by_its_chip_and_its_number_there_whoever_handles_it() {
        let (folder, host) = machine();
        let chip = |name: &str, number: &str| {
            fake::put(folder.path(), "/sys/kernel/irq/30/chip_name", &format!("{name}\n"));
            fake::put(folder.path(), "/sys/kernel/irq/30/hwirq", &format!("{number}\n"));
        };
        chip("PCI-MSIX-0000:ca:00.0", "3");
        fake::put(folder.path(), "/proc/irq/30/mlx5_async0/.keep", "");
        let (knob, irq) = (&affinity::Affinity, Target::Irq(Irq(30)));
        let before = fake::apply(knob, &host, &irq, "0");
        // The interface goes down: nobody handles it for now.
        fs::remove_dir_all(folder.path().join("proc/irq/30/mlx5_async0")).expect("the handler");
        let now = || knob.read_back(&host, &irq, &before).expect("a reading");
        assert!(now().value().is_some_and(|now| !knob.meets(now, &before)), "{:?}", now());
        for (name, number) in [("PCI-MSIX-0000:ca:00.0", "4"), ("PCI-MSIX-0000:cb:00.0", "3")] {
            chip(name, number);
            assert!(matches!(now(), Reading::Absent(why) if why.contains("now that of PCI-MSIX")), "{name} {number}");
            assert!(knob.restore(&host, &irq, &before).is_err(), "{name} {number}");
        }
        chip("PCI-MSIX-0000:ca:00.0", "3");
        knob.restore(&host, &irq, &before).expect("back");
        assert_eq!(host.root.read("/proc/irq/30/smp_affinity_list").expect("read"), "0-3");
    }

    #[test]
    fn queues_are_as_wanted_only_if_each_of_them_is() {
        let (_folder, host) = machine();
        let nic = Target::Nic("eth0".to_owned());
        let cpus = Kind::Cpus.parse("1-2").expect("CPUs");
        queues::NicQueues.write(&host, &nic, &cpus).expect("write");
        let met = || queues::NicQueues.meets(&fake::value(&queues::NicQueues, &host, &nic), &cpus);
        assert!(met());
        host.root.write("/proc/irq/32/smp_affinity_list", "3").expect("write");
        assert!(!met(), "one of three is elsewhere");
    }

    #[test]
    fn managed_interrupts_are_left_out_with_the_reason() {
        let (folder, host) = machine();
        let absent = |irq: u32| match affinity::Affinity.read(&host, &Target::Irq(Irq(irq))) {
            Ok(Reading::Absent(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(absent(40).contains("nvme0q1"), "{}", absent(40));
        let file = folder.path().join("proc/irq/30/smp_affinity_list");
        fs::set_permissions(file, fs::Permissions::from_mode(0o444)).expect("chmod");
        assert!(absent(30).contains("managed by the kernel"));
    }

    #[test]
    fn cpus_that_the_host_lacks_are_refused_before_anything_is_written() {
        let (_folder, host) = machine();
        let cpus = Kind::Cpus.parse("3-4").expect("CPUs");
        for (knob, target) in
            [(KNOBS[0], Target::Host), (KNOBS[1], Target::Irq(Irq(30))), (KNOBS[2], Target::Nic("eth0".to_owned()))]
        {
            let error = knob.normalize(&host, &target, &cpus).expect_err("there is no CPU 4");
            assert!(matches!(error, KnobError::Impossible { .. }), "{error}");
        }
    }

    #[test]
    fn irqbalance_leaves_alone_what_the_host_was_booted_to_leave_alone_too() {
        let (_folder, host) = fake::host(&[
            ("/etc/default/irqbalance", ""),
            ("/sys/devices/system/cpu/isolated", "1\n"),
            ("/sys/devices/system/cpu/nohz_full", "3\n"),
        ]);
        let normalized = |list: &str| {
            let cpus = Kind::Cpus.parse(list).expect("CPUs");
            balance::BannedCpus.normalize(&host, &Target::Host, &cpus).expect("possible").to_string()
        };
        assert_eq!(normalized("2"), "1-3");
        assert_eq!(normalized(""), "(none)", "then irqbalance does so by itself");
        fake::round_trip(&balance::BannedCpus, &host, &Target::Host, "2");
    }

    #[test]
    fn a_mask_of_irqbalance_counts_before_a_list_and_stops_it() {
        let (_folder, host) = fake::host(&[("/etc/default/irqbalance", "IRQBALANCE_BANNED_CPUS=\"c\"\n")]);
        assert_eq!(fake::value(&balance::BannedCpus, &host, &Target::Host).to_string(), "2-3");
        let normalize =
            |list: &str| balance::BannedCpus.normalize(&host, &Target::Host, &Kind::Cpus.parse(list).expect("CPUs"));
        assert!(matches!(normalize("3"), Err(KnobError::Impossible { .. })));
        assert!(normalize("2-3").is_ok());
        let (_folder, host) = fake::host(&[("/etc/default/irqbalance", "IRQBALANCE_BANNED_CPUS=\n")]);
        assert_eq!(fake::value(&balance::BannedCpus, &host, &Target::Host).to_string(), "(none)");
    }

    #[test]
    fn irqbalance_keeps_its_own_settings() {
        let own = "# Debian\nOPTIONS=\"--foreground\"\nIRQBALANCE_BANNED_CPULIST=3\n";
        let (folder, host) = fake::host(&[("/etc/default/irqbalance", own)]);
        assert_eq!(fake::value(&balance::BannedCpus, &host, &Target::Host).to_string(), "3");
        fake::round_trip(&balance::BannedCpus, &host, &Target::Host, "2-3");
        assert_eq!(fs::read_to_string(folder.path().join("etc/default/irqbalance")).expect("read"), own);
        let (_folder, without) = fake::host(&[]);
        assert!(matches!(balance::BannedCpus.read(&without, &Target::Host), Ok(Reading::Absent(_))));
    }

    #[test]
    fn what_the_user_says_since_is_not_put_back_over() {
        for later in [None, Some(("/etc/default/irqbalance", "OPTIONS=\n"))] {
            let (folder, host) = fake::host(&[("/etc/sysconfig/irqbalance", "IRQBALANCE_BANNED_CPULIST=3\n")]);
            let before = fake::apply(&balance::BannedCpus, &host, &Target::Host, "2-3");
            let file = folder.path().join("etc/sysconfig/irqbalance");
            let now = fs::read_to_string(&file).expect("read").replacen("IRQBALANCE_BANNED_CPULIST=3\n", "", 1);
            fs::write(&file, now).expect("write");
            if let Some((path, text)) = later {
                // Another file comes first by now.
                fake::put(folder.path(), path, text);
            }
            assert!(!balance::BannedCpus.meets(&fake::value(&balance::BannedCpus, &host, &Target::Host), &before));
            balance::BannedCpus.restore(&host, &Target::Host, &before).expect("back");
            assert!(balance::BannedCpus.meets(&fake::value(&balance::BannedCpus, &host, &Target::Host), &before));
            assert_eq!(fs::read_to_string(file).expect("read"), "");
        }
    }
}
