//! A capture from attach to recording.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use quell_ebpf_common::{Lost, PROBES, process};

use super::POLL;
use super::config::{CaptureConfig, CaptureTarget, thread_ids, thread_table_size};
use super::cost::{CostMeter, agent_usage, mean};
use super::hotplug::{self, OnlineCpus};
use super::matching::{Executed, Matching, name_of};
use super::order::{SLACK, Sorter};
use super::process_facts::{self, ProcessFacts};
use super::rate::{self, Allowance, divide, divide_at_start, limited_probes};
use super::snapshots::Snapshots;
use super::steal::StealMeter;
use crate::bpf::{BpfObject, Helpers, Maps, ProbeError, Record, Rings, settings};
use crate::host::{self, Btf};
use crate::inspect::Children;
use crate::perf::{CpuEvent, Opener};
use crate::privileges;
use crate::probe::{Availability, Probe, ProbeConfig, RunningProbe, declarations};
use crate::recording::{
    Cost, Governing, HostFacts, LabelTable, Losses, Meta, ProbeCost, Process, Recording, RecordingBuilder,
    SCHEMA_VERSION, ScaleChange, StealTime, SymbolizeStats, Target,
};
use crate::symbolize::{AddressSpaces, Lives, MappingEvent, MappingEvents};
use crate::sys;
use crate::units::{Bytes, CpuId, CpuSet, Nanos, Pid, Tid};

/// How often the budget is divided among probes and CPUs.
const DIVISION: Nanos = Nanos(100_000_000);

/// The minimum time between recorded changes of a scale, unless a change is large.
const QUIET: Nanos = Nanos(1_000_000_000);

