//! The table of functions, and the callers and callees of one.

use quell_tests::needs;

use crate::browser::Browser;
use crate::fixture::profile;

#[test]
fn a_function_stands_between_its_callers_and_callees_and_recursion_counts_once() {
    needs!(Program("chromium"));
    let browser = Browser::new(&profile());
    let shown = browser.open("view=functions&fn=handle@app");
    assert_eq!(shown.text("sandwich-sum"), "total 2.00 s ± 1.41 s, 66.7 %; self 0 ns");
    let side = shown.text("sandwich");
    assert!(side.contains("Called by 2.00 s 100 % main"), "{side}");
    assert!(side.contains("Calls 2.00 s 100 % parse"), "{side}");
    let table = shown.text("view");
    assert!(table.contains("parse app 2.00 s 1.41 s 66.7 % 2.00 s 1.41 s 66.7 % 2"), "{table}");
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
