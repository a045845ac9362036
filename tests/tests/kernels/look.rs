//! An independent look at what a kernel can do: by its effect, and without quell.

#![allow(unsafe_code, reason = "the system call `bpf`, which no crate makes for programs that are not in a file")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use aya::Btf;
use aya_obj::btf::BtfKind;
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_attr__bindgen_ty_4, bpf_cmd, bpf_insn, bpf_prog_type};
use perf_event::Builder;
use perf_event::events::Hardware;
use quell_tests::kernel;

/// A function that runs when a program asks for the kernel's name, as `uname` does, and seldom else.
#[cfg(target_arch = "x86_64")]
const QUIET: &str = "__x64_sys_newuname";
#[cfg(target_arch = "aarch64")]
const QUIET: &str = "__arm64_sys_newuname";

/// Whether a program runs at the beginning of a kernel function (5.5).
pub(crate) fn fentry() -> Result<bool> {
    tracing(bpf_attach_type::BPF_TRACE_FENTRY, QUIET, BtfKind::Func)
}

/// Whether a program runs at a tracepoint, with typed arguments (5.5).
pub(crate) fn tp_btf() -> Result<bool> {
    tracing(bpf_attach_type::BPF_TRACE_RAW_TP, "btf_trace_sched_switch", BtfKind::Typedef)
}

/// Whether a program runs for each task (5.8).
pub(crate) fn task_iterator() -> Result<bool> {
    let Some(id) = type_id("bpf_iter_task", BtfKind::Func) else { return Ok(false) };
    let Ok(program) = load(bpf_attach_type::BPF_TRACE_ITER, id) else { return Ok(false) };
    let mut attributes = zeroed();
    attributes.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
    attributes.link_create.attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
    let Ok(link) = bpf(bpf_cmd::BPF_LINK_CREATE, &mut attributes) else { return Ok(false) };
    let mut attributes = zeroed();
    attributes.iter_create.link_fd = link.as_raw_fd().cast_unsigned();
    let Ok(iterator) = bpf(bpf_cmd::BPF_ITER_CREATE, &mut attributes) else { return Ok(false) };
    let _counted = count_runs()?;
    io::read_to_string(fs::File::from(iterator)).context("cannot read an iterator")?;
    Ok(runs(program.as_raw_fd())? > 0)
}

/// Whether a breakpoint on a kernel function counts its calls: by tracefs, which has had them since 2.6.33.
pub(crate) fn kprobe() -> Result<bool> {
    // In mounts of its own, where tracefs may not be mounted. Each event goes with the one who made it.
    let script = r#"
        mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing || exit 3
        cd /sys/kernel/tracing && event=quell_test_$$
        echo "p:$event/try $1" >>kprobe_events || exit 3
        echo 1 >events/$event/try/enable && uname >/dev/null && cat kprobe_profile
        echo 0 >events/$event/try/enable
        echo "-:$event/try" >>kprobe_events
    "#;
    let output = in_own_mounts(script, &[QUIET]).output().context("cannot run unshare")?;
    let said = String::from_utf8_lossy(&output.stdout);
    // Of each event its name, its hits, and those that were missed.
    let hits = said.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(output.status.success() && hits.sum::<u64>() > 0)
}

/// The BPF programs that a process has loaded, with what they are: by name, the kernel's number of the type.
pub(crate) fn programs_of(pid: u32) -> Result<BTreeMap<String, u32>> {
    let names = kernel::loaded_programs()?;
    let dir = format!("/proc/{pid}/fdinfo");
    let mut programs = BTreeMap::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot list {dir}"))? {
        // Closed since it was listed, or of something else.
        let Ok(info) = fs::read_to_string(entry?.path()) else { continue };
        let number = |field| info.lines().find_map(|line| line.strip_prefix(field)?.trim().parse::<u32>().ok());
        if let (Some(kind), Some(id)) = (number("prog_type:"), number("prog_id:"))
            && let Some(name) = names.get(&id)
        {
            programs.insert(name.clone(), kind);
        }
    }
    Ok(programs)
}

/// Whether a hardware counter of cycles interrupts a CPU.
pub(crate) fn cycles() -> bool {
    let mut builder = Builder::new(Hardware::CPU_CYCLES);
    builder.any_pid().one_cpu(0).include_kernel().sample_frequency(1).enabled(false).build().is_ok()
}

