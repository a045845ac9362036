//! What quell may read and its user may not: no error, no plan and no list shows what is in a file that is not what was expected.

use std::fs;
use std::process::Stdio;

use anyhow::Result;
use nix::sys::stat::Mode;
use quell_tests::agent::{Ended, Running, Workdir};
use quell_tests::fake_host::{FakeHost, small_vm};

/// As in `/etc/shadow`; and a single line, of which the beginning may be shown.
const SECRETS: &str =
    "root:$6$saltsalt$SECRET1:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\nmallory:SECRET2:1::::::\n";

fn is_silent(ended: &Ended) {
    for secret in ["SECRET", "saltsalt", "daemon"] {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{}\n{}", ended.stdout, ended.stderr);
    }
}

fn plan(dir: &Workdir, host: &FakeHost, profile: &str) -> Result<Ended> {
    let root = host.path().to_str().expect("a path of text").to_owned();
    dir.run(["tune", "--root", &root, "plan", profile])
}

fn profile(dir: &Workdir, settings: &str) -> Result<String> {
    let path = dir.path("case.toml");
    fs::write(&path, format!("summary = \"a test\"\n{settings}"))?;
    Ok(path.to_str().expect("a path of text").to_owned())
}

fn setting(lines: &str) -> String {
    format!("[[set]]\n{lines}\nreason = \"a test\"\n")
}

#[test]
fn a_file_of_a_tree_that_is_not_the_value_that_was_expected_is_not_shown() -> Result<()> {
    let dir = Workdir::new()?;
    for (file, lines) in [
        ("/proc/sys/vm/swappiness", "knob = \"memory.swappiness\"\nvalue = 10"),
        ("/proc/sys/vm/stat_interval", "knob = \"sysctl\"\non = \"vm.stat_interval\"\nvalue = \"10\""),
        (
            "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
            "knob = \"cpu.governor\"\non = \"0\"\nvalue = \"performance\"",
        ),
        ("/proc/sys/kernel/watchdog_cpumask", "knob = \"sched.watchdog_cpumask\"\nvalue = \"0\""),
        ("/sys/kernel/mm/transparent_hugepage/enabled", "knob = \"memory.thp\"\nvalue = \"never\""),
        ("/run/quell-fake/ethtool/eth0/rx-usecs", "knob = \"net.rx_usecs\"\non = \"eth0\"\nvalue = 8"),
        (
            "/run/quell-fake/units/x.service/enabled",
            "knob = \"unit.enabled\"\non = \"x.service\"\nvalue = \"disabled\"",
        ),
        ("/run/quell-fake/units/x.service/state", "knob = \"unit.state\"\non = \"x.service\"\nvalue = \"stopped\""),
        ("/sys/devices/system/cpu/online", "knob = \"memory.ksm\"\nvalue = 0"),
        ("/sys/devices/system/cpu/present", "knob = \"memory.ksm\"\nvalue = 0"),
        ("/proc/sys/kernel/osrelease", "knob = \"memory.ksm\"\nvalue = 0"),
        ("/etc/default/grub", "knob = \"boot.parameter\"\non = \"root\"\nvalue = \"x\""),
    ] {
        let host = small_vm();
        host.put(file, SECRETS);
        let ended = plan(&dir, &host, &profile(&dir, &setting(lines))?)?;
        is_silent(&ended);
        // Lines are broken between words.
        let said = format!("{}{}", ended.stdout, ended.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            ["3 lines", "more than one line"].iter().any(|why| said.contains(why)) || !said.contains("could not parse"),
            "{file}: {said}"
        );
    }
    Ok(())
}

#[test]
fn of_a_long_value_64_characters_are_shown_and_nothing_that_steers_a_terminal() -> Result<()> {
    let dir = Workdir::new()?;
    for (file, lines) in [
        ("/proc/sys/vm/swappiness", "knob = \"memory.swappiness\"\nvalue = 10"),
        ("/proc/sys/vm/stat_interval", "knob = \"sysctl\"\non = \"vm.stat_interval\"\nvalue = \"10\""),
        ("/sys/devices/system/cpu/online", "knob = \"memory.ksm\"\nvalue = 0"),
        ("/proc/sys/kernel/osrelease", "knob = \"memory.ksm\"\nvalue = 0"),
    ] {
        let host = small_vm();
        host.put(file, format!("\u{1b}]0;t\u{7}{}SECRET\n", "x".repeat(64)));
        let ended = plan(&dir, &host, &profile(&dir, &setting(lines))?)?;
        is_silent(&ended);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains('\u{1b}') && !said.contains('\u{7}'), "{file}: {said:?}");
        assert!(said.contains("xxx..."), "{file}: {said}");
    }
    Ok(())
}

#[test]
fn a_file_that_is_no_profile_is_not_shown() -> Result<()> {
    let dir = Workdir::new()?;
    let host = small_vm();
    let secret = dir.path("shadow");
    let long = "s".repeat(100);
    let texts = [
        SECRETS.to_owned(),
        format!("password = \"SECRET{long}\"\n"),
        format!("[default]\naws_secret_access_key = SECRET{long}\n"),
        format!("summary = [\"SECRET{long}\"]\n"),
        format!("-----BEGIN KEY-----\nSECRET{long}\n-----END KEY-----\n"),
        format!("{long}SECRET = 1\n"),
        format!("summary = \"x\"\n[[set]]\nknob = \"{long}SECRET\"\n"),
        format!("summary = \"x\"\n[[set]]\nknob = \"memory.ksm\"\nvalue = \"{long}SECRET\"\nreason = \"x\"\n"),
        format!(
            "summary = \"x\"\n[[set]]\nknob = \"memory.ksm\"\nvalue = 1\nreason = \"x\"\noptional = \"{long}SECRET\"\n"
        ),
    ];
    let secret_path = secret.to_str().expect("a path of text").to_owned();
    for text in texts {
        fs::write(&secret, &text)?;
        let including = profile(&dir, &format!("include = [\"{secret_path}.toml\"]\n"))?;
        fs::copy(&secret, dir.path("shadow.toml"))?;
        for path in [&secret_path, &including] {
            let ended = plan(&dir, &host, path)?.expect_code(2)?;
            is_silent(&ended);
            assert!(ended.stderr.contains("shadow"), "{text}: {}", ended.stderr);
            assert!(ended.stderr.len() < 600, "{}", ended.stderr);
        }
    }
    Ok(())
}

#[test]
fn a_profile_that_is_no_regular_file_or_too_large_is_refused_at_once() -> Result<()> {
    let dir = Workdir::new()?;
    let host = small_vm();
    nix::unistd::mkfifo(&dir.path("fifo.toml"), Mode::S_IRWXU)?;
    fs::write(dir.path("large.toml"), vec![b'#'; (1 << 20) + 1])?;
    fs::write(dir.path("bytes.toml"), b"summary = \"\xff\"\n")?;
    for (path, why) in [
        (dir.path("fifo.toml"), "not a regular file"),
        ("/dev/zero".into(), "not a regular file"),
        (dir.path(""), "not a regular file"),
        (dir.path("large.toml"), "larger than 1.0 MiB"),
        (dir.path("bytes.toml"), "not UTF-8"),
    ] {
        let root = host.path().to_str().expect("a path of text");
        let path = path.to_str().expect("a path of text");
        let mut command = dir.command()?;
        command.args(["tune", "--root", root, "plan", path]).stdin(Stdio::null());
        let ended = Running::spawn(&mut command)?.wait()?.expect_code(2)?;
        assert!(ended.stderr.contains(why), "{path}: {}", ended.stderr);
    }
    Ok(())
}
