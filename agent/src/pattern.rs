//! Patterns for names, as in a shell.

use globset::{GlobBuilder, GlobMatcher};

/// A pattern for a whole name: `*` matches any text, also with `/`; `?` one character; `[a-c]` one of these; `{a,b}` either.
/// A text also matches itself, whatever characters it contains. The time of matching is linear in the length of the name.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    matcher: GlobMatcher,
}

/// A pattern that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is not a valid pattern: {why}\nhint: quote a special character as in [*] or \\*")]
pub struct PatternError {
    /// The pattern as given.
    pattern: String,
    /// The message of the parser.
    why: String,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// A bracket or a brace is not closed.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let error = |error: globset::Error| PatternError { pattern: text.to_owned(), why: error.kind().to_string() };
        let glob = GlobBuilder::new(text).literal_separator(false).backslash_escape(true).build().map_err(error)?;
        Ok(Self { text: text.to_owned(), matcher: glob.compile_matcher() })
    }

    /// The pattern as given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the text has characters with a special meaning.
    #[must_use]
    pub fn has_wildcards(text: &str) -> bool {
        text.contains(['*', '?', '[', '{'])
    }

    /// Whether the pattern matches a whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        name == self.text || self.matcher.is_match(name)
    }

    /// Whether the pattern matches a path, or its file name if the pattern has no `/`.
    #[must_use]
    pub fn matches_path(&self, path: &str) -> bool {
        let file_name = path.rsplit('/').next().unwrap_or(path);
        self.matches(if self.text.contains('/') { path } else { file_name })
    }

    /// Whether the pattern matches a cgroup or one that contains it. Both are paths from the root of the hierarchy; the leading
    /// `/` may be missing.
    #[must_use]
    pub fn matches_cgroup(&self, path: &str) -> bool {
        // Each pattern is compiled with the slash that it was given, if any.
        let path = path.strip_prefix('/').unwrap_or(path);
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|end| {
            let ancestor = &path[..end];
            self.matches(ancestor)
                || (self.text.starts_with(['/', '*', '[', '{', '?']) && self.matches(&format!("/{ancestor}")))
        })
    }
}

/// Whether one of the patterns matches, or there are none.
pub(crate) fn any_or_none(patterns: &[Pattern], matches: impl Fn(&Pattern) -> bool) -> bool {
    patterns.is_empty() || patterns.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).expect("a pattern")
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        for (text, name, expected) in [
            ("worker", "worker", true),
            ("worker", "worker-1", false),
            ("worker-*", "worker-1", true),
            ("w?rker-[12]", "worker-2", true),
            ("w?rker-[12]", "worker-3", false),
            ("{redis,postgres}*", "redis-server", true),
            ("*", "", true),
            ("a*c", "a/b/c", true),
            ("*", "a\nb", true),
            ("[kworker]", "[kworker]", true),
        ] {
            assert_eq!(pattern(text).matches(name), expected, "{text} {name}");
        }
    }

    #[test]
    fn a_program_is_given_by_its_path_or_its_file_name() {
        for (text, expected) in [
            ("java", true),
            ("ja*", true),
            ("*/java", true),
            ("/usr/bin/java", true),
            ("/bin/java", false),
            ("usr", false),
        ] {
            assert_eq!(pattern(text).matches_path("/usr/bin/java"), expected, "{text}");
        }
    }

    #[test]
    fn a_cgroup_is_given_by_its_path_or_by_that_of_one_that_contains_it() {
        for (text, expected) in [
            ("/system.slice", true),
            ("system.slice", true),
            ("system.slice/redis.service", true),
            ("/system.slice/redis.service/main", true),
            ("*.service", true),
            ("/*/redis.service", true),
            ("redis.service", false),
            ("/system", false),
            ("user.slice", false),
        ] {
            assert_eq!(pattern(text).matches_cgroup("/system.slice/redis.service/main"), expected, "{text}");
        }
        assert!(pattern("/").matches_cgroup("/") && pattern("*").matches_cgroup("/"));
    }

    #[test]
    fn a_pattern_that_is_not_closed_is_an_error_with_a_hint() {
        let error = Pattern::new("a[b").expect_err("it is not closed").to_string();
        assert!(error.contains("`a[b`") && error.contains("\nhint: "), "{error}");
    }

    /// A pattern that takes exponential time with backtracking.
    #[test]
    fn matching_takes_linear_time() {
        assert!(!pattern(&"a*".repeat(30)).matches(&format!("{}b", "c".repeat(12 << 10))));
        assert!(!pattern(&format!("{}b", "a*".repeat(30))).matches(&"a".repeat(12 << 10)));
    }
}
