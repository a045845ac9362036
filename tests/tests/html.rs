//! The HTML report in a real browser: what a reader sees is what the profile holds.

use std::path::Path;
use std::process::Command;

use quell::profile::{Profile, Selection, Window, build};
use quell::recording::example::{self, BLOCKED, CPU, Example, IO_WAIT, PREEMPTED};
use quell::recording::{Losses, Meta, ProbeCost, Process, SampleIdx, Scope, Wake};
use quell::report::html::Html;
use quell::report::{Sink, Style, Width, summary};
use quell::units::{Bytes, CpuId, Nanos, Pid};
use quell_tests::{memory, needs};

const SECOND: u64 = 1_000_000_000;

/// Two seconds on CPU in `parse`, in the first second of the capture, and one in `send`; `worker` sleeps for three
/// seconds and is woken by `relay`, which an interrupt that fell on `innocent` had woken.
fn recorded() -> Example {
    let mut example = Example::new();
    example.recording.meta = meta();
    let [worker, relay, innocent] =
        [(71, "worker"), (72, "relay"), (73, "innocent")].map(|(tid, name)| example.thread(7, tid, name));
    let [parse, again, send, wait, relay_wait, relay_wakes, interrupt] = [
        "app main handle parse",
        "app main handle parse handle parse",
        "app loop send kernel:tcp_sendmsg",
        "app main recv kernel:futex_wait",
        "app loop kernel:epoll_wait",
        "app loop unlock kernel:futex_wake kernel:try_to_wake_up",
        "app bystander_code kernel:asm_common_interrupt kernel:nvme_irq",
    ]
    .map(|path| example.stack(path));
    for (time, metric, thread, stack, value) in [
        (SECOND / 2, CPU, worker, parse, SECOND),
        (SECOND / 2, CPU, worker, again, SECOND),
        (3 * SECOND, CPU, relay, send, SECOND),
        (2 * SECOND, BLOCKED, relay, relay_wait, SECOND / 2),
        (SECOND, BLOCKED, worker, wait, 3 * SECOND),
        (0, PREEMPTED, worker, parse, SECOND / 4),
    ] {
        example.sample(metric, thread, stack, value).time = Nanos(time);
    }
    let samples = &mut example.recording.samples;
    samples[3].wake = Some(Wake { waker: innocent, stack: Some(interrupt), waker_sleep: None });
    let waker_sleep = Some(SampleIdx::new(3));
    samples[4].wake = Some(Wake { waker: relay, stack: Some(relay_wakes), waker_sleep });
    example.counter(BLOCKED, Scope::Thread(worker), 1, 3 * SECOND);
    example.counter(PREEMPTED, Scope::Thread(worker), 40, SECOND / 4);
    example
}

fn profile() -> Profile {
    let mut profile = build(&recorded().recording, &Selection::default());
    // 100 ms of standard error.
    profile.samples[4].variance = 1e16;
    profile
}

fn meta() -> Meta {
    let cost = |probe: &str, mechanism: &str, events, nanos_per_event| ProbeCost {
        probe: probe.to_owned(),
        mechanism: mechanism.to_owned(),
        events,
        nanos_per_event,
    };
    let mut meta = example::meta();
    meta.host.hostname = "testhost".to_owned();
    meta.duration = Nanos(4 * SECOND);
    meta.remarks = vec!["</script><b>no markup</b>".to_owned()];
    meta.idle = [(CpuId(0), 0.25)].into();
    meta.steal = [(CpuId(0), 0.0004), (CpuId(1), 0.031)].into();
    meta.cost.probes =
        vec![cost("cpu", "perf_event cpu-clock", 3, Some(812.0)), cost("offcpu", "tp_btf sched_switch", 9, None)];
    (meta.cost.agent_cpu, meta.cost.cpu_share) = (Nanos(1_000_000), 0.004);
    (meta.cost.map_memory, meta.cost.agent_memory) = (Bytes(1 << 20), Bytes(20 << 20));
    meta.losses = Losses { ring_full: 17, unmatched_sleeps: 2, ..Losses::default() };
    meta.symbols.named = 12;
    meta.governing.budget = Some(0.01);
    meta
}

/// What a page shows after its scripts have run.
struct Shown(String);

impl Shown {
    /// The text of the element with this id, without markup.
    fn text(&self, id: &str) -> String {
        let (_, rest) = self.0.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no #{id} in {}", self.0));
        let (_, mut rest) = rest.split_once('>').expect("a whole tag");
        let mut depth = 1;
        let mut text = String::new();
        while let Some((before, tag)) = rest.split_once('<') {
            text.push_str(before);
            let (tag, after) = tag.split_once('>').expect("a whole tag");
            match tag {
                _ if tag.starts_with('/') => depth -= 1,
                _ if ["input", "br"].iter().any(|void| tag.starts_with(void)) => {}
                _ => depth += 1,
            }
            if depth == 0 {
                break;
            }
            text.push(' ');
            rest = after;
        }
        visible(&text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What the script called `tell` with.
    fn told(&self, name: &str) -> String {
        let (_, rest) = self.0.split_once(&format!("data-{name}=\"")).unwrap_or_else(|| panic!("{name} was not told"));
        visible(rest.split_once('"').expect("a whole attribute").0)
    }
}

/// Text without escapes.
fn visible(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&nbsp;", " ").replace("&amp;", "&")
}

struct Browser {
    dir: tempfile::TempDir,
    /// Width and height of the window, in pixels.
    size: (u32, u32),
}

impl Browser {
    /// Writes the page.
    fn new(profile: &Profile) -> Self {
        let dir = tempfile::tempdir_in(memory::directory()).expect("a temporary folder");
        let mut page = Vec::new();
        Html.write(profile, &mut page).expect("a vector takes all");
        std::fs::write(dir.path().join("page.html"), page).expect("a file in a fresh folder");
        Self { dir, size: (800, 600) }
    }

    /// The same page in a window of this size.
    fn sized(self, width: u32, height: u32) -> Self {
        Self { size: (width, height), ..self }
    }

    /// Opens the page in the state that a fragment names.
    fn open(&self, fragment: &str) -> Shown {
        self.load("page.html", fragment)
    }

    /// The same, and does what `script` says once the page stands.
    fn open_and(&self, fragment: &str, script: &str) -> Shown {
        let path = self.dir.path();
        let mut page = std::fs::read_to_string(path.join("page.html")).expect("written before");
        page.push_str(&format!(
            "<script>
            const key = (node, key, more) => node.dispatchEvent(new KeyboardEvent('keydown', {{ key, bubbles: true, ...more }}));
            const mouse = (node, type, x, y) => {{
              const box = node.getBoundingClientRect();
              const at = {{ clientX: box.left + x, clientY: box.top + y, button: 0, bubbles: true }};
              node.dispatchEvent(new (type.startsWith('pointer') ? PointerEvent : MouseEvent)(type, at));
            }};
            const tell = (name, value) => document.body.setAttribute(`data-${{name}}`, String(value));
            const all = (selector) => [...document.querySelectorAll(selector)];
            const click = (selector) => document.querySelector(selector).click();
            const type = (text) => {{
              const field = document.getElementById('search');
              field.focus();
              field.value = text;
              field.dispatchEvent(new Event('input', {{ bubbles: true }}));
              return field;
            }};
            const back = () => new Promise((done) => {{
              addEventListener('popstate', () => setTimeout(done, 10), {{ once: true }});
              history.back();
            }});
            const act = async () => {{ {script} }};
            const wait = () => document.getElementById('selection').textContent ? act() : setTimeout(wait, 10);
            wait();
            </script>"
        ));
        std::fs::write(path.join("acting.html"), page).expect("a file in the same folder");
        self.load("acting.html", fragment)
    }

    fn load(&self, file: &str, fragment: &str) -> Shown {
        let path: &Path = self.dir.path();
        let output = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-quic", "--virtual-time-budget=5000"])
            .args(["--enable-logging=stderr"])
            .arg(format!("--user-data-dir={}", path.join("browser").display()))
            .arg(format!("--window-size={},{}", self.size.0, self.size.1))
            .arg("--dump-dom")
            .arg(format!("file://{}#{fragment}", path.join(file).display()))
            .output()
            .expect("chromium runs");
        let shown = Shown(String::from_utf8(output.stdout).expect("UTF-8"));
        assert_eq!(shown.text("problems"), "", "the page reports no error of its own");
        let console = String::from_utf8_lossy(&output.stderr);
        assert!(!console.contains("CONSOLE"), "nothing on the console: {console}");
        shown
    }
}

#[test]
fn the_page_shows_what_the_profile_holds() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());

