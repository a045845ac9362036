//! `cargo xtask docs`: what the docs say that is drawn from elsewhere.

mod knobs;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::support::{self, Support, TestedKernel};
use crate::verdict::Verdict;
use crate::{Outcome, root};

/// The page with the table of kernels.
const PAGE: &str = "docs/kernel-support.md";

/// What stands around the part that is drawn.
const BEGIN: &str = "<!-- drawn by `cargo xtask docs` from kernel-support.json: begin -->\n";
const END: &str = "<!-- end -->\n";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing: exit code 1 where a page is not what its source gives
    #[arg(long)]
    check: bool,
}

pub(crate) fn run_task(args: &Args) -> Result<Outcome> {
    let root = root();
    let mut pages = knobs::pages(&root)?;
    let page = fs::read_to_string(root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    pages.insert(PAGE.to_owned(), redrawn(&page, &table(&read(&root)?))?);
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

/// The kernels and verdicts of the last run that was kept.
pub(crate) fn read(root: &Path) -> Result<Support> {
    let path = root.join(support::FILE);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}: `cargo xtask vm --all --save` makes it", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not as it should be", path.display()))
}

/// The page with a new table.
fn redrawn(page: &str, table: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{PAGE} lacks the line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE} lacks the line {END}"))?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// A table for each group of tests: those of a probe, of `doctor`, of the machines.
fn table(support: &Support) -> String {
    let mut text = String::from("| kernel | release | tested on | quell | guest under |\n|---|---|---|---|---|\n");
    for kernel in &support.kernels {
        let TestedKernel { name, release, date, quell, accelerator } = kernel;
        let _ = writeln!(text, "| {name} | {release} | {date} | {quell} | {accelerator} |");
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

/// The number of a note; the same text is the same note. A failure's message ends at its first line.
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
        let table = table(&read(&root()).expect("the verdicts"));
        assert_eq!(page, redrawn(&page, &table).expect("its marks"), "`cargo xtask docs` draws it");
    }
}
