//! The estimates of functions, with what their errors depend on.

use hashbrown::HashMap;

use crate::profile::{Estimate, FrameKind, Profile, Weighted};
use crate::recording::{FrameId, StackId};

/// The maximum number of functions: each has a bit of a mask.
const MOST: usize = u128::BITS as usize;

/// What a function has.
#[derive(Clone, Default)]
pub(super) struct FunctionEstimate {
    /// In the function itself.
    pub(super) own: Estimate,
    /// In the function and its callees; recursion counts once. For a label, `own`.
    pub(super) total: Estimate,
}

/// The estimate of each of these functions, at most 128. The time is linear in the number of nodes, and in that of samples and the
/// functions in their stacks.
pub(super) fn estimates<'a>(
    profile: &Profile,
    samples: impl Iterator<Item = &'a Weighted>,
    functions: &[FrameId],
) -> Vec<FunctionEstimate> {
    debug_assert!(functions.len() <= MOST);
    let rows: HashMap<FrameId, usize> = functions.iter().copied().take(MOST).zip(0..).collect();
    let on_stack = functions_on_stacks(profile, &rows);
    let mut estimates = vec![FunctionEstimate::default(); functions.len()];
    for (stack, sample) in samples.filter_map(|sample| Some((sample.stack?, sample))) {
        if let Some(row) = rows.get(&profile.stacks.get(stack).frame) {
            estimates[*row].own.add(sample);
        }
        let mut left = on_stack[stack.index()];
        while left != 0 {
            estimates[left.trailing_zeros() as usize].total.add(sample);
            left &= left - 1;
        }
    }
    for (function, estimate) in functions.iter().zip(&mut estimates) {
        if profile.frame(*function).kind == FrameKind::Label {
            estimate.total = estimate.own.clone();
        }
    }
    estimates
}

/// For each stack, the functions that it has: a bit for the row of each.
fn functions_on_stacks(profile: &Profile, rows: &HashMap<FrameId, usize>) -> Vec<u128> {
    let mut masks: Vec<u128> = Vec::with_capacity(profile.stacks.rows().len());
    for node in profile.stacks.rows() {
        let callers = node.parent.map_or(0, |parent: StackId| masks[parent.index()]);
        masks.push(callers | rows.get(&node.frame).map_or(0, |row| 1 << row));
    }
    masks
}
