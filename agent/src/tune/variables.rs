//! Variables of profiles: `${isolated}`, and whatever a profile defines.

use std::collections::{BTreeMap, BTreeSet};

use super::profile::{ALL_EXPANDED, Budget, DEPTH, EXPANDED, ProfileError, Variable};
use crate::excerpt;
use crate::host::{Host, Nic};
use crate::text::shown;
use crate::units::{CpuId, CpuListError, CpuSet, Megabits, NodeId};

/// The values of variables on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

/// The names of the variables that a text uses.
pub(super) fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

/// Whether a text uses no variable.
pub(super) fn uses_none(text: &str) -> bool {
    !text.contains("${")
}

impl Variables {
    /// Finds the values of a profile's variables: what the user gave, else what the profile says, else what the host suggests
    /// for `nics`, `isolated` (near those), `housekeeping` and `queue_cpus` (of the housekeeping CPUs, those beside the isolated
    /// ones).
    ///
    /// # Errors
    /// A variable uses itself, or one that is not defined, or it is to have CPUs and those are not there.
    pub fn resolve(
        host: &Host,
        written: &BTreeMap<String, Variable>,
        given: &BTreeMap<String, String>,
    ) -> Result<Self, ProfileError> {
        let wrong = |name: &str, why: String| match written.get(name) {
            Some(known) if !given.contains_key(name) => ProfileError::Key { at: known.at.clone(), why },
            _ => ProfileError::Given { name: name.to_owned(), why },
        };
        let mut texts: BTreeMap<String, String> =
            written.iter().map(|(name, variable)| (name.clone(), variable.text.clone())).collect();
        for (name, text) in given {
            if !texts.contains_key(name) && !AUTOMATIC.contains(&name.as_str()) {
                let known: BTreeSet<_> = texts.keys().map(String::as_str).chain(AUTOMATIC).collect();
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                return Err(wrong(
                    name,
                    format!("the profile has no variable {}; it has {}", excerpt::quoted(name), shown(&known)),
                ));
            }
            texts.insert(name.clone(), text.clone());
        }
        let budget = Budget::new("bytes of variables' values", ALL_EXPANDED);
        let mut known = Self::default();
        let mut names: BTreeSet<String> = texts.keys().cloned().collect();
        names.extend(AUTOMATIC.map(str::to_owned));
        // `housekeeping` depends on what `isolated` is, whoever says it.
        for name in AUTOMATIC.map(str::to_owned).into_iter().chain(names) {
            known.define(&name, &texts, host, &mut Vec::new(), &budget).map_err(|why| wrong(&name, why))?;
        }
        let cpus = |name: &str| known.0.get(name).and_then(|text| text.parse::<CpuSet>().ok()).unwrap_or_default();
        let (isolated, housekeeping) = (cpus("isolated"), cpus("housekeeping"));
        let both = isolated.intersection(&housekeeping);
        // What the host suggests to isolate, where nobody speaks of it, is isolated from nothing.
        if texts.contains_key("isolated") && !both.is_empty() {
            return Err(wrong(
                "housekeeping",
                format!("CPUs {both} are to be isolated: {housekeeping} and {isolated} overlap"),
            ));
        }
        Ok(known)
    }

    fn define(
        &mut self,
        name: &str,
        texts: &BTreeMap<String, String>,
        host: &Host,
        way: &mut Vec<String>,
        budget: &Budget,
    ) -> Result<String, String> {
        if let Some(value) = self.0.get(name) {
            return Ok(value.clone());
        }
        way.push(name.to_owned());
        if way[..way.len() - 1].contains(&way[way.len() - 1]) {
            return Err(format!("a variable uses itself: {}", shown(&way.join(" > "))));
        }
        if way.len() > DEPTH {
            return Err(format!("more than {DEPTH} variables use each other in a row"));
        }
        let value = match texts.get(name) {
            Some(text) if text != "auto" => substitute(text, |used| self.define(used, texts, host, way, budget))?,
            _ => match name {
                "isolated" => {
                    let nics = self.define("nics", texts, host, way, budget)?;
                    isolated(host, &nics.split_whitespace().collect::<Vec<_>>()).to_string()
                }
                "housekeeping" => {
                    let isolated = self.define("isolated", texts, host, way, budget)?;
                    let isolated: CpuSet = isolated.parse().map_err(|error| format!("isolated: {error}"))?;
                    host.topology.online().difference(&isolated).to_string()
                }
                "queue_cpus" => {
                    let housekeeping = self.define("housekeeping", texts, host, way, budget)?;
                    let isolated = self.define("isolated", texts, host, way, budget)?;
                    let cpus =
                        |name: &str, text: &str| text.parse::<CpuSet>().map_err(|error| format!("{name}: {error}"));
                    near(host, &cpus("housekeeping", &housekeeping)?, &cpus("isolated", &isolated)?).to_string()
                }
                "nics" => nics(host).join(" "),
                _ => return Err(no_variable(name)),
            },
        };
        if CPUS.contains(&name) {
            let cpus = value.parse().map_err(|error: CpuListError| error.to_string())?;
            host.topology.has(&cpus)?;
            if name == "isolated" && host.topology.online().difference(&cpus).is_empty() {
                return Err(format!("{value} is every CPU of this host: leave at least one for everything else"));
            }
        }
        if name == "nics"
            && let Some(absent) = value.split_whitespace().find(|name| !host.nics.iter().any(|nic| nic.name == *name))
        {
            let names: Vec<&str> = host.nics.iter().map(|nic| nic.name.as_str()).collect();
            return Err(format!(
                "there is no network interface {}; there are: {}",
                excerpt::name(absent),
                names.join(" ")
            ));
        }
        way.pop();
        budget.take(value.len())?;
        self.0.insert(name.to_owned(), value.clone());
        Ok(value)
    }

