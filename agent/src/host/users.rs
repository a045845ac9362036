//! Users of a host, by name and number.

use nix::unistd::{Uid, User};

use super::Root;
use crate::excerpt;

/// Where the users of a host are looked up.
#[derive(Clone, Debug)]
pub(crate) enum Users {
    /// In whatever the C library is set up to ask (nsswitch.conf(5)).
    Host,
    /// In the `/etc/passwd` of a tree, by number and name.
    Tree(Vec<(u32, String)>),
}

impl Users {
    /// Those of a host, or of a tree that stands for one.
    pub(crate) fn of(root: &Root) -> Self {
        if root.is_host() {
            return Self::Host;
        }
        let text = root.read_bytes("/etc/passwd").unwrap_or_default();
        Self::Tree(text.split(|&byte| byte == b'\n').filter_map(entry).collect())
    }

    /// The number of a user that is named, or written as its number.
    pub(crate) fn id(&self, name: &str) -> Option<u32> {
        if let Ok(id) = name.parse() {
            return Some(id);
        }
        match self {
            Self::Host => User::from_name(name).ok().flatten().map(|user| user.uid.as_raw()),
            Self::Tree(users) => users.iter().find(|(_, known)| known == name).map(|(id, _)| *id),
        }
    }

    /// The name of a user as it may be shown; the number where it has none.
    pub(crate) fn name(&self, id: u32) -> String {
        let name = match self {
            Self::Host => User::from_uid(Uid::from_raw(id)).ok().flatten().map(|user| user.name),
            Self::Tree(users) => users.iter().find(|(known, _)| *known == id).map(|(_, name)| name.clone()),
        };
        name.map_or_else(|| id.to_string(), excerpt::name)
    }
}

/// A line of passwd(5): name, password, number.
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
        assert_eq!(Users::Host.name(0), "root");
        assert_eq!(Users::Host.id("root"), Some(0));
    }
}
