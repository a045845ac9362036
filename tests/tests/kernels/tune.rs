//! Tuning real drivers and kernels: what is set is set, what cannot be is told, and what is undone is as it was, to the byte.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use quell::host::KernelVersion;
use quell_tests::agent::{Ended, Workdir};
use serde_json::Value as Json;

use crate::harness::{Outcome, has_rebooted};
use crate::values::{Values, cards};

/// Both CPUs of the second node.
const ISOLATED: &str = "isolated=2-3";
const BOOT_ENTRY: &str = "/boot/loader/entries/guest.conf";

pub(crate) fn tune(words: &[&str]) -> Result<Ended> {
    Workdir::new()?.run([&["tune"], words].concat())
}

/// Network cards as they are on a host that is in use.
fn bring_up() -> Result<()> {
    for card in cards()? {
        let up = Command::new("ip").args(["link", "set", &card, "up"]).status().context("cannot run `ip`")?;
        ensure!(up.success(), "{card} does not come up");
    }
    Ok(())
}

/// What does not match, of all that was set; and how much was.
fn verified() -> Result<(Vec<Json>, usize)> {
    let ended = tune(&["verify", "--json"])?;
    let values: Vec<Json> = serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))?;
    let count = values.len();
    let holds = |value: &Json| matches!(value["verdict"].as_str(), Some("match" | "pending-reboot"));
    Ok((values.into_iter().filter(|value| !holds(value)).collect(), count))
}

pub(crate) fn is_verified() -> Result<usize> {
    let (others, count) = verified()?;
    ensure!(others.is_empty(), "of {count} values: {others:?}");
    Ok(count)
}

/// Applied, and nothing that the drivers took in silence to do otherwise.
fn apply(profile: &str) -> Result<Ended> {
    let ended = tune(&["apply", profile, "--set", ISOLATED, "--yes"])?;
    ensure!(matches!(ended.code, Some(0 | 1)), "{ended:?}");
    Ok(ended)
}

pub(crate) fn ends_as_it_began(before: &Values) -> Result<()> {
    let differences = before.differences(&Values::read()?);
    ensure!(differences.is_empty(), "not as before: {}", differences.join("\n"));
    Ok(())
}

pub(crate) fn round_trip() -> Result<Outcome> {
    bring_up()?;
    let before = Values::read()?;
    // `trading` has all that `latency` and `network-latency` have.
    for profile in ["trading", "throughput"] {
        let applied = apply(profile)?;
        let now = Values::read()?;
        let changed = before.differences(&now);
        ensure!(changed.len() >= 5, "{profile} changed only {changed:?}");
        if profile == "trading" {
            has_taken_hold(&now)?;
        }
        is_verified().with_context(|| format!("{profile}: {}", applied.stdout))?;
        let plan = tune(&["plan", profile, "--set", ISOLATED, "--json"])?.expect_code(0)?;
        let plan: Json = serde_json::from_str(&plan.stdout)?;
        let refused: Vec<&str> = applied.stdout.lines().filter_map(|line| line.strip_prefix("refused, ")).collect();
        let steps = plan["steps"].as_array().context("steps")?;
        ensure!(steps.len() <= refused.len(), "{profile} is not done: {steps:?}; refused: {refused:?}");
        let back = tune(&["rollback"])?;
        ensure!(back.code == Some(0), "{profile}: {back:?}");
        ends_as_it_began(&before).context(profile)?;
    }
    cards_are_set_as_ethtool_shows()?;
    Ok(Outcome::Holds)
}

/// Numbers of a card, and the lines that another program shows of it.
fn cards_are_set_as_ethtool_shows() -> Result<()> {
    let card = driver("igb")?;
    let cases = [
        ("net.ring_rx", "512", "-g", "RX:"),
        ("net.ring_tx", "1024", "-g", "TX:"),
        ("net.rx_usecs", "50", "-c", "rx-usecs:"),
        ("net.channels_combined", "2", "-l", "Combined:"),
    ];
    // The last line: before it `-g` and `-l` show what the card has at most.
    let shown = || {
        cases.iter().map(|(_, _, option, name)| {
            let shown = Command::new("ethtool").args([option, card.as_str()]).output().context("needs ethtool")?;
            let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
            let last = shown.lines().filter_map(|line| line.strip_prefix(name)).next_back();
            last.map(|value| value.trim().to_owned()).with_context(|| format!("no {name} in {shown}"))
        })
    };
    let before: Vec<String> = shown().collect::<Result<_>>()?;
    let setting = |(knob, value, ..): &(&str, &str, &str, &str)| {
        format!("[[set]]\nknob = \"{knob}\"\non = \"{card}\"\nvalue = {value}\nreason = \"a test\"\n")
    };
    let text: String = cases.iter().map(setting).collect();
    let dir = Workdir::new()?;
    let profile = dir.path("card.toml");
    fs::write(&profile, format!("summary = \"a card\"\n{text}"))?;
    tune(&["apply", &profile.display().to_string(), "--yes"])?.expect_code(0)?;
    for (((knob, expected, ..), found), before) in cases.iter().zip(shown()).zip(&before) {
        let found = found?;
        ensure!(found == *expected, "{knob}: ethtool shows {found}, not {expected}");
        ensure!(found != *before, "{knob} was {expected} before");
    }
    tune(&["rollback"])?.expect_code(0)?;
    let after: Vec<String> = shown().collect::<Result<_>>()?;
    ensure!(after == before, "{card} was {before:?}, and is {after:?}");
    Ok(())
}

