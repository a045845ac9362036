//! The names of modules in reports: the file name, and more of it where files differ.

use std::path::PathBuf;

use hashbrown::HashMap;

use crate::recording::{Module, ModuleId, ModuleTable};

/// A module of a profile: all files with the same build ID and file name, or with the same path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedModule {
    /// The name in reports, which no other module has: `libc.so.6`, or `/srv/a/server` if there is another `server`.
    pub name: String,
    /// The path of the first of its files.
    pub path: PathBuf,
    /// The build ID in lower-case hexadecimal, if it is known.
    pub build_id: Option<String>,
}

/// The modules of a recording.
pub(super) struct Modules {
    /// For each file of the recording, its row in `rows`.
    of: Vec<usize>,
    pub(super) rows: Vec<NamedModule>,
}

impl Modules {
    pub(super) fn of(files: &ModuleTable) -> Self {
        let mut rows: Vec<NamedModule> = Vec::new();
        let mut known: HashMap<(&str, Identity<'_>), usize> = HashMap::new();
        let mut with_name: HashMap<&str, Vec<usize>> = HashMap::new();
        let of = files.rows().iter().map(|module| {
            *known.entry((module.name(), Identity::of(module))).or_insert_with(|| {
                with_name.entry(module.name()).or_default().push(rows.len());
                let (name, path) = (module.name().to_owned(), module.path.clone());
                rows.push(NamedModule { name, path, build_id: module.build_id.clone() });
                rows.len() - 1
            })
        });
        let of = of.collect();
        for same in with_name.values().filter(|same| same.len() > 1) {
            let mut paths: HashMap<PathBuf, u32> = HashMap::new();
            for row in same {
                let row = &mut rows[*row];
                let number = paths.entry(row.path.clone()).or_default();
                *number += 1;
                let path = row.path.display();
                row.name = match (&row.build_id, *number) {
                    (_, 1) => path.to_string(),
                    (Some(id), _) => format!("{path} (build ID {})", id.get(..8).unwrap_or(id)),
                    (None, number) => format!("{path} ({number})"),
                };
            }
        }
        Self { of, rows }
    }

    /// The name of a file's module.
    pub(super) fn name(&self, id: ModuleId) -> &str {
        &self.rows[self.of[id.index()]].name
    }
}

/// What files of one module have in common.
#[derive(PartialEq, Eq, Hash)]
enum Identity<'a> {
    BuildId(&'a str),
    Path(&'a std::path::Path),
}

impl<'a> Identity<'a> {
    fn of(module: &'a Module) -> Self {
        module.build_id.as_deref().map_or(Self::Path(&module.path), Self::BuildId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[(&str, Option<&str>)]) -> Vec<String> {
        let mut table = ModuleTable::default();
        let ids: Vec<ModuleId> = files
            .iter()
            .map(|(path, build_id)| {
                let build_id = build_id.map(str::to_owned);
                table.push(Module { path: PathBuf::from(path), file: None, build_id })
            })
            .collect();
        let modules = Modules::of(&table);
        ids.into_iter().map(|id| modules.name(id).to_owned()).collect()
    }

    #[test]
    fn a_module_has_its_file_name_unless_another_file_has_it_too() {
        assert_eq!(names(&[("/usr/bin/a", None), ("/usr/bin/b", Some("12"))]), ["a", "b"]);
        assert_eq!(names(&[("/a/server", None), ("/b/server", None)]), ["/a/server", "/b/server"]);
        assert_eq!(names(&[("/a/server", Some("1")), ("/b/server", Some("2"))]), ["/a/server", "/b/server"]);
    }

    #[test]
    fn the_same_build_in_two_containers_is_one_module() {
        assert_eq!(names(&[("/a/server", Some("12")), ("/b/server", Some("12"))]), ["server", "server"]);
        assert_eq!(names(&[("/bin/server", None), ("/bin/server", None)]), ["server", "server"]);
    }

    #[test]
    fn two_builds_at_one_path_differ_in_their_build_id() {
        let files = [("/bin/server", Some("0123456789")), ("/bin/server", Some("abcdef0123")), ("/bin/server", None)];
        assert_eq!(names(&files), ["/bin/server", "/bin/server (build ID abcdef01)", "/bin/server (3)"]);
    }
}