    let on = browser.open("");
    assert_eq!(on.text("capture"), "testhost Linux 6.18.0 x86_64 all threads 2023-11-14 22:13:20 UTC 4.00 s CPUs 0-1");
    assert_eq!(on.text("brief"), "Cost 0.40 % of one CPU lost: 17 samples lost (ring buffer full) and 1 more 1 remark");
    let cost = "0.40 % of one CPU; cpu 3 events, 812 ns each; offcpu 9 events, time not measured; memory: 1.0 MiB";
    assert!(on.text("cost").contains(cost), "{}", on.text("cost"));
    assert_eq!(
        on.text("losses"),
        "Lost: 17 samples lost (ring buffer full); 2 off-CPU intervals without start or end. Remark: </script><b>no markup</b>"
    );
    assert!(on.text("facts").contains("Idle CPUs CPU 0 25.0 %"), "{}", on.text("facts"));
    let steal = "Steal CPU 1 3.1 % (time in which the hypervisor ran other guests)";
    assert!(on.text("facts").contains(steal), "{}", on.text("facts"));
    assert_eq!(on.text("sum"), "On-CPU 3.00 s, 3 samples");

    let off = browser.open("probe=offcpu");
    assert_eq!(off.text("sum"), "Off-CPU 3.75 s ± 100 ms, 3 samples");
    let preempted = browser.open("probe=offcpu&metrics=offcpu.preempted");
    assert_eq!(preempted.text("sum"), "Off-CPU (preempted) 250 ms, 1 sample");

    let window = browser.open("probe=offcpu&from=2&to=3");
    assert!(window.text("selection").contains("window 2.00 s to 3.00 s (1.00 s)"), "{}", window.text("selection"));
    assert!(window.text("sum").starts_with("Off-CPU 1.50 s"), "a third of one sleep and all of another");

    let thread = browser.open("thread=comm:relay");
    assert_eq!(thread.text("sum"), "On-CPU 1.00 s, 1 sample");
    let nothing = browser.open("from=1&to=2");
    assert_eq!(nothing.text("view"), "No On-CPU samples in the selected window.");
}

/// What the summary and the page say of the same windows: of a recording, and of a page that has only the window.
#[test]
fn a_window_of_the_page_has_the_sums_of_the_report() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    example.recording.meta = meta();
    let [worker, other] = [(71, "worker"), (72, "other")].map(|(tid, name)| example.thread(7, tid, name));
    let [read, poll] = ["app serve read", "app serve poll"].map(|path| example.stack(path));
    let millis = SECOND / 1_000;
    for (metric, thread, stack, time, value, probability) in [
        (BLOCKED, worker, read, 300, 1_400, 0.5),
        (BLOCKED, worker, poll, 1_900, 500, 0.25),
        (BLOCKED, worker, read, 2_500, 1_400, 1.0),
        (BLOCKED, worker, poll, 1_800, 1, 0.01),
        (PREEMPTED, worker, poll, 1_990, 20, 0.5),
        (BLOCKED, other, poll, 0, 4_000, 1.0),
        (CPU, worker, poll, 999, 100, 1.0),
        (CPU, worker, poll, 1_000, 200, 0.5),
        (CPU, worker, poll, 1_999, 300, 0.5),
    ] {
        let sample = example.sample(metric, thread, stack, value * millis);
        (sample.time, sample.probability) = (Nanos(time * millis), probability);
    }
    example.counter(BLOCKED, Scope::Thread(worker), 400, 5 * SECOND);
    // 200 ms that no sample represents.
    example.counter(BLOCKED, Scope::Thread(other), 2, 4_200 * millis);
    let whole = Browser::new(&build(&example.recording, &Selection::default()));
    for (since, until) in [(1_000, 2_000), (1_500, 3_500)] {
        let window = Window { since: Some(Nanos(since * millis)), until: Some(Nanos(until * millis)) };
        let profile = build(&example.recording, &Selection { window, ..Selection::default() });
        let mut text = Vec::new();
        summary(&profile, Width::Whole, Style::Plain, &mut text).expect("a vector takes all");
        let text = String::from_utf8(text).expect("UTF-8");
        let part = Browser::new(&profile);
        for (probe, label) in [("cpu", "On-CPU"), ("offcpu", "Off-CPU")] {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{label}: ")))
                .unwrap_or_else(|| panic!("{text}"));
            let sum = line.split(" in ").next().and_then(|line| line.split(" of ").next()).expect("a first part");
            let (from, to) = (since as f64 / 1e3, until as f64 / 1e3);
            let selected = whole.open(&format!("probe={probe}&from={from}&to={to}"));
            assert!(
                selected.text("sum").starts_with(&format!("{label} {sum}, ")),
                "{}, not {line}",
                selected.text("sum")
            );
            assert_eq!(part.open(&format!("probe={probe}")).text("sum"), selected.text("sum"));
            let untimed = selected.text("selection").contains("without 200 ms that is only counted");
            assert_eq!(untimed, probe == "offcpu", "{}", selected.text("selection"));
        }
        assert!(text.contains("200 ms were counted in the whole capture, but not sampled"), "{text}");
    }
}

#[test]
fn the_chains_of_a_window_are_those_of_the_wakeups_in_it() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let ended = browser.open("view=wakes&from=2&to=4").text("chain-sums");
    assert!(ended.starts_with("2.50 s in chains"), "{ended}");
    let later = browser.open("view=wakes&from=2&to=3").text("chain-sums");
    assert!(later.starts_with("500 ms in chains; 1.00 s with an unknown waker"), "{later}");
}

