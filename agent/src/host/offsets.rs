//! Looks up the offsets in the running kernel's structs that the eBPF programs need.

use quell_ebpf_common::KernelField;

use super::btf::{Btf, Member, Structure};

/// The layout of the kernel's structs that is passed to the eBPF programs. Offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskOffsets {
    /// The offset of `task_struct::pid`.
    pub pid: u32,
    /// The offset of `task_struct::tgid`.
    pub tgid: u32,
    /// The offset of `task_struct::__state`, or of `state` before 5.14 (commit 2f064a59a11f).
    pub state: u32,
    /// The size of that field in bytes: 4, or 8 before 5.14.
    pub state_bytes: u32,
    /// The offset of `task_struct::on_cpu`.
    pub on_cpu: u32,
    /// The offset of the CPU that a task runs on or ran on last (`task_cpu`, include/linux/sched.h): `cpu` in its
    /// `thread_info`, or `task_struct::cpu` before 5.16 (commit bcf9033e5449). It does not change while a task sleeps, until
    /// its wakeup; only `wake_cpu` can change in the meantime (`__migrate_swap_task`, kernel/sched/core.c).
    pub cpu: u32,
    /// The offset of the byte that contains the bit `task_struct::in_iowait`.
    pub in_iowait: u32,
    /// The mask of that bit in its byte.
    pub in_iowait_mask: u32,
    /// The offset of `task_struct::comm`.
    pub comm: u32,
    /// The offsets of the instruction pointer, stack pointer and frame pointer in `pt_regs`.
    pub pt_regs: [u32; 3],
    /// Whether the tracepoint `sched_switch` passes `prev_state` (5.18, commit 9c2136be0878).
    pub switch_has_prev_state: bool,
    /// The offsets of `task_struct::cgroups`, `css_set::dfl_cgrp`, `cgroup::level` and `cgroup::ancestor_ids`; `None` if the
    /// kernel has no `ancestor_ids`, which `ancestors` replaced in 6.1.
    pub cgroup_ids: Option<[u32; 4]>,
    /// The offset of `task_struct::stack`, and the offset of a thread's user registers from the address in that field; `None`
    /// if the latter is not known.
    pub stack_regs: Option<[u32; 2]>,
    /// The offsets of `task_struct::nvcsw` and `nivcsw`. `__schedule` (kernel/sched/core.c) increments one of them at each
    /// context switch.
    pub switches: [u32; 2],
    /// The offset of `task_struct::throttled` (6.18, see `throttle_cfs_rq_work`, kernel/sched/fair.c) and 0, or the offsets of `task_struct::se.cfs_rq` and
    /// `cfs_rq::throttle_count` (3.2); `None` if the kernel is built without `CONFIG_CFS_BANDWIDTH`.
    pub throttled: Option<[u32; 2]>,
    /// The offset of `task_struct::thread.sp`, the stack pointer of a thread that does not run (`inactive_task_frame`,
    /// arch/x86/include/asm/switch_to.h); `None` on other architectures.
    pub sp: Option<u32>,
}

/// A struct member that the kernel's BTF does not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's BTF does not contain {of}::{member}: quell does not support the structures of this kernel")]
pub struct MissingField {
    /// The struct.
    pub of: &'static str,
    /// The member.
    pub member: &'static str,
}

/// Looks up every offset that the programs need.
///
/// # Errors
/// A member is missing; the error names the first one.
pub fn offsets(btf: &Btf) -> Result<TaskOffsets, MissingField> {
    let of = Named::find(btf, "task_struct");
    let task = |name| of.member(name);
    let state = task("__state")
        .or_else(|_| task("state"))
        .map_err(|_| MissingField { of: "task_struct", member: "__state" })?;
    let in_iowait = task("in_iowait")?;
    let registers_of = Named::find(btf, "pt_regs");
    Ok(TaskOffsets {
        pid: task("pid")?.byte(),
        tgid: task("tgid")?.byte(),
        state: state.byte(),
        state_bytes: state.bytes() as u32,
        on_cpu: task("on_cpu")?.byte(),
        cpu: cpu(btf, &of)?,
        in_iowait: in_iowait.byte(),
        in_iowait_mask: bit_in_byte(in_iowait),
        comm: task("comm")?.byte(),
        pt_regs: registers(&registers_of)?,
        switch_has_prev_state: btf.tracepoint_arguments("sched_switch").is_some_and(|count| count >= 5),
        cgroup_ids: cgroup_ids(btf, &of),
        stack_regs: stack_regs(&of, &registers_of),
        switches: [task("nvcsw")?.byte(), task("nivcsw")?.byte()],
        throttled: throttled(btf, &of),
        sp: of.structure.and_then(|task| task.member_at(&["thread", "sp"])).map(|member| member.byte()),
    })
}

/// The offset of a field that a probe declares, in bytes.
///
/// # Errors
/// The member is missing; the error names it.
pub fn offset_of(btf: &Btf, field: &KernelField) -> Result<u32, MissingField> {
    let member = btf.structure(field.structure).and_then(|structure| structure.member_at(field.path));
    let missing = MissingField { of: field.structure, member: field.path.last().copied().unwrap_or_default() };
    Ok(member.ok_or(missing)?.byte())
}

