//! Kernel files that hold one value each, and the representations of the values.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use super::checks::check_cpus;
use super::error::KnobError;
use super::reading::{Held, Reading};
use crate::excerpt;
use crate::host::Host;
use crate::tune::value::{KnobTarget, Value, ValueKind};
use crate::units::{CpuId, CpuSet};

/// A file that holds one value for each target.
#[derive(Clone, Copy, Debug)]
pub struct ValueFile {
    /// The path from the root of the host. `{}` is replaced by the number or name of the target.
    pub path: &'static str,
    /// The representation of the value in the file.
    pub codec: Codec,
}

/// The representation of a value in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// The same representation as in a profile: numbers and words.
    Plain,
    /// All choices, with the current one in brackets: `always [madvise] never`.
    Bracketed,
    /// A switch, with the words for off and on, such as `0` and `1`, or `N` and `Y`.
    Words(&'static str, &'static str),
    /// CPUs as ranges: `0-3,8`.
    CpuList,
    /// CPUs as hexadecimal words of 32 bits, the highest CPUs first: `ff,ffffffff`.
    CpuMask,
    /// A word. The file at this path lists the choices.
    OneOf(&'static str),
    /// Microseconds, with `n/a` for a latency of 0 and `0` for no limit: pm_qos_resume_latency_us_show,
    /// drivers/base/power/sysfs.c.
    ResumeLatency,
}

/// Replaces `{}` in a path by the number or name of the target.
pub(super) fn path_for(path: &str, target: &KnobTarget) -> String {
    let part = match target {
        KnobTarget::Host => String::new(),
        KnobTarget::Cpu(cpu) => cpu.to_string(),
        KnobTarget::Node(node) => node.to_string(),
        KnobTarget::Irq(irq) => irq.to_string(),
        KnobTarget::Nic(name) | KnobTarget::Name(name) => name.clone(),
    };
    path.replace("{}", &part)
}

impl ValueFile {
    /// The path of the file for a target, from the root of the host.
    pub(super) fn path_for(&self, target: &KnobTarget) -> String {
        path_for(self.path, target)
    }

    /// The value in the file.
    pub(super) fn read(&self, host: &Host, target: &KnobTarget, kind: ValueKind) -> Result<Reading, KnobError> {
        let file = self.path_for(target);
        let text = match read(host, &file, self.path)? {
            Ok(text) => text,
            Err(reason) => return Ok(Reading::Absent(offline_reason(host, target).unwrap_or(reason))),
        };
        let value = self.codec.decode(&text, kind).ok_or_else(|| KnobError::Malformed {
            path: host.root.display_path(&file),
            reason: format!("{} is not {kind}", excerpt::quoted(&text)),
        })?;
        Ok(Reading::Value(value))
    }

