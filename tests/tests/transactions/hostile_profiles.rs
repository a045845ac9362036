//! Profiles that somebody else wrote: what they may cost, and what they may have printed.

use std::fmt::Write as _;
use std::fs;

use anyhow::Result;
use quell::tune::transaction::Lock;
use quell_tests::fake_host::small_vm;

use crate::case::{Case, amend};

fn setting(on: &str) -> String {
    format!("[[set]]\nknob = \"sysctl\"\non = \"{on}\"\nvalue = \"1\"\nreason = \"a test\"\n")
}

/// That a profile is refused, by plan and by apply, with the limit, and nothing was done.
fn refused(profile: &str, limit: &str) -> Result<()> {
    let case = Case::on(small_vm(), profile)?;
    let path = case.apply()[1].to_owned();
    for verb in [&["plan", &path][..], &["apply", &path, "--yes"]] {
        let said = case.quell(verb)?.expect_code(2)?.stderr;
        assert!(said.contains(limit), "{verb:?}: {said}");
        assert!(said.len() < 4096, "{verb:?}: {} bytes", said.len());
    }
    assert!(case.is_as_before());
    Ok(())
}

#[test]
fn a_profile_that_includes_two_that_include_two_is_refused() -> Result<()> {
    let case = Case::on(small_vm(), "include = [\"./p0.toml\", \"./p0.toml\"]\n")?;
    for level in 0..38 {
        let include = format!("summary = \"a\"\ninclude = [\"./p{0}.toml\", \"./p{0}.toml\"]\n", level + 1);
        fs::write(case.dir.path(&format!("p{level}.toml")), include)?;
    }
    fs::write(case.dir.path("p38.toml"), "summary = \"a\"\n")?;
    let path = case.apply()[1].to_owned();
    let said = case.quell(&["plan", &path])?.expect_code(2)?.stderr;
    assert!(said.contains("at most 64 files"), "{said}");
    // One that is included by two is no such thing.
    fs::write(case.dir.path("p36.toml"), "summary = \"a\"\n")?;
    fs::write(case.dir.path("p34.toml"), "summary = \"a\"\ninclude = [\"./p35.toml\", \"./p35.toml\"]\n")?;
    let diamond = case.dir.path("p34.toml").display().to_string();
    case.quell(&["plan", &diamond])?.expect_code(0)?;
    Ok(())
}

#[test]
fn files_that_are_large_together_are_refused() -> Result<()> {
    let case =
        Case::on(small_vm(), "include = [\"./a.toml\", \"./a.toml\", \"./a.toml\", \"./a.toml\", \"./a.toml\"]\n")?;
    fs::write(case.dir.path("a.toml"), format!("summary = \"a\"\n#{}\n", "x".repeat(1_000_000)))?;
    let path = case.apply()[1].to_owned();
    let said = case.quell(&["plan", &path])?.expect_code(2)?.stderr;
    assert!(said.contains("at most 4194304 bytes in all its files"), "{said}");
    Ok(())
}

#[test]
fn variables_that_grow_by_each_other_are_refused() -> Result<()> {
    let mut bomb = format!("[variables]\na0 = \"{}\"\n", "x".repeat(1_000));
    for level in 1..12 {
        writeln!(bomb, "a{level} = \"{}\"", format!("${{a{}}}", level - 1).repeat(10))?;
    }
    refused(&format!("{bomb}{}", setting("vm.swappiness")), "longer than 65536 bytes")?;
    let mut many = "[variables]\n".to_owned();
    for number in 0..40 {
        writeln!(many, "b{number} = \"{}\"", "x".repeat(25_000))?;
    }
    // Twice the half of what there may be: by another way.
    for number in 0..10 {
        writeln!(many, "c{number} = \"${{b{number}}}\"")?;
    }
    refused(&many, "1048576 bytes of values of variables")?;
    let mut chain = "[variables]\nd0 = \"1\"\n".to_owned();
    for number in 1..500 {
        writeln!(chain, "d{number:03} = \"${{d{:03}}}\"", number + 1)?;
    }
    chain += "d500 = \"1\"\n";
    refused(&chain, "nested more than 32 levels deep")?;
    let mut variables = "[variables]\n".to_owned();
    for number in 0..=1_000 {
        writeln!(variables, "e{number} = 1")?;
    }
    refused(&variables, "at most 1000 variables")?;
    let uses: String = (0..40).map(|number| setting(&format!("vm.x{number}")).replace("\"1\"", "\"${f}\"")).collect();
    refused(&format!("[variables]\nf = \"{}\"\n{uses}", "x".repeat(60_000)), "1048576 bytes of settings")
}

#[test]
fn more_settings_than_anybody_writes_are_refused_and_as_many_as_there_may_be_are_not() -> Result<()> {
    let settings = |count: usize| (0..count).map(|number| setting(&format!("n.x{number}"))).collect::<String>();
    refused(&settings(10_001), "at most 10000 settings")?;
    let case = Case::on(small_vm(), &settings(10_000))?;
    let path = case.apply()[1].to_owned();
    let said = case.quell(&["plan", &path])?.expect_code(0)?.stdout;
    assert!(said.contains("10000 skipped"), "{}", said.lines().last().unwrap_or_default());
    Ok(())
}