/// Random samples, of which each represents others that were not sampled: nothing on the time axis is more than possible, and no time
/// is lost as long as there is room.
#[test]
fn no_bucket_of_the_time_axis_has_more_than_there_was() {
    needs!(Program("chromium"));
    let check = "
        let seed = 1;
        const random = () => {
          seed ^= seed << 13;
          seed ^= seed >>> 17;
          seed ^= seed << 5;
          return (seed >>> 0) / 2 ** 32;
        };
        const [width, duration, cpus] = [100, 1930, 2];
        const room = (bucket) => Math.min(width, duration - bucket * width);
        const near = (a, b) => Math.abs(a - b) <= 1e-6 * Math.max(1, b);
        const fail = (...facts) => { document.getElementById('problems').textContent += `${JSON.stringify(facts)}; `; };
        for (let round = 0; round < 300; round++) {
          const kind = round % 2 ? 'interval' : 'instant';
          const axis = round % 3 * 950;
          const count = 1 + Math.floor(random() * 6);
          const rows = [];
          const totals = [];
          const ends = [];
          for (let thread = 0; thread < count; thread++) {
            totals.push(0);
            let at = random() * duration / 2;
            for (;;) {
              const length = kind === 'interval' ? 1 + random() ** 4 * 600 : 0;
              if (at + length > duration) break;
              const measured = kind === 'interval' ? length : 10 * random();
              const value = measured / (0.05 + random());
              const start = kind === 'interval' ? at : Math.floor(at / width) * width;
              const end = kind === 'interval' ? at + length : start + room(Math.floor(at / width));
              rows.push({ start: axis + start, end: axis + end, value, estimated: value - measured });
              totals[thread] += value;
              at += length + random() ** 4 * 200;
            }
            if (random() < 0.3) {
              rows.push({ start: 0, end: 0, value: 50, estimated: 0 });
              totals[thread] += 50;
            }
            ends.push(rows.length);
          }
          const column = (name) => rows.map((row) => row[name]);
          const numbers = totals.map((_, thread) => thread);
          const profile = {
            buckets: 20, bucket_nanos: width, axis_start: axis, axis_end: axis + duration, meta: { cpus: '0,3' }, metrics: [{ index: 0, unit: 'nanoseconds', kind }],
            threads: numbers.map((thread) => [1, thread, 'a', 0, 0]),
            group: { length: count, thread: numbers, metric: numbers.map(() => 0), idle: numbers.map(() => 0), end: ends },
            row: { start: column('start'), end: column('end'), value: column('value'), estimated: column('estimated') },
          };
          const lanes = (threads) => [...overTime(profile, [1], threads, 'all')];
          const sum = (values) => values.reduce((a, b) => a + b, 0);
          for (const thread of numbers) {
            const values = lanes(numbers.map((other) => other === thread ? 1 : 0));
            values.forEach((value, bucket) => { if (value > room(bucket) * (1 + 1e-9)) fail(kind, thread, bucket, value); });
            const most = Math.min(totals[thread], duration);
            if (!near(sum(values), most)) fail(kind, thread, sum(values), most);
          }
          const most = kind === 'interval' ? Infinity : cpus;
          const values = lanes(null);
          values.forEach((value, bucket) => { if (value > room(bucket) * Math.min(count, most) * (1 + 1e-9)) fail(kind, bucket, value); });
          const whole = Math.min(sum(totals.map((total) => Math.min(total, duration))), most * duration);
          if (!near(sum(values), whole)) fail(kind, sum(values), whole);
        }
        document.getElementById('losses').textContent = `${seed}`;";
    let checked = Browser::new(&profile()).open_and("", check);
    assert!(checked.text("losses").parse::<i64>().is_ok(), "the check has run: {}", checked.text("losses"));
}

#[test]
fn what_a_sample_represents_is_spread_over_the_time_around_it() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    example.recording.meta = meta();
    let thread = example.thread(7, 71, "worker");
    let stack = example.stack("app main");
    // It represents 400 ms.
    let sample = example.sample(CPU, thread, stack, SECOND / 50);
    (sample.time, sample.probability) = (Nanos(SECOND), 0.05);
    let browser = Browser::new(&build(&example.recording, &Selection::default()));
    // The axis begins 128 pixels from the left.
    let at = |part: f64| {
        let hover = format!(
            "const line = document.getElementById('timeline');
            mouse(line, 'pointermove', 128 + {part} * (line.clientWidth - 128), 20);"
        );
        browser.open_and("", &hover).text("tooltip")
    };
    for (part, told) in
        [(0.26, "about 1.00 CPUs"), (0.29, "about 1.00 CPUs"), (0.21, "about 1.00 CPUs"), (0.4, "about 0.00 CPUs")]
    {
        assert!(at(part).contains(told), "{part}: {}", at(part));
    }
}

#[test]
fn a_window_is_dragged_on_the_time_axis_moved_by_keys_and_cleared() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    // The axis begins 128 pixels from the left.
    let drag = "const line = document.getElementById('timeline');
        const place = (part) => 128 + part * (line.clientWidth - 128);
        mouse(line, 'pointerdown', place(0.5), 20);
        mouse(line, 'pointermove', place(0.6), 20);
        mouse(line, 'pointermove', place(0.75), 20);
        mouse(line, 'pointerup', place(0.75), 20);";
    let dragged = browser.open_and("probe=offcpu", drag);
    assert!(dragged.text("sum").starts_with("Off-CPU 1.5"), "{}", dragged.text("sum"));
    assert!(dragged.text("selection").contains("window 2.00 s to 3.0"), "{}", dragged.text("selection"));

    let cleared = browser.open_and("probe=offcpu", &format!("{drag} mouse(line, 'dblclick', 300, 20);"));
    assert_eq!(cleared.text("selection"), "Off-CPU 3.75 s ± 100 ms, 3 samples whole capture");
    let escaped = browser.open_and("probe=offcpu", &format!("{drag} key(document.body, 'Escape');"));
    assert_eq!(escaped.text("selection"), cleared.text("selection"));
    let moved = browser.open_and("probe=offcpu&from=2&to=3", "key(document.getElementById('timeline'), 'ArrowRight');");
    assert!(moved.text("selection").contains("window 2.04 s to 3.04 s"), "{}", moved.text("selection"));
}

#[test]
fn a_frame_is_zoomed_by_click_or_keys_and_the_address_remembers_it() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let fragment = "document.getElementById('problems').dataset.address = location.hash;";
    // Rows are 18 pixels high: all, worker, main, handle, parse. What is widest stands left.
    let clicked =
        browser.open_and("", &format!("mouse(document.querySelector('main canvas'), 'click', 20, 63); {fragment}"));
    assert!(clicked.text("view").contains("all worker main handle handle app 2.00 s"), "{}", clicked.text("view"));
    let keys = "const graph = document.querySelector('main canvas');
        for (const name of ['ArrowDown', 'ArrowDown', 'ArrowDown', 'Enter']) key(graph, name);";
    let typed = browser.open_and("", &format!("{keys} {fragment}"));
    let address = |shown: &Shown| {
        let (_, rest) = shown.0.split_once("data-address=\"").expect("the script ran");
        rest.split_once('"').expect("a whole attribute").0.to_owned()
    };
    assert_eq!(address(&clicked), address(&typed));
    let again = browser.open(address(&typed).trim_start_matches('#'));
    assert_eq!(again.text("view"), clicked.text("view"));
    let escaped = browser.open_and("", &format!("{keys} key(graph, 'Escape');"));
    assert!(escaped.text("view").contains("all 3.00 s, 100 % of 3.00 s"), "{}", escaped.text("view"));
}

#[test]
fn choosing_a_thread_draws_only_that_thread() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let choose = "[...document.querySelectorAll('tbody button')].find((one) => one.textContent === 'relay').click();
        document.querySelector('[data-view=flame]').click();";
    let chosen = browser.open_and("view=threads", choose);
    assert_eq!(chosen.text("selection"), "On-CPU 1.00 s, 1 sample whole capture threads relay ×");
}

#[test]
fn search_and_reverse_work_on_the_flame_graph() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    assert_eq!(browser.open("search=^pa.se$").text("matched"), "66.7 % matched, 2.00 s");

    let frame = |name: &str| profile().frames.iter().position(|frame| frame.name == name).expect("a frame");
    let (parse, handle) = (frame("parse"), frame("handle"));
    let zoomed = browser.open(&format!("reverse=1&zoom={parse}.{handle}"));
    assert!(
        zoomed.text("view").contains("all parse handle handle app 2.00 s, 66.7 % of 3.00 s"),
        "{}",
        zoomed.text("view")
    );
}

#[test]
fn a_function_stands_between_its_callers_and_callees_and_recursion_counts_once() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let shown = browser.open("view=functions&fn=handle@app");
    assert_eq!(shown.text("sandwich-sum"), "total 2.00 s, 66.7 %; self 0 ns");
    let side = shown.text("sandwich");
    assert!(side.contains("Called by 2.00 s 100 % main"), "{side}");
    assert!(side.contains("Calls 2.00 s 100 % parse"), "{side}");
    let table = shown.text("view");
    assert!(table.contains("parse app 2.00 s 66.7 % 2.00 s 66.7 % 2"), "{table}");
}

