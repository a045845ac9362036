//! One row for each code location, and one for each function that was inlined at one. Depending on `kind`, `address` is a
//! kernel address, an offset in the file of the module, or an address in the process `pid`; a label has no address.

use hashbrown::HashMap;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;

use super::super::check::FileCheck;
use super::super::damage::Damage;
use super::super::limits::{self, TableLimit};
use super::super::table::Table;
use super::super::table_read::{Group, TableReader, quoted};
use super::super::table_write::write_table;
use crate::file::Directory;
use crate::recording::{
    ContentHash, FileNumbers, Frame, FrameId, FrameSource, FrameTable, InlinedFunction, Location, Module, ModuleId,
    ModuleTable, Recording, SourceLine, Symbol,
};
use crate::units::{Addr, Pid};

pub(in crate::recording::files) const FRAMES: Table = Table {
    file: "frames.parquet",
    columns: "message frames {
        required int32 frame_id (INTEGER(32, false));
        required fixed_len_byte_array(16) hash;
        required binary kind (STRING);
        optional binary name (STRING);
        optional int64 name_offset (INTEGER(64, false));
        optional binary file (STRING);
        optional int32 line (INTEGER(32, false));
        optional int64 address (INTEGER(64, false));
        optional int32 pid (INTEGER(32, false));
        optional int32 module_id (INTEGER(32, false));
        optional binary module (STRING);
        optional int32 module_major (INTEGER(32, false));
        optional int32 module_minor (INTEGER(32, false));
        optional int64 module_inode (INTEGER(64, false));
        optional binary build_id (STRING);
    }",
    rising: &["frame_id"],
    unique: &["hash"],
    limit: TableLimit { rows: 4 << 20, rows_per_kib: 512, bytes: 512 << 20 },
};

pub(in crate::recording::files) const INLINED: Table = Table {
    file: "inlined.parquet",
    columns: "message inlined {
        required int32 frame_id (INTEGER(32, false));
        required int32 depth (INTEGER(32, false));
        required binary name (STRING);
        optional binary file (STRING);
        optional int32 line (INTEGER(32, false));
    }",
    rising: &["frame_id"],
    unique: &[],
    limit: TableLimit { rows: 8 << 20, rows_per_kib: 512, bytes: 512 << 20 },
};

/// The values of the column `kind`.
mod kind {
    pub(super) const KERNEL: &str = "kernel";
    pub(super) const MODULE: &str = "module";
    pub(super) const UNMAPPED: &str = "unmapped";
    pub(super) const LABEL: &str = "label";
}

pub(in crate::recording::files) fn write(
    recording: &Recording,
    hashes: Vec<ContentHash>,
    dir: &Directory,
) -> Result<FileCheck, ParquetError> {
    let hashes = bytes::Bytes::from(hashes.into_flattened());
    let kinds = [kind::KERNEL, kind::MODULE, kind::UNMAPPED, kind::LABEL].map(ByteArray::from);
    let texts: Vec<(ByteArray, Option<ByteArray>)> = recording
        .modules
        .rows()
        .iter()
        .map(|module| {
            (ByteArray::from(&*module.path.to_string_lossy()), module.build_id.as_deref().map(ByteArray::from))
        })
        .collect();
    write_table(dir, &FRAMES, recording.frames.rows(), |columns, first, rows| {
        let [kernel, file, unmapped, label] = &kinds;
        columns.row_numbers("frame_id", first, rows.len())?;
        columns.hashes("hash", &hashes, first, rows.len())?;
        columns.text(
            "kind",
            rows.iter().map(|row| {
                match row.location {
                    Location::Kernel(_) => kernel,
                    Location::Module { .. } => file,
                    Location::Unmapped { .. } => unmapped,
                    Location::Label(_) | Location::NamedLabel(_) => label,
                }
                .clone()
            }),
        )?;
        columns.optional_text("name", rows.iter().map(|row| name(row).map(ByteArray::from)))?;
        columns.optional_u64("name_offset", rows.iter().map(|row| Some(row.symbol.as_ref()?.offset)))?;
        let sources = || rows.iter().map(|row| row.source.as_ref().map(|source| &source.source));
        columns.optional_text("file", sources().map(|source| source?.file.as_deref().map(ByteArray::from)))?;
        columns.optional_u32("line", sources().map(|source| source?.line))?;
        columns.optional_u64("address", rows.iter().map(address))?;
        columns.optional_u32(
            "pid",
            rows.iter().map(|row| match row.location {
                Location::Unmapped { pid, .. } => Some(pid.0),
                _ => None,
            }),
        )?;
        let modules = || rows.iter().map(module);
        columns.optional_u32("module_id", modules().map(|module| Some(module?.row())))?;
        columns.optional_text("module", modules().map(|module| Some(texts[module?.index()].0.clone())))?;
        let numbers = || modules().map(|module| recording.modules.get(module?).file);
        columns.optional_u32("module_major", numbers().map(|file| Some(file?.major)))?;
        columns.optional_u32("module_minor", numbers().map(|file| Some(file?.minor)))?;
        columns.optional_u64("module_inode", numbers().map(|file| Some(file?.inode)))?;
        columns.optional_text("build_id", modules().map(|module| texts[module?.index()].1.clone()))
    })
}

