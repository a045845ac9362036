//! The links by which units start, and which of them `systemctl disable` takes away that `enable` does not bring back.

use std::collections::BTreeSet;
use std::path::Path;

use crate::host::{Host, Root};

/// Where units are, the first one counts (systemd.unit(5), Unit File Load Path). Links that are made by enabling are in the first.
const FOLDERS: [&str; 6] = [
    LINKS,
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator",
];
const LINKS: &str = "/etc/systemd/system";

/// What a key of `[Install]` makes the folder of a unit of that.
const KINDS: [(&str, &str); 3] = [("WantedBy", "wants"), ("RequiredBy", "requires"), ("UpheldBy", "upholds")];

/// Why disabling and enabling a unit, in either order, would not leave it as it is; `None` where it would. `state` tells the
/// state of another unit, in systemd's word.
///
/// Disabling removes every link to a unit, those that were made by hand too, and one in the place of the unit's own file; it does
/// the same to the units of `Also=` (systemctl(1), disable).
pub(super) fn not_brought_back(host: &Host, unit: &str, state: impl Fn(&str) -> Option<String>) -> Option<String> {
    if let Some(link) = linked(&host.root, unit) {
        return Some(format!(
            "the unit is not where units are: disabling it would take away {link}, and the unit with it"
        ));
    }
    let install = Install::of(&host.root, unit);
    let more: Vec<String> = links(&host.root, unit).difference(&install.links(unit)).cloned().collect();
    if !more.is_empty() {
        let more = more.join(", ");
        return Some(format!(
            "it is linked by hand too: disabling would take away {more}, and enabling not bring it back"
        ));
    }
    // What is masked stays so, and what has no [Install] is left alone.
    let changes = |state: &String| ["enabled", "disabled"].contains(&state.as_str());
    let own = state(unit).filter(changes)?;
    let other = install.values("Also").find(|also| state(also).filter(changes).is_some_and(|state| state != own))?;
    Some(format!("{other} is enabled and disabled with it (Also=), and is not as it is now"))
}

/// Where the file of a unit is a link that leads out of the folders of units: `systemctl enable` made it, of a path.
fn linked(root: &Root, unit: &str) -> Option<String> {
    FOLDERS.into_iter().map(|folder| format!("{folder}/{unit}")).find(|file| {
        let Ok(target) = root.read_link(file) else { return false };
        if target == Path::new("/dev/null") {
            return false;
        }
        // An absolute target stands for itself.
        let leads_to = Path::new(file).with_file_name(target);
        let folder = leads_to.parent().and_then(|folder| root.real_path(folder.to_str()?).ok());
        !FOLDERS.iter().any(|known| folder.is_some() && root.real_path(known).ok() == folder)
    })
}

/// The links to a unit by which others start it, as `multi-user.target.wants/x.service`, and its other names.
fn links(root: &Root, unit: &str) -> BTreeSet<String> {
    let leads_to_it = |file: &str| {
        let target = root.link_name(&format!("{LINKS}/{file}"));
        target.is_some_and(|target| {
            target == unit || Some(target) == template(unit) || file.ends_with(&format!("/{unit}"))
        })
    };
    let mut found = BTreeSet::new();
    for name in root.list(LINKS).unwrap_or_default() {
        if KINDS.iter().any(|(_, kind)| name.ends_with(&format!(".{kind}"))) {
            let inside = root.list(&format!("{LINKS}/{name}")).unwrap_or_default();
            found.extend(inside.into_iter().map(|file| format!("{name}/{file}")));
        } else {
            found.insert(name);
        }
    }
    // The template of an instance serves others too.
    found.retain(|file| leads_to_it(file) && (template(unit).is_none() || file.rsplit('/').next() == Some(unit)));
    found
}

/// `getty@.service` of `getty@tty1.service`.
fn template(unit: &str) -> Option<String> {
    let (name, rest) = unit.split_once('@')?;
    let (_, kind) = rest.rsplit_once('.')?;
    Some(format!("{name}@.{kind}"))
}

/// The section `[Install]` of a unit, line by line.
struct Install(Vec<(String, String)>);

impl Install {
    fn of(root: &Root, unit: &str) -> Self {
        let names = [Some(unit.to_owned()), template(unit)];
        let files = names.iter().flatten().flat_map(|name| FOLDERS.map(|folder| format!("{folder}/{name}")));
        // An empty one is a mask.
        let text = files.into_iter().filter_map(|file| root.read(&file).ok()).find(|text| !text.is_empty());
        let text = text.unwrap_or_default();
        let text = text.replace("\\\n", " ");
        let mut lines = Vec::new();
        let mut inside = false;
        for line in text.lines().map(str::trim) {
            match line.split_once('=') {
                _ if line.starts_with('[') => inside = line == "[Install]",
                Some((key, value)) if inside => lines.push((key.trim().to_owned(), value.trim().to_owned())),
                _ => {}
            }
        }
        Self(lines)
    }

    fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == key).flat_map(|(_, value)| value.split_whitespace())
    }

    /// The links that enabling makes, as [`links`] finds them.
    fn links(&self, unit: &str) -> BTreeSet<String> {
        let of_kind = |(key, kind): (&'static str, &'static str)| {
            self.values(key).map(|by| format!("{by}.{kind}/{unit}")).collect::<Vec<_>>()
        };
        let aliases = self.values("Alias").map(str::to_owned);
        KINDS.into_iter().flat_map(of_kind).chain(aliases).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::tune::knob::fake;

    const UNIT: &str = "/lib/systemd/system/noisy.service";

    fn machine(install: &str) -> (tempfile::TempDir, Host) {
        let unit = format!("[Service]\nExecStart=/bin/true\nAlso=no.service\n[Install]\n{install}");
        fake::host(&[
            (UNIT, &unit),
            ("/lib/systemd/system/rare@.service", &unit),
            ("/etc/systemd/system/multi-user.target.wants/.keep", ""),
            ("/etc/systemd/system/graphical.target.requires/.keep", ""),
        ])
    }

    fn link(folder: &Path, name: &str, target: &str) {
        symlink(target, folder.join("etc/systemd/system").join(name)).expect("a link");
    }

    #[test]
    fn links_that_enabling_makes_are_brought_back_and_others_are_named() {
        let (folder, host) = machine("WantedBy=multi-user.target\nAlias=loud.service\n");
        let why = || not_brought_back(&host, "noisy.service", |_| Some("enabled".to_owned()));
        link(folder.path(), "multi-user.target.wants/noisy.service", UNIT);
        link(folder.path(), "multi-user.target.wants/other.service", "/lib/systemd/system/other.service");
        link(folder.path(), "loud.service", UNIT);
        assert_eq!(why(), None);
        link(folder.path(), "graphical.target.requires/noisy.service", UNIT);
        assert!(why().is_some_and(|why| why.contains("graphical.target.requires/noisy.service")), "{:?}", why());
        fs::remove_file(folder.path().join("etc/systemd/system/graphical.target.requires/noisy.service"))
            .expect("gone");
        link(folder.path(), "quiet.service", UNIT);
        assert!(why().is_some_and(|why| why.contains("quiet.service")), "{:?}", why());
    }

    #[test]
    fn an_instance_has_the_links_of_its_own_name() {
        let (folder, host) = machine("WantedBy=multi-user.target\n");
        let why = || not_brought_back(&host, "rare@1.service", |_| None);
        for instance in 1..3 {
            let name = format!("multi-user.target.wants/rare@{instance}.service");
            link(folder.path(), &name, "/lib/systemd/system/rare@.service");
        }
        assert_eq!(why(), None);
        link(folder.path(), "graphical.target.requires/rare@1.service", "/lib/systemd/system/rare@.service");
        assert!(why().is_some_and(|why| why.contains("graphical.target.requires/rare@1.service")), "{:?}", why());
    }

    #[test]
    fn a_unit_that_was_enabled_by_its_path_would_go_with_its_link() {
        let (folder, host) = machine("");
        link(folder.path(), "own.service", "/opt/own/own.service");
        let why = not_brought_back(&host, "own.service", |_| Some("enabled".to_owned()));
        assert!(why.is_some_and(|why| why.contains("/etc/systemd/system/own.service")));
        link(folder.path(), "masked.service", "/dev/null");
        assert_eq!(not_brought_back(&host, "masked.service", |_| None), None);
    }

    #[test]
    fn units_that_are_enabled_together_are_to_be_in_one_state() {
        let (_folder, host) = machine("WantedBy=multi-user.target\nAlso=noisy.socket \\\n noisy.path\n");
        let why = |socket: &str, path: &str| {
            not_brought_back(&host, "noisy.service", |unit| {
                let states = [("noisy.service", "enabled"), ("noisy.socket", socket), ("noisy.path", path)];
                states.iter().find(|(known, _)| *known == unit).map(|(_, state)| (*state).to_owned())
            })
        };
        assert_eq!(why("enabled", "enabled"), None);
        assert_eq!(why("enabled", "static"), None);
        assert!(why("enabled", "disabled").is_some_and(|why| why.contains("noisy.path")));
    }
}
