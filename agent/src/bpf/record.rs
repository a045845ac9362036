//! Records in ring buffers, accessed in place.

use bytemuck::Pod;
use quell_ebpf_common::{Header, Stacks};

use crate::recording::RawStacks;

/// A record: its header, and all its bytes, including the header.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The header, with the thread, the time and the probe.
    pub header: Header,
    bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// Parses a record that begins at an 8-byte boundary; `None` if it is too short for a header.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..size_of::<Header>()).map(bytemuck::pod_read_unaligned)?;
        Some(Self { header, bytes })
    }

    /// The record as a type of its probe; `None` if it is too short.
    #[must_use]
    pub fn plain<T: Pod>(&self) -> Option<&'a T> {
        bytemuck::try_from_bytes(self.bytes.get(..size_of::<T>())?).ok()
    }

    /// The record as a type that is followed by two stacks; `stacks` returns their lengths.
    #[must_use]
    pub fn with_stacks<T: Pod>(&self, stacks: impl Fn(&T) -> Stacks) -> Option<(&'a T, RawStacks<'a>)> {
        let fixed = self.plain::<T>()?;
        let stacks = stacks(fixed);
        let frames: &[u64] = bytemuck::try_cast_slice(self.bytes.get(size_of::<T>()..)?).ok()?;
        // A negative length is an errno: there are no frames.
        let words = |bytes: i32| usize::try_from(bytes).unwrap_or(0) / 8;
        let (kernel, rest) = frames.split_at_checked(words(stacks.kernel))?;
        let user = rest.get(..words(stacks.user))?;
        // Kernel threads have no user stack.
        let lost_user = stacks.user < 0 && stacks.user != -libc::EFAULT;
        Some((fixed, RawStacks { kernel, user, lost_kernel: stacks.kernel < 0, lost_user }))
    }
}

#[cfg(test)]
#[allow(unreachable_pub, reason = "as the programs declare their records")]
mod tests {
    use super::*;

    quell_ebpf_common::abi! {
        /// A record with stacks.
        pub struct Walked {
            /// Its header.
            pub header: Header,
            /// Its stacks.
            pub stacks: Stacks,
        } size 32
    }

    fn words(kernel: i32, user: i32, frames: &[u64]) -> Vec<u64> {
        let walked = Walked {
            header: Header { probe: 1, kind: 2, cpu: 1, time: 2, tid: 3, tgid: 4 },
            stacks: Stacks { kernel, user },
        };
        let mut words: Vec<u64> = bytemuck::pod_collect_to_vec(bytemuck::bytes_of(&walked));
        words.extend_from_slice(frames);
        words
    }

    fn stacks(words: &[u64]) -> Option<RawStacks<'_>> {
        let record = Record::new(bytemuck::cast_slice(words))?;
        record.with_stacks(|walked: &Walked| walked.stacks).map(|(_, stacks)| stacks)
    }

    #[test]
    fn the_user_frames_follow_the_kernel_frames() {
        let words = words(16, 8, &[0xa, 0xb, 0xc]);
        assert_eq!(stacks(&words), Some(RawStacks { kernel: &[0xa, 0xb], user: &[0xc], ..RawStacks::default() }));
    }

    #[test]
    fn an_errno_in_place_of_a_length_is_a_stack_without_frames() {
        let words = words(8, -14, &[0xa]);
        assert_eq!(stacks(&words), Some(RawStacks { kernel: &[0xa], ..RawStacks::default() }));
    }

    #[test]
    fn a_stack_that_could_not_be_walked_is_lost_unless_there_is_none() {
        let lost = |kernel, user| {
            let words = words(kernel, user, &[]);
            let stacks = stacks(&words).expect("a record");
            [stacks.lost_kernel, stacks.lost_user]
        };
        assert_eq!([lost(-14, 0), lost(0, -12), lost(0, -14)], [[true, false], [false, true], [false, false]]);
    }

    #[test]
    fn a_record_that_is_too_short_is_none() {
        assert_eq!(stacks(&words(800, 8, &[0xa])), None);
        assert!(Record::new(&[0; 8]).is_none());
        assert!(Record::new(&[0; 24]).is_some_and(|record| record.plain::<Walked>().is_none()));
    }
}
