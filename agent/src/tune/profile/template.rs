//! Texts of profiles with variables: `${isolated}`.

use super::budget::MAX_EXPANDED;
use crate::excerpt;

/// The names of the variables that a text uses.
pub(in crate::tune) fn variable_names(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

/// Whether a text uses variables.
pub(super) fn has_variables(text: &str) -> bool {
    text.contains("${")
}

/// Replaces the variables of a text by the values that `value_of` returns.
///
/// # Errors
/// The errors of `value_of`; or a brace is missing, or the result is too long.
pub(in crate::tune) fn substitute(
    text: &str,
    mut value_of: impl FnMut(&str) -> Result<String, String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) =
            after.split_once('}').ok_or_else(|| format!("{} has `${{` without `}}`", excerpt::quoted(text)))?;
        out += before;
        out += &value_of(name)?;
        rest = after;
        if out.len() > MAX_EXPANDED {
            break;
        }
    }
    out += rest;
    if out.len() > MAX_EXPANDED {
        return Err(format!("it is longer than {MAX_EXPANDED} bytes after its variables are expanded"));
    }
    Ok(out)
}
