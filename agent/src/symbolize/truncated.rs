//! User stacks that do not reach the start function of their thread.

use quell_ebpf_common::MAX_FRAMES;

use crate::recording::{Frame, FrameId, Location, Recording};

/// Start functions of threads.
const BEGINNINGS: [&str; 25] = [
    // The C runtimes: glibc, musl, bionic, and the dynamic loader before them.
    "_start",
    "_start_c",
    "__start",
    "_dl_start",
    "_dl_start_user",
    "__libc_start_main",
    "__libc_start_main_impl",
    "__libc_start_call_main",
    "__libc_init",
    "libc_start_main_stage2",
    "main",
    "start_thread",
    "start",
    "__pthread_start",
    "__start_thread",
    "clone",
    "__clone",
    "clone3",
    "__clone3",
    "__clone_internal",
    "thread_start",
    // Go.
    "runtime.goexit",
    "runtime.mstart",
    "runtime.mstart0",
    "runtime.rt0_go",
];

/// Start functions of threads by prefix: versions (`__libc_start_main@@GLIBC_2.34`), Go's ABI wrappers
/// (`runtime.goexit.abi0`), and compilers' clones of a function (`start_thread.cold`).
const VARIANT_MARKS: [char; 2] = ['@', '.'];

/// The numbers of samples whose user stack is not complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IncompleteStacks {
    /// Stacks that do not begin with a known start function of a thread, so that callers are probably missing, mostly because
    /// code was compiled without frame pointers. Outermost frames without a name are included.
    pub truncated: u64,
    /// Such stacks with as many frames as the kernel walks: the limit cut them.
    pub limited: u64,
}

/// The frames up to the outermost user frame of a stack.
#[derive(Clone, Copy, Default)]
struct UserPart {
    outermost: Option<FrameId>,
    frames: usize,
}

/// Counts the samples whose user stack is not complete. `limit` is the kernel's limit for the frames of a stack. A limit of
/// [`MAX_FRAMES`] or more is not the reason, because quell asks for no more than these, and counts them as
/// [`Losses::deep_stacks`](crate::recording::Losses::deep_stacks).
///
/// Call this after [`symbolize`](super::symbolize), since it requires names. Stacks of wakers are not counted.
#[must_use]
pub fn incomplete_user_stacks(recording: &Recording, limit: Option<u32>) -> IncompleteStacks {
    let limit = limit.map(|limit| limit as usize).filter(|limit| *limit < MAX_FRAMES);
    // Callers come first in the table, so the outermost user frame of each stack is known before it is needed.
    let mut parts: Vec<UserPart> = Vec::with_capacity(recording.stacks.rows().len());
    for node in recording.stacks.rows() {
        let mut part = node.parent.map_or_else(UserPart::default, |parent| parts[parent.index()]);
        if is_user(recording.frames.get(node.frame)) {
            part.outermost = part.outermost.or(Some(node.frame));
            part.frames += 1;
        }
        parts.push(part);
    }
    let mut incomplete = IncompleteStacks::default();
    for part in recording.samples.iter().filter_map(|sample| Some(parts[sample.stack?.index()])) {
        if part.outermost.is_none_or(|frame| is_beginning(recording.frames.get(frame))) {
            continue;
        }
        match limit {
            Some(limit) if part.frames >= limit => incomplete.limited += 1,
            _ => incomplete.truncated += 1,
        }
    }
    incomplete
}

fn is_user(frame: &Frame) -> bool {
    matches!(frame.location, Location::Module { .. } | Location::Unmapped { .. })
}

fn is_beginning(frame: &Frame) -> bool {
    frame.symbol.as_ref().is_some_and(|symbol| {
        let name = symbol.name.as_str();
        let plain = |beginning: &&str| {
            name.strip_prefix(*beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with(VARIANT_MARKS))
        };
        // If glibc is stripped, its thread start has no name, and the outermost named frame is Rust's thread start.
        BEGINNINGS.iter().any(plain) || name.ends_with("::thread_start")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::example::{CPU, Example};
    use crate::recording::{MetricId, ModuleId, Sample, Symbol};
    use crate::units::{Addr, Nanos, Pid};

    #[test]
    fn a_stack_is_truncated_when_its_outermost_user_frame_begins_no_thread() {
        let mut example = Example::new();
        let thread = example.thread(1, 1, "thread");
        let mut recording = example.recording;
        let frames = &mut recording.frames;
        let mut user = |offset, name: Option<&str>| {
            let symbol = name.map(|name| Symbol { name: name.to_owned(), offset: 0 });
            frames.push(Frame { symbol, ..Frame::new(Location::Module { module: ModuleId::new(0), offset }) })
        };
        let whole = [
            user(1, Some("_start")),
            user(2, Some("__libc_start_main@@GLIBC_2.34")),
            user(3, Some("runtime.goexit.abi0")),
            user(4, Some("std::sys::thread::unix::Thread::new::thread_start")),
        ];
        let cut = [user(5, Some("mainframe")), user(6, Some("memcpy")), user(7, None)];
        let label = frames.intern(Location::Label("[label]"));
        let unmapped = frames.intern(Location::Unmapped { pid: Pid(1), addr: Addr(8) });
        let kernel = frames.intern(Location::Kernel(Addr(u64::MAX)));

        let mut sample = |stack: &[FrameId]| {
            let stack = recording.stacks.intern_all(stack.iter().copied());
            recording.samples.push(Sample { stack, ..Sample::new(MetricId(0), thread, Nanos(0), 1) });
        };
        whole.iter().for_each(|frame| sample(&[*frame, cut[0], kernel]));
        // A stack without user code cannot be truncated.
        sample(&[kernel]);
        sample(&[label, kernel]);
        sample(&[]);
        sample(&[label, whole[0], kernel]);
        cut.iter().for_each(|frame| sample(&[*frame, whole[0], kernel]));
        sample(&[label, unmapped]);
        let truncated = cut.len() as u64 + 1;
        assert_eq!(incomplete_user_stacks(&recording, None), IncompleteStacks { truncated, limited: 0 });
    }

    #[test]
    fn a_stack_with_as_many_frames_as_the_limit_was_cut_by_it() {
        let mut example = Example::new();
        let thread = example.thread(1, 1, "thread");
        let mut sample = |path: &str| {
            let stack = example.stack(path);
            example.sample(CPU, thread, stack, 1);
        };
        sample("app a b c");
        sample("app a b c kernel:d");
        // Not at the limit: the code has no frame pointers. Complete with as many frames as the limit.
        sample("app a b kernel:d kernel:e");
        sample("app main b c");
        let incomplete = |limit| incomplete_user_stacks(&example.recording, limit);
        assert_eq!(incomplete(Some(3)), IncompleteStacks { truncated: 1, limited: 2 });
        assert_eq!(incomplete(Some(4)), IncompleteStacks { truncated: 3, limited: 0 });
        for default in [None, Some(127), Some(1_000)] {
            assert_eq!(incomplete(default), IncompleteStacks { truncated: 3, limited: 0 }, "{default:?}");
        }
    }
}
