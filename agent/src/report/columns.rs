//! JSON objects whose columns are written value by value, so that a table of millions of rows is never in memory.

use std::io::{self, Write};

use serde::Serialize;

use crate::text;

/// A JSON object that is being written. All strings are escaped as [`text::to_json`] does.
pub(super) struct Object<'o> {
    out: &'o mut dyn Write,
    is_empty: bool,
}

impl<'o> Object<'o> {
    /// Writes an object with the entries that `entries` adds.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub(super) fn write(
        out: &'o mut dyn Write,
        entries: impl FnOnce(&mut Object<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        out.write_all(b"{")?;
        let mut object = Object { out, is_empty: true };
        entries(&mut object)?;
        object.out.write_all(b"}")
    }

    fn key(&mut self, key: &str) -> io::Result<()> {
        if !std::mem::take(&mut self.is_empty) {
            self.out.write_all(b",")?;
        }
        text::to_json(self.out, &key)?;
        self.out.write_all(b":")
    }

    /// Adds a value.
    pub(super) fn value(&mut self, key: &str, value: impl Serialize) -> io::Result<()> {
        self.key(key)?;
        text::to_json(self.out, &value)
    }

    /// Adds an array.
    pub(super) fn column(&mut self, key: &str, values: impl IntoIterator<Item: Serialize>) -> io::Result<()> {
        self.array(key, values, |out, value| text::to_json(out, &value))
    }

    /// Adds an object.
    pub(super) fn object(
        &mut self,
        key: &str,
        entries: impl FnOnce(&mut Object<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.key(key)?;
        Object::write(self.out, entries)
    }

    /// Adds an array of objects, one for each item.
    pub(super) fn objects<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut entries: impl FnMut(&mut Object<'_>, T) -> io::Result<()>,
    ) -> io::Result<()> {
        self.array(key, items, |out, item| Object::write(out, |object| entries(object, item)))
    }

    fn array<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut dyn Write, T) -> io::Result<()>,
    ) -> io::Result<()> {
        self.key(key)?;
        self.out.write_all(b"[")?;
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.write_all(b",")?;
            }
            write(self.out, item)?;
        }
        self.out.write_all(b"]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_columns_and_values_are_json() {
        let mut out = Vec::new();
        Object::write(&mut out, |object| {
            object.value("a\u{1b}", "\u{202e}")?;
            object.column("none", std::iter::empty::<u8>())?;
            object.column("b", [Some(1.5), None])?;
            object.objects("c", [1, 2], |object, number| object.value("n", number))?;
            object.object("d", |_| Ok(()))
        })
        .expect("memory");
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text, r#"{"a\\u001b":"\\u202e","none":[],"b":[1.5,null],"c":[{"n":1},{"n":2}],"d":{}}"#);
    }
}