#[test]
fn estimates_stand_beside_exact_totals() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let table = browser.open("view=threads").text("view");
    assert!(table.contains("worker 1 2.00 s 3.00 s ± 100 ms 3.00 s 1 250 ms 250 ms 40"), "{table}");
}

#[test]
fn the_total_of_a_thread_is_exact_and_its_division_is_not() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    let thread = example.thread(1, 1, "worker");
    let [read, poll] = ["app serve read", "app serve poll"].map(|path| example.stack(path));
    // Of 3 s that were estimated, read has two thirds. The variance of each is half of the square of its estimate.
    for (stack, value) in [(read, SECOND), (poll, SECOND / 2)] {
        example.sample(BLOCKED, thread, stack, value).probability = 0.5;
    }
    example.counter(BLOCKED, Scope::Thread(thread), 4, 3 * SECOND);
    let browser = Browser::new(&build(&example.recording, &Selection::default()));

    let functions = browser.open("probe=offcpu&view=functions");
    assert_eq!(functions.text("sum"), "Off-CPU 3.00 s, 2 samples");
    // 1/9 of 2 s^2 and 4/9 of 0.5 s^2; and of 1.5 s that were estimated, what four of six allow.
    let table = functions.text("view");
    for row in [
        "serve app 3.00 s 289 ms 100 % 2",
        "read app 2.00 s 667 ms 66.7 % 2.00 s 667 ms 66.7 % 1",
        "poll app 1.00 s 667 ms 33.3 % 1.00 s 667 ms 33.3 % 1",
    ] {
        assert!(table.contains(row), "no {row} in {table}");
    }
    assert!(browser.open("view=threads").text("view").contains("worker 1 3.00 s 3.00 s 4"));
    let poll = browser.open("probe=offcpu&view=functions&fn=poll@app");
    assert_eq!(poll.text("sandwich-sum"), "total 1.00 s ± 667 ms, 33.3 %; self 1.00 s");

    // A page of a part knows what the rest of the thread has.
    let part = Selection { window: Window { since: Some(Nanos(SECOND)), until: None }, ..Selection::default() };
    example.recording.samples[0].time = Nanos(2 * SECOND);
    example.recording.meta.duration = Nanos(4 * SECOND);
    let browser = Browser::new(&build(&example.recording, &part));
    assert_eq!(browser.open("probe=offcpu").text("sum"), "Off-CPU 2.00 s ± 667 ms, 1 sample");
}

#[test]
fn a_place_that_was_given_a_missed_interval_may_have_none_of_it() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    let thread = example.thread(1, 1, "worker");
    let read = example.stack("app serve read");
    for _ in 0..20 {
        example.sample(BLOCKED, thread, read, SECOND / 1_000).probability = 0.1;
    }
    // A sleep of 10 s was not sampled.
    example.counter(BLOCKED, Scope::Thread(thread), 201, 10_200_000_000);
    let profile = build(&example.recording, &Selection::default());
    let browser = Browser::new(&profile);
    let functions = browser.open("probe=offcpu&view=functions");
    assert_eq!(functions.text("sum"), "Off-CPU 10.2 s, 20 samples");
    let table = functions.text("view");
    assert!(table.contains("read app 10.2 s 10.0 s 100 % 10.2 s 10.0 s 100 % 20"), "{table}");

    // All of a thread is no place, and all of a part of the time is one.
    let worker = profile.frames.iter().position(|frame| frame.name == "worker").expect("a frame");
    let zoomed = browser.open(&format!("probe=offcpu&zoom={worker}")).text("view");
    assert!(zoomed.contains("worker 10.2 s, 100 % of 10.2 s"), "{zoomed}");
    let window = browser.open("probe=offcpu&from=0&to=0.5");
    assert_eq!(window.text("sum"), "Off-CPU 10.2 s ± 10.0 s, 20 samples");
}

#[test]
fn a_wake_chain_is_told_to_the_interrupt_and_blames_no_bystander() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    for form in ["tree", "flame"] {
        let shown = browser.open(&format!("view=wakes&wakes={form}"));
        assert_eq!(
            shown.text("chain-sums"),
            "3.50 s in chains; 250 ms preempted, without a wakeup. A chain ends at a wakeup from an interrupt: the \
             interrupted thread is not part of it."
        );
    }
    let chains = browser.open("view=wakes").text("view");
    let told = [
        "worker slept",
        "in futex_wait ← recv ← main",
        "woken by relay in futex_wake ← unlock ← loop",
        "woken by an interrupt in nvme_irq ← asm_common_interrupt",
    ];
    let mut rest = chains.as_str();
    for line in told {
        rest = rest.split_once(line).unwrap_or_else(|| panic!("no `{line}` in its place: {chains}")).1;
    }
    assert!(!chains.contains("innocent") && !chains.contains("bystander_code"), "{chains}");
}

#[test]
fn a_page_of_a_part_of_the_capture_says_so() {
    needs!(Program("chromium"));
    let mut profile = profile();
    profile.window = Window { since: Some(Nanos(SECOND)), until: Some(Nanos(3 * SECOND)) };
    let browser = Browser::new(&profile);
    let selection = browser.open("").text("selection");
    assert!(selection.contains("of the capture from 1.00 s to 3.00 s"), "{selection}");
    assert!(!selection.contains("whole"), "{selection}");
}

#[test]
fn the_programs_of_one_probe_are_told_apart() {
    needs!(Program("chromium"));
    let mut profile = profile();
    for (probe, event) in profile.meta.cost.probes.iter_mut().zip(["context switch", "wake-up"]) {
        probe.probe = "offcpu".to_owned();
        probe.mechanism = format!("tp_btf sched_switch, sched_waking: {event}");
    }
    let browser = Browser::new(&profile);
    let cost = browser.open("").text("cost");
    assert!(cost.contains("offcpu (context switch) 3 events") && cost.contains("offcpu (wake-up) 9 events"), "{cost}");
}

#[test]
fn a_budget_that_was_missed_by_a_little_is_said_so() {
    needs!(Program("chromium"));
    let mut profile = profile();
    // 60 ms of 4 s.
    profile.meta.cost.probes[0].nanos_per_event = Some(20e6);
    let browser = Browser::new(&profile);
    let page = browser.open("");
    let missed = "The budget of the probes, 1.00 % of one CPU, was exceeded: they cost 1.50 %.";
    assert!(page.text("cost").contains(missed), "{}", page.text("cost"));
    let fact = "Budget 1.00 % of one CPU for the probes, exceeded: they cost 1.50 %";
    assert!(page.text("facts").contains(fact), "{}", page.text("facts"));
}

#[test]
fn what_was_not_recorded_is_said() {
    needs!(Program("chromium"));
    let mut profile = profile();
    profile.samples.clear();
    profile.meta.losses = Losses::default();
    profile.meta.remarks.clear();
    let browser = Browser::new(&profile);
    let off = browser.open("probe=offcpu");
    assert_eq!(off.text("view"), "No Off-CPU samples in this capture: the offcpu probe took none.");
    assert_eq!(off.text("losses"), "No losses.");
    let on = browser.open("");
    assert_eq!(on.text("view"), "No On-CPU samples in this capture: the cpu probe took none.");
    // A link of another page: what is not here is passed over.
    let other = browser.open("probe=heap&metrics=heap.bytes&view=histograms");
    assert_eq!(other.text("view"), "No histogram in this selection.");
}

