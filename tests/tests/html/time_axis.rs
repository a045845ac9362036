//! Windows of time, and the zoom of the time axis.

use quell::profile::{Selection, Window, build};
use quell::recording::Scope;
use quell::recording::example::{BLOCKED, CPU, Example, PREEMPTED};
use quell::report::{Style, Width, summary};
use quell::units::Nanos;
use quell_tests::needs;

use crate::browser::Browser;
use crate::fixture::{SECOND, meta, profile, recorded};

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
        assert_eq!(page.told("cpu"), "On-CPU 1.00 ms ± 1.00 ms, 1 sample", "{since}");
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

/// Two threads ran in the first second, and after it only one.
#[test]
fn the_heights_of_a_zoomed_axis_are_of_what_it_shows() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    example.recording.meta = meta();
    for (tid, from, until) in [(1, 0, 1), (2, 0, 4)] {
        let thread = example.thread(7, tid, "worker");
        let stack = example.stack("app main");
        for time in from * 50..until * 50 {
            example.sample(CPU, thread, stack, SECOND / 50).time = Nanos(time * SECOND / 50);
        }
    }
    let browser = Browser::new(&build(&example.recording, &Selection::default()));
    let page = browser.open_and(
        "from=2&to=3",
        "const [texts, heights] = [[], []];
        const { fillText, fillRect } = CanvasRenderingContext2D.prototype;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
          texts.push(text);
          return fillText.call(this, text, ...place);
        };
        CanvasRenderingContext2D.prototype.fillRect = function (x, y, width, height) {
          if (this.fillStyle === themeColor('--lane-0')) heights.push(height);
          return fillRect.call(this, x, y, width, height);
        };
        const drawn = (name, draw) => {
          texts.length = heights.length = 0;
          draw();
          const part = Math.min(...heights) / Math.max(...heights);
          tell(name, `${texts.filter((text) => text.startsWith('max')).join()}, lowest ${part.toFixed(2)}`);
        };
        drawn('whole', () => click('[data-view=functions]'));
        drawn('zoomed', () => key(document.getElementById('timeline'), 'z'));",
    );
    assert_eq!(page.told("whole"), "max ~2.00 CPUs, lowest 0.50");
    assert_eq!(page.told("zoomed"), "max ~1.00 CPUs, lowest 1.00");
}

/// What the table of threads says is counted in a window, and the summary of the same window.
#[test]
fn counted_totals_of_a_window_are_those_of_the_report() {
    needs!(Program("chromium"));
    let mut example = Example::new();
    example.recording.meta = meta();
    let worker = example.thread(7, 71, "worker");
    let stack = example.stack("app serve poll");
    example.sample(BLOCKED, worker, stack, 4 * SECOND);
    let millis = SECOND / 1_000;
    for (slice, count, sum) in [((0, 1_003), 3, 600), ((1_003, 3_001), 0, 1_998), ((3_001, 4_000), 40, 120)] {
        example.sliced_counter(BLOCKED, Scope::Thread(worker), slice, (count, sum * millis));
    }
    let whole = Browser::new(&build(&example.recording, &Selection::default()));
    for (since, until, row, line) in [
        // 3 ms of it are in a slice of which the thread slept for 60 %.
        (1_000, 1_500, "worker 1 500 ms 499 ms 1", "499 ms (1 interval ended) "),
        (1_000, 2_000, "worker 1 1.00 s 999 ms 1", "999 ms (1 interval ended) "),
        (0, 2_000, "worker 1 2.00 s 1.60 s 3", "1.60 s (3 intervals ended) "),
        (
            3_500,
            4_000,
            "worker 1 500 ms 60.1 ms to within 60.1 ms 21",
            "60.1 ms (to within 60.1 ms, 21 intervals ended) ",
        ),
    ] {
        let window = Window { since: Some(Nanos(since * millis)), until: Some(Nanos(until * millis)) };
        let profile = build(&example.recording, &Selection { window, ..Selection::default() });
        let mut text = Vec::new();
        summary(&profile, Width::Whole, Style::Plain, &mut text).expect("a vector takes all");
        let text = String::from_utf8(text).expect("UTF-8");
        assert!(text.contains(&format!("counted   blocked {line}(in the selected part; ")), "{text}");
        let (from, to) = (since as f64 / 1e3, until as f64 / 1e3);
        let selected = whole.open(&format!("view=threads&from={from}&to={to}")).text("view");
        let part = Browser::new(&profile).open("view=threads").text("view");
        for shown in [selected, part] {
            assert!(shown.contains(row), "{row} is not in {shown}");
            assert!(shown.contains("Counted: in the selected window; "), "{shown}");
        }
    }
}
