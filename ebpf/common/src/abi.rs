//! How a type that both sides share is declared.

/// Declares structs that the programs and the user side share: fixed layout, no padding, every bit pattern valid. On the
/// user side (feature `user`) they can be cast from bytes and copied from and to maps.
///
/// ```ignore
/// abi! {
///     /// What a probe counts.
///     pub struct Counts {
///         /// Events.
///         pub events: u64,
///     } size 8
/// }
/// ```
#[macro_export]
macro_rules! abi {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $ty:ty,)* } size $size:literal)*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name { $($(#[$field_doc])* pub $field: $ty,)* }

            const _: () = {
                assert!(size_of::<$name>() == $size, "the size of an ABI type is part of the ABI");
                assert!($(size_of::<$ty>() +)* 0 == $size, "an ABI type has no padding");
                assert!(align_of::<$name>() <= 8, "the ring buffer aligns records to 8 bytes");
            };

            $crate::user_side!($name);
        )*
    };
}

/// What the user side needs of a type.
#[cfg(feature = "user")]
#[doc(hidden)]
#[macro_export]
macro_rules! user_side {
    ($name:ident) => {
        #[allow(unsafe_code, reason = "markers of an ABI type, whose layout is asserted beside them")]
        const _: () = {
            // SAFETY: `repr(C)`, integers only, no padding (asserted by `abi!`): every bit pattern is valid.
            unsafe impl $crate::bytemuck::Zeroable for $name {}
            // SAFETY: as above.
            unsafe impl $crate::bytemuck::Pod for $name {}
            // SAFETY: as above.
            unsafe impl $crate::aya::Pod for $name {}
        };
    };
}

/// The programs need nothing besides.
#[cfg(not(feature = "user"))]
#[doc(hidden)]
#[macro_export]
macro_rules! user_side {
    ($name:ident) => {};
}
