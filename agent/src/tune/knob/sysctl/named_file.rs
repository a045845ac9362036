//! Knobs for files that a profile names.

use crate::excerpt;
use crate::host::Host;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::identity::{IdentityFn, sysctl_device, sysfs_device};
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::{Held, Reading};
use crate::tune::knob::spec::KnobSpec;
use crate::tune::knob::value_file::{bracketed, check_writable, read, write};
use crate::tune::value::{KnobTarget, Scope, Value, ValueKind};

/// A knob for the files below one directory.
pub(super) struct NamedFile {
    spec: KnobSpec,
    /// The directory that the files must be in.
    directory: &'static str,
    /// Returns the path of the file for a name.
    path: fn(&str) -> String,
    /// See [`Knob::identity`].
    identity: IdentityFn,
}

pub(super) static SYSCTL: NamedFile = NamedFile {
    spec: KnobSpec {
        id: "sysctl",
        doc: "A kernel parameter by its name such as `net.core.busy_poll`. A dot within a part is written as a slash, as in \
              `net.ipv4.conf.eth0/100.rp_filter`. quell does not know its effect and its risks.",
        source: "Documentation/admin-guide/sysctl/; man 5 sysctl.d",
        kind: ValueKind::Text,
        scope: Scope::Named,
        ..KnobSpec::RUNTIME
    },
    directory: "/proc/sys",
    path: sysctl_path,
    identity: |host, target| sysctl_device(host, &sysctl_path(target.name()?)),
};

pub(super) static SYSFS: NamedFile = NamedFile {
    spec: KnobSpec {
        id: "sysfs",
        doc: "A sysfs attribute by the path of its file below /sys. If the file lists all choices, the one in brackets is the value. quell \
              does not know its effect and its risks.",
        source: "Documentation/ABI/",
        kind: ValueKind::Text,
        scope: Scope::Named,
        ..KnobSpec::RUNTIME
    },
    directory: "/sys",
    path: str::to_owned,
    identity: |host, target| sysfs_device(host, target.name()?),
};

/// The file of a sysctl. As in sysctl(8), the first `.` or `/` is the path separator; the other character then represents a
/// dot.
fn sysctl_path(name: &str) -> String {
    let dots = name.find(['.', '/']).is_none_or(|at| name[at..].starts_with('.'));
    let path: String = match dots {
        true => name.chars().map(swap_separator).collect(),
        false => name.to_owned(),
    };
    format!("/proc/sys/{path}")
}

fn swap_separator(c: char) -> char {
    match c {
        '.' => '/',
        '/' => '.',
        other => other,
    }
}

impl NamedFile {
    /// The path of the file for a name; an error if the path leads out of the directory.
    fn checked_path(&self, host: &Host, target: &KnobTarget) -> Result<String, KnobError> {
        let elsewhere = || KnobError::WrongTarget { target: target.clone() };
        let KnobTarget::Name(name) = target else { return Err(elsewhere()) };
        let file = (self.path)(name);
        let below = file.strip_prefix(self.directory).and_then(|rest| rest.strip_prefix('/')).ok_or_else(elsewhere)?;
        if below.split('/').any(|part| part == ".." || part.is_empty()) {
            return Err(elsewhere());
        }
        // Links of the kernel stay within sysfs. A link that leads out of it was not created by the kernel.
        match (host.root.real_path(&file), host.root.real_path(self.directory)) {
            (Ok(real), Ok(below)) if !real.starts_with(&below) => Err(elsewhere()),
            _ => Ok(file),
        }
    }
}

impl Knob for NamedFile {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn file_path(&self, target: &KnobTarget) -> Option<String> {
        target.name().map(self.path)
    }

    fn read(&self, host: &Host, target: &KnobTarget) -> Result<Reading, KnobError> {
        let file = self.checked_path(host, target)?;
        Ok(match read(host, &file, &file)? {
            Ok(text) if text.contains('\n') => {
                let reason = "it has more than one line".to_owned();
                return Err(KnobError::Malformed { path: host.root.display_path(&file), reason });
            }
            Ok(text) => Reading::Value(Value::Text(choice(&text).unwrap_or_else(|| normalize_spaces(&text)))),
            Err(reason) => Reading::Absent(reason),
        })
    }

