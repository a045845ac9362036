//! Files that code was mapped from.

use std::path::PathBuf;

use super::row::row_number;

row_number! {
    /// A row of a [`ModuleTable`].
    ModuleId
}

/// Which file of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileNumbers {
    /// The major number of its device, as the kernel lists it in `/proc/PID/maps`.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
    /// Its inode.
    pub inode: u64,
}

/// A file that code was mapped from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Module {
    /// Its path, as the process that mapped it sees it; `[vdso]` for the kernel's.
    pub path: PathBuf,
    /// Which file it was; `None` for what is no file, such as `[vdso]`. Files of one path may differ by it: other containers have
    /// other files at the same path.
    pub file: Option<FileNumbers>,
    /// Its build ID in lower-case hexadecimal, where it has one and it was read.
    pub build_id: Option<String>,
}

impl Module {
    /// The file's name without its folders.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or("[unnamed]")
    }
}

/// The files that code was mapped from. Two files with the same path are two rows.
#[derive(Clone, Debug, Default)]
pub struct ModuleTable(Vec<Module>);

impl ModuleTable {
    /// Appends a file.
    pub fn push(&mut self, module: Module) -> ModuleId {
        self.0.push(module);
        ModuleId::from_index(self.0.len() - 1)
    }

    /// The file in row `id`.
    #[must_use]
    pub fn get(&self, id: ModuleId) -> &Module {
        &self.0[id.index()]
    }

    /// The file in row `id`, to fill in what was learned later.
    pub fn get_mut(&mut self, id: ModuleId) -> &mut Module {
        &mut self.0[id.index()]
    }

    /// All rows in order.
    #[must_use]
    pub fn rows(&self) -> &[Module] {
        &self.0
    }
}
