//! The HTML report in a real browser: what a reader sees is what the profile holds.

use std::path::Path;
use std::process::Command;

use quell::profile::{
    FrameId, FrameKind, Losses, Meta, Metric, NamedFrame, Profile, Reason, StackId, StackTable, Thread, ThreadIdx,
    ThreadTotals, WakeLink, Weighted, Window,
};
use quell::report::Sink;
use quell::report::html::Html;
use quell::units::{CpuId, Nanos, Pid, Tid};
use quell_tests::{memory, needs};

const SECOND: u64 = 1_000_000_000;

#[derive(Default)]
struct Builder {
    frames: Vec<NamedFrame>,
    stacks: StackTable,
}

impl Builder {
    /// Frames from the outermost, as `thread user_function kernel:function`.
    fn stack(&mut self, path: &str) -> StackId {
        let mut ids = Vec::new();
        for (place, name) in path.split_whitespace().enumerate() {
            let (name, module, kind) = match (place, name.strip_prefix("kernel:")) {
                (0, _) => (name, "", FrameKind::Label),
                (_, Some(name)) => (name, "[kernel]", FrameKind::Kernel),
                (_, None) => (name, "app", FrameKind::User),
            };
            let frame = NamedFrame { name: name.to_owned(), module: module.to_owned(), kind };
            let row = self.frames.iter().position(|known| *known == frame).unwrap_or_else(|| {
                self.frames.push(frame);
                self.frames.len() - 1
            });
            ids.push(FrameId(row as u32));
        }
        self.stacks.intern_all(ids).expect("a stack has frames")
    }
}

/// Two seconds on CPU in `parse`, in the first second of the capture, and one in `send`; `worker` sleeps for three
/// seconds and is woken by `relay`, which an interrupt that fell on `innocent` had woken.
fn profile() -> Profile {
    let mut build = Builder::default();
    let parse = build.stack("worker main handle parse");
    let again = build.stack("worker main handle parse handle parse");
    let send = build.stack("relay loop send kernel:tcp_sendmsg");
    let wait = build.stack("worker main recv kernel:futex_wait kernel:__schedule");
    let relay_wait = build.stack("relay loop kernel:epoll_wait kernel:__schedule");
    let relay_wakes = build.stack("relay loop unlock kernel:futex_wake kernel:try_to_wake_up");
    let interrupt = build.stack("innocent bystander_code kernel:asm_common_interrupt kernel:nvme_irq");
    let at = |time, thread, stack, metric, value: u64, variance| Weighted {
        time: Nanos(time),
        duration: Nanos(value),
        cpu: CpuId(0),
        thread: ThreadIdx(thread),
        stack: Some(stack),
        metric,
        value: value as f64,
        variance,
        wake: None,
    };
    let blocked = Metric::OffCpu(Reason::Blocked);
    let link = |waker, stack, interrupt, waker_sleep| {
        Some(WakeLink { waker: ThreadIdx(waker), stack: Some(stack), interrupt, waker_sleep })
    };
    let mut samples = vec![
        at(SECOND / 2, 0, parse, Metric::OnCpu, SECOND, 0.0),
        at(SECOND / 2, 0, again, Metric::OnCpu, SECOND, 0.0),
        at(3 * SECOND, 1, send, Metric::OnCpu, SECOND, 0.0),
        at(2 * SECOND, 1, relay_wait, blocked, SECOND / 2, 0.0),
        at(SECOND, 0, wait, blocked, 3 * SECOND, 1e16),
        at(0, 0, parse, Metric::OffCpu(Reason::Preempted), SECOND / 4, 0.0),
    ];
    samples[3].wake = link(2, interrupt, true, None);
    samples[4].wake = link(1, relay_wakes, false, Some(3));
    let thread = |tid, comm: &str| Thread { pid: Pid(7), tid: Tid(tid), comm: comm.to_owned() };
    Profile {
        meta: meta(),
        frames: build.frames,
        stacks: build.stacks,
        window: Window::default(),
        threads: vec![thread(71, "worker"), thread(72, "relay"), thread(73, "innocent")],
        samples,
        totals: vec![ThreadTotals {
            thread: ThreadIdx(0),
            count: [1, 40, 0],
            time: [Nanos(3 * SECOND), Nanos(SECOND / 5), Nanos(0)],
        }],
    }
}

