//! Becoming a program whose memory is locked.
//!
//! `mlockall` ends with `execve`, so nobody can lock a program's memory before it runs but the program itself. A helper process
//! traces the caller across `execve`, has the new program make the call before its first instruction, and lets go of it.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Becomes `command`, with all its memory locked, now and later. Returns only with an error: where the program could not lock its
/// memory, it is ended by `SIGKILL` after a line to standard error.
pub(crate) fn locked_exec(mut command: Command) -> io::Error {
    match start_helper() {
        Ok(()) => command.exec(),
        Err(error) => error,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn start_helper() -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "locking the memory of a command is only supported on x86-64"))
}

#[cfg(target_arch = "x86_64")]
fn start_helper() -> io::Result<()> {
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;

    // SAFETY: the calls take nothing.
    let (this, thread) = unsafe { (libc::getpid(), libc::gettid()) };
    // Tried on this process first: a limit or a missing right is told before anything starts.
    // SAFETY: the calls take numbers only.
    let allowed = unsafe { libc::mlockall(libc::MCL_CURRENT) == 0 && libc::munlockall() == 0 };
    if !allowed {
        return Err(io::Error::last_os_error());
    }
    let (mut ready, report) = io::pipe()?;
    let (report_fd, ready_fd) = (report.as_raw_fd(), ready.as_raw_fd());
    // Yama lets only ancestors trace, unless the traced one says so; it stays within this user's rights.
    // SAFETY: prctl takes numbers only; where there is no Yama it fails, and nothing is to be allowed.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY, 0, 0, 0) };
    let traced = start_child(report_fd, ready_fd, thread, this).and_then(|()| {
        drop(report);
        let mut word = [0; 4];
        ready.read_exact(&mut word).map_err(|_| io::Error::other("the process that locks the memory exited early"))?;
        match i32::from_ne_bytes(word) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    });
    // What was allowed stays over execve until it is taken back (security/yama/yama_lsm.c): the program is not to have it.
    // SAFETY: as above.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, 0, 0, 0, 0) };
    traced
}

/// Starts the helper, as nobody's child.
#[cfg(target_arch = "x86_64")]
fn start_child(
    report_fd: libc::c_int,
    ready_fd: libc::c_int,
    thread: libc::pid_t,
    this: libc::pid_t,
) -> io::Result<()> {
    // SAFETY: the children make system calls only until they end, since other threads of this process may have held locks: the
    // wrappers of `close` and of those in `helper` take none.
    let child = unsafe { fork() };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    if child == 0 {
        // A child of a child: nobody's to wait for, least of all the program's.
        // SAFETY: as above.
        unsafe {
            if fork() == 0 {
                libc::close(ready_fd);
                helper::run(thread, this, report_fd);
            }
            libc::_exit(0);
        }
    }
    // SAFETY: the child is this process's own; no status is asked for.
    unsafe { libc::waitpid(child as libc::pid_t, std::ptr::null_mut(), 0) };
    Ok(())
}

/// The system call alone: fork(3) runs handlers and takes locks first, which a child of a process with threads must not
/// (glibc bug 4737).
///
/// # Safety
/// The child calls only what is async-signal-safe, and ends itself.
#[cfg(target_arch = "x86_64")]
unsafe fn fork() -> libc::c_long {
    // SAFETY: without a stack of its own and without flags it shares nothing: as fork(2).
    unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) }
}

#[cfg(target_arch = "x86_64")]
mod helper {
    use std::mem::MaybeUninit;
    use std::ptr;

    /// The instruction `syscall`, little-endian.
    const SYSCALL: libc::c_long = 0x050f;
    /// The code segment of 64-bit programs: arch/x86/include/asm/segment.h, `__USER_CS`.
    const USER_CS: u64 = 0x33;

    /// Traces a thread, says so on `report`, and waits for it to execute: it is `process` then, whatever it was before
    /// (de_thread, fs/exec.c).
    ///
    /// # Safety
    /// In a process of its own, which this ends; only async-signal-safe functions are called.
    pub(super) unsafe fn run(thread: libc::pid_t, process: libc::pid_t, report: libc::c_int) -> ! {
        // SAFETY: numbers and pointers to this function's own variables, here and below.
        unsafe {
            // Whatever ends this while it traces, the program ends too: it would run on unlocked, or with a foreign instruction.
            let options = libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
            let seized = ptrace(libc::PTRACE_SEIZE, thread, 0, options as usize);
            let word = if seized < 0 { *libc::__errno_location() } else { 0 }.to_ne_bytes();
            let written = libc::write(report, word.as_ptr().cast(), word.len());
            libc::close(report);
            if seized < 0 || written < 0 {
                libc::_exit(1);
            }
            if !lock(process) {
                let words = b"quell: could not lock the memory of the command; the command was killed\n";
                // It is still traced, and ends with this; by its number another might be hit.
                libc::write(2, words.as_ptr().cast(), words.len());
            }
            libc::_exit(0);
        }
    }

