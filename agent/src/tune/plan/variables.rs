//! The values of the variables of a profile on a host.

use std::collections::{BTreeMap, BTreeSet};

use crate::excerpt;
use crate::host::{Host, Nic};
use crate::text::shown;
use crate::tune::profile::{Budget, MAX_DEPTH, MAX_EXPANDED_TOTAL, ProfileError, Variable, substitute, variable_names};
use crate::units::{CpuId, CpuListError, CpuSet, Megabits, NodeId};

/// The values of variables on a host, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Determines the values of the variables of a profile. The value from the command line (`given`) has precedence over the
    /// value in the profile (`defined`). Without either, or for `auto`, these variables are derived from the host: `nics`,
    /// `isolated` (CPUs near these interfaces), `housekeeping` (all other CPUs) and `queue_cpus` (housekeeping CPUs near the
    /// isolated ones).
    ///
    /// # Errors
    /// A variable refers to itself or to an undefined variable, or names CPUs or interfaces that the host does not have.
    pub fn resolve(
        host: &Host,
        defined: &BTreeMap<String, Variable>,
        given: &BTreeMap<String, String>,
    ) -> Result<Self, ProfileError> {
        let error = |name: &str, reason: String| match defined.get(name) {
            Some(known) if !given.contains_key(name) => ProfileError::Key { at: known.at.clone(), reason },
            _ => ProfileError::Given { name: name.to_owned(), reason },
        };
        let mut texts: BTreeMap<String, String> =
            defined.iter().map(|(name, variable)| (name.clone(), variable.text.clone())).collect();
        for (name, text) in given {
            if !texts.contains_key(name) && !AUTOMATIC.contains(&name.as_str()) {
                let known: BTreeSet<_> = texts.keys().map(String::as_str).chain(AUTOMATIC).collect();
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                let reason = format!("the profile has no variable {}; it has {}", excerpt::quoted(name), shown(&known));
                return Err(error(name, reason));
            }
            texts.insert(name.clone(), text.clone());
        }
        let budget = Budget::new("bytes of values of variables", MAX_EXPANDED_TOTAL);
        let mut known = Self::default();
        let mut names: BTreeSet<String> = texts.keys().cloned().collect();
        names.extend(AUTOMATIC.map(str::to_owned));
        // `housekeeping` depends on the value of `isolated`, so the derived variables come first.
        for name in AUTOMATIC.map(str::to_owned).into_iter().chain(names) {
            known.define(&name, &texts, host, &mut Vec::new(), &budget).map_err(|reason| error(&name, reason))?;
        }
        let (isolated, housekeeping) = (known.cpus(ISOLATED), known.cpus("housekeeping"));
        let both = isolated.intersection(&housekeeping);
        // If the profile does not use `isolated`, its derived value cannot conflict.
        if texts.contains_key(ISOLATED) && !both.is_empty() {
            let reason = format!("CPUs {both} are in both `housekeeping` ({housekeeping}) and `isolated` ({isolated})");
            return Err(error("housekeeping", reason));
        }
        Ok(known)
    }

    /// The CPUs of a variable.
    fn cpus(&self, name: &str) -> CpuSet {
        self.0.get(name).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    fn define(
        &mut self,
        name: &str,
        texts: &BTreeMap<String, String>,
        host: &Host,
        chain: &mut Vec<String>,
        budget: &Budget,
    ) -> Result<String, String> {
        if let Some(value) = self.0.get(name) {
            return Ok(value.clone());
        }
        chain.push(name.to_owned());
        if chain[..chain.len() - 1].contains(&chain[chain.len() - 1]) {
            return Err(format!("a variable uses itself: {}", shown(&chain.join(" > "))));
        }
        if chain.len() > MAX_DEPTH {
            return Err(format!("variables are nested more than {MAX_DEPTH} levels deep"));
        }
        let value = match texts.get(name) {
            Some(text) if text != "auto" => substitute(text, |used| self.define(used, texts, host, chain, budget))?,
            _ => match name {
                ISOLATED => {
                    let nics = self.define("nics", texts, host, chain, budget)?;
                    default_isolated(host, &nics.split_whitespace().collect::<Vec<_>>()).to_string()
                }
                "housekeeping" => {
                    let isolated = self.define("isolated", texts, host, chain, budget)?;
                    let isolated: CpuSet = isolated.parse().map_err(|error| format!("isolated: {error}"))?;
                    host.topology.online().difference(&isolated).to_string()
                }
                "queue_cpus" => {
                    let housekeeping = self.define("housekeeping", texts, host, chain, budget)?;
                    let isolated = self.define("isolated", texts, host, chain, budget)?;
                    let cpus =
                        |name: &str, text: &str| text.parse::<CpuSet>().map_err(|error| format!("{name}: {error}"));
                    near_isolated(host, &cpus("housekeeping", &housekeeping)?, &cpus("isolated", &isolated)?)
                        .to_string()
                }
                "nics" => default_nics(host).join(" "),
                _ => return Err(undefined(name)),
            },
        };
        if CPU_VARIABLES.contains(&name) {
            let cpus = value.parse().map_err(|error: CpuListError| error.to_string())?;
            host.topology.has(&cpus)?;
            if name == ISOLATED && host.topology.online().difference(&cpus).is_empty() {
                return Err(format!("{value} are all CPUs of this host: leave at least one for everything else"));
            }
        }
        if name == "nics"
            && let Some(absent) = value.split_whitespace().find(|name| !host.nics.iter().any(|nic| nic.name == *name))
        {
            let names: Vec<&str> = host.nics.iter().map(|nic| nic.name.as_str()).collect();
            return Err(format!(
                "there is no network interface {}; there are {}",
                excerpt::name(absent),
                names.join(" ")
            ));
        }
        chain.pop();
        budget.take(value.len())?;
        self.0.insert(name.to_owned(), value.clone());
        Ok(value)
    }

    /// Expands the variables of a text.
    ///
    /// # Errors
    /// The text uses an undefined variable.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        substitute(text, |name| self.0.get(name).cloned().ok_or_else(|| undefined(name)))
    }

    /// The first variable in a text that is empty on this host: for example, `isolated` is empty if no CPU can be isolated.
    #[must_use]
    pub fn empty_in<'a>(&self, text: &'a str) -> Option<&'a str> {
        variable_names(text).find(|name| self.0.get(*name).is_some_and(String::is_empty))
    }

    /// The names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The variable with the isolated CPUs.
