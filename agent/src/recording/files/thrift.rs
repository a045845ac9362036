//! A parser of the Thrift compact protocol, for footers and page headers of Parquet.
//!
//! It allocates no memory, regardless of the stated length of a list, and the number of steps is limited by the number of
//! bytes. <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

/// The maximum depth of nested structures. Parquet's structures have a depth of up to 5.
const DEPTH: u8 = 16;

/// A description of the damage.
pub(super) type Malformed = &'static str;

const SHORT: Malformed = "it ends too early";

/// The type of a value on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// A boolean. In a field, its value is encoded in the type.
    Bool,
    Byte,
    /// An integer of 16, 32 or 64 bits: all are zigzag varints.
    Integer,
    Double,
    Binary,
    /// A list or a set.
    List,
    Map,
    Struct,
}

impl Wire {
    fn from_nibble(nibble: u8) -> Result<Self, Malformed> {
        Ok(match nibble {
            1 | 2 => Self::Bool,
            3 => Self::Byte,
            4..=6 => Self::Integer,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            _ => return Err("it holds a value of an unknown type"),
        })
    }
}

/// The bytes that remain to be read.
#[derive(Clone, Debug)]
pub(super) struct Thrift<'a> {
    rest: &'a [u8],
}

impl<'a> Thrift<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The number of remaining bytes.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Reads a structure: calls `visit` for each field with its number, and skips the fields for which it returns `false`
    /// without having read anything.
    pub(super) fn fields(
        &mut self,
        mut visit: impl FnMut(&mut Self, i16, Wire) -> Result<bool, Malformed>,
    ) -> Result<(), Malformed> {
        let mut id = 0;
        while let Some(wire) = self.next_field(&mut id)? {
            if !visit(self, id, wire)? {
                self.skip_field(wire, DEPTH)?;
            }
        }
        Ok(())
    }

    /// Reads a list of structures or of anything else: calls `visit` for each element.
    pub(super) fn list(
        &mut self,
        wire: Wire,
        mut visit: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let (element, length) = self.list_header()?;
        if length > 0 && element != wire {
            return Err("a list holds values of another type");
        }
        for _ in 0..length {
            visit(self)?;
        }
        Ok(())
    }

    pub(super) fn integer(&mut self) -> Result<i64, Malformed> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    pub(super) fn binary(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| SHORT)?;
        self.take(length)
    }

    /// An unsigned number in groups of seven bits, lowest first.
    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("it holds a number of more than 64 bits")
    }

    fn next_field(&mut self, id: &mut i16) -> Result<Option<Wire>, Malformed> {
        let header = self.byte()?;
        if header == 0 {
            return Ok(None);
        }
        *id = match header >> 4 {
            0 => i16::try_from(self.integer()?).map_err(|_| "it holds a field of an impossible number")?,
            delta => id.checked_add(i16::from(delta)).ok_or("it holds a field of an impossible number")?,
        };
        Wire::from_nibble(header & 15).map(Some)
    }

    fn list_header(&mut self) -> Result<(Wire, u64), Malformed> {
        let header = self.byte()?;
        // Some writers omit the type of an empty list.
        if header == 0 {
            return Ok((Wire::Byte, 0));
        }
        let length = match header >> 4 {
            15 => self.varint()?,
            length => u64::from(length),
        };
        // Each element takes at least one byte.
        if length > self.rest.len() as u64 {
            return Err(SHORT);
        }
        Ok((Wire::from_nibble(header & 15)?, length))
    }

    fn skip_field(&mut self, wire: Wire, depth: u8) -> Result<(), Malformed> {
        // In a field, the value of a boolean is encoded in the type; in a list, it takes a byte.
        if wire == Wire::Bool { Ok(()) } else { self.skip(wire, depth) }
    }

    fn skip(&mut self, wire: Wire, depth: u8) -> Result<(), Malformed> {
        let depth = depth.checked_sub(1).ok_or("its structures are nested too deep")?;
        match wire {
            Wire::Bool | Wire::Byte => self.byte().map(|_| ()),
            Wire::Integer => self.varint().map(|_| ()),
            Wire::Double => self.take(8).map(|_| ()),
            Wire::Binary => self.binary().map(|_| ()),
            Wire::List => {
                let (element, length) = self.list_header()?;
                (0..length).try_for_each(|_| self.skip(element, depth))
            }
            Wire::Map => {
                let length = self.varint()?;
                if length == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                let (key, value) = (Wire::from_nibble(kinds >> 4)?, Wire::from_nibble(kinds & 15)?);
                (0..length).try_for_each(|_| self.skip(key, depth).and_then(|()| self.skip(value, depth)))
            }
            Wire::Struct => {
                let mut id = 0;
                while let Some(field) = self.next_field(&mut id)? {
                    self.skip_field(field, depth)?;
                }
                Ok(())
            }
        }
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_that_nobody_asks_for_are_passed_over() {
        // 1: integer 5; 2: list of two structures, each empty; 3: true; 4: binary "ab"; 20: integer -1; stop.
        let bytes = [0x15, 10, 0x19, 0x2c, 0, 0, 0x11, 0x18, 2, b'a', b'b', 0x05, 40, 1, 0];
        let mut found = Vec::new();
        let mut thrift = Thrift::new(&bytes);
        thrift
            .fields(|thrift, id, wire| {
                if wire == Wire::Integer {
                    found.push((id, thrift.integer()?));
                }
                Ok(wire == Wire::Integer)
            })
            .expect("a structure");
        assert_eq!(found, [(1, 5), (20, -1)]);
        assert_eq!(thrift.left(), 0);
    }

    #[test]
    fn what_is_nested_without_end_and_what_is_longer_than_the_file_are_errors() {
        let nested = vec![0x1c; 100_000];
        assert!(Thrift::new(&nested).fields(|_, _, _| Ok(false)).is_err());
        // A list of 2^32 structures in seven bytes.
        let long = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(Thrift::new(&long).fields(|_, _, _| Ok(false)), Err(SHORT));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _either = Thrift::new(&bytes).fields(|_, _, _| Ok(false));
        }
    }
}
