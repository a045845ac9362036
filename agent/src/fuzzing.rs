//! Entry points for `fuzz/`, which pass untrusted data as bytes. This module is not a public interface.

#![allow(missing_docs, clippy::missing_panics_doc, reason = "for the fuzz targets of this repository alone")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::host::Root;
use crate::profile::{Selection, build};
use crate::recording::{self, Recording};
use crate::report::{self, FORMATS};
use crate::tune::profile::TuningProfile;
use crate::tune::transaction::journal::{DIRECTORY as STORE, Store};
use crate::{symbolize, tune};

const META: &str = "meta.json";

/// An ELF file that a process has mapped: its headers, notes and symbols.
pub fn elf(bytes: &[u8]) {
    symbolize::fuzzing::elf(bytes);
}

/// `/tmp/perf-PID.map` of a process.
pub fn perf_map(bytes: &[u8]) {
    symbolize::fuzzing::perf_map(bytes);
}

/// `/proc/PID/maps`, whose paths processes choose.
pub fn proc_maps(bytes: &[u8]) {
    symbolize::fuzzing::maps(bytes);
}

/// `/proc/PID/stat`, `status`, `cgroup`, `comm` and `cmdline` of a process, which controls parts of them. The files are
/// separated by the bytes `0xff 0x00`. Here and below, `tree` is a directory that belongs to the fuzzer.
pub fn proc_files(bytes: &[u8], tree: &Path) {
    let directory = tree.join("proc/10/task/10");
    create(&directory);
    let mut parts = Parts(bytes);
    for name in ["stat", "status", "cgroup", "comm", "cmdline"] {
        let part = parts.next().unwrap_or_default();
        put(&directory.join(name), part);
        put(&tree.join("proc/10").join(name), part);
    }
    if let Ok(root) = Root::at(tree) {
        tune::knob::fuzz_processes(&root);
    }
}

struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.windows(2).position(|pair| pair == [0xff, 0]);
        let (part, rest) = match end {
            Some(end) => (&self.0[..end], &self.0[end + 2..]),
            None => (self.0, &[][..]),
        };
        self.0 = rest;
        Some(part)
    }
}

/// A recording with the files of `template`, except for one file whose content is `bytes`; the first byte selects this file.
/// The checksum of a table is adjusted to match, as an attacker would do.
pub fn recording(bytes: &[u8], template: &Path, tree: &Path) {
    let Some((which, content)) = bytes.split_first() else { return };
    let directory = tree.join("fuzzed.quell");
    create(&directory);
    let mut names: Vec<PathBuf> = list(template);
    names.sort();
    let Some(replaced) = names.get(usize::from(*which) % names.len().max(1)) else { return };
    for name in &names {
        put(&directory.join(name), &fs::read(template.join(name)).unwrap_or_default());
    }
    put(&directory.join(replaced), content);
    if replaced.as_os_str() != META {
        let meta = fs::read(template.join(META)).unwrap_or_default();
        let mut meta: serde_json::Value = serde_json::from_slice(&meta).unwrap_or_default();
        let name = replaced.display().to_string();
        let mut crc = flate2::Crc::new();
        crc.update(content);
        meta["files"][&name] = serde_json::json!({ "bytes": content.len(), "crc32": crc.sum() });
        put(&directory.join(META), &serde_json::to_vec(&meta).unwrap_or_default());
    }
    if let Ok(recording) = recording::read(&directory) {
        draw(&recording);
    }
}

/// All reports of a recording, by the name of their format. `summary` is the report for the terminal.
fn draw(recording: &Recording) -> BTreeMap<&'static str, Vec<u8>> {
    let profile = build(recording, &Selection::default());
    let mut drawn = BTreeMap::new();
    let mut summary = Vec::new();
    // A report that cannot be drawn returns an error, which the fuzzer ignores.
    if report::summary(&profile, report::Width::Whole, report::Style::Plain, &mut summary).is_ok() {
        drawn.insert("summary", summary);
    }
    for format in FORMATS {
        let mut out = Vec::new();
        if format.sink.write(&profile, &mut out).is_ok() {
            drawn.insert(format.name, out);
        }
    }
    drawn
}

/// The reports of `template` with this name for all threads, by the name of their format.
pub fn text(bytes: &[u8], template: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    let Ok(mut recording) = recording::read(template) else { return BTreeMap::new() };
    let name = String::from_utf8_lossy(bytes).into_owned();
    recording.meta.command_line = vec![name.clone()];
    recording.meta.remarks = vec![name.clone()];
    recording.meta.host.hostname.clone_from(&name);
    draw(&recording)
}

/// A journal of `tune`.
pub fn journal(bytes: &[u8], tree: &Path) {
    let Ok(root) = Root::at(tree) else { return };
    let store = Store::of(&root);
    if root.state_directory(STORE).is_err() {
        return;
    }
    put(&tree.join(STORE.trim_start_matches('/')).join("0001.journal"), bytes);
    if let Ok(transactions) = store.transactions() {
        for transaction in &transactions.readable {
            let _ = (transaction.applied_steps(), transaction.not_restored().count(), transaction.confirm_by());
        }
    }
}

/// A tuning profile.
pub fn profile(bytes: &[u8], tree: &Path) {
    let path = tree.join("fuzzed.toml");
    put(&path, bytes);
    if let Err(error) = TuningProfile::load(&path.display().to_string(), tree) {
        let _ = error.to_string();
    }
}

fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| PathBuf::from(entry.file_name())).collect()
}

fn create(directory: &Path) {
    fs::create_dir_all(directory).expect("the fuzzer's tree can be written");
}

fn put(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("the fuzzer's tree can be written");
}