/// A probe that no script knows: its tab, its metrics by their units, its lane, and its distributions.
#[test]
fn any_probe_has_its_tab_its_metrics_and_its_histograms() {
    needs!(Program("chromium"));
    let mut example = recorded();
    example.add_locks();
    let browser = Browser::new(&build(&example.recording, &Selection::default()));

    assert_eq!(browser.open("").text("probes"), "On-CPU Off-CPU Locks");
    let locks = browser.open("probe=test.locks");
    assert_eq!(locks.text("sum"), "Locks (wait, held) 2.00 s, 2 samples");
    assert_eq!(locks.text("metrics"), "wait held memory spins");
    let memory = browser.open("probe=test.locks&metrics=test.locks.memory,test.locks.spins");
    assert_eq!(memory.text("sum"), "Locks (memory) 3.0 MiB ± 2.1 MiB, 1 sample", "units are not added up");
    let spins = browser.open("probe=test.locks&metrics=test.locks.spins&view=functions");
    assert!(spins.text("view").contains("lock app 12,345"), "{}", spins.text("view"));
    let clicked =
        browser.open_and("probe=test.locks", "document.querySelector('[data-name=\"test.locks.memory\"]').click();");
    assert_eq!(clicked.text("sum"), memory.text("sum"));
    let threads = browser.open("view=threads").text("view");
    assert!(threads.contains("Locks: wait Locks: held Locks: memory Locks: spins"), "{threads}");
    assert!(threads.contains("1.50 s 500 ms 3.0 MiB ± 2.1 MiB 12,400"), "{threads}");

    let histogram = browser.open("view=histograms").text("view");
    assert!(histogram.contains("Locks: wait: all, 200 events"), "{histogram}");
    assert!(histogram.contains("CPU 0 100 1.00 us 1.00 us 50.2 us 50.2 us 50.2 us"), "{histogram}");
    let scope = browser.open("view=histograms&scope=CPU+1").text("histogram");
    assert_eq!(scope, "Locks: wait: CPU 1, 100 events");
}

#[test]
fn hostile_names_are_text_and_do_nothing() {
    needs!(Program("chromium"));
    const HOSTILE: &str = "<img src=x onerror=\"document.title='owned'\">\u{202e}\u{1b}";
    const SHOWN: &str = "<img src=x onerror=\"document.title='owned'\">\\u202e\\u001b";
    let mut profile = profile();
    profile.meta.host.hostname = HOSTILE.to_owned();
    profile.threads[0].comm = HOSTILE.to_owned();
    profile.pools[0] = HOSTILE.to_owned();
    profile.process_names[0] = HOSTILE.to_owned();
    profile.processes[0].cgroup = Some(HOSTILE.to_owned());
    profile.processes[0].command_line = Some(vec![HOSTILE.to_owned()]);
    for frame in &mut profile.frames {
        (frame.name, frame.module) = (format!("{}{HOSTILE}", frame.name), HOSTILE.to_owned());
    }
    let browser = Browser::new(&profile);
    for view in ["functions", "threads", "processes", "wakes"] {
        let page = browser.open(&format!("view={view}"));
        assert!(page.text("capture").starts_with(SHOWN), "{}", page.text("capture"));
        assert!(page.text("view").contains(SHOWN), "{view}: {}", page.text("view"));
        assert!(!page.0.contains("<img") && !page.0.contains("<title>owned") && !page.0.contains('\u{202e}'), "{view}");
    }
}

/// Two processes: `app` with a pool of two threads and an idle thread, and `redis`.
fn two_processes() -> Profile {
    let mut example = Example::new();
    example.recording.meta.duration = Nanos(SECOND);
    let work = example.stack("app main work");
    let wait = example.stack("app main kernel:ep_poll");
    let lock = example.stack("app main lock kernel:futex_wait");
    for (pid, tid, name) in [(7, 7, "app"), (7, 8, "worker-1"), (7, 9, "worker-2"), (20, 20, "redis")] {
        let thread = example.thread(pid, tid, name);
        example.sample(CPU, thread, work, SECOND / 10);
        example.sample(BLOCKED, thread, lock, SECOND / 4);
    }
    let idle = example.thread(7, 10, "idler");
    example.sample(BLOCKED, idle, wait, SECOND).ongoing = true;
    let processes = &mut example.recording.processes;
    let redis = processes.find(Pid(20)).expect("a process");
    *processes.get_mut(redis) = Process {
        command_line: Some(vec!["redis-server".to_owned(), "<b>*:6379</b>".to_owned()]),
        container: Some("0123456789abcdef".repeat(4)),
        user_name: Some("redis".to_owned()),
        ..Process::new(Pid(20))
    };
    build(&example.recording, &Selection::default())
}

#[test]
fn processes_are_a_table_a_selection_and_a_level_of_the_flame_graph() {
    needs!(Program("chromium"));
    let browser = Browser::new(&two_processes());
    let table = browser.open("view=processes").text("view");
    for row in ["redis 20 redis 0123456789ab 100 ms 250 ms 1 redis-server <b>*:6379</b>", "app 7 300 ms 750 ms 4"] {
        assert!(table.contains(row), "no `{row}` in {table}");
    }
    let choose = "[...document.querySelectorAll('tbody button')].find((one) => one.textContent === 'redis').click();
        document.querySelector('[data-view=flame]').click();";
    let chosen = browser.open_and("view=processes", choose);
    assert_eq!(chosen.text("selection"), "On-CPU 100 ms, 1 sample whole capture process redis (20) ×");
    // Rows are 18 pixels high: all, the process.
    let script =
        "document.getElementById('processes').click(); mouse(document.querySelector('main canvas'), 'click', 20, 27);";
    let grouped = browser.open_and("", script).text("view");
    assert!(grouped.contains("app (7) 300 ms, 75.0 % of 400 ms"), "{grouped}");
}

#[test]
fn idle_threads_are_left_out_until_they_are_asked_for() {
    needs!(Program("chromium"));
    let browser = Browser::new(&two_processes());
    let folded = browser.open("probe=offcpu");
    assert_eq!(folded.text("selection"), "Off-CPU 1.00 s, 4 samples whole capture without 1 idle thread: 1.00 s");
    let shown = browser.open_and(
        "probe=offcpu",
        "document.getElementById('show-idle').click(); tell('width', document.getElementById('idle').offsetWidth);",
    );
    assert!(shown.told("width").parse::<u32>().expect("a number") < 150, "{}", shown.told("width"));
    assert_eq!(shown.text("selection"), "Off-CPU 2.00 s, 5 samples whole capture");
    let nothing = browser.open("probe=offcpu&thread=comm:idler").text("view");
    assert_eq!(nothing, "No Off-CPU samples in the selected threads. Idle threads are not shown.");
}

#[test]
fn threads_of_a_pool_are_one_row_until_they_are_shown_apart() {
    needs!(Program("chromium"));
    let browser = Browser::new(&two_processes());
    let pools = browser.open("view=threads").text("view");
    assert!(pools.contains("worker-* 2 200 ms") && !pools.contains("worker-1"), "{pools}");
    let apart = browser.open("view=threads&apart=1").text("view");
    assert!(apart.contains("worker-1 1 100 ms") && !apart.contains("worker-*"), "{apart}");
    let chosen = browser.open("thread=pool:worker-*").text("selection");
    assert_eq!(chosen, "On-CPU 200 ms, 2 samples whole capture threads worker-* ×");
}

