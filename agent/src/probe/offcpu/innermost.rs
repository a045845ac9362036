//! The innermost kernel frames of a sleeping thread that another thread walks: the kernel leaves out the functions of the
//! scheduler's section (`__sched`), such as `do_nanosleep` and `mutex_lock`.
//!
//! The words at the end of the stack that look like return addresses are known, each with the function that the call before it
//! calls. A word may be left from an earlier call, so each frame must be inside the function that its caller calls: starting at
//! the innermost frame of the kernel's walk, inwards.

use super::abi::Call;

/// The maximum length of a function, in bytes. `__schedule` takes 4 KiB.
const LONGEST: u64 = 8 << 10;

/// The maximum length of the scheduler's section, in bytes: it takes 35 KiB. Its functions jump to one another.
const SECTION: u64 = 64 << 10;

/// The frames inside `outer`, the innermost first; none if `outer` is not among the calls. `calls` are the return addresses on the
/// stack, the innermost first.
pub(super) fn frames(calls: &[Call], outer: u64) -> Vec<u64> {
    let Some(mut at) = calls.iter().position(|call| call.address == outer) else { return Vec::new() };
    let ends = ends(calls);
    let mut frames = Vec::new();
    while let Some(inner) = called(calls, at, &ends).or_else(|| jumped_to(calls, at, &ends)) {
        frames.insert(0, calls[inner].address);
        at = inner;
    }
    frames
}

/// For each call, whether frames lead from it to the innermost one.
fn ends(calls: &[Call]) -> Vec<bool> {
    let mut ends = Vec::with_capacity(calls.len());
    for at in 0..calls.len() {
        ends.push(at == 0 || called(calls, at, &ends).is_some());
    }
    ends
}

/// The frame that `calls[at]` calls: the next one that leads to the innermost one, of those in the function that is called. What an
/// indirect call calls is not known.
fn called(calls: &[Call], at: usize, ends: &[bool]) -> Option<usize> {
    let target = calls[at].target;
    let is_called = |inner: usize| target == 0 || contains(calls, target, calls[inner].address);
    (0..at).rev().find(|inner| ends[*inner] && is_called(*inner))
}

/// The frame of the function that what `calls[at]` calls jumps to at its end, as `schedule_timeout_idle` does: the next one of the
/// section that leads to the innermost one.
fn jumped_to(calls: &[Call], at: usize, ends: &[bool]) -> Option<usize> {
    let target = calls[at].target;
    (0..at).rev().find(|inner| ends[*inner] && calls[*inner].address.abs_diff(target) <= SECTION)
}

/// Whether the function at `start` contains an address. Where it ends is not known, but that it ends where another begins.
fn contains(calls: &[Call], start: u64, address: u64) -> bool {
    start < address
        && address - start <= LONGEST
        && !calls.iter().any(|call| call.target > start && call.target < address)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Functions are 0x100 long here.
    fn calls(pairs: &[(u64, u64)]) -> Vec<Call> {
        pairs.iter().map(|(address, target)| Call { address: *address, target: *target }).collect()
    }

    #[test]
    fn frames_are_followed_from_the_kernel_s_innermost_one_to_the_switch() {
        // 0x110 in `__schedule` calls the switch, 0x220 in `schedule`, 0x330 in `do_nanosleep`, 0x990 in what calls it.
        let stack = calls(&[(0x110, 0x10), (0x220, 0x100), (0x330, 0x200), (0x990, 0x300), (0xaa0, 0x900)]);
        assert_eq!(frames(&stack, 0x990), [0x110, 0x220, 0x330]);
        assert!(frames(&stack, 0xbb0).is_empty());
    }

    #[test]
    fn what_an_earlier_call_left_on_the_stack_is_no_frame() {
        // 0x440 and 0x150 are in no function that is called there; 0x240 is, but further in than the frame.
        let stack =
            calls(&[(0x110, 0x10), (0x240, 0x500), (0x220, 0x100), (0x440, 0x600), (0x330, 0x200), (0x990, 0x300)]);
        assert_eq!(frames(&stack, 0x990), [0x110, 0x220, 0x330]);
    }

    #[test]
    fn an_indirect_call_is_followed_only_where_the_rest_leads_to_the_switch() {
        let stack = calls(&[(0x110, 0x10), (0x220, 0x100), (0x440, 0x600), (0x330, 0), (0x990, 0x300)]);
        assert_eq!(frames(&stack, 0x990), [0x110, 0x220, 0x330]);
        let nowhere = calls(&[(0x110, 0x10), (0x220, 0x70000), (0x330, 0), (0x990, 0x300)]);
        assert_eq!(frames(&nowhere, 0x990), [0x110, 0x330], "the switch itself follows any call");
    }

    #[test]
    fn a_function_that_jumps_to_another_at_its_end_has_no_frame() {
        // 0x990 calls 0x700, which jumps to 0x300.
        let stack = calls(&[(0x110, 0x10), (0x220, 0x100), (0x440, 0x600), (0x330, 0x200), (0x990, 0x700)]);
        assert_eq!(frames(&stack, 0x990), [0x110, 0x220, 0x330]);
        let far = calls(&[(0x110, 0x10), (0x220, 0x100), (0x330, 0x200), (0x90990, 0x90700)]);
        assert!(frames(&far, 0x90990).is_empty());
    }

    #[test]
    fn a_stack_that_says_nothing_sensible_gives_no_frames() {
        let same = calls(&[(0x990, 0x900); 24]);
        assert!(frames(&same, 0x990).is_empty());
        let wild = calls(&[(u64::MAX, u64::MAX), (1, u64::MAX - 1), (2, 0), (3, 1 << 40)]);
        assert_eq!(frames(&wild, 2), [u64::MAX, 1]);
        assert!(frames(&wild, 3).is_empty());
    }
}
