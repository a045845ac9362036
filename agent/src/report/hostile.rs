//! All reports of a recording with hostile texts. They must not affect a terminal, an XML parser or a page.
//!
//! The recording is built from complete struct literals. A new field does not compile here until it has a hostile value.

use std::collections::BTreeMap;
use std::io::Read as _;

use super::{FORMATS, Style, Width, perfetto, pprof, summary};
use crate::profile::{Roots, Selection, build};
use crate::recording::FrameTable;
use crate::recording::{
    Cost, Counter, FileNumbers, Frame, FrameSource, Governing, Histogram, HostFacts, InlinedFunction, Label,
    LabelTable, Location, Losses, Meta, Metric, MetricId, MetricKind, Module, ModuleTable, ProbeCost, ProbeFacts,
    Process, ProcessTable, Recording, SCHEMA_VERSION, Sample, SampleIdx, ScaleChange, Scope, Slice, SourceLine,
    StackTable, Symbol, SymbolizeStats, Target, Thread, ThreadTable, Unit, Wake, empty_counts,
};
use crate::text::tests::{HOSTILE, hidden};
use crate::units::{Addr, Bytes, CpuId, Nanos, Pid, Tid};

/// A hostile text that contains `name`, so that it can be identified.
fn hostile(name: &str) -> String {
    // A space and a number at the end would be a second count in a folded line, and `# ` at the beginning would be a comment.
    format!("# {name}{HOSTILE} 7")
}

fn metric(number: u8, probe: u8, unit: Unit, kind: MetricKind) -> Metric {
    Metric {
        name: hostile(&format!("metricname{number}")),
        label: hostile(&format!("metriclabel{number}")),
        probe: hostile(&format!("probename{probe}")),
        unit,
        kind,
    }
}

fn meta(target: Target) -> Meta {
    let cpus = [CpuId(0)].into_iter().collect::<crate::units::CpuSet>();
    let probe = |number: u8| ProbeCost {
        probe: hostile(&format!("probe{number}")),
        mechanism: hostile(&format!("mechanism{number}")),
        events: u64::MAX,
        nanos_per_event: Some(f64::MAX),
    };
    Meta {
        schema: SCHEMA_VERSION,
        quell: hostile("version"),
        command_line: vec![hostile("argv0"), hostile("argv1")],
        target,
        cpus: cpus.clone(),
        probes: (0..3)
            .map(|number| ProbeFacts {
                name: hostile(&format!("probename{number}")),
                label: hostile(&format!("probelabel{number}")),
            })
            .collect(),
        metrics: vec![
            metric(0, 0, Unit::Nanoseconds, MetricKind::Instant),
            metric(1, 1, Unit::Nanoseconds, MetricKind::Interval),
            metric(2, 1, Unit::Nanoseconds, MetricKind::Interval),
            metric(3, 2, Unit::Bytes, MetricKind::Instant),
            metric(4, 2, Unit::Count, MetricKind::Instant),
        ],
        host: HostFacts {
            hostname: hostile("hostname"),
            kernel: hostile("kernel"),
            arch: hostile("arch"),
            cpus,
            boot_id: hostile("boot"),
        },
        start_realtime: Nanos(i64::MAX as u64),
        start_monotonic: Nanos(i64::MAX as u64),
        duration: Nanos(i64::MAX as u64),
        frequency: u32::MAX,
        every_event: false,
        max_stack: Some(u32::MAX),
        remarks: vec![hostile("remark0"), hostile("remark1")],
        exit_code: Some(i32::MIN),
        idle: BTreeMap::from([(CpuId(u32::MAX), -f64::MAX)]),
        steal: BTreeMap::from([(CpuId(u32::MAX), f64::MAX)]),
        cost: Cost {
            probes: vec![probe(0), probe(1)],
            agent_cpu: Nanos(u64::MAX),
            cpu_share: f64::MAX,
            map_memory: Bytes(u64::MAX),
            agent_memory: Bytes(u64::MAX),
        },
        losses: Losses {
            ring_full: u64::MAX,
            thread_table_full: u64::MAX,
            targets_full: u64::MAX,
            no_kernel_stack: u64::MAX,
            no_user_stack: u64::MAX,
            truncated_user_stacks: u64::MAX,
            limited_stacks: u64::MAX,
            deep_stacks: u64::MAX,
            cut_stacks: u64::MAX,
            unmatched_sleeps: u64::MAX,
            unknown_records: u64::MAX,
            lost_mappings: u64::MAX,
            lost_kernel_code: u64::MAX,
            unmatched_processes: u64::MAX,
            evicted: u64::MAX,
            unanswered: u64::MAX,
        },
        symbols: SymbolizeStats {
            named: u64::MAX,
            unnamed: BTreeMap::from([(hostile("reason0"), u64::MAX), (hostile("reason1"), u64::MAX)]),
        },
        governing: Governing {
            budget: Some(-f64::MAX),
            counting: f64::NAN,
            changes: vec![ScaleChange { time: Nanos(u64::MAX), probe: hostile("scaled"), scale: -f64::MAX }],
            over_budget: true,
        },
    }
}