    /// Has the target lock its memory after `execve`, and lets go of it; whether that is done. A target that ended, or whose
    /// `execve` failed so that it ended, needs no more.
    unsafe fn lock(target: libc::pid_t) -> bool {
        // SAFETY: as `run`.
        unsafe {
            // Inside execve; then at its end, when the kernel has written the result where the registers are.
            if !wait(libc::SIGTRAP | libc::PTRACE_EVENT_EXEC << 8) {
                return true;
            }
            if !go_on(target) {
                return false;
            }
            let Some(before) = registers(target) else { return false };
            if before.cs != USER_CS {
                return false;
            }
            let at = before.rip as usize;
            *libc::__errno_location() = 0;
            let code = ptrace(libc::PTRACE_PEEKTEXT, target, at, 0);
            if code == -1 && *libc::__errno_location() != 0 {
                return false;
            }
            let patched = code & !0xffff | SYSCALL;
            let mut call = before;
            call.rax = libc::SYS_mlockall as u64;
            // No call is being made any more that could be made again.
            call.orig_rax = u64::MAX;
            call.rdi = (libc::MCL_CURRENT | libc::MCL_FUTURE) as u64;
            let entered = ptrace(libc::PTRACE_POKETEXT, target, at, patched as usize) == 0
                && ptrace(libc::PTRACE_SETREGS, target, 0, (&raw const call).expose_provenance()) == 0
                && go_on(target)
                && go_on(target);
            let locked = entered && registers(target).is_some_and(|after| after.rax == 0);
            let restored = ptrace(libc::PTRACE_POKETEXT, target, at, code as usize) == 0
                && ptrace(libc::PTRACE_SETREGS, target, 0, (&raw const before).expose_provenance()) == 0;
            locked && restored && ptrace(libc::PTRACE_DETACH, target, 0, 0) == 0
        }
    }

    /// Lets the target go to the next beginning or end of a system call.
    unsafe fn go_on(target: libc::pid_t) -> bool {
        // SAFETY: as `run`.
        unsafe { ptrace(libc::PTRACE_SYSCALL, target, 0, 0) == 0 && wait(libc::SIGTRAP | 0x80) }
    }

    /// Waits until the target stops for this; signals that come in between are passed on.
    unsafe fn wait(stop: libc::c_int) -> bool {
        let mut status = 0;
        // SAFETY: as `run`.
        unsafe {
            loop {
                // There is no other to wait for.
                let target = libc::waitpid(-1, &raw mut status, libc::__WALL);
                if target < 0 || !libc::WIFSTOPPED(status) {
                    return false;
                }
                if status >> 8 == stop {
                    return true;
                }
                let group_stop = status >> 16 == libc::PTRACE_EVENT_STOP;
                let signal = if group_stop || status >> 8 == libc::SIGTRAP { 0 } else { libc::WSTOPSIG(status) };
                // To the next stop of any kind: before execve no system call is of interest.
                let request = if stop == libc::SIGTRAP | 0x80 { libc::PTRACE_SYSCALL } else { libc::PTRACE_CONT };
                if ptrace(request, target, 0, signal as usize) != 0 {
                    return false;
                }
            }
        }
    }

    unsafe fn registers(target: libc::pid_t) -> Option<libc::user_regs_struct> {
        let mut registers = MaybeUninit::<libc::user_regs_struct>::uninit();
        // SAFETY: the kernel fills the whole struct where the call succeeds.
        unsafe {
            let got = ptrace(libc::PTRACE_GETREGS, target, 0, registers.as_mut_ptr().expose_provenance());
            (got == 0).then(|| registers.assume_init())
        }
    }

    unsafe fn ptrace(request: libc::c_uint, target: libc::pid_t, address: usize, data: usize) -> libc::c_long {
        // SAFETY: every caller passes what the request takes.
        unsafe {
            libc::ptrace(
                request,
                target,
                ptr::with_exposed_provenance_mut::<()>(address),
                ptr::with_exposed_provenance_mut::<()>(data),
            )
        }
    }
}