pub(super) const ISOLATED: &str = "isolated";

/// The variables that can be derived from a host.
const AUTOMATIC: [&str; 4] = ["nics", ISOLATED, "housekeeping", "queue_cpus"];

/// The derived variables that must be lists of CPUs.
const CPU_VARIABLES: [&str; 3] = [ISOLATED, "housekeeping", "queue_cpus"];

fn undefined(name: &str) -> String {
    format!("there is no variable {}", excerpt::quoted(name))
}

/// The CPUs to isolate: whole cores of one node, the node of these interfaces if it is known. Half of the cores of the node
/// with CPU 0, and all cores but one of another node. The core of CPU 0 is never isolated, because the kernel uses that CPU for
/// special tasks.
fn default_isolated(host: &Host, nics: &[&str]) -> CpuSet {
    let nodes = host.topology.nodes();
    let chosen = host.nics.iter().filter(|nic| nics.contains(&nic.name.as_str()));
    let near = nearest_node(chosen).filter(|node| nodes.contains_key(node));
    // If the node is unknown, the last node, because the first node contains CPU 0.
    let Some(cpus) = near.or_else(|| nodes.keys().next_back().copied()).and_then(|node| nodes.get(&node)) else {
        return CpuSet::default();
    };
    let on_node: Vec<CpuSet> =
        host.topology.cores().into_iter().filter(|core| core.iter().all(|cpu| cpus.contains(cpu))).collect();
    let eligible: Vec<&CpuSet> = on_node.iter().filter(|core| !core.contains(CpuId(0))).collect();
    // On a node without CPU 0, all cores except one. On the node with CPU 0, half of the cores remain for everything else.
    let is_other_node = nodes.len() > 1 && eligible.len() == on_node.len();
    let count = if is_other_node { eligible.len().saturating_sub(1) } else { on_node.len() / 2 };
    let from = eligible.len().saturating_sub(count);
    eligible[from..].iter().flat_map(|core| core.iter()).collect()
}

/// The housekeeping CPUs on the same nodes as the isolated CPUs, because they share caches; all housekeeping CPUs if there are
/// none.
fn near_isolated(host: &Host, housekeeping: &CpuSet, isolated: &CpuSet) -> CpuSet {
    let nodes = host.topology.nodes();
    let beside = nodes.values().filter(|cpus| cpus.iter().any(|cpu| isolated.contains(cpu)));
    let near: CpuSet = beside.flat_map(|cpus| cpus.iter()).filter(|cpu| housekeeping.contains(*cpu)).collect();
    if near.is_empty() { housekeeping.clone() } else { near }
}

/// The network interfaces with a carrier; all interfaces if none has a carrier.
fn default_nics(host: &Host) -> Vec<&str> {
    let up: Vec<&str> = host.nics.iter().filter(|nic| nic.up).map(|nic| nic.name.as_str()).collect();
    if up.is_empty() { host.nics.iter().map(|nic| nic.name.as_str()).collect() } else { up }
}

/// The node with the fastest link. Ties are resolved by the most queues, then by the most cards, then by the lowest node
/// number.
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
