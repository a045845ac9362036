//! Whether this program was executed with more privileges than its caller had.

/// `AT_SECURE` of the auxiliary vector (getauxval(3)): the file is set-user-id, set-group-id or has capabilities, and the caller is
/// not root.
pub(crate) fn is_secure_execution() -> bool {
    // SAFETY: the call takes a number and reads what the kernel gave this process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}
