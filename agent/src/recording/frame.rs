//! Code locations, interned: one [`Frame`] for each place that code ran.

use hashbrown::HashMap;

use super::ModuleId;
use super::row::row_number;
use crate::units::{Addr, Pid};

row_number! {
    /// A row of a [`FrameTable`].
    FrameId
}

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
    /// No code, but a place in the picture: `[no stack: counted only]`, `[no stack]`.
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

/// A line of source code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceLine {
    /// The file, as the compiler named it.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
}

/// A function that the compiler inlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlinedFunction {
    /// Demangled.
    pub name: String,
    /// Where in it the location is; where it calls the next inner function, if that was inlined into it.
    pub source: SourceLine,
}

/// What debug information says of a location. This version of quell does not look it up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameSource {
    /// Where in the frame's function the location is; where it calls the outermost inlined function, if there is one.
    pub source: SourceLine,
    /// The functions that were inlined into the frame's function here, the innermost first.
    pub inlined: Vec<InlinedFunction>,
}

/// A location with its name, once there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where the code is.
    pub location: Location,
    /// Its function; `None` before symbolizing and if none was found.
    pub symbol: Option<Symbol>,
    /// Its place in the source code, if that is known. Few frames have one, and it takes room.
    pub source: Option<Box<FrameSource>>,
}

impl Frame {
    /// A location without a name.
    #[must_use]
    pub fn new(location: Location) -> Self {
        Self { location, symbol: None, source: None }
    }

    /// The functions that were inlined here, the innermost first.
    #[must_use]
    pub fn inlined(&self) -> &[InlinedFunction] {
        self.source.as_ref().map_or(&[], |source| &source.inlined)
    }
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
        let id = FrameId::from_index(self.rows.len());
        self.rows.push(Frame::new(location.clone()));
        self.index.insert(location, id);
        id
    }

    /// Appends a frame as it is: for readers of recordings, whose rows are distinct already.
    pub fn push(&mut self, frame: Frame) -> FrameId {
        let id = self.intern(frame.location);
        let row = &mut self.rows[id.index()];
        (row.symbol, row.source) = (frame.symbol, frame.source);
        id
    }

    /// The frame in row `id`.
    #[must_use]
    pub fn get(&self, id: FrameId) -> &Frame {
        &self.rows[id.index()]
    }

    /// All rows in order.
    #[must_use]
    pub fn rows(&self) -> &[Frame] {
        &self.rows
    }

    /// Names the frame in row `id`.
    pub fn set_symbol(&mut self, id: FrameId, symbol: Symbol) {
        self.rows[id.index()].symbol = Some(symbol);
    }

    /// Adds a function that was inlined at the frame in row `id`: outside of those that were added before.
    pub fn add_inlined(&mut self, id: FrameId, function: InlinedFunction) {
        self.rows[id.index()].source.get_or_insert_default().inlined.push(function);
    }
}
