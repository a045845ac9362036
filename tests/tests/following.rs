//! Who is captured: the target, what it starts, and nobody else.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, gettid};
use quell::profile::Weighted;
use quell::recording::Target;
use quell::recording::example::CPU;
use quell_tests::agent::{self, Workdir};
use quell_tests::fixture::{self, Burned, Fixture, Reloaded};
use quell_tests::recorded::Recorded;
use quell_tests::{kernel, needs, skip, turns};

/// Enough samples in a second, and no governor to lower the rate.
const FLAGS: [&str; 6] = ["-F", "997", "--max-overhead", "0", "-o", "x.quell"];

fn is_absent(recorded: &Recorded, pid: i32) {
    assert!(recorded.is_without(pid), "process {pid} is in it");
}

/// A shell that starts `burn` with two threads and waits for it.
fn script() -> Result<String> {
    Ok(format!("{} --seconds 1 --threads 2 & wait", agent::target_dir()?.join("burn").display()))
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn children_and_their_threads_are_captured_with_a_command() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let script = script()?;
    let ended = dir.run([&["record"][..], &FLAGS, &["--", "sh", "-c", &script]].concat())?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    let burned: Burned = fixture::report_in(&ended.stdout)?;
    recorded.burning(burned.pid).is_cpu_time(burned.burning())?;
    let words = ["sh", "-c", script.as_str()].map(str::to_owned).to_vec();
    assert_eq!(recorded.recording.meta.target, Target::Command(words));
    Ok(())
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn a_process_beside_the_target_is_not_captured() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let (mut target, mut beside) = (Fixture::start("burn", &["--seconds", "1"])?, Fixture::start("burn", &[])?);
    let pid = target.pid().to_string();
    let quell = dir.spawn([&["record", "-p", &pid][..], &FLAGS].concat())?;
    quell.captures()?;
    target.go()?;
    beside.go()?;
    let burned: Burned = target.finish()?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    recorded.burning(burned.pid).is_cpu_time(burned.burning())?;
    is_absent(&recorded, beside.pid().cast_signed());
    Ok(())
}

/// By its executable: a process that runs when the capture begins, and one that executes it later.
#[test]
#[ignore = "long: cargo xtask test --all"]
fn processes_that_match_a_pattern_are_captured_now_and_from_their_exec_on() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let pattern = agent::target_dir()?.join("bu?n").display().to_string();
    let mut now = Fixture::start("burn", &["--seconds", "1"])?;
    let quell = dir.spawn([&["record", "--exe", &pattern][..], &FLAGS].concat())?;
    quell.captures()?;
    let mut later = Fixture::start("burn", &["--seconds", "1"])?;
    // quell has read the reports of a second when the first process ends, so it knows the other one before that begins to burn.
    now.go()?;
    let first: Burned = now.finish()?;
    later.go()?;
    let second: Burned = later.finish()?;
    quell.signal(Signal::SIGINT)?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    for burned in [&first, &second] {
        recorded.burning(burned.pid).is_cpu_time(burned.burning())?;
    }
    recorded.is_only_of(&[first.pid, second.pid])?;
    assert_eq!(recorded.recording.meta.target, Target::Matching(vec![format!("--exe {pattern}")]));
    Ok(())
}

#[test]
fn a_stranger_that_is_given_the_id_of_a_target_that_ended_is_not_captured() -> Result<()> {
    const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
    needs!(Bpf);
    if fs::read(LAST_PID).and_then(|last| fs::write(LAST_PID, last)).is_err() {
        skip!("CONFIG_CHECKPOINT_RESTORE and CAP_CHECKPOINT_RESTORE, to choose process ids");
    }
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", "read line; true & wait; echo $!; read line"]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let pid = shell.id().to_string();
    let quell = dir.spawn([&["record", "-p", &pid][..], &FLAGS].concat())?;
    quell.captures()?;
    let mut stdin = shell.stdin.take().context("a pipe")?;
    stdin.write_all(b"go\n")?;
    let mut line = String::new();
    BufReader::new(shell.stdout.take().context("a pipe")?).read_line(&mut line)?;
    let child: u32 = line.trim().parse().with_context(|| format!("the shell said {line:?}"))?;
    let mut stranger = turns::until("the id is given out anew", || {
        fs::write(LAST_PID, (child - 1).to_string())?;
        let burn = Fixture::start("burn", &["--seconds", "1"])?;
        Ok((burn.pid() == child).then_some(burn))
    })?;
    stranger.go()?;
    let burned: Burned = stranger.finish()?;
    stdin.write_all(b"end\n")?;
    shell.wait()?;
    quell.wait()?.expect_code(0)?;
    let found = Recorded::read(&dir.path("x.quell"))?.burning(burned.pid).nanos;
    // Nothing, unless the kernel took its time to free the one before.
    let truth = burned.burning().spent;
    assert!(found < 0.1 * truth as f64, "{found} ns of a stranger's {truth} ns");
    Ok(())
}

