//! Small hosts for the tests of knobs: a directory of the files that they need.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use super::{Knob, Reading};
use crate::host::{Host, Root};
use crate::needs;
use crate::tune::{Target, Value};

/// A host with four CPUs and a 6.12 kernel.
const BASE: &[(&str, &str)] = &[
    ("/proc/sys/kernel/osrelease", "6.12.0\n"),
    ("/proc/cpuinfo", "vendor_id\t: GenuineIntel\nflags\t\t: fpu\n"),
    ("/proc/cmdline", "root=/dev/sda1 ro quiet\n"),
    ("/proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n"),
    ("/sys/devices/system/cpu/present", "0-3\n"),
    ("/sys/devices/system/cpu/online", "0-3\n"),
];

/// A host with these files more; a later text for a path takes the place of an earlier one.
pub(super) fn host(files: &[(&str, &str)]) -> (TempDir, Host) {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in BASE.iter().chain(files) {
        put(folder.path(), path, text);
    }
    let host = read(folder.path());
    (folder, host)
}

/// Reads a host again, after its files were changed.
pub(super) fn read(folder: &Path) -> Host {
    Host::read(Root::at(folder).expect("a root")).expect("a host")
}

/// Writes a file of a host.
pub(super) fn put(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a file");
}

/// Does something while a file of a host is one of the running kernel that can be read and takes nothing, by a mount that only the
/// thread sees that does it. `None` without the permission to mount: the test is skipped.
pub(super) fn with_refusing<T: Send>(
    folder: &Path,
    file: &str,
    real: &str,
    act: impl FnOnce(&Host) -> T + Send,
) -> Option<T> {
    let test = std::any::type_name_of_val(&act);
    let over = || -> nix::Result<()> {
        let none = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(Some(real), &folder.join(file.trim_start_matches('/')), none, MsFlags::MS_BIND, none)
    };
    // The host is opened behind the mount: a descriptor from before would lead around it.
    let done = thread::scope(|scope| {
        scope
            .spawn(|| over().map(|()| act(&read(folder))))
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    done.map_err(|errno| needs::print_skipped(test, &format!("permission to mount ({errno})"))).ok()
}

/// What a knob is set to; it must be there.
pub(super) fn value(knob: &dyn Knob, host: &Host, target: &Target) -> Value {
    match knob.read(host, target) {
        Ok(Reading::Value(value)) => value,
        other => panic!("{} on {target}: {other:?}", knob.spec().id),
    }
}

/// Sets a knob as a transaction would, and undoes it: what was wanted is read back, and then what was before.
pub(super) fn round_trip(knob: &dyn Knob, host: &Host, target: &Target, wanted: &str) {
    let before = apply(knob, host, target, wanted);
    let now = value(knob, host, target);
    assert!(!knob.meets(&now, &before));
    knob.restore(host, target, &before).expect("it takes the value before");
    assert_eq!(value(knob, host, target), before, "{}", knob.spec().id);
}

/// Sets a knob as a transaction would. Returns what was before, as a journal keeps it.
pub(super) fn apply(knob: &dyn Knob, host: &Host, target: &Target, wanted: &str) -> Value {
    let before = value(knob, host, target);
    let wanted = knob.spec().kind.parse(wanted).expect("a value");
    let wanted = knob.normalize(host, target, &wanted).expect("a possible value");
    assert!(!knob.meets(&before, &wanted), "{}: {wanted} is there already", knob.spec().id);
    knob.write(host, target, &knob.spread(&before, &wanted)).expect("it takes the value");
    match knob.read_back(host, target, &before) {
        Ok(Reading::Value(now)) => {
            assert!(knob.meets(&now, &wanted), "{}: wrote {wanted}, read {now}", knob.spec().id);
        }
        other => panic!("{} on {target}: {other:?}", knob.spec().id),
    }
    serde_json::from_str(&serde_json::to_string(&before).expect("JSON")).expect("the same")
}

/// Waits for what the last close of a file brings: a program that another test starts has all files of this process too, from its
/// fork to its exec.
pub(super) fn after_closing(is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < end, "it is as if it were held still");
        thread::yield_now();
    }
}
