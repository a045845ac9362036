//! Wake chains: the thread that ended a sleep, the thread that had ended the last sleep of this waker, and so on.

use hashbrown::HashMap;

use crate::profile::{FrameKind, Profile, WakeLink, begins_interrupt};
use crate::recording::{StackId, StackTable};

/// The maximum number of wakers in a chain.
const MOST_HOPS: usize = 6;

/// The maximum number of distinct chains in a page; the others are combined.
const MOST_CHAINS: usize = 8_192;

/// The chain of a sample without a known wakeup.
pub(super) const NO_CHAIN: u32 = 0;

/// The chain of all combined chains.
pub(super) const LIGHT_CHAINS: u32 = 1;

/// The end of a chain that does not end with an interrupt. `data.js` uses these numbers.
#[derive(Clone, Copy)]
enum End {
    /// The last sleep of the waker was not sampled.
    NotSampled = 1,
    /// The waker of the waker is unknown.
    WakeNotSeen = 2,
    /// The waker had been preempted, and not woken.
    Runnable = 3,
    /// The chain has more than [`MOST_HOPS`] wakers.
    Cut = 4,
}

/// Numbers below this are an [`End`], or 0 for nothing more.
pub(super) const FIRST_HOP: u32 = 5;

/// A waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hop {
    /// The first thread with the name of the waker; `None` for an interrupt, whose thread did not cause the wakeup.
    pub(super) waker: Option<u32>,
    /// The stack of the waker. Numbers starting at the length of [`Profile::stacks`] are rows of [`Chains::interrupts`].
    pub(super) stack: Option<u32>,
}

type Hops = [u32; MOST_HOPS + 1];

/// The chains of a profile.
pub(super) struct Chains {
    /// The chain of each sample: [`NO_CHAIN`], [`LIGHT_CHAINS`], or 2 + a row of `rows`.
    pub(super) of_sample: Vec<u32>,
    /// Chains, beginning with the first waker. Each element is [`FIRST_HOP`] + a row of `hops`, or at the end an [`End`] or
    /// zeros.
    pub(super) rows: Vec<Hops>,
    /// All distinct wakers.
    pub(super) hops: Vec<Hop>,
    /// The stacks of interrupts, without the interrupted code.
    pub(super) interrupts: StackTable,
    /// The number of distinct chains in [`LIGHT_CHAINS`].
    pub(super) light: usize,
}

impl Chains {
    pub(super) fn of(profile: &Profile) -> Self {
        Self::bounded(profile, MOST_CHAINS)
    }

    fn bounded(profile: &Profile, most: usize) -> Self {
        let mut wakers = Wakers::new(profile);
        let hop_of: Vec<u32> =
            profile.samples.iter().map(|sample| sample.wake.map_or(0, |wake| wakers.intern(&wake))).collect();

        let mut rows: Vec<(Hops, f64)> = Vec::new();
        let mut index: HashMap<Hops, u32> = HashMap::new();
        let mut of_sample = vec![NO_CHAIN; profile.samples.len()];
        for (row, sample) in profile.samples.iter().enumerate() {
            if sample.wake.is_none() || sample.value <= 0.0 {
                continue;
            }
            let hops = follow(profile, &hop_of, row);
            let next = u32::try_from(rows.len()).expect("fewer than 2^32 samples");
            let chain = *index.entry(hops).or_insert(next);
            if chain == next {
                rows.push((hops, 0.0));
            }
            rows[chain as usize].1 += sample.value;
            of_sample[row] = chain + 2;
        }

        let mut heaviest: Vec<u32> = (0u32..).zip(&rows).map(|(chain, _)| chain).collect();
        heaviest.sort_by(|a, b| rows[*b as usize].1.total_cmp(&rows[*a as usize].1));
        let light = heaviest.len().saturating_sub(most);
        heaviest.truncate(most);
        let mut renumbered = vec![LIGHT_CHAINS; rows.len()];
        for (new, old) in (2u32..).zip(&heaviest) {
            renumbered[*old as usize] = new;
        }
        for chain in of_sample.iter_mut().filter(|chain| **chain != NO_CHAIN) {
            *chain = renumbered[*chain as usize - 2];
        }
        Self {
            of_sample,
            rows: heaviest.into_iter().map(|chain| rows[chain as usize].0).collect(),
            hops: wakers.rows,
            interrupts: wakers.interrupts,
            light,
        }
    }
}

/// The chain that begins at a sample with a waker.
fn follow(profile: &Profile, hop_of: &[u32], row: usize) -> Hops {
    let mut hops = [0; MOST_HOPS + 1];
    let mut row = row;
    for place in 0..MOST_HOPS {
        let sample = &profile.samples[row];
        let Some(wake) = &sample.wake else {
            hops[place] = if sample.runnable { End::Runnable } else { End::WakeNotSeen } as u32;
            return hops;
        };
        hops[place] = hop_of[row];
        match wake.waker_sleep {
            _ if wake.interrupt => return hops,
            // A row that does not precede this one would result in a loop.
            Some(earlier) if earlier.index() < row => row = earlier.index(),
            _ => {
                hops[place + 1] = End::NotSampled as u32;
                return hops;
            }
        }
    }
    hops[MOST_HOPS] = End::Cut as u32;
    hops
}

