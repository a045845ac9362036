//! The search.

use quell::profile::{Selection, build};
use quell::recording::example::CPU;
use quell_tests::needs;

use crate::browser::Browser;
use crate::fixture::{SECOND, profile, recorded};

#[test]
fn search_and_reverse_work_on_the_flame_graph() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    assert_eq!(browser.open("search=^pa.se$").text("matched"), "66.7 % matched, 2.00 s");

    let frame = |name: &str| profile().frames.iter().position(|frame| frame.name == name).expect("a frame");
    let (parse, handle) = (frame("parse"), frame("handle"));
    let zoomed = browser.open(&format!("reverse=1&zoom={parse}.{handle}"));
    assert!(
        zoomed.text("view").contains("all parse handle handle app 2.00 s ± 1.41 s, 66.7 % of 3.00 s"),
        "{}",
        zoomed.text("view")
    );
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
        "2 matches; 1 of 2: handle app 2.00 s ± 1.41 s; 2 of 2: handle app 1.00 s ± 1.00 s; 1 of 2; 2 of 2; 1 of 2; 2 of 2; 1 of 2"
    );
    assert_eq!((page.told("same").as_str(), page.told("top").as_str()), ("true", "0"));
    assert_eq!(page.told("tiny"), "allrelaylooptiny", "what is too narrow to be seen is zoomed into");
    assert_eq!(page.told("none"), "no match");
}
