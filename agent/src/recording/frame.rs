//! Interned code locations: one [`Frame`] for each.

use hashbrown::HashMap;

use super::ModuleId;
use super::row::row_number;
use crate::units::{Addr, Pid};

row_number! {
    /// A row of a [`FrameTable`].
    FrameId
}

/// A code location. A location in a shared library is the same in every process that maps the library.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// A kernel address.
    Kernel(Addr),
    /// An offset in a mapped file.
    Module {
        /// The mapped file.
        module: ModuleId,
        /// The offset from the start of the file, in bytes.
        offset: u64,
    },
    /// A user address in no known file: JIT-compiled code, or a mapping that was removed early.
    Unmapped {
        /// The PID of the process.
        pid: Pid,
        /// The address in the process.
        addr: Addr,
    },
    /// Not code, but a label in reports, such as `[no stack]`.
    Label(&'static str),
    /// A label that was read from a file.
    NamedLabel(String),
}

/// The name of a function, and the offset of a location in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Symbol {
    /// The demangled name of the function.
    pub name: String,
    /// The offset from the start of the function, in bytes.
    pub offset: u64,
}

/// A line of source code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceLine {
    /// The path of the source file, from the debug information.
    pub file: Option<String>,
    /// The line number, starting at 1.
    pub line: Option<u32>,
}

/// A function that the compiler inlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlinedFunction {
    /// The demangled name of the function.
    pub name: String,
    /// The source line of the location, or of the call of the next inner function that was inlined into it.
    pub source: SourceLine,
}

/// Debug information of a location. This version of quell does not read it from files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameSource {
    /// The source line of the location in the function of the frame, or of the call of the outermost inlined function.
    pub source: SourceLine,
    /// The functions that were inlined at the location, innermost first.
    pub inlined: Vec<InlinedFunction>,
}

/// A location, with its name after symbolization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The location.
    pub location: Location,
    /// The function; `None` before symbolization and if it was not found.
    pub symbol: Option<Symbol>,
    /// The debug information, if it is known. It is boxed, because few frames have it.
    pub source: Option<Box<FrameSource>>,
}

impl Frame {
    /// A frame without a name.
    #[must_use]
    pub fn new(location: Location) -> Self {
        Self { location, symbol: None, source: None }
    }

    /// The functions that were inlined at the location, innermost first.
    #[must_use]
    pub fn inlined(&self) -> &[InlinedFunction] {
        self.source.as_ref().map_or(&[], |source| &source.inlined)
    }
}

/// Interned frames. The location of a row never changes; symbolization adds names.
#[derive(Clone, Debug, Default)]
pub struct FrameTable {
    rows: Vec<Frame>,
    index: HashMap<Location, FrameId>,
}

impl FrameTable {
    /// The frame of `location`, which is added if it is new.
    pub fn intern(&mut self, location: Location) -> FrameId {
        if let Some(&id) = self.index.get(&location) {
            return id;
        }
        let id = FrameId::from_index(self.rows.len());
        self.rows.push(Frame::new(location.clone()));
        self.index.insert(location, id);
        id
    }

    /// Appends a frame without interning it: for readers of recordings, whose rows are distinct.
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

    /// Sets the name of the frame in row `id`.
    pub fn set_symbol(&mut self, id: FrameId, symbol: Symbol) {
        self.rows[id.index()].symbol = Some(symbol);
    }

    /// Adds a function that was inlined at the frame in row `id`, outside of those that were added before.
    pub fn add_inlined(&mut self, id: FrameId, function: InlinedFunction) {
        self.rows[id.index()].source.get_or_insert_default().inlined.push(function);
    }
}
