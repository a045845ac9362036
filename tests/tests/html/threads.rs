//! Threads, pools, processes and tracks.

use quell::profile::{Roots, Selection, build};
use quell::recording::example::BLOCKED;
use quell::recording::{Metric, Scope};
use quell_tests::needs;

use crate::browser::Browser;
use crate::fixture::{SECOND, profile, recorded, two_processes};

#[test]
fn choosing_a_thread_draws_only_that_thread() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let choose = "[...document.querySelectorAll('tbody button')].find((one) => one.textContent === 'relay').click();
        document.querySelector('[data-view=flame]').click();";
    let chosen = browser.open_and("view=threads", choose);
    assert_eq!(chosen.text("selection"), "On-CPU 1.00 s ± 1.00 s, 1 sample whole capture threads relay ×");
}

#[test]
fn processes_are_a_table_a_selection_and_a_level_of_the_flame_graph() {
    needs!(Program("chromium"));
    let browser = Browser::new(&two_processes());
    let table = browser.open("view=processes").text("view");
    for row in [
        "redis 20 redis 0123456789ab 100 ms ± 100 ms 250 ms 1 redis-server <b>*:6379</b>",
        "app 7 300 ms ± 173 ms 750 ms 4",
    ] {
        assert!(table.contains(row), "no `{row}` in {table}");
    }
    let choose = "[...document.querySelectorAll('tbody button')].find((one) => one.textContent === 'redis').click();
        document.querySelector('[data-view=flame]').click();";
    let chosen = browser.open_and("view=processes", choose);
    assert_eq!(chosen.text("selection"), "On-CPU 100 ms ± 100 ms, 1 sample whole capture process redis (20) ×");
    // Rows are 18 pixels high: all, the process.
    let script =
        "document.getElementById('processes').click(); mouse(document.querySelector('main canvas'), 'click', 20, 27);";
    let grouped = browser.open_and("", script).text("view");
    assert!(grouped.contains("app (7) 300 ms ± 173 ms, 75.0 % of 400 ms"), "{grouped}");
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
    assert_eq!(chosen, "On-CPU 200 ms ± 141 ms, 2 samples whole capture threads worker-* ×");
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

#[test]
fn no_two_waits_have_one_color() {
    needs!(Program("chromium"));
    let example = recorded();
    let mut recording = example.recording;
    let blocked = recording.meta.metric_named(BLOCKED).expect("a metric");
    // As many as the probe of quell has.
    for name in ["throttled", "stopped"] {
        let metric =
            Metric { name: format!("offcpu.{name}"), label: name.to_owned(), ..recording.meta.metric(blocked).clone() };
        recording.meta.metrics.push(metric);
    }
    let browser = Browser::new(&build(&recording, &Selection::default()));
    let page = browser.open_and(
        "view=timeline",
        "const colors = all('#tracks-key .key:not(.unobserved)').map((one) => getComputedStyle(one, '::before').backgroundColor);
        tell('colors', `${colors.length} ${new Set(colors).size}`);",
    );
    assert_eq!(page.told("colors"), "6 6");
}

#[test]
fn a_page_shows_threads_as_its_report_was_asked_to() {
    needs!(Program("chromium"));
    let mut example = recorded();
    for tid in [81, 82] {
        let (thread, stack) = (example.thread(7, tid, &format!("pool-{tid}")), example.stack("app main"));
        example.sample(BLOCKED, thread, stack, SECOND);
    }
    let rows = |roots, fragment: &str| {
        let profile = build(&example.recording, &Selection { roots, ..Selection::default() });
        let script = "tell('rows', all('tbody .link').map((one) => one.textContent).filter((name) => name.startsWith('pool')).sort().join());
            tell('pressed', document.querySelector('main .choice [aria-pressed=true]').textContent);";
        let page = Browser::new(&profile).open_and(fragment, script);
        (page.told("rows"), page.told("pressed"))
    };
    let told = |rows: &str, pressed: &str| (rows.to_owned(), pressed.to_owned());
    assert_eq!(rows(Roots::Pools, "view=threads"), told("pool-*", "One row per pool"));
    assert_eq!(rows(Roots::Names, "view=threads"), told("pool-81,pool-82", "One row per name"));
    assert_eq!(rows(Roots::Threads, "view=threads"), told("pool-81,pool-82", "One row per thread"));
    assert_eq!(rows(Roots::Names, "view=threads&apart=0"), told("pool-*", "One row per pool"));
}
