//! Call stacks as a prefix tree: the frame of a node was called by the frame of its parent.

use hashbrown::HashMap;

use super::FrameId;
use super::row::row_number;

row_number! {
    /// A node of a [`StackTable`]: the stack from the outermost frame to this one.
    StackId
}

/// A frame and its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StackNode {
    /// The node of the caller, which is always an earlier row; `None` for an outermost frame.
    pub parent: Option<StackId>,
    /// The frame of the node.
    pub frame: FrameId,
}

/// Interned stacks. The row of a parent precedes the rows of its children.
#[derive(Clone, Debug, Default)]
pub struct StackTable {
    rows: Vec<StackNode>,
    index: HashMap<StackNode, StackId>,
}

impl StackTable {
    /// The stack of `parent` with `frame` added, which is added to the table if it is new.
    pub fn intern(&mut self, parent: Option<StackId>, frame: FrameId) -> StackId {
        let node = StackNode { parent, frame };
        let next = StackId::from_index(self.rows.len());
        let id = *self.index.entry(node).or_insert(next);
        if id == next {
            self.rows.push(node);
        }
        id
    }

    /// The stack of `frames`, outermost first; `None` for no frames.
    pub fn intern_all(&mut self, frames: impl IntoIterator<Item = FrameId>) -> Option<StackId> {
        let mut stack = None;
        for frame in frames {
            stack = Some(self.intern(stack, frame));
        }
        stack
    }

    /// The node in row `id`.
    #[must_use]
    pub fn get(&self, id: StackId) -> StackNode {
        self.rows[id.index()]
    }

    /// The frames of a stack, innermost first.
    pub fn frames(&self, id: StackId) -> impl Iterator<Item = FrameId> + '_ {
        let mut next = Some(id);
        std::iter::from_fn(move || {
            let node = self.get(next?);
            next = node.parent;
            Some(node.frame)
        })
    }

    /// All rows in order.
    #[must_use]
    pub fn rows(&self) -> &[StackNode] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_share_their_common_callers() {
        let mut stacks = StackTable::default();
        let [main, a, b] = [0, 1, 2].map(FrameId::new);
        let first = stacks.intern_all([main, a, b]).expect("three frames");
        let second = stacks.intern_all([main, a]).expect("two frames");
        assert_eq!(stacks.intern_all([main, a, b]), Some(first));
        assert_eq!(stacks.get(first).parent, Some(second));
        assert_eq!(stacks.rows().len(), 3);
        assert_eq!(stacks.frames(first).collect::<Vec<_>>(), [b, a, main]);
    }
}
