//! `quell record`: captures, symbolizes and writes a recording and reports.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use nix::sched::{CpuSet as NixCpuSet, sched_setaffinity};
use quell::capture::{CaptureConfig, Session};
use quell::output::Output;
use quell::pattern::Pattern;
use quell::probe;
use quell::text::Shown;
use quell::units::{CpuSet, Hertz, Nanos};
use quell::{host, symbolize};

use super::Outcome;
use super::closing::Closing;
use super::duration::duration;
use super::ending::{Ending, Signals, Watch, deadline};
use super::record_privileges;
use super::report::probe_names;
use super::results::Results;
use super::target::{Options, Running, Target, cgroup_pattern, pid};
use super::terminal::Terminal;

/// Records on-CPU and off-CPU time of threads, with stacks and wakeups
///
/// Without a target, all threads are recorded (-a). Without -o, the page quell.html and the recording quell.quell are
/// written, and those of the previous capture are overwritten. Ctrl-C ends the capture early; the results are still written.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  quell record -a -d 10                              all threads, for ten seconds
  quell record -p 1234 -d 30 -o app.html             a process and its children
  quell record --cgroup system.slice/x.service       a cgroup, until Ctrl-C
  quell record --probe cpu -o make.svg -- make -j8   a command, on-CPU time only")]
