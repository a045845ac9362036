//! Perf events that another process opened.

use std::ffi::{c_int, c_ulong};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, IntoRawFd as _, OwnedFd};

use nix::errno::Errno;
use perf_event::hooks::sys::bindings::perf_event_attr;
use perf_event::hooks::{Hooks, RealHooks, clear_thread_hooks, set_thread_hooks};
use perf_event::{Builder, Counter};

/// The descriptor of an event, for sending it.
pub(crate) fn descriptor(counter: &Counter) -> BorrowedFd<'_> {
    // SAFETY: the counter owns the descriptor and is borrowed as long as the result is.
    unsafe { BorrowedFd::borrow_raw(counter.as_raw_fd()) }
}

/// Takes an event that another process opened with the same attributes, as if `builder` had opened it. The crate has no other way to make
/// a counter from a descriptor.
///
/// # Errors
/// The descriptor is not that of a perf event.
pub(crate) fn adopt(descriptor: OwnedFd, builder: &Builder<'_>) -> io::Result<Counter> {
    let _hooks = Hooked::new(Adopt { descriptor: Some(descriptor) });
    builder.build()
}

/// Hooks of this thread that are in effect until this is dropped.
struct Hooked;

impl Hooked {
    fn new(hooks: Adopt) -> Self {
        // SAFETY: until the hooks are cleared, this thread only builds one counter, and its ioctl goes to the kernel.
        unsafe { set_thread_hooks(Box::new(hooks)) };
        Self
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        // SAFETY: every descriptor of a counter is that of a real event, so its system calls may go to the kernel.
        unsafe { clear_thread_hooks() };
    }
}

/// Returns a descriptor instead of opening an event.
struct Adopt {
    descriptor: Option<OwnedFd>,
}

impl Hooks for Adopt {
    unsafe fn perf_event_open(
        &mut self,
        _attributes: *mut perf_event_attr,
        _pid: libc::pid_t,
        _cpu: c_int,
        _group: c_int,
        _flags: c_ulong,
    ) -> c_int {
        self.descriptor.take().map_or_else(
            || {
                Errno::EBADF.set();
                -1
            },
            // The caller owns it, as it owns a descriptor from the kernel.
            OwnedFd::into_raw_fd,
        )
    }

    unsafe fn ID(&mut self, fd: c_int, id: *mut u64) -> c_int {
        // SAFETY: the caller's guarantees are those of the real ioctl.
        unsafe { RealHooks.ID(fd, id) }
    }
}