/// A struct, with its name for the error about a missing member.
struct Named<'a> {
    name: &'static str,
    structure: Option<Structure<'a>>,
}

impl<'a> Named<'a> {
    fn find(btf: &'a Btf, name: &'static str) -> Self {
        Self { name, structure: btf.structure(name) }
    }

    fn member(&self, member: &'static str) -> Result<Member, MissingField> {
        let found = self.structure.and_then(|structure| structure.member(member));
        found.ok_or(MissingField { of: self.name, member })
    }
}

fn cpu(btf: &Btf, task: &Named<'_>) -> Result<u32, MissingField> {
    if let Ok(cpu) = task.member("cpu") {
        return Ok(cpu.byte());
    }
    // `thread_info` is a member of `task_struct` on architectures with CONFIG_THREAD_INFO_IN_TASK, such as x86-64 and aarch64.
    Ok(task.member("thread_info")?.byte() + Named::find(btf, "thread_info").member("cpu")?.byte())
}

fn cgroup_ids(btf: &Btf, task: &Named<'_>) -> Option<[u32; 4]> {
    let cgroup = Named::find(btf, "cgroup");
    let ids = cgroup.member("ancestor_ids").ok()?;
    let set = Named::find(btf, "css_set");
    let way = [task.member("cgroups").ok()?, set.member("dfl_cgrp").ok()?, cgroup.member("level").ok()?, ids];
    Some(way.map(|member| member.byte()))
}

fn throttled(btf: &Btf, task: &Named<'_>) -> Option<[u32; 2]> {
    if let Ok(throttled) = task.member("throttled") {
        return Some([throttled.byte(), 0]);
    }
    let queue = task.structure?.member_at(&["se", "cfs_rq"])?;
    Some([queue.byte(), Named::find(btf, "cfs_rq").member("throttle_count").ok()?.byte()])
}

/// `pt_regs` is at the end of the kernel stack (`task_pt_regs`, arch/x86/include/asm/processor.h), whose size is 16 KiB without
/// KASAN (`THREAD_SIZE`, arch/x86/include/asm/page_64_types.h). Kernels with CONFIG_X86_FRED (6.9) have 16 bytes of padding
/// behind it, but there the programs use `bpf_task_pt_regs` (5.15).
#[cfg(target_arch = "x86_64")]
fn stack_regs(task: &Named<'_>, registers: &Named<'_>) -> Option<[u32; 2]> {
    const THREAD_SIZE: u32 = 16 << 10;
    // `ss` is the last member, in a slot of 8 bytes.
    let end = registers.member("ss").ok()?.byte() + 8;
    Some([task.member("stack").ok()?.byte(), THREAD_SIZE.checked_sub(end)?])
}

/// The size of a kernel stack depends on the page size.
#[cfg(target_arch = "aarch64")]
fn stack_regs(_task: &Named<'_>, _registers: &Named<'_>) -> Option<[u32; 2]> {
    None
}

/// The mask of a one-bit member in its byte. On little-endian machines, the only ones that quell is built for, bit offsets
/// count from the least significant bit of the lowest byte.
fn bit_in_byte(member: Member) -> u32 {
    1 << (member.bit_offset % 8)
}

#[cfg(target_arch = "x86_64")]
fn registers(of: &Named<'_>) -> Result<[u32; 3], MissingField> {
    // arch/x86/include/asm/ptrace.h
    Ok([of.member("ip")?.byte(), of.member("sp")?.byte(), of.member("bp")?.byte()])
}

#[cfg(target_arch = "aarch64")]
fn registers(of: &Named<'_>) -> Result<[u32; 3], MissingField> {
    // arch/arm64/include/asm/ptrace.h; x29 is the frame pointer (AAPCS64).
    let frame_pointer = of.member("regs")?.byte() + 29 * 8;
    Ok([of.member("pc")?.byte(), of.member("sp")?.byte(), frame_pointer])
}

#[cfg(test)]
mod tests {
    use super::super::btf::tests::Blob;
    use super::*;

