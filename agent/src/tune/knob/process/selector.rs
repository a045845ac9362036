//! The conditions for the processes of a rule: the syntax of `on`.

use crate::excerpt;

/// The conditions of a rule. A process must meet all conditions that are given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    /// The name of the process.
    pub(super) name: Option<Pattern>,
    /// The path of the executable.
    pub(super) executable: Option<Pattern>,
    /// The users. Both the real and the effective user must be among them.
    pub(super) users: Option<Vec<String>>,
    /// The cgroup of the process, or an ancestor of it.
    pub(super) cgroup: Option<String>,
}

/// A pattern in which `*` matches any bytes and `?` any single byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(String);

/// The maximum length of `on`, in bytes.
const MAX_LENGTH: usize = 1024;

/// The keys of conditions.
const KEYS: [&str; 4] = ["name", "exe", "user", "cgroup"];

impl Selector {
    /// Parses `name=redis*,user=redis`, a plain name, or a plain cgroup.
    pub(super) fn parse(on: &str) -> Result<Self, String> {
        // Patterns are compared with the paths of all executables, which users can make long.
        if on.len() > MAX_LENGTH {
            return Err(format!("it is longer than {MAX_LENGTH} bytes"));
        }
        // Process names may contain commas.
        if on.split(',').all(|part| key_of(part).is_none()) {
            let plain = on.to_owned();
            return Ok(match on.starts_with('/') {
                true => Self { cgroup: Some(plain), ..Self::default() },
                false => Self { name: Some(Pattern(plain)), ..Self::default() },
            });
        }
        let mut selector = Self::default();
        for (index, part) in on.split(',').enumerate() {
            let (key, value) = match (key_of(part), index) {
                (Some(key), _) => (key, &part[key.len() + 1..]),
                (None, 0) if part.starts_with('/') => ("cgroup", part),
                (None, 0) => ("name", part),
                (None, _) => {
                    let part = excerpt::quoted(part);
                    return Err(format!(
                        "{part} does not begin with name=, exe=, user= or cgroup=; an example is name=redis*,user=redis"
                    ));
                }
            };
            selector.set(key, value)?;
        }
        Ok(selector)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Err(format!("`{key}=` has no value"));
        }
        let is_first = match key {
            "name" => self.name.replace(Pattern(value.to_owned())).is_none(),
            "exe" if !value.starts_with(['/', '*']) => {
                return Err(format!(
                    "{} is not an absolute path such as exe=/usr/bin/redis-server",
                    excerpt::quoted(value)
                ));
            }
            "exe" => self.executable.replace(Pattern(value.to_owned())).is_none(),
            "user" => self.users.replace(value.split('|').map(str::to_owned).collect()).is_none(),
            _ if !is_cgroup_path(value) => {
                return Err(format!(
                    "{} is not a cgroup such as cgroup=/system.slice/x.service",
                    excerpt::quoted(value)
                ));
            }
            _ => self.cgroup.replace(value.to_owned()).is_none(),
        };
        if is_first { Ok(()) } else { Err(format!("`{key}=` is given twice")) }
    }

    /// Whether the selector restricts the users. Any user can choose the name of a process, and start most programs.
    pub(super) fn names_owner(&self) -> bool {
        self.users.is_some() || self.cgroup.is_some()
    }
}

fn key_of(part: &str) -> Option<&'static str> {
    KEYS.into_iter().find(|key| part.strip_prefix(key).is_some_and(|rest| rest.starts_with('=')))
}

/// Whether a text is the path of a cgroup from the root of the hierarchy.
pub(super) fn is_cgroup_path(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|part| part != "..")
}

impl Pattern {
    /// Whether the pattern matches the whole text.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        // A quick check that rejects most texts: each byte of the pattern except `*` must match a byte of the text.
        if pattern.iter().filter(|&&byte| byte != b'*').count() > text.len() {
            return false;
        }
        // The position for backtracking, at which the last `*` matches one more byte. Earlier `*` never have to be revisited.
        let (mut at, mut of, mut star) = (0, 0, None);
        while of < text.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at + 1, of));
                    at += 1;
                }
                Some(&byte) if byte == b'?' || byte == text[of] => (at, of) = (at + 1, of + 1),
                _ => match star {
                    Some((after, taken)) => {
                        star = Some((after, taken + 1));
                        (at, of) = (after, taken + 1);
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|&byte| byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_and_cgroups_are_parsed() {
        let name = |on: &str| Selector { name: Some(Pattern(on.to_owned())), ..Selector::default() };
        for on in ["nginx", "redis*", "a,b", "foo=bar", "tmux:?server"] {
            assert_eq!(Selector::parse(on), Ok(name(on)));
        }
        let cgroup = Selector::parse("/system.slice/a.service").expect("a cgroup");
        assert_eq!(cgroup, Selector { cgroup: Some("/system.slice/a.service".to_owned()), ..Selector::default() });
    }

    #[test]
    fn keys_are_combined_in_any_order_and_each_is_given_once() {
        let all = Selector::parse("user=redis|root,exe=/usr/bin/*,cgroup=/a.slice,name=redis*").expect("all");
        assert_eq!(all.users, Some(vec!["redis".to_owned(), "root".to_owned()]));
        assert!(all.names_owner() && all.name.is_some() && all.executable.is_some() && all.cgroup.is_some());
        assert!(Selector::parse("redis,user=112").is_ok_and(|on| on.name.is_some() && on.users.is_some()));
        assert!(Selector::parse("/a.slice,name=x").is_ok_and(|on| on.cgroup.is_some() && on.name.is_some()));
        assert!(!Selector::parse("name=redis,exe=/bin/redis").expect("a selector").names_owner());
        for wrong in ["name=a,b", "user=", "name=a,name=b", "exe=redis", "cgroup=/../x", "cgroup=x", "user=a,/b"] {
            assert!(Selector::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pattern_is_matched_byte_by_byte() {
        let matches = |pattern: &str, text: &[u8]| Pattern(pattern.to_owned()).matches(text);
        assert!(matches("redis*", b"redis") && matches("redis*", b"redis-\xc3") && !matches("redis", b"redis2"));
        assert!(matches("*a*b", b"xaayb") && !matches("*a*b", b"xaaybc") && matches("*", b"") && !matches("?", b""));
        assert!(matches("k?", b"k\xff"));
        let many = "a*".repeat(60);
        assert!(!matches(&format!("{many}b"), &[b'a'; 4096]), "in bounded time");
    }
}
