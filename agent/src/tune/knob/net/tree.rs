//! Card settings in the files of a tree: `run/quell-fake/ethtool/NIC/rx-usecs`.

use std::io;

use super::card::{Card, CardResult, Field, RssTable, Width};
use crate::excerpt;
use crate::host::Root;
use crate::tune::knob::error::KnobError;
use crate::tune::knob::net::flow_rule::FlowRule;

/// The cards of a tree. Each file contains a number, or `on` or `off`. `NAME-max` contains the maximum, `rss` the RSS table,
/// `rss-queues` the number of queues, and `flow-rules/` has one file per rule, named by location.
pub(super) struct TreeCard(Root);

const CARDS: &str = "/run/quell-fake/ethtool";

impl TreeCard {
    pub(super) fn new(root: &Root) -> Self {
        Self(root.clone())
    }

    fn read(&self, nic: &str, name: &str) -> CardResult<String> {
        let file = file(nic, name);
        match self.0.read_text(&file) {
            Ok(text) => Ok(Ok(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Err(format!("the driver does not support {name}")))
            }
            Err(source) => Err(KnobError::Read { path: self.0.display_path(&file), source }),
        }
    }

    fn parsed<T>(&self, nic: &str, name: &str, parse: impl Fn(&str) -> Option<T>) -> CardResult<T> {
        let text = match self.read(nic, name)? {
            Ok(text) => text,
            Err(reason) => return Ok(Err(reason)),
        };
        parse(&text).map(Ok).ok_or_else(|| KnobError::Malformed {
            path: self.0.display_path(&file(nic, name)),
            reason: format!("{} is not a value of {name}", excerpt::quoted(&text)),
        })
    }

    fn write(&self, nic: &str, name: &str, text: &str) -> Result<(), KnobError> {
        let file = file(nic, name);
        let result = if self.0.has(&file) { self.0.put(&file, &format!("{text}\n")) } else { Err(unsupported()) };
        result.map_err(|source| KnobError::from_write(self.0.display_path(&file), text.to_owned(), source))
    }
}

fn file(nic: &str, name: &str) -> String {
    format!("{CARDS}/{nic}/{name}")
}

fn unsupported() -> io::Error {
    io::Error::from_raw_os_error(libc::EOPNOTSUPP)
}

fn number(text: &str) -> Option<u32> {
    switch(text).map(u32::from).or_else(|| text.parse().ok())
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split_whitespace().map(|word| word.parse().ok()).collect()
}

impl Card for TreeCard {
    fn number(&self, nic: &str, field: &Field) -> CardResult<u32> {
        self.parsed(nic, field.name, number)
    }

    fn limit(&self, nic: &str, field: &Field) -> Result<Option<u32>, KnobError> {
        Ok(self.parsed(nic, &format!("{}-max", field.name), number)?.ok())
    }

    fn set_number(&self, nic: &str, field: &Field, number: u32) -> Result<(), KnobError> {
        let words = match (field.width, number) {
            (Width::Byte, 0) => "off".to_owned(),
            (Width::Byte, _) => "on".to_owned(),
            (Width::Word, number) => number.to_string(),
        };
        self.write(nic, field.name, &words)
    }

    fn feature(&self, nic: &str, name: &str) -> CardResult<bool> {
        self.parsed(nic, name, switch)
    }

    fn set_feature(&self, nic: &str, name: &str, on: bool) -> Result<(), KnobError> {
        self.write(nic, name, if on { "on" } else { "off" })
    }

    fn rss(&self, nic: &str) -> CardResult<RssTable> {
        let queues = match self.parsed(nic, "rss-queues", number)? {
            Ok(queues) => queues,
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(self.parsed(nic, "rss", numbers)?.map(|entries| RssTable { entries, queues }))
    }

    fn set_rss(&self, nic: &str, entries: &[u32]) -> Result<(), KnobError> {
        let entries = match (entries, self.rss(nic)?) {
            ([], Ok(table)) => equal(table.entries.len(), table.queues),
            (entries, _) => entries.to_vec(),
        };
        self.write(nic, "rss", &entries.iter().map(u32::to_string).collect::<Vec<_>>().join(" "))
    }

    fn flow_rule(&self, nic: &str, location: u32) -> CardResult<Option<FlowRule>> {
        if !self.0.is_directory(&file(nic, "flow-rules")) {
            return Ok(Err("the driver does not support flow rules".to_owned()));
        }
        let name = format!("flow-rules/{location}");
        match self.0.has(&file(nic, &name)) {
            false => Ok(Ok(None)),
            true => self.parsed(nic, &name, |text| text.parse().ok().map(Some)),
        }
    }

    fn set_flow_rule(&self, nic: &str, location: u32, rule: Option<&FlowRule>) -> Result<(), KnobError> {
        let file = file(nic, &format!("flow-rules/{location}"));
        let rules = self::file(nic, "flow-rules");
        let words = rule.map_or_else(|| "no rule".to_owned(), ToString::to_string);
        let result = match rule {
            _ if !self.0.is_directory(&rules) => Err(unsupported()),
            Some(_) => self.0.put(&file, &format!("{words}\n")),
            None => self.0.remove_file(&file),
        };
        result.map_err(|source| KnobError::from_write(self.0.display_path(&file), words, source))
    }
}

/// The table with equally many buckets for each queue: `ethtool_rxfh_indir_default`, include/linux/ethtool.h.
pub(super) fn equal(entries: usize, queues: u32) -> Vec<u32> {
    (0..queues.max(1)).cycle().take(entries).collect()
}