    fn blob(state: (&str, u32), without: &str, parameters: u32) -> Btf {
        let mut blob = Blob::new();
        let int = blob.int(4);
        let state_type = blob.int(state.1);
        let byte = blob.int(1);
        let comm = blob.array(byte, 16);
        let long = blob.int(8);
        let registers = blob.array(long, 31);
        let flexible = blob.array(long, 0);
        let thread = blob.structure("thread_struct", &[("sp", long, 64, 0)]);
        let thread_info = blob.structure("thread_info", &[("flags", long, 0, 0), ("cpu", int, 96, 0)]);
        let members: Vec<_> = [
            (state.0, state_type, 64, 0),
            ("on_cpu", int, 128, 0),
            ("in_iowait", int, 256 + 11, 1),
            ("pid", int, 320, 0),
            ("tgid", int, 352, 0),
            ("comm", comm, 384, 0),
            ("cgroups", long, 512, 0),
            ("stack", long, 576, 0),
            ("thread_info", thread_info, 640, 0),
            ("cpu", int, 768, 0),
            ("nvcsw", long, 832, 0),
            ("nivcsw", long, 896, 0),
            ("thread", thread, 960, 0),
        ]
        .into_iter()
        .filter(|member| member.0 != without && (member.0 != "cpu" || state.0 == "state"))
        .collect();
        blob.structure("task_struct", &members);
        blob.structure(
            "pt_regs",
            &[
                ("bp", long, 32 * 8, 0),
                ("ip", long, 128 * 8, 0),
                ("sp", long, 152 * 8, 0),
                ("regs", registers, 0, 0),
                ("pc", long, 256 * 8, 0),
                ("ss", long, 160 * 8, 0),
            ],
        );
        if state.0 == "state" {
            blob.structure("css_set", &[("dfl_cgrp", long, 64, 0)]);
            blob.structure("cgroup", &[("level", int, 128, 0), ("ancestor_ids", flexible, 256, 0)]);
        }
        blob.tracepoint("sched_switch", parameters);
        blob.parse()
    }

    #[test]
    fn every_offset_is_found_in_a_new_and_in_an_old_kernel() {
        let new = offsets(&blob(("__state", 4), "", 5)).expect("all members");
        assert_eq!((new.state, new.state_bytes, new.switch_has_prev_state), (8, 4, true));
        assert_eq!((new.pid, new.tgid, new.on_cpu, new.comm), (40, 44, 16, 48));
        assert_eq!((new.in_iowait, new.in_iowait_mask), (33, 1 << 3));
        assert_eq!(new.switches, [104, 112]);
        assert_eq!(new.sp, Some(128));
        assert_eq!(new.cpu, 80 + 12, "in the task's own thread_info");
        let old = offsets(&blob(("state", 8), "", 4)).expect("all members");
        assert_eq!((old.state, old.state_bytes, old.switch_has_prev_state), (8, 8, false));
        assert_eq!(old.cpu, 96);
        assert_eq!((new.cgroup_ids, old.cgroup_ids), (None, Some([64, 8, 16, 32])));
        #[cfg(target_arch = "x86_64")]
        assert_eq!(old.stack_regs, Some([72, 16_384 - 168]));
    }

    #[test]
    fn a_missing_member_is_named() {
        let missing = offsets(&blob(("__state", 4), "on_cpu", 5));
        assert_eq!(missing, Err(MissingField { of: "task_struct", member: "on_cpu" }));
        let missing = offsets(&blob(("other", 4), "", 5));
        assert_eq!(missing, Err(MissingField { of: "task_struct", member: "__state" }));
    }

    #[test]
    fn a_member_inside_a_member_is_found() {
        let mut blob = Blob::new();
        let long = blob.int(8);
        let inner = blob.structure("sched_info", &[("pcount", long, 0, 0), ("run_delay", long, 64, 0)]);
        blob.structure("task_struct", &[("pid", long, 0, 0), ("sched_info", inner, 128, 0)]);
        let btf = blob.parse();
        let field = |path| KernelField { global: "GLOBAL", structure: "task_struct", path };
        assert_eq!(offset_of(&btf, &field(&["sched_info", "run_delay"])), Ok(24));
        assert_eq!(offset_of(&btf, &field(&["pid"])), Ok(0));
        for (path, member) in [(&["sched_info", "other"] as &[_], "other"), (&["pid", "run_delay"], "run_delay")] {
            assert_eq!(offset_of(&btf, &field(path)), Err(MissingField { of: "task_struct", member }));
        }
    }

    #[test]
    fn the_running_kernels_offsets_fit_what_is_known_of_every_kernel() {
        let Ok(btf) = Btf::kernel() else { crate::skip!("a kernel with BTF") };
        let found = offsets(&btf).expect("a kernel that quell knows");
        // Adjacent members in include/linux/sched.h since 2.6: `pid_t pid; pid_t tgid;`.
        assert_eq!(found.tgid, found.pid + 4);
        assert!(found.state < found.on_cpu && found.on_cpu < found.pid && found.pid < found.comm, "{found:?}");
        let task = Named::find(&btf, "task_struct");
        assert_eq!(task.member("comm").ok().map(|member| member.bytes()), Some(16));
        assert_eq!(task.member("in_iowait").ok().map(|member| member.bits), Some(1));
        // The layout of pt_regs is fixed by the entry code: arch/x86/entry/calling.h.
        #[cfg(target_arch = "x86_64")]
        assert_eq!(found.pt_regs, [16 * 8, 19 * 8, 4 * 8]);
        #[cfg(target_arch = "aarch64")]
        assert_eq!(found.pt_regs, [32 * 8, 31 * 8, 29 * 8]);
        assert!(btf.tracepoint_arguments("sched_switch").is_some_and(|count| count >= 4));
    }
}
