//! The address, the help and loading.

use quell_tests::needs;

use crate::browser::Browser;
use crate::fixture::profile;

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
    assert_eq!(page.told("shown"), "On-CPU 3.00 s ± 1.73 s, 3 samples", "what is shown follows the address");
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
