//! Writes `tests/data/small.quell` anew: `cargo run -p quell-tests --example small_recording`.

use quell_tests::small;

fn main() -> anyhow::Result<()> {
    quell::recording::write(&small::recording(), &small::path())?;
    Ok(())
}