/// Some of what `trading` sets, as the kernel has it: of each family one at least.
fn has_taken_hold(now: &Values) -> Result<()> {
    let has = |file: &str, expected: &str| {
        let found = now.of(file).unwrap_or("nothing");
        ensure!(found == expected, "{file}: {found}, not {expected}");
        Ok(())
    };
    has("/proc/sys/vm/stat_interval", "120")?;
    has("/proc/irq/default_smp_affinity", "3")?;
    has("/sys/devices/virtual/workqueue/cpumask", "3")?;
    for cpu in 0..4 {
        has(&format!("/sys/devices/system/cpu/cpufreq/policy{cpu}/scaling_governor"), "performance")?;
    }
    for (action, irq) in queue_interrupts()? {
        // One CPU each, of those beside the isolated ones.
        let cpus = now.of(&format!("/proc/irq/{irq}/smp_affinity_list")).unwrap_or("nothing");
        ensure!(["0", "1"].contains(&cpus), "{action}, interrupt {irq}, goes to CPUs {cpus}");
    }
    for driver_name in ["igb", "e1000e"] {
        let card = driver(driver_name)?;
        let shown = now.of(&format!("ethtool -c {card}")).unwrap_or_default();
        ensure!(shown.lines().any(|line| line.split_whitespace().eq(["rx-usecs:", "0"])), "{card}: {shown}");
    }
    // It starts all other kernel threads, and is where it was put.
    has("thread 2 kthreadd", "0-1")?;
    // `isolated` came with 6.1; before, it is left out.
    let release: KernelVersion = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().parse()?;
    let partition = now.of("/sys/fs/cgroup/quell-isolated/cpuset.cpus.partition");
    let expected = (release >= KernelVersion::new(6, 1)).then_some("isolated");
    ensure!(partition == expected, "the partition is {partition:?} on {release}, not {expected:?}");
    Ok(())
}

/// The interrupts of the queues of network cards, by the names that the drivers of the guest's cards give them:
/// `eth0-rx-0` (e1000e), `eth0-TxRx-0` (igb), `eth1-rxtx-0` (vmxnet3), `virtio0-input.0`.
fn queue_interrupts() -> Result<Vec<(String, String)>> {
    let cards = cards()?;
    let is_queue = |action: &str| {
        let (name, number) = action.rsplit_once(['-', '.']).unwrap_or_default();
        // Not `eth1-event-2` of vmxnet3.
        let of_card = |card: &String| {
            let kind = name.strip_prefix(card.as_str());
            kind.is_some_and(|kind| ["-rx", "-tx", "-TxRx", "-rxtx"].contains(&kind))
        };
        let of_virtio = name.starts_with("virtio") && (name.ends_with("-input") || name.ends_with("-output"));
        number.parse::<u32>().is_ok() && (of_virtio || cards.iter().any(of_card))
    };
    let table = fs::read_to_string("/proc/interrupts").context("cannot read /proc/interrupts")?;
    let queues = table.lines().filter_map(|line| {
        let (irq, rest) = line.split_once(':')?;
        let action = rest.split_whitespace().next_back().filter(|action| is_queue(action))?;
        Some((action.to_owned(), irq.trim().to_owned()))
    });
    let queues: Vec<_> = queues.collect();
    ensure!(!queues.is_empty(), "no card has an interrupt of a queue: {table}");
    Ok(queues)
}

