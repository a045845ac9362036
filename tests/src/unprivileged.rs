//! Runs quell as an untrusted user.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::{agent, executable};

/// The UID and GID of `nobody` on Debian.
pub const USER: u32 = 65_534;

/// The capabilities that `quell doctor` suggests: DAC_READ_SEARCH, SYS_PTRACE, SYSLOG, PERFMON, BPF, CHECKPOINT_RESTORE
/// (include/uapi/linux/capability.h).
pub const SUGGESTED: u64 = 1 << 2 | 1 << 19 | 1 << 34 | 1 << 38 | 1 << 39 | 1 << 40;

/// A private copy of quell with file capabilities, and a home directory of the user.
#[derive(Debug)]
pub struct Unprivileged {
    dir: TempDir,
    quell: PathBuf,
}

impl Unprivileged {
    /// Creates the copy and the directory.
    ///
    /// # Errors
    /// This process may not set file capabilities: see [`is_possible`].
    pub fn new(capabilities: u64) -> Result<Self> {
        let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let quell = dir.path().join("quell");
        executable::copy(agent::binary()?, &quell)?;
        set_capabilities(&quell, capabilities).context("cannot give a file capabilities")?;
        let home = dir.path().join("home");
        fs::create_dir(&home)?;
        chown(&home, Some(USER), Some(USER))?;
        Ok(Self { dir, quell })
    }

    /// The home directory of the user.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// A directory that only root can enter.
    pub fn roots(&self) -> Result<PathBuf> {
        let path = self.dir.path().join("root");
        if !path.exists() {
            fs::create_dir(&path)?;
            fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        }
        Ok(path)
    }

    /// The command `quell`, run by the user in the home directory.
    pub fn command(&self) -> Command {
        let mut command = self.of_user(&self.quell);
        command.env("HOME", self.home()).env("TMPDIR", self.home());
        command
    }

    /// The command for another program, run by the user.
    pub fn of_user(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // This also drops the supplementary groups of root.
        command.uid(USER).gid(USER).current_dir(self.home()).stdin(Stdio::null());
        command
    }
}

/// Whether this process can set file capabilities, and they are effective.
pub fn is_possible() -> bool {
    // On a `nosuid` mount, they can be set but are not effective.
    let effective = || -> Result<bool> {
        let dir = tempfile::tempdir()?;
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let program = dir.path().join("cat");
        executable::copy(Path::new("/bin/cat"), &program)?;
        set_capabilities(&program, 1 << 2)?;
        let output = Command::new(&program).uid(USER).gid(USER).arg("/proc/self/status").output()?;
        Ok(String::from_utf8_lossy(&output.stdout).contains("CapEff:\t0000000000000004"))
    };
    effective().unwrap_or(false)
}

/// Sets the permitted and effective capabilities of a file.
#[allow(unsafe_code, reason = "no crate here sets extended attributes")]
fn set_capabilities(path: &Path, capabilities: u64) -> io::Result<()> {
    // struct vfs_cap_data, revision 2, with the effective bit (include/uapi/linux/capability.h).
    let words = [0x0200_0001, capabilities as u32, 0, (capabilities >> 32) as u32, 0];
    let value: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the name and the path end in NUL, the length is that of the value; the kernel only reads them.
    let result = unsafe {
        libc::setxattr(path.as_ptr(), c"security.capability".as_ptr(), value.as_ptr().cast(), value.len(), 0)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
