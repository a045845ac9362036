//! Directories of cgroup file systems.

use std::io;

use crate::host::Host;

/// The cgroup that quell creates for isolated CPUs, below the root cgroup.
pub(super) const NAME: &str = "quell-isolated";

const CONTROLLERS: &str = "cgroup.subtree_control";

/// The directory of a cgroup, from the root of the host.
#[derive(Clone, Debug)]
pub(super) struct CgroupDir<'a> {
    host: &'a Host,
    directory: String,
}

impl<'a> CgroupDir<'a> {
    pub(super) fn new(host: &'a Host, directory: impl Into<String>) -> Self {
        Self { host, directory: directory.into() }
    }

    pub(super) fn child(&self, name: &str) -> Self {
        Self { host: self.host, directory: format!("{}/{name}", self.directory) }
    }

    pub(super) fn exists(&self) -> bool {
        self.host.root.has(&self.directory)
    }

    pub(super) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    pub(super) fn read(&self, name: &str) -> io::Result<String> {
        self.host.root.read(&self.file(name))
    }

    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        self.host.root.write(&self.file(name), text)
    }

    /// The names of the child cgroups.
    pub(super) fn children(&self) -> Vec<String> {
        let names = self.host.root.list(&self.directory).unwrap_or_default();
        names.into_iter().filter(|name| self.host.root.is_directory(&self.file(name))).collect()
    }

    /// Creates the cgroup. In a tree, it also creates `files`, which the kernel would create.
    pub(super) fn create(&self, files: &[(&str, &str)]) -> io::Result<()> {
        self.host.root.create_directory(&self.directory)?;
        if !self.host.root.is_host() {
            for (name, text) in files {
                self.host.root.put(&self.file(name), text)?;
            }
        }
        Ok(())
    }

    /// Removes the cgroup, which must be empty.
    pub(super) fn remove(&self) -> io::Result<()> {
        if !self.host.root.is_host() {
            self.host.root.open_directory(&self.directory)?.remove_files()?;
        }
        self.host.root.remove_directory(&self.directory)
    }

    /// Whether a controller is enabled for the child cgroups.
    pub(super) fn has_enabled(&self, controller: &str) -> io::Result<bool> {
        Ok(self.read(CONTROLLERS)?.split_whitespace().any(|enabled| enabled == controller))
    }

    /// Enables a controller for the child cgroups. The previous state is saved for
    /// [`disable_if_enabled`](Self::disable_if_enabled). The saved state lasts until the next boot, which also resets cgroups.
    pub(super) fn enable(&self, controller: &str) -> io::Result<()> {
        if self.has_enabled(controller)? {
            return Ok(());
        }
        let before = self.host.root.read_text(&self.file(CONTROLLERS))?;
        self.host.root.write_state(&state_file(controller), before.as_bytes())?;
        // The kernel's file accepts changes, the file of a tree contains the complete list.
        let text = if self.host.root.is_host() {
            format!("+{controller}")
        } else {
            format!("{} {controller}", before.trim_end())
        };
        let enabled = self.write(CONTROLLERS, &text);
        if enabled.is_err() {
            // Otherwise a later rollback would disable a controller that another program enabled.
            let _ = self.host.root.remove_file(&state_file(controller));
        }
        enabled
    }

    /// Whether quell enabled a controller and has not disabled it yet.
    pub(super) fn is_enabled_by_quell(&self, controller: &str) -> bool {
        self.host.root.has(&state_file(controller))
    }

    /// Leaves a controller enabled for good, because other cgroups use it.
    pub(super) fn keep_enabled(&self, controller: &str) -> io::Result<()> {
        match self.host.root.remove_file(&state_file(controller)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Disables a controller for its child cgroups, if quell enabled it.
    pub(super) fn disable_if_enabled(&self, controller: &str) -> io::Result<()> {
        let before = match self.host.root.read_text(&state_file(controller)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            before => before?,
        };
        let text = if self.host.root.is_host() { format!("-{controller}") } else { before };
        self.write(CONTROLLERS, &text)?;
        self.host.root.remove_file(&state_file(controller))
    }

    /// Moves the members of the cgroup into another cgroup, best effort: per-CPU kernel threads cannot be moved.
    pub(super) fn move_all(&self, file: &str, to: &Self) -> io::Result<()> {
        // Repeated until no new members are found: a member may fork before it is moved.
        let mut tried: Vec<String> = Vec::new();
        loop {
            let members = self.read(file)?;
            let fresh: Vec<String> = members
                .lines()
                .filter(|member| !tried.iter().any(|known| known == member))
                .map(str::to_owned)
                .collect();
            if fresh.is_empty() {
                return Ok(());
            }
            for member in fresh {
                // Fails if the member has exited, or with EINVAL if it cannot be moved (PF_NO_SETAFFINITY, cpuset_can_attach,
                // kernel/cgroup/cpuset.c).
                let _ = to.write(file, &member);
                tried.push(member);
            }
        }
    }
}

/// The file with the state before a controller was enabled, from the root of the host.
fn state_file(controller: &str) -> String {
    format!("/run/quell/{controller}-was-off")
}
