//! The data of the page: a JSON head and columns of varints, deflated and encoded as base64.
//!
//! Base64 contains no character with a special meaning in HTML or JavaScript, so no name can break out of its element.
//! `data.js` decodes the data in the same order.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use hashbrown::HashMap;
use serde::Serialize;

use super::buckets::Buckets;
use super::chains::Chains;
use super::counters;
use super::histograms;
use super::processes::{ProcessRow, pools, processes};
use super::rows::{Key, Row, rows};
use crate::profile::{FrameKind, IdleThreads, Profile, Roots};
use crate::recording::{Losses, Meta, StackTable};
use crate::report::share::unnamed_in_words;
use crate::report::steal::steal_in_words;
use crate::text;
use crate::units::Nanos;

/// The small data and all texts.
#[derive(Serialize)]
struct Head<'a> {
    meta: &'a Meta,
    /// The selected part of the capture as text; `None` for the whole capture.
    part: Option<String>,
    /// The steal time of the CPUs as text; `None` if there was none.
    steal: Option<String>,
    /// The share of the time without a function name as text; `None` if there is none.
    unnamed: Option<String>,
    /// The name, the count, and the name for this count.
    losses: [(&'static str, u64, &'static str); Losses::COUNTERS],
    buckets: u16,
    bucket_nanos: u64,
    /// The start and the end of the time axis, in nanoseconds from the start of the capture.
    axis_start: u64,
    axis_end: u64,
    light_chains: usize,
    /// The threads that share a root of the stacks: the page shows threads in the same way at first.
    roots: &'static str,
    /// Whether the page shows idle threads at first.
    lists_idle: bool,
    processes: Vec<ProcessRow<'a>>,
    pools: Vec<&'a str>,
    /// PID, TID, name, process, pool and incarnation.
    threads: Vec<(u32, u32, &'a str, usize, usize, u32)>,
    /// Counted totals of threads.
    counters: Vec<counters::Row>,
    /// The groups of samples with a counted total: thread, metric, number of samples, the unexplained part of the variance, and what is
    /// not in the rows: the estimated part of the values, and the variance. The page adds the parts in its rows.
    calibrated: Vec<(u32, u16, u32, f64, f64, f64)>,
    histograms: Vec<histograms::MetricBars>,
    modules: Vec<&'a str>,
    frames: Vec<&'a str>,
}

/// Writes the data of `profile`.
pub(super) fn encode(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let buckets = Buckets::of(&profile.meta, profile.window);
    let chains = Chains::of(profile);
    let rows = rows(profile, buckets, &chains);

    let mut modules = Vec::new();
    let mut index = HashMap::new();
    let module_of: Vec<usize> = profile
        .frames
        .iter()
        .map(|frame| {
            *index.entry(frame.module.as_str()).or_insert_with(|| {
                modules.push(frame.module.as_str());
                modules.len() - 1
            })
        })
        .collect();
    let (pools, pool_of) = pools(profile);
    let threads = profile.threads.iter().zip(pool_of).map(|(thread, pool)| {
        (thread.pid.0, thread.tid.0, thread.comm.as_str(), thread.process.index(), pool, thread.incarnation)
    });
    let head = Head {
        meta: &profile.meta,
        part: profile.window.in_words(),
        steal: steal_in_words(&profile.meta),
        unnamed: unnamed_in_words(profile),
        losses: profile.meta.losses.named().map(|loss| (loss.name, loss.count, loss.counted())),
        buckets: buckets.count,
        bucket_nanos: buckets.width.0,
        axis_start: buckets.start.0,
        axis_end: buckets.edge(buckets.count).0,
        light_chains: chains.light,
        roots: match profile.roots {
            Roots::Pools => "pools",
            Roots::Names => "names",
            Roots::Threads => "threads",
            Roots::Processes => "processes",
        },
        lists_idle: profile.idle == IdleThreads::Listed,
        processes: processes(profile),
        pools,
        threads: threads.collect(),
        counters: counters::counters(profile),
        calibrated: calibrated(profile, &rows),
        histograms: histograms::bars(profile),
        modules,
        frames: profile.frames.iter().map(|frame| frame.name.as_str()).collect(),
    };
    // The page shows strings unchanged, so invisible characters and characters that reorder text are escaped.
    let mut json = Vec::new();
    text::to_json(&mut json, &head)?;
    let head = json;

    let mut out = Varints(io::BufWriter::new(ZlibEncoder::new(Base64::new(out), Compression::fast())));
    out.count(head.len())?;
    out.0.write_all(&head)?;
    for (frame, module) in profile.frames.iter().zip(module_of) {
        let kind = match frame.kind {
            FrameKind::Kernel => 0,
            FrameKind::User => 1,
            FrameKind::Label => 2,
        };
        out.number(module as u64 * 3 + kind)?;
    }
    out.stacks(&profile.stacks)?;
    out.stacks(&chains.interrupts)?;
    out.chains(&chains)?;
    out.rows(&rows, buckets)?;
    let deflated = out.0.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    deflated.finish()
}

/// The groups of the profile, without the parts that are in `rows`.
fn calibrated(profile: &Profile, rows: &[Row]) -> Vec<(u32, u16, u32, f64, f64, f64)> {
    let mut rest = profile.groups.clone();
    for row in rows {
        if let Some(group) = row.key.group {
            rest[group.index()].estimated -= row.estimated;
            rest[group.index()].variance -= row.variance;
        }
    }
    // Rounding errors are treated as zero.
    let or_nothing = |rest: f64, whole: f64| if rest > whole * 1e-9 { rest } else { 0.0 };
    let mut groups: Vec<_> = rest
        .iter()
        .zip(&profile.groups)
        .map(|(rest, whole)| {
            let (estimated, variance) =
                (or_nothing(rest.estimated, whole.estimated), or_nothing(rest.variance, whole.variance));
            (whole.thread.row(), whole.metric.0, whole.samples, whole.unexplained, estimated, variance)
        })
        .collect();
    groups.sort_unstable_by_key(|(thread, metric, ..)| (*thread, *metric));
    groups
}

