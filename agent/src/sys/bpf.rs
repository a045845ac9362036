//! The `bpf` system call, as needed to try kernel features: loads programs that only return 0.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya_obj::generated::{
    BPF_ALU64, BPF_EXIT, BPF_JMP, BPF_K, BPF_MOV, bpf_attach_type, bpf_attr, bpf_attr__bindgen_ty_4, bpf_cmd, bpf_insn,
};

pub(crate) use aya_obj::generated::{bpf_attach_type as AttachType, bpf_prog_type as ProgramType};

/// Loads a program of one type that returns 0. For some types, `target` is the attach type and the BTF type ID of the attach
/// target.
///
/// # Errors
/// The error of the kernel.
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
    // SAFETY: the command returns a descriptor; the instructions and the licence live until the end of this function.
    unsafe { descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attributes) }
}

/// Attaches a program to its target. Closing the returned descriptor detaches it.
///
/// # Errors
/// The error of the kernel.
pub(crate) fn attach_tracing(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = zeroed();
    attributes.raw_tracepoint.prog_fd = program.as_raw_fd() as u32;
    // SAFETY: the command returns a descriptor, and the attributes contain no addresses: the name is null.
    unsafe { descriptor(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attributes) }
}

/// Links an iterator program. It runs only when the iterator is read.
///
/// # Errors
/// The error of the kernel.
pub(crate) fn link_iterator(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = zeroed();
    attributes.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attributes.link_create.attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
    // SAFETY: the command returns a descriptor, and the attributes contain no addresses.
    unsafe { descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attributes) }
}

/// An instruction on register 0 with the immediate 0.
fn instruction(code: u32) -> bpf_insn {
    // SAFETY: `bpf_insn` contains only integers.
    let mut instruction: bpf_insn = unsafe { std::mem::zeroed() };
    instruction.code = code as u8;
    instruction
}

fn zeroed() -> bpf_attr {
    // SAFETY: `bpf_attr` is a union of structs of integers.
    unsafe { std::mem::zeroed() }
}

/// The size of the used part of the union. The union ends in padding bytes, which a copy may change, but the kernel requires
/// all bytes after the used part to be zero (`CHECK_ATTR`, kernel/bpf/syscall.c).
const SIZE: usize = offset_of!(bpf_attr__bindgen_ty_4, attach_btf_id) + size_of::<u32>();

/// Calls `bpf` with a command that returns a descriptor.
///
/// # Safety
/// The command returns a new descriptor, and the addresses in `attributes` point to what the command expects.
unsafe fn descriptor(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: `attributes` outlives the call, is longer than `SIZE`, and may be written by the kernel. The caller guarantees
    // that the addresses in it are valid.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as u32, &raw mut *attributes, SIZE) };
    match i32::try_from(result) {
        // SAFETY: the descriptor is new, so nothing else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
