//! Row numbers as types.

/// Defines the number of a row of one table. Numbers count from 0; one value is kept free, so that an `Option` of one takes no
/// more room: a sample holds four of them.
macro_rules! row_number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::num::NonZeroU32);

        impl $name {
            /// The row of this number, from 0.
            ///
            /// # Panics
            /// For 2^32 - 1: a table has fewer rows.
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
            /// From 2^32 - 1 on: a table has fewer rows.
            #[must_use]
            pub fn from_index(index: usize) -> Self {
                Self::new(u32::try_from(index).unwrap_or(u32::MAX))
            }

            /// Its number, from 0.
            #[must_use]
            pub const fn row(self) -> u32 {
                self.0.get() - 1
            }

            /// Its number, as an index.
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

pub(super) use row_number;
