//! Real processes of another user that were given a privileged policy do not keep it, whatever they do meanwhile.
//!
//! The host is this one, and its journal is in a tree.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use quell::host::{Host, Root};
use quell::tune::plan::plan;
use quell::tune::profile::TuningProfile;
use quell::tune::transaction::journal::Store;
use quell::tune::transaction::{self, ApplyOptions, OnConflict};
use quell_tests::agent::Workdir;
use quell_tests::fake_host::{FakeHost, small_vm};
use quell_tests::needs;
use quell_tests::needs::Need;

const MALLORY: u32 = 65_534;

const REAL_TIME: Need =
    Need::Success("chrt(1), and permission to use real-time priorities", &["chrt", "-f", "1", "true"]);

/// A shell of the other user, in a session of its own, with a name that nobody else has.
struct Shell {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Shell {
    fn start(name: &str) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &MALLORY.to_string(), "--regid", &MALLORY.to_string(), "--clear-groups", "sh"]);
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (to, from) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
        let mut shell = Self { child, to, from: BufReader::new(from) };
        // Whatever this test runs with.
        let status =
            Command::new("renice").args(["-n", "0", "-p", &shell.pid().to_string()]).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "renice: {status}");
        shell.run(&format!("printf %s {name} >/proc/$$/comm; echo ready"))?;
        Ok(shell)
    }

    /// Runs a line, and gives the line that it prints.
    fn run(&mut self, line: &str) -> Result<String> {
        writeln!(self.to, "{line}")?;
        let mut said = String::new();
        self.from.read_line(&mut said)?;
        ensure!(said.ends_with('\n'), "`{line}` ends the shell");
        Ok(said.trim().to_owned())
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Nice value and policy: fields 19 and 41 of proc_pid_stat(5), after the name.
fn scheduling(pid: &str) -> Result<(i32, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field = |number: usize| fields.get(number - 3).copied().context("a field");
    Ok((field(19)?.parse()?, field(41)?.parse()?))
}

const ORDINARY: (i32, u32) = (0, 0);

struct Case {
    dir: Workdir,
    state: FakeHost,
    name: String,
    shell: Shell,
}

impl Case {
    fn new(name: &str) -> Result<Self> {
        // A name has 15 bytes.
        let name = format!("{name}{}", std::process::id());
        let shell = Shell::start(&name)?;
        Ok(Self { dir: Workdir::new()?, state: small_vm(), name, shell })
    }

    fn store(&self) -> Result<Store> {
        Ok(Store::of(&Root::at(self.state.path())?))
    }

    fn apply(&self, policy: &str) -> Result<()> {
        let path = self.dir.path("case.toml");
        let setting = format!(
            "[[set]]\nknob = \"process.policy\"\non = \"name={},user={MALLORY}\"\nvalue = \"{policy}\"\nreason = \"a test\"\n",
            self.name
        );
        fs::write(&path, format!("summary = \"a test\"\n{setting}"))?;
        let host = Host::read(Root::host())?;
        let profile = TuningProfile::load(path.to_str().context("text")?, Path::new("/nonexistent"))?;
        let plan = plan(&host, &profile, &BTreeMap::new())?;
        ensure!(plan.steps.len() == 1, "{plan:?}");
        transaction::apply(&host, &self.store()?, &plan, &ApplyOptions::at(0))?;
        Ok(())
    }

    /// Undoes the last transaction; what was left, in words.
    fn undo(&self) -> Result<Vec<String>> {
        let unwound = transaction::roll_back(&Host::read(Root::host())?, &self.store()?, None, OnConflict::Keep)?;
        let mut left = Vec::new();
        for (_, result) in unwound {
            left.extend(result?.not_restored.into_iter().map(|value| value.reason));
        }
        Ok(left)
    }
}

#[test]
fn what_a_process_has_lowered_by_itself_is_not_its_to_keep() -> Result<()> {
    needs!(Root, Program("setpriv"), REAL_TIME);
    for (policy, granted, lower, kept) in [
        ("fifo:3", (0, 1), "chrt -f -p 2 $$; chrt -p $$ | tail -n 1", "priority: 2"),
        ("rr:3+reset-on-fork", (0, 2), "chrt -R -r -p 1 $$; chrt -p $$ | tail -n 1", "priority: 1"),
        ("other:-10", (-10, 0), "renice -n -9 -p $$ >/dev/null 2>&1; nice", "-9"),
        ("batch:-3", (-3, 3), "chrt -o -p 0 $$; nice", "-3"),
    ] {
        let mut case = Case::new("quell-l")?;
        case.apply(policy)?;
        let pid = case.shell.pid().to_string();
        assert_eq!(scheduling(&pid)?, granted);
        let said = case.shell.run(lower)?;
        assert!(said.ends_with(kept), "{said}");
        assert_ne!(scheduling(&pid)?, ORDINARY);
        assert_eq!(case.undo()?, [""; 0], "{policy}");
        assert_eq!(scheduling(&pid)?, ORDINARY, "{policy}");
    }
    Ok(())
}

#[test]
fn what_a_process_has_given_up_altogether_is_left_as_it_is() -> Result<()> {
    needs!(Root, Program("setpriv"), REAL_TIME);
    let mut case = Case::new("quell-g")?;
    case.apply("fifo:3")?;
    case.shell.run("chrt -o -p 0 $$; renice -n 5 -p $$ >/dev/null; echo done")?;
    let left = case.undo()?;
    assert!(left.len() == 1 && left[0].contains("modified externally"), "{left:?}");
    assert_eq!(scheduling(&case.shell.pid().to_string())?, (5, 0));
    Ok(())
}

#[test]
fn children_do_not_keep_what_they_have_inherited_wherever_their_parents_went() -> Result<()> {
    needs!(Root, Program("setpriv"), REAL_TIME);
    for (policy, lower) in [("fifo:3", "chrt -f -p 1 $!"), ("other:-10", "renice -n -2 -p $! >/dev/null 2>&1")] {
        let mut case = Case::new("quell-c")?;
        case.apply(policy)?;
        // A child that lowers what it has, a grandchild, and one whose parents have ended.
        let child = case.shell.run(&format!("sleep 600 >/dev/null & {lower}; echo $!"))?;
        let grandchild = case.shell.run("sh -c 'sleep 600 >/dev/null & echo $!; wait' & true")?;
        let orphan = case.shell.run("sh -c 'sleep 600 >/dev/null & echo $!'")?;
        let all = [child, grandchild, orphan];
        for pid in &all {
            assert_ne!(scheduling(pid)?, ORDINARY, "{policy}: {all:?}");
        }
        // What the parent is by now does not matter.
        case.shell.run("chrt -o -p 0 $$; renice -n 5 -p $$ >/dev/null; echo done")?;
        let left = case.undo()?;
        assert!(left.iter().all(|why| why.contains("modified externally")), "{left:?}");
        for pid in &all {
            assert_eq!(scheduling(pid)?, ORDINARY, "{policy}: {all:?}");
        }
    }
    Ok(())
}

#[test]
fn a_process_that_has_what_it_may_take_by_itself_keeps_it() -> Result<()> {
    needs!(Root, Program("setpriv"), REAL_TIME);
    let case = Case::new("quell-k")?;
    case.apply("fifo:3")?;
    // Of the same user, from elsewhere.
    let mut own = Command::new("setpriv");
    own.args([
        "--reuid",
        &MALLORY.to_string(),
        "--clear-groups",
        "--inh-caps=+sys_nice",
        "--ambient-caps=+sys_nice",
        "sh",
        "-c",
    ]);
    own.arg("chrt -f -p 2 $$ && echo done && exec sleep 600").process_group(0).stdout(Stdio::piped());
    let mut own = own.spawn()?;
    let from = BufReader::new(own.stdout.take().context("stdout")?);
    let mut shell =
        Shell { to: Command::new("true").stdin(Stdio::piped()).spawn()?.stdin.context("stdin")?, child: own, from };
    let mut said = String::new();
    shell.from.read_line(&mut said)?;
    assert_eq!(said, "done\n");
    assert_eq!(case.undo()?, [""; 0]);
    assert_eq!(scheduling(&shell.pid().to_string())?.1, 1);
    assert_eq!(scheduling(&case.shell.pid().to_string())?, ORDINARY);
    Ok(())
}