#[test]
fn patterns_without_number_or_length_are_refused() -> Result<()> {
    let rule =
        |on: &str| format!("[[set]]\nknob = \"process.cpus\"\non = \"{on}\"\nvalue = \"0\"\nreason = \"a test\"\n");
    let words = |from: usize, count: usize| {
        (from..from + count).map(|number| format!("*a*a*a*b{number}")).collect::<Vec<_>>().join(" ")
    };
    refused(&rule(&words(0, 257)), "more than 256 words")?;
    let two = rule(&words(0, 200)) + &rule(&words(200, 57));
    refused(&two, "at most 256 process rules")?;
    refused(&rule(&format!("name={}", "*a".repeat(600))), "longer than 1024 bytes")
}

#[test]
fn a_profile_is_read_before_anything_is_locked() -> Result<()> {
    let case = Case::with("set = 1\n")?;
    // Who has the lock is asked for first, without taking it: a damaged profile is an error of its own though it is free.
    let said = case.quell(&case.apply())?.expect_code(2)?.stderr;
    assert!(said.contains("case.toml:2"), "{said}");
    assert!(!case.at("/run/quell/tune.lock").exists(), "it was locked to read a profile");
    drop(Lock::acquire(&quell::host::Root::at(case.host.path())?, "a test")?);
    Ok(())
}

/// What a forged line would begin with.
const FORGED: &str = "FORGED";

fn has_no_forged_line(said: &str, of: &str) {
    for line in said.lines() {
        assert!(!line.trim_start().starts_with(FORGED), "{of}: {said}");
    }
}

#[test]
fn no_text_of_a_profile_begins_a_line_of_what_is_printed() -> Result<()> {
    let hostile = "a\\n\\nFORGED\\r\\nFORGED";
    let texts = format!(
        "[variables]\nv = \"1{hostile}\"\n\"w{hostile}\" = 1\n\
         [[set]]\nknob = \"memory.swappiness\"\nvalue = 9\nreason = \"ok{hostile}\"\n\
         [[set]]\nknob = \"sysctl\"\non = \"vm.stat_interval\"\nvalue = \"7\"\nreason = \"ok{hostile}\"\n\
         [[set]]\nknob = \"sysctl\"\non = \"vm.x\\nFORGED\"\nvalue = \"7\"\nreason = \"ok{hostile}\"\noptional = true\n\
         [[set]]\nknob = \"cpu.governor\"\nvalue = \"performance\"\nreason = \"ok{hostile}\"\nif = {{ driver = \"{hostile}\" }}\n"
    );
    let case = Case::on(small_vm(), &texts)?;
    let path = case.dir.path("n\nFORGED\nFORGED.toml");
    let text = fs::read_to_string(case.apply()[1])?.replace("\"a test\"", &format!("\"s{hostile}\""));
    fs::write(&path, &text)?;
    let path = path.to_str().expect("text").to_owned();
    fs::create_dir_all(case.at("/etc/quell/profiles"))?;
    fs::write(case.at("/etc/quell/profiles/h\nFORGED.toml"), &text)?;
    fs::write(case.at("/etc/quell/profiles/i\nFORGED.toml"), "x")?;
    let run = |verb: &[&str]| -> Result<()> {
        let ended = case.quell(verb)?;
        has_no_forged_line(&ended.stdout, &format!("{verb:?}"));
        has_no_forged_line(&ended.stderr, &format!("{verb:?}"));
        assert!(!ended.stdout.is_empty() || !ended.stderr.is_empty());
        Ok(())
    };
    run(&["plan", &path])?;
    run(&["show", &path])?;
    run(&["list"])?;
    run(&["explain", "x\nFORGED"])?;
    run(&["apply", &path, "--yes"])?;
    for verb in ["status", "history", "verify"] {
        run(&[verb])?;
    }
    case.host.put("/proc/sys/vm/swappiness", "33");
    run(&["verify"])?;
    run(&["rollback"])?;
    run(&["status"])?;
    run(&["history"])?;
    // What errors name.
    for (from, to) in [
        ("knob = \"sysctl\"", "knob = \"x\\nFORGED\""),
        ("value = \"7\"", "value = \"${x\\nFORGED}\""),
        ("knob = \"memory.swappiness\"", "knob = \"memory.swappiness\"\non = \"x\\nFORGED\""),
        ("knob = \"memory.swappiness\"", "knob = \"net.rx_usecs\"\non = \"x\\nFORGED\""),
        ("summary = ", "include = [\"x\\nFORGED\"]\nsummary = "),
        ("summary = ", "include = [\"./n\\nFORGED\\nFORGED.toml\"]\nsummary = "),
        ("optional = true", "\"o\\nFORGED\" = true"),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replace(from, to))?;
        run(&["plan", &path])?;
        case.quell(&["plan", &path])?.expect_code(2)?;
    }
    run(&["plan", "x\nFORGED"])?;
    run(&["plan", &path, "--set", "x\nFORGED=1"])
}

#[test]
fn no_text_of_a_journal_begins_a_line_of_what_is_printed() -> Result<()> {
    let case = Case::new()?;
    case.quell(&case.apply())?.expect_code(0)?;
    let journal = case.journal(1);
    amend(&journal, "\"profile\":\"case\"", "\"profile\":\"case\\nFORGED\"")?;
    amend(&journal, "\"name vm.stat_interval\"", "\"name vm.stat_interval\\nFORGED\"")?;
    for verb in ["status", "history", "verify", "rollback", "status"] {
        let ended = case.quell(&[verb])?;
        has_no_forged_line(&ended.stdout, verb);
        has_no_forged_line(&ended.stderr, verb);
    }
    Ok(())
}
