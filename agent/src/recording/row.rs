//! Types for row numbers.

/// Defines a type for row numbers of a table, starting at 0. It has a niche, so that an `Option` has the same size: a sample contains
/// four of them.
macro_rules! row_number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::num::NonZeroU32);

        impl $name {
            /// The row with this number, starting at 0.
            ///
            /// # Panics
            /// If the number is 2^32 - 1: a table has fewer rows.
            #[must_use]
            pub const fn new(row: u32) -> Self {
                match std::num::NonZeroU32::new(row.wrapping_add(1)) {
                    Some(number) => Self(number),
                    None => panic!("a table has fewer than 2^32 - 1 rows"),
                }
            }

            /// The row at this index.
            ///
            /// # Panics
            /// If the index is 2^32 - 1 or more: a table has fewer rows.
            #[must_use]
            pub fn from_index(index: usize) -> Self {
                Self::new(u32::try_from(index).unwrap_or(u32::MAX))
            }

            /// The number, starting at 0.
            #[must_use]
            pub const fn row(self) -> u32 {
                self.0.get() - 1
            }

            /// The number as an index.
            #[must_use]
            pub const fn index(self) -> usize {
                self.row() as usize
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self.row())
            }
        }
    };
}

pub(crate) use row_number;
