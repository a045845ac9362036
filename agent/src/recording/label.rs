//! Labels of samples: keys and values that describe what a thread worked on, such as a request or a pod.

use hashbrown::HashMap;

use super::row::row_number;

row_number! {
    /// A set of a [`LabelTable`].
    LabelSetId
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// The key. A set has each key once.
    pub key: String,
    /// The value.
    pub value: String,
}

/// Interned sets of labels. No probe of this version writes any.
#[derive(Clone, Debug, Default)]
pub struct LabelTable {
    rows: Vec<Vec<Label>>,
    index: HashMap<Vec<Label>, LabelSetId>,
}

impl LabelTable {
    /// The set of these labels, which is added if it is new; `None` for no labels. Of several labels with one key, the first is used.
    pub fn intern(&mut self, mut labels: Vec<Label>) -> Option<LabelSetId> {
        labels.sort_by(|a, b| a.key.cmp(&b.key));
        labels.dedup_by(|later, kept| later.key == kept.key);
        if labels.is_empty() {
            return None;
        }
        if let Some(known) = self.index.get(&labels) {
            return Some(*known);
        }
        let id = LabelSetId::from_index(self.rows.len());
        self.rows.push(labels.clone());
        self.index.insert(labels, id);
        Some(id)
    }

    /// The labels of a set, by key.
    #[must_use]
    pub fn get(&self, id: LabelSetId) -> &[Label] {
        &self.rows[id.index()]
    }

    /// All sets in order.
    #[must_use]
    pub fn rows(&self) -> &[Vec<Label>] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(key: &str, value: &str) -> Label {
        Label { key: key.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn the_same_labels_in_another_order_are_the_same_set() {
        let mut labels = LabelTable::default();
        let (pod, zone) = (label("pod", "web-1"), label("zone", "a"));
        let one = labels.intern(vec![zone.clone(), pod.clone()]);
        assert_eq!(labels.intern(vec![pod.clone(), zone.clone(), label("pod", "another")]), one);
        assert_ne!(labels.intern(vec![pod.clone()]), one);
        assert_eq!(labels.intern(Vec::new()), None);
        assert_eq!(labels.get(one.expect("a set")), [pod, zone]);
    }
}