#[test]
fn tables_fit_and_the_graph_begins_near_the_top() {
    needs!(Program("chromium"));
    let mut example = recorded();
    let worker = example.thread(7, 71, "worker");
    let stack = example.stack("app main a_function_with_a_rather_long_name_in_it kernel:io_schedule");
    example.sample(IO_WAIT, worker, stack, SECOND / 3).probability = 0.5;
    example.counter(IO_WAIT, Scope::Thread(worker), 1_234, SECOND / 3);
    let mut profile = build(&example.recording, &Selection::default());
    profile.samples[4].variance = 1e16;
    let mut browser = Browser::new(&profile);
    let script = "const tooWide = [];
        for (const view of ['flame', 'functions', 'threads', 'processes', 'timeline', 'wakes']) {
          click(`[data-view=${view}]`);
          await new Promise((done) => setTimeout(done, 50));
          for (const box of [document.documentElement, ...all('main, .tablebox, .tracks, .chains, .side, #controls')]) {
            if (box.scrollWidth > box.clientWidth) tooWide.push(`${view}: ${box.id || box.className || box.tagName}`);
          }
        }
        tell('wide', tooWide.join());
        click('[data-view=flame]');
        tell('top', document.querySelector('main canvas').getBoundingClientRect().top);";
    for (width, height, top) in [(1280, 800, 200.0), (800, 600, 280.0), (800, 800, 280.0)] {
        browser = browser.sized(width, height);
        let page = browser.open_and("probe=offcpu&fn=main@app", script);
        assert_eq!(page.told("wide"), "", "{width} x {height}");
        let began: f64 = page.told("top").parse().expect("a number");
        assert!(began <= top, "{width} x {height}: the graph begins at {began}");
    }
}

#[test]
fn off_cpu_functions_are_sorted_by_total_and_ties_by_name() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let names = "const names = () => all('#view tbody tr').map((line) => line.cells[0].textContent).join(' ');";
    let off = browser.open_and(
        "probe=offcpu&view=functions",
        &format!(
            "{names} tell('first', names());
            all('th button').find((one) => one.textContent === 'Self').click();
            tell('self', names());
            click('[data-name=cpu]');
            tell('cpu', document.querySelector('th[aria-sort=descending]').textContent);"
        ),
    );
    assert_eq!(off.told("first"), "main futex_wait recv epoll_wait loop handle parse");
    assert_eq!(
        off.told("self"),
        "futex_wait epoll_wait parse main recv loop handle",
        "of no time of their own, by total"
    );
    assert!(off.told("cpu").starts_with("Self"), "the chosen order stays: {}", off.told("cpu"));
    let on = browser.open("view=functions").text("view");
    let own = on.find("parse app").expect("a row");
    assert!(own < on.find("main app").expect("a row"), "on CPU, by their own time: {on}");
}

#[test]
fn the_wake_tree_shows_what_the_program_did() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    let [worker, other] = [(1, "worker"), (2, "other")].map(|(tid, name)| example.thread(1, tid, name));
    let [sleep, post] = [
        "app start_thread@libc.so.6 main serve handle check ask_warehouse std::this_thread::sleep_for nanosleep@libc.so.6 \
         clock_nanosleep@libc.so.6 kernel:entry_SYSCALL_64 kernel:do_syscall_64 kernel:hrtimer_nanosleep \
         kernel:do_nanosleep kernel:schedule",
        "app main post kernel:futex_wake",
    ]
    .map(|path| example.stack(path));
    let slept = example.sample(BLOCKED, worker, sleep, SECOND / 2);
    slept.wake = Some(Wake { waker: other, stack: Some(post), waker_sleep: None });
    let browser = Browser::new(&build(&example.recording, &Selection::default()));
    let page = browser.open("view=wakes").text("view");
    assert!(page.contains("in do_nanosleep ← … ← ask_warehouse ← check ← handle ← … ← main"), "{page}");
    assert!(page.contains("woken by other in futex_wake ← post ← main"), "{page}");
}

#[test]
fn an_invalid_expression_is_said_and_keeps_what_was_found() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let page = browser.open_and("", "type('parse'); type('parse(');");
    assert_eq!(page.text("invalid"), "invalid regular expression: unterminated group");
    assert_eq!(page.text("matched"), "66.7 % matched, 2.00 s");
    let mended = browser.open_and("", "type('parse('); type('parse'); tell('address', location.hash);");
    assert_eq!((mended.text("invalid").as_str(), mended.told("address").as_str()), ("", "#search=parse"));
    let linked = browser.open("search=tcp_%5B");
    assert_eq!(linked.text("invalid"), "invalid regular expression: unterminated character class");
    assert_eq!(linked.text("matched"), "");
}

#[test]
fn a_search_steps_through_its_matches_and_moves_nothing_else() {
    needs!(Program("chromium"));
    let mut example = recorded();
    let relay = example.thread(7, 72, "relay");
    let tiny = example.stack("app loop tiny");
    example.sample(CPU, relay, tiny, SECOND / 5_000);
    let browser = Browser::new(&build(&example.recording, &Selection::default()));
    let page = browser.open_and(
        "",
        "const graph = document.querySelector('main canvas');
        const place = () => document.getElementById('place').textContent;
        const seen = () => `${place()}: ${document.querySelector('.detail').textContent.split(',')[0]}`;
        const top = graph.getBoundingClientRect().top;
        const field = type('handle');
        const places = [place()];
        key(field, 'Enter'); places.push(seen());
        key(field, 'Enter'); places.push(seen());
        key(field, 'Enter'); places.push(place());
        key(field, 'Enter', { shiftKey: true }); places.push(place());
        key(document.body, 'n'); places.push(place());
        key(document.body, 'N'); places.push(place());
        click('#after'); places.push(place());
        tell('places', places.join('; '));
        tell('top', graph.getBoundingClientRect().top - top);
        tell('same', graph === document.querySelector('main canvas') && !location.hash.includes('zoom'));
        type('tiny'); key(field, 'Enter');
        tell('tiny', document.querySelector('.crumbs').textContent);
        type('nowhere'); tell('none', place());",
    );
    assert_eq!(
        page.told("places"),
        "2 matches; 1 of 2: handle app 2.00 s; 2 of 2: handle app 1.00 s; 1 of 2; 2 of 2; 1 of 2; 2 of 2; 1 of 2"
    );
    assert_eq!((page.told("same").as_str(), page.told("top").as_str()), ("true", "0"));
    assert_eq!(page.told("tiny"), "allrelaylooptiny", "what is too narrow to be seen is zoomed into");
    assert_eq!(page.told("none"), "no match");
}

#[test]
fn back_undoes_each_step_and_a_link_restores_all_of_them() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let script = "const steps = [location.hash];
        const entries = history.length;
        const after = (done) => { done(); steps.push(location.hash); };
        const line = document.getElementById('timeline');
        const row = (name) => all('tbody button').find((one) => one.textContent === name);
        after(() => { key(document.querySelector('main canvas'), 'ArrowDown'); key(document.querySelector('main canvas'), 'Enter'); });
        after(() => click('[data-name=offcpu]'));
        after(() => {
          mouse(line, 'pointerdown', 200, 20);
          mouse(line, 'pointermove', 400, 20);
          mouse(line, 'pointermove', 900, 20);
          mouse(line, 'pointerup', 900, 20);
        });
        after(() => click('#zoom-axis'));
        after(() => click('[data-view=threads]'));
        after(() => all('th button').find((one) => one.textContent === 'Thread').click());
        after(() => row('worker').click());
        after(() => click('[data-view=functions]'));
        after(() => row('recv').click());
        after(() => all('th button').find((one) => one.textContent === 'Samples').click());
        after(() => click('[data-view=wakes]'));
        after(() => all('.told')[1].click());
        after(() => { for (const text of ['f', 'fu', 'fut']) type(text); });
        tell('view', document.getElementById('view').textContent);
        tell('last', location.hash);
        const undone = [];
        // Not out of the page, should steps be missing.
        for (let step = history.length - entries; step > 0; step--) {
          undone.push(location.hash);
          await back();
        }
        undone.push(location.hash);
        tell('steps', steps.join(' '));
        tell('undone', undone.reverse().join(' '));
        tell('distinct', new Set(steps).size);
        tell('shown', document.getElementById('sum').textContent);";
    let page = browser.open_and("", script);
    assert_eq!(page.told("distinct"), "14", "each step has its address: {}", page.told("steps"));
    assert_eq!(page.told("undone"), page.told("steps"));
    assert_eq!(page.told("shown"), "On-CPU 3.00 s, 3 samples", "what is shown follows the address");
    let last = page.told("last");
    for part in [
        "axis=",
        "from=",
        "thread=",
        "sort=threads%3Aup%3AThread",
        "sort=functions%3Adown%3ASamples",
        "chain=",
        "search=fut",
    ] {
        assert!(last.contains(part), "no {part} in {last}");
    }
    let linked = browser.open_and(
        last.trim_start_matches('#'),
        "tell('view', document.getElementById('view').textContent);
        type('');
        click('[data-view=threads]');
        tell('sorted', document.querySelector('th[aria-sort=ascending]').textContent);",
    );
    assert_eq!(linked.told("view"), page.told("view"));
    assert!(linked.told("sorted").starts_with("Thread"), "{}", linked.told("sorted"));
}

