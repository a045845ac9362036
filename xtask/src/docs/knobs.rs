//! The pages of the knobs: one for each family, from what the agent says of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::output_of;

/// What `quell list knobs --json` says of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Knob {
    id: String,
    doc: String,
    takes: String,
    scope: String,
    lifetime: String,
    risk: String,
    risk_why: Option<String>,
    source: String,
}

/// The pages, by path from the root.
pub(super) fn pages(root: &Path) -> Result<BTreeMap<String, String>> {
    let mut list = Command::new("cargo");
    list.args(["run", "--quiet", "--package", "quell", "--", "list", "knobs", "--json"]).current_dir(root);
    let knobs = output_of(&mut list).context("`quell list knobs --json` failed")?;
    Ok(drawn(&serde_json::from_str::<Vec<Knob>>(&knobs).context("`quell list knobs --json` says something else")?))
}

fn drawn(knobs: &[Knob]) -> BTreeMap<String, String> {
    let mut families: BTreeMap<&str, Vec<&Knob>> = BTreeMap::new();
    for knob in knobs {
        families.entry(family(&knob.id)).or_default().push(knob);
    }
    let mut index = String::from(
        "# Knobs\n\nWhat tuning profiles can set, by family. Drawn by `cargo xtask docs` from `quell list knobs --json`; \
         `quell tune explain KNOB` says the same of one.\n\n| family | knobs |\n|---|---|\n",
    );
    let mut pages = BTreeMap::new();
    for (family, knobs) in families {
        let names: Vec<String> = knobs.iter().map(|knob| format!("`{}`", knob.id)).collect();
        let _ = writeln!(index, "| [{family}]({family}.md) | {} |", names.join(" "));
        pages.insert(format!("docs/knobs/{family}.md"), page(family, &knobs));
    }
    pages.insert("docs/knobs/README.md".to_owned(), index);
    pages
}

fn family(id: &str) -> &str {
    id.split_once('.').map_or(id, |(family, _)| family)
}

fn page(family: &str, knobs: &[&Knob]) -> String {
    let mut text = format!("# {family}\n\n[All families](README.md)\n");
    for Knob { id, doc, takes, scope, lifetime, risk, risk_why, source } in knobs {
        let risk = risk_why.as_ref().map_or_else(|| risk.clone(), |why| format!("{risk}: {why}"));
        let lasts = match lifetime.as_str() {
            "runtime" => "until the next boot",
            "while-held" => "while quell holds it",
            "lasting" => "from now on, over boots too",
            "next-boot" => "from the next boot on",
            other => other,
        };
        let _ = write!(
            text,
            "\n## `{id}`\n\n{doc}\n\n- takes {takes}\n- set on: {scope}\n- lasts {lasts}\n- risk: {risk}\n- source: {source}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_knob_stands_on_its_familys_page_and_in_the_index() {
        let knob = |id: &str| Knob {
            id: id.to_owned(),
            doc: "What it does.".to_owned(),
            takes: "on or off".to_owned(),
            scope: "host".to_owned(),
            lifetime: "while-held".to_owned(),
            risk: "medium".to_owned(),
            risk_why: Some("heat".to_owned()),
            source: "a file".to_owned(),
        };
        let pages = drawn(&[knob("cpu.boost"), knob("sysctl")]);
        let paths: Vec<_> = pages.keys().map(String::as_str).collect();
        assert_eq!(paths, ["docs/knobs/README.md", "docs/knobs/cpu.md", "docs/knobs/sysctl.md"]);
        assert!(pages["docs/knobs/README.md"].contains("| [cpu](cpu.md) | `cpu.boost` |"));
        let cpu = &pages["docs/knobs/cpu.md"];
        assert!(
            cpu.contains("## `cpu.boost`") && cpu.contains("- lasts while quell holds it\n- risk: medium: heat"),
            "{cpu}"
        );
    }
}
