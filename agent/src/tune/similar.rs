//! Names that were most likely meant.

/// Of names that there are the one most like a wrong one, if any is like it.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = names.into_iter().map(|name| (distance(wrong, name), name));
    distances.filter(|(distance, name)| *distance <= name.len() / 3).min().map(|(_, name)| name)
}

/// How many letters to insert, delete or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_name() {
        let names = ["latency", "network-latency", "trading"];
        assert_eq!(nearest("latancy", names), Some("latency"));
        assert_eq!(nearest("tradin", names), Some("trading"));
        assert_eq!(nearest("desktop", names), None);
    }
}