/// Whether the kernel shows where its functions are.
pub(crate) fn kernel_symbols() -> Result<bool> {
    let symbols = fs::read_to_string("/proc/kallsyms").context("cannot read /proc/kallsyms")?;
    let shown =
        |line: &str| line.split_whitespace().nth(2) == Some("vfs_read") && !line.starts_with("0000000000000000");
    Ok(symbols.lines().any(shown))
}

/// Whether the kernel has a function.
pub(crate) fn has_function(name: &str) -> Result<bool> {
    let symbols = fs::read_to_string("/proc/kallsyms").context("cannot read /proc/kallsyms")?;
    Ok(symbols.lines().any(|line| line.split_whitespace().nth(2) == Some(name)))
}

/// A shell script, and its arguments, with mounts of its own.
pub(crate) fn in_own_mounts(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).args(arguments);
    command
}

/// Whether a program attached to a function or tracepoint of the kernel runs.
fn tracing(attach: bpf_attach_type, target: &str, kind: BtfKind) -> Result<bool> {
    let Some(id) = type_id(target, kind) else { return Ok(false) };
    let Ok(program) = load(attach, id) else { return Ok(false) };
    let mut attributes = zeroed();
    attributes.raw_tracepoint.prog_fd = program.as_raw_fd().cast_unsigned();
    let Ok(_link) = bpf(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attributes) else { return Ok(false) };
    let _counted = count_runs()?;
    // A call of the function, and switches to another thread and back.
    Command::new("uname").output().context("cannot run uname")?;
    Ok(runs(program.as_raw_fd())? > 0)
}

fn type_id(name: &str, kind: BtfKind) -> Option<u32> {
    Btf::from_sys_fs().ok()?.id_by_type_name_kind(name, kind).ok()
}

/// Loads a tracing program that returns 0.
fn load(attach: bpf_attach_type, target: u32) -> io::Result<OwnedFd> {
    /// `r0 = 0`, `exit` (Documentation/bpf/standardization/instruction-set.rst).
    const OPCODES: [u8; 2] = [0xb7, 0x95];
    let instructions = OPCODES.map(|code| {
        // SAFETY: `bpf_insn` is integers only.
        let mut instruction: bpf_insn = unsafe { std::mem::zeroed() };
        instruction.code = code;
        instruction
    });
    let mut attributes = zeroed();
    // SAFETY: all zero, which is a valid value of every member of the union.
    let program = unsafe { &mut attributes.__bindgen_anon_3 };
    program.prog_type = bpf_prog_type::BPF_PROG_TYPE_TRACING as u32;
    program.insns = instructions.as_ptr() as u64;
    program.insn_cnt = instructions.len() as u32;
    program.license = c"GPL".as_ptr() as u64;
    program.expected_attach_type = attach as u32;
    program.attach_btf_id = target;
    bpf(bpf_cmd::BPF_PROG_LOAD, &mut attributes)
}

/// Has the kernel count how often programs run, until the result is dropped (5.8).
pub(crate) fn count_runs() -> Result<OwnedFd> {
    // BPF_STATS_RUN_TIME is 0.
    bpf(bpf_cmd::BPF_ENABLE_STATS, &mut zeroed()).context("the kernel does not count runs")
}

/// How often a program has run, by its fdinfo (5.1).
fn runs(program: RawFd) -> Result<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{program}")).context("cannot read fdinfo")?;
    let count = info.lines().find_map(|line| line.strip_prefix("run_cnt:")?.trim().parse().ok());
    count.with_context(|| format!("no count of runs in {info:?}"))
}

fn zeroed() -> bpf_attr {
    // SAFETY: `bpf_attr` is a union of structs of integers.
    unsafe { std::mem::zeroed() }
}

/// Commands that give a descriptor. As much of the union as is used: its last bytes belong to no member.
fn bpf(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<OwnedFd> {
    let size = offset_of!(bpf_attr__bindgen_ty_4, attach_btf_id) + size_of::<u32>();
    // SAFETY: `attributes` outlives the call, and the kernel may write to it; its addresses point to memory that its makers'
    // callers hold.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as u32, &raw mut *attributes, size) };
    match RawFd::try_from(result) {
        // SAFETY: each command used here returns a descriptor that is the caller's.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Fails unless what quell says and what was seen are the same.
pub(crate) fn same(what: &str, said: bool, seen: bool) -> Result<()> {
    ensure!(said == seen, "{what}: quell says {said}, and it is {seen}");
    Ok(())
}