/// Distinct wakers. Threads with the same name are one waker, unless their stacks differ.
struct Wakers<'a> {
    profile: &'a Profile,
    first_of_name: Vec<u32>,
    rows: Vec<Hop>,
    index: HashMap<Hop, u32>,
    interrupts: StackTable,
    cut: HashMap<StackId, Option<u32>>,
}

impl<'a> Wakers<'a> {
    fn new(profile: &'a Profile) -> Self {
        let mut first = HashMap::new();
        let first_of_name = (0u32..)
            .zip(&profile.threads)
            .map(|(index, thread)| *first.entry(thread.comm.as_str()).or_insert(index))
            .collect();
        Self {
            profile,
            first_of_name,
            rows: Vec::new(),
            index: HashMap::new(),
            interrupts: StackTable::default(),
            cut: HashMap::new(),
        }
    }

    fn intern(&mut self, wake: &WakeLink) -> u32 {
        let hop = if wake.interrupt {
            Hop { waker: None, stack: wake.stack.and_then(|stack| self.interrupt(stack)) }
        } else {
            Hop { waker: Some(self.first_of_name[wake.waker.index()]), stack: wake.stack.map(StackId::row) }
        };
        let next = FIRST_HOP + u32::try_from(self.rows.len()).expect("fewer than 2^32 wakers");
        let id = *self.index.entry(hop).or_insert(next);
        if id == next {
            self.rows.push(hop);
        }
        id
    }

    /// The part of a stack that belongs to the interrupt.
    fn interrupt(&mut self, stack: StackId) -> Option<u32> {
        if let Some(known) = self.cut.get(&stack) {
            return *known;
        }
        let mut frames: Vec<_> = self.profile.stacks.frames(stack).collect();
        frames.reverse();
        let entry = frames.iter().position(|id| {
            let frame = self.profile.frame(*id);
            frame.kind == FrameKind::Kernel && begins_interrupt(&frame.name)
        });
        let interrupt = entry.and_then(|entry| self.interrupts.intern_all(frames[entry..].iter().copied()));
        let base = u32::try_from(self.profile.stacks.rows().len()).expect("fewer than 2^32 stack nodes");
        let cut = interrupt.map(|id| base + id.row());
        self.cut.insert(stack, cut);
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::recording::ThreadIdx;

    fn names(chains: &Chains, profile: &Profile, chain: u32) -> Vec<String> {
        let base = profile.stacks.rows().len() as u32;
        chains.rows[chain as usize - 2]
            .iter()
            .filter(|hop| **hop != 0)
            .map(|hop| match hop.checked_sub(FIRST_HOP) {
                None => format!("end {hop}"),
                Some(hop) => {
                    let hop = chains.hops[hop as usize];
                    let who = hop.waker.map_or("interrupt", |waker| &profile.threads[waker as usize].comm);
                    let (stacks, stack) = match hop.stack.expect("a stack") {
                        stack if stack >= base => (&chains.interrupts, stack - base),
                        stack => (&profile.stacks, stack),
                    };
                    let code: Vec<&str> =
                        stacks.frames(StackId::new(stack)).map(|frame| profile.frame(frame).name.as_str()).collect();
                    format!("{who}: {}", code.join(" "))
                }
            })
            .collect()
    }

    #[test]
    fn a_chain_goes_from_waker_to_waker_until_an_interrupt_and_blames_no_bystander() {
        let profile = fixture::chain_of_three();
        let chains = Chains::of(&profile);
        let chain = chains.of_sample[2];
        assert_eq!(
            names(&chains, &profile, chain),
            ["relay: pipe_write relay_main relay", "interrupt: hrtimer_wakeup asm_sysvec_apic_timer_interrupt"]
        );
    }

    #[test]
    fn a_chain_says_why_it_ends() {
        let mut profile = fixture::chain_of_three();
        let sleeper = profile.samples[2].wake.as_mut().expect("woken");
        sleeper.waker_sleep = None;
        let chains = Chains::of(&profile);
        assert_eq!(names(&chains, &profile, chains.of_sample[2])[1], "end 1");

        let mut profile = fixture::chain_of_three();
        profile.samples[1].wake = None;
        let chains = Chains::of(&profile);
        assert_eq!(names(&chains, &profile, chains.of_sample[2])[1], "end 2");
        profile.samples[1].runnable = true;
        let chains = Chains::of(&profile);
        assert_eq!(names(&chains, &profile, chains.of_sample[2])[1], "end 3");
    }

    #[test]
    fn threads_of_one_name_are_one_waker() {
        let mut profile = fixture::chain_of_three();
        let twin = profile.threads[1].clone();
        profile.threads.push(twin);
        let mut second = profile.samples[2];
        second.wake.as_mut().expect("woken").waker = ThreadIdx::from_index(profile.threads.len() - 1);
        profile.samples.push(second);
        let chains = Chains::of(&profile);
        assert_eq!(chains.of_sample[2], chains.of_sample[3]);
    }

    #[test]
    fn the_lightest_chains_are_the_ones_that_are_put_together() {
        let profile = fixture::chain_of_three();
        let chains = Chains::bounded(&profile, 1);
        assert_eq!((chains.rows.len(), chains.light), (1, 1));
        assert_eq!(chains.of_sample[1..3], [LIGHT_CHAINS, 2], "the sleeper's weighs more than the relay's");
    }
}
