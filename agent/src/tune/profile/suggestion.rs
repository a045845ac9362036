//! Suggestions for mistyped names.

/// The known name that is closest to a mistyped one, if at most a third of its letters differ.
pub fn closest_name<'a>(mistyped: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = names.into_iter().map(|name| (strsim::levenshtein(mistyped, name), name));
    distances.filter(|(distance, name)| *distance <= name.len() / 3).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_told_from_another_name() {
        let names = ["latency", "network-latency", "trading"];
        assert_eq!(closest_name("latancy", names), Some("latency"));
        assert_eq!(closest_name("tradin", names), Some("trading"));
        assert_eq!(closest_name("desktop", names), None);
    }
}
