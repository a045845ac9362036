//! A reader of BTF, the kernel's own type information, which contains the offsets of struct members in the running kernel.
//!
//! aya-ebpf emits no CO-RE relocations, so the offsets that eBPF programs need are looked up here and passed to them as
//! read-only globals. The format is described in include/uapi/linux/btf.h and Documentation/bpf/btf.rst. aya-obj can parse BTF
//! too, but its public interface only finds type IDs, not members.

use std::io;
use std::path::{Path, PathBuf};

/// The file with the BTF of the running kernel, if it was built with `CONFIG_DEBUG_INFO_BTF` (since 5.4).
const KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// `BTF_MAGIC` (include/uapi/linux/btf.h), in the byte order of the writer.
const MAGIC: u16 = 0xEB9F;

/// The maximum depth of nested structs and of chains of types: more levels mean a loop in a malformed blob.
const DEEPEST: usize = 32;

/// The reason why there is no type information.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file cannot be read.
    #[error("could not read {}; a kernel built with CONFIG_DEBUG_INFO_BTF has it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of open(2) or read(2).
        source: io::Error,
    },
    /// The data is not valid BTF, or has the other byte order.
    #[error("not BTF: {0}")]
    Malformed(&'static str),
}

/// A member of a struct, or of an anonymous struct or union inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The offset from the start of the outermost struct, in bits.
    pub bit_offset: u32,
    /// The size in bits.
    pub bits: u64,
}

impl Member {
    /// The offset from the start of the outermost struct in bytes, rounded down for a bit field.
    #[must_use]
    pub fn byte(&self) -> u32 {
        self.bit_offset / 8
    }

    /// The size in bytes, rounded up for a bit field.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bits.div_ceil(8)
    }
}

/// A struct in the BTF of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Structure<'a> {
    btf: &'a Btf,
    record: Record,
}

impl Structure<'_> {
    /// The member with this name, including the members of anonymous structs and unions inside the struct.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Member> {
        self.btf.member_in(self.record, name, 0)
    }

    /// A member or nested member by its path, such as `["sched_info", "run_delay"]`.
    #[must_use]
    pub fn member_at(&self, path: &[&str]) -> Option<Member> {
        let (first, rest) = path.split_first()?;
        let place = self.btf.place_in(self.record, first, 0)?;
        if rest.is_empty() {
            return self.btf.member_of(place);
        }
        let inner = Structure { btf: self.btf, record: self.btf.resolve(place.type_id)? };
        let member = inner.member_at(rest)?;
        Some(Member { bit_offset: member.bit_offset.checked_add(place.bit_offset)?, ..member })
    }
}

/// The type information of a kernel.
#[derive(Debug)]
pub struct Btf {
    data: Vec<u8>,
    strings: std::ops::Range<usize>,
    /// The offset of each type in `data`; the type with ID N is at index N - 1.
    types: Vec<u32>,
}

impl Btf {
    /// Reads the BTF of the running kernel.
    ///
    /// # Errors
    /// The kernel has no BTF, or it cannot be read or parsed.
    pub fn kernel() -> Result<Self, BtfError> {
        let path = Path::new(KERNEL);
        let data = std::fs::read(path).map_err(|source| BtfError::Read { path: path.to_owned(), source })?;
        Self::parse(data)
    }

