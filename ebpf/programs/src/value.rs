//! Values of maps, which others touch at the same time: other CPUs, programs that interrupt this one, the user side.
//!
//! No reference to such a value is ever made: it would promise the compiler that nobody else writes. Each field is loaded
//! and stored by itself, volatile, in one instruction where it is an integer, as by the kernel's READ_ONCE and WRITE_ONCE: that
//! it is not torn is the machine's promise, not the language's.

/// A value of a map, or of what lies in it.
#[derive(Clone, Copy)]
pub struct Value<T>(*mut T);

impl<T> Value<T> {
    /// From what a look-up gives.
    ///
    /// # Safety
    /// `value` is of an array, or of a preallocated hash map: the kernel keeps their memory for as long as the map lives
    /// (an element that is removed from a hash map is used anew, kernel/bpf/hashtab.c).
    #[inline(always)]
    pub unsafe fn new(value: *mut T) -> Self {
        Self(value)
    }

    /// For [`load`] and [`store`].
    #[inline(always)]
    pub fn as_ptr(self) -> *mut T {
        self.0
    }
}

/// Loads a field.
macro_rules! load {
    ($value:ident.$field:ident$([$index:literal])?$(.$inner:ident)?) => {
        // SAFETY: a field of a live value of a map (`Value`), aligned as its type is; any bits are valid integers.
        unsafe {
            core::ptr::read_volatile(&raw const (*$crate::value::Value::as_ptr($value)).$field$([$index])?$(.$inner)?)
        }
    };
}

/// Stores a field.
macro_rules! store {
    ($value:ident.$field:ident$([$index:literal])?$(.$inner:ident)?, $new:expr) => {{
        let new = $new;
        // SAFETY: as in `load`.
        unsafe {
            core::ptr::write_volatile(
                &raw mut (*$crate::value::Value::as_ptr($value)).$field$([$index])?$(.$inner)?,
                new,
            )
        }
    }};
}

/// Adds one to a counter. What programs that interrupt this one on its CPU add between the load and the store is lost: an
/// interrupt's one. The iterators may be interrupted by other threads, so that the losses that they count themselves may be too
/// low by what came meanwhile. An atomic addition would cost several times as much on every context switch.
macro_rules! count {
    ($counts:ident.$field:ident) => {
        $crate::value::store!($counts.$field, $crate::value::load!($counts.$field) + 1)
    };
}

pub(crate) use {count, load, store};