    /// Writes a value to the file.
    pub(super) fn write(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Held, KnobError> {
        write(host, &self.path_for(target), &self.codec.encode(value, host)).map(|()| Held::Nothing)
    }

    /// Checks that the host has the CPUs and the choices of a value, and returns the value.
    pub(super) fn normalize(&self, host: &Host, target: &KnobTarget, value: &Value) -> Result<Value, KnobError> {
        let (Value::Word(word), Some(file)) = (value, self.choices_file(target)) else {
            return check_cpus(host, value).cloned();
        };
        let choices = host.root.read(&file).unwrap_or_default();
        if choices.is_empty() || bracketed(&choices).any(|(choice, _)| choice == word) {
            return Ok(value.clone());
        }
        let reason = format!("the choices are {}", excerpt::value(choices));
        Err(KnobError::Impossible { value: value.clone(), reason })
    }

    /// The file that lists the possible words, if there is one.
    fn choices_file(&self, target: &KnobTarget) -> Option<String> {
        match self.codec {
            Codec::Bracketed => Some(self.path_for(target)),
            Codec::OneOf(choices) => Some(path_for(choices, target)),
            _ => None,
        }
    }

    /// See [`check_writable`].
    pub(super) fn check_writable(&self, host: &Host, target: &KnobTarget) -> Result<(), KnobError> {
        check_writable(host, &self.path_for(target))
    }
}

/// The text of a file, or the reason why the host does not have the file. The reason contains the `pattern` of the paths, so
/// that it is the same for many targets.
pub(super) fn read(host: &Host, file: &str, pattern: &str) -> Result<Result<String, String>, KnobError> {
    let error = match host.root.read(file) {
        Ok(text) => return Ok(Ok(text)),
        Err(error) => error,
    };
    let path = host.root.display_path(file);
    match error.kind() {
        io::ErrorKind::NotFound => Ok(Err(format!("{} does not exist", pattern.replace("{}", "*")))),
        _ if is_unsupported(&error) => Ok(Err(format!("{}: {error}", pattern.replace("{}", "*")))),
        io::ErrorKind::PermissionDenied => Err(KnobError::denied(path, error)),
        _ => Err(KnobError::Read { path, source: error }),
    }
}

/// The number in a file, or the reason why the host does not have the file.
pub(super) fn read_number(host: &Host, file: &str, pattern: &str) -> Result<Result<i64, String>, KnobError> {
    let text = match read(host, file, pattern)? {
        Ok(text) => text,
        Err(reason) => return Ok(Err(reason)),
    };
    let reason = format!("{} is not a number", excerpt::quoted(&text));
    text.parse().map(Ok).map_err(|_| KnobError::Malformed { path: host.root.display_path(file), reason })
}

/// Writes a file.
pub(super) fn write(host: &Host, file: &str, text: &str) -> Result<(), KnobError> {
    if is_fixed(host, file) {
        return Err(KnobError::Fixed { path: host.root.display_path(file) });
    }
    // In a tree, there is no kernel that puts the choice in brackets.
    let marked = if host.root.is_host() { None } else { with_choice_marked(host, file, text) };
    let text = marked.as_deref().unwrap_or(text);
    host.root
        .write(file, text)
        .map_err(|source| KnobError::from_write(host.root.display_path(file), text.to_owned(), source))
}

/// The text that the kernel would return after a word was written to a file that lists all choices.
fn with_choice_marked(host: &Host, file: &str, word: &str) -> Option<String> {
    let text = host.root.read(file).ok()?;
    let known = bracketed(&text).any(|(choice, _)| choice == word) && bracketed(&text).any(|(_, chosen)| chosen);
    let words =
        bracketed(&text).map(|(choice, _)| if choice == word { format!("[{word}]") } else { choice.to_owned() });
    known.then(|| words.collect::<Vec<_>>().join(" "))
}

/// The reason why files of a CPU are missing, if the CPU is offline. Reads the current state: a CPU may go offline during a
/// transaction.
pub(super) fn offline_reason(host: &Host, target: &KnobTarget) -> Option<String> {
    let KnobTarget::Cpu(cpu) = target else { return None };
    // On most machines, the first CPU has no such file, because it cannot go offline.
    let online = host.root.read(&format!("/sys/devices/system/cpu/cpu{cpu}/online")).ok()?;
    (online == "0").then(|| format!("CPU {cpu} is offline"))
}

/// Whether a file, or the directory that it would be created in, is writable and not on a read-only mount.
pub(super) fn check_writable(host: &Host, file: &str) -> Result<(), KnobError> {
    let mut existing = file;
    while !host.root.has(existing) {
        match existing.rsplit_once('/') {
            Some((directory, _)) if !directory.is_empty() => existing = directory,
            _ => return Ok(()),
        }
    }
    let path = || host.root.display_path(file);
    match () {
        () if host.root.is_read_only(existing) => Err(KnobError::ReadOnly { path: path() }),
        () if is_fixed(host, file) => Err(KnobError::Fixed { path: path() }),
        () => Ok(()),
    }
}

/// Whether the mode of a file permits no user to write it. Below /proc/sys, this applies to root too (EACCES; sysctl_perm,
/// fs/proc/proc_sysctl.c): in 6.12, `kernel.nmi_watchdog` is such a file if there are no counters (watchdog_hardlockup_sysctl,
/// kernel/watchdog.c). Directories are excluded, because their mode does not apply to the files in them: directories of /proc
/// are never writable (proc_mkdir, fs/proc/generic.c).
fn is_fixed(host: &Host, file: &str) -> bool {
    let fixed = |metadata: fs::Metadata| !metadata.is_dir() && metadata.permissions().mode() & 0o222 == 0;
    host.root.metadata(file).is_ok_and(fixed)
}

/// `PM_QOS_RESUME_LATENCY_NO_CONSTRAINT`, include/linux/pm_qos.h.
const NO_LATENCY_LIMIT: i64 = i32::MAX as i64;

/// Whether an error means that the driver does not support the file, possibly only temporarily: EBUSY is returned for a
/// frequency policy without an online CPU (show, drivers/cpufreq/cpufreq.c).
fn is_unsupported(error: &io::Error) -> bool {
    use libc::{EAGAIN, EBUSY, EINVAL, EIO, ENODEV, ENXIO, EOPNOTSUPP};
    matches!(error.raw_os_error(), Some(EOPNOTSUPP | ENODEV | EIO | EINVAL | ENXIO | EBUSY | EAGAIN))
}

impl Codec {
    /// Parses a text into a value; `None` if the text is malformed.
    pub(super) fn decode(self, text: &str, kind: ValueKind) -> Option<Value> {
        match self {
            Self::Plain | Self::OneOf(_) => kind.parse(text).ok().or_else(|| parse_foreign(text, kind)),
            Self::Bracketed => {
                bracketed(text).find(|(_, chosen)| *chosen).map(|(word, _)| Value::Word(word.to_owned()))
            }
            Self::Words(off, on) => match text {
                _ if text == on => Some(Value::Switch(true)),
                _ if text == off => Some(Value::Switch(false)),
                _ => None,
            },
            Self::CpuList => text.parse().ok().map(Value::Cpus),
            Self::CpuMask => parse_mask(text).map(Value::Cpus),
            Self::ResumeLatency => match text {
                "n/a" => Some(Value::Integer(0)),
                "0" => Some(Value::Integer(NO_LATENCY_LIMIT)),
                number => number.parse().ok().map(Value::Integer),
            },
        }
    }