fn meta() -> Meta {
    let meta = serde_json::json!({
        "schema": 1, "quell": "0.1.0", "command_line": ["quell", "record", "-a"], "target": "all", "cpus": "0-1",
        "host": { "hostname": "testhost", "kernel": "6.18.0", "arch": "x86_64", "cpus": "0-1" },
        "start_realtime": 1_700_000_000_000_000_000_u64, "start_monotonic": 1, "duration": 4 * SECOND, "frequency": 99,
        "every_event": false, "remarks": ["</script><b>no markup</b>"], "exit_code": null, "idle": { "0": 0.25 },
        "cost": {
            "probes": [
                { "probe": "cpu", "mechanism": "perf_event cpu-clock", "events": 3, "nanos_per_event": 812.0 },
                { "probe": "offcpu", "mechanism": "tp_btf sched_switch", "events": 9, "nanos_per_event": null }
            ],
            "agent_cpu": 1_000_000, "cpu_share": 0.004, "map_memory": 1_048_576, "agent_memory": 20_971_520
        },
        "losses": {
            "ring_full": 17, "thread_table_full": 0, "targets_full": 0, "no_kernel_stack": 0, "no_user_stack": 0,
            "truncated_user_stacks": 0, "deep_stacks": 0, "unmatched_sleeps": 2, "unknown_records": 0,
            "lost_mappings": 0
        },
        "symbols": { "named": 12, "unnamed": {} },
        "governing": { "budget": 0.01, "changes": [], "over_budget": false }
    });
    serde_json::from_value(meta).expect("a Meta")
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
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

struct Browser {
    dir: tempfile::TempDir,
}

impl Browser {
    /// Writes the page.
    fn new(profile: &Profile) -> Self {
        let dir = tempfile::tempdir_in(memory::directory()).expect("a temporary folder");
        let mut page = Vec::new();
        Html.write(profile, &mut page).expect("a vector takes all");
        std::fs::write(dir.path().join("page.html"), page).expect("a file in a fresh folder");
        Self { dir }
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
            const act = () => {{ {script} }};
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
    let cost = "0.40 % of one CPU; cpu 3 events, 812 ns each; offcpu 9 events, time not measured; memory 1.0 MiB";
    assert!(on.text("cost").contains(cost), "{}", on.text("cost"));
    assert_eq!(
        on.text("losses"),
        "Lost: 17 samples lost, ring full; 2 sleeps without beginning or end. Remark: </script><b>no markup</b>"
    );
    assert!(on.text("facts").contains("Idle CPUs CPU 0 25.0 %"), "{}", on.text("facts"));
    assert_eq!(on.text("sum"), "On-CPU 3.00 s, 3 samples");

    let off = browser.open("metric=off");
    assert_eq!(off.text("sum"), "Off-CPU 3.75 s ± 100 ms, 3 samples");
    let preempted = browser.open("metric=off&reasons=preempted");
    assert_eq!(preempted.text("sum"), "Off-CPU (preempted) 250 ms, 1 sample");

    let window = browser.open("metric=off&from=2&to=3");
    assert!(window.text("selection").contains("window 2.00 s to 3.00 s (1.00 s)"), "{}", window.text("selection"));
    assert!(window.text("sum").starts_with("Off-CPU 1.50 s"), "a third of one sleep and all of another");

    let thread = browser.open("thread=comm:relay");
    assert_eq!(thread.text("sum"), "On-CPU 1.00 s, 1 sample");
    let nothing = browser.open("from=1&to=2");
    assert_eq!(nothing.text("view"), "No on-CPU samples in the selected window.");
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
    let dragged = browser.open_and("metric=off", drag);
    assert!(dragged.text("sum").starts_with("Off-CPU 1.5"), "{}", dragged.text("sum"));
    assert!(dragged.text("selection").contains("window 2.00 s to 3.0"), "{}", dragged.text("selection"));

    let cleared = browser.open_and("metric=off", &format!("{drag} mouse(line, 'dblclick', 300, 20);"));
    assert_eq!(cleared.text("selection"), "Off-CPU 3.75 s ± 100 ms, 3 samples whole capture");
    let escaped = browser.open_and("metric=off", &format!("{drag} key(document.body, 'Escape');"));
    assert_eq!(escaped.text("selection"), cleared.text("selection"));
    let moved = browser.open_and("metric=off&from=2&to=3", "key(document.getElementById('timeline'), 'ArrowRight');");
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
    assert_eq!(browser.open("search=tcp_%5B").text("matched"), "0 % matched, 0 ns", "half an expression is text");

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
    assert!(table.contains("worker 1 2.00 s 3.00 s ± 100 ms 3.00 s 1 250 ms 200 ms 40"), "{table}");
}

#[test]
fn a_wake_chain_is_told_to_the_interrupt_and_blames_no_bystander() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    for form in ["tree", "flame"] {
        let shown = browser.open(&format!("view=wakes&wakes={form}"));
        assert_eq!(
            shown.text("chain-sums"),
            "3.50 s in chains; 250 ms preempted, woken by nobody. A chain that comes to an interrupt ends there: the \
             thread that it fell upon has no part in it."
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
    let missed = "The probes' budget of 1.00 % was not kept: they cost 1.50 %.";
    assert!(page.text("cost").contains(missed), "{}", page.text("cost"));
    let fact = "Budget 1.00 % of one CPU for the probes, not kept: they cost 1.50 %";
    assert!(page.text("facts").contains(fact), "{}", page.text("facts"));
}

#[test]
fn what_was_not_recorded_is_said() {
    needs!(Program("chromium"));
    let mut profile = profile();
    profile.samples.clear();
    profile.meta.cost.probes.remove(1);
    profile.meta.losses = Losses::default();
    profile.meta.remarks.clear();
    let browser = Browser::new(&profile);
    let off = browser.open("metric=off");
    assert_eq!(off.text("view"), "No off-CPU samples in this capture: the offcpu probe was not recorded.");
    assert_eq!(off.text("losses"), "Nothing lost.");
    let on = browser.open("");
    assert_eq!(on.text("view"), "No on-CPU samples in this capture: the cpu probe ran and took none.");
}

#[test]
fn hostile_names_are_text_and_do_nothing() {
    needs!(Program("chromium"));
    const HOSTILE: &str = "<img src=x onerror=\"document.title='owned'\">\u{202e}\u{1b}";
    const SHOWN: &str = "<img src=x onerror=\"document.title='owned'\">\\u202e\\u001b";
    let mut profile = profile();
    profile.meta.host.hostname = HOSTILE.to_owned();
    profile.threads[0].comm = HOSTILE.to_owned();
    for frame in &mut profile.frames {
        (frame.name, frame.module) = (format!("{}{HOSTILE}", frame.name), HOSTILE.to_owned());
    }
    let browser = Browser::new(&profile);
    for view in ["functions", "threads", "wakes"] {
        let page = browser.open(&format!("view={view}"));
        assert!(page.text("capture").starts_with(SHOWN), "{}", page.text("capture"));
        assert!(page.text("view").contains(SHOWN), "{view}: {}", page.text("view"));
        assert!(!page.0.contains("<img") && !page.0.contains("<title>owned") && !page.0.contains('\u{202e}'), "{view}");
    }
}
