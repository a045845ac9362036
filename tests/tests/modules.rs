//! The modules of the agent are layers: those of a folder do not import each other in a circle, at the top and in every folder.
//!
//! Read from the sources: `use` and paths that begin with `crate` or `super`. What `mod.rs` imports from its children, and they from
//! it, does not count: they are one module. Neither does what tests import.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module or an item, as the words of its path from the root of the crate.
type Name = Vec<String>;

/// An import of a module: what it calls it, and what it is.
type Imports = Vec<(String, Name)>;

#[test]
fn no_modules_of_the_agent_import_each_other_in_a_circle() {
    let modules = Modules::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/src"));
    assert!(modules.0.len() > 200, "{} modules", modules.0.len());
    let mut folders: BTreeMap<Name, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (module, imports) in &modules.0 {
        for (_, import) in imports {
            let imported = modules.of_item(import, 0);
            let common = module.iter().zip(&imported).take_while(|(one, other)| one == other).count();
            if let (Some(from), Some(to)) = (module.get(common), imported.get(common)) {
                let folder = folders.entry(module[..common].to_vec()).or_default();
                folder.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    assert!(folders[&Name::new()]["capture"].contains("probe"), "the imports are found");
    let circles: Vec<String> = folders.iter().filter_map(|(name, imports)| circle(name, imports)).collect();
    assert!(circles.is_empty(), "modules import each other in a circle:\n{}", circles.join("\n"));
}

#[test]
fn imports_are_found_in_every_form() {
    let module = ["a", "b"].map(str::to_owned);
    let imports = |text: &str| -> Vec<String> {
        let (_, imports) = parse(&words(text), &module);
        imports.iter().map(|(alias, name)| format!("{alias}={}", name.join("::"))).collect()
    };
    assert_eq!(
        imports("use super::{c::{self, D}, e as f}; fn g() { crate::h::i('\"', \"crate::j::k\") } // crate::l::m"),
        ["c=a::c", "D=a::c::D", "f=a::e", "i=h::i"]
    );
    assert_eq!(imports("#[cfg(test)] mod tests { use crate::c::d; } use crate::e;"), ["e=e"]);
    assert_eq!(imports("mod inner { use super::super::c; }"), ["c=a::c"]);
}

/// The modules of a crate and what each imports, without its tests.
struct Modules(BTreeMap<Name, Imports>);

impl Modules {
    fn read(root: &Path) -> Self {
        let (mut modules, mut only_tests, mut folders) = (BTreeMap::new(), BTreeSet::new(), vec![root.to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder of sources") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = name_of(path.strip_prefix(root).expect("it is below"));
                    let text = fs::read_to_string(&path).expect("a source");
                    let (tests, imports) = parse(&words(&text), &name);
                    only_tests.extend(tests);
                    modules.insert(name, imports);
                }
            }
        }
        modules.retain(|name, _| !(0..=name.len()).any(|length| only_tests.contains(&name[..length])));
        Self(modules)
    }

    /// The module that an item is declared in: where modules pass it on, the one that they have it from.
    fn of_item(&self, item: &[String], passed: usize) -> Name {
        let length = (0..=item.len()).rev().find(|length| self.0.contains_key(&item[..*length])).unwrap_or(0);
        let (module, rest) = item.split_at(length);
        let Some((name, rest)) = rest.split_first() else { return module.to_vec() };
        match self.0[module].iter().find(|(alias, import)| alias == name && *import != item) {
            Some((_, import)) if passed < 8 => self.of_item(&[import, rest].concat(), passed + 1),
            _ => module.to_vec(),
        }
    }
}

fn name_of(file: &Path) -> Name {
    let mut path = PathBuf::from(file).with_extension("");
    if path.ends_with("mod") || path.ends_with("lib") {
        path.pop();
    }
    path.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Names and punctuation, without comments, texts and lifetimes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("r\"") || rest.starts_with("r#") {
            let end = format!("\"{}", "#".repeat(rest[1..].find('"').unwrap_or(0)));
            let begin = 1 + end.len();
            rest.get(begin..).and_then(|inner| inner.find(&end)).map_or(1, |at| begin + at + end.len())
        } else if first == '"' {
            let mut escaped = false;
            let end = |letter: char| {
                let ends = letter == '"' && !escaped;
                escaped = letter == '\\' && !escaped;
                ends
            };
            rest[1..].find(end).map_or(rest.len(), |at| at + 2)
        } else if first == '\'' {
            // A character, or a lifetime.
            let second = rest[1..].chars().next().map_or(0, char::len_utf8);
            let escaped = rest[1..].starts_with('\\').then(|| rest[3..].find('\'').map(|at| at + 4)).flatten();
            escaped.unwrap_or(if rest[1 + second..].starts_with('\'') { second + 2 } else { 1 })
        } else if is_name(first) {
            let length = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
            words.push(rest[..length].to_owned());
            length
        } else {
            let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            if !first.is_whitespace() {
                words.push(rest[..length].to_owned());
            }
            length
        };
        rest = &rest[length..];
    }
    words
}

/// The modules of a file that are only built for tests, and what the others import.
fn parse(words: &[String], module: &[String]) -> (Vec<Name>, Imports) {
    let (mut only_tests, mut imports) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < words.len() {
        let is = |offset: usize, word: &str| words.get(at + offset).is_some_and(|found| found == word);
        let starts_path = |offset: usize| (is(offset, "crate") || is(offset, "super")) && is(offset + 1, "::");
        let length = if ["#", "[", "cfg", "(", "test", ")", "]"].iter().enumerate().all(|(at, word)| is(at, word)) {
            let length = item(&words[at..]);
            let skipped = &words[at..at + length];
            let declared = skipped.windows(3).filter(|window| window[0] == "mod" && window[2] == ";");
            only_tests.extend(declared.map(|window| [module, &window[1..2]].concat()));
            length
        } else if is(0, "mod") && is(2, "{") {
            let length = item(&words[at..]);
            let inner = [module, &words[at + 1..at + 2]].concat();
            imports.extend(parse(&words[at + 3..at + length], &inner).1);
            length
        } else if is(0, "use") || starts_path(0) {
            let begin = at + usize::from(is(0, "use"));
            let mut found = Vec::new();
            let end = tree(words, begin, &Name::new(), &mut found);
            imports.extend(found.into_iter().filter_map(|(alias, path)| Some((alias, from_root(&path, module)?))));
            end - at
        } else {
            1
        };
        at += length;
    }
    (only_tests, imports)
}

/// The length of the item that begins here: up to its semicolon or its closing brace.
fn item(words: &[String]) -> usize {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate() {
        match word.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth < 0 || depth == 0 && (word == ";" || word == "}") {
            return at + usize::from(depth == 0);
        }
    }
    words.len()
}

/// Adds the paths of a `use`, or one path, with the names that they get. Returns where it ends.
fn tree(words: &[String], mut at: usize, prefix: &[String], found: &mut Imports) -> usize {
    let mut path = prefix.to_vec();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|found| found == word);
    loop {
        if is(at, "{") {
            at += 1;
            while at < words.len() && !is(at, "}") {
                at = if is(at, ",") { at + 1 } else { tree(words, at, &path, found) };
            }
            return at + 1;
        }
        match words.get(at) {
            Some(word) if word == "self" && !path.is_empty() => {}
            Some(word) if word != "," && word != "}" => path.push(word.clone()),
            _ => return at,
        }
        at += 1;
        if !is(at, "::") {
            break;
        }
        at += 1;
    }
    let renamed = is(at, "as").then(|| words.get(at + 1)).flatten();
    if let Some(name) = renamed.or(path.last()) {
        found.push((name.clone(), path.clone()));
    }
    at + if renamed.is_some() { 2 } else { 0 }
}