pub(crate) fn after_boot() -> Result<Outcome> {
    if !has_rebooted() {
        fs::copy(BOOT_ENTRY, KEPT)?;
        apply("trading")?;
        return Ok(Outcome::Reboots);
    }
    let line = fs::read_to_string("/proc/cmdline")?;
    let word = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name));
    ensure!(word("isolcpus=") == Some("managed_irq,domain,2-3"), "the command line is {line}");
    let read = |file: &str| Ok::<_, anyhow::Error>(fs::read_to_string(file)?.trim().to_owned());
    ensure!(read("/sys/devices/system/cpu/isolated")? == "2-3");
    if fs::exists("/sys/devices/system/cpu/nohz_full")? {
        ensure!(read("/sys/devices/system/cpu/nohz_full")? == "2-3");
    }
    let (others, _) = verified()?;
    // Interrupts of cards that are not up yet are not there.
    let gone = |value: &Json| matches!(value["verdict"].as_str(), Some("reset-by-reboot" | "absent"));
    // Debian's 5.10 was built without it; others say what they do (rcu_init_nohz, kernel/rcu/tree_nocb.h).
    let offloads = Command::new("dmesg").output()?;
    let offloads = String::from_utf8_lossy(&offloads.stdout).contains("Offload RCU callbacks from CPUs: 2-3");
    let lacking = |value: &Json| !offloads && value["target"].as_str().is_some_and(|name| name.contains("rcu_nocbs"));
    ensure!(offloads || others.iter().any(lacking), "rcu_nocbs= had no effect, and quell says it had");
    let boot: Vec<&Json> = others.iter().filter(|value| !gone(value) && !lacking(value)).collect();
    ensure!(boot.is_empty(), "what was staged is not in force: {boot:?}");
    let status = tune(&["status"])?;
    let line = format!("hint: `quell tune apply trading --set {ISOLATED}` sets the values again\n");
    ensure!(status.stdout.contains(&line), "{status:?}");
    bring_up()?;
    apply("trading")?;
    let (others, _) = verified()?;
    ensure!(others.iter().all(lacking), "{others:?}");
    tune(&["rollback", "--to", "1"])?.expect_code(0)?;
    let (now, before) = (fs::read_to_string(BOOT_ENTRY)?, fs::read_to_string(KEPT)?);
    ensure!(now == before, "the entry is {now}, and was {before}");
    Ok(Outcome::Holds)
}

/// The boot entry as it was, where it is found again after a reboot.
const KEPT: &str = "/var/lib/entry-before";

/// A profile of one setting.
fn setting(dir: &Workdir, knob: &str, on: &str, value: &str) -> Result<String> {
    let path = dir.path("one.toml");
    let text =
        format!("summary = \"one\"\n[[set]]\nknob = \"{knob}\"\non = \"{on}\"\nvalue = {value}\nreason = \"a test\"\n");
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

fn driver(wanted: &str) -> Result<String> {
    let is = |card: &String| {
        let driver = fs::canonicalize(format!("/sys/class/net/{card}/device/driver"));
        driver.is_ok_and(|driver| driver.ends_with(wanted))
    };
    cards()?.into_iter().find(is).with_context(|| format!("no card of {wanted}"))
}

/// Kernels and drivers that say yes and do something else, each in its own way.
pub(crate) fn no_silent_success() -> Result<Outcome> {
    bring_up()?;
    let before = Values::read()?;
    let rounds = driver("e1000e")?;
    let cases = [
        // e1000_set_coalesce makes it a rate in whole interrupts a second: back it is 1506.
        ("net.rx_usecs", rounds.as_str(), "1500", "1506"),
        // More than the node has: as many as it finds.
        ("memory.hugepages_2m", "0", "4000", ""),
    ];
    for (knob, on, value, says) in cases {
        let dir = Workdir::new()?;
        let profile = setting(&dir, knob, on, value)?;
        let ended = tune(&["apply", &profile, "--yes"])?;
        ensure!(ended.code == Some(2), "{knob}: {ended:?}");
        let (_, found) = ended.stderr.split_once("but read back ").with_context(|| format!("{ended:?}"))?;
        ensure!(found.starts_with(says), "{knob}: {ended:?}");
        if says.is_empty() {
            let digits = |c: char| !c.is_ascii_digit();
            let pages = found.split(digits).next().and_then(|pages| pages.parse::<u32>().ok());
            // 8 GB would be needed. A node of a guest has less, and more than nothing.
            ensure!(pages.is_some_and(|pages| (1..4000).contains(&pages)), "{knob}: {ended:?}");
        }
    }
    ends_as_it_began(&before)?;
    Ok(Outcome::Holds)
}
