//! What the targets share: a directory in memory, and a recording to start from.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A directory of this process's own, in memory where there is `/dev/shm`.
pub fn tree() -> &'static Path {
    static TREE: OnceLock<PathBuf> = OnceLock::new();
    TREE.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let tree = base.join(format!("quell-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&tree).expect("a directory");
        tree
    })
}

/// The recording that the replay tests use.
pub fn template() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/small.quell"))
}

/// Whether a character is not shown as itself: C0 and C1 controls, bidirectional controls, line separators.
pub fn is_hidden(one: char) -> bool {
    one.is_control()
        || matches!(one, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether XML 1.0 allows a character (production 2, Char).
pub fn is_xml(one: char) -> bool {
    matches!(one, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}
