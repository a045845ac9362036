//! Texts of others in what quell prints: a terminal takes no orders from them, and XML stays XML.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let drawn = quell::fuzzing::text(bytes, quell_fuzz::template());
    for (format, out) in &drawn {
        let text = std::str::from_utf8(out);
        if *format == "summary" {
            let text = text.expect("the summary is UTF-8");
            let hidden = text.chars().find(|one| *one != '\n' && quell_fuzz::is_hidden(*one));
            assert!(hidden.is_none(), "{hidden:?} in the summary");
        }
        if *format == "svg" {
            let text = text.expect("an SVG is UTF-8");
            let illegal = text.chars().find(|one| !quell_fuzz::is_xml(*one));
            assert!(illegal.is_none(), "{illegal:?} in the SVG");
        }
    }
});
