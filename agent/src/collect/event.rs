//! Ring records as the programs wrote them, seen in place.

use bytemuck::Pod;
use quell_ebpf_common::{CpuSample, Header, SleepEnd, SleepStart, Stacks, ThreadExit, Wake, kind};

/// The raw frames of one record, innermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawStacks<'a> {
    /// Kernel addresses.
    pub kernel: &'a [u64],
    /// User addresses.
    pub user: &'a [u64],
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// See [`CpuSample`].
    CpuSample(&'a CpuSample, RawStacks<'a>),
    /// See [`SleepStart`].
    SleepStart(&'a SleepStart, RawStacks<'a>),
    /// See [`Wake`].
    Wake(&'a Wake, RawStacks<'a>),
    /// See [`SleepEnd`].
    SleepEnd(&'a SleepEnd),
    /// See [`ThreadExit`].
    ThreadExit(&'a ThreadExit),
}

/// The header of a record; `None` for one that is too short.
#[must_use]
pub fn header(record: &[u8]) -> Option<Header> {
    record.get(..size_of::<Header>()).map(bytemuck::pod_read_unaligned)
}

/// Reads a record that begins at an 8-byte boundary; `None` for one that this version does not know.
#[must_use]
pub fn parse(record: &[u8]) -> Option<Event<'_>> {
    match header(record)?.kind {
        kind::CPU_SAMPLE => {
            with_stacks(record, |sample: &CpuSample| sample.stacks).map(|(s, f)| Event::CpuSample(s, f))
        }
        kind::SLEEP_START => {
            with_stacks(record, |start: &SleepStart| start.stacks).map(|(s, f)| Event::SleepStart(s, f))
        }
        kind::WAKE => with_stacks(record, |wake: &Wake| wake.stacks).map(|(s, f)| Event::Wake(s, f)),
        kind::SLEEP_END => plain(record).map(Event::SleepEnd),
        kind::THREAD_EXIT => plain(record).map(Event::ThreadExit),
        _ => None,
    }
}

fn plain<T: Pod>(record: &[u8]) -> Option<&T> {
    bytemuck::try_from_bytes(record.get(..size_of::<T>())?).ok()
}

fn with_stacks<T: Pod>(record: &[u8], stacks: impl Fn(&T) -> Stacks) -> Option<(&T, RawStacks<'_>)> {
    let fixed = plain::<T>(record)?;
    let stacks = stacks(fixed);
    let frames: &[u64] = bytemuck::try_cast_slice(record.get(size_of::<T>()..)?).ok()?;
    // A negative length is an errno: no frames.
    let words = |bytes: i32| usize::try_from(bytes).unwrap_or(0) / 8;
    let (kernel, rest) = frames.split_at_checked(words(stacks.kernel))?;
    let user = rest.get(..words(stacks.user))?;
    Some((fixed, RawStacks { kernel, user }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(kernel: i32, user: i32) -> CpuSample {
        CpuSample {
            header: Header { kind: kind::CPU_SAMPLE, cpu: 1, time: 2, tid: 3, tgid: 4 },
            comm: *b"name\0\0\0\0\0\0\0\0\0\0\0\0",
            interval: 10,
            stacks: Stacks { kernel, user },
        }
    }

    fn words(sample: &CpuSample, frames: &[u64]) -> Vec<u64> {
        let mut words: Vec<u64> = bytemuck::pod_collect_to_vec(bytemuck::bytes_of(sample));
        words.extend_from_slice(frames);
        words
    }

    #[test]
    fn the_user_frames_follow_the_kernel_frames() {
        let words = words(&sample(16, 8), &[0xa, 0xb, 0xc]);
        let Some(Event::CpuSample(_, stacks)) = parse(bytemuck::cast_slice(&words)) else { panic!("a CPU sample") };
        assert_eq!(stacks, RawStacks { kernel: &[0xa, 0xb], user: &[0xc] });
    }

    #[test]
    fn an_errno_in_place_of_a_length_is_a_stack_without_frames() {
        let words = words(&sample(8, -14), &[0xa]);
        let Some(Event::CpuSample(_, stacks)) = parse(bytemuck::cast_slice(&words)) else { panic!("a CPU sample") };
        assert_eq!(stacks, RawStacks { kernel: &[0xa], user: &[] });
    }

    #[test]
    fn a_record_that_is_too_short_or_unknown_is_none() {
        let words = words(&sample(800, 8), &[0xa]);
        assert_eq!(parse(bytemuck::cast_slice(&words)), None);
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[0xff; 64]), None);
    }
}
