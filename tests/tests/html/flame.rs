//! The flame graph, and the room that it has.

use quell::profile::{Selection, build};
use quell::recording::Scope;
use quell::recording::example::IO_WAIT;
use quell_tests::needs;

use crate::browser::{Browser, Shown};
use crate::fixture::{SECOND, profile, recorded};

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
    assert!(escaped.text("view").contains("all 3.00 s ± 1.73 s, 100 % of 3.00 s"), "{}", escaped.text("view"));
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
