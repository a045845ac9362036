//! Looks up the users of a host by name and UID.

use std::path::Path;

use nix::unistd::{Uid, User};

use super::Root;
use crate::units::Bytes;
use crate::{bounded, excerpt};

/// The maximum size of `/etc/passwd`.
const MAX_PASSWD: Bytes = Bytes(8 << 20);

/// The source from which the users of a host are looked up.
#[derive(Clone, Debug)]
pub(crate) enum Users {
    /// The name services that the C library is configured to use (nsswitch.conf(5)).
    Host,
    /// The `/etc/passwd` of a tree, as UIDs and names.
    Tree(Vec<(u32, String)>),
}

impl Users {
    /// The users of this host, or of a tree that represents a host.
    pub(crate) fn of(root: &Root) -> Self {
        if root.is_host() {
            return Self::Host;
        }
        Self::from_passwd(&root.read_bytes("/etc/passwd").unwrap_or_default())
    }

    /// The users in `/etc/passwd` of this host. Unlike the name services of [`Self::Host`], this cannot wait for a network.
    pub(crate) fn local() -> Self {
        Self::from_passwd(&bounded::read_regular(Path::new("/etc/passwd"), MAX_PASSWD).unwrap_or_default())
    }

    fn from_passwd(text: &[u8]) -> Self {
        Self::Tree(text.split(|&byte| byte == b'\n').filter_map(entry).collect())
    }

    /// The UID of a user that is given by name or by UID; `None` if the name does not exist.
    pub(crate) fn id(&self, name: &str) -> Option<u32> {
        if let Ok(id) = name.parse() {
            return Some(id);
        }
        match self {
            Self::Host => User::from_name(name).ok().flatten().map(|user| user.uid.as_raw()),
            Self::Tree(users) => users.iter().find(|(_, known)| known == name).map(|(id, _)| *id),
        }
    }

    /// The name of a user, in a form that is safe to print; the UID if it has no name.
    pub(crate) fn name(&self, id: u32) -> String {
        self.known_name(id).map_or_else(|| id.to_string(), excerpt::name)
    }

    /// The name of a user, if it has one.
    pub(crate) fn known_name(&self, id: u32) -> Option<String> {
        match self {
            Self::Host => User::from_uid(Uid::from_raw(id)).ok().flatten().map(|user| user.name),
            Self::Tree(users) => users.iter().find(|(known, _)| *known == id).map(|(_, name)| name.clone()),
        }
    }
}

/// The UID and the name in a line of passwd(5), which begins with name, password and UID.
fn entry(line: &[u8]) -> Option<(u32, String)> {
    let mut fields = line.split(|&byte| byte == b':');
    let name = std::str::from_utf8(fields.next()?).ok()?;
    let id = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
    Some((id, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_a_tree_are_those_of_its_own_file() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("etc")).expect("a folder");
        std::fs::write(
            folder.path().join("etc/passwd"),
            b"root:x:0:0::/:/bin/sh\n\xff:x:7:7::/:\nredis:x:112:112::/:\n",
        )
        .expect("a file");
        let users = Users::of(&Root::at(folder.path()).expect("a root"));
        assert_eq!((users.id("redis"), users.id("7"), users.id("nobody")), (Some(112), Some(7), None));
        assert_eq!((users.name(112), users.name(5)), ("redis".to_owned(), "5".to_owned()));
        assert_eq!((users.known_name(112), users.known_name(5)), (Some("redis".to_owned()), None));
        assert_eq!(Users::local().known_name(0), Some("root".to_owned()));
        assert_eq!(Users::Host.name(0), "root");
        assert_eq!(Users::Host.id("root"), Some(0));
    }
}