/// Unsigned numbers in groups of seven bits, lowest first (LEB128).
struct Varints<W: Write>(W);

impl<W: Write> Varints<W> {
    fn number(&mut self, mut number: u64) -> io::Result<()> {
        let mut bytes = [0; 10];
        let mut length = 0;
        while number >= 0x80 {
            bytes[length] = number as u8 | 0x80;
            number >>= 7;
            length += 1;
        }
        bytes[length] = number as u8;
        self.0.write_all(&bytes[..=length])
    }

    fn count(&mut self, count: usize) -> io::Result<()> {
        self.number(count as u64)
    }

    /// The number of nodes; then for each node, the distance to the row of its parent (0 for none), and its frame.
    fn stacks(&mut self, stacks: &StackTable) -> io::Result<()> {
        self.count(stacks.rows().len())?;
        for (row, node) in (0u32..).zip(stacks.rows()) {
            self.number(node.parent.map_or(0, |parent| u64::from(row - parent.row())))?;
            self.number(node.frame.row().into())?;
        }
        Ok(())
    }

    fn chains(&mut self, chains: &Chains) -> io::Result<()> {
        self.count(chains.hops.len())?;
        for hop in &chains.hops {
            self.number(hop.waker.map_or(0, |waker| u64::from(waker) + 1))?;
            self.number(hop.stack.map_or(0, |stack| u64::from(stack) + 1))?;
        }
        self.count(chains.rows.len())?;
        for hops in &chains.rows {
            let length = hops.iter().position(|hop| *hop == 0).unwrap_or(hops.len());
            self.count(length)?;
            for hop in &hops[..length] {
                self.number((*hop).into())?;
            }
        }
        Ok(())
    }

    /// Groups of rows that differ only in time: their common key, including whether they are idle sleeps and whether the metric is
    /// calibrated, their number, and then each row. Increasing numbers are written as differences. Sums are rounded to integers,
    /// and so is the standard error, which is written in place of the variance.
    ///
    /// The time of a row is its first bucket and the number of buckets, which is 0 if the time is unknown. If there are several, the
    /// nanoseconds follow by which it begins after the start of the first one, and ends before the end of the last one.
    fn rows(&mut self, rows: &[Row], buckets: Buckets) -> io::Result<()> {
        let groups = || rows.chunk_by(|a, b| a.key.same_group(&b.key));
        self.count(rows.len())?;
        self.count(groups().count())?;
        let mut thread = 0;
        for group in groups() {
            let key = group[0].key;
            self.number((key.thread - thread).into())?;
            thread = key.thread;
            self.number(u64::from(key.metric) * 4 + u64::from(key.idle) * 2 + u64::from(key.group.is_some()))?;
            self.number(key.stack.into())?;
            self.number(key.chain.into())?;
            self.count(group.len())?;
            let mut first = 0;
            for row in group {
                let Key { start, end, .. } = row.key;
                let from = buckets.at(start);
                self.number((from - first).into())?;
                first = from;
                let to = if end > start { buckets.at(Nanos(end.0 - 1)) + 1 } else { from };
                self.number((to - from).into())?;
                if to > from + 1 {
                    self.number(start.since(buckets.edge(from)).0)?;
                    self.number(buckets.edge(to).since(end).0)?;
                }
                self.number(row.value.round() as u64)?;
                self.number(row.estimated.round() as u64)?;
                self.number(row.variance.sqrt().round() as u64)?;
                self.number(row.samples.into())?;
            }
        }
        Ok(())
    }
}

/// Writes bytes as base64 (RFC 4648 section 4).
struct Base64<'a> {
    out: &'a mut dyn Write,
    rest: [u8; 3],
    held: usize,
}

impl<'a> Base64<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self { out, rest: [0; 3], held: 0 }
    }

    fn digits(bytes: [u8; 3]) -> [u8; 4] {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let [a, b, c] = bytes.map(usize::from);
        [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63].map(|digit| ALPHABET[digit])
    }

    /// Writes the remaining bytes, padded with `=`.
    fn finish(self) -> io::Result<()> {
        let mut digits = Self::digits(self.rest);
        match self.held {
            0 => return Ok(()),
            1 => digits[2..].fill(b'='),
            _ => digits[3] = b'=',
        }
        self.out.write_all(&digits)
    }
}

impl Write for Base64<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4 + 4);
        for byte in bytes {
            self.rest[self.held] = *byte;
            self.held += 1;
            if self.held == 3 {
                text.extend_from_slice(&Self::digits(self.rest));
                (self.rest, self.held) = ([0; 3], 0);
            }
        }
        self.out.write_all(&text)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc_however_it_is_cut() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            let mut out = Vec::new();
            let mut base64 = Base64::new(&mut out);
            for byte in bytes.as_bytes() {
                base64.write_all(&[*byte]).expect("a vector takes all");
            }
            base64.finish().expect("a vector takes all");
            assert_eq!(String::from_utf8(out).expect("ASCII"), text);
        }
    }

    #[test]
    fn varints_are_leb128() {
        let mut out = Varints(Vec::new());
        for number in [0, 127, 128, u64::MAX] {
            out.number(number).expect("a vector takes all");
        }
        let most = [&[0xff; 9][..], &[0x01]].concat();
        assert_eq!(out.0, [&[0, 127, 0x80, 1][..], &most].concat());
    }
}
