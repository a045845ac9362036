//! `cargo xtask docs`: generates parts of the docs.

mod knobs;

use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::support::{self, Support, TestedKernel};
use crate::verdict::Verdict;
use crate::{Outcome, root};

/// The page with the table of kernels.
const PAGE: &str = "docs/kernel-support.md";

/// The markers around the generated part.
const BEGIN: &str = "<!-- drawn by `cargo xtask docs` from kernel-support.json: begin -->\n";
const END: &str = "<!-- end -->\n";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; exit code 1 if a page is not up to date
    #[arg(long)]
    check: bool,
}

pub(crate) fn run_task(args: &Args) -> Result<Outcome> {
    let root = root();
    let mut pages = knobs::pages(&root)?;
    let page = fs::read_to_string(root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    pages.insert(PAGE.to_owned(), redrawn(&page, &table(&kept(&root)?))?);
    let mut differing = false;
    for (name, new) in pages {
        let path = root.join(&name);
        if fs::read_to_string(&path).is_ok_and(|old| old == new) {
            continue;
        }
        differing = true;
        if args.check {
            println!("{name} is not up to date: `cargo xtask docs` draws it");
            continue;
        }
        fs::create_dir_all(path.parent().unwrap_or(&root))
            .and_then(|()| fs::write(&path, new))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("drawn: {name}");
    }
    if !differing {
        println!("all pages are up to date");
    }
    Ok(if args.check && differing { Outcome::Found } else { Outcome::Clean })
}

/// The kernels and results of the last saved run; `None` if there is none.
pub(crate) fn read(root: &Path) -> Result<Option<Support>> {
    let path = root.join(support::FILE);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let support = serde_json::from_str(&text);
    Ok(Some(support.with_context(|| format!("{} is not as it should be", path.display()))?))
}

/// The same; an error if there are none.
fn kept(root: &Path) -> Result<Support> {
    read(root)?
        .with_context(|| format!("{} does not exist\nhint: `cargo xtask vm --all --save` creates it", support::FILE))
}

/// Saves new results atomically.
pub(crate) fn write(root: &Path, support: &Support) -> Result<()> {
    let path = root.join(support::FILE);
    let cannot = || format!("cannot write {}", path.display());
    let dir = path.parent().with_context(cannot)?;
    // As any file of the repository: a temporary file is its owner's alone, as such.
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(dir)
        .with_context(cannot)?;
    writeln!(file, "{}", serde_json::to_string_pretty(support)?).with_context(cannot)?;
    file.persist(&path).with_context(cannot)?;
    Ok(())
}

/// The page with a new table.
fn redrawn(page: &str, table: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{PAGE} lacks the line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE} lacks the line {END}"))?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// A table for each group of tests: for each probe, `doctor`, `tune`, and machines.
fn table(support: &Support) -> String {
    let mut text = String::from("| kernel | release | tested on | quell | guest under |\n|---|---|---|---|---|\n");
    for kernel in &support.kernels {
        let TestedKernel { name, release, date, quell, commit, accelerator } = kernel;
        let commit = commit.as_ref().map(|commit| format!(" ({commit})")).unwrap_or_default();
        let _ = writeln!(text, "| {name} | {release} | {date} | {quell}{commit} | {accelerator} |");
    }
    let mut group = "";
    let mut notes: Vec<String> = Vec::new();
    for (test, verdicts) in &support.tests {
        let (of, what) = test.split_once("::").unwrap_or(("", test));
        if of != group {
            group = of;
            let names: Vec<_> = support.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
            let _ = writeln!(text, "\n| `{of}` | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
        }
        let _ = write!(text, "| {} |", what.replace('_', " "));
        for kernel in &support.kernels {
            let cell = match verdicts.get(&kernel.name) {
                Some(Verdict::Passed) => "yes".to_owned(),
                Some(Verdict::Skipped { why }) => format!("- ({})", note(&mut notes, why)),
                Some(Verdict::Failed { why }) => format!("**no** ({})", note(&mut notes, why)),
                None => "not run".to_owned(),
            };
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text.push('\n');
    for (index, note) in notes.iter().enumerate() {
        let _ = writeln!(text, "{}. {note}", index + 1);
    }
    text
}

/// The number of a note. Equal texts have the same number. Of a failure message, only the first line is used.
fn note(notes: &mut Vec<String>, why: &str) -> usize {
    let line = why.lines().next().unwrap_or_default();
    let known = notes.iter().position(|known| known == line);
    1 + known.unwrap_or_else(|| {
        notes.push(line.to_owned());
        notes.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_the_verdicts_that_were_kept() {
        let page = fs::read_to_string(root().join(PAGE)).expect("the page");
        let table = table(&kept(&root()).expect("the verdicts"));
        assert_eq!(page, redrawn(&page, &table).expect("its marks"), "`cargo xtask docs` draws it");
    }

    #[test]
    fn a_broken_file_is_not_taken_for_none_and_what_is_written_is_read_again() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(read(root.path()).expect("no file is no error"), None);
        fs::create_dir(root.path().join("docs")).expect("a directory");
        fs::write(root.path().join(support::FILE), "{\"kernels\": [").expect("a file");
        assert!(read(root.path()).is_err());
        write(root.path(), &Support::default()).expect("it is replaced");
        assert_eq!(read(root.path()).expect("it is whole"), Some(Support::default()));
        assert_eq!(fs::read_dir(root.path().join("docs")).expect("a directory").count(), 1);
    }
}