/// The path from the root of the crate; `None` for one of another crate.
fn from_root(path: &[String], module: &[String]) -> Option<Name> {
    let first = path.first()?;
    if first == "crate" {
        return Some(path[1..].to_vec());
    }
    let up = path.iter().take_while(|word| *word == "super").count();
    if up > 0 || first == "self" {
        let base = &module[..module.len().checked_sub(up)?];
        return Some([base, &path[up + usize::from(first == "self")..]].concat());
    }
    // A child module of this one, or another crate.
    Some([module, path].concat())
}

/// Modules of a folder that import each other in a circle, if there are any.
fn circle(folder: &[String], imports: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let mut left = imports.clone();
    // What imports none of those that are left, and what none of them imports, is in no circle.
    loop {
        let imported: BTreeSet<String> = left.values().flatten().cloned().collect();
        let before = left.len();
        left.retain(|module, _| imported.contains(module));
        let there: BTreeSet<String> = left.keys().cloned().collect();
        left.values_mut().for_each(|to| to.retain(|module| there.contains(module)));
        left.retain(|_, to| !to.is_empty());
        if left.len() == before {
            break;
        }
    }
    let name = [&["crate".to_owned()], folder].concat().join("::");
    (!left.is_empty()).then(|| format!("in {name}: {left:?}"))
}