#[test]
fn callers_and_callees_say_what_they_have() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let shown = browser.open("view=functions&fn=main@app&probe=offcpu").text("sandwich");
    assert!(shown.contains("100 % of 3.25 s, with all callers, 2 samples"), "{shown}");
    assert!(shown.contains("100 % of 3.25 s, in the function itself 0 ns, 2 samples"), "{shown}");
    assert!(
        shown.contains("Calls 3.00 s ± 100 ms") || shown.contains("Calls 3.00 s 92.3 % recv 250 ms 7.69 % handle"),
        "{shown}"
    );
    // What is neither of a callee nor of a caller has a line, so that each list adds up.
    let leaf = browser.open("view=functions&fn=parse@app").text("sandwich");
    assert!(leaf.contains("Called by 2.00 s 100 % handle"), "{leaf}");
    assert!(leaf.contains("Calls 1.00 s 50.0 % handle 1.00 s 50.0 % in the function itself"), "{leaf}");
    let root = browser.open_and("view=functions&fn=parse@app", "tell('callers', all('.detail')[0].textContent);");
    assert!(!root.told("callers").contains("self"), "a caller has no time of its own: {}", root.told("callers"));
}

#[test]
fn no_two_buttons_have_one_name() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let page = browser.open_and(
        "",
        "const names = new Map();
        for (const view of ['flame', 'functions', 'threads', 'processes', 'timeline', 'wakes']) {
          click(`[data-view=${view}]`);
          for (const button of all('#controls button, main .choice button')) {
            names.set(button.textContent, (names.get(button.textContent) ?? new Set()).add(button.dataset.view ?? button.dataset.name ?? button.id + button.parentElement.ariaLabel));
          }
        }
        tell('shared', [...names].filter(([, meanings]) => meanings.size > 1).map(([name]) => name).join());
        tell('names', [...names.keys()].join());",
    );
    // Both are flame graphs.
    assert_eq!(page.told("shared"), "Flame graph");
    assert!(page.told("names").contains("A to Z") && page.told("names").contains("One row per name"));
}

#[test]
fn the_time_axis_zooms_into_the_window_and_back_out() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let drag = "const line = document.getElementById('timeline');
        const drag = (from, to) => {
          const place = (part) => 128 + part * (line.clientWidth - 128);
          for (const [type, part] of [['pointerdown', from], ['pointermove', (from + to) / 2], ['pointermove', to], ['pointerup', to]]) mouse(line, type, place(part), 20);
        };
        const selection = () => document.getElementById('selection').textContent;";
    let page = browser.open_and(
        "probe=offcpu&from=2&to=3",
        &format!(
            "{drag} key(line, 'z');
            tell('zoomed', selection());
            drag(0.5, 0.75);
            tell('within', selection());
            click('#whole-axis');
            tell('out', selection());
            key(document.body, 'Escape');
            tell('all', selection());"
        ),
    );
    assert!(page.told("zoomed").contains("time axis 2.00 s to 3.00 s"), "{}", page.told("zoomed"));
    assert!(page.told("within").contains("window 2.50 s to 2.76 s (260 ms)"), "{}", page.told("within"));
    assert!(!page.told("out").contains("axis") && page.told("out").contains("window 2.50 s"), "{}", page.told("out"));
    assert!(page.told("all").contains("whole capture"), "{}", page.told("all"));

    // A page of a part has only this part on its axis, and only this part of the intervals.
    let window = Window { since: Some(Nanos(SECOND)), until: Some(Nanos(3 * SECOND)) };
    let part = Selection { window, ..Selection::default() };
    let browser = Browser::new(&build(&recorded().recording, &part));
    let page = browser.open_and(
        "probe=offcpu",
        &format!(
            "{drag} tell('sum', selection());
            const bucket = (part) => {{
              mouse(line, 'pointermove', 128 + part * (line.clientWidth - 128), 20);
              return document.getElementById('tooltip').textContent;
            }};
            tell('first', bucket(0.001));
            tell('last', bucket(0.999));
            click('[data-view=timeline]');
            tell('tracks', all('.tracks canvas').map((one) => one.ariaLabel).join('; '));
            drag(0.5, 0.75);
            tell('half', selection());"
        ),
    );
    assert!(page.told("sum").starts_with("Off-CPU 2.50 s"), "{}", page.told("sum"));
    for (name, times) in [("first", "1.00 s to 1.02 s"), ("last", "2.98 s to 3.00 s")] {
        let told = page.told(name);
        assert!(told.starts_with(times) && told.contains("about 1.00 threads"), "{told}");
    }
    let of = |blocked: &str, rest: &str| {
        format!("on CPU 0 ns, blocked {blocked}, preempted 0 ns, io-wait 0 ns, not observed {rest}")
    };
    assert_eq!(page.told("tracks"), format!("{}; {}", of("2.00 s", "0 ns"), of("500 ms", "1.50 s")));
    assert!(page.told("half").contains("window 2.00 s to 2.5"), "{}", page.told("half"));
}

/// Buckets of 20 ms: the last one of this capture is only 5 ms long.
#[test]
fn a_window_that_reaches_the_end_of_the_axis_has_all_that_is_there() {
    needs!(Program("chromium"));
    let mut example = recorded();
    let end = 4 * SECOND + SECOND / 200;
    example.recording.meta.duration = Nanos(end);
    let late = example.thread(7, 74, "late");
    let stack = example.stack("app main wait");
    example.sample(CPU, late, stack, SECOND / 1_000).time = Nanos(end - SECOND / 500);
    example.sample(BLOCKED, late, stack, SECOND / 10).time = Nanos(end - SECOND / 10);
    let drag = "const line = document.getElementById('timeline');
        for (const [type, part] of [['pointerdown', 0.9], ['pointermove', 0.95], ['pointermove', 1.1], ['pointerup', 1.1]]) {
          mouse(line, type, 128 + part * (line.clientWidth - 128), 20);
        }
        const sum = () => document.getElementById('sum').textContent;
        mouse(line, 'pointermove', line.clientWidth - 0.3, 20);
        tell('last', document.getElementById('tooltip').textContent);
        tell('cpu', sum());
        click('[data-name=offcpu]');
        click('[data-view=timeline]');
        tell('tracks', all('.tracks canvas').at(-1).ariaLabel);
        click('[data-view=functions]');
        tell('offcpu', sum());
        tell('address', location.hash);";
    // Of all, and of a part that begins within a millisecond.
    for (since, cpus) in [(0, "0.20 CPUs"), (SECOND + SECOND / 900, "0.26 CPUs")] {
        let window = Window { since: Some(Nanos(since)), until: None };
        let profile = build(&example.recording, &Selection { window, ..Selection::default() });
        let browser = Browser::new(&profile);
        let page = browser.open_and("thread=tid%3A74", drag);
        assert_eq!(page.told("cpu"), "On-CPU 1.00 ms, 1 sample", "{since}");
        assert_eq!(page.told("offcpu"), "Off-CPU 100 ms, 1 sample", "{since}");
        let last = page.told("last");
        assert!(last.contains(cpus) && last.contains("about 1.00 threads"), "{since}: {last}");
        assert!(
            page.told("tracks").starts_with("on CPU 1.00 ms, blocked 100 ms, "),
            "{since}: {}",
            page.told("tracks")
        );
        assert!(page.told("address").contains("to=4.005"), "{since}: {}", page.told("address"));
        let linked = browser.open(page.told("address").trim_start_matches('#'));
        assert_eq!(linked.text("sum"), page.told("offcpu"), "{since}");
    }
}

