//! User stacks that do not reach the start function of their thread.

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

/// The number of samples whose user stack does not begin with a known start function of a thread, so that callers are probably
/// missing, mostly because code was compiled without frame pointers. Outermost frames without a name are included.
///
/// Call this after [`symbolize`](super::symbolize), since it requires names. Stacks of wakers are not counted.
#[must_use]
pub fn truncated_user_stacks(recording: &Recording) -> u64 {
    // Callers come first in the table, so the outermost user frame of each stack is known before it is needed.
    let mut outermost: Vec<Option<FrameId>> = Vec::with_capacity(recording.stacks.rows().len());
    for node in recording.stacks.rows() {
        let of_caller = node.parent.and_then(|parent| outermost[parent.index()]);
        outermost.push(of_caller.or_else(|| is_user(recording.frames.get(node.frame)).then_some(node.frame)));
    }
    let truncated = |stack: &Option<FrameId>| stack.is_some_and(|frame| !is_beginning(recording.frames.get(frame)));
    let truncated: Vec<bool> = outermost.iter().map(truncated).collect();
    let stacks = recording.samples.iter().filter_map(|sample| sample.stack);
    stacks.filter(|stack| truncated[stack.index()]).count() as u64
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
    use crate::recording::example::Example;
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
        assert_eq!(truncated_user_stacks(&recording), cut.len() as u64 + 1);
    }
}
