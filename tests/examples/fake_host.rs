//! Makes a fake host and prints its directory, to try `quell tune plan trading --root DIR` on.

#![allow(clippy::print_stdout, reason = "it is there to print")]

use anyhow::bail;
use quell_tests::fake_host;

fn main() -> anyhow::Result<()> {
    let host = match std::env::args().nth(1).as_deref() {
        Some("intel") => fake_host::two_socket_intel(),
        Some("amd") => fake_host::amd_with_eight_dies(),
        Some("vm") => fake_host::small_vm(),
        Some("container") => fake_host::container(),
        Some("large") => fake_host::large(),
        _ => bail!("say which one: intel, amd, vm, container or large"),
    };
    println!("{}", host.keep().display());
    Ok(())
}
