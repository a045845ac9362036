//! The links that start units, and the detection of links that `systemctl disable` removes but `enable` does not recreate.

use std::collections::BTreeSet;
use std::path::Path;

use crate::host::{Host, Root};

/// The unit load path: the first file with a name has precedence (systemd.unit(5)). `systemctl enable` creates links in the
/// first directory.
const FOLDERS: [&str; 6] = [
    LINKS,
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator",
];
const LINKS: &str = "/etc/systemd/system";

/// The keys of `[Install]`, with the suffixes of the link directories that they create.
const LINK_KINDS: [(&str, &str); 3] = [("WantedBy", "wants"), ("RequiredBy", "requires"), ("UpheldBy", "upholds")];

/// Why disabling and enabling a unit again, in either order, would not restore its original links; `None` if it would.
/// `state_of` returns the state of a unit as systemd reports it.
///
/// Disabling removes all links to a unit, including links that were created manually and a unit file that is a link. It does
/// the same for the units in `Also=` (systemctl(1), disable).
pub(super) fn irreversible(host: &Host, unit: &str, state_of: impl Fn(&str) -> Option<String>) -> Option<String> {
    if let Some(link) = linked_unit_file(&host.root, unit) {
        return Some(format!("the unit file is a link out of the unit load path: disabling it would remove {link}"));
    }
    let install = Install::of(&host.root, unit);
    let more: Vec<String> = links(&host.root, unit).difference(&install.links(unit)).cloned().collect();
    if !more.is_empty() {
        let more = more.join(", ");
        return Some(format!(
            "it is also linked by hand: disabling would remove {more}, and enabling would not recreate it"
        ));
    }
    // The state of masked units and units without [Install] does not change.
    let can_change = |state: &String| ["enabled", "disabled"].contains(&state.as_str());
    let own = state_of(unit).filter(can_change)?;
    let other =
        install.values("Also").find(|also| state_of(also).filter(can_change).is_some_and(|state| state != own))?;
    Some(format!("{other} is enabled and disabled together with it (Also=), and has another state now"))
}

/// The file of a unit, if it is a link to a file outside the unit load path: `systemctl enable` of a path creates such a link.
fn linked_unit_file(root: &Root, unit: &str) -> Option<String> {
    FOLDERS.into_iter().map(|folder| format!("{folder}/{unit}")).find(|file| {
        let Ok(target) = root.read_link(file) else { return false };
        if target == Path::new("/dev/null") {
            return false;
        }
        // An absolute target replaces the path.
        let leads_to = Path::new(file).with_file_name(target);
        let folder = leads_to.parent().and_then(|folder| root.real_path(folder.to_str()?).ok());
        !FOLDERS.iter().any(|known| folder.is_some() && root.real_path(known).ok() == folder)
    })
}

/// The links to a unit: in directories of other units, such as `multi-user.target.wants/x.service`, and aliases.
fn links(root: &Root, unit: &str) -> BTreeSet<String> {
    let leads_to_it = |file: &str| {
        let target = root.link_name(&format!("{LINKS}/{file}"));
        target.is_some_and(|target| {
            target == unit || Some(target) == template(unit) || file.ends_with(&format!("/{unit}"))
        })
    };
    let mut links = BTreeSet::new();
    for name in root.list(LINKS).unwrap_or_default() {
        if LINK_KINDS.iter().any(|(_, kind)| name.ends_with(&format!(".{kind}"))) {
            let inside = root.list(&format!("{LINKS}/{name}")).unwrap_or_default();
            links.extend(inside.into_iter().map(|file| format!("{name}/{file}")));
        } else {
            links.insert(name);
        }
    }
    // Links to the template may belong to other instances.
    links.retain(|file| leads_to_it(file) && (template(unit).is_none() || file.rsplit('/').next() == Some(unit)));
    links
}

/// The template of an instance: `getty@.service` for `getty@tty1.service`.
fn template(unit: &str) -> Option<String> {
    let (name, rest) = unit.split_once('@')?;
    let (_, kind) = rest.rsplit_once('.')?;
    Some(format!("{name}@.{kind}"))
}

