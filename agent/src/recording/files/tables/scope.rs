//! The columns with the scope of a counter or histogram, which are in both tables.

use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;

use super::super::damage::Damage;
use super::super::limits;
use super::super::table_read::{Group, TableReader};
use super::super::table_write::Columns;
use super::{References, Texts};
use crate::recording::{Recording, Scope, ScopeKind, ThreadIdx};
use crate::units::CpuId;

/// Writes the columns `scope`, `cpu`, `cgroup`, `thread_id`, `pid`, `tid` and `comm`.
pub(super) fn write<'a>(
    columns: &mut Columns<'_>,
    recording: &Recording,
    texts: &Texts,
    scopes: impl Iterator<Item = &'a Scope> + Clone,
) -> Result<(), ParquetError> {
    let names = ScopeKind::ALL.map(|kind| ByteArray::from(kind.name()));
    columns.text("scope", scopes.clone().map(|scope| names[scope.kind() as usize].clone()))?;
    columns.optional_u32(
        "cpu",
        scopes.clone().map(|scope| match scope {
            Scope::Cpu(cpu) => Some(cpu.0),
            _ => None,
        }),
    )?;
    columns.optional_text(
        "cgroup",
        scopes.clone().map(|scope| match scope {
            Scope::Cgroup(path) => Some(ByteArray::from(path.as_str())),
            _ => None,
        }),
    )?;
    let threads = || scopes.clone().map(thread);
    columns.optional_u32("thread_id", threads().map(|thread| Some(thread?.row())))?;
    columns.optional_u32("pid", threads().map(|thread| Some(recording.threads.get(thread?).pid.0)))?;
    columns.optional_u32("tid", threads().map(|thread| Some(recording.threads.get(thread?).tid.0)))?;
    columns.optional_text("comm", threads().map(|thread| Some(texts.comm(thread?))))
}

fn thread(scope: &Scope) -> Option<ThreadIdx> {
    match scope {
        Scope::Thread(thread) => Some(*thread),
        _ => None,
    }
}

/// The scope columns of a row group.
pub(super) struct ScopeColumns {
    kinds: Vec<ScopeKind>,
    cpus: Vec<Option<u32>>,
    cgroups: Vec<Option<ByteArray>>,
    threads: Vec<Option<u32>>,
}

impl ScopeColumns {
    pub(super) fn of(group: &Group<'_>) -> Result<Self, Damage> {
        Ok(Self {
            kinds: group.words("scope", |name| ScopeKind::ALL.into_iter().find(|kind| kind.name() == name))?,
            cpus: group.optional_u32("cpu")?,
            cgroups: group.optional_texts("cgroup")?,
            threads: group.optional_u32("thread_id")?,
        })
    }

    pub(super) fn scope(
        &self,
        file: &TableReader<'_>,
        references: &References<'_>,
        row: usize,
    ) -> Result<Scope, Damage> {
        let kind = self.kinds[row];
        let missing = |column: &str| Damage::Wrong(format!("a row of scope {} has no {column}", kind.name()));
        Ok(match kind {
            ScopeKind::Host => Scope::Host,
            ScopeKind::Cpu => Scope::Cpu(CpuId(self.cpus[row].ok_or_else(|| missing("cpu"))?)),
            ScopeKind::Cgroup => {
                let path = self.cgroups[row].as_ref().ok_or_else(|| missing("cgroup"))?;
                Scope::Cgroup(file.text(path, limits::PATH_BYTES)?)
            }
            ScopeKind::Thread => {
                Scope::Thread(references.thread(self.threads[row].ok_or_else(|| missing("thread_id"))?)?)
            }
        })
    }
}