/// A stack with one frame of each kind, a second thread that wakes the first, and numbers at both ends of their ranges.
fn recording(target: Target) -> Recording {
    let mut modules = ModuleTable::default();
    let module = modules.push(Module {
        path: format!("/{}", hostile("module").replace('/', "|")).into(),
        file: Some(FileNumbers { major: u32::MAX, minor: u32::MAX, inode: u64::MAX }),
        build_id: Some(hostile("build id")),
    });
    let mut frames = FrameTable::default();
    let locations = [
        Location::NamedLabel(hostile("label")),
        Location::Unmapped { pid: Pid(u32::MAX), addr: Addr(u64::MAX) },
        Location::Module { module, offset: 0 },
        Location::Module { module, offset: u64::MAX },
        Location::Kernel(Addr(u64::MAX)),
        Location::Kernel(Addr(0)),
    ];
    let mut stacks = StackTable::default();
    let ids: Vec<_> = (locations.into_iter().enumerate())
        .map(|(number, location)| {
            let named = number % 2 == 0 && number > 0;
            let symbol = named.then(|| Symbol { name: hostile(&format!("function{number}")), offset: u64::MAX });
            let line = |name: &str| SourceLine { file: Some(hostile(name)), line: Some(u32::MAX) };
            let inlined = InlinedFunction { name: hostile(&format!("inlined{number}")), source: line("inlinedfile") };
            let source = named.then(|| Box::new(FrameSource { source: line("file"), inlined: vec![inlined] }));
            frames.push(Frame { location, symbol, source })
        })
        .collect();
    let stack = stacks.intern_all(ids);
    let mut processes = ProcessTable::default();
    let process = processes.push(Process {
        pid: Pid(u32::MAX),
        command_line: Some(vec![hostile("argument0"), hostile("argument1")]),
        executable: Some(hostile("executable").into()),
        cgroup: Some(hostile("processcgroup")),
        container: Some(hostile("container")),
        user: Some(u32::MAX),
        user_name: Some(hostile("username")),
    });
    let mut threads = ThreadTable::default();
    let mut thread = |tid| {
        let comm = hostile(&format!("comm{tid}"));
        threads.push(Thread { process, pid: Pid(u32::MAX), tid: Tid(tid), incarnation: u32::MAX, comm })
    };
    let (first, second) = (thread(1), thread(2));
    let mut labels = LabelTable::default();
    let label = Label { key: hostile("key"), value: hostile("value") };
    let labels_id = labels.intern(vec![label]);
    let most = i64::MAX as u64;
    let sample = |metric, thread, probability, wake| Sample {
        time: Nanos(most),
        value: most,
        probability,
        runqueue: Some(Nanos(most)),
        thread,
        cpu: CpuId(u32::MAX),
        stack,
        wake,
        labels: labels_id,
        metric: MetricId(metric),
        ongoing: false,
    };
    let woken = |waker_sleep| Some(Wake { waker: second, stack, waker_sleep });
    let cgroup = |number: u8| Scope::Cgroup(hostile(&format!("scope{number}")));
    let scopes = [Scope::Host, Scope::Cpu(CpuId(u32::MAX)), cgroup(0), cgroup(1), Scope::Thread(first)];
    let exact = || scopes.iter().flat_map(|scope| (1..5).map(MetricId).map(|metric| (metric, scope.clone())));
    let slice = Slice { begin: Nanos(0), end: Nanos(u64::MAX) };
    let histogram = |(metric, scope)| {
        let mut counts = empty_counts(1);
        counts.record_n(0, u64::MAX).expect("it takes any value");
        counts.record_n(most, u64::MAX).expect("it takes any value");
        Histogram { metric, scope, counts }
    };
    Recording {
        meta: meta(target),
        modules,
        frames,
        stacks,
        processes,
        threads,
        labels,
        samples: vec![
            sample(0, first, 1.0, None),
            sample(1, second, 1e-12, woken(None)),
            sample(2, first, 1.0, woken(Some(SampleIdx::new(1)))),
            Sample { stack: None, ..sample(1, first, 0.5, None) },
            sample(3, first, 1e-12, None),
            sample(4, second, 1e-12, None),
        ],
        counters: exact()
            .map(|(metric, scope)| Counter { metric, scope, slice: Some(slice), count: u64::MAX, sum: most })
            .collect(),
        histograms: exact().map(histogram).collect(),
    }
}

