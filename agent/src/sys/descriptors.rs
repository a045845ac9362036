//! Prevents programs that quell starts from inheriting descriptors.

use nix::errno::Errno;

/// `CLOSE_RANGE_CLOEXEC`, include/uapi/linux/close_range.h (5.11).
const CLOSE_RANGE_CLOEXEC: libc::c_uint = 1 << 2;

/// Sets close-on-exec for all descriptors after stderr. The descriptors of quell already have it, but descriptors that the
/// caller of quell left open may not.
pub(crate) fn close_on_exec() {
    // SAFETY: the call sets a flag of descriptors and accesses no memory.
    let all = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, CLOSE_RANGE_CLOEXEC) };
    if all == 0 {
        return;
    }
    // EINVAL before 5.11, ENOSYS before 5.9; EPERM if seccomp denies it.
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<libc::c_int>().ok());
    for number in numbers.filter(|number| *number > 2).collect::<Vec<_>>() {
        // SAFETY: fcntl sets a flag of a descriptor; if it has been closed in the meantime, the error is EBADF.
        let _ = Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) });
    }
}
