//! What happens to processes: who is a target, and who has an id.
//!
//! The user side must know whose a process id and an address space are. The events of perf tell that too, but share their ring with
//! those of mappings and names, of which a process can make any number.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use quell_ebpf_common::{
    process::{END, EXEC, NEW, PROBE, ProcessEvent},
    target,
};

use crate::{
    record,
    settings::setting,
    target::{add, follows, remove},
    task::Task,
};

#[inline(always)]
fn send(kind: u16, task: Task, parent: u32) {
    let header = record::header((PROBE, kind), record::now(), task.tid(), task.tgid());
    record::send_plain(&ProcessEvent { header, parent, pad: 0 });
}

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`: children of targets are targets.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn quell_fork(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: both are tasks; the child does not run yet.
    let (parent, child) = unsafe { (Task::new(ctx.arg(0)), Task::new(ctx.arg(1))) };
    let creator = parent.tgid();
    let tgid = child.tgid();
    if child.tid() != tgid || !follows(creator) {
        return 0;
    }
    if setting!(target) == target::PROCESSES {
        add(tgid);
    }
    send(NEW, child, creator);
    0
}

/// `sched_process_free(struct task_struct *p)`: a target is one no longer, or a stranger would be that is given its id.
///
/// Not at `sched_process_exit`, after which the threads of a process go on running and waiting. A task is freed a grace
/// period of RCU after it was reaped and has left the CPU for good (`put_task_struct_rcu_user`, kernel/exit.c, 5.4), and
/// a process's first thread is reaped after all others (`wait_consider_task`, `release_task`). Its id may be given out
/// anew within that grace period, should all others be given out in it.
#[btf_tracepoint(function = "sched_process_free")]
pub fn quell_free(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: a task whose memory is given back after this.
    let task = unsafe { Task::new(ctx.arg(0)) };
    let tgid = task.tgid();
    if task.tid() == tgid && remove(tgid) {
        send(END, task, 0);
    }
    0
}

/// `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`: after the new program was mapped. The
/// command that quell started is a target from its exec on; before, it is still a copy of the agent.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn quell_exec(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the task that executes.
    let task = unsafe { Task::new(ctx.arg(0)) };
    let tgid = task.tgid();
    if tgid == setting!(command_tgid) {
        add(tgid);
    }
    if follows(tgid) {
        send(EXEC, task, 0);
    }
    0
}