#[test]
fn a_process_that_ended_before_its_samples_were_read_has_its_names() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let mut burn = Fixture::start("burn", &["--seconds", "0.5"])?;
    let quell = dir.spawn([&["record", "-a"][..], &FLAGS].concat())?;
    quell.captures()?;
    // Nothing reads the rings while it is stopped.
    quell.signal(Signal::SIGSTOP)?;
    burn.go()?;
    let burned: Burned = burn.finish()?;
    quell.signal(Signal::SIGCONT)?;
    quell.signal(Signal::SIGINT)?;
    quell.wait()?.expect_code(0)?;
    Recorded::read(&dir.path("x.quell"))?.burning(burned.pid).is_cpu_time(burned.burning())?;
    Ok(())
}

#[test]
fn children_that_run_already_are_captured_with_their_process() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    // A child of this test.
    let mut burn = Fixture::start("burn", &["--seconds", "1"])?;
    let own = std::process::id().to_string();
    let quell = dir.spawn([&["record", "-p", &own][..], &FLAGS].concat())?;
    quell.captures()?;
    burn.go()?;
    let burned: Burned = burn.finish()?;
    quell.signal(Signal::SIGINT)?;
    quell.wait()?.expect_code(0)?;
    Recorded::read(&dir.path("x.quell"))?.burning(burned.pid).is_cpu_time(burned.burning())?;
    Ok(())
}

#[test]
fn a_process_is_captured_until_its_last_thread_exits() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let mut burn = Fixture::start("burn", &["--seconds", "1", "--without-first-thread"])?;
    let stat = format!("/proc/{}/stat", burn.pid());
    turns::until("its first thread has exited", || Ok(fs::read_to_string(&stat)?.contains(") Z ").then_some(())))?;
    let quell = dir.spawn([&["record", "-p", &burn.pid().to_string()][..], &FLAGS].concat())?;
    quell.captures()?;
    burn.go()?;
    let burned: Burned = burn.finish()?;
    quell.wait()?.expect_code(0)?;
    Recorded::read(&dir.path("x.quell"))?.burning(burned.pid).is_cpu_time(burned.burning())?;
    Ok(())
}

#[test]
fn code_that_is_mapped_where_other_code_was_has_its_own_time() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let code = dir.path("code");
    fs::create_dir(&code)?;
    let names = ["first.so", "second.so", "third.so"];
    let directory = code.to_str().context("a path of text")?;
    let mut reload = Fixture::start("reload", &[&[directory][..], &names].concat())?;
    let quell = dir.spawn([&["record", "-p", &reload.pid().to_string()][..], &FLAGS].concat())?;
    quell.captures()?;
    reload.go()?;
    let reloaded: Reloaded = reload.finish()?;
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    for name in names {
        let of_file = |sample: &Weighted| {
            recorded.is_of(sample, CPU)
                && sample.stack.is_some_and(|stack| recorded.profile.functions(stack).any(|frame| frame.module == name))
        };
        let (found, truth) = (recorded.estimate(of_file), reloaded.cpu_ns[name] as f64);
        let allowed = 0.1 * truth + 2.0 * found.squares.sqrt();
        assert!((found.nanos - truth).abs() < allowed, "{found:?} in {name}, by its own clock {truth}");
    }
    Ok(())
}

#[test]
fn the_agent_is_no_part_of_its_own_capture() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let quell = dir.spawn([&["record", "-a", "-d", "1"][..], &FLAGS].concat())?;
    let pid = quell.pid()?.as_raw();
    quell.wait()?.expect_code(0)?;
    let recorded = Recorded::read(&dir.path("x.quell"))?;
    is_absent(&recorded, pid);
    assert!(recorded.profile.samples.len() > 10, "it did capture the others");
    Ok(())
}