    fn normalize(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        let Value::Text(text) = value else { return Ok(value.clone()) };
        let known = self.checked_path(host, target).map(|file| host.root.read(&file).unwrap_or_default())?;
        let desired = normalize_spaces(text);
        if choice(&known).is_some() && bracketed(&known).all(|(choice, _)| choice != desired) {
            return Err(KnobError::Impossible {
                value: value.clone(),
                reason: format!("the choices are {}", excerpt::value(known)),
            });
        }
        Ok(Value::Text(desired))
    }

    fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        let file = self.checked_path(host, target)?;
        match value {
            Value::Text(text) => write(host, &file, text).map(|()| Held::Nothing),
            _ => Err(KnobError::WrongTarget { target: target.clone() }),
        }
    }

    fn identity(&self) -> Option<IdentityFn> {
        Some(self.identity)
    }

    fn check_writable(&self, host: &Host, target: &KnobTarget) -> Result<(), KnobError> {
        check_writable(host, &self.checked_path(host, target)?)
    }
}

/// The word in brackets, if a file lists all choices; it is the current choice.
fn choice(text: &str) -> Option<String> {
    let mut words = bracketed(text).filter_map(|(word, chosen)| chosen.then_some(word));
    match (words.next(), words.next()) {
        (Some(word), None) => Some(word.to_owned()),
        _ => None,
    }
}

