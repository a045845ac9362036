//! Files from which code was mapped.

use std::path::PathBuf;

use super::row::row_number;

row_number! {
    /// A row of a [`ModuleTable`].
    ModuleId
}

/// The identity of a file on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileNumbers {
    /// The major number of its device, as the kernel lists it in `/proc/PID/maps`.
    pub major: u32,
    /// The minor number of its device.
    pub minor: u32,
    /// The number of its inode.
    pub inode: u64,
}

/// A file from which code was mapped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Module {
    /// The path, as the process that mapped it sees it; `[vdso]` for the vDSO.
    pub path: PathBuf,
    /// The device and inode; `None` if it is not a file, such as `[vdso]`. Containers may have different files at the same path.
    pub file: Option<FileNumbers>,
    /// The build ID in lower-case hexadecimal, if the file has one and it was read.
    pub build_id: Option<String>,
}

impl Module {
    /// The file name without directories.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or("[unnamed]")
    }
}

/// The files from which code was mapped. Two files with the same path have two rows.
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

    /// The file in row `id`, to add data.
    pub fn get_mut(&mut self, id: ModuleId) -> &mut Module {
        &mut self.0[id.index()]
    }

    /// All rows in order.
    #[must_use]
    pub fn rows(&self) -> &[Module] {
        &self.0
    }
}