/// An error of a capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A fact of the host could not be read.
    #[error(transparent)]
    Host(#[from] host::HostError),
    /// None of the probes works.
    #[error("probe {probe}: {source}")]
    Probe {
        /// The name of a probe.
        probe: &'static str,
        /// The error of this probe.
        r#source: ProbeError,
    },
    /// The eBPF object, or a program that every probe needs, could not be loaded.
    #[error(transparent)]
    Object(#[from] ProbeError),
    /// A CPU of `--cpu` is not online.
    #[error("CPU {0} is not online; the CPUs of this host are {1}")]
    NoSuchCpu(CpuId, CpuSet),
}

/// A started probe.
struct Running {
    probe: &'static dyn Probe,
    at_work: Box<dyn RunningProbe>,
    /// The last recorded scale, and its time.
    scale: (f64, Nanos),
}

/// A running capture. Dropping it detaches all programs.
pub struct Session {
    config: CaptureConfig,
    object: BpfObject,
    rings: Rings,
    running: Vec<Running>,
    mappings: Option<MappingEvents>,
    opener: Opener,
    pending: Vec<(Nanos, MappingEvent)>,
    /// Lost records and mapping events so far.
    lost: u64,
    spaces: AddressSpaces,
    sorter: Sorter,
    /// A buffer for a record that had to be completed.
    completed: Vec<u64>,
    builder: RecordingBuilder,
    process_facts: ProcessFacts,
    users: host::Users,
    /// Processes that may match since they executed a program.
    executed: Executed,
    /// Whether a process has matched the patterns of the target.
    has_matched: bool,
    /// The number of records that could not be decoded.
    unknown: u64,
    meter: CostMeter,
    steal: StealMeter,
    governing: Governing,
    last_division: Nanos,
    snapshots: Snapshots,
    begin_realtime: Nanos,
    usage_before: Nanos,
    cpus: CpuSet,
    online: OnlineCpus,
    host: HostFacts,
    remarks: Vec<String>,
}

impl Session {
    /// Loads and starts the probes. `processes` reads the mappings of the captured processes. Probes that the kernel rejects are
    /// not used, and a remark says so, as long as at least one probe works.
    ///
    /// # Errors
    /// Any [`CaptureError`]; nothing stays attached.
    pub fn start(config: CaptureConfig, processes: Children) -> Result<Self, CaptureError> {
        sys::keep_freed_memory();
        let host = host::facts()?;
        let cpus = captured_cpus(&config, &host)?;
        let mut remarks = Vec::new();
        let possible = host::cpus_present()?.union(&host.cpus).iter().last().map_or(1, |cpu| cpu.0 + 1);
        let mut object = load(&config, possible)?;
        let rings = Rings::create(object.take_rings()?, &host.cpus, possible).map_err(ProbeError::Map)?;
        let lives = follow_processes(&mut object, &config.target, &mut remarks)?;
        let mappings = match MappingEvents::open(&host.cpus, lives) {
            Ok(mappings) => Some(mappings),
            Err(error) => {
                remarks.push(format!("functions of short-lived processes may have no names: {error}"));
                None
            }
        };
        let usage_before = agent_usage().0;
        let probe_config = ProbeConfig {
            cpus: cpus.clone(),
            isolated: isolated_cpus(&config, &cpus, &mut remarks),
            frequency: config.frequency,
            cgroup: match &config.target {
                CaptureTarget::Cgroup { cgroup, .. } => Some(cgroup.directory.clone()),
                _ => None,
            },
        };
        let mut spaces = AddressSpaces::new(Box::new(processes));
        let users = host::Users::local();
        let matching = match &config.target {
            CaptureTarget::Matching(matching) => matched(matching, host::processes(), &users, &mut spaces),
            _ => Vec::new(),
        };
        add_families(&mut object, &matching)?;
        // After the reports of mappings are enabled, so that none is missed; before the first sample, because a sampled process
        // may have exited when the sample is read.
        for pid in targets_now(&config.target).into_iter().chain(host::family(&matching)) {
            spaces.preload(pid);
        }
        let budget = config.max_overhead;
        if let Some(budget) = budget {
            let probes = limited_probes(config.probes.iter().map(|probe| probe.spec()));
            set_allowances(&mut object, &divide_at_start(budget, &cpus, &probes))?;
        }
        let started = start_probes(&config.probes, &mut object, &probe_config, &mut remarks)?;
        let of_probes = started.iter().filter_map(|(_, at_work)| at_work.cpu_event());
        let opener =
            opener(of_probes.chain(mappings.iter().flat_map(MappingEvents::cpu_events)).collect(), &mut remarks);
        // Loading takes some time, so the capture begins when everything is attached. The state recorded before counts as the
        // state at the beginning.
        let (begin, begin_realtime) = (now(), clock(ClockId::CLOCK_REALTIME));
        let mut running = begin_probes(started, &mut object, begin, &mut remarks)?;
        let mut builder = RecordingBuilder::new(begin);
        for Running { probe, at_work, .. } in &mut running {
            let spec = probe.spec();
            at_work.declared(builder.declare(spec.name, spec.label, spec.metrics));
        }
        let meter =
            CostMeter::new(&object, cpus.clone(), limited_probes(running.iter().map(|one| one.probe.spec())), begin)?;
        let governing = Governing { budget, ..Governing::default() };
        let mut session = Self {
            config,
            object,
            rings,
            running,
            mappings,
            opener,
            pending: Vec::new(),
            lost: 0,
            spaces,
            sorter: Sorter::default(),
            completed: Vec::new(),
            builder,
            process_facts: ProcessFacts::new(begin),
            users,
            executed: Executed::default(),
            has_matched: !matching.is_empty(),
            unknown: 0,
            meter,
            steal: StealMeter::new(begin),
            governing,
            last_division: begin,
            snapshots: Snapshots::new(begin),
            begin_realtime,
            usage_before,
            cpus,
            online: OnlineCpus::new(host.cpus.clone()),
            host,
            remarks,
        };
        // A sleeping thread may wake up soon, and its user stack must be read before that.
        session.drain();
        Ok(session)
    }

    /// Remarks so far, such as the probes that are not used, with the reason.
    #[must_use]
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The number of samples so far.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.builder.samples.len()
    }

    /// The time until [`poll`](Self::poll) is to be called, in whole milliseconds: at most [`POLL`].
    #[must_use]
    pub fn until_poll(&self) -> Duration {
        POLL.min(self.snapshots.until_next(now()))
    }

    /// Reads new records and counted totals, and divides the budget if it is time. Call this after [`until_poll`](Self::until_poll).
    ///
    /// # Errors
    /// A map cannot be read or written.
    pub fn poll(&mut self) -> Result<(), CaptureError> {
        let before = now();
        if self.snapshots.is_due(before) {
            self.snapshot(before)?;
        }
        self.follow_cpus(before)?;
        self.drain();
        self.note_losses()?;
        self.add_executed()?;
        self.release(Nanos(before.0.saturating_sub(SLACK.0)));
        self.spaces.poll(Duration::ZERO);
        let Self { process_facts, builder, spaces, .. } = self;
        process_facts.update(&mut builder.processes, before, &mut |pid| process_facts::look(pid, spaces));
        let begin = builder.begin();
        self.steal.update(before, begin, &mut builder.stolen);
        if before.since(self.last_division) >= DIVISION {
            self.last_division = before;
            self.govern(before)?;
        }
        Ok(())
    }

    fn drain(&mut self) {
        let own = self.own_processes();
        let Self { rings, spaces, sorter, running, unknown, completed, .. } = self;
        rings.drain(|bytes| {
            let Some(record) = Record::new(bytes) else {
                *unknown += 1;
                return;
            };
            if own.contains(&Pid(record.header.tgid)) {
                return;
            }
            let time = Nanos(record.header.time);
            match running_of(running, record.header.probe) {
                Some(running) if running.at_work.complete(&record, spaces, completed) => {
                    sorter.push(time, bytemuck::cast_slice(completed));
                }
                _ => sorter.push(time, bytes),
            }
        });
        // After the samples: the mappings of a sample were reported before it was taken.
        if let Some(mappings) = &mut self.mappings {
            let executed = &mut self.executed;
            let follows_exec = matches!(self.config.target, CaptureTarget::Matching(_));
            mappings.drain(|time, event| {
                if let MappingEvent::Exec { pid } = &event
                    && follows_exec
                {
                    executed.push(*pid);
                }
                self.pending.push((time, event));
            });
        }
    }

    /// Reads what was counted so far.
    fn snapshot(&mut self, now: Nanos) -> Result<(), CaptureError> {
        let begin = self.builder.begin();
        for Running { probe, at_work, .. } in &mut self.running {
            let read = at_work.snapshot(&self.object, now, begin);
            read.map_err(|source| CaptureError::Probe { probe: probe.spec().name, source })?;
        }
        Ok(())
    }

    /// Starts capturing on CPUs that came online.
    fn follow_cpus(&mut self, now: Nanos) -> Result<(), CaptureError> {
        for cpu in self.online.update(host::cpus_online()?) {
            if self.config.cpus.as_ref().is_some_and(|captured| !captured.contains(cpu)) {
                continue;
            }
            if let Err(error) = self.start_on(cpu, now) {
                self.remarks.push(hotplug::not_captured(cpu, &error));
            }
        }
        Ok(())
    }

    fn start_on(&mut self, cpu: CpuId, now: Nanos) -> Result<(), ProbeError> {
        self.rings.add(cpu)?;
        if let Some(mappings) = &mut self.mappings
            && let Err(error) = mappings.add(cpu, &mut self.opener)
        {
            self.remarks.push(hotplug::without_mappings(cpu, &error));
        }
        self.meter.add(&self.object, cpu, now)?;
        self.cpus = self.cpus.union(&CpuSet::from_iter([cpu]));
        let Self { running, object, opener, .. } = self;
        running.iter_mut().try_for_each(|running| running.at_work.cpu_online(object, cpu, opener))
    }

    /// What was lost may have been about the mappings of any process.
    fn note_losses(&mut self) -> Result<(), CaptureError> {
        let lost = self.object.lost()?.records + self.mappings.as_ref().map_or(0, MappingEvents::lost);
        if lost != self.lost {
            self.lost = lost;
            self.spaces.distrust();
        }
        Ok(())
    }

    /// Adds processes to the targets that match since they executed a program.
    fn add_executed(&mut self) -> Result<(), CaptureError> {
        let CaptureTarget::Matching(matching) = &self.config.target else { return Ok(()) };
        for pid in matched(matching, self.executed.next(), &self.users, &mut self.spaces) {
            self.object.add_target(pid)?;
            self.has_matched = true;
        }
        Ok(())
    }

    /// The options of the target, if it consists of patterns that no process has matched so far.
    #[must_use]
    pub fn unmatched_options(&self) -> Option<&[String]> {
        match &self.config.target {
            CaptureTarget::Matching(matching) if !self.has_matched => Some(&matching.options),
            _ => None,
        }
    }

    /// The other processes of quell, which are excluded, as the programs exclude quell itself. Samples of children that were
    /// killed remain.
    fn own_processes(&self) -> Vec<Pid> {
        self.spaces.readers().into_iter().chain(self.config.own.iter().copied()).chain(self.opener.process()).collect()
    }

    fn release(&mut self, until: Nanos) {
        let Self { sorter, builder, running, spaces, pending, unknown, process_facts, .. } = self;
        pending.sort_by_key(|(time, _)| *time);
        let ready = pending.partition_point(|(time, _)| *time <= until);
        let mut mappings = pending.drain(..ready).peekable();
        sorter.release(until, |bytes| {
            let Some(record) = Record::new(bytes) else { return };
            while let Some((at, event)) = mappings.next_if(|(at, _)| at.0 <= record.header.time) {
                spaces.advance(at);
                map(builder, spaces, process_facts, &event);
            }
            spaces.advance(Nanos(record.header.time));
            if record.header.probe == process::PROBE {
                match process_event(&record) {
                    Some(event) => map(builder, spaces, process_facts, &event),
                    None => *unknown += 1,
                }
                if let Some(old) = old_tid(&record) {
                    builder.thread_executed(Pid(record.header.tgid), old);
                }
                return;
            }
            let decoded = running_of(running, record.header.probe)
                .map(|running| running.at_work.decode(&record, builder, spaces));
            *unknown += u64::from(!matches!(decoded, Some(Ok(()))));
        });
        for (at, event) in mappings {
            spaces.advance(at);
            map(builder, spaces, process_facts, &event);
        }
    }

    fn govern(&mut self, now: Nanos) -> Result<(), CaptureError> {
        let Some(budget) = self.config.max_overhead else { return Ok(()) };
        let interval = self.meter.interval(&self.object, now)?;
        // Bursts of events recur, so the recent cost of counting is not available for sampling.
        let charged = interval.counting.max(interval.recent_counting);
        set_allowances(&mut self.object, &divide(budget, charged, &interval.spent))?;
        let counting = interval.recent_counting;
        self.governing.counting = self.governing.counting.max(counting);
        if !self.governing.over_budget
            && let Some(sufficient) = rate::sufficient_budget(budget, counting)
        {
            self.governing.over_budget = true;
            let over = format!(
                "counting events alone costs {:.1} % of one CPU, which exceeds --max-overhead {}",
                100.0 * counting,
                100.0 * budget,
            );
            if self.running.iter().any(|running| running.probe.spec().samples) {
                tracing::warn!(
                    "{over}; walking stacks is limited to {:.2} %\n\
                     hint: use --max-overhead {:.1}, or record less with --probe cpu, --pid or --cpu",
                    100.0 * budget * rate::LEAST_PART,
                    100.0 * sufficient,
                );
            } else {
                tracing::warn!("{over}\nhint: record less with --pid, --cgroup or --cpu");
            }
        }
        let begin = self.builder.begin();
        for running in self.running.iter_mut().filter(|running| running.probe.spec().samples) {
            let spec = running.probe.spec();
            let scale = self.meter.scale(spec.number);
            let (last, at) = running.scale;
            let factor = scale / last;
            let large = !(0.1..10.0).contains(&factor);
            if large || !(0.5..2.0).contains(&factor) && now.since(at) >= QUIET {
                running.scale = (scale, now);
                let change = ScaleChange { time: now.since(begin), probe: spec.name.to_owned(), scale };
                self.governing.changes.push(change);
            }
        }
        Ok(())
    }

    /// Detaches all programs and builds the recording. Its frames have no names yet; `AddressSpaces` has the files for
    /// symbolizing them.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn finish(mut self) -> Result<(Recording, AddressSpaces), CaptureError> {
        let end = now();
        for running in &mut self.running {
            if let Err(error) = running.at_work.stop(&mut self.object) {
                self.remarks.push(format!(
                    "probe {}: intervals that had not ended at the end of the capture are missing: {error}",
                    running.probe.spec().name
                ));
            }
        }
        self.object.detach();
        self.drain();
        // Events that are newer than the start of a drain are held back until the next one.
        self.drain();
        self.release(Nanos(u64::MAX));
        let duration = end.since(self.builder.begin());
        let cost = self.cost(duration)?;
        let own = self.own_processes();
        let begin = self.builder.begin();
        self.steal.finish(end, begin, &mut self.builder.stolen);
        for running in std::mem::take(&mut self.running) {
            let probe = running.probe.spec().name;
            running
                .at_work
                .finish(&self.object, end, &own, &mut self.builder)
                .map_err(|source| CaptureError::Probe { probe, source })?;
        }
        let Self { process_facts, builder, spaces, users, .. } = &mut self;
        process_facts.finish(&mut builder.processes, end, &mut |pid| process_facts::look(pid, spaces));
        process_facts::name_users(&mut builder.processes, |user| users.known_name(user));
        // What was counted after the end, before the programs were detached, counts as the last moment.
        for slice in self.builder.counters.iter_mut().filter_map(|row| row.slice.as_mut()) {
            (slice.begin, slice.end) = (slice.begin.min(duration), slice.end.min(duration));
        }
        let losses = self.losses(&self.object.lost()?);
        self.remarks.extend(self.online.remark());
        let builder = self.builder;
        let meta = Meta {
            schema: SCHEMA_VERSION,
            quell: env!("CARGO_PKG_VERSION").to_owned(),
            command_line: self.config.command_line,
            target: match self.config.target {
                CaptureTarget::All => Target::All,
                CaptureTarget::Processes(pids) => Target::Processes(pids),
                CaptureTarget::Cgroup { path, .. } => Target::Cgroup(path.display().to_string()),
                CaptureTarget::Matching(matching) => Target::Matching(matching.options),
                CaptureTarget::Command { words, .. } => Target::Command(words),
            },
            start_monotonic: builder.begin(),
            idle: builder.idle,
            steal: steal_shares(&builder.stolen, &self.cpus, duration),
            cpus: self.cpus,
            probes: builder.declared.probes,
            metrics: builder.declared.metrics,
            host: self.host,
            start_realtime: self.begin_realtime,
            duration,
            frequency: self.config.frequency.0,
            every_event: self.config.every_event,
            max_stack: host::max_stack(),
            remarks: [self.remarks, builder.remarks].concat(),
            exit_code: None,
            cost,
            losses,
            symbols: SymbolizeStats::default(),
            governing: self.governing,
        };
        let recording = Recording {
            meta,
            modules: builder.modules,
            frames: builder.stacks.frames,
            stacks: builder.stacks.stacks,
            processes: builder.processes,
            threads: builder.threads,
            labels: LabelTable::default(),
            samples: builder.samples,
            counters: builder.counters,
            histograms: builder.histograms,
        };
        Ok((recording, self.spaces))
    }

    fn cost(&self, duration: Nanos) -> Result<Cost, CaptureError> {
        let mut probes = Vec::new();
        let mut nanos = 0.0;
        let mut counted = BTreeSet::new();
        for running in &self.running {
            let spec = running.probe.spec();
            let mut row = |mechanism: String, events: u64, mean: Option<f64>| {
                nanos += mean.unwrap_or(0.0) * events as f64;
                probes.push(ProbeCost { probe: spec.name.to_owned(), mechanism, events, nanos_per_event: mean });
            };
            // A hook that several probes share is listed with the first.
            for hook in spec.hooks.iter().filter(|hook| counted.insert(**hook)) {
                let runs = self.object.runs(*hook)?;
                row(format!("{}: {}", running.at_work.mechanism(), hook.event()), runs.runs, mean(&runs));
            }
            if !spec.samples {
                continue;
            }
            let (samples, nanos) = self.meter.samples(&self.object, spec.number)?;
            row("stack walks".to_owned(), samples, (samples > 0).then(|| nanos as f64 / samples as f64));
        }
        let (usage, agent_memory) = agent_usage();
        let children = Nanos::from(self.spaces.cpu() + self.opener.cpu());
        let agent_cpu = Nanos(usage.since(self.usage_before).0 + children.0);
        Ok(Cost {
            probes,
            agent_cpu,
            cpu_share: (nanos + agent_cpu.0 as f64) / (duration.0.max(1) as f64),
            map_memory: Bytes(self.object.map_memory().0 + self.rings.memory.0),
            agent_memory,
        })
    }

    fn losses(&self, lost: &Lost) -> Losses {
        Losses {
            ring_full: lost.records,
            thread_table_full: lost.threads,
            targets_full: lost.targets,
            no_kernel_stack: self.builder.stack_losses.no_kernel,
            no_user_stack: self.builder.stack_losses.no_user,
            truncated_user_stacks: 0,
            limited_stacks: 0,
            deep_stacks: self.builder.stack_losses.deep,
            cut_stacks: self.builder.stack_losses.cut,
            unmatched_sleeps: self.builder.unmatched,
            unknown_records: self.unknown,
            lost_mappings: self.mappings.as_ref().map_or(0, MappingEvents::lost),
            lost_kernel_code: self.mappings.as_ref().map_or(0, MappingEvents::lost_kernel_code),
            unmatched_processes: self.executed.dropped(),
            evicted: self.spaces.evicted(),
            unanswered: self.spaces.unanswered(),
        }
    }
}

