//! Debian's archive, by an apt state of our own: the host's sources, lists and packages stay as they are.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};

use super::cache::Cache;
use crate::{output_of, run};

/// The suites that have kernels to test on, oldest first, with where each lies.
const SUITES: [(Part, &str); 6] = [
    (Part::Main, "bullseye"),
    (Part::Security, "bullseye-security"),
    (Part::Main, "bookworm"),
    (Part::Security, "bookworm-security"),
    (Part::Main, "bookworm-backports"),
    (Part::Main, "trixie-backports"),
];

/// What signs them: package debian-archive-keyring, which every Debian has.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Written when the lists have been fetched.
const STAMP: &str = "fetched";

/// How old the lists may be before they are fetched again.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// A half of the archive, with a mirror of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Main,
    Security,
}

impl Part {
    /// The path that its mirrors end with.
    fn directory(self) -> &'static str {
        match self {
            Self::Main => "debian",
            Self::Security => "debian-security",
        }
    }
}

/// The archive, as this apt state knows it.
pub(super) struct Archive<'a> {
    cache: &'a Cache,
    dir: PathBuf,
}

/// Without what the host's configuration has apt run around an update: it has no part in this, and may not know other
/// directories than its own. Only a file can clear a list.
const CONFIGURATION: &str = "#clear APT::Update;\n";

impl<'a> Archive<'a> {
    /// Prepares an apt state below `cache`, and fetches the lists where there are none or they are a day old.
    pub(super) fn open(cache: &'a Cache) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is missing: kernels come from Debian's archive, whose signatures it proves");
        }
        let archive = Self { cache, dir: cache.join("apt") };
        for dir in ["lists/partial", "cache/archives/partial"] {
            let dir = archive.dir.join(dir);
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let sources: String = SUITES
            .iter()
            .map(|(part, suite)| format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirror(*part)))
            .collect();
        for (name, text) in [("apt.conf", CONFIGURATION), ("status", "")] {
            fs::write(archive.dir.join(name), text).with_context(|| format!("cannot write apt's {name}"))?;
        }
        let stamp = archive.dir.join(STAMP);
        if !has_fresh_lists(&archive.dir, &sources)? {
            // Without `--error-on=any` apt-get takes a mirror that does not answer for a warning.
            run(archive.apt("apt-get").args(["-q", "--error-on=any", "update"]))
                .context("cannot fetch the lists of Debian's archive")?;
            fs::write(&stamp, "").context("cannot write apt's stamp")?;
        }
        Ok(archive)
    }

    /// The releases of the kernels in it, as `uname -r` gives them: `6.1.0-56-amd64`.
    pub(super) fn releases(&self) -> Result<BTreeSet<String>> {
        let names = self.packages("linux-image-")?;
        Ok(names.iter().filter_map(|name| name.strip_prefix("linux-image-")).map(str::to_owned).collect())
    }

    /// Unpacks what makes up a kernel, its image and modules, into a directory.
    pub(super) fn unpack(&self, release: &str, into: &Path) -> Result<()> {
        // Debian has split the package of a kernel since 7.0.
        let parts = ["linux-image", "linux-base", "linux-binary", "linux-modules"];
        let known = parts.iter().map(|part| Ok((part, self.packages(&format!("{part}-{release}"))?)));
        let known = known.collect::<Result<Vec<_>>>()?;
        let packages = known.iter().filter_map(|(part, names)| names.get(&format!("{part}-{release}")));
        let download = self.cache.temporary()?;
        run(self.apt("apt-get").args(["-q", "download"]).args(packages).current_dir(download.path()))
            .with_context(|| format!("cannot download the kernel {release}"))?;
        for package in fs::read_dir(download.path()).context("cannot list the packages")? {
            run(Command::new("dpkg-deb").arg("-x").arg(package?.path()).arg(into))?;
        }
        Ok(())
    }

    /// The names of packages that begin so.
    fn packages(&self, prefix: &str) -> Result<BTreeSet<String>> {
        let names = output_of(self.apt("apt-cache").args(["pkgnames", prefix]));
        Ok(names.context("`apt-cache pkgnames` fails")?.lines().map(str::to_owned).collect())
    }

    /// A command of apt that knows nothing of the host, and takes nothing that is not signed.
    fn apt(&self, program: &str) -> Command {
        let path = |option: &str, name: &str| format!("{option}={}", self.dir.join(name).display());
        let options = [
            path("Dir::Etc::sourcelist", "sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            path("Dir::State::lists", "lists"),
            path("Dir::State::status", "status"),
            path("Dir::Cache", "cache"),
            // As root apt would download as a user that may not write here.
            "APT::Sandbox::User=root".to_owned(),
            "APT::Get::AllowUnauthenticated=false".to_owned(),
            "Acquire::AllowInsecureRepositories=false".to_owned(),
            "Acquire::AllowWeakRepositories=false".to_owned(),
            "Acquire::AllowDowngradeToInsecureRepositories=false".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ];
        let mut command = Command::new(program);
        command.arg("-c").arg(self.dir.join("apt.conf")).args(options.iter().flat_map(|option| ["-o", option]));
        command
    }
}

