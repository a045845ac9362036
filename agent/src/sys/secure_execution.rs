//! Whether this program was executed with more privileges than those of its caller.

/// `AT_SECURE` of the auxiliary vector (getauxval(3)): the file is set-user-ID, set-group-ID or has capabilities, and the
/// caller is not root.
pub(crate) fn is_secure_execution() -> bool {
    // SAFETY: the call takes a number and reads the auxiliary vector of this process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}
