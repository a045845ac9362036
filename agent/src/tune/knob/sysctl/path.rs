//! A value whose file the profile names.

use crate::excerpt;
use crate::host::Host;
use crate::tune::knob::file::{bracketed, changeable, read, write};
use crate::tune::knob::{Held, Knob, KnobError, KnobSpec, Reading};
use crate::tune::{Kind, Scope, Target, Value};

/// A file below one directory.
pub(super) struct Named {
    spec: KnobSpec,
    /// The directory that it may be in.
    below: &'static str,
    /// From a name to the file's path.
    file: fn(&str) -> String,
}

pub(super) static SYSCTL: Named = Named {
    spec: KnobSpec {
        id: "sysctl",
        doc: "A kernel parameter by its name, as in `net.core.busy_poll`. A dot within a part is written as a slash, as in \
              `net.ipv4.conf.eth0/100.rp_filter`. What it does, and what can go wrong, quell does not know.",
        source: "Documentation/admin-guide/sysctl/; man 5 sysctl.d",
        kind: Kind::Text,
        scope: Scope::Named,
        ..KnobSpec::RUNTIME
    },
    below: "/proc/sys",
    file: sysctl,
};

pub(super) static SYSFS: Named = Named {
    spec: KnobSpec {
        id: "sysfs",
        doc: "A value of a device or driver, by the path of its file below /sys. Where the file shows all choices, the one in \
              brackets is the value. What it does, and what can go wrong, quell does not know.",
        source: "Documentation/ABI/",
        kind: Kind::Text,
        scope: Scope::Named,
        ..KnobSpec::RUNTIME
    },
    below: "/sys",
    file: str::to_owned,
};

/// As sysctl(8) reads names: the first separator says which one it is, and the other stands for a dot in a part.
pub(crate) fn sysctl(name: &str) -> String {
    let dots = name.find(['.', '/']).is_none_or(|at| name[at..].starts_with('.'));
    let path: String = match dots {
        true => name
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        false => name.to_owned(),
    };
    format!("/proc/sys/{path}")
}

impl Named {
    /// The path of a name; an error for one that leads elsewhere.
    fn path(&self, host: &Host, target: &Target) -> Result<String, KnobError> {
        let elsewhere = || KnobError::Target { target: target.clone() };
        let Target::Name(name) = target else { return Err(elsewhere()) };
        let file = (self.file)(name);
        let below = file.strip_prefix(self.below).and_then(|rest| rest.strip_prefix('/')).ok_or_else(elsewhere)?;
        if below.split('/').any(|part| part == ".." || part.is_empty()) {
            return Err(elsewhere());
        }
        // Links in sysfs stay there; one that does not is not the kernel's.
        let real = |path: &str| host.root.real_path(path);
        match (real(&file), real(self.below)) {
            (Ok(real), Ok(below)) if !real.starts_with(&below) => Err(elsewhere()),
            _ => Ok(file),
        }
    }
}

impl Knob for Named {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn targets(&self, _: &Host) -> Vec<Target> {
        Vec::new()
    }

    fn file(&self, target: &Target) -> Option<String> {
        target.name().map(self.file)
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let file = self.path(host, target)?;
        Ok(match read(host, &file, &file)? {
            Ok(text) if text.contains('\n') => {
                let why = "it has more than one line".to_owned();
                return Err(KnobError::Understand { path: host.root.display_path(&file), why });
            }
            Ok(text) => Reading::Value(Value::Text(chosen(&text).unwrap_or_else(|| spaced(&text)))),
            Err(why) => Reading::Absent(why),
        })
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        let Value::Text(text) = value else { return Ok(value.clone()) };
        let known = self.path(host, target).map(|file| host.root.read(&file).unwrap_or_default())?;
        let wanted = spaced(text);
        if chosen(&known).is_some() && bracketed(&known).all(|(choice, _)| choice != wanted) {
            return Err(KnobError::Impossible {
                value: value.clone(),
                why: format!("there is only {}", excerpt::value(known)),
            });
        }
        Ok(Value::Text(wanted))
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        let file = self.path(host, target)?;
        match value {
            Value::Text(text) => write(host, &file, text).map(|()| Held::Nothing),
            _ => Err(KnobError::Target { target: target.clone() }),
        }
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        changeable(host, &self.path(host, target)?)
    }
}

/// The word in brackets, where a file shows all choices and one of them is in force.
fn chosen(text: &str) -> Option<String> {
    let mut words = bracketed(text).filter_map(|(word, chosen)| chosen.then_some(word));
    match (words.next(), words.next()) {
        (Some(word), None) => Some(word.to_owned()),
        _ => None,
    }
}