/// Prepares opening these events on CPUs that come online after privileges were dropped.
fn opener(events: Vec<CpuEvent>, remarks: &mut Vec<String>) -> Opener {
    if !privileges::perf_events_require_sys_admin() {
        return Opener::direct();
    }
    Opener::start(events).unwrap_or_else(|error| {
        remarks.push(hotplug::no_opener(&error));
        Opener::direct()
    })
}

/// The share of the capture that was stolen from each captured CPU.
fn steal_shares(stolen: &[StealTime], cpus: &CpuSet, duration: Nanos) -> BTreeMap<CpuId, f64> {
    let mut shares = BTreeMap::new();
    for time in stolen.iter().filter(|time| cpus.contains(time.cpu)) {
        *shares.entry(time.cpu).or_insert(0.0) += time.time.0 as f64 / duration.0.max(1) as f64;
    }
    shares
}

/// The CPUs on which no timer may be started: isolated CPUs, unless the user names the CPUs or the processes to capture.
fn isolated_cpus(config: &CaptureConfig, cpus: &CpuSet, remarks: &mut Vec<String>) -> CpuSet {
    if config.cpus.is_some() || !matches!(config.target, CaptureTarget::All) {
        return CpuSet::default();
    }
    let isolated = host::cpus_isolated().intersection(cpus);
    if isolated.len() == cpus.len() {
        return CpuSet::default();
    }
    if !isolated.is_empty() {
        remarks.push(format!(
            "CPU time is not sampled on the isolated CPUs {isolated}, since a timer would disturb them; --cpu {isolated} samples them"
        ));
    }
    isolated
}