fn name(frame: &Frame) -> Option<&str> {
    match &frame.location {
        Location::Label(label) => Some(label),
        Location::NamedLabel(label) => Some(label),
        _ => frame.symbol.as_ref().map(|symbol| symbol.name.as_str()),
    }
}

fn address(frame: &Frame) -> Option<u64> {
    match frame.location {
        Location::Kernel(addr) | Location::Unmapped { addr, .. } => Some(addr.0),
        Location::Module { offset, .. } => Some(offset),
        Location::Label(_) | Location::NamedLabel(_) => None,
    }
}

fn module(frame: &Frame) -> Option<ModuleId> {
    match frame.location {
        Location::Module { module, .. } => Some(module),
        _ => None,
    }
}

pub(in crate::recording::files) fn write_inlined(
    recording: &Recording,
    dir: &Directory,
) -> Result<FileCheck, ParquetError> {
    let rows: Vec<(FrameId, u32, &InlinedFunction)> = recording
        .frames
        .rows()
        .iter()
        .enumerate()
        .flat_map(|(frame, row)| {
            (0..).zip(row.inlined()).map(move |(depth, function)| (FrameId::from_index(frame), depth, function))
        })
        .collect();
    write_table(dir, &INLINED, &rows, |columns, _, rows| {
        let sources = || rows.iter().map(|(.., function)| &function.source);
        columns.u32("frame_id", rows.iter().map(|(frame, ..)| frame.row()))?;
        columns.u32("depth", rows.iter().map(|(_, depth, _)| *depth))?;
        columns.text("name", rows.iter().map(|(.., function)| ByteArray::from(function.name.as_str())))?;
        columns.optional_text("file", sources().map(|source| source.file.as_deref().map(ByteArray::from)))?;
        columns.optional_u32("line", sources().map(|source| source.line))
    })
}

/// The hashes are not read, because they can be computed from the rows.
pub(in crate::recording::files) fn read(file: &TableReader<'_>) -> Result<(ModuleTable, FrameTable), Damage> {
    let mut frames = FrameTable::default();
    let mut modules = Modules::default();
    for group in file.groups() {
        group.check_row_numbers("frame_id", frames.rows().len())?;
        let kinds = group.texts("kind")?;
        let (names, offsets) = (group.optional_texts("name")?, group.optional_u64("name_offset")?);
        let (addresses, pids) = (group.optional_u64("address")?, group.optional_u32("pid")?);
        let (module_columns, source) = (ModuleColumns::of(&group)?, SourceColumns::of(&group)?);
        for (row, kind) in kinds.iter().enumerate() {
            let number = frames.rows().len();
            let missing = |what: &str| format!("frame {number} of kind {} has no {what}", quoted(kind));
            let address = addresses[row].ok_or_else(|| missing("address"));
            let name = names[row].as_ref();
            let mut symbol = None;
            if let (Some(name), Some(offset)) = (name, offsets[row]) {
                symbol = Some(Symbol { name: file.text(name, limits::NAME_BYTES)?, offset });
            }
            let location = match kind.as_utf8().unwrap_or_default() {
                kind::KERNEL => Location::Kernel(Addr(address?)),
                kind::MODULE => {
                    Location::Module { module: modules.get(file, &module_columns, row, &missing)?, offset: address? }
                }
                kind::UNMAPPED => {
                    Location::Unmapped { pid: Pid(pids[row].ok_or_else(|| missing("pid"))?), addr: Addr(address?) }
                }
                kind::LABEL => {
                    let name = name.ok_or_else(|| missing("name"))?;
                    symbol = None;
                    Location::NamedLabel(file.text(name, limits::NAME_BYTES)?)
                }
                _ => return Err(format!("frame {number} is of the unknown kind {}", quoted(kind)).into()),
            };
            let source = source.line(file, row)?;
            let source =
                (source != SourceLine::default()).then(|| Box::new(FrameSource { source, inlined: Vec::new() }));
            if frames.push(Frame { location, symbol, source }).index() != number {
                return Err(format!("frame {number} repeats an earlier one").into());
            }
        }
    }
    Ok((modules.table, frames))
}

