//! Every quell command of `docs/from-other-tools.md` is one that quell has, and runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use quell::recording;
use quell::tune::knob;
use quell::tune::value::Scope;
use quell_tests::agent::{self, Ended, Running, Workdir};
use quell_tests::cgroup::Cgroup;
use quell_tests::fake_host::{FakeHost, small_vm};
use quell_tests::fixture::Fixture;
use quell_tests::{background, executable, needs, skip, small, turns};

/// What stands in the page for names of the reader's own.
const PID: &str = "$PID";
const CGROUP: &str = "system.slice/app.service";
const PROFILE: &str = "./ours.toml";

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/from-other-tools.md");
    fs::read_to_string(path).expect("the page")
}

/// The words of each command, from code in the text and from code blocks.
fn commands() -> Vec<Vec<String>> {
    let page = page();
    let mut all = BTreeSet::new();
    // Text and code blocks by turns.
    for (index, part) in page.split("```").enumerate() {
        let is_block = index % 2 == 1;
        let code: Vec<&str> =
            if is_block { part.lines().collect() } else { part.split('`').skip(1).step_by(2).collect() };
        all.extend(code.into_iter().filter(|code| code.starts_with("quell ")));
    }
    let words = |line: &str| line.split_whitespace().skip(1).map(str::to_owned).collect();
    all.into_iter().map(words).collect()
}

fn is(command: &[String], verbs: &[&str]) -> bool {
    command.len() >= verbs.len() && command.iter().zip(verbs).all(|(word, verb)| word == verb)
}

/// A directory with what the commands read, and a host for `quell tune`.
struct Reader {
    dir: Workdir,
    host: FakeHost,
}

impl Drop for Reader {
    fn drop(&mut self) {
        background::end(&self.host);
    }
}

impl Reader {
    fn new() -> Result<Self> {
        let (dir, host) = (Workdir::new()?, small_vm());
        executable::script(&dir.path("app"), "#!/bin/sh\nwhile [ $((n += 1)) -lt 20000 ]; do :; done\n")?;
        recording::write(&small::recording(), &dir.path("quell.quell"))?;
        let page = page();
        let (_, profile) = page.split_once("```toml\n").context("the page's profile")?;
        let (profile, _) = profile.split_once("```").context("its end")?;
        fs::write(dir.path(PROFILE), profile)?;
        Ok(Self { dir, host })
    }

    fn run(&self, words: &[String]) -> Result<Ended> {
        let mut command = Command::new(agent::binary()?);
        command.current_dir(self.dir.path("")).args(words).stdin(Stdio::null());
        Running::spawn(&mut command)?.wait()
    }

    /// Runs a command on the tree: never on this host.
    fn tune(&self, words: &[&str]) -> Result<Ended> {
        let root = self.host.path().to_str().context("a path of text")?;
        let words = [&["tune", "--root", root], words].concat();
        self.run(&words.into_iter().map(str::to_owned).collect::<Vec<_>>())
    }
}

#[test]
fn the_page_has_commands_and_quell_knows_every_word_of_them() -> Result<()> {
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    let reader = Reader::new()?;
    for command in commands {
        // clap reads from left to right: it complains of what it does not know before it prints help.
        let end = command.iter().position(|word| word == "--").unwrap_or(command.len());
        let words: Vec<String> =
            command[..end].iter().map(|word| word.replace(PID, "1")).chain(["--help".to_owned()]).collect();
        let ended = reader.run(&words)?;
        assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
    }
    Ok(())
}

#[test]
fn every_knob_of_the_page_takes_the_value_that_it_has_there() {
    let page = page();
    let spans: Vec<&str> = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
    let mut settings = 0;
    for span in spans {
        let (setting, value) = span.split_once(" = ").map_or((span, None), |(name, value)| (name, Some(value)));
        let (id, on) = setting.split_once('(').map_or((setting, None), |(id, on)| (id, on.strip_suffix(')')));
        let is_family = |family: &str| id.split_once('.').is_some_and(|(known, _)| known == family);
        if !["cpu", "memory", "irq", "net", "process", "isolation"].into_iter().any(is_family) {
            continue;
        }
        let knob = knob::by_id(id).unwrap_or_else(|| panic!("no knob {id}"));
        if let Some(value) = value {
            settings += 1;
            knob.parse(value).unwrap_or_else(|error| panic!("{id}: {error}"));
            assert!(on.is_some() || knob.spec().scope != Scope::Named, "{id} needs a name");
        }
    }
    assert!(settings > 5, "{settings} settings");
}

#[test]
#[ignore = "long: cargo xtask test --all"]
fn every_command_of_the_page_that_captures_or_reads_runs() -> Result<()> {
    needs!(Bpf);
    let cgroup = match Cgroup::create() {
        Ok(cgroup) => cgroup,
        Err(why) => skip!(&format!("a cgroup ({why})")),
    };
    let _alone = turns::alone();
    let waiting = Fixture::start("burn", &[])?;
    cgroup.take(waiting.pid())?;
    // A verb alone is a name in a sentence.
    for command in commands().into_iter().filter(|command| !is(command, &["tune"]) && command.len() > 1) {
        let reader = Reader::new()?;
        let replaced = |word: &String| match word.as_str() {
            PID => Ok(waiting.pid().to_string()),
            CGROUP => Ok(cgroup.path()?.to_owned()),
            // A recording of this test has no such process and no such name: what is there is drawn.
            _ => Ok(word.clone()),
        };
        let mut words = command.iter().map(replaced).collect::<Result<Vec<_>>>()?;
        // As long as it takes to see that it runs.
        if let Some(duration) = words.iter().position(|word| word == "-d") {
            words[duration + 1] = "0.3".to_owned();
        }
        if is(&words, &["record"]) && !words.contains(&"-o".to_owned()) {
            fs::remove_dir_all(reader.dir.path("quell.quell"))?;
        }
        let ended = reader.run(&words)?;
        let selects_nothing = ["no sample", "the selection is empty"].iter().any(|text| ended.stderr.contains(text));
        assert!(ended.code == Some(0) || selects_nothing, "{words:?}: {ended:?}");
        for output in
            words.windows(2).filter(|pair| pair[0] == "-o" && pair[1] != "-").map(|pair| PathBuf::from(&pair[1]))
        {
            let written = reader.dir.path(&output.display().to_string());
            assert!(written.exists() || selects_nothing, "{words:?} wrote no {}", output.display());
        }
    }
    Ok(())
}

#[test]
fn every_tune_command_of_the_page_runs() -> Result<()> {
    for command in commands().into_iter().filter(|command| is(command, &["tune"])) {
        let reader = Reader::new()?;
        let mut words: Vec<&str> = command[1..].iter().map(String::as_str).collect();
        match words[0] {
            "apply" => words.push("--yes"),
            "confirm" => {
                reader.tune(&["apply", PROFILE, "--yes", "--confirm-within", "1h"])?.expect_code(0)?;
            }
            "status" | "verify" | "rollback" => {
                reader.tune(&["apply", PROFILE, "--yes"])?.expect_code(0)?;
            }
            _ => {}
        }
        let ended = reader.tune(&words)?;
        assert!(ended.code == Some(0) || ended.code == Some(1), "{words:?}: {ended:?}");
    }
    Ok(())
}
