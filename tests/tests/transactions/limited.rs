//! What root's shell has inherited from others does not end what quell does for it: limits of resources, and cgroups.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use quell_tests::agent::{Ended, Running};
use quell_tests::{needs, skip};

use crate::case::{Case, runs};

const MALLORY: u32 = 65_534;

/// quell, by a shell that has done something before.
fn after(case: &Case, before: &str, verb: &[&str]) -> Result<Ended> {
    let line = format!("{before}; exec {}", case.shell_line(verb)?);
    Running::spawn(Command::new("sh").args(["-c", &line]).stdin(Stdio::null()))?.wait()
}

/// The process that undoes what is not confirmed.
fn guard(case: &Case) -> Result<i32> {
    let files = fs::read_dir(case.at("/run/quell"))?.flatten();
    let file = files.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("/guard-"));
    Ok(fs::read_to_string(file.context("a guard")?)?.trim().parse()?)
}

#[test]
fn a_limit_that_would_end_a_change_in_the_middle_is_raised() -> Result<()> {
    for limit in ["ulimit -S -f 1", "ulimit -S -t 1", "ulimit -S -n 12", "ulimit -S -s 300", "ulimit -S -v 400000"] {
        let case = Case::new()?;
        let verb = [&case.apply()[..], &["--confirm-within", "1h"]].concat();
        after(&case, limit, &verb)?.expect_code(0)?;
        let limits = fs::read_to_string(format!("/proc/{}/limits", guard(&case)?))?;
        for name in ["Max file size", "Max cpu time"] {
            let line = limits.lines().find(|line| line.starts_with(name)).context("a limit")?;
            let words: Vec<&str> = line[name.len()..].split_whitespace().collect();
            assert_eq!(words[0], words[1], "{limit}: {line}");
        }
        after(&case, limit, &["rollback"])?.expect_code(0)?;
        assert!(case.is_as_before(), "{limit}");
    }
    Ok(())
}

#[test]
fn a_limit_that_may_not_be_raised_is_refused_before_anything_is_changed() -> Result<()> {
    needs!(Root, Program("setpriv"));
    for (limit, name) in
        [("ulimit -f 1", "RLIMIT_FSIZE"), ("ulimit -t 5", "RLIMIT_CPU"), ("ulimit -n 12", "RLIMIT_NOFILE")]
    {
        let case = Case::new()?;
        let line = format!("{limit}; exec {}", case.shell_line(&case.apply())?);
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-sys_resource", "--inh-caps=-sys_resource", "sh", "-c", &line]);
        let refused = Running::spawn(&mut command)?.wait()?.expect_code(2)?.stderr;
        assert!(refused.contains(name) && refused.contains("nothing was changed"), "{refused}");
        assert!(refused.lines().any(|line| line.starts_with("hint: ")), "{refused}");
        assert!(case.is_as_before() && case.phases()?.is_empty(), "{limit}");
    }
    Ok(())
}

/// A cgroup that belongs to the other user, until it is dropped.
struct Delegated(PathBuf);

impl Delegated {
    /// One of each hierarchy that is mounted here and may be changed.
    fn all() -> Vec<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (point, kind) = (fields.next()?, fields.next()?);
            // A new group of version 1's cpusets has no CPUs.
            (kind.starts_with("cgroup") && !point.ends_with("/cpuset")).then(|| PathBuf::from(point))
        });
        points.filter_map(|point| Self::below(&point).ok()).collect()
    }

    fn below(point: &Path) -> Result<Self> {
        let path = point.join(format!("quell-test-{}", std::process::id()));
        fs::create_dir(&path)?;
        let group = Self(path);
        chown(&group.0, Some(MALLORY), Some(MALLORY))?;
        for file in fs::read_dir(&group.0)?.flatten() {
            let _ = chown(file.path(), Some(MALLORY), Some(MALLORY));
        }
        Ok(group)
    }

    /// Whether root may move a process from it to the root of its hierarchy, which in a container may take none.
    fn may_be_left(&self) -> Result<bool> {
        let mut sleep = Command::new("sleep").arg("600").spawn()?;
        let pid = sleep.id().to_string();
        let root = self.0.parent().context("a hierarchy")?;
        let moved =
            fs::write(self.0.join("cgroup.procs"), &pid).and_then(|()| fs::write(root.join("cgroup.procs"), &pid));
        sleep.kill()?;
        sleep.wait()?;
        Ok(moved.is_ok())
    }

    /// What is in it is stopped and killed by the other user, as far as this hierarchy has that.
    fn attack(&self) -> Result<()> {
        let script = "for file in cgroup.kill cgroup.freeze; do [ -e $file ] && echo 1 >$file; done; \
                      [ -e freezer.state ] && echo FROZEN >freezer.state; kill -9 $(cat cgroup.procs) 2>/dev/null; true";
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(&self.0).uid(MALLORY).gid(MALLORY).stderr(Stdio::null());
        command.status()?;
        Ok(())
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.freeze"), "0");
        let _ = fs::write(self.0.join("freezer.state"), "THAWED");
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn who_owns_the_callers_cgroup_does_not_stop_what_guards_a_change() -> Result<()> {
    needs!(Root);
    let groups = Delegated::all();
    if groups.is_empty() {
        skip!("a cgroup hierarchy that may be changed");
    }
    let case = Case::new()?;
    let enter: Vec<String> =
        groups.iter().map(|group| format!("echo $$ >'{}/cgroup.procs'", group.0.display())).collect();
    let verb = [&case.apply()[..], &["--confirm-within", "3s"]].concat();
    let applied =
        after(&case, &format!("{}; echo 500 >/proc/self/oom_score_adj", enter.join("; ")), &verb)?.expect_code(0)?;
    let pid = guard(&case)?;
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let is_out = !own.contains("quell-test-");
    for group in &groups {
        if !group.may_be_left()? {
            assert!(is_out || applied.stderr.contains("could not leave the cgroup"), "{own}{}", applied.stderr);
            skip!("cgroup hierarchies whose root takes processes");
        }
    }
    assert!(is_out, "{own}{}", applied.stderr);
    let score: i32 = fs::read_to_string(format!("/proc/{pid}/oom_score_adj"))?.trim().parse()?;
    assert!(score <= 0, "{score}");
    for group in &groups {
        group.attack()?;
    }
    assert!(runs(pid, "guard"));
    quell_tests::turns::until("the guard undoes it", || Ok(case.is_as_before().then_some(())))?;
    Ok(())
}