    /// Parses a BTF blob in the byte order of this machine.
    ///
    /// # Errors
    /// The blob is malformed.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let header = |offset: usize| word(&data, offset).ok_or(BtfError::Malformed("shorter than its header"));
        if data.get(..2) != Some(&MAGIC.to_ne_bytes()) {
            return Err(BtfError::Malformed("it does not begin with the magic number of this byte order"));
        }
        // struct btf_header: magic, version, flags, hdr_len, type_off, type_len, str_off, str_len.
        let [length, type_offset, type_length, string_offset, string_length] =
            [header(4)?, header(8)?, header(12)?, header(16)?, header(20)?].map(|value| value as usize);
        let section = |offset: usize, size: usize, what| {
            let begin = length.checked_add(offset).ok_or(BtfError::Malformed(what))?;
            let end = begin.checked_add(size).filter(|end| *end <= data.len()).ok_or(BtfError::Malformed(what))?;
            Ok(begin..end)
        };
        let strings = section(string_offset, string_length, "its strings end behind the file")?;
        let section = section(type_offset, type_length, "its types end behind the file")?;
        let mut types = Vec::with_capacity(type_length / 32);
        let mut next = section.start;
        while next < section.end {
            let info = word(&data, next + 4).ok_or(BtfError::Malformed("a type ends behind the file"))?;
            let size = record_bytes(info).ok_or(BtfError::Malformed("a type of unknown kind"))?;
            types.push(u32::try_from(next).map_err(|_| BtfError::Malformed("larger than 4 GiB"))?);
            next += size;
        }
        if next != section.end {
            return Err(BtfError::Malformed("the last type ends behind its section"));
        }
        Ok(Self { data, strings, types })
    }

    /// The BTF blob as it was read, without changes.
    pub(crate) fn blob(&self) -> &[u8] {
        &self.data
    }

    /// The number of types.
    #[must_use]
    pub fn types(&self) -> usize {
        self.types.len()
    }

    /// The struct with this name. Looking up a struct scans all types; looking up its members does not.
    #[must_use]
    pub fn structure(&self, name: &str) -> Option<Structure<'_>> {
        let (_, record) = self.named(kind::STRUCT, name).next()?;
        Some(Structure { btf: self, record })
    }

    /// The number of parameters of the function prototype that `btf_trace_NAME` points to: a leading `void *` and the arguments
    /// of the tracepoint (include/trace/bpf_probe.h).
    #[must_use]
    pub fn tracepoint_arguments(&self, name: &str) -> Option<usize> {
        let (_, typedef) = self.named(kind::TYPEDEF, &format!("btf_trace_{name}")).next()?;
        let pointer = self.record(typedef.size_or_type)?;
        let prototype = self.record(pointer.size_or_type)?;
        (pointer.kind() == kind::PTR && prototype.kind() == kind::FUNC_PROTO).then(|| prototype.vlen())
    }

    /// The type ID of `btf_trace_NAME`, which is the attach target of a `tp_btf` program.
    pub(crate) fn tracepoint_id(&self, name: &str) -> Option<u32> {
        self.named(kind::TYPEDEF, &format!("btf_trace_{name}")).next().map(|(id, _)| id)
    }

    /// The type ID of a kernel function.
    pub(crate) fn function_id(&self, name: &str) -> Option<u32> {
        self.named(kind::FUNC, name).next().map(|(id, _)| id)
    }

    fn named<'a>(&'a self, kind: u32, name: &'a str) -> impl Iterator<Item = (u32, Record)> + 'a {
        (1u32..)
            .map_while(|id| Some((id, self.record(id)?)))
            .filter(move |(_, record)| record.kind() == kind && self.is_named(record.name, name))
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        let begin = self.strings.start + offset as usize;
        self.data
            .get(begin..self.strings.end)
            .is_some_and(|strings| strings.starts_with(name.as_bytes()) && strings.get(name.len()) == Some(&0))
    }

    fn record(&self, id: u32) -> Option<Record> {
        let offset = *self.types.get((id as usize).checked_sub(1)?)? as usize;
        let field = |index: usize| word(&self.data, offset + 4 * index);
        Some(Record { offset, name: field(0)?, info: field(1)?, size_or_type: field(2)? })
    }

    fn member_in(&self, outer: Record, name: &str, depth: usize) -> Option<Member> {
        self.member_of(self.place_in(outer, name, depth)?)
    }

    fn member_of(&self, Place { type_id, bit_offset, width }: Place) -> Option<Member> {
        match width {
            0 => self.plain_member(type_id, bit_offset),
            _ => Some(Member { bit_offset, bits: u64::from(width) }),
        }
    }

    fn place_in(&self, outer: Record, name: &str, depth: usize) -> Option<Place> {
        if depth == DEEPEST {
            return None;
        }
        for index in 0..outer.vlen() {
            // struct btf_member: name_off, type, offset.
            let at = outer.offset + Record::BYTES + 12 * index;
            let [name_offset, type_id, offset] =
                [word(&self.data, at)?, word(&self.data, at + 4)?, word(&self.data, at + 8)?];
            // If kind_flag is set, the upper byte is the width of a bit field, or 0 for other members.
            let (bit_offset, width) =
                if outer.kind_flag() { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
            if self.is_named(name_offset, name) {
                return Some(Place { type_id, bit_offset, width });
            }
            if self.is_named(name_offset, "")
                && let Some(inner) = self.resolve(type_id)
                && matches!(inner.kind(), kind::STRUCT | kind::UNION)
                && let Some(place) = self.place_in(inner, name, depth + 1)
            {
                return Some(Place { bit_offset: place.bit_offset + bit_offset, ..place });
            }
        }
        None
    }

    /// A member with the width of its type. An integer type may itself encode a bit field, which is the older encoding.
    fn plain_member(&self, type_id: u32, bit_offset: u32) -> Option<Member> {
        let record = self.resolve(type_id)?;
        if record.kind() == kind::INT {
            let encoding = word(&self.data, record.offset + Record::BYTES)?;
            let (bits, shift) = (encoding & 0xff, (encoding >> 16) & 0xff);
            return Some(Member { bit_offset: bit_offset + shift, bits: u64::from(bits) });
        }
        Some(Member { bit_offset, bits: 8 * self.size(record, 0)? })
    }

    fn size(&self, record: Record, depth: usize) -> Option<u64> {
        match record.kind() {
            _ if depth == DEEPEST => None,
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::FLOAT | kind::ENUM64 => {
                Some(u64::from(record.size_or_type))
            }
            kind::PTR => Some(size_of::<usize>() as u64),
            kind::ARRAY => {
                // struct btf_array: type, index_type, nelems.
                let at = record.offset + Record::BYTES;
                let element = self.resolve(word(&self.data, at)?)?;
                self.size(element, depth + 1)?.checked_mul(u64::from(word(&self.data, at + 8)?))
            }
            _ => None,
        }
    }

    /// The type after resolving typedefs, qualifiers and type tags.
    fn resolve(&self, mut id: u32) -> Option<Record> {
        for _ in 0..DEEPEST {
            let record = self.record(id)?;
            match record.kind() {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = record.size_or_type;
                }
                _ => return Some(record),
            }
        }
        None
    }
}