    /// A text with the values of its variables.
    ///
    /// # Errors
    /// It uses one that is not defined.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        substitute(text, |name| self.0.get(name).cloned().ok_or_else(|| no_variable(name)))
    }

    /// The first variable of a text that is empty on this host, as `isolated` is on one that has no CPU to spare.
    #[must_use]
    pub fn empty_in<'a>(&self, text: &'a str) -> Option<&'a str> {
        names(text).find(|name| self.0.get(*name).is_some_and(String::is_empty))
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Those that a host has values for.
const AUTOMATIC: [&str; 4] = ["nics", "isolated", "housekeeping", "queue_cpus"];

/// Of them, those that are CPUs, whoever gives the value.
const CPUS: [&str; 3] = ["isolated", "housekeeping", "queue_cpus"];

fn no_variable(name: &str) -> String {
    format!("there is no variable {}", excerpt::quoted(name))
}

fn substitute(text: &str, mut value: impl FnMut(&str) -> Result<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) =
            after.split_once('}').ok_or_else(|| format!("{} has a ${{ without its }}", excerpt::quoted(text)))?;
        out += before;
        out += &value(name)?;
        rest = after;
        if out.len() > EXPANDED {
            break;
        }
    }
    out += rest;
    if out.len() > EXPANDED {
        return Err(format!("with its variables it is longer than {EXPANDED} bytes"));
    }
    Ok(out)
}

/// The CPUs to keep free: whole cores on one node, that of these network cards where they tell it, half of the node's and
/// never the core of CPU 0, where the kernel does what it does not do elsewhere.
fn isolated(host: &Host, nics: &[&str]) -> CpuSet {
    let nodes = host.topology.nodes();
    let meant = host.nics.iter().filter(|nic| nics.contains(&nic.name.as_str()));
    let near = nearest_node(meant).filter(|node| nodes.contains_key(node));
    // Without a card that tells, the last: the first has the core of CPU 0.
    let Some(cpus) = near.or_else(|| nodes.keys().next_back().copied()).and_then(|node| nodes.get(&node)) else {
        return CpuSet::default();
    };
    let on_node: Vec<CpuSet> =
        host.topology.cores().into_iter().filter(|core| core.iter().all(|cpu| cpus.contains(cpu))).collect();
    let eligible: Vec<&CpuSet> = on_node.iter().filter(|core| !core.contains(CpuId(0))).collect();
    // A node of its own may be given nearly whole; the one with CPU 0 keeps half for everything else.
    let alone = nodes.len() > 1 && eligible.len() == on_node.len();
    let count = if alone { eligible.len().saturating_sub(1) } else { on_node.len() / 2 };
    let from = eligible.len().saturating_sub(count);
    eligible[from..].iter().flat_map(|core| core.iter()).collect()
}

/// Of the housekeeping CPUs, those on the nodes of the isolated ones: what they do for a queue is in a cache nearby. All, where
/// there are none.
fn near(host: &Host, housekeeping: &CpuSet, isolated: &CpuSet) -> CpuSet {
    let nodes = host.topology.nodes();
    let beside = nodes.values().filter(|cpus| cpus.iter().any(|cpu| isolated.contains(cpu)));
    let near: CpuSet = beside.flat_map(|cpus| cpus.iter()).filter(|cpu| housekeeping.contains(*cpu)).collect();
    if near.is_empty() { housekeeping.clone() } else { near }
}

/// The network interfaces with a carrier; all, where none has one.
fn nics(host: &Host) -> Vec<&str> {
    let up: Vec<&str> = host.nics.iter().filter(|nic| nic.up).map(|nic| nic.name.as_str()).collect();
    if up.is_empty() { host.nics.iter().map(|nic| nic.name.as_str()).collect() } else { up }
}

/// The node with the fastest link; of equals the one with most queues, then with most cards, then the first.
fn nearest_node<'a>(nics: impl Iterator<Item = &'a Nic>) -> Option<NodeId> {
    let mut nodes: BTreeMap<NodeId, (Megabits, usize, usize)> = BTreeMap::new();
    for (node, nic) in nics.filter_map(|nic| Some((nic.node?, nic))) {
        let (speed, queues, cards) = nodes.entry(node).or_default();
        *speed = (*speed).max(nic.speed.unwrap_or_default());
        *queues += nic.queues;
        *cards += 1;
    }
    nodes.into_iter().rev().max_by_key(|(_, rank)| *rank).map(|(node, _)| node)
}