/// The CPUs to capture.
fn captured_cpus(config: &CaptureConfig, host: &HostFacts) -> Result<CpuSet, CaptureError> {
    let Some(asked) = &config.cpus else { return Ok(host.cpus.clone()) };
    match asked.iter().find(|cpu| !host.cpus.contains(*cpu)) {
        Some(absent) => Err(CaptureError::NoSuchCpu(absent, host.cpus.clone())),
        None => Ok(asked.clone()),
    }
}

fn load(config: &CaptureConfig, possible: u32) -> Result<BpfObject, CaptureError> {
    let btf = Btf::kernel().map_err(|error| ProbeError::Btf(error.to_string()))?;
    let offsets = host::offsets(&btf).map_err(ProbeError::Field)?;
    let settings = settings(&config.scope(), &offsets, &Helpers::detect(), possible);
    let declarations = declarations(&btf, &config.probes).map_err(ProbeError::Field)?;
    let maps = Maps { threads: thread_table_size(), ids: thread_ids(), cpus: possible };
    Ok(BpfObject::load(&btf, settings, maps, &declarations)?)
}

/// Loads the programs that report which processes there are, and maintain the table of target processes. Returns who reports it: a
/// capture of target processes is not possible without these programs.
fn follow_processes(
    object: &mut BpfObject,
    target: &CaptureTarget,
    remarks: &mut Vec<String>,
) -> Result<Lives, ProbeError> {
    let mut follow = || {
        object.follow("quell_free", "sched_process_free")?;
        object.follow("quell_fork", "sched_process_fork")?;
        object.follow("quell_exec", "sched_process_exec")
    };
    let followed = follow();
    match target {
        CaptureTarget::All | CaptureTarget::Cgroup { .. } => {
            if let Err(why) = followed {
                remarks.push(format!(
                    "processes are followed by perf events, which other processes can cause to be lost: {}",
                    why.brief()
                ));
                return Ok(Lives::Perf);
            }
        }
        CaptureTarget::Processes(pids) => {
            followed?;
            add_families(object, pids)?;
        }
        // Processes that match are added once their data can be read.
        CaptureTarget::Matching(_) | CaptureTarget::Command { .. } => followed?,
    }
    Ok(Lives::Programs)
}

