//! A knob that is a file: most of sysfs and all of `/proc/sys`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use super::{Held, Knob, KnobError, KnobSpec, Reading, check_cpus};
use crate::excerpt;
use crate::host::Host;
use crate::tune::{Scope, Target, Value};
use crate::units::{CpuId, CpuSet};

/// A value in a file of its own.
#[derive(Clone, Copy, Debug)]
pub struct FileKnob {
    /// What it is.
    pub spec: KnobSpec,
    /// The file's path: `{}` stands for the target's number or name.
    pub path: &'static str,
    /// How the file says it.
    pub codec: Codec,
}

/// How a file says a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As people write it: numbers and words.
    Plain,
    /// All words that it knows, the one in force in brackets: `always [madvise] never`.
    Bracketed,
    /// A switch, as two words for off and on: `0` and `1`, `N` and `Y`.
    Words(&'static str, &'static str),
    /// CPUs as ranges: `0-3,8`.
    CpuList,
    /// CPUs as hexadecimal words of 32 bits, the highest first: `ff,ffffffff`.
    CpuMask,
    /// A word as it is, one of those in this other file.
    OneOf(&'static str),
    /// Microseconds, with `n/a` for 0 and `0` for no limit: pm_qos_resume_latency_us_show, drivers/base/power/sysfs.c.
    ResumeLatency,
}

impl FileKnob {
    fn path_on(&self, target: &Target) -> String {
        path_of(self.path, target)
    }
}

/// A path, with the target's number or name for `{}`.
pub(super) fn path_of(path: &str, target: &Target) -> String {
    let part = match target {
        Target::Host => String::new(),
        Target::Cpu(cpu) => cpu.to_string(),
        Target::Node(node) => node.to_string(),
        Target::Irq(irq) => irq.to_string(),
        Target::Nic(name) | Target::Name(name) => name.clone(),
    };
    path.replace("{}", &part)
}

/// Everything that a scope is about.
pub(super) fn all(scope: Scope, host: &Host) -> Vec<Target> {
    match scope {
        Scope::Host => vec![Target::Host],
        Scope::Cpu => host.topology.online().iter().map(Target::Cpu).collect(),
        Scope::Node => host.topology.nodes().into_keys().map(Target::Node).collect(),
        Scope::Irq => host.irqs.iter().map(|irq| Target::Irq(*irq)).collect(),
        Scope::Nic => host.nics.iter().map(|nic| Target::Nic(nic.name.clone())).collect(),
        Scope::Each(_) | Scope::Named => Vec::new(),
    }
}

impl Knob for FileKnob {
    fn spec(&self) -> &KnobSpec {
        &self.spec
    }

    fn targets(&self, host: &Host) -> Vec<Target> {
        all(self.spec.scope, host)
    }

    fn read(&self, host: &Host, target: &Target) -> Result<Reading, KnobError> {
        let file = self.path_on(target);
        let text = match read(host, &file, self.path)? {
            Ok(text) => text,
            Err(why) => return Ok(Reading::Absent(offline(host, target).unwrap_or(why))),
        };
        let value = self.codec.decode(&text, &self.spec).ok_or_else(|| KnobError::Understand {
            path: host.root.display_path(&file),
            why: format!("{} is not {}", excerpt::quoted(&text), self.spec.kind),
        })?;
        Ok(Reading::Value(value))
    }

    fn normalize(&self, host: &Host, target: &Target, value: &Value) -> Result<Value, KnobError> {
        match value {
            Value::Cpus(_) => check_cpus(host, value).cloned(),
            Value::Word(word) => {
                let file = match self.codec {
                    Codec::Bracketed => self.path_on(target),
                    Codec::OneOf(choices) => path_of(choices, target),
                    _ => return Ok(value.clone()),
                };
                let known = host.root.read(&file).unwrap_or_default();
                if known.is_empty() || bracketed(&known).any(|(choice, _)| choice == word) {
                    return Ok(value.clone());
                }
                Err(KnobError::Impossible {
                    value: value.clone(),
                    why: format!("there is only {}", excerpt::value(known)),
                })
            }
            _ => Ok(value.clone()),
        }
    }

    fn write(&self, host: &Host, target: &Target, value: &Value) -> Result<Held, KnobError> {
        write(host, &self.path_on(target), &self.codec.encode(value, host)).map(|()| Held::Nothing)
    }

    fn changeable(&self, host: &Host, target: &Target) -> Result<(), KnobError> {
        changeable(host, &self.path_on(target))
    }

    fn file(&self, target: &Target) -> Option<String> {
        Some(self.path_on(target))
    }
}

