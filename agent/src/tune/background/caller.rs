//! What a process in the background has from who started it, and is not to depend on: its cgroups, and how soon it is killed when memory
//! runs out. Who owns a cgroup may freeze and kill what is in it, whosever it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use crate::host::{Mount, mounts};

/// A cgroup of a process, of one hierarchy: a line of `/proc/PID/cgroup` (cgroups(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Membership {
    /// The controllers or the name of a hierarchy of version 1; empty for version 2.
    hierarchy: String,
    path: PathBuf,
}

/// Takes a process that was just started out of the caller's cgroups, into the root of each hierarchy, and from the top of the list of
/// those that are killed for memory. What is refused is left: [`shared`] tells.
pub(super) fn leave(pid: Pid) {
    let mounts = mounts(&fs::read("/proc/self/mountinfo").unwrap_or_default());
    for own in memberships(pid).unwrap_or_default() {
        if own.path == Path::new("/") {
            continue;
        }
        if let Some(root) = mount_of(&mounts, &own.hierarchy)
            && let Err(error) = fs::write(root.join("cgroup.procs"), pid.to_string())
        {
            tracing::debug!("process {pid} stays in cgroup {}: {error}", own.path.display());
        }
    }
    let file = format!("/proc/{pid}/oom_score_adj");
    let now = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<i32>().ok()).unwrap_or_default();
    // Below what it was set to last by a process with CAP_SYS_RESOURCE it takes that capability (oom_adjust write, fs/proc/base.c).
    for score in [-1000, 0] {
        if now <= score || fs::write(&file, score.to_string()).is_ok() {
            break;
        }
    }
}

/// The cgroups that a process shares with this one, and that others than root may control; none where it cannot be told.
pub(super) fn shared(pid: Pid) -> Vec<PathBuf> {
    let (Ok(its), Ok(own)) = (memberships(pid), memberships(Pid::this())) else { return Vec::new() };
    let shared = its.into_iter().filter(|group| group.path != Path::new("/") && own.contains(group));
    let mut paths: Vec<PathBuf> = shared.map(|group| group.path).collect();
    paths.sort();
    paths.dedup();
    paths
}

fn memberships(pid: Pid) -> io::Result<Vec<Membership>> {
    let text = fs::read(format!("/proc/{pid}/cgroup"))?;
    Ok(String::from_utf8_lossy(&text).lines().filter_map(membership).collect())
}

fn membership(line: &str) -> Option<Membership> {
    let mut fields = line.splitn(3, ':').skip(1);
    Some(Membership { hierarchy: fields.next()?.to_owned(), path: fields.next()?.into() })
}

/// Where the root of a hierarchy is mounted.
fn mount_of<'a>(mounts: &'a [Mount], hierarchy: &str) -> Option<&'a Path> {
    let is_it = |mount: &&Mount| match hierarchy {
        "" => mount.kind == b"cgroup2",
        // Those of the file are in the order of the kernel's, as the options are, among others.
        controllers => {
            let has =
                |wanted: &str| mount.options.split(|byte| *byte == b',').any(|option| option == wanted.as_bytes());
            mount.kind == b"cgroup" && controllers.split(',').all(has)
        }
    };
    mounts.iter().find(|mount| mount.root == Path::new("/") && is_it(mount)).map(|mount| mount.point.as_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"\
24 18 0:22 / /proc rw - proc proc rw
30 24 0:26 /user.slice /other rw,nosuid - cgroup2 cgroup2 rw
31 24 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
32 24 0:27 / /sys/fs/cgroup/systemd rw shared:10 - cgroup cgroup rw,xattr,name=systemd
33 24 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
34 24 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
";

    #[test]
    fn the_root_of_each_hierarchy_is_found_by_what_a_process_says_of_it() {
        let mounts = mounts(MOUNTS);
        let mount = |line: &str| mount_of(&mounts, &membership(line).expect("a line").hierarchy);
        for (line, path) in [
            ("0::/user.slice/a:b", "/sys/fs/cgroup/unified"),
            ("1:name=systemd:/x", "/sys/fs/cgroup/systemd"),
            ("4:cpu,cpuacct:/x", "/sys/fs/cgroup/cpu,cpuacct"),
            ("5:cpuset:/x", "/sys/fs/cgroup/cpuset"),
        ] {
            assert_eq!(mount(line), Some(Path::new(path)), "{line}");
        }
        assert_eq!(mount("9:memory:/x"), None, "it is not mounted");
        assert_eq!(membership("0::/a:b").map(|group| group.path), Some(PathBuf::from("/a:b")));
    }
}
