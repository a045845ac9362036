//! Demangles names in bounded time and space, because the symbols of other programs are untrusted.

use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, ParseOptions};

use super::MAX_NAME;

/// The maximum length of a name that is demangled, in bytes.
const MAX_MANGLED: usize = 16_384;

/// The maximum recursion of the demangler: about 20 levels of template arguments in template arguments. cpp_demangle takes a time and
/// memory that are exponential in the levels of a name that is not valid at the innermost one: 0.3 s with this limit, and endless
/// with a much higher one. Deeper names remain mangled, and are counted (`mangled_functions`).
const MAX_DEPTH: u32 = 96;

/// Demangles a name: Rust names without the hash, C++ names without parameters and return type. Other names are unchanged.
pub(super) fn demangle(name: &str) -> String {
    let readable = if name.len() > MAX_MANGLED { None } else { rust(name).or_else(|| cpp(name)) };
    readable.unwrap_or_else(|| shortened(name))
}

fn rust(name: &str) -> Option<String> {
    let demangled = rustc_demangle::try_demangle(name).ok()?;
    let mut out = Bounded(String::new());
    // The alternate form omits the hash.
    write!(out, "{demangled:#}").ok()?;
    Some(out.0)
}

fn cpp(name: &str) -> Option<String> {
    // All names mangled by the Itanium C++ ABI begin with one of these prefixes.
    if !name.starts_with("_Z") && !name.starts_with("__Z") && !name.starts_with("_GLOBAL_") {
        return None;
    }
    let parse = ParseOptions::default().recursion_limit(MAX_DEPTH);
    let symbol = cpp_demangle::BorrowedSymbol::with_tail_and_options(name.as_bytes(), &parse).ok()?;
    let options = DemangleOptions::new().no_params().no_return_type().recursion_limit(MAX_DEPTH);
    let mut out = Bounded(String::new());
    symbol.0.structured_demangle(&mut out, &options).ok()?;
    Some(out.0)
}

/// The name, truncated to the maximum length.
pub(super) fn shortened(name: &str) -> String {
    let end = (0..=name.len().min(MAX_NAME)).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    name[..end].to_owned()
}

/// A string with a maximum length. Writing more fails.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_NAME {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_their_authors_wrote_them() {
        for (mangled, readable) in [
            ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            ("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back"),
            ("_ZN2v88internal7Isolate4InitEPNS0_12SnapshotDataES3_S3_b", "v8::internal::Isolate::Init"),
            ("__libc_start_main", "__libc_start_main"),
            ("runtime.goexit.abi0", "runtime.goexit.abi0"),
            ("_Znonsense", "_Znonsense"),
        ] {
            assert_eq!(demangle(mangled), readable);
        }
    }

    #[test]
    fn a_name_that_unfolds_without_end_stays_as_it_is() {
        // Each template argument pair repeats the previous one, which results in 2^60 names.
        let repeats: String = (0..60).map(|_| "St4pairI").collect::<String>()
            + "i"
            + &(0..60).map(|level: u32| format!("S{}_E", base36(level))).collect::<String>();
        let bomb = format!("_Z1f{repeats}");
        assert!(demangle(&bomb).len() <= MAX_NAME);
        assert_eq!(demangle(&"x".repeat(100_000)).len(), MAX_NAME);
    }

    #[test]
    fn a_name_that_is_nested_too_deep_remains_mangled() {
        // `A<A<...<int> > >::f()`
        let nested = |levels: usize| format!("_ZN{}i{}1fEv", "1AI".repeat(levels), "E".repeat(levels));
        assert_eq!(demangle(&nested(3)), "A<A<A<int> > >::f");
        assert_eq!(demangle(&nested(200)), nested(200));
    }

    fn base36(number: u32) -> String {
        number.checked_sub(1).map(|digit| char::from_digit(digit % 36, 36).into_iter().collect()).unwrap_or_default()
    }
}