/// Kinds of types: `BTF_KIND_*` of include/uapi/linux/btf.h.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FWD: u32 = 7;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const FLOAT: u32 = 16;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// The position of a member, and its type.
#[derive(Clone, Copy, Debug)]
struct Place {
    type_id: u32,
    /// The offset from the start of the outermost struct, in bits.
    bit_offset: u32,
    /// The width of a bit field in bits; 0 for other members.
    width: u32,
}

/// `struct btf_type`.
#[derive(Clone, Copy, Debug)]
struct Record {
    offset: usize,
    name: u32,
    info: u32,
    size_or_type: u32,
}

impl Record {
    const BYTES: usize = 12;

    fn kind(self) -> u32 {
        info_kind(self.info)
    }

    fn vlen(self) -> usize {
        info_vlen(self.info)
    }

    fn kind_flag(self) -> bool {
        self.info >> 31 == 1
    }
}

fn info_kind(info: u32) -> u32 {
    (info >> 24) & 0x1f
}

fn info_vlen(info: u32) -> usize {
    (info & 0xffff) as usize
}

/// The size of a type's record and of the data that follows it, in bytes; `None` for an unknown kind, after which no type can
/// be located.
fn record_bytes(info: u32) -> Option<usize> {
    let vlen = info_vlen(info);
    let tail = match info_kind(info) {
        kind::PTR
        | kind::FWD
        | kind::TYPEDEF
        | kind::VOLATILE
        | kind::CONST
        | kind::RESTRICT
        | kind::FUNC
        | kind::FLOAT
        | kind::TYPE_TAG => 0,
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * vlen,
        kind::ENUM | kind::FUNC_PROTO => 8 * vlen,
        _ => return None,
    };
    Some(Record::BYTES + tail)
}

