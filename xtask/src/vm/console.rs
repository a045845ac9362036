//! What a guest's kernel said on its console.

use std::fs;
use std::path::Path;

use super::guest::CONSOLE;

/// Something that a kernel says only of itself, and only when it is not well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Complaint {
    /// Something is broken in it.
    Fault(String),
    /// Something of it did not go on for long. Under TCG, whose CPUs all wait while the host runs others, that may be
    /// the emulator's doing.
    Stall(String),
}

/// Of RCU (kernel/rcu/tree_stall.h, tree_exp.h), the watchdogs (kernel/watchdog.c), workqueues (kernel/workqueue.c), and
/// the search for hung tasks (kernel/hung_task.c).
const STALLS: [&str; 6] = [
    "detected stall",
    "detected expedited stall",
    "soft lockup",
    "hard LOCKUP",
    "workqueue lockup",
    "blocked for more than",
];

/// `oops=panic` makes a panic of an oops, but not of these.
const FAULTS: [&str; 3] = ["BUG:", "kernel BUG at", "Oops"];

/// What WARN() prints (kernel/panic.c). Only at the beginning of a message: the mitigations of processors' faults
/// (arch/x86/kernel/cpu/bugs.c) say `RETBleed: WARNING: ...` of a processor, at each start.
const WARNING: &str = "WARNING:";

/// All of it, as it is so far.
pub(super) fn read(dir: &Path) -> String {
    String::from_utf8_lossy(&fs::read(dir.join(CONSOLE)).unwrap_or_default()).replace('\r', "")
}

/// What it said at its end, if it panicked.
pub(super) fn panic(text: &str) -> Option<String> {
    text.lines().map(message).find(|message| message.contains("Kernel panic")).map(str::to_owned)
}

/// The first fault, else the first stall.
pub(super) fn complaint(text: &str) -> Option<Complaint> {
    let has = |message: &str, words: &[&str]| words.iter().any(|word| message.contains(word));
    let (mut fault, mut stall) = (None, None);
    // It repeats the words that it was started with.
    for message in text.lines().map(message).filter(|message| !message.to_lowercase().contains("command line:")) {
        // `watchdog: BUG: soft lockup` is no fault.
        if has(message, &STALLS) {
            stall.get_or_insert(message);
        } else if message.starts_with(WARNING) || has(message, &FAULTS) {
            fault.get_or_insert(message);
        }
    }
    let fault = fault.map(|message| Complaint::Fault(message.to_owned()));
    fault.or_else(|| stall.map(|message| Complaint::Stall(message.to_owned())))
}

/// Its last lines.
pub(super) fn last_lines(text: &str) -> String {
    const LINES: usize = 30;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// A line without its time, and without the thread that wrote it where the kernel says so (`CONFIG_PRINTK_CALLER`).
fn message(line: &str) -> &str {
    let mut rest = line;
    while let Some((_, said)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        rest = said.trim_start();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<Complaint> {
        complaint(&format!("[    0.000000] Linux version 6.1.0\n{line}\n[   11.091220] sysrq: Resetting\n"))
    }

    #[test]
    fn a_kernel_complains_of_faults_and_of_stalls() {
        for line in [
            "WARNING: CPU: 1 PID: 77 at kernel/workqueue.c:3037 __flush_work+0x20/0x30",
            "BUG: scheduling while atomic: kernels/77/0x00000002",
            "kernel BUG at mm/slub.c:305!",
            "Oops: 0000 [#1] PREEMPT SMP PTI",
        ] {
            assert_eq!(of(&format!("[    3.100000] {line}")), Some(Complaint::Fault(line.to_owned())));
            assert_eq!(of(&format!("[    3.100000][   T77] {line}")), Some(Complaint::Fault(line.to_owned())));
        }
        for line in [
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "rcu: INFO: rcu_sched self-detected stall on CPU",
            "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-... }",
            "watchdog: BUG: soft lockup - CPU#2 stuck for 26s! [kernels:77]",
            "BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 33s!",
            "INFO: task kernels:77 blocked for more than 120 seconds.",
        ] {
            assert_eq!(of(&format!("[    3.100000] {line}")), Some(Complaint::Stall(line.to_owned())));
        }
    }

    #[test]
    fn what_it_says_of_its_processor_or_repeats_of_its_command_line_is_no_complaint() {
        for line in [
            "[    0.100000] RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks",
            "[    0.000000] Command line: console=ttyS0 panic=-1 oops=panic note=WARNING:BUG:Oops",
            "[    0.050000] Kernel command line: console=ttyS0 note=Oops",
            "[    0.200000] ACPI BIOS Warning (bug): incorrect checksum in table",
            "[   22.443691] hrtimer: interrupt took 3197466 ns",
        ] {
            assert_eq!(of(line), None);
        }
    }

    #[test]
    fn a_fault_comes_before_a_stall() {
        let text =
            "[ 1.0] INFO: task a:1 blocked for more than 120 seconds.\n[ 2.0] WARNING: CPU: 1 PID: 1 at a.c:1 b()\n";
        assert_eq!(complaint(text), Some(Complaint::Fault("WARNING: CPU: 1 PID: 1 at a.c:1 b()".to_owned())));
    }
}
