//! Properties that a background process inherits from the caller and must not depend on: cgroups, and the OOM score adjustment.
//! The owner of a cgroup can freeze and kill all processes in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use crate::host::{Mount, mounts};

/// The cgroup of a process in one hierarchy: a line of `/proc/PID/cgroup` (cgroups(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Membership {
    /// The controllers or the name of a version 1 hierarchy; empty for version 2.
    hierarchy: String,
    path: PathBuf,
}

/// Moves a process that was just started to the root cgroup of each hierarchy, and protects it from the OOM killer. Both are
/// best effort: [`shared`] lists the cgroups that the process could not leave.
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
    let current = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<i32>().ok()).unwrap_or_default();
    // Lowering the adjustment below the value that a process with CAP_SYS_RESOURCE last set requires this capability too
    // (__set_oom_adj, fs/proc/base.c).
    for score in [-1000, 0] {
        if current <= score || fs::write(&file, score.to_string()).is_ok() {
            break;
        }
    }
}

/// The cgroups, except root cgroups, that a process shares with this one; empty if they cannot be read.
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

/// The mount point of a hierarchy at which its root cgroup is visible.
fn mount_of<'a>(mounts: &'a [Mount], hierarchy: &str) -> Option<&'a Path> {
    let is_hierarchy = |mount: &&Mount| match hierarchy {
        "" => mount.kind == b"cgroup2",
        // The mount options include the controllers.
        controllers => {
            let has = |controller: &str| {
                mount.options.split(|byte| *byte == b',').any(|option| option == controller.as_bytes())
            };
            mount.kind == b"cgroup" && controllers.split(',').all(has)
        }
    };
    mounts.iter().find(|mount| mount.root == Path::new("/") && is_hierarchy(mount)).map(|mount| mount.point.as_path())
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
    fn the_root_of_each_hierarchy_is_found() {
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