/// The text with single spaces between words. The kernel separates words by tabs.
fn normalize_spaces(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;
    use std::fs;

    fn name(name: &str) -> KnobTarget {
        KnobTarget::Name(name.to_owned())
    }

    #[test]
    fn sysctls_have_the_names_of_sysctl_8() {
        for (name, file) in [
            ("vm.swappiness", "/proc/sys/vm/swappiness"),
            ("net.ipv4.conf.eth0/100.rp_filter", "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"),
            ("net/ipv4/conf/eth0.100/rp_filter", "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"),
        ] {
            assert_eq!(sysctl_path(name), file);
        }
    }

    #[test]
    fn numbers_choices_and_words_are_set_and_restored() {
        let (_folder, host) = fake::host(&[
            ("/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
            ("/sys/block/sda/queue/scheduler", "[none] mq-deadline kyber\n"),
        ]);
        fake::round_trip(&SYSCTL, &host, &name("net.ipv4.tcp_rmem"), "4096  87380 16777216");
        let scheduler = name("/sys/block/sda/queue/scheduler");
        assert_eq!(fake::value(&SYSFS, &host, &scheduler), Value::Text("none".to_owned()));
        let wrong = SYSFS.normalize(&host, &scheduler, &Value::Text("bfq".to_owned()));
        assert!(matches!(wrong, Err(KnobError::Impossible { .. })), "{wrong:?}");
    }

    /// Sets a knob, calls `change`, tries to restore the knob, and returns the error message.
    fn restored_after(
        knob: &dyn Knob,
        on: &str,
        desired: &str,
        folder: &std::path::Path,
        change: impl FnOnce(),
    ) -> String {
        let (host, target) = (fake::read(folder), name(on));
        let before = fake::apply(knob, &host, &target, desired);
        assert!(knob.is_satisfied(&fake::value(knob, &host, &target), &Value::Text(desired.to_owned())), "{on}");
        change();
        match knob.current_since(&host, &target, &before) {
            Ok(Reading::Value(now)) => {
                knob.roll_back(&host, &target, &before).expect("restored");
                assert!(knob.equals(&fake::value(knob, &host, &target), &before), "{on}");
                format!("it was {now}")
            }
            Ok(Reading::Absent(reason)) => {
                let refused = knob.roll_back(&host, &target, &before);
                assert!(matches!(refused, Err(KnobError::Impossible { .. })), "{refused:?}");
                reason
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_value_is_not_restored_on_another_device_of_the_same_name() {
        let first = "/sys/devices/pci0000:00/0000:00:17.0/ata1/block/sdb";
        let second = "/sys/devices/pci0000:00/0000:00:17.0/ata2/block/sdb";
        let machine = || {
            let (folder, _) = fake::host(&[
                (&format!("{first}/queue/scheduler"), "none\n"),
                (&format!("{first}/diskseq"), "7\n"),
                (&format!("{second}/queue/scheduler"), "bfq\n"),
                ("/sys/block/.keep", ""),
            ]);
            let link = folder.path().join("sys/block/sdb");
            std::os::unix::fs::symlink("../devices/pci0000:00/0000:00:17.0/ata1/block/sdb", &link).expect("a link");
            (folder, link)
        };
        let on = "/sys/block/sdb/queue/scheduler";
        let (folder, _) = machine();
        assert_eq!(restored_after(&SYSFS, on, "kyber", folder.path(), || {}), "it was kyber");
        let (folder, link) = machine();
        let why = restored_after(&SYSFS, on, "kyber", folder.path(), || {
            fs::remove_file(&link).expect("the link");
            std::os::unix::fs::symlink("../devices/pci0000:00/0000:00:17.0/ata2/block/sdb", &link).expect("a link");
        });
        assert!(why.contains("ata1") && why.contains("ata2"), "{why}");
        assert_eq!(fs::read_to_string(link.join("queue/scheduler")).expect("read"), "bfq\n");
        let (folder, _) = machine();
        // Now another disk is at the same path.
        let why = restored_after(&SYSFS, &format!("{first}/queue/scheduler"), "kyber", folder.path(), || {
            fake::put(folder.path(), &format!("{first}/diskseq"), "8\n");
        });
        assert!(why.contains("of disk 7") && why.contains("of disk 8"), "{why}");
    }

    #[test]
    fn a_sysctl_of_an_interface_belongs_to_its_card_and_any_other_to_the_host() {
        let (folder, host) = fake::host(&[
            ("/proc/sys/net/ipv4/conf/eth0/rp_filter", "0\n"),
            ("/proc/sys/net/ipv4/conf/all/rp_filter", "0\n"),
            ("/sys/class/net/eth0/.keep", ""),
        ]);
        let device = folder.path().join("sys/class/net/eth0/device");
        std::os::unix::fs::symlink("../../../0000:01:00.0", &device).expect("a link");
        let on = "net.ipv4.conf.eth0.rp_filter";
        assert_eq!(restored_after(&SYSCTL, on, "2", folder.path(), || {}), "it was 2");
        let why = restored_after(&SYSCTL, on, "2", folder.path(), || {
            fs::remove_file(&device).expect("the link");
            std::os::unix::fs::symlink("../../../0000:02:00.0", &device).expect("a link");
        });
        assert!(why.contains("0000:01:00.0") && why.contains("0000:02:00.0"), "{why}");
        assert_eq!(fake::value(&SYSCTL, &host, &name("net.ipv4.conf.all.rp_filter")), Value::Text("0".to_owned()));
    }

    /// Runs in a new network namespace of the test thread, which has its own sysctls.
    #[test]
    fn the_running_kernel_accepts_an_empty_original_value() {
        let in_namespace = || {
            if let Err(errno) = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET) {
                crate::skip!(&format!("permission to unshare namespaces ({errno})"));
            }
            let host = Host::read(crate::host::Root::host()).expect("this host");
            let ports = name("net.ipv4.ip_local_reserved_ports");
            assert_eq!(fake::value(&SYSCTL, &host, &ports), Value::Text(String::new()), "of a new namespace");
            fake::round_trip(&SYSCTL, &host, &ports, "8080");
        };
        std::thread::spawn(in_namespace).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let (folder, host) = fake::host(&[("/sys/class/x/a", "1\n"), ("/etc/passwd", "root\n")]);
        std::os::unix::fs::symlink("../../../etc/passwd", folder.path().join("sys/class/x/link")).expect("a link");
        for elsewhere in ["/etc/passwd", "/sys/../etc/passwd", "/sys", "/sys//class/x/a", "/sys/class/x/link", "sys/x"]
        {
            let read = SYSFS.read(&host, &name(elsewhere));
            assert!(matches!(read, Err(KnobError::WrongTarget { .. })), "{elsewhere}: {read:?}");
        }
        assert!(matches!(SYSCTL.read(&host, &name("../../etc/passwd")), Err(KnobError::WrongTarget { .. })));
        assert!(matches!(SYSFS.read(&host, &name("/sys/class/x/a")), Ok(Reading::Value(_))));
    }
}
