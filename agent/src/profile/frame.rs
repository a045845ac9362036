//! Code locations, interned: one [`Frame`] for each place that code ran.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::units::{Addr, Pid};

/// A row of a [`FrameTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub u32);

/// A row of a [`ModuleTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(pub u32);

/// Where code is. The same place in a shared library is the same location in every process that maps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// A kernel address.
    Kernel(Addr),
    /// An offset in a mapped file.
    Module {
        /// The file.
        module: ModuleId,
        /// Offset from the file's beginning, in bytes.
        offset: u64,
    },
    /// A user address in no known file: code made at run time, or a mapping that was gone too soon.
    Unmapped {
        /// The process.
        pid: Pid,
        /// The address in it.
        addr: Addr,
    },
    /// No code, but a place in the picture: `[not sampled]`, `[stack not walked]`.
    Label(&'static str),
    /// A label that was read from a file.
    NamedLabel(String),
}

/// A function's name, and where in it a location is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Symbol {
    /// Demangled.
    pub name: String,
    /// Bytes from the function's beginning.
    pub offset: u64,
}

/// A location with its name, once there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where.
    pub location: Location,
    /// Its function; `None` before symbolizing and where none was found.
    pub symbol: Option<Symbol>,
}

/// Interned frames. A row never changes its location; symbolizing fills in the names.
#[derive(Clone, Debug, Default)]
pub struct FrameTable {
    rows: Vec<Frame>,
    index: HashMap<Location, FrameId>,
}

impl FrameTable {
    /// The frame of `location`, new if need be.
    pub fn intern(&mut self, location: Location) -> FrameId {
        if let Some(&id) = self.index.get(&location) {
            return id;
        }
        let id = FrameId(u32::try_from(self.rows.len()).expect("fewer than 2^32 frames"));
        self.rows.push(Frame { location: location.clone(), symbol: None });
        self.index.insert(location, id);
        id
    }

    /// Appends a frame as it is: for readers of recordings, whose rows are distinct already.
    pub fn push(&mut self, frame: Frame) -> FrameId {
        let id = self.intern(frame.location);
        self.rows[id.0 as usize].symbol = frame.symbol;
        id
    }

    /// The frame in row `id`.
    #[must_use]
    pub fn get(&self, id: FrameId) -> &Frame {
        &self.rows[id.0 as usize]
    }

    /// All rows in order.
    #[must_use]
    pub fn rows(&self) -> &[Frame] {
        &self.rows
    }

    /// Names the frame in row `id`.
    pub fn set_symbol(&mut self, id: FrameId, symbol: Symbol) {
        self.rows[id.0 as usize].symbol = Some(symbol);
    }
}

/// A file that code was mapped from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Module {
    /// Its path, as the process that mapped it sees it; `[vdso]` for the kernel's.
    pub path: PathBuf,
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
        ModuleId(u32::try_from(self.0.len() - 1).expect("fewer than 2^32 modules"))
    }

    /// The file in row `id`.
    #[must_use]
    pub fn get(&self, id: ModuleId) -> &Module {
        &self.0[id.0 as usize]
    }

    /// The file in row `id`, to fill in what was learned later.
    pub fn get_mut(&mut self, id: ModuleId) -> &mut Module {
        &mut self.0[id.0 as usize]
    }

    /// All rows in order.
    #[must_use]
    pub fn rows(&self) -> &[Module] {
        &self.0
    }
}
