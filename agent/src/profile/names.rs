//! Merges frames by name.

use hashbrown::HashMap;

use super::modules::Modules;
use super::view::{FrameKind, NamedFrame};
use crate::recording::{Frame, FrameId, Location, Recording};

/// The functions of a profile, and the function of each frame of a recording.
pub(super) struct Names<'a> {
    recording: &'a Recording,
    pub(super) modules: Modules,
    /// The functions. A [`FrameId`] of a profile is a row of this.
    pub(super) rows: Vec<NamedFrame>,
    index: HashMap<NamedFrame, FrameId>,
    of: Vec<Option<FrameId>>,
    /// The functions that were inlined at each frame, outermost first, for frames with such functions.
    inlined: HashMap<FrameId, Vec<FrameId>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(recording: &'a Recording) -> Self {
        Self {
            recording,
            modules: Modules::of(&recording.modules),
            rows: Vec::new(),
            index: HashMap::new(),
            of: vec![None; recording.frames.rows().len()],
            inlined: HashMap::new(),
        }
    }

    /// A frame for a label.
    pub(super) fn label(&mut self, text: &str) -> FrameId {
        self.intern(NamedFrame {
            name: text.to_owned(),
            module: String::new(),
            kind: FrameKind::Label,
            has_symbol: true,
        })
    }

    /// The function of a frame. [`Self::inlined`] returns the functions that were inlined into it.
    pub(super) fn of(&mut self, id: FrameId) -> FrameId {
        if let Some(known) = self.of[id.index()] {
            return known;
        }
        let frame @ Frame { location, symbol, .. } = self.recording.frames.get(id);
        let (module, kind) = match location {
            Location::Kernel(_) => ("[kernel]".to_owned(), FrameKind::Kernel),
            Location::Module { module, .. } => (self.modules.name(*module).to_owned(), FrameKind::User),
            Location::Unmapped { .. } => ("[unknown]".to_owned(), FrameKind::User),
            Location::Label(_) | Location::NamedLabel(_) => (String::new(), FrameKind::Label),
        };
        let name = match (symbol, location) {
            (_, Location::Label(label)) => (*label).to_owned(),
            (_, Location::NamedLabel(label)) => label.clone(),
            (Some(symbol), _) => symbol.name.clone(),
            (None, Location::Unmapped { .. }) => "[unknown]".to_owned(),
            // One function for each module: there may be thousands of addresses.
            (None, _) => format!("[unknown in {}]", module.trim_matches(['[', ']'])),
        };
        let has_symbol = symbol.is_some() || kind == FrameKind::Label;
        let named = self.intern(NamedFrame { name, module: module.clone(), kind, has_symbol });
        self.of[id.index()] = Some(named);
        if !frame.inlined().is_empty() {
            let outermost_first = frame.inlined().iter().rev();
            let functions = outermost_first
                .map(|function| (function.name.clone(), module.clone()))
                .map(|(name, module)| NamedFrame { name, module, kind, has_symbol: true })
                .map(|function| self.intern(function))
                .collect();
            self.inlined.insert(id, functions);
        }
        named
    }

    /// The functions that were inlined at a frame, outermost first. Call [`Self::of`] for the frame before.
    pub(super) fn inlined(&self, id: FrameId) -> &[FrameId] {
        self.inlined.get(&id).map_or(&[], Vec::as_slice)
    }

    fn intern(&mut self, frame: NamedFrame) -> FrameId {
        if let Some(id) = self.index.get(&frame) {
            return *id;
        }
        let id = FrameId::from_index(self.rows.len());
        self.rows.push(frame.clone());
        self.index.insert(frame, id);
        id
    }
}