fn targets() -> [Target; 5] {
    [
        Target::All,
        Target::Processes(vec![Pid(u32::MAX)]),
        Target::Cgroup(hostile("cgroup")),
        Target::Matching(vec![hostile("option0"), hostile("option1")]),
        Target::Command(vec![hostile("command0"), hostile("command1")]),
    ]
}

fn drawn(format: &str, target: Target, selection: &Selection) -> Vec<u8> {
    let format = super::by_name(format).expect("a format");
    let mut out = Vec::new();
    format.sink.write(&build(&recording(target), selection), &mut out).expect(format.name);
    out
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

/// The texts that a format contains: the characters that are shown in a terminal, a viewer or a page.
fn texts(format: &str, bytes: Vec<u8>) -> Vec<String> {
    match format {
        "folded" | "firefox" | "speedscope" | "svg" => text(bytes).lines().map(str::to_owned).collect(),
        "pprof" => pprof::texts(&bytes),
        "perfetto" => perfetto::tests::texts(&bytes),
        "html" => {
            let page = text(bytes);
            let (_, data) = page.split_once(r#"id="data">"#).expect("data");
            let (data, _) = data.split_once("</script>").expect("its end");
            let mut inflated = Vec::new();
            flate2::read::ZlibDecoder::new(decoded(data).as_slice()).read_to_end(&mut inflated).expect("deflated data");
            // The JSON is preceded by its length.
            let start = inflated.iter().position(|byte| *byte == b'{').expect("an object");
            let mut json = serde_json::Deserializer::from_slice(&inflated[start..]).into_iter::<serde_json::Value>();
            let mut found = vec![page];
            collect(&json.next().expect("JSON").expect("JSON"), &mut found);
            found
        }
        other => panic!("say how the texts of the format {other} are found"),
    }
}

fn decoded(base64: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for digits in base64.trim_end_matches('=').as_bytes().chunks(4) {
        let number = digits.iter().fold(0_u32, |sum, byte| sum << 6 | u32::from(digit(*byte)));
        let whole = (number << (6 * (4 - digits.len()))).to_be_bytes();
        bytes.extend_from_slice(&whole[1..digits.len()]);
    }
    bytes
}

fn collect(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                found.push(name.clone());
                collect(value, found);
            }
        }
        _ => {}
    }
}

