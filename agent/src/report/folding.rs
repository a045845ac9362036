//! The sleeps of idle threads, which drawings for people leave out: they would be most of their width. Formats for programs contain them.

use hashbrown::HashSet;

use crate::profile::Profile;
use crate::recording::{MetricId, Unit};
use crate::report::series::quantity;

/// The idle threads that a drawing leaves out.
pub(super) struct FoldedIdle {
    threads: usize,
    /// The unit of `value`.
    unit: Unit,
    /// The sum of their sleeps.
    pub(super) value: f64,
}

impl FoldedIdle {
    /// The idle threads among the samples of these metrics; `None` if there are none, or if the report lists them like others.
    pub(super) fn of(profile: &Profile, unit: Unit, is_drawn: impl Fn(MetricId) -> bool) -> Option<Self> {
        let is_left_out = |metric| profile.metric(metric).unit == unit && is_drawn(metric);
        let (mut threads, mut value) = (HashSet::new(), 0.0);
        for sample in profile.samples.iter().filter(|sample| sample.value > 0.0 && profile.folds(sample)) {
            if is_left_out(sample.metric) {
                threads.insert(profile.thread(sample.thread).key());
                value += sample.value;
            }
        }
        (!threads.is_empty()).then_some(Self { threads: threads.len(), unit, value })
    }

    /// A frame for all of them: `[3 idle threads]`.
    pub(super) fn label(&self) -> String {
        format!("[{} idle thread{}]", self.threads, if self.threads == 1 { "" } else { "s" })
    }

    /// What a reader of the drawing must know.
    pub(super) fn caveat(&self) -> String {
        let threads = self.label();
        let threads = threads.trim_matches(['[', ']']);
        format!("without {} of {threads} (report --idle draws them)", quantity(self.value, self.unit))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{by_name, pprof};
    use crate::profile::{IdleThreads, Selection, build};
    use crate::recording::example::{BLOCKED, CPU, Example};

    /// A thread that works, and two that sleep for the whole capture.
    fn mostly_idle() -> Example {
        let mut example = Example::new();
        let server = example.thread(7, 7, "server");
        let serve = example.stack("app serve");
        example.sample(CPU, server, serve, 400_000_000);
        let lock = example.stack("app lock kernel:futex_wait");
        example.sample(BLOCKED, server, lock, 300_000_000);
        only_idle(&mut example);
        example
    }

    fn only_idle(example: &mut Example) {
        for tid in [21, 22] {
            let thread = example.thread(20, tid, "pool");
            let poll = example.stack("app await_work kernel:do_poll");
            example.sample(BLOCKED, thread, poll, 1_000_000_000).ongoing = true;
        }
    }

    fn written(example: &Example, idle: IdleThreads, format: &str) -> String {
        let profile = build(&example.recording, &Selection { idle, ..Selection::default() });
        let mut out = Vec::new();
        by_name(format).expect("a format").sink.write(&profile, &mut out).expect(format);
        if format == "pprof" { pprof::text(&out) } else { String::from_utf8_lossy(&out).into_owned() }
    }

    #[test]
    fn drawings_leave_idle_threads_out_and_say_so_and_data_has_them() {
        let example = mostly_idle();
        let caveat = "without 2.00 s of 2 idle threads (report --idle draws them)";
        for format in ["svg", "speedscope"] {
            let folded = written(&example, IdleThreads::Folded, format);
            assert!(!folded.contains("await_work") && folded.contains("futex_wait"), "{format}: {folded}");
            assert!(folded.contains(caveat), "{format}: {folded}");
            let listed = written(&example, IdleThreads::Listed, format);
            assert!(listed.contains("await_work") && !listed.contains("idle threads"), "{format}: {listed}");
        }
        for format in ["folded", "pprof", "firefox", "perfetto"] {
            for idle in [IdleThreads::Folded, IdleThreads::Listed] {
                assert!(written(&example, idle, format).contains("await_work"), "{format}, {idle:?}");
            }
        }
    }

    #[test]
    fn a_drawing_of_idle_threads_only_has_one_frame_for_them() {
        let mut example = Example::new();
        only_idle(&mut example);
        for format in ["svg", "speedscope"] {
            let folded = written(&example, IdleThreads::Folded, format);
            assert!(folded.contains("[2 idle threads]") && !folded.contains("await_work"), "{format}: {folded}");
        }
    }
}
