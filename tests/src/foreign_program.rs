//! A BPF program that is not quell's.

#![allow(unsafe_code, reason = "the system call bpf(2), with instructions instead of an object file")]

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, bail};
use nix::unistd::{Pid, getsid};

/// Commands and a type of programs (include/uapi/linux/bpf.h).
const PROG_LOAD: u32 = 5;
const RAW_TRACEPOINT_OPEN: u32 = 17;
const RAW_TRACEPOINT: u32 = 17;

/// The number of turns of the program's loop, about 10 us: the verifier follows each turn.
const TURNS: i32 = 20_000;

/// The name of the program. The kernel adds a prefix (`bpf_prog_`), and a hash of the instructions.
pub const NAME: &str = "foreign_burner";

/// A loaded program that runs at each getsid(2) of any process, which few processes call, and takes about 10 us then. Dropping this
/// unloads it.
#[derive(Debug)]
pub struct ForeignProgram {
    _attached: OwnedFd,
}

/// The start of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    first: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// The same for `BPF_RAW_TRACEPOINT_OPEN`.
#[repr(C)]
struct Open {
    name: u64,
    program: u32,
    padding: u32,
}

/// An instruction (Documentation/bpf/standardization/instruction-set.rst).
const fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    code as u64
        | (destination as u64) << 8
        | (source as u64) << 12
        | (offset as u16 as u64) << 16
        | (immediate as u32 as u64) << 32
}

const INSTRUCTIONS: [u64; 9] = [
    // r2 = the number of the system call, the second argument of the tracepoint
    instruction(0x79, 2, 1, 8, 0),
    instruction(0xb7, 0, 0, 0, 0),
    // if r2 != getsid goto the last two
    instruction(0x55, 2, 0, 4, libc::SYS_getsid as i32),
    instruction(0xb7, 3, 0, 0, 0),
    // r3 += 1; r0 ^= r3; if r3 < TURNS goto 3 before the next
    instruction(0x07, 3, 0, 0, 1),
    instruction(0xaf, 0, 3, 0, 0),
    instruction(0xa5, 3, 0, -3, TURNS),
    instruction(0xb7, 0, 0, 0, 0),
    instruction(0x95, 0, 0, 0, 0),
];

impl ForeignProgram {
    /// Loads and attaches it.
    pub fn load() -> Result<Self> {
        let mut name = [0; 16];
        name[..NAME.len()].copy_from_slice(NAME.as_bytes());
        let mut load = Load {
            kind: RAW_TRACEPOINT,
            instructions: INSTRUCTIONS.len() as u32,
            first: INSTRUCTIONS.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log: 0,
            kernel_version: 0,
            flags: 0,
            name,
        };
        let program = bpf(PROG_LOAD, &mut load).context("cannot load a BPF program")?;
        let mut open =
            Open { name: c"sys_enter".as_ptr() as u64, program: program.as_raw_fd().cast_unsigned(), padding: 0 };
        let attached = bpf(RAW_TRACEPOINT_OPEN, &mut open).context("cannot attach a BPF program")?;
        Ok(Self { _attached: attached })
    }

    /// Runs the program once.
    pub fn run() -> Result<()> {
        getsid(Some(Pid::from_raw(0))).map(drop).context("getsid")
    }
}

fn bpf<T>(command: u32, attributes: &mut T) -> Result<OwnedFd> {
    // SAFETY: the attributes are those of the command, and what they point to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 {
        bail!("bpf(2): {}", io::Error::last_os_error());
    }
    // SAFETY: a descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(result)?) })
}
