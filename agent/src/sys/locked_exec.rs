//! Executes a program whose memory is locked.
//!
//! `mlockall` does not survive `execve`, so only the program itself can lock its memory. A helper process traces the caller
//! across `execve`, makes the new program call `mlockall` before its first instruction, and detaches.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Executes `command` in this process, with all current and future memory locked. Returns only on error. If the program cannot
/// lock its memory, it is killed by `SIGKILL` after a message on stderr.
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

    // SAFETY: the calls take no arguments.
    let (this, thread) = unsafe { (libc::getpid(), libc::gettid()) };
    // Tried in this process first, so that an exceeded limit or a missing capability is reported before the program starts.
    // SAFETY: the calls take only numbers.
    let allowed = unsafe { libc::mlockall(libc::MCL_CURRENT) == 0 && libc::munlockall() == 0 };
    if !allowed {
        return Err(io::Error::last_os_error());
    }
    let (mut ready, report) = io::pipe()?;
    let (report_fd, ready_fd) = (report.as_raw_fd(), ready.as_raw_fd());
    // Yama permits tracing only by ancestors, unless the traced process allows others. The usual permission checks still apply.
    // SAFETY: prctl takes only numbers. Without Yama it fails, and no permission is needed.
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
    // The permission survives execve (security/yama/yama_lsm.c), so it is revoked: the program must not have it.
    // SAFETY: as above.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, 0, 0, 0, 0) };
    traced
}

/// Starts the helper, and detaches it from this process.
#[cfg(target_arch = "x86_64")]
fn start_child(
    report_fd: libc::c_int,
    ready_fd: libc::c_int,
    thread: libc::pid_t,
    this: libc::pid_t,
) -> io::Result<()> {
    // SAFETY: the children only make system calls until they exit, because other threads of this process may have held locks.
    // The wrappers of `close` and of the calls in `helper` take no locks.
    let child = unsafe { fork() };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    if child == 0 {
        // A grandchild, so that neither this process nor the program has to wait for it.
        // SAFETY: as above.
        unsafe {
            if fork() == 0 {
                libc::close(ready_fd);
                helper::run(thread, this, report_fd);
            }
            libc::_exit(0);
        }
    }
    // SAFETY: the process is a child of this one, and no status is requested.
    unsafe { libc::waitpid(child as libc::pid_t, std::ptr::null_mut(), 0) };
    Ok(())
}

/// Calls only the system call. fork(3) first runs handlers and takes locks, which is not safe in a child of a multi-threaded
/// process (glibc bug 4737).
///
/// # Safety
/// The child calls only async-signal-safe functions, and exits.
#[cfg(target_arch = "x86_64")]
unsafe fn fork() -> libc::c_long {
    // SAFETY: without a new stack and without flags, nothing is shared, as with fork(2).
    unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) }
}

#[cfg(target_arch = "x86_64")]
mod helper {
    use std::mem::MaybeUninit;
    use std::ptr;

    /// The instruction `syscall`, little-endian.
    const SYSCALL: libc::c_long = 0x050f;
    /// The code segment of 64-bit programs (`__USER_CS`, arch/x86/include/asm/segment.h).
    const USER_CS: u64 = 0x33;

    /// Traces a thread, reports this on `report`, and waits until it executes a program. After that, its ID is `process`, even
    /// if it was not the main thread (de_thread, fs/exec.c).
    ///
    /// # Safety
    /// Must be called in a separate process, which this function exits, and which calls only async-signal-safe functions.
    pub(super) unsafe fn run(thread: libc::pid_t, process: libc::pid_t, report: libc::c_int) -> ! {
        // SAFETY: here and below, the arguments are numbers and pointers to local variables of this function.
        unsafe {
            // If the helper dies while it traces, the program must be killed too: it would continue without locked memory, or
            // with a patched instruction.
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
                // The program is still traced, and is killed when the helper exits. Killing it by PID might hit another
                // process.
                libc::write(2, words.as_ptr().cast(), words.len());
            }
            libc::_exit(0);
        }
    }

    /// Makes the target lock its memory after `execve`, and detaches. Returns whether this succeeded. Also returns `true` for a
    /// target that exited, such as after a failed `execve`.
    unsafe fn lock(target: libc::pid_t) -> bool {
        // SAFETY: as `run`.
        unsafe {
            // First the stop inside execve, then the stop at its end, when the kernel has written the result to the registers.
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
            // No system call is in progress, so none must be restarted.
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

    /// Lets the target run to the next entry or exit of a system call.
    unsafe fn go_on(target: libc::pid_t) -> bool {
        // SAFETY: as `run`.
        unsafe { ptrace(libc::PTRACE_SYSCALL, target, 0, 0) == 0 && wait(libc::SIGTRAP | 0x80) }
    }

    /// Waits until the target stops with this status. Signals that arrive before are passed on.
    unsafe fn wait(stop: libc::c_int) -> bool {
        let mut status = 0;
        // SAFETY: as `run`.
        unsafe {
            loop {
                // The target is the only process to wait for.
                let target = libc::waitpid(-1, &raw mut status, libc::__WALL);
                if target < 0 || !libc::WIFSTOPPED(status) {
                    return false;
                }
                if status >> 8 == stop {
                    return true;
                }
                let group_stop = status >> 16 == libc::PTRACE_EVENT_STOP;
                let signal = if group_stop || status >> 8 == libc::SIGTRAP { 0 } else { libc::WSTOPSIG(status) };
                // Continues to the next stop of any kind. Before execve, system calls are not of interest.
                let request = if stop == libc::SIGTRAP | 0x80 { libc::PTRACE_SYSCALL } else { libc::PTRACE_CONT };
                if ptrace(request, target, 0, signal as usize) != 0 {
                    return false;
                }
            }
        }
    }

    unsafe fn registers(target: libc::pid_t) -> Option<libc::user_regs_struct> {
        let mut registers = MaybeUninit::<libc::user_regs_struct>::uninit();
        // SAFETY: the kernel fills the whole struct if the call succeeds.
        unsafe {
            let got = ptrace(libc::PTRACE_GETREGS, target, 0, registers.as_mut_ptr().expose_provenance());
            (got == 0).then(|| registers.assume_init())
        }
    }

    unsafe fn ptrace(request: libc::c_uint, target: libc::pid_t, address: usize, data: usize) -> libc::c_long {
        // SAFETY: all callers pass the arguments that the request requires.
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
