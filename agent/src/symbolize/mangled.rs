//! Functions whose names could not be demangled.

use crate::recording::Recording;

/// The number of frames whose C++ name is still mangled after symbolization, mostly because it is nested too deep.
#[must_use]
pub fn mangled_functions(recording: &Recording) -> u64 {
    let is_mangled = |name: &str| {
        let rest = name.strip_prefix("_Z").or_else(|| name.strip_prefix("__Z"));
        rest.is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit()))
    };
    let symbols = recording.frames.rows().iter().filter_map(|frame| frame.symbol.as_ref());
    symbols.filter(|symbol| is_mangled(&symbol.name)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::example::Example;

    #[test]
    fn functions_with_mangled_names_are_counted() {
        let mut example = Example::new();
        example.stack("app main std::sort _ZN1AI1AEv __Z3foov _Zebra kernel:read");
        assert_eq!(mangled_functions(&example.recording), 2);
    }
}
