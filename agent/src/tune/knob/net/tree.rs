//! Cards as files below a directory that stands for a host: `run/quell-fake/ethtool/NIC/rx-usecs`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cards::{Cards, Field, Found, RssTable};
use super::flow_rule::FlowRule;
use crate::excerpt;
use crate::host::Root;
use crate::tune::knob::KnobError;

/// Files: a number or `on` and `off` in each; `NAME-max` beside it; `rss` with the table, `rss-queues`; `flow-rules/`, a file
/// for each rule by its location.
pub(super) struct Tree(PathBuf);

impl Tree {
    pub(super) fn of(root: &Root) -> Self {
        Self(root.path("/run/quell-fake/ethtool"))
    }

    fn path(&self, nic: &str, name: &str) -> PathBuf {
        self.0.join(nic).join(name)
    }

    fn read(&self, nic: &str, name: &str) -> Found<String> {
        let path = self.path(nic, name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Ok(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(format!("the driver has no {name}"))),
            Err(source) => Err(KnobError::Read { path, source }),
        }
    }

    fn parsed<T>(&self, nic: &str, name: &str, parse: impl Fn(&str) -> Option<T>) -> Found<T> {
        let understood = |text: String| {
            let why = || format!("{} is not what it should be", excerpt::quoted(&text));
            parse(&text).ok_or_else(|| KnobError::Understand { path: self.path(nic, name), why: why() })
        };
        self.read(nic, name)?.map(understood).map_or_else(|why| Ok(Err(why)), |value| value.map(Ok))
    }

    fn write(&self, nic: &str, name: &str, text: &str) -> Result<(), KnobError> {
        let path = self.path(nic, name);
        let result = if path.exists() { fs::write(&path, format!("{text}\n")) } else { Err(no_support()) };
        result.map_err(|source| KnobError::from_write(path, text.to_owned(), source))
    }
}

fn no_support() -> io::Error {
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

impl Cards for Tree {
    fn number(&self, nic: &str, field: &Field) -> Found<u32> {
        self.parsed(nic, field.name, number)
    }

    fn limit(&self, nic: &str, field: &Field) -> Result<Option<u32>, KnobError> {
        Ok(self.parsed(nic, &format!("{}-max", field.name), number)?.ok())
    }

    fn set_number(&self, nic: &str, field: &Field, number: u32) -> Result<(), KnobError> {
        let words = match (field.width, number) {
            (super::cards::Width::Byte, 0) => "off".to_owned(),
            (super::cards::Width::Byte, _) => "on".to_owned(),
            (super::cards::Width::Word, number) => number.to_string(),
        };
        self.write(nic, field.name, &words)
    }

    fn feature(&self, nic: &str, name: &str) -> Found<bool> {
        self.parsed(nic, name, switch)
    }

    fn set_feature(&self, nic: &str, name: &str, on: bool) -> Result<(), KnobError> {
        self.write(nic, name, if on { "on" } else { "off" })
    }

    fn rss(&self, nic: &str) -> Found<RssTable> {
        let queues = match self.parsed(nic, "rss-queues", number)? {
            Ok(queues) => queues,
            Err(why) => return Ok(Err(why)),
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

    fn flow_rule(&self, nic: &str, location: u32) -> Found<Option<FlowRule>> {
        if !self.path(nic, "flow-rules").is_dir() {
            return Ok(Err("the driver has no flow rules".to_owned()));
        }
        let name = format!("flow-rules/{location}");
        match self.path(nic, &name).exists() {
            false => Ok(Ok(None)),
            true => self.parsed(nic, &name, |text| text.parse().ok().map(Some)),
        }
    }

    fn set_flow_rule(&self, nic: &str, location: u32, rule: Option<&FlowRule>) -> Result<(), KnobError> {
        let path = self.path(nic, &format!("flow-rules/{location}"));
        let words = rule.map_or_else(|| "no rule".to_owned(), ToString::to_string);
        let result = match rule {
            _ if !path.parent().is_some_and(Path::is_dir) => Err(no_support()),
            Some(_) => fs::write(&path, format!("{words}\n")),
            None => fs::remove_file(&path),
        };
        result.map_err(|source| KnobError::from_write(path, words, source))
    }
}

/// The table that gives each queue as many buckets as any other: `ethtool_rxfh_indir_default`, include/linux/ethtool.h.
pub(super) fn equal(entries: usize, queues: u32) -> Vec<u32> {
    (0..queues.max(1)).cycle().take(entries).collect()
}
