//! System calls without libc.
//!
//! Distributions build libc without frame pointers: the stack of a thread that is blocked in libc lacks the function that
//! called libc. Therefore the fixtures contain the system call instruction in their own functions.

/// Makes a system call from the function that contains the macro: a number and four arguments, each a `usize` or a pointer.
/// Returns the result, or a negative errno.
#[macro_export]
macro_rules! syscall {
    ($number:expr, $a:expr, $b:expr, $c:expr, $d:expr) => {{
        let result: isize;
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(
            "syscall",
            inlateout("rax") $number as isize => result,
            in("rdi") $a, in("rsi") $b, in("rdx") $c, in("r10") $d,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            "svc 0",
            in("x8") $number as isize,
            inlateout("x0") $a => result,
            in("x1") $b, in("x2") $c, in("x3") $d,
            options(nostack),
        );
        result
    }};
}
