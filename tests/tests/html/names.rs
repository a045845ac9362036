//! Names that no script knows, and names that are shown twice or would be markup.

use quell::profile::{Selection, build};
use quell_tests::needs;

use crate::browser::Browser;
use crate::fixture::{profile, recorded};

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