/// With one space between words: the kernel writes tabs, people write what they like.
fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::knob::fake;
    use std::fs;

    fn name(name: &str) -> Target {
        Target::Name(name.to_owned())
    }

    #[test]
    fn a_sysctl_is_named_as_sysctl_names_it() {
        for (name, file) in [
            ("vm.swappiness", "/proc/sys/vm/swappiness"),
            ("net.ipv4.conf.eth0/100.rp_filter", "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"),
            ("net/ipv4/conf/eth0.100/rp_filter", "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"),
        ] {
            assert_eq!(sysctl(name), file);
        }
    }

    #[test]
    fn numbers_choices_and_words_are_set_and_put_back() {
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

    /// Sets a knob, lets something happen, and tries to undo it with `Unless::Never`.
    fn undone_after(id: &str, on: &str, wanted: &str, folder: &std::path::Path, happens: impl FnOnce()) -> String {
        let (host, knob, target) = (fake::read(folder), crate::tune::knob::by_id(id).expect("a knob"), name(on));
        let before = fake::apply(knob, &host, &target, wanted);
        assert!(knob.meets(&fake::value(knob, &host, &target), &Value::Text(wanted.to_owned())), "{on}");
        happens();
        match knob.read_back(&host, &target, &before) {
            Ok(Reading::Value(now)) => {
                knob.restore(&host, &target, &before).expect("put back");
                assert!(knob.meets(&fake::value(knob, &host, &target), &before), "{on}");
                format!("it was {now}")
            }
            Ok(Reading::Absent(why)) => {
                let refused = knob.restore(&host, &target, &before);
                assert!(matches!(refused, Err(KnobError::Impossible { .. })), "{refused:?}");
                why
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_value_is_not_put_back_to_another_device_of_the_same_name() {
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
        assert_eq!(undone_after("sysfs", on, "kyber", folder.path(), || {}), "it was kyber");
        let (folder, link) = machine();
        let why = undone_after("sysfs", on, "kyber", folder.path(), || {
            fs::remove_file(&link).expect("the link");
            std::os::unix::fs::symlink("../devices/pci0000:00/0000:00:17.0/ata2/block/sdb", &link).expect("a link");
        });
        assert!(why.contains("ata1") && why.contains("ata2"), "{why}");
        assert_eq!(fs::read_to_string(link.join("queue/scheduler")).expect("read"), "bfq\n");
        let (folder, _) = machine();
        // In the same place, by its own path.
        let why = undone_after("sysfs", &format!("{first}/queue/scheduler"), "kyber", folder.path(), || {
            fake::put(folder.path(), &format!("{first}/diskseq"), "8\n");
        });
        assert!(why.contains("of disk 7") && why.contains("of disk 8"), "{why}");
    }

    #[test]
    fn a_sysctl_of_an_interface_is_of_its_card_and_any_other_of_the_host() {
        let (folder, host) = fake::host(&[
            ("/proc/sys/net/ipv4/conf/eth0/rp_filter", "0\n"),
            ("/proc/sys/net/ipv4/conf/all/rp_filter", "0\n"),
            ("/sys/class/net/eth0/.keep", ""),
        ]);
        let device = folder.path().join("sys/class/net/eth0/device");
        std::os::unix::fs::symlink("../../../0000:01:00.0", &device).expect("a link");
        let on = "net.ipv4.conf.eth0.rp_filter";
        assert_eq!(undone_after("sysctl", on, "2", folder.path(), || {}), "it was 2");
        let why = undone_after("sysctl", on, "2", folder.path(), || {
            fs::remove_file(&device).expect("the link");
            std::os::unix::fs::symlink("../../../0000:02:00.0", &device).expect("a link");
        });
        assert!(why.contains("0000:01:00.0") && why.contains("0000:02:00.0"), "{why}");
        let knob = crate::tune::knob::by_id("sysctl").expect("the knob");
        assert_eq!(fake::value(knob, &host, &name("net.ipv4.conf.all.rp_filter")), Value::Text("0".to_owned()));
        // A journal of a version that did not know of cards.
        let old = Value::Text("0".to_owned());
        knob.restore(&host, &name(on), &old).expect("put back");
        assert!(knob.meets(&fake::value(knob, &host, &name(on)), &old));
    }

    /// In a network namespace of this thread's own, which has sysctls of its own.
    #[test]
    fn the_running_kernel_takes_an_empty_value_back() {
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
            assert!(matches!(read, Err(KnobError::Target { .. })), "{elsewhere}: {read:?}");
        }
        assert!(matches!(SYSCTL.read(&host, &name("../../etc/passwd")), Err(KnobError::Target { .. })));
        assert!(matches!(SYSFS.read(&host, &name("/sys/class/x/a")), Ok(Reading::Value(_))));
    }
}
