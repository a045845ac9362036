//! Directories of cgroup file systems.

use std::io;

use crate::host::Host;

const CONTROLLERS: &str = "cgroup.subtree_control";

/// A cgroup, as its directory from the host's root.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    host: &'a Host,
    directory: String,
}

impl<'a> Group<'a> {
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

    /// The groups in it.
    pub(super) fn children(&self) -> Vec<String> {
        let names = self.host.root.list(&self.directory).unwrap_or_default();
        names.into_iter().filter(|name| self.host.root.is_directory(&self.file(name))).collect()
    }

    /// Makes it. In a tree no kernel fills it: it has `files`, as the kernel makes them.
    pub(super) fn make(&self, files: &[(&str, &str)]) -> io::Result<()> {
        self.host.root.create_directory(&self.directory)?;
        if !self.host.root.is_host() {
            for (name, text) in files {
                self.host.root.put(&self.file(name), text)?;
            }
        }
        Ok(())
    }

    /// Removes it. Nothing is in it.
    pub(super) fn remove(&self) -> io::Result<()> {
        if !self.host.root.is_host() {
            self.host.root.open_directory(&self.directory)?.remove_files()?;
        }
        self.host.root.remove_directory(&self.directory)
    }

    /// Whether the groups in it have a controller.
    pub(super) fn has_enabled(&self, controller: &str) -> io::Result<bool> {
        Ok(self.read(CONTROLLERS)?.split_whitespace().any(|enabled| enabled == controller))
    }

    /// Lets the groups in it have a controller. What was before is kept for [`take_back`](Self::take_back) until the host boots, as
    /// the cgroups themselves are.
    pub(super) fn enable(&self, controller: &str) -> io::Result<()> {
        if self.has_enabled(controller)? {
            return Ok(());
        }
        let before = self.host.root.read_text(&self.file(CONTROLLERS))?;
        self.host.root.write_state(&kept(controller), before.as_bytes())?;
        // The kernel's file takes what is to be changed; one of a tree is what is written to it.
        let text = if self.host.root.is_host() {
            format!("+{controller}")
        } else {
            format!("{} {controller}", before.trim_end())
        };
        let enabled = self.write(CONTROLLERS, &text);
        if enabled.is_err() {
            // Or somebody else's would be taken back one day.
            let _ = self.host.root.remove_file(&kept(controller));
        }
        enabled
    }

    /// Whether a controller was enabled here, and not taken back yet.
    pub(super) fn was_enabled(&self, controller: &str) -> bool {
        self.host.root.has(&kept(controller))
    }

    /// Leaves a controller to who has it by now: it is not to be taken back any more.
    pub(super) fn leave(&self, controller: &str) -> io::Result<()> {
        match self.host.root.remove_file(&kept(controller)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes a controller from the groups in it, if it was enabled here.
    pub(super) fn take_back(&self, controller: &str) -> io::Result<()> {
        let before = match self.host.root.read_text(&kept(controller)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            before => before?,
        };
        let text = if self.host.root.is_host() { format!("-{controller}") } else { before };
        self.write(CONTROLLERS, &text)?;
        self.host.root.remove_file(&kept(controller))
    }

    /// Moves what is in it into another; what cannot be moved stays, as kernel threads of one CPU do.
    pub(super) fn move_all(&self, file: &str, to: &Self) -> io::Result<()> {
        // Again until nothing new is found: who is moved may have forked in between.
        let mut stuck: Vec<String> = Vec::new();
        loop {
            let members = self.read(file)?;
            let fresh: Vec<String> = members
                .lines()
                .filter(|member| !stuck.iter().any(|known| known == member))
                .map(str::to_owned)
                .collect();
            if fresh.is_empty() {
                return Ok(());
            }
            for member in fresh {
                // Ended, or not to be moved: EINVAL (PF_NO_SETAFFINITY, cpuset_can_attach of kernel/cgroup/cpuset.c).
                let _ = to.write(file, &member);
                stuck.push(member);
            }
        }
    }
}

/// Where what was before a controller was enabled is kept, from the host's root.
fn kept(controller: &str) -> String {
    format!("/run/quell/{controller}-was-off")
}
