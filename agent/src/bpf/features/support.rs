//! Whether a feature works, and the error of the kernel if it does not.

use std::io;

use nix::errno::Errno;

/// Whether a feature works on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// The feature was tried and works.
    Yes,
    /// The kernel or the machine does not support the feature; with the reason.
    Unsupported(String),
    /// A permission is missing; with the denied step.
    Forbidden(String),
    /// The feature failed for another reason.
    Failed(String),
}

impl Support {
    /// Whether the feature works.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        *self == Self::Yes
    }

    /// The reason why the feature does not work; `None` if it works.
    #[must_use]
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Self::Yes => None,
            Self::Unsupported(why) | Self::Forbidden(why) | Self::Failed(why) => Some(why),
        }
    }

    pub(super) fn of(step: &str, result: io::Result<()>) -> Self {
        result.map_or_else(|error| Self::refused(step, &error), |()| Self::Yes)
    }

    /// The result for an error of the kernel in `step`.
    pub(super) fn refused(step: &str, error: &io::Error) -> Self {
        /// `ENOTSUPP` of include/linux/errno.h. It is not meant for user space, but some system calls return it.
        const ENOTSUPP: i32 = 524;
        let Some(number) = error.raw_os_error() else {
            return match error.kind() {
                io::ErrorKind::NotFound => Self::Unsupported(format!("{step}: {error}")),
                _ => Self::Failed(format!("{step}: {error}")),
            };
        };
        let errno = Errno::from_raw(number);
        let why = match number {
            ENOTSUPP => format!("{step}: ENOTSUPP, not supported"),
            _ => format!("{step}: {errno:?}, {}", lower_first(errno.desc())),
        };
        match errno {
            Errno::EPERM | Errno::EACCES => Self::Forbidden(why),
            _ if number == ENOTSUPP => Self::Unsupported(why),
            Errno::EINVAL | Errno::ENOENT | Errno::EOPNOTSUPP | Errno::E2BIG | Errno::ENODEV | Errno::ENOSYS => {
                Self::Unsupported(why)
            }
            _ => Self::Failed(why),
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_answers_are_told_apart() {
        let refused = |number| Support::refused("loading", &io::Error::from_raw_os_error(number));
        assert_eq!(refused(libc::EPERM), Support::Forbidden("loading: EPERM, operation not permitted".to_owned()));
        assert!(matches!(refused(libc::EINVAL), Support::Unsupported(_)));
        assert_eq!(refused(524), Support::Unsupported("loading: ENOTSUPP, not supported".to_owned()));
        assert!(matches!(refused(libc::ENOMEM), Support::Failed(_)));
    }
}
