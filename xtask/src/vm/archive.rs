//! Debian's archive, by an apt state of our own: the host's sources, lists and packages stay as they are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};

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
pub(super) struct Archive {
    dir: PathBuf,
}

impl Archive {
    /// Prepares an apt state below `cache`, and fetches the lists where there are none or they are a day old.
    pub(super) fn open(cache: &Path) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is missing: kernels come from Debian's archive, whose signatures it proves");
        }
        let archive = Self { dir: cache.join("apt") };
        for dir in ["lists/partial", "cache/archives/partial"] {
            let dir = archive.dir.join(dir);
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let sources: String = SUITES
            .iter()
            .map(|(part, suite)| format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirror(*part)))
            .collect();
        let stamp = archive.dir.join("fetched");
        let changed = fs::read_to_string(archive.dir.join("sources.list")).ok().as_ref() != Some(&sources);
        fs::write(archive.dir.join("sources.list"), sources).context("cannot write apt's sources")?;
        fs::write(archive.dir.join("status"), "").context("cannot write apt's status")?;
        let age = fs::metadata(&stamp).and_then(|stamp| stamp.modified()).ok();
        let fresh = age.is_some_and(|then| SystemTime::now().duration_since(then).is_ok_and(|age| age < FRESH));
        if changed || !fresh {
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
        let download = tempfile::tempdir_in(&self.dir).context("cannot make a directory for packages")?;
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
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ];
        let mut command = Command::new(program);
        command.args(options.iter().flat_map(|option| ["-o", option]));
        command
    }
}

/// The mirror that this host uses, else Debian's own.
fn mirror(part: Part) -> String {
    let targets = output_of(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]));
    let uris = targets.unwrap_or_default();
    let end = format!("/{}/", part.directory());
    let used = uris.lines().find(|uri| uri.starts_with("http") && uri.ends_with(&end));
    used.map_or_else(|| format!("http://deb.debian.org/{}", part.directory()), |uri| uri.trim_end_matches('/').into())
}
