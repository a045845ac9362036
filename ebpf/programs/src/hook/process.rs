//! What happens to processes: who is a target, and who has an id.
//!
//! The user side must know whose a process id and an address space are. The events of perf tell that too, but share their ring with
//! those of mappings and names, of which a process can make any number.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use quell_ebpf_common::{
    process::{END, EXEC, NEW, NEW_THREAD, PROBE, ProcessEvent},
    target,
};

use super::{ThreadEnd, thread_end};
use crate::{
    record,
    settings::setting,
    target::{add, follows, remove},
    task::Task,
    thread::{self, known},
    value::load,
};

#[inline(always)]
fn send(kind: u16, task: Task, parent: u32, old_tid: u32) {
    let header = record::header((PROBE, kind), record::now(), task.tid(), task.tgid());
    record::send_plain(&ProcessEvent { header, parent, old_tid });
}

/// A thread has got an id. What was counted under it is of the thread that had it before, unless that was seen to end. Its state is
/// not removed: it may be on its way to its last switch, and remove it at the same time.
#[inline(always)]
fn end_thread_before(task: Task) {
    let tid = task.tid();
    if let Some(thread) = known(tid, task.tgid())
        && thread_end(&ThreadEnd { now: record::now(), task: None, tid, comm: load!(thread.comm), thread })
    {
        thread::hand_over(thread, task);
    }
}

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`: children of targets are targets.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn quell_fork(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: both are tasks; the child does not run yet.
    let (parent, child) = unsafe { (Task::new(ctx.arg(0)), Task::new(ctx.arg(1))) };
    let creator = parent.tgid();
    let tgid = child.tgid();
    if !follows(creator) {
        return 0;
    }
    end_thread_before(child);
    if child.tid() != tgid {
        send(NEW_THREAD, child, 0, 0);
        return 0;
    }
    if setting!(target) == target::PROCESSES {
        add(tgid);
    }
    send(NEW, child, creator, 0);
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
        send(END, task, 0, 0);
    }
    0
}

/// `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`: after the new program was mapped. The
/// command that quell started is a target from its exec on; before, it is still a copy of the agent.
///
/// A thread that is not the first one of its process takes the id of the first, which is gone (`de_thread`, fs/exec.c).
#[btf_tracepoint(function = "sched_process_exec")]
pub fn quell_exec(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the task that executes.
    let task = unsafe { Task::new(ctx.arg(0)) };
    let tgid = task.tgid();
    if tgid == setting!(command_tgid) {
        add(tgid);
    }
    if follows(tgid) {
        let before = ctx.arg::<u32>(1);
        let old_tid = if before == tgid { 0 } else { before };
        if old_tid != 0 {
            end_old_id(task, old_tid);
            end_thread_before(task);
        }
        send(EXEC, task, 0, old_tid);
    }
    0
}

/// What was counted for a thread under the id that it has given up. Nobody else removes it.
#[inline(always)]
fn end_old_id(task: Task, tid: u32) {
    if let Some(thread) = known(tid, task.tgid())
        && thread_end(&ThreadEnd { now: record::now(), task: None, tid, comm: load!(thread.comm), thread })
    {
        thread::remove(tid, thread);
    }
}