    /// The text to write for a value.
    pub(super) fn encode(self, value: &Value, host: &Host) -> String {
        match (self, value) {
            (Self::Words(off, _), Value::Switch(false)) => off.to_owned(),
            (Self::Words(_, on), Value::Switch(true)) => on.to_owned(),
            (Self::CpuMask, Value::Cpus(cpus)) => {
                let highest = host.topology.cpus.keys().next_back().map_or(0, |cpu| cpu.0);
                format_mask(cpus, highest)
            }
            (Self::ResumeLatency, Value::Integer(0)) => "n/a".to_owned(),
            (Self::ResumeLatency, Value::Integer(NO_LATENCY_LIMIT)) => "0".to_owned(),
            (_, Value::Cpus(cpus)) => cpus.to_string(),
            (_, Value::Text(text)) => text.clone(),
            (_, value) => value.to_string(),
        }
    }
}

/// Parses a value that quell would not set, such as a number out of range or an unknown word, because a rollback must be able
/// to restore it.
fn parse_foreign(text: &str, kind: ValueKind) -> Option<Value> {
    match kind {
        ValueKind::Integer { .. } => text.parse().ok().map(Value::Integer),
        ValueKind::Word(_) if excerpt::is_word(text) => Some(Value::Word(text.to_owned())),
        _ => None,
    }
}

/// The words of `always [madvise] never`, and whether each is the current choice.
pub(super) fn bracketed(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.split_whitespace().map(|word| match word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) {
        Some(chosen) => (chosen, true),
        None => (word, false),
    })
}

/// Parses `ff,00000000`: bitmap_parse, lib/bitmap-str.c.
pub(super) fn parse_mask(text: &str) -> Option<CpuSet> {
    let mut cpus = Vec::new();
    for (index, word) in text.trim().split(',').rev().enumerate() {
        let bits = u32::from_str_radix(word.trim(), 16).ok()?;
        let first = u32::try_from(index).ok()? * 32;
        cpus.extend((0..32).filter(|bit| bits & (1 << bit) != 0).map(|bit| CpuId(first + bit)));
    }
    Some(cpus.into_iter().collect())
}

/// Formats a mask with as many digits as `highest` needs, as the kernel does (bitmap_string, lib/vsprintf.c).
fn format_mask(cpus: &CpuSet, highest: u32) -> String {
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
    fn a_mask_parses_as_it_was_formatted() {
        for list in ["", "0", "0-31", "32", "3,31-33,64-70", "255"] {
            let cpus: CpuSet = list.parse().expect("a list");
            assert_eq!(parse_mask(&format_mask(&cpus, 255)), Some(cpus), "{list}");
        }
        assert_eq!(format_mask(&"0-1,33".parse().expect("a list"), 35), "2,00000003");
        assert_eq!(parse_mask("f"), Some("0-3".parse().expect("a list")));
    }

    #[test]
    fn errors_of_drivers_mean_absent_and_errors_of_this_process_do_not() {
        for errno in [libc::EBUSY, libc::ENODEV, libc::EIO] {
            assert!(is_unsupported(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
        for errno in [libc::EMFILE, libc::ENOMEM, libc::EACCES] {
            assert!(!is_unsupported(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
    }
}