/// The columns with the source line of a row.
struct SourceColumns {
    files: Vec<Option<ByteArray>>,
    lines: Vec<Option<u32>>,
}

impl SourceColumns {
    fn of(group: &Group<'_>) -> Result<Self, Damage> {
        Ok(Self { files: group.optional_texts("file")?, lines: group.optional_u32("line")? })
    }

    fn line(&self, file: &TableReader<'_>, row: usize) -> Result<SourceLine, Damage> {
        let path = self.files[row].as_ref().map(|path| file.text(path, limits::PATH_BYTES)).transpose()?;
        Ok(SourceLine { file: path, line: self.lines[row] })
    }
}

struct ModuleColumns {
    ids: Vec<Option<u32>>,
    paths: Vec<Option<ByteArray>>,
    majors: Vec<Option<u32>>,
    minors: Vec<Option<u32>>,
    inodes: Vec<Option<u64>>,
    build_ids: Vec<Option<ByteArray>>,
}

impl ModuleColumns {
    fn of(group: &Group<'_>) -> Result<Self, Damage> {
        Ok(Self {
            ids: group.optional_u32("module_id")?,
            paths: group.optional_texts("module")?,
            majors: group.optional_u32("module_major")?,
            minors: group.optional_u32("module_minor")?,
            inodes: group.optional_u64("module_inode")?,
            build_ids: group.optional_texts("build_id")?,
        })
    }

    fn numbers(&self, row: usize) -> Option<FileNumbers> {
        Some(FileNumbers { major: self.majors[row]?, minor: self.minors[row]?, inode: self.inodes[row]? })
    }
}

/// Modules by their number in the file.
#[derive(Default)]
struct Modules {
    table: ModuleTable,
    rows: HashMap<u32, ModuleId>,
}

impl Modules {
    /// The module of a row. If a number has several descriptions, the first one applies.
    fn get(
        &mut self,
        file: &TableReader<'_>,
        columns: &ModuleColumns,
        row: usize,
        missing: &dyn Fn(&str) -> String,
    ) -> Result<ModuleId, Damage> {
        let written = columns.ids[row].ok_or_else(|| missing("module_id"))?;
        let path = columns.paths[row].as_ref().ok_or_else(|| missing("module"))?;
        if let Some(known) = self.rows.get(&written) {
            return Ok(*known);
        }
        let path = file.text(path, limits::PATH_BYTES)?.into();
        let build_id = columns.build_ids[row].as_ref().map(|id| file.text(id, limits::BUILD_ID_BYTES)).transpose()?;
        let id = self.table.push(Module { path, file: columns.numbers(row), build_id });
        self.rows.insert(written, id);
        Ok(id)
    }
}

/// Adds the inlined functions to their frames.
pub(in crate::recording::files) fn read_inlined(file: &TableReader<'_>, frames: &mut FrameTable) -> Result<(), Damage> {
    // The next row must be of this frame at this depth, or of a later frame.
    let mut next = (0, 0);
    for group in file.groups() {
        let (ids, depths) = (group.u32("frame_id")?, group.u32("depth")?);
        let (names, source) = (group.texts("name")?, SourceColumns::of(&group)?);
        for (row, (frame, depth)) in ids.into_iter().zip(depths).enumerate() {
            super::exists("frame", frame, frames.rows().len())?;
            let is_next = if frame == next.0 { depth == next.1 } else { frame > next.0 && depth == 0 };
            if !is_next {
                return Err(format!("the function inlined into frame {frame} at depth {depth} is out of order").into());
            }
            if depth >= limits::INLINED_DEPTH {
                let most = limits::INLINED_DEPTH;
                return Err(Damage::Limit(format!("frame {frame} has more than {most} inlined functions")));
            }
            next = (frame, depth + 1);
            let (name, source) = (file.text(&names[row], limits::NAME_BYTES)?, source.line(file, row)?);
            frames.add_inlined(FrameId::new(frame), InlinedFunction { name, source });
        }
    }
    Ok(())
}