/// The text of a file, or why the host has none. `of` is the path of all such files: many targets then say the same why.
pub(super) fn read(host: &Host, file: &str, of: &str) -> Result<Result<String, String>, KnobError> {
    let error = match host.root.read(file) {
        Ok(text) => return Ok(Ok(text)),
        Err(error) => error,
    };
    let path = host.root.display_path(file);
    match error.kind() {
        io::ErrorKind::NotFound => Ok(Err(format!("there is no {}", of.replace("{}", "*")))),
        // A file of a driver that lacks what is behind it.
        _ if unsupported(&error) => Ok(Err(format!("{}: {error}", of.replace("{}", "*")))),
        io::ErrorKind::PermissionDenied => Err(KnobError::denied(path, error)),
        _ => Err(KnobError::Read { path, source: error }),
    }
}

/// The number in a file, or why the host has none.
pub(super) fn number(host: &Host, file: &str, of: &str) -> Result<Result<i64, String>, KnobError> {
    let text = match read(host, file, of)? {
        Ok(text) => text,
        Err(why) => return Ok(Err(why)),
    };
    let why = format!("{} is no number", excerpt::quoted(&text));
    text.parse().map(Ok).map_err(|_| KnobError::Understand { path: host.root.display_path(file), why })
}

/// Writes a file.
pub(super) fn write(host: &Host, file: &str, text: &str) -> Result<(), KnobError> {
    if is_fixed(host, file) {
        return Err(KnobError::Fixed { path: host.root.display_path(file) });
    }
    let shown = if host.root.is_host() { None } else { bracketed_anew(host, file, text) };
    let text = shown.as_deref().unwrap_or(text);
    host.root
        .write(file, text)
        .map_err(|source| KnobError::from_write(host.root.display_path(file), text.to_owned(), source))
}

/// What a kernel would show after a word was written to a file that shows all: a tree has none that does.
fn bracketed_anew(host: &Host, file: &str, word: &str) -> Option<String> {
    let text = host.root.read(file).ok()?;
    let known = bracketed(&text).any(|(choice, _)| choice == word) && bracketed(&text).any(|(_, chosen)| chosen);
    let words =
        bracketed(&text).map(|(choice, _)| if choice == word { format!("[{word}]") } else { choice.to_owned() });
    known.then(|| words.collect::<Vec<_>>().join(" "))
}

/// Why a CPU's files say nothing, where it is because it does not run. As it is now: a CPU may go while a transaction is on its way.
pub(super) fn offline(host: &Host, target: &Target) -> Option<String> {
    let Target::Cpu(cpu) = target else { return None };
    // The first CPU of most machines has no such file, and cannot go.
    let online = host.root.read(&format!("/sys/devices/system/cpu/cpu{cpu}/online")).ok()?;
    (online == "0").then(|| format!("CPU {cpu} is offline"))
}

/// Whether a file and its mount may be written to; where there is no such file, that of the directory that it would be in.
pub(super) fn changeable(host: &Host, file: &str) -> Result<(), KnobError> {
    let mut there = file;
    while !host.root.has(there) {
        match there.rsplit_once('/') {
            Some((directory, _)) if !directory.is_empty() => there = directory,
            _ => return Ok(()),
        }
    }
    let path = || host.root.display_path(file);
    match () {
        () if host.root.is_read_only(there) => Err(KnobError::ReadOnly { path: path() }),
        () if is_fixed(host, file) => Err(KnobError::Fixed { path: path() }),
        () => Ok(()),
    }
}

/// Whether a file has no permission to write for anybody. Below /proc/sys that stops root too (EACCES; sysctl_perm,
/// fs/proc/proc_sysctl.c): `kernel.nmi_watchdog` of 6.12 without counters is one (watchdog_hardlockup_sysctl,
/// kernel/watchdog.c). The mode of a directory says nothing of the files in it: those of /proc have no permission to write
/// (proc_mkdir, fs/proc/generic.c).
fn is_fixed(host: &Host, file: &str) -> bool {
    let fixed = |metadata: fs::Metadata| !metadata.is_dir() && metadata.permissions().mode() & 0o222 == 0;
    host.root.metadata(file).is_ok_and(fixed)
}

/// `PM_QOS_RESUME_LATENCY_NO_CONSTRAINT`, include/linux/pm_qos.h.
const NO_LATENCY_LIMIT: i64 = i32::MAX as i64;

/// What is behind a file is not there, or not for now: a frequency policy without a CPU that runs is EBUSY (show,
/// drivers/cpufreq/cpufreq.c).
pub(super) fn unsupported(error: &io::Error) -> bool {
    use libc::{EAGAIN, EBUSY, EINVAL, EIO, ENODEV, ENXIO, EOPNOTSUPP};
    matches!(error.raw_os_error(), Some(EOPNOTSUPP | ENODEV | EIO | EINVAL | ENXIO | EBUSY | EAGAIN))
}

