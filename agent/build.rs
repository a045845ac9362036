//! Refuses an embedded eBPF object that was built from other sources, and tells the crate where the object is.

#[path = "../ebpf/manifest.rs"]
mod manifest;

use std::fs;
use std::path::Path;

fn main() {
    if let Err(reason) = check() {
        // Fails the build with this line alone; a failing exit code would add all that the script printed.
        println!("cargo::error={reason}");
    }
}

fn check() -> Result<(), String> {
    let package = std::env::var("CARGO_MANIFEST_DIR").map_err(|error| format!("CARGO_MANIFEST_DIR: {error}"))?;
    let Some(root) = Path::new(&package).parent() else {
        return Err(format!("{package} lies in no workspace"));
    };
    for path in manifest::INPUTS.iter().chain(&[manifest::OBJECT, manifest::MANIFEST]) {
        // A path that is missing would make cargo run this script every time.
        if root.join(path).exists() {
            println!("cargo::rerun-if-changed={}", root.join(path).display());
        }
    }
    let object = root.join(manifest::OBJECT);
    println!("cargo::rustc-env=QUELL_BPF_OBJECT={}", object.display());

    let bytes = fs::read(&object).map_err(|error| {
        format!("cannot read the eBPF object {}: {error}; `cargo xtask ebpf` builds it", object.display())
    })?;
    let path = root.join(manifest::MANIFEST);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let recorded: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    if recorded["object"] != manifest::hash(&bytes) {
        return Err(format!(
            "{} is not the eBPF object that its manifest describes: `cargo xtask ebpf` rebuilds both",
            object.display()
        ));
    }
    // A source package may come with the object and without what it was built from.
    if !root.join("ebpf/programs").exists() {
        return Ok(());
    }
    let sources = manifest::source_hash(root).map_err(|error| format!("cannot hash the eBPF sources: {error}"))?;
    if recorded["sources"] != sources {
        return Err(format!(
            "the eBPF sources differ from those that {} was built from: `cargo xtask ebpf` rebuilds it",
            object.display()
        ));
    }
    Ok(())
}