/// The assignments in the section `[Install]` of a unit.
struct Install(Vec<(String, String)>);

impl Install {
    fn of(root: &Root, unit: &str) -> Self {
        let names = [Some(unit.to_owned()), template(unit)];
        let files = names.iter().flatten().flat_map(|name| FOLDERS.map(|folder| format!("{folder}/{name}")));
        // An empty file masks the unit.
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

    /// The links that enabling creates, in the format of [`links`].
    fn links(&self, unit: &str) -> BTreeSet<String> {
        let of_kind = |(key, kind): (&'static str, &'static str)| {
            self.values(key).map(|by| format!("{by}.{kind}/{unit}")).collect::<Vec<_>>()
        };
        let aliases = self.values("Alias").map(str::to_owned);
        LINK_KINDS.into_iter().flat_map(of_kind).chain(aliases).collect()
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
    fn links_that_enabling_recreates_are_accepted_and_others_are_named() {
        let (folder, host) = machine("WantedBy=multi-user.target\nAlias=loud.service\n");
        let why = || irreversible(&host, "noisy.service", |_| Some("enabled".to_owned()));
        link(folder.path(), "multi-user.target.wants/noisy.service", UNIT);
        link(folder.path(), "multi-user.target.wants/other.service", "/lib/systemd/system/other.service");
        link(folder.path(), "loud.service", UNIT);
        assert_eq!(why(), None);
        link(folder.path(), "graphical.target.requires/noisy.service", UNIT);
        assert!(why().is_some_and(|why| why.contains("graphical.target.requires/noisy.service")), "{:?}", why());
        fs::remove_file(folder.path().join("etc/systemd/system/graphical.target.requires/noisy.service"))
            .expect("removed");
        link(folder.path(), "quiet.service", UNIT);
        assert!(why().is_some_and(|why| why.contains("quiet.service")), "{:?}", why());
    }

    #[test]
    fn an_instance_has_only_the_links_of_its_own_name() {
        let (folder, host) = machine("WantedBy=multi-user.target\n");
        let why = || irreversible(&host, "rare@1.service", |_| None);
        for instance in 1..3 {
            let name = format!("multi-user.target.wants/rare@{instance}.service");
            link(folder.path(), &name, "/lib/systemd/system/rare@.service");
        }
        assert_eq!(why(), None);
        link(folder.path(), "graphical.target.requires/rare@1.service", "/lib/systemd/system/rare@.service");
        assert!(why().is_some_and(|why| why.contains("graphical.target.requires/rare@1.service")), "{:?}", why());
    }

    #[test]
    fn a_unit_that_was_enabled_by_path_would_be_lost_with_its_link() {
        let (folder, host) = machine("");
        link(folder.path(), "own.service", "/opt/own/own.service");
        let why = irreversible(&host, "own.service", |_| Some("enabled".to_owned()));
        assert!(why.is_some_and(|why| why.contains("/etc/systemd/system/own.service")));
        link(folder.path(), "masked.service", "/dev/null");
        assert_eq!(irreversible(&host, "masked.service", |_| None), None);
    }

    #[test]
    fn units_that_are_enabled_together_must_have_the_same_state() {
        let (_folder, host) = machine("WantedBy=multi-user.target\nAlso=noisy.socket \\\n noisy.path\n");
        let why = |socket: &str, path: &str| {
            irreversible(&host, "noisy.service", |unit| {
                let states = [("noisy.service", "enabled"), ("noisy.socket", socket), ("noisy.path", path)];
                states.iter().find(|(known, _)| *known == unit).map(|(_, state)| (*state).to_owned())
            })
        };
        assert_eq!(why("enabled", "enabled"), None);
        assert_eq!(why("enabled", "static"), None);
        assert!(why("enabled", "disabled").is_some_and(|why| why.contains("noisy.path")));
    }
}
