//! The terminal that a guest's shell is given.

use std::process::{Command, Stdio};

use crate::output_of;

/// How the terminal was set, for when this value goes: a QEMU that is killed leaves it as a guest wants it.
pub(super) struct Terminal {
    settings: Option<String>,
}

impl Terminal {
    /// Notes it, if there is a terminal.
    pub(super) fn save() -> Self {
        Self { settings: output_of(stty().arg("-g")) }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.settings {
            let _ = stty().arg(settings).status();
        }
    }
}

/// The program that is at home in terminals' settings.
fn stty() -> Command {
    let mut command = Command::new("stty");
    command.stdin(Stdio::inherit()).stderr(Stdio::null());
    command
}