fn set_allowances(object: &mut BpfObject, allowances: &[Allowance]) -> Result<(), ProbeError> {
    for allowance in allowances {
        object.set_allowance(allowance.cpu, allowance.probe.into(), allowance.nanos)?;
    }
    Ok(())
}

fn running_of(running: &mut [Running], probe: u16) -> Option<&mut Running> {
    debug_assert!(u32::from(probe) < PROBES);
    running.iter_mut().find(|running| running.probe.spec().number == probe)
}

/// Adds processes and their descendants to the targets. From then on, the kernel adds the children of targets. Children that a
/// process started before it was added are found by repeated searches.
fn add_families(object: &mut BpfObject, pids: &[Pid]) -> Result<(), ProbeError> {
    let mut known: BTreeSet<Pid> = BTreeSet::new();
    loop {
        let new: Vec<Pid> = host::family(pids).into_iter().filter(|pid| known.insert(*pid)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for pid in new {
            object.add_target(pid)?;
        }
    }
}

/// The processes that exist at the beginning of the capture.
fn targets_now(target: &CaptureTarget) -> Vec<Pid> {
    match target {
        CaptureTarget::All => host::processes(),
        CaptureTarget::Processes(pids) => host::family(pids),
        CaptureTarget::Cgroup { cgroup, .. } => host::processes_in(&cgroup.directory),
        // Its code is mapped when it calls exec, which is reported.
        CaptureTarget::Command { .. } | CaptureTarget::Matching(_) => Vec::new(),
    }
}

/// Those of the processes that match.
fn matched(matching: &Matching, pids: Vec<Pid>, users: &host::Users, spaces: &mut AddressSpaces) -> Vec<Pid> {
    let mut takes = |pid: &Pid| {
        let look = || {
            let found = process_facts::look(*pid, spaces);
            Process { user_name: found.user.and_then(|user| users.known_name(user)), ..found }
        };
        name_of(*pid).is_some_and(|name| matching.takes(&name, look))
    };
    pids.into_iter().filter(|pid| takes(pid)).collect()
}

fn map(
    builder: &mut RecordingBuilder,
    spaces: &mut AddressSpaces,
    process_facts: &mut ProcessFacts,
    event: &MappingEvent,
) {
    match event {
        MappingEvent::Fork { pid, .. } => builder.new_process(*pid),
        MappingEvent::NewThread { pid, tid } => builder.new_thread(*pid, *tid),
        MappingEvent::Exec { pid } | MappingEvent::Executed { pid } => process_facts.exec(&builder.processes, *pid),
        MappingEvent::Mapped { .. } | MappingEvent::Exit { .. } | MappingEvent::KernelCode { .. } => {}
    }
    spaces.apply(event);
}

fn process_event(record: &Record<'_>) -> Option<MappingEvent> {
    let event: &process::ProcessEvent = record.plain()?;
    let pid = Pid(record.header.tgid);
    match record.header.kind {
        process::NEW => Some(MappingEvent::Fork { pid, parent: Pid(event.parent) }),
        process::EXEC => Some(MappingEvent::Executed { pid }),
        process::END => Some(MappingEvent::Exit { pid }),
        process::NEW_THREAD => Some(MappingEvent::NewThread { pid, tid: Tid(record.header.tid) }),
        _ => None,
    }
}

/// The TID that a thread gave up when it executed a program, because it was not the first one of its process.
fn old_tid(record: &Record<'_>) -> Option<Tid> {
    let event: &process::ProcessEvent = record.plain()?;
    (record.header.kind == process::EXEC && event.old_tid != 0).then_some(Tid(event.old_tid))
}

/// A probe whose programs run.
type Started = (&'static dyn Probe, Box<dyn RunningProbe>);

/// Loads and starts the probes that work here. The other probes are omitted with a remark, as long as at least one works.
fn start_probes(
    probes: &[&'static dyn Probe],
    object: &mut BpfObject,
    config: &ProbeConfig,
    remarks: &mut Vec<String>,
) -> Result<Vec<Started>, CaptureError> {
    let start = |probe: &'static dyn Probe, object: &mut BpfObject| {
        let loaded = probe.load(object)?;
        Ok((loaded, probe.start(object, config)?))
    };
    let mut started = Vec::new();
    let mut failures = Vec::new();
    for probe in probes {
        let name = probe.spec().name;
        match start(*probe, object) {
            Ok((loaded, at_work)) => {
                if let Availability::Degraded(why) = loaded {
                    remarks.push(format!("probe {name}: {why}"));
                }
                started.push((*probe, at_work));
            }
            Err(source) => failures.push((name, source)),
        }
    }
    left_out(&mut failures, started.is_empty(), remarks)?;
    Ok(started)
}

/// Lets the probes record the current state, such as sleeping threads. A probe that fails is not used, like one that cannot be started.
fn begin_probes(
    started: Vec<Started>,
    object: &mut BpfObject,
    begin: Nanos,
    remarks: &mut Vec<String>,
) -> Result<Vec<Running>, CaptureError> {
    let mut running = Vec::new();
    let mut failures = Vec::new();
    for (probe, mut at_work) in started {
        match at_work.begin(object) {
            Ok(()) => running.push(Running { probe, at_work, scale: (1.0, begin) }),
            Err(source) => failures.push((probe.spec().name, source)),
        }
    }
    left_out(&mut failures, running.is_empty(), remarks)?;
    Ok(running)
}

/// Adds remarks on probes that failed; an error if no probe is left.
fn left_out(
    failures: &mut Vec<(&'static str, ProbeError)>,
    none_works: bool,
    remarks: &mut Vec<String>,
) -> Result<(), CaptureError> {
    if none_works && let Some((probe, source)) = failures.pop() {
        return Err(CaptureError::Probe { probe, source });
    }
    remarks.extend(failures.iter().map(|(probe, why)| format!("probe {probe} is not used: {why}")));
    Ok(())
}

fn now() -> Nanos {
    clock(ClockId::CLOCK_MONOTONIC)
}

fn clock(id: ClockId) -> Nanos {
    clock_gettime(id).map_or(Nanos(0), |time| {
        Nanos(u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0))
    })
}