pub(crate) struct Arguments {
    /// Record this process and its children, including later ones (may be repeated)
    #[arg(short, long, value_name = "PID", value_parser = pid, conflicts_with_all = ["all", "cgroup", "comm", "exe", "user", "command"])]
    pid: Vec<u32>,
    /// Record all threads
    #[arg(short, long, conflicts_with_all = ["cgroup", "comm", "exe", "user", "command"])]
    all: bool,
    /// Record the threads of this cgroup (version 2) and of its descendants. With a pattern, such as 'system.slice/*', with
    /// several cgroups, or with one of the following options: record the processes that match, see --comm
    #[arg(long, value_name = "PATH|GLOB", value_parser = cgroup_pattern, conflicts_with = "command")]
    cgroup: Vec<Pattern>,
    /// Record processes with this name, such as 'redis*' (may be repeated). With options of several kinds, processes must match
    /// one of each kind. A process that matches only once it executes another program is recorded up to 50 ms later; its
    /// children are recorded too
    #[arg(long, value_name = "GLOB", value_parser = Pattern::new, conflicts_with = "command")]
    comm: Vec<Pattern>,
    /// Record processes with this executable: a path, or a file name (may be repeated)
    #[arg(long, value_name = "GLOB", value_parser = Pattern::new, conflicts_with = "command")]
    exe: Vec<Pattern>,
    /// Record processes of this user: a name, or a UID (may be repeated)
    #[arg(long, value_name = "GLOB", value_parser = Pattern::new, conflicts_with = "command")]
    user: Vec<Pattern>,
    /// Record only events on these CPUs, such as 0-3,8
    #[arg(long, value_name = "LIST")]
    cpu: Option<CpuSet>,
    /// The probes to use
    #[arg(long, value_delimiter = ',', value_name = "PROBE", value_parser = probe_names(), default_value = "cpu,offcpu")]
    probe: Vec<String>,
    /// CPU samples per second on each CPU, from 1 to 10000
    #[arg(short = 'F', long, value_name = "HZ", default_value_t = 99, value_parser = frequency)]
    frequency: u32,
    /// The length of the capture, such as 500ms, 10s or 1m30s; a number without a unit is in seconds [default: until the
    /// target exits, or Ctrl-C]
    #[arg(short, long, value_name = "DURATION", value_parser = duration, allow_negative_numbers = true)]
    duration: Option<Nanos>,
    /// Write to this file, in the format of its extension: .html, .svg, .quell (the recording) or another of `quell list
    /// formats` (may be repeated). Only these files are written: `quell report` requires a recording, so add -o NAME.quell
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// Use this format for every -o, regardless of the file extension
    #[arg(long, value_name = "FORMAT", requires = "output")]
    format: Option<String>,
    /// Walk the stack of every off-CPU interval instead of a sample, without regard to --max-overhead; expensive at high
    /// context switch rates
    #[arg(long)]
    every_event: bool,
    /// The maximum cost of the probes, in percent of one CPU; if they cost more, fewer events are sampled; 0 for no limit
    #[arg(long, value_name = "PCT", default_value_t = 1.0, value_parser = percent, allow_negative_numbers = true)]
    max_overhead: f64,
    /// Start this command, and record it and its children
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The maximum sampling frequency, in samples per second on each CPU. A sample with its stacks takes a few microseconds. At this
/// frequency, one is taken every 100 microseconds, so that a larger part of the CPU time would be the profiler's own. The kernel's
/// timer has a limit of 100,000 (kernel/events/core.c, `perf_swevent_start_hrtimer`: at least 10 microseconds).
const MOST_FREQUENT: u32 = 10_000;

fn frequency(text: &str) -> Result<u32, String> {
    match text.parse::<u64>() {
        Ok(0) | Err(_) => Err(format!("`{text}` is not a sampling frequency; expected samples per second, such as 99")),
        Ok(rate) if rate > MOST_FREQUENT.into() => Err(format!(
            "{rate} samples per second are too many, the limit is {MOST_FREQUENT}\nhint: for short functions, record longer instead; 99 to 999 are usual"
        )),
        Ok(rate) => Ok(u32::try_from(rate).unwrap_or(MOST_FREQUENT)),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if percent.is_finite() && percent >= 0.0 => Ok(percent),
        _ => Err(format!("`{text}` is not a percentage; expected a number such as 1 or 0.5, or 0 for no limit")),
    }
}

pub(crate) fn run(arguments: &Arguments, terminal: Terminal, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let outputs = outputs(arguments)?;
    let mut results = Results::prepare(&outputs);
    check_frequency(arguments.frequency, host::max_sample_rate())?;
    if let Some(remark) = max_stack_remark(host::max_stack()) {
        tracing::warn!("{remark}");
    }
    let signals = Signals::hold()?;
    let target = Target::resolve(&Options {
        pids: &arguments.pid,
        cgroups: &arguments.cgroup,
        comms: &arguments.comm,
        executables: &arguments.exe,
        users: &arguments.user,
        words: &arguments.command,
    })?;
    keep_off(arguments.cpu.as_ref())?;
    let mut prepared = record_privileges::prepare(&outputs)?;
    let config = CaptureConfig {
        target: target.capture(),
        cpus: arguments.cpu.clone(),
        probes: arguments.probe.iter().filter_map(|name| probe::by_name(name)).collect(),
        frequency: Hertz(arguments.frequency),
        // Every event means every event, whatever it costs.
        every_event: arguments.every_event,
        max_overhead: (arguments.max_overhead > 0.0 && !arguments.every_event)
            .then_some(arguments.max_overhead / 100.0),
        own: vec![prepared.namers()],
        command_line: std::env::args().collect(),
    };
    let mut session = Session::start(config, prepared.take_processes()?)?;
    prepared.attached()?;
    for remark in session.remarks() {
        tracing::warn!("{remark}");
    }
    let mut running = target.begin()?;
    let ending = capture(&mut session, &signals, &mut running, arguments.duration)?;
    let unmatched = session.unmatched_options().map(nothing_recorded);
    let (mut recording, mut spaces) = session.finish()?;
    prepared.finish()?;
    recording.meta.exit_code = match ending {
        Ending::Target(code) => code,
        Ending::Time | Ending::Signal(_) => None,
    };
    let closing = Closing::begin(signals, ending)?;
    // Before symbolization, which may fail or take long.
    if results.write_unnamed(&recording) {
        closing.captured_is_safe();
    }
    recording.meta.symbols = prepared.name(&mut recording, &mut spaces, &mut || closing.skips_naming());
    let incomplete = symbolize::incomplete_user_stacks(&recording, recording.meta.max_stack);
    recording.meta.losses.truncated_user_stacks = incomplete.truncated;
    recording.meta.losses.limited_stacks = incomplete.limited;
    recording.meta.remarks.extend(max_stack_remark(recording.meta.max_stack));
    recording.meta.remarks.extend(mangled_remark(symbolize::mangled_functions(&recording)));
    drop(spaces);
    let written = results.write(&recording, &closing, terminal, out);
    closing.outputs_are_written();
    let said = after(running, ending, &arguments.command, &mut Shown::new(&mut *out));
    // The summary too: an error leaves behind what is buffered. If stdout fails as well, an output that was lost matters more.
    let flushed = if written.is_err() { out.flush() } else { Ok(()) };
    written?;
    said?;
    flushed?;
    unmatched.map_or(Ok(Outcome::Done), Err)
}

/// The error of a capture whose target no process has matched.
fn nothing_recorded(options: &[String]) -> anyhow::Error {
    anyhow!(
        "the recording is empty: no process matched {}\nhint: `ps -eo user:32,cgroup:64,comm,exe` lists what the options can match",
        options.join(" ")
    )
}

fn outputs(arguments: &Arguments) -> anyhow::Result<Vec<Output>> {
    let usual = [PathBuf::from("quell.html"), PathBuf::from("quell.quell")];
    let paths = if arguments.output.is_empty() { &usual[..] } else { &arguments.output };
    let outputs = paths.iter().map(|path| Output::new(path, arguments.format.as_deref()));
    Ok(outputs.collect::<Result<_, _>>()?)
}

/// Checks the sampling frequency against the limit of the kernel, if it is known.
fn check_frequency(asked: u32, limit: Option<u32>) -> anyhow::Result<()> {
    match limit {
        Some(limit) if asked > limit => {
            bail!(
                "-F {asked} is above the limit of this kernel, {limit} samples per second\nhint: use a lower -F, or raise {}",
                host::MAX_SAMPLE_RATE
            )
        }
        _ => Ok(()),
    }
}

/// What to say about a kernel that walks fewer frames of a stack than quell asks for.
fn max_stack_remark(limit: Option<u32>) -> Option<String> {
    let limit = limit.filter(|limit| (*limit as usize) < quell_ebpf_common::MAX_FRAMES)?;
    Some(format!(
        "deeper stacks are cut at kernel.perf_event_max_stack = {limit} frames; for whole stacks: sysctl kernel.perf_event_max_stack={}",
        quell_ebpf_common::MAX_FRAMES
    ))
}

/// Moves the threads of quell off the recorded CPUs, if there are other CPUs.
fn keep_off(captured: Option<&CpuSet>) -> anyhow::Result<()> {
    let Some(captured) = captured else { return Ok(()) };
    let others = host::cpus_online()?.difference(captured);
    if others.is_empty() {
        return Ok(());
    }
    let mut mask = NixCpuSet::new();
    for cpu in others.iter() {
        // CPUs beyond the mask's size are simply not used.
        let _ = mask.set(cpu.0 as usize);
    }
    sched_setaffinity(nix::unistd::Pid::from_raw(0), &mask)
        .or_else(|errno| {
            tracing::info!("quell also runs on recorded CPUs: {errno}");
            Ok::<_, nix::errno::Errno>(())
        })
        .context("could not set the CPU affinity of quell")
}

fn capture(
    session: &mut Session,
    signals: &Signals,
    running: &mut Running,
    duration: Option<Nanos>,
) -> anyhow::Result<Ending> {
    let progress = progress(duration);
    let mut watch = Watch { signals, running, deadline: deadline(duration) };
    let ending = loop {
        if let Some(ending) = watch.wait(session.until_poll())? {
            break ending;
        }
        session.poll()?;
        progress.set_position(u64::try_from(progress.elapsed().as_millis()).unwrap_or(u64::MAX));
        progress.set_message(format!("{} samples", session.samples()));
    };
    progress.finish_and_clear();
    Ok(ending)
}

fn progress(duration: Option<Nanos>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match duration {
        Some(duration) => (ProgressBar::new(duration.0 / 1_000_000), "recording {bar:30} {elapsed} {msg}"),
        None => (ProgressBar::new_spinner(), "recording {elapsed} {msg} (Ctrl-C to stop)"),
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn after(mut running: Running, ending: Ending, command: &[String], out: &mut dyn Write) -> anyhow::Result<()> {
    match (&mut running, ending) {
        (Running::Command(_), Ending::Target(Some(code))) => {
            writeln!(out, "`{}` exited with code {code}", command.join(" "))?;
        }
        (Running::Command(child), _) => {
            tracing::warn!("`{}` (PID {}) is still running", command.join(" "), child.id());
        }
        (Running::Processes(_), Ending::Target(_)) => tracing::info!("the target has exited"),
        _ => {}
    }
    Ok(())
}

/// What to say about names that are too deep for the demangler.
fn mangled_remark(functions: u64) -> Option<String> {
    let s = if functions == 1 { "" } else { "s" };
    (functions > 0).then(|| {
        format!(
            "{functions} code location{s} with a mangled name: C++ names are demangled up to 20 levels of templates"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frequency_has_a_limit_that_the_error_names() {
        assert_eq!(["1", "99", "10000"].map(frequency), [Ok(1), Ok(99), Ok(10_000)]);
        for text in ["10001", "100000", "4294967296"] {
            let error = frequency(text).expect_err(text);
            assert!(error.contains("the limit is 10000\nhint: "), "{error}");
        }
        for text in ["0", "-1", "many", "99.5", ""] {
            assert!(frequency(text).expect_err(text).contains("not a sampling frequency"), "{text}");
        }
        assert!(check_frequency(99, Some(99)).is_ok() && check_frequency(99, None).is_ok());
        let error = check_frequency(999, Some(250)).expect_err("above the limit").to_string();
        assert!(
            error.contains("-F 999 is above the limit of this kernel, 250") && error.contains("\nhint: "),
            "{error}"
        );
    }

    #[test]
    fn mangled_names_are_counted_in_a_remark() {
        assert_eq!(mangled_remark(0), None);
        let remarks = [1, 2].map(|count| mangled_remark(count).expect("a remark"));
        assert!(remarks[0].starts_with("1 code location with") && remarks[1].starts_with("2 code locations with"));
    }

    #[test]
    fn a_lowered_limit_of_stacks_is_said_with_its_remedy() {
        assert_eq!([None, Some(127), Some(1_000)].map(max_stack_remark), [None, None, None]);
        let remark = max_stack_remark(Some(20)).expect("a remark");
        assert!(remark.contains("cut at kernel.perf_event_max_stack = 20"), "{remark}");
        assert!(remark.contains("sysctl kernel.perf_event_max_stack=127"), "{remark}");
    }
}