#[test]
fn of_those_that_sleep_throughout_only_those_of_the_cpus_asked_for_are_captured() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    let mut threads = Vec::new();
    for cpu in [0, 1] {
        let Some(thread) = Sleeper::start(cpu)? else { skip!("CPUs 0 and 1") };
        threads.push(thread);
    }
    for (cpu, asked) in [(0, "0"), (1, "1")] {
        dir.run(["record", "-a", "--probe", "offcpu", "--cpu", asked, "-d", "1", "-o", "x.quell"])?.expect_code(0)?;
        let recorded = Recorded::read(&dir.path("x.quell"))?;
        let of = |thread: &Sleeper| recorded.estimate(|sample| recorded.tid(sample) == thread.tid);
        let share = of(&threads[cpu]).nanos / recorded.recording.meta.duration.0 as f64;
        assert!((0.8..=1.0).contains(&share), "{share} of the capture");
        assert_eq!(of(&threads[1 - cpu]).samples, 0);
        let cpus: BTreeSet<u32> = recorded.recording.samples.iter().map(|sample| sample.cpu.0).collect();
        assert_eq!(cpus, BTreeSet::from([cpu as u32]), "others slept there too");
    }
    Ok(())
}

/// A thread of the test that sleeps on one CPU until this value is dropped.
struct Sleeper {
    tid: i32,
    wake: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sleeper {
    /// `None` where there is no such CPU.
    fn start(cpu: usize) -> Result<Option<Self>> {
        let mut only = CpuSet::new();
        only.set(cpu)?;
        let (wake, woken) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            // It comes back from this on that CPU.
            let pinned = sched_setaffinity(Pid::from_raw(0), &only).is_ok();
            let _ = tell.send(pinned.then(gettid));
            let _ = woken.recv();
        });
        let tid = told.recv()?;
        let sleeper = Self { tid: tid.map_or(0, Pid::as_raw), wake: Some(wake), thread: Some(thread) };
        if tid.is_none() {
            return Ok(None);
        }
        turns::until("the thread sleeps", || {
            let function = fs::read_to_string(format!("/proc/self/task/{}/wchan", sleeper.tid))?;
            Ok(function.contains("futex").then_some(()))
        })?;
        Ok(Some(sleeper))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.wake.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn a_command_that_cannot_be_captured_is_not_run() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    // Found out only after the command's process was made.
    dir.run(["record", "--cpu", "8191", "-o", "x.quell", "--", "touch", "started"])?.expect_code(2)?;
    assert!(!dir.path("started").exists());
    kernel::nothing_left_behind()
}

#[test]
fn a_process_is_captured_whatever_it_is_called() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    for name in [r"aaaaaaaaaaaaaa\303", r"\377"] {
        let mut shell = Command::new("sh");
        let script = format!("printf '{name}' > /proc/$$/comm; echo ready; read line");
        let mut shell = shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(shell.stdout.take().context("a pipe")?).read_line(&mut line)?;
        let quell = dir.spawn([&["record", "-p", &shell.id().to_string()][..], &FLAGS].concat())?;
        quell.captures()?;
        // Ends with its target.
        drop(shell.stdin.take());
        shell.wait()?;
        quell.wait()?.expect_code(0)?;
    }
    Ok(())
}

#[test]
fn patterns_that_no_process_matches_are_an_error_and_the_recording_is_kept() -> Result<()> {
    needs!(Bpf);
    let _alone = turns::alone();
    let dir = Workdir::new()?;
    for option in ["--comm", "--exe", "--user", "--cgroup"] {
        let ended = dir.run(["record", option, "nosuch*", "-d", "50ms", "-o", "x.quell"])?.expect_code(2)?;
        let error = format!("no process matched {option} nosuch*\nhint: ");
        assert!(ended.stderr.contains(&error), "{}", ended.stderr);
        assert!(ended.stdout.contains("written: x.quell\n"), "{}", ended.stdout);
        assert!(Recorded::read(&dir.path("x.quell"))?.recording.samples.is_empty());
    }
    // One that matches and does nothing.
    let waiting = Fixture::start("burn", &[])?;
    dir.run(["record", "--comm", "burn", "--probe", "cpu", "-d", "50ms", "-o", "x.quell"])?.expect_code(0)?;
    drop(waiting);
    Ok(())
}