#[test]
fn a_question_mark_shows_the_help_and_escape_only_closes_it() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let page = browser.open_and(
        "",
        "const field = type('parse');
        key(field, '?'); tell('typed', Boolean(document.getElementById('help')?.open));
        key(document.body, '?'); tell('open', document.getElementById('help').open);
        key(document.getElementById('help'), 'Escape'); tell('closed', document.getElementById('help').open);
        tell('search', location.hash);
        click('#ask'); tell('clicked', document.getElementById('help').open);",
    );
    let told = ["typed", "open", "closed", "search", "clicked"].map(|name| page.told(name));
    assert_eq!(told, ["false", "true", "false", "#search=parse", "true"]);
    for text in ["search for a name", "Double click clear the window", "Column heading sort by this column"] {
        assert!(page.text("help").contains(text), "no {text} in {}", page.text("help"));
    }
}

#[test]
fn a_page_that_is_still_loading_says_so() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let page = std::fs::read_to_string(browser.dir.path().join("page.html")).expect("written before");
    // What a browser has of a large page before all of it is there.
    let data = page.find("id=\"data\">").expect("data") + 100;
    std::fs::write(browser.dir.path().join("half.html"), &page[..data]).expect("a file in the same folder");
    assert_eq!(browser.load("half.html", "").text("view"), "Loading the profile …");
    assert!(!browser.open("").0.contains("Loading the profile …<"));
}

#[test]
fn long_names_are_shortened_where_they_differ_least() {
    needs!(Program("chromium"));
    let mut profile = profile();
    let full = [
        "store::Table<std::pair<long, std::vector<double>>, Hash>::insert(std::pair<long, double> const&, bool)",
        "store::Table<std::pair<long, std::vector<float>>, Hash>::insert(std::pair<long, double> const&, bool)",
    ];
    for (name, long) in ["parse", "tcp_sendmsg"].into_iter().zip(full) {
        let frame = profile.frames.iter_mut().find(|frame| frame.name == name).expect("a frame");
        frame.name = long.to_owned();
    }
    let browser = Browser::new(&profile);
    let page = browser.open_and(
        "view=functions",
        "await new Promise((done) => setTimeout(done, 50));
        const cells = all('tbody td:first-child').filter((cell) => cell.title.startsWith('store::'));
        tell('cells', cells.map((cell) => cell.textContent).join(' | '));
        tell('titles', cells.map((cell) => cell.title.split('\\n')[0]).join(' | '));
        tell('forms', [
          ['app::read<int>(char const*, unsigned long)', 20], ['app::read<int>(char const*)', 16], ['operator<<(std::ostream&, X const&)', 14],
          ['(anonymous namespace)::run(int)', 29], ['<alloc::vec::Vec<T> as Drop>::drop', 12], ['tcp_sendmsg_locked_and_more', 14], ['short', 3],
        ].map(([name, room]) => shorten(name, room)).join(' | '));",
    );
    let cells = page.told("cells");
    let (first, second) = cells.split_once(" | ").expect("two rows");
    assert!(first != second && first.contains("double") && second.contains("float"), "{cells}");
    assert!(first.starts_with("store::") && first.contains('…') && first.len() < full[0].len(), "{cells}");
    assert_eq!(page.told("titles"), full.join(" | "));
    assert_eq!(
        page.told("forms"),
        "app::read<int>(…) | app::read<…>(…) | operator<<(…) | (anonymous namespace)::run(…) | …::drop | tcp_sendm…more | sh…"
    );
}

#[test]
fn each_thread_has_a_track_and_what_was_not_observed_is_no_idle_time() {
    needs!(Program("chromium"));
    let mut example = recorded();
    for tid in 100..150 {
        let (thread, stack) = (example.thread(8, tid, "crowd"), example.stack("app main wait kernel:futex_wait"));
        example.sample(BLOCKED, thread, stack, SECOND / 10);
    }
    // Counted, but represented by no sample: it is not known when.
    let hidden = example.thread(8, 150, "hidden");
    example.counter(BLOCKED, Scope::Thread(hidden), 1, SECOND);
    let browser = Browser::new(&build(&example.recording, &Selection::default()));
    let page = browser.open_and(
        "view=timeline",
        "await new Promise((done) => setTimeout(done, 50));
        const label = (place) => all('.tracks li')[place].querySelector('canvas').ariaLabel;
        const canvas = document.querySelector('.tracks canvas');
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const colors = (share) => {
          const found = new Set();
          for (let line = 0; line < canvas.height; line++) {
            const at = 4 * (line * canvas.width + Math.floor(share * canvas.width));
            found.add([...pixels.slice(at, at + 4)].join('.'));
          }
          return found;
        };
        const isOf = (share, name) => {
          const [red, green, blue] = themeColor(name).match(/[0-9a-f]{2}/g).map((part) => parseInt(part, 16));
          return colors(share).has(`${red}.${green}.${blue}.255`);
        };
        tell('names', all('.tracks .link').slice(0, 3).map((one) => one.textContent).join());
        tell('worker', label(0));
        tell('waits', [0.6, 0.2, 0.1].map((share) => `${isOf(share, '--wait-0')} ${isOf(share, '--run')}`).join());
        tell('number', all('.tracks canvas').length);
        tell('more', document.getElementById('more-tracks').textContent);
        click('#more-tracks');
        tell('then', all('.tracks canvas').length);
        tell('hidden', all('.tracks .link').some((one) => one.textContent.startsWith('hidden')));
        tell('key', document.getElementById('tracks-key').textContent);
        all('.tracks .link')[1].click();
        tell('chosen', `${location.hash} ${all('.tracks .link').map((one) => one.textContent).join()}`);
        all('.tracks .link')[0].click();
        tell('again', all('.tracks canvas').length);",
    );
    assert_eq!(page.told("names"), "worker 71,relay 72,crowd 100");
    assert_eq!(page.told("waits"), "true false,false false,false true", "waiting; not observed; running");
    assert_eq!(
        (page.told("number"), page.told("more"), page.told("then")),
        ("40".into(), "12 more threads".into(), "52".into())
    );
    assert_eq!(page.told("hidden"), "false");
    assert!(page.told("key").starts_with("on CPUblockedpreemptedio-waitnot observed: "), "{}", page.told("key"));
    assert_eq!(page.told("chosen"), "#view=timeline&thread=tid%3A72 relay 72");
    assert_eq!(page.told("again"), "40");
    let worker = "on CPU 270 ms, blocked 3.00 s, preempted 250 ms, io-wait 0 ns, not observed 480 ms";
    assert_eq!(page.told("worker"), worker);
}
