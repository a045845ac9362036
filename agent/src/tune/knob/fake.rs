//! Small fake hosts for tests of knobs: directory trees with the files that the knobs use.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use crate::host::{Host, Root};
use crate::needs;
use crate::tune::knob::knob::Knob;
use crate::tune::knob::reading::Reading;
use crate::tune::value::{KnobTarget, Value};

/// A host with four CPUs and a 6.12 kernel.
const BASE: &[(&str, &str)] = &[
    ("/proc/sys/kernel/osrelease", "6.12.0\n"),
    ("/proc/cpuinfo", "vendor_id\t: GenuineIntel\nflags\t\t: fpu\n"),
    ("/proc/cmdline", "root=/dev/sda1 ro quiet\n"),
    ("/proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n"),
    ("/sys/devices/system/cpu/present", "0-3\n"),
    ("/sys/devices/system/cpu/online", "0-3\n"),
];

/// A host with additional files. If a path is given twice, the later content is used.
pub(super) fn host(files: &[(&str, &str)]) -> (TempDir, Host) {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in BASE.iter().chain(files) {
        put(folder.path(), path, text);
    }
    let host = read(folder.path());
    (folder, host)
}

/// Reads a host again after its files were changed.
pub(super) fn read(folder: &Path) -> Host {
    Host::read(Root::at(folder).expect("a root")).expect("a host")
}

/// Writes a file of a host.
pub(super) fn put(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a file");
}

/// Calls `act` while a file of a host is replaced by a file of the running kernel that is readable but refuses writes. The file
/// is mounted in a mount namespace of the calling thread. Without the permission to mount, the function returns `None` and
/// prints that the test is skipped.
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
    // The host is opened after the mount, because a file descriptor from before the mount would bypass it.
    let done = thread::scope(|scope| {
        scope
            .spawn(|| over().map(|()| act(&read(folder))))
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    done.map_err(|errno| needs::print_skipped(test, &format!("permission to mount ({errno})"))).ok()
}

/// The current value of a knob, which must exist.
pub(super) fn value(knob: &dyn Knob, host: &Host, target: &KnobTarget) -> Value {
    match knob.current(host, target) {
        Ok(Reading::Value(value)) => value,
        other => panic!("{} on {target}: {other:?}", knob.spec().id),
    }
}

/// Sets a knob in the same way as a transaction, reads the value back, and restores the original value.
pub(super) fn round_trip(knob: &dyn Knob, host: &Host, target: &KnobTarget, desired: &str) {
    let before = apply(knob, host, target, desired);
    let now = value(knob, host, target);
    assert!(!knob.equals(&now, &before));
    knob.roll_back(host, target, &before).expect("the original value is accepted");
    assert_eq!(value(knob, host, target), before, "{}", knob.spec().id);
}

/// Sets a knob in the same way as a transaction. Returns the original value as a journal stores it.
pub(super) fn apply(knob: &dyn Knob, host: &Host, target: &KnobTarget, desired: &str) -> Value {
    let before = value(knob, host, target);
    let desired = knob.spec().kind.parse(desired).expect("a value");
    let desired = knob.normalize(host, target, &desired).expect("a possible value");
    assert!(!knob.is_satisfied(&before, &desired), "{}: {desired} is set already", knob.spec().id);
    knob.set(host, target, &before, &desired).expect("the value is accepted");
    match knob.current_since(host, target, &before) {
        Ok(Reading::Value(now)) => {
            assert!(knob.is_satisfied(&now, &desired), "{}: wrote {desired}, read {now}", knob.spec().id);
        }
        other => panic!("{} on {target}: {other:?}", knob.spec().id),
    }
    serde_json::from_str(&serde_json::to_string(&before).expect("JSON")).expect("the same")
}

/// Waits for the effect of the last close of a file. A program that another test starts has all files of this process open
/// between fork and exec.
pub(super) fn after_closing(is_done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_done() {
        assert!(Instant::now() < end, "the file is still held open");
        thread::yield_now();
    }
}
