//! System calls without libc.
//!
//! Distributions build libc without frame pointers: a stack that is walked while a thread is blocked in libc loses
//! the function that called it. The instruction stands in the fixture's own function instead.

/// Enters the kernel from the function that this stands in: number and four arguments, all `usize`. Gives the
/// result, or a negative errno.
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