impl Codec {
    pub(super) fn decode(self, text: &str, spec: &KnobSpec) -> Option<Value> {
        match self {
            Self::Plain | Self::OneOf(_) => spec.kind.parse(text).ok().or_else(|| foreign(text, spec)),
            Self::Bracketed => {
                bracketed(text).find(|(_, chosen)| *chosen).map(|(word, _)| Value::Word(word.to_owned()))
            }
            Self::Words(off, on) => match text {
                _ if text == on => Some(Value::Switch(true)),
                _ if text == off => Some(Value::Switch(false)),
                _ => None,
            },
            Self::CpuList => text.parse().ok().map(Value::Cpus),
            Self::CpuMask => mask(text).map(Value::Cpus),
            Self::ResumeLatency => match text {
                "n/a" => Some(Value::Integer(0)),
                "0" => Some(Value::Integer(NO_LATENCY_LIMIT)),
                number => number.parse().ok().map(Value::Integer),
            },
        }
    }

    pub(super) fn encode(self, value: &Value, host: &Host) -> String {
        match (self, value) {
            (Self::Words(off, _), Value::Switch(false)) => off.to_owned(),
            (Self::Words(_, on), Value::Switch(true)) => on.to_owned(),
            (Self::CpuMask, Value::Cpus(cpus)) => {
                let highest = host.topology.cpus.keys().next_back().map_or(0, |cpu| cpu.0);
                to_mask(cpus, highest)
            }
            (Self::ResumeLatency, Value::Integer(0)) => "n/a".to_owned(),
            (Self::ResumeLatency, Value::Integer(NO_LATENCY_LIMIT)) => "0".to_owned(),
            (_, Value::Cpus(cpus)) => cpus.to_string(),
            (_, Value::Text(text)) => text.clone(),
            (_, value) => value.to_string(),
        }
    }
}

/// A value that is in force though quell would not set it: out of the range, or a word that it does not know. It must be
/// possible to go back to it.
fn foreign(text: &str, spec: &KnobSpec) -> Option<Value> {
    use crate::tune::Kind;
    match spec.kind {
        Kind::Integer { .. } => text.parse().ok().map(Value::Integer),
        Kind::Word(_) if excerpt::is_word(text) => Some(Value::Word(text.to_owned())),
        _ => None,
    }
}

/// The words of `always [madvise] never`, with whether each is in force.
pub(super) fn bracketed(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.split_whitespace().map(|word| match word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) {
        Some(chosen) => (chosen, true),
        None => (word, false),
    })
}

/// Reads `ff,00000000`: bitmap_parse, lib/bitmap-str.c.
pub(super) fn mask(text: &str) -> Option<CpuSet> {
    let mut cpus = Vec::new();
    for (index, word) in text.trim().split(',').rev().enumerate() {
        let bits = u32::from_str_radix(word.trim(), 16).ok()?;
        let first = u32::try_from(index).ok()? * 32;
        cpus.extend((0..32).filter(|bit| bits & (1 << bit) != 0).map(|bit| CpuId(first + bit)));
    }
    Some(cpus.into_iter().collect())
}

/// Writes as many digits as it takes to name `highest`, as the kernel does (bitmap_string, lib/vsprintf.c).
fn to_mask(cpus: &CpuSet, highest: u32) -> String {
    let words = (0..=highest / 32).rev().map(|index| {
        let in_word = cpus.iter().filter(|cpu| cpu.0 / 32 == index);
        let bits = in_word.fold(0u32, |bits, cpu| bits | 1 << (cpu.0 % 32));
        let digits = if index == highest / 32 { highest % 32 / 4 + 1 } else { 8 };
        format!("{bits:0width$x}", width = digits as usize)
    });
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_reads_back_as_it_was_written() {
        for list in ["", "0", "0-31", "32", "3,31-33,64-70", "255"] {
            let cpus: CpuSet = list.parse().expect("a list");
            assert_eq!(mask(&to_mask(&cpus, 255)), Some(cpus), "{list}");
        }
        assert_eq!(to_mask(&"0-1,33".parse().expect("a list"), 35), "2,00000003");
        assert_eq!(mask("f"), Some("0-3".parse().expect("a list")));
    }

    #[test]
    fn what_a_driver_does_not_have_for_now_is_absent_and_a_full_table_of_files_is_not() {
        for errno in [libc::EBUSY, libc::ENODEV, libc::EIO] {
            assert!(unsupported(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
        for errno in [libc::EMFILE, libc::ENOMEM, libc::EACCES] {
            assert!(!unsupported(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
    }
}