fn word(data: &[u8], offset: usize) -> Option<u32> {
    let bytes = data.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().expect("the slice is 4 bytes long")))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn member(btf: &Btf, of: &str, name: &str) -> Option<Member> {
        btf.structure(of)?.member(name)
    }

    /// Builds a BTF blob by hand.
    pub(crate) struct Blob {
        strings: Vec<u8>,
        types: Vec<u8>,
        count: u32,
    }

    impl Blob {
        pub(crate) fn new() -> Self {
            Self { strings: vec![0], types: Vec::new(), count: 0 }
        }

        fn string(&mut self, text: &str) -> u32 {
            if text.is_empty() {
                return 0;
            }
            let offset = self.strings.len() as u32;
            self.strings.extend(text.bytes().chain([0]));
            offset
        }

        fn add(&mut self, name: &str, info: u32, size_or_type: u32, tail: &[u32]) -> u32 {
            let name = self.string(name);
            for word in [name, info, size_or_type].iter().chain(tail) {
                self.types.extend(word.to_ne_bytes());
            }
            self.count += 1;
            self.count
        }

        pub(crate) fn int(&mut self, bytes: u32) -> u32 {
            self.add("int", kind::INT << 24, bytes, &[8 * bytes])
        }

        pub(crate) fn array(&mut self, element: u32, length: u32) -> u32 {
            self.add("", kind::ARRAY << 24, 0, &[element, element, length])
        }

        /// Members are name, type, bit offset and width (0 if the member is not a bit field).
        pub(crate) fn aggregate(&mut self, kind: u32, name: &str, members: &[(&str, u32, u32, u32)]) -> u32 {
            let tail: Vec<u32> = members
                .iter()
                .flat_map(|(name, type_id, offset, width)| [self.string(name), *type_id, offset | (width << 24)])
                .collect();
            self.add(name, (1 << 31) | (kind << 24) | members.len() as u32, 64, &tail)
        }

        pub(crate) fn structure(&mut self, name: &str, members: &[(&str, u32, u32, u32)]) -> u32 {
            self.aggregate(kind::STRUCT, name, members)
        }

        pub(crate) fn tracepoint(&mut self, name: &str, parameters: u32) {
            let tail = vec![0; 2 * parameters as usize];
            let prototype = self.add("", (kind::FUNC_PROTO << 24) | parameters, 0, &tail);
            let pointer = self.add("", kind::PTR << 24, prototype, &[]);
            self.add(&format!("btf_trace_{name}"), kind::TYPEDEF << 24, pointer, &[]);
        }

        pub(crate) fn bytes(&self) -> Vec<u8> {
            let [types, strings] = [self.types.len() as u32, self.strings.len() as u32];
            let mut blob = Vec::new();
            blob.extend(MAGIC.to_ne_bytes());
            blob.extend([1, 0]);
            for word in [24, 0, types, types, strings] {
                blob.extend(word.to_ne_bytes());
            }
            blob.extend(&self.types);
            blob.extend(&self.strings);
            blob
        }

        pub(crate) fn parse(&self) -> Btf {
            Btf::parse(self.bytes()).expect("a well-formed blob")
        }
    }

    #[test]
    fn a_member_is_found_through_nameless_structs_and_unions() {
        let mut blob = Blob::new();
        let int = blob.int(4);
        let inner = blob.structure("", &[("deep", int, 32, 0)]);
        let middle = blob.aggregate(kind::UNION, "", &[("shallow", int, 0, 0), ("", inner, 64, 0)]);
        blob.structure("outer", &[("first", int, 0, 0), ("", middle, 128, 0)]);
        let btf = blob.parse();
        assert_eq!(member(&btf, "outer", "deep"), Some(Member { bit_offset: 128 + 64 + 32, bits: 32 }));
        assert_eq!(member(&btf, "outer", "shallow"), Some(Member { bit_offset: 128, bits: 32 }));
        assert_eq!(member(&btf, "outer", "absent"), None);
        assert_eq!(member(&btf, "absent", "first"), None);
    }

    #[test]
    fn a_bit_field_and_an_array_have_their_own_widths() {
        let mut blob = Blob::new();
        let byte = blob.int(1);
        let comm = blob.array(byte, 16);
        blob.structure("task", &[("flag", byte, 13, 1), ("comm", comm, 64, 0)]);
        let btf = blob.parse();
        assert_eq!(member(&btf, "task", "flag"), Some(Member { bit_offset: 13, bits: 1 }));
        let comm = member(&btf, "task", "comm").expect("a member");
        assert_eq!((comm.byte(), comm.bytes()), (8, 16));
    }

    #[test]
    fn a_name_that_only_begins_like_another_is_another() {
        let mut blob = Blob::new();
        let int = blob.int(4);
        blob.structure("task_struct", &[("pid_links", int, 0, 0), ("pid", int, 32, 0)]);
        assert_eq!(member(&blob.parse(), "task_struct", "pid").map(|member| member.byte()), Some(4));
        assert_eq!(member(&blob.parse(), "task", "pid"), None);
    }

    #[test]
    fn the_parameters_of_a_tracepoint_are_counted() {
        let mut blob = Blob::new();
        blob.tracepoint("sched_switch", 5);
        let btf = blob.parse();
        assert_eq!(btf.tracepoint_arguments("sched_switch"), Some(5));
        assert_eq!(btf.tracepoint_arguments("sched_wakeup"), None);
    }

    #[test]
    fn a_cut_or_foreign_blob_is_an_error() {
        let mut blob = Blob::new();
        let int = blob.int(4);
        blob.structure("s", &[("m", int, 0, 0)]);
        let whole = blob.bytes();
        for length in 0..whole.len() {
            assert!(Btf::parse(whole[..length].to_vec()).is_err(), "{length} bytes");
        }
        let mut foreign = whole.clone();
        foreign.swap(0, 1);
        assert!(Btf::parse(foreign).is_err());
        let mut unknown = whole;
        unknown[24 + 4..24 + 8].copy_from_slice(&(31u32 << 24).to_ne_bytes());
        assert!(Btf::parse(unknown).is_err());
    }

    #[test]
    fn a_struct_that_holds_itself_is_not_followed_for_ever() {
        let mut blob = Blob::new();
        // Type 1 is an anonymous struct that contains type 1.
        blob.structure("", &[("", 1, 0, 0)]);
        blob.structure("outer", &[("", 1, 0, 0)]);
        assert_eq!(member(&blob.parse(), "outer", "any"), None);
    }
}
