//! Texts and call stacks of a trace, each of which is written once, with the first packet that refers to it.

use hashbrown::HashMap;

use super::proto;
use crate::profile::{FrameKind, Profile};
use crate::recording::{FrameId, MetricId, StackId};
use crate::text;

/// What was interned so far, and what the next packet must contain.
pub(super) struct Interned<'a> {
    profile: &'a Profile,
    names: Texts,
    categories: Texts,
    annotations: Texts,
    values: Texts,
    /// The ID of the label of each metric that was written.
    metric_labels: HashMap<MetricId, u64>,
    modules: HashMap<&'a str, u64>,
    /// Whether each frame, and each stack, was written. The ID of one is its row + 1.
    frames: Vec<bool>,
    call_stacks: Vec<bool>,
    pending: proto::InternedData,
}

impl<'a> Interned<'a> {
    pub(super) fn new(profile: &'a Profile) -> Self {
        Self {
            profile,
            names: Texts::default(),
            categories: Texts::default(),
            annotations: Texts::default(),
            values: Texts::default(),
            metric_labels: HashMap::new(),
            modules: HashMap::new(),
            frames: vec![false; profile.frames.len()],
            call_stacks: vec![false; profile.stacks.rows().len()],
            pending: proto::InternedData::default(),
        }
    }

    /// What the next packet must contain.
    pub(super) fn take(&mut self) -> Option<proto::InternedData> {
        let pending = std::mem::take(&mut self.pending);
        (pending != proto::InternedData::default()).then_some(pending)
    }

    /// The ID of the name of an event.
    pub(super) fn name(&mut self, name: &str) -> u64 {
        self.names.id(name, &mut self.pending.event_names)
    }

    /// The ID of the label of a metric, as the name of an event.
    pub(super) fn metric_label(&mut self, metric: MetricId) -> u64 {
        let label = || self.names.id(&self.profile.meta.full_label(metric), &mut self.pending.event_names);
        *self.metric_labels.entry(metric).or_insert_with(label)
    }

    /// The ID of the name of a metric, as a category.
    pub(super) fn metric_name(&mut self, metric: MetricId) -> u64 {
        self.categories.id(&self.profile.metric(metric).name, &mut self.pending.event_categories)
    }

    /// The ID of the name of an annotation.
    pub(super) fn annotation(&mut self, name: &str) -> u64 {
        self.annotations.id(name, &mut self.pending.debug_annotation_names)
    }

    /// The ID of the text of an annotation.
    pub(super) fn value(&mut self, value: &str) -> u64 {
        self.values.id(value, &mut self.pending.debug_annotation_string_values)
    }

    /// The ID of a call stack.
    pub(super) fn call_stack(&mut self, stack: StackId) -> u64 {
        let iid = u64::from(stack.row()) + 1;
        if !std::mem::replace(&mut self.call_stacks[stack.index()], true) {
            let mut frame_ids: Vec<u64> = Vec::new();
            for frame in self.profile.stacks.frames(stack) {
                frame_ids.push(self.frame(frame));
            }
            // The outermost frame first.
            frame_ids.reverse();
            self.pending.callstacks.push(proto::Callstack { iid: Some(iid), frame_ids });
        }
        iid
    }

    /// The ID of a frame, which is also that of its name.
    fn frame(&mut self, frame: FrameId) -> u64 {
        let iid = u64::from(frame.row()) + 1;
        if !std::mem::replace(&mut self.frames[frame.index()], true) {
            let named = self.profile.frame(frame);
            let mapping_id = (!named.module.is_empty()).then(|| self.module(&named.module));
            let name = Some(text::shown(&named.name).into_owned());
            self.pending.function_names.push(proto::InternedName { iid: Some(iid), name });
            self.pending.frames.push(proto::Frame {
                iid: Some(iid),
                function_name_id: Some(iid),
                mapping_id,
                // A frame is a function, with all its addresses.
                rel_pc: mapping_id.map(|_| 0),
                kind: match named.kind {
                    FrameKind::Kernel => Some(proto::KIND_KERNEL),
                    FrameKind::User => Some(proto::KIND_NATIVE),
                    FrameKind::Label => None,
                },
            });
        }
        iid
    }

    /// The ID of a module, which is also that of its path.
    fn module(&mut self, module: &'a str) -> u64 {
        let next = self.modules.len() as u64 + 1;
        let iid = *self.modules.entry(module).or_insert(next);
        if iid == next {
            let name = Some(text::shown(module).into_owned());
            self.pending.mapping_paths.push(proto::InternedName { iid: Some(iid), name });
            self.pending.mappings.push(proto::Mapping { iid: Some(iid), path_string_ids: vec![iid] });
        }
        iid
    }
}

/// Distinct texts, numbered from 1.
#[derive(Default)]
struct Texts {
    ids: HashMap<String, u64>,
}

impl Texts {
    /// The ID of a text, which is escaped and added to `pending` if it is new.
    fn id(&mut self, text: &str, pending: &mut Vec<proto::InternedName>) -> u64 {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = self.ids.len() as u64 + 1;
        pending.push(proto::InternedName { iid: Some(id), name: Some(text::shown(text).into_owned()) });
        self.ids.insert(text.to_owned(), id);
        id
    }
}