/// Writes apt's sources, and says whether the lists are of them, and of today.
fn has_fresh_lists(dir: &Path, sources: &str) -> Result<bool> {
    let (stamp, list) = (dir.join(STAMP), dir.join("sources.list"));
    if fs::read_to_string(&list).ok().as_deref() != Some(sources) {
        // First: whatever comes between, an update that failed too, the next run finds no stamp of other sources.
        match fs::remove_file(&stamp) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context("cannot remove apt's stamp");
            }
            _ => fs::write(&list, sources).context("cannot write apt's sources")?,
        }
    }
    let age = fs::metadata(&stamp).and_then(|stamp| stamp.modified()).ok();
    Ok(age.is_some_and(|then| SystemTime::now().duration_since(then).is_ok_and(|age| age < FRESH)))
}

/// The mirror that this host uses, else Debian's own.
fn mirror(part: Part) -> String {
    let targets = output_of(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]));
    let uris = targets.unwrap_or_default();
    let end = format!("/{}/", part.directory());
    let used = uris.lines().find(|uri| uri.starts_with("http") && uri.ends_with(&end));
    used.map_or_else(|| format!("http://deb.debian.org/{}", part.directory()), |uri| uri.trim_end_matches('/').into())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn lists_of_other_sources_are_fetched_again_also_where_that_failed_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let fresh = |sources| has_fresh_lists(dir.path(), sources).expect("files");
        assert!(!fresh("one"));
        let stamp = File::create(dir.path().join(STAMP)).expect("a stamp");
        stamp.set_modified(SystemTime::now() - FRESH).expect("a time");
        assert!(!fresh("one"));
        stamp.set_modified(SystemTime::now()).expect("a time");
        assert!(fresh("one"));
        assert!(!fresh("two"));
        // Nothing was fetched, so there is no new stamp.
        assert!(!fresh("two"));
    }

    #[test]
    fn nothing_of_the_hosts_apt_runs_around_an_update_and_the_rest_holds() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::open(dir.path().join("vm")).expect("a cache");
        let archive = Archive { cache: &cache, dir: dir.path().to_owned() };
        fs::write(dir.path().join("apt.conf"), CONFIGURATION).expect("a file");
        // Where there is no apt there is nothing to look at.
        let Some(dump) = output_of(archive.apt("apt-config").arg("dump")) else { return };
        assert!(!dump.lines().any(|line| line.starts_with("APT::Update::")), "{dump}");
        for option in ["Acquire::AllowInsecureRepositories", "Acquire::AllowWeakRepositories"] {
            assert!(dump.contains(&format!("{option} \"false\";")), "{dump}");
        }
        assert!(dump.contains(&format!("Dir::State::lists \"{}\";", dir.path().join("lists").display())), "{dump}");
    }
}
