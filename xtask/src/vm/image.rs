//! The kernel proper, out of the compressed image that is installed.
//!
//! QEMU starts an ELF file by its PVH entry: the guest need not unpack itself, which takes seconds under TCG.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Writes the ELF file that is in a bzImage.
pub(super) fn extract(image: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let payload = payload(&bytes).with_context(|| format!("{} is no bzImage", image.display()))?;
    let (program, payload) = decompressor(payload).with_context(|| format!("how {} is compressed", image.display()))?;
    let file = File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
    let mut child = Command::new(program)
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .with_context(|| format!("cannot run `{program}`"))?;
    let written = child.stdin.take().context("stdin is a pipe")?.write_all(payload);
    let status = child.wait().with_context(|| format!("cannot wait for `{program}`"))?;
    if !status.success() {
        bail!("`{program}` cannot unpack the kernel in {}: {status}", image.display());
    }
    written.with_context(|| format!("cannot write to `{program}`"))
}

/// The compressed kernel in a bzImage: Documentation/arch/x86/boot.rst, protocol 2.08 (2.6.26).
fn payload(image: &[u8]) -> Result<&[u8]> {
    let byte = |at: usize| image.get(at).copied().context("it is too short");
    let word = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("it is too short")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    if image.get(0x202..0x206) != Some(b"HdrS") {
        bail!("it has no boot header");
    }
    // The size of the real-mode part in sectors, without the first; 0 means 4.
    let sectors = match byte(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512 + word(0x248)?;
    image.get(start..start + word(0x24c)?).context("its payload is cut off")
}

/// What unpacks a payload, and the part of it to unpack: all but gzip are followed by the unpacked size
/// (scripts/Makefile.lib, `size_append`).
fn decompressor(payload: &[u8]) -> Result<(&'static str, &[u8])> {
    let whole = payload;
    let stream = payload.get(..payload.len().saturating_sub(4)).unwrap_or_default();
    match payload {
        [0x1f, 0x8b, ..] => Ok(("gzip", whole)),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Ok(("xz", stream)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(("zstd", stream)),
        _ => bail!("neither gzip, xz nor zstd"),
    }
}
