//! A capture from attach to recording.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use quell_ebpf_common::{Counts, ThreadState};

use super::config::{CaptureConfig, CaptureTarget, settings, thread_table_size};
use super::cost::{CostMeter, agent_usage};
use super::event;
use super::governor::{Governor, OFFCPU_INTERVAL, ProbeShares, SamplingRates, Step};
use super::join::Joiner;
use super::order::{SLACK, Sorter};
use super::process_facts::{self, ProcessFacts};
use super::rings::Rings;
use super::user_walk;
use crate::host::{self, Btf, Helpers};
use crate::inspect::Children;
use crate::probe::{Attached, Availability, BpfObject, Link, Probe, ProbeConfig, ProbeError};
use crate::recording::{
    Cost, Declared, Governing, HostFacts, LabelTable, Losses, Meta, ModuleTable, ProbeCost, RateChange, Recording,
    SCHEMA_VERSION, SymbolizeStats, Target,
};
use crate::symbolize::{AddressSpaces, MappingEvent, MappingEvents};
use crate::units::{Bytes, CpuId, CpuSet, Nanos, Pid, Tid};

/// Why a capture did not begin or end well.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The host could not be read.
    #[error(transparent)]
    Host(#[from] host::HostError),
    /// None of the probes works.
    #[error("probe {probe}: {source}")]
    Probe {
        /// The probe.
        probe: &'static str,
        /// Why.
        source: ProbeError,
    },
    /// The object or a program that every probe needs.
    #[error(transparent)]
    Object(#[from] ProbeError),
    /// A CPU that is not there.
    #[error("CPU {0} is not online; the CPUs of this host are {1}")]
    NoSuchCpu(CpuId, CpuSet),
}

/// A probe and what it has attached.
type AtWork = (&'static dyn Probe, Box<dyn Attached>);

/// A capture that goes on. Dropping it detaches everything.
pub struct Session {
    config: CaptureConfig,
    object: BpfObject,
    rings: Rings,
    attached: Vec<AtWork>,
    following: Vec<Link>,
    mappings: Option<MappingEvents>,
    pending: Vec<(Nanos, MappingEvent)>,
    spaces: AddressSpaces,
    sorter: Sorter,
    /// The record at hand, where something had to be added to it.
    completed: Vec<u64>,
    joiner: Joiner,
    process_facts: ProcessFacts,
    meter: CostMeter,
    governor: Option<Governor>,
    governing: Governing,
    last_counts: (Nanos, Counts),
    rates: SamplingRates,
    begin: Nanos,
    begin_realtime: Nanos,
    usage_before: Nanos,
    cpus: CpuSet,
    host: HostFacts,
    declared: Declared,
    remarks: Vec<String>,
}

impl Session {
    /// Loads and attaches the probes; `processes` reads what the captured processes have mapped. Those that the kernel refuses are left out with a remark, as long as one works.
    ///
    /// # Errors
    /// Any [`CaptureError`]; nothing stays attached.
    pub fn start(mut config: CaptureConfig, processes: Children) -> Result<Self, CaptureError> {
        let host = host::facts()?;
        let cpus = match &config.cpus {
            Some(asked) => {
                if let Some(absent) = asked.iter().find(|cpu| !host.cpus.contains(*cpu)) {
                    return Err(CaptureError::NoSuchCpu(absent, host.cpus));
                }
                asked.clone()
            }
            None => host.cpus.clone(),
        };
        let mut remarks = Vec::new();
        let btf = Btf::kernel().map_err(|error| ProbeError::Btf(error.to_string()))?;
        let offsets = host::offsets(&btf).map_err(ProbeError::Field)?;
        let possible = host.cpus.iter().last().map_or(1, |cpu| cpu.0 + 1);
        let mut object = BpfObject::load(
            &btf,
            settings(&config, &offsets, &Helpers::detect(), possible),
            thread_table_size(),
            possible + 1,
        )?;
        let rings = Rings::create(object.take_rings()?, &host.cpus, possible).map_err(ProbeError::Map)?;
        let rates = SamplingRates {
            cpu_interval: config.frequency.interval(),
            offcpu_interval: if config.every_event { Nanos(0) } else { OFFCPU_INTERVAL },
        };
        object.set_rates(rates.to_abi())?;
        let following = match &config.target {
            CaptureTarget::Processes(pids) => {
                let following = follow(&mut object, &FAMILY)?;
                add_families(&mut object, pids)?;
                following
            }
            CaptureTarget::Command { .. } => {
                let mut following = follow(&mut object, &FAMILY)?;
                following.extend(follow(&mut object, &[("quell_exec", "sched_process_exec")])?);
                following
            }
            CaptureTarget::All | CaptureTarget::Cgroup { .. } => Vec::new(),
        };
        let mappings = match MappingEvents::open(&host.cpus) {
            Ok(mappings) => Some(mappings),
            Err(error) => {
                remarks.push(format!("code of processes that live only briefly may stay unnamed: {error}"));
                None
            }
        };
        let usage_before = agent_usage().0;
        let probe_config = ProbeConfig {
            cpus: cpus.clone(),
            frequency: config.frequency,
            cgroup: match &config.target {
                CaptureTarget::Cgroup { cgroup, .. } => Some(cgroup.directory.clone()),
                _ => None,
            },
        };
        let (mut spaces, modules) = (AddressSpaces::new(Box::new(processes)), ModuleTable::default());
        // After reports of mappings have begun, so that none is missed; before the first sample, since whoever is in it may
        // have ended when the sample is read.
        for pid in there_now(&config.target) {
            spaces.preload(pid);
        }
        let mut attached = attach(&config.probes, &mut object, &probe_config, &mut remarks)?;
        // Loading takes a while: the capture begins when everything is attached. What was seen before counts as seen now.
        let (begin, begin_realtime) = (now(), clock(ClockId::CLOCK_REALTIME));
        for (_, at_work) in &mut attached {
            if let Err(error) = at_work.begin(&mut object) {
                remarks.push(format!("what was there at the beginning was not seen: {error}"));
            }
        }
        let mut declared = Declared::default();
        for (probe, _) in &attached {
            let spec = probe.spec();
            declared.add(spec.name, spec.label, spec.metrics);
        }
        let meter = CostMeter::new(config.statistics.take());
        let governor = config.max_overhead.map(|budget| Governor::new(budget, rates));
        let governing = Governing { budget: config.max_overhead, ..Governing::default() };
        let mut session = Self {
            config,
            object,
            rings,
            attached,
            following,
            mappings,
            pending: Vec::new(),
            spaces,
            sorter: Sorter::default(),
            completed: Vec::new(),
            joiner: Joiner::new(begin, modules, &declared.metrics),
            process_facts: ProcessFacts::new(begin),
            meter,
            governor,
            governing,
            last_counts: (begin, ZERO),
            rates,
            begin,
            begin_realtime,
            usage_before,
            cpus,
            host,
            declared,
            remarks,
        };
        // Whoever was found asleep may not be for long.
        session.drain();
        Ok(session)
    }

    /// What there is to say so far: probes that were left out, and why.
    #[must_use]
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Samples joined so far.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.joiner.samples.len()
    }

    /// Reads what has come in, and governs. To be called every [`POLL`](super::POLL) or so.
    ///
    /// # Errors
    /// Where a map cannot be read or a rate not be set.
    pub fn poll(&mut self) -> Result<(), CaptureError> {
        let before = now();
        self.drain();
        self.release(Nanos(before.0.saturating_sub(SLACK.0)));
        self.spaces.poll(Duration::ZERO);
        let Self { process_facts, joiner, spaces, .. } = self;
        process_facts.update(&mut joiner.processes, before, &mut |pid| process_facts::look(pid, spaces));
        if self.meter.poll(&self.object) {
            self.govern()?;
        }
        Ok(())
    }

    fn drain(&mut self) {
        let own = self.own_processes();
        let Self { rings, spaces, sorter, joiner, completed, .. } = self;
        rings.drain(|record| match event::header(record) {
            Some(header) if own.contains(&Pid(header.tgid)) => {}
            Some(header) => {
                let record = user_walk::completed(record, spaces, completed).unwrap_or(record);
                sorter.push(Nanos(header.time), record);
            }
            None => joiner.unknown += 1,
        });
        // After the samples: the mapping that a sample needs was reported before it was taken.
        if let Some(mappings) = &mut self.mappings {
            mappings.drain(|time, event| self.pending.push((time, event)));
        }
    }

    /// Quell's other processes, which are left out as the programs leave out quell itself. What those did that had to be killed
    /// stays.
    fn own_processes(&self) -> Vec<Pid> {
        let own = self.spaces.readers().into_iter().chain(self.meter.process());
        own.chain(self.config.own.iter().copied()).collect()
    }

    fn release(&mut self, until: Nanos) {
        let Self { sorter, joiner, spaces, pending, process_facts, .. } = self;
        pending.sort_by_key(|(time, _)| *time);
        let ready = pending.partition_point(|(time, _)| *time <= until);
        let mut mappings = pending.drain(..ready).peekable();
        sorter.release(until, |record| {
            let time = event::header(record).map_or(Nanos(0), |header| Nanos(header.time));
            while let Some((_, event)) = mappings.next_if(|(at, _)| *at <= time) {
                map(joiner, spaces, process_facts, &event);
            }
            joiner.take(event::parse(record), spaces);
        });
        for (_, event) in mappings {
            map(joiner, spaces, process_facts, &event);
        }
    }

    fn govern(&mut self) -> Result<(), CaptureError> {
        let Some(governor) = &mut self.governor else { return Ok(()) };
        let (now, counts) = (now(), sum(&self.object.counts()?));
        let (last, before) = self.last_counts;
        let seconds = now.since(last).as_secs_f64();
        let mut cost = ProbeShares::default();
        for (probe, attached) in &self.attached {
            let share: f64 = attached
                .programs()
                .iter()
                .map(|program| {
                    let events = (program.count)(&counts).saturating_sub((program.count)(&before));
                    events as f64 / seconds * self.meter.last_mean(program.program).unwrap_or(0.0) / 1e9
                })
                .sum();
            match probe.spec().name {
                "cpu" => cost.cpu += share,
                _ => cost.offcpu += share,
            }
        }
        self.last_counts = (now, counts);
        match governor.step(cost) {
            Step::Keep => {}
            Step::OverBudget => self.governing.over_budget = true,
            Step::Change(rates) => {
                self.rates = rates;
                self.object.set_rates(rates.to_abi())?;
                for (probe, attached) in &mut self.attached {
                    let probe = probe.spec().name;
                    attached
                        .set_rates(rates)
                        .map_err(|source| CaptureError::Probe { probe, source: ProbeError::Rates(source) })?;
                }
                self.governing.changes.push(RateChange {
                    time: now.since(self.begin),
                    measured: cost.cpu + cost.offcpu,
                    cpu_interval: rates.cpu_interval,
                    offcpu_interval: rates.offcpu_interval,
                });
            }
        }
        Ok(())
    }

    /// Detaches everything and puts the recording together; its frames have no names yet, but `AddressSpaces` knows where
    /// to find them.
    ///
    /// # Errors
    /// Where the kernel's tables cannot be read.
    pub fn finish(mut self) -> Result<(Recording, AddressSpaces), CaptureError> {
        let end = now();
        self.meter.close(&self.object);
        if self.governor.is_some() && !self.meter.has_measured() {
            self.remarks.push(
                "the budget was not enforced: the kernel gave no BPF statistics; they need CAP_SYS_ADMIN, or kernel.bpf_stats_enabled=1"
                    .to_owned(),
            );
        }
        let mut programs = Vec::new();
        for (probe, attached) in std::mem::take(&mut self.attached) {
            programs.push((probe.spec().name, attached.mechanism(), attached.programs()));
            if let Err(error) = attached.finish(&mut self.object) {
                self.remarks.push(format!("threads that still wait were not seen: {error}"));
            }
        }
        self.following.clear();
        self.drain();
        // Reports younger than the start of a drain wait for the next one.
        self.drain();
        self.release(Nanos(u64::MAX));
        let threads = self.object.threads()?;
        let asleep: BTreeMap<Tid, u32> =
            threads.iter().filter(|(_, state)| state.out_since != 0).map(|(tid, state)| (*tid, state.seq)).collect();
        self.joiner.finish(end, |tid| asleep.get(&tid).copied());
        self.add_totals(&threads);
        let Self { process_facts, joiner, spaces, .. } = &mut self;
        process_facts.finish(&mut joiner.processes, end, &mut |pid| process_facts::look(pid, spaces));
        let per_cpu = self.object.counts()?;
        let counts = sum(&per_cpu);
        let duration = end.since(self.begin);
        let cost = self.cost(&programs, &counts, duration);
        let losses = self.losses(&counts);
        let joiner = self.joiner;
        let meta = Meta {
            schema: SCHEMA_VERSION,
            quell: env!("CARGO_PKG_VERSION").to_owned(),
            command_line: self.config.command_line,
            target: match self.config.target {
                CaptureTarget::All => Target::All,
                CaptureTarget::Processes(pids) => Target::Processes(pids),
                CaptureTarget::Cgroup { path, .. } => Target::Cgroup(path.display().to_string()),
                CaptureTarget::Command { words, .. } => Target::Command(words),
            },
            idle: idle(
                &per_cpu,
                &self.cpus,
                interrupts_when_busy(self.config.frequency.interval(), &self.governing.changes, duration),
            ),
            cpus: self.cpus,
            probes: self.declared.probes,
            metrics: self.declared.metrics,
            host: self.host,
            start_realtime: self.begin_realtime,
            start_monotonic: self.begin,
            duration,
            frequency: self.config.frequency.0,
            every_event: self.config.every_event,
            remarks: self.remarks,
            exit_code: None,
            cost,
            losses,
            symbols: SymbolizeStats::default(),
            governing: self.governing,
        };
        let recording = Recording {
            meta,
            modules: joiner.modules,
            frames: joiner.stacks.frames,
            stacks: joiner.stacks.stacks,
            processes: joiner.processes,
            threads: joiner.threads,
            labels: LabelTable::default(),
            samples: joiner.samples,
            counters: joiner.counters,
            histograms: Vec::new(),
        };
        Ok((recording, self.spaces))
    }

    fn add_totals(&mut self, threads: &[(Tid, ThreadState)]) {
        let own = self.own_processes();
        for (tid, state) in threads {
            if state.totals.iter().all(|total| total.count == 0) || own.contains(&Pid(state.tgid)) {
                continue;
            }
            let pid = Pid(state.tgid);
            let comm = current_comm(pid, *tid).unwrap_or(state.comm);
            let thread = self.joiner.thread(pid, *tid, comm);
            self.joiner.add_totals(thread, &state.totals);
        }
    }

    fn cost(
        &self,
        programs: &[(&'static str, String, &'static [crate::probe::ProgramEvents])],
        counts: &Counts,
        duration: Nanos,
    ) -> Cost {
        let mut probes = Vec::new();
        let mut nanos = 0.0;
        for (probe, mechanism, events) in programs {
            for program in *events {
                let count = (program.count)(counts);
                let mean = self.meter.mean(program.program);
                nanos += mean.unwrap_or(0.0) * count as f64;
                probes.push(ProbeCost {
                    probe: (*probe).to_owned(),
                    mechanism: format!("{mechanism}: {}", program.event),
                    events: count,
                    nanos_per_event: mean,
                });
            }
        }
        let (usage, agent_memory) = agent_usage();
        let children = Nanos::from(self.spaces.cpu());
        let agent_cpu = Nanos(usage.since(self.usage_before).0 + children.0);
        Cost {
            probes,
            agent_cpu,
            cpu_share: (nanos + agent_cpu.0 as f64) / (duration.0.max(1) as f64),
            map_memory: Bytes(self.object.map_memory().0 + self.rings.memory.0),
            agent_memory,
        }
    }

    fn losses(&self, counts: &Counts) -> Losses {
        Losses {
            ring_full: counts.lost_records,
            thread_table_full: counts.lost_threads,
            targets_full: counts.lost_targets,
            no_kernel_stack: counts.no_kernel_stack,
            no_user_stack: counts.no_user_stack,
            truncated_user_stacks: 0,
            deep_stacks: self.joiner.stacks.deep,
            cut_stacks: self.joiner.stacks.cut,
            unmatched_sleeps: self.joiner.unmatched,
            unknown_records: self.joiner.unknown,
            lost_mappings: self.mappings.as_ref().map_or(0, MappingEvents::lost),
            evicted: self.spaces.evicted(),
            unanswered: self.spaces.unanswered(),
        }
    }
}

/// Makes targets of processes and of those that descend from them. From then on the kernel adds what a target starts; what one started
/// before it was added is found by looking again.
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

/// The processes that a capture will see from its beginning.
fn there_now(target: &CaptureTarget) -> Vec<Pid> {
    match target {
        CaptureTarget::All => host::processes(),
        CaptureTarget::Processes(pids) => host::family(pids),
        CaptureTarget::Cgroup { cgroup, .. } => host::processes_in(&cgroup.directory),
        // It gets its code when it calls exec, which is reported.
        CaptureTarget::Command { .. } => Vec::new(),
    }
}

fn map(joiner: &mut Joiner, spaces: &mut AddressSpaces, process_facts: &mut ProcessFacts, event: &MappingEvent) {
    if let MappingEvent::Exec { pid } = event {
        joiner.stacks.exec(*pid);
        process_facts.exec(&joiner.processes, *pid);
    }
    spaces.apply(event);
}

/// What keeps track of a target's processes: the program, and its tracepoint.
const FAMILY: [(&str, &str); 2] = [("quell_free", "sched_process_free"), ("quell_fork", "sched_process_fork")];

fn follow(object: &mut BpfObject, programs: &[(&'static str, &'static str)]) -> Result<Vec<Link>, ProbeError> {
    let attached = |(name, tracepoint): &(&'static str, &'static str)| {
        object.load_tracepoint(name, tracepoint)?;
        object.attach_tracepoint(name)
    };
    programs.iter().map(attached).collect()
}

fn attach(
    probes: &[&'static dyn Probe],
    object: &mut BpfObject,
    config: &ProbeConfig,
    remarks: &mut Vec<String>,
) -> Result<Vec<AtWork>, CaptureError> {
    let mut attached = Vec::new();
    let mut failures = Vec::new();
    for probe in probes {
        let name = probe.spec().name;
        match probe.load(object).and_then(|loaded| Ok((loaded, probe.attach(object, config)?))) {
            Ok((loaded, at_work)) => {
                if let Availability::Degraded(why) = loaded {
                    remarks.push(format!("probe {name}: {why}"));
                }
                attached.push((*probe, at_work));
            }
            Err(source) => failures.push((name, source)),
        }
    }
    if attached.is_empty()
        && let Some((probe, source)) = failures.pop()
    {
        return Err(CaptureError::Probe { probe, source });
    }
    remarks.extend(failures.iter().map(|(probe, why)| format!("probe {probe} was left out: {why}")));
    Ok(attached)
}

fn current_comm(pid: Pid, tid: Tid) -> Option<[u8; 16]> {
    let mut comm = [0; 16];
    let length = File::open(format!("/proc/{pid}/task/{tid}/comm")).ok()?.read(&mut comm).ok()?;
    // The file ends in a line feed.
    comm[length.saturating_sub(1)..].fill(0);
    Some(comm)
}

const ZERO: Counts = Counts {
    switches: 0,
    wakes: 0,
    sleeps: 0,
    sampled_sleeps: 0,
    interrupts: 0,
    idle: 0,
    cpu_samples: 0,
    lost_records: 0,
    lost_threads: 0,
    lost_targets: 0,
    no_kernel_stack: 0,
    no_user_stack: 0,
};

fn sum(counts: &[Counts]) -> Counts {
    let mut words = [0u64; size_of::<Counts>() / 8];
    for cpu in counts {
        let cpu: [u64; size_of::<Counts>() / 8] = bytemuck::cast(*cpu);
        for (word, count) in words.iter_mut().zip(cpu) {
            *word += count;
        }
    }
    bytemuck::cast(words)
}

/// How many interrupts a CPU that was never idle had: an idle one may have none at all.
fn interrupts_when_busy(first: Nanos, changes: &[RateChange], duration: Nanos) -> f64 {
    let ends = changes.iter().map(|change| change.time).chain([duration]);
    let intervals = [first].into_iter().chain(changes.iter().map(|change| change.cpu_interval));
    let mut begin = Nanos(0);
    let mut interrupts = 0.0;
    for (end, interval) in ends.zip(intervals) {
        interrupts += end.since(begin).0 as f64 / interval.0.max(1) as f64;
        begin = end;
    }
    interrupts.max(1.0)
}

fn idle(per_cpu: &[Counts], cpus: &CpuSet, when_busy: f64) -> BTreeMap<CpuId, f64> {
    if per_cpu.iter().all(|counts| counts.interrupts == 0) {
        return BTreeMap::new();
    }
    cpus.iter()
        .filter_map(|cpu| {
            let counts = per_cpu.get(cpu.0 as usize)?;
            let busy = counts.interrupts.saturating_sub(counts.idle) as f64;
            Some((cpu, (1.0 - busy / when_busy).clamp(0.0, 1.0)))
        })
        .collect()
}

fn now() -> Nanos {
    clock(ClockId::CLOCK_MONOTONIC)
}

fn clock(id: ClockId) -> Nanos {
    clock_gettime(id).map_or(Nanos(0), |time| {
        Nanos(u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0))
    })
}
