//! The cgroup of a process.

use std::io;

use super::selector::is_cgroup_path;
use crate::excerpt;
use crate::host::Host;
use crate::tune::knob::checks::check_text;
use crate::tune::knob::threads::{Attribute, Thread};
use crate::tune::value::{Value, ValueError};

/// The cgroup of a process: in the cpuset hierarchy of version 1 if there is one, otherwise in the version 2 hierarchy.
pub(super) struct CgroupMembership;

const CPUSETS_V1: &str = "/sys/fs/cgroup/cpuset";

/// The mount point of the version 2 hierarchy.
fn mount_v2(host: &Host) -> &'static str {
    if host.root.has("/sys/fs/cgroup/unified") { "/sys/fs/cgroup/unified" } else { "/sys/fs/cgroup" }
}

/// The file for moving processes: the cpuset hierarchy of version 1 has precedence, because quell's partition is in it.
pub(super) fn procs_file(host: &Host) -> String {
    let mount = if host.root.has(CPUSETS_V1) { CPUSETS_V1 } else { mount_v2(host) };
    format!("{mount}/cgroup.procs")
}

/// The mount point of the hierarchy of a process, and the path of its cgroup in the hierarchy.
fn current(host: &Host, thread: &Thread) -> io::Result<(&'static str, String)> {
    let text = host.root.read_bytes(&format!("/proc/{}/cgroup", thread.tid))?;
    if host.root.has(CPUSETS_V1)
        && let Some(path) = path_in(&text, "cpuset")
    {
        return Ok((CPUSETS_V1, utf8(path)?));
    }
    let path = path_in(&text, "").ok_or_else(|| io::Error::other("it is not in a cgroup"))?;
    Ok((mount_v2(host), utf8(path)?))
}

/// The path in the hierarchy with these controllers; the version 2 hierarchy lists no controllers (cgroups(7)).
fn path_in<'a>(text: &'a [u8], controllers: &str) -> Option<&'a [u8]> {
    text.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.splitn(3, |&byte| byte == b':').skip(1);
        let is_hierarchy = fields.next()? == controllers.as_bytes();
        fields.next().filter(|_| is_hierarchy)
    })
}

/// Converts a path to UTF-8, because the journal stores it as JSON.
fn utf8(path: &[u8]) -> io::Result<String> {
    std::str::from_utf8(path)
        .map(str::to_owned)
        .map_err(|_| io::Error::other(format!("the path of its cgroup {} is not UTF-8", excerpt::path(path))))
}

impl Attribute for CgroupMembership {
    fn get(&self, host: &Host, thread: &Thread) -> io::Result<Value> {
        current(host, thread).map(|(_, path)| Value::Text(path))
    }

    fn set(&self, host: &Host, thread: &Thread, value: &Value) -> io::Result<()> {
        let (mount, old) = current(host, thread)?;
        let path = value.to_string();
        if !is_cgroup_path(&path) {
            return Err(io::Error::other(format!(
                "`{path}` is not a cgroup: the path begins with / at the root of the hierarchy"
            )));
        }
        let directory = if path == "/" { mount.to_owned() } else { format!("{mount}{path}") };
        host.root.write(&format!("{directory}/cgroup.procs"), thread.tid.to_string())?;
        if host.root.is_host() { Ok(()) } else { move_in_tree(host, thread, &old, &path) }
    }

    fn check_value(&self, value: &Value) -> Result<(), ValueError> {
        check_text(value, "a cgroup from the root of the hierarchy such as /system.slice", is_cgroup_path)
    }
}

/// Edits the cgroup file of a tree, as the kernel would.
fn move_in_tree(host: &Host, thread: &Thread, old: &str, new: &str) -> io::Result<()> {
    let file = format!("/proc/{}/cgroup", thread.tid);
    // The path of this process is UTF-8, and so are the other paths in a tree that quell changes.
    let text = host.root.read(&file)?;
    let suffix = format!(":{old}");
    let moved = text.lines().map(|line| match line.strip_suffix(&suffix) {
        Some(line) => format!("{line}:{new}\n"),
        None => format!("{line}\n"),
    });
    host.root.write(&file, moved.collect::<String>())
}