#[test]
fn no_format_shows_a_name_that_is_more_than_its_letters() {
    for target in targets() {
        for roots in [Roots::Pools, Roots::Threads, Roots::Processes] {
            let selection = Selection { roots, ..Selection::default() };
            for format in FORMATS {
                for text in texts(format.name, drawn(format.name, target.clone(), &selection)) {
                    // The scripts of the page and of the flame graph have several lines.
                    let found = hidden(&text.replace('\n', ""));
                    assert_eq!(found, None, "{}: {text}", format.name);
                }
            }
        }
    }
}

#[test]
fn every_format_shows_the_names_that_it_has_room_for() {
    let functions = ["comm1", "comm2", "function2", "function4", "inlined2", "label"];
    let about = ["hostname", "remark0", "remark1"];
    for (format, names) in [
        ("folded", [&functions[..], &["probelabel0", "metriclabel1", "metriclabel4"]].concat()),
        ("svg", [&functions[..], &about, &["probelabel0", "metriclabel1"]].concat()),
        (
            "pprof",
            [
                &functions[..],
                &about,
                &["version", "kernel", "arch", "argv0", "argv1", "module", "probename1", "metricname2"],
            ]
            .concat(),
        ),
        ("speedscope", [&functions[..], &about, &["module", "probelabel2", "metriclabel1"]].concat()),
        (
            "firefox",
            [
                &functions[..],
                &about,
                &["version", "kernel", "arch", "argv0", "module", "probelabel2", "metricname2", "metriclabel1"],
            ]
            .concat(),
        ),
        (
            "perfetto",
            [
                &functions[..],
                &about,
                &["version", "kernel", "arch", "argv0", "module", "probelabel2", "metricname2", "metriclabel1"],
            ]
            .concat(),
        ),
        (
            "html",
            [
                &functions[..],
                &about,
                &[
                    "module",
                    "cgroup",
                    "reason0",
                    "reason1",
                    "probe0",
                    "mechanism1",
                    "probelabel2",
                    "metriclabel4",
                    "scope1",
                ],
            ]
            .concat(),
        ),
    ] {
        let shown = texts(format, drawn(format, Target::Cgroup(hostile("cgroup")), &Selection::default())).join("\n");
        for name in names {
            assert!(
                shown.contains(&format!("{name}\\u001b")) || shown.contains(&format!("{name}\\\\u001b")),
                "{format}: {name}"
            );
        }
    }
}

#[test]
fn the_summary_is_visible_characters_in_lines() {
    for target in targets() {
        let profile = build(&recording(target.clone()), &Selection::default());
        let mut out = Vec::new();
        summary(&profile, Width::Whole, Style::Plain, &mut out).expect("memory");
        let out = text(out);
        assert_eq!(hidden(&out.replace('\n', "")), None, "{out}");
        let names = ["hostname", "remark0", "reason0", "comm1", "function2", "probelabel1", "metriclabel1", "scope1"];
        for name in names.iter().chain(matches!(target, Target::Cgroup(_)).then_some(&"cgroup")) {
            assert!(out.contains(name), "{name}: {out}");
        }
        // No name can begin a line.
        assert!(!out.lines().any(|line| line.starts_with('\\') || line.starts_with("</script>")), "{out}");
    }
}

#[test]
fn the_picture_is_valid_xml_whose_texts_are_the_names() {
    let picture = text(drawn("svg", Target::All, &Selection::default()));
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    let document = roxmltree::Document::parse_with_options(&picture, options).expect("XML");
    let titles: Vec<&str> =
        document.descendants().filter(|node| node.has_tag_name("title")).filter_map(|node| node.text()).collect();
    for part in [r"# function2\u001b]0;title\u0007", r"\ufffe\uffff", r#"</script><!--<b a='b'>&amp;]]>"\; 7"#] {
        assert!(titles.iter().any(|title| title.contains("function2") && title.contains(part)), "{part}: {titles:#?}");
    }
    assert!(document.descendants().all(|node| node.tag_name().name() != "b"), "no markup of a name's");
}

