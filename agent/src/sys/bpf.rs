//! The `bpf` system call, as far as trying out a kernel needs it: programs that return 0 and do nothing else.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya_obj::generated::{
    BPF_ALU64, BPF_EXIT, BPF_JMP, BPF_K, BPF_MOV, bpf_attach_type, bpf_attr, bpf_attr__bindgen_ty_4, bpf_cmd, bpf_insn,
};

pub(crate) use aya_obj::generated::{bpf_attach_type as AttachType, bpf_prog_type as ProgramType};

/// Loads a program of one type that returns 0. Some types name the kernel's type id of what they attach to.
///
/// # Errors
/// What the kernel says.
pub(crate) fn load(kind: ProgramType, target: Option<(AttachType, u32)>) -> io::Result<OwnedFd> {
    let instructions = [instruction(BPF_ALU64 | BPF_MOV | BPF_K), instruction(BPF_JMP | BPF_EXIT)];
    let mut attributes = zeroed();
    // SAFETY: `attributes` is all zero, which is a valid value of every member of the union.
    let program = unsafe { &mut attributes.__bindgen_anon_3 };
    program.prog_type = kind as u32;
    program.insns = instructions.as_ptr() as u64;
    program.insn_cnt = instructions.len() as u32;
    program.license = c"GPL".as_ptr() as u64;
    if let Some((attach, id)) = target {
        program.expected_attach_type = attach as u32;
        program.attach_btf_id = id;
    }
    // SAFETY: the command gives a descriptor; the instructions and the licence live until the end of this function.
    unsafe { descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attributes) }
}

/// Attaches a program to what it was loaded for; closing the result detaches.
///
/// # Errors
/// What the kernel says.
pub(crate) fn attach_tracing(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = zeroed();
    attributes.raw_tracepoint.prog_fd = program.as_raw_fd() as u32;
    // SAFETY: the command gives a descriptor; no addresses are in it: the name is null.
    unsafe { descriptor(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attributes) }
}

/// Links an iterator program, which only runs when it is read.
///
/// # Errors
/// What the kernel says.
pub(crate) fn link_iterator(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = zeroed();
    attributes.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attributes.link_create.attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
    // SAFETY: the command gives a descriptor; no addresses are in it.
    unsafe { descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attributes) }
}

/// An instruction on register 0 with the immediate 0.
fn instruction(code: u32) -> bpf_insn {
    // SAFETY: `bpf_insn` is integers only.
    let mut instruction: bpf_insn = unsafe { std::mem::zeroed() };
    instruction.code = code as u8;
    instruction
}

fn zeroed() -> bpf_attr {
    // SAFETY: `bpf_attr` is a union of structs of integers.
    unsafe { std::mem::zeroed() }
}

/// As much of the union as is used here: it ends in bytes that belong to no member, which a copy need not keep zero as the kernel
/// wants them (`CHECK_ATTR`, kernel/bpf/syscall.c).
const SIZE: usize = offset_of!(bpf_attr__bindgen_ty_4, attach_btf_id) + size_of::<u32>();

/// The descriptor that a command gives.
///
/// # Safety
/// The command is one that gives a descriptor to who calls it, and the addresses in `attributes` point to what it expects there.
unsafe fn descriptor(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: `attributes` outlives the call, is longer than `SIZE`, and the kernel may write to it; what it points to, the
    // caller promises.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as u32, &raw mut *attributes, SIZE) };
    match i32::try_from(result) {
        // SAFETY: it is the caller's, who asked for it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