#[test]
fn each_folded_line_is_a_stack_and_one_number() {
    for line in text(drawn("folded", Target::All, &Selection::default())).lines() {
        let (stack, count) = line.rsplit_once(' ').expect("a number");
        assert!(count.parse::<u64>().is_ok(), "{line}");
        assert!(stack.rsplit_once(' ').is_none_or(|(_, word)| word.parse::<f64>().is_err()), "{line}");
        assert!(!line.starts_with("# ") && line.trim() == line, "{line}");
    }
}

#[test]
fn a_processed_profile_has_a_name_for_each_row() {
    let file: serde_json::Value =
        serde_json::from_slice(&drawn("firefox", Target::All, &Selection::default())).expect("JSON");
    let strings = file["shared"]["stringArray"].as_array().expect("strings");
    let names = file["shared"]["funcTable"]["name"].as_array().expect("names");
    let name = |row: &serde_json::Value| strings[row.as_u64().expect("a row") as usize].as_str().expect("a string");
    assert!(names.iter().any(|row| name(row).contains("function2")), "{strings:?}");
}

#[test]
fn json_is_json() {
    let file = drawn("speedscope", Target::All, &Selection::default());
    let file: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
    let names: Vec<String> =
        file["shared"]["frames"].as_array().expect("frames").iter().map(|frame| frame["name"].to_string()).collect();
    assert!(names.iter().any(|name| name.contains("function2")), "{names:?}");
}

/// A stack of 500 frames in each of many threads with different names.
fn wide_and_deep(threads: u32) -> Recording {
    let mut recording = recording(Target::All);
    let frames: Vec<_> = (0..500)
        .map(|number| {
            let symbol = Some(Symbol { name: format!("{number:a>4000}"), offset: 0 });
            recording.frames.push(Frame { symbol, ..Frame::new(Location::Kernel(Addr(1 << 20 | number))) })
        })
        .collect();
    let stack = recording.stacks.intern_all(frames);
    recording.samples.clear();
    for number in 0..threads {
        let comm = format!("thread {number:x}");
        let process = recording.processes.intern(Pid(1));
        let thread = recording.threads.push(Thread { process, pid: Pid(1), tid: Tid(number), incarnation: 0, comm });
        recording.samples.push(Sample { stack, ..Sample::new(MetricId(0), thread, Nanos(0), 1_000_000) });
    }
    recording
}

#[test]
fn stacks_that_are_short_in_a_recording_and_endless_in_a_report_are_refused_with_a_hint() {
    // 300 MB as folded stacks.
    let selection = Selection { probes: vec![hostile("probename0")], roots: Roots::Names, ..Selection::default() };
    let profile = build(&wide_and_deep(150), &selection);
    let error =
        super::by_name("svg").expect("a format").sink.write(&profile, &mut std::io::sink()).expect_err("too much");
    assert!(error.to_string().contains("256.0 MiB\nhint: "), "{error}");
    // A chain of 499 callers with 140,000 callees: 70 million frames.
    let mut recording = wide_and_deep(1);
    let sample = recording.samples.pop().expect("a sample");
    let chain = recording.stacks.get(sample.stack.expect("a stack")).parent;
    for number in 0..140_000 {
        let frame = recording.frames.intern(Location::Unmapped { pid: Pid(1), addr: Addr(number) });
        recording.frames.set_symbol(frame, Symbol { name: format!("{number:x}"), offset: 0 });
        let stack = Some(recording.stacks.intern(chain, frame));
        recording.samples.push(Sample { stack, ..sample });
    }
    let profile = build(&recording, &Selection { probes: vec![hostile("probename0")], ..Selection::default() });
    for format in ["folded", "svg", "speedscope", "pprof", "perfetto"] {
        let sink = super::by_name(format).expect("a format").sink;
        let error = sink.write(&profile, &mut std::io::sink()).expect_err(format).to_string();
        assert!(error.contains("\nhint: "), "{error}");
    }
    for format in ["html", "firefox"] {
        super::by_name(format).expect("a format").sink.write(&profile, &mut std::io::sink()).expect("a tree");
    }
    summary(&profile, Width::Whole, Style::Plain, &mut std::io::sink()).expect("memory");
}
