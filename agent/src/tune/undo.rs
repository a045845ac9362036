//! Putting back what a transaction changed, in reverse.

use std::collections::BTreeMap;
use std::fmt;

use super::interruption::Interruptions;
use super::journal::{Journal, JournalError, Parts, Record, StepState, ToUndo};
use super::knob::Reading;
use super::owner::{Fate, fate};
use super::{Step, Target, Value, background, knob};
use crate::host::Host;
use crate::text::shown;

/// What is done about a value that is neither what it was before nor what the transaction made it: somebody changed it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unless {
    /// It is left as it is.
    Changed,
    /// It is put back all the same.
    Never,
}

/// What undoing came to.
#[derive(Debug, Default)]
pub struct Undone {
    /// How many values were put back.
    pub restored: usize,
    /// How many were as before already.
    pub unchanged: usize,
    /// How many went with the boot that they were set in.
    pub gone: usize,
    /// What was not put back.
    pub left: Vec<Left>,
    /// What putting values back does not undo, in words.
    pub remains: Vec<String>,
    /// Why the journal does not say all of this, if so: it will be tried again, and found done.
    pub unrecorded: Option<JournalError>,
    /// The values that are as before.
    pub(super) back: Vec<PutBack>,
}

/// A value that is as before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PutBack {
    knob: String,
    target: Target,
    /// What it is.
    before: Value,
}

impl PutBack {
    /// Whether it is the same value: of one with parts, whether all of them are among those of this. A rule that is applied twice may be
    /// about other processes each time.
    pub(super) fn covers(&self, knob: &str, target: &Target, value: &Value) -> bool {
        let has_parts = match (self.before.parts(), value.parts()) {
            (Some(own), Some(parts)) => parts.keys().all(|part| own.contains_key(part)),
            _ => true,
        };
        self.knob == knob && self.target == *target && has_parts
    }
}

/// A value that was not put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The knob.
    pub knob: String,
    /// Where.
    pub target: Target,
    /// What it was before the transaction: its own step may have found what an earlier one had made of it.
    pub before: Value,
    /// Why it was not put back.
    pub why: String,
    /// What kept it.
    pub kept: Kept,
}

/// What kept a value from being put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Somebody set it since.
    ByOthers,
    /// It refused, or could not be reached: which may pass.
    Refused,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = format!("{} on {}, which was {}", self.knob, self.target, self.before.whole());
        f.write_str(&shown(&what))
    }
}

impl Undone {
    /// What was not put back by the reasons: a boot loader's program that fails is one for all parameters.
    #[must_use]
    pub fn left_by_reason(&self) -> Vec<(&str, Vec<&Left>)> {
        let mut reasons: Vec<(&str, Vec<&Left>)> = Vec::new();
        for left in &self.left {
            match reasons.iter_mut().find(|(why, _)| *why == left.why) {
                Some((_, known)) => known.push(left),
                None => reasons.push((&left.why, vec![left])),
            }
        }
        reasons
    }

    /// What cannot be put back, and is as it was found.
    fn left(&mut self, journal: &mut Journal, undo: ToUndo, why: String) {
        journal.note(Record::Left { step: undo.index, why: why.clone(), now: None, parts: Parts::new() });
        self.name(undo, why, Kept::Refused);
    }

    fn name(&mut self, undo: ToUndo, why: String, kept: Kept) {
        let Step { knob, target, now: before, .. } = undo.step;
        self.left.push(Left { knob, target, before, why, kept });
    }
}

/// Undoes a transaction, as far as it was done. Who calls this holds the lock. Again after it was cut short it goes on where
/// it was, and tries once more what was left.
///
/// A journal that cannot be written stops nothing: to undo again what was undone changes nothing.
pub fn undo(host: &Host, journal: &mut Journal, why: &str, unless: Unless) -> Undone {
    // It ends sooner than it would be recovered. Where they cannot be held back, it is as good as it can be.
    let _held_back = Interruptions::hold().ok();
    let mut undone = Undone::default();
    let mut to_undo = journal.transaction().to_undo();
    to_undo.reverse();
    // All of them before the first is put back, which may move others: those are not to be taken for somebody's.
    let fates: Vec<Fate> = to_undo.iter().map(|undo| fate(host, undo, journal.transaction(), unless)).collect();
    let (mut theirs, mut parts) = (Vec::new(), Vec::new());
    for (undo, fate) in to_undo.iter().zip(&fates) {
        match fate {
            Fate::Theirs(_) => theirs.push(undo.index),
            Fate::Partly(some, _) => parts.push((undo.index, some.clone())),
            Fate::Ours | Fate::Held | Fate::Gone => {}
        }
    }
    journal.note(Record::Undoing { why: why.to_owned(), theirs, parts });
    let released = background::release(&host.root, journal.transaction().id).map_err(|error| error.to_string());
    let (mut rest, mut theirs) = (Vec::new(), Vec::new());
    let went = |(undo, fate): (&ToUndo, &Fate)| (*fate != Fate::Gone).then_some(undo.index);
    let here: Vec<usize> = to_undo.iter().zip(&fates).filter_map(went).collect();
    for (undo, fate) in to_undo.into_iter().zip(fates) {
        match (fate, &released) {
            (Fate::Gone, _) => {
                undone.gone += 1;
                journal.note(Record::Undone { step: undo.index });
            }
            (Fate::Held, Err(why)) => undone.left(journal, undo, why.clone()),
            // Gone with its holder. What it is now is for those to say who hold it too.
            (Fate::Held, Ok(())) if host.root.is_host() => {
                undone.restored += 1;
                journal.note(Record::Undone { step: undo.index });
            }
            (Fate::Theirs(why), _) => theirs.push(Theirs { undo, parts: Parts::new(), why }),
            (Fate::Partly(parts, why), _) => {
                rest.push(undo.of_parts(&|part| !parts.contains(part)));
                theirs.push(Theirs { undo: undo.of_parts(&|part| parts.contains(part)), parts, why });
            }
            (Fate::Held | Fate::Ours, _) => rest.push(undo),
        }
    }
    undone.remains = rest.iter().filter_map(|undo| remains(host, undo)).collect();
    let backs = in_two_rounds(
        &rest,
        host.clone(),
        // With the CPUs that the first round has brought back: which CPUs are all of them depends on it.
        |host| Host::read(host.root.clone()).unwrap_or(host),
        |host, undo, round| match round {
            Round::Unwind => put_back(host, journal, undo, &undo.before, unless),
            Round::Start => put_back(host, journal, undo, &undo.step.now, unless),
        },
    );
    let inherited = revoked(host, journal, &here);
    let (mut unsettled, mut refused) = (Vec::new(), Vec::new());
    for (undo, back) in rest.into_iter().zip(backs) {
        match back {
            Ok(Back::Restored) => undone.restored += 1,
            Ok(Back::Already) => undone.unchanged += 1,
            Err(why) => {
                // What this has written is known again the next time, and not taken for somebody's.
                let written = journal.transaction().is_restoring(undo.index);
                let now = written.then(|| now(host, &undo)).flatten();
                let now =
                    now.map(|now| now.of_parts(&|part| undo.before.parts().is_none_or(|of| of.contains_key(part))));
                // With the parts that are somebody's, which are told apart the next time too.
                journal.note(Record::Left { step: undo.index, why: why.clone(), now, parts: Parts::new() });
                refused.push(undo.index);
                undone.name(undo, why, Kept::Refused);
                continue;
            }
        }
        if theirs.iter().any(|theirs| theirs.undo.index == undo.index) {
            continue;
        }
        if let Some(why) = inherited.get(&undo.index) {
            undone.left(journal, undo, why.clone());
            continue;
        }
        if undo.step.lifetime.outlives_boot() {
            // Not undone before it is settled too, even where it was as before: a crash may have come between the two.
            unsettled.push(undo);
            continue;
        }
        journal.note(Record::Undone { step: undo.index });
    }
    settle(host, journal, unsettled, &mut undone);
    for Theirs { undo, parts, why } in theirs {
        if let Some(inherited) = inherited.get(&undo.index) {
            // Kept by the kernel as well, for now: another try may do better.
            let why = format!("{why}; and {inherited}");
            if !refused.contains(&undo.index) {
                journal.note(Record::Left { step: undo.index, why: why.clone(), now: None, parts });
            }
            undone.name(undo, why, Kept::Refused);
            continue;
        }
        // A step of this transaction had moved it, and was cut before that was seen: putting that one back has moved it back.
        if is_as_at_the_start(host, &undo) {
            undone.unchanged += 1;
            if !refused.contains(&undo.index) {
                journal.note(Record::Undone { step: undo.index });
            }
            continue;
        }
        if !refused.contains(&undo.index) {
            journal.note(Record::Left { step: undo.index, why: why.clone(), now: None, parts });
        }
        undone.name(undo, why, Kept::ByOthers);
    }
    journal.note(Record::Closed);
    let steps = here.into_iter().filter_map(|index| journal.transaction().steps.get(index));
    let back = steps.filter(|(_, state)| *state == StepState::Undone);
    let back = back.map(|(step, _)| PutBack {
        knob: step.knob.clone(),
        target: step.target.clone(),
        before: step.now.clone(),
    });
    undone.back = back.collect();
    undone.unrecorded = journal.take_unrecorded();
    undone
}

/// What somebody else has set.
struct Theirs {
    undo: ToUndo,
    /// Of a value whose other parts are put back.
    parts: Parts,
    why: String,
}

/// Takes the privileges that steps have granted from all that has inherited them. By the step, who has them still.
fn revoked(host: &Host, journal: &Journal, steps: &[usize]) -> BTreeMap<usize, String> {
    let to_undo = journal.transaction().to_undo();
    let steps = to_undo.iter().filter(|undo| steps.contains(&undo.index));
    let still = steps.filter_map(|ToUndo { index, step, before, .. }| {
        let knob = knob::by_id(&step.knob)?;
        let why = match knob.revoke(host, before, &step.wanted, &step.processes) {
            Ok(still) => still?,
            Err(error) => format!("who has inherited it cannot be told: {error}"),
        };
        Some((*index, why))
    });
    still.collect()
}

/// What putting a value back will not undo.
fn remains(host: &Host, undo: &ToUndo) -> Option<String> {
    let Step { knob, target, wanted, .. } = &undo.step;
    match knob::by_id(knob)?.remainder(host, target, &undo.before, wanted) {
        Ok(remainder) => remainder.map(|words| shown(&format!("{knob} on {target}: {words}")).into_owned()),
        Err(error) => Some(format!("{knob} on {target}: what else took it over cannot be told: {error}")),
    }
}

fn is_as_at_the_start(host: &Host, undo: &ToUndo) -> bool {
    let start = &undo.step.now;
    // Of parts that have come since the start there is nothing to compare with.
    let is_whole = match (start.parts(), undo.before.parts()) {
        (Some(start), Some(before)) => before.keys().all(|part| start.contains_key(part)),
        _ => true,
    };
    is_whole
        && knob::by_id(&undo.step.knob).is_some_and(|knob| now(host, undo).is_some_and(|now| knob.meets(&now, start)))
}

/// What a value is, where that can be told.
fn now(host: &Host, undo: &ToUndo) -> Option<Value> {
    let reading = knob::by_id(&undo.step.knob)?.read_back(host, &undo.step.target, &undo.before);
    reading.ok()?.value().cloned()
}

/// Makes what was put back count, each knob once.
fn settle(host: &Host, journal: &mut Journal, steps: Vec<ToUndo>, undone: &mut Undone) {
    let mut settled: Vec<(String, Result<(), String>)> = Vec::new();
    for undo in steps {
        let id = &undo.step.knob;
        let known = settled.iter().find(|(knob, _)| knob == id).map(|(_, result)| result.clone());
        let result = known.unwrap_or_else(|| {
            let result = knob::by_id(id).map_or(Ok(()), |knob| knob.settle(host));
            let result = result.map_err(|error| error.to_string());
            settled.push((id.clone(), result.clone()));
            result
        });
        match result {
            Ok(()) => journal.note(Record::Undone { step: undo.index }),
            Err(why) => undone.left(journal, undo, why),
        }
    }
}

/// What a value is put back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// What it was just before its step: with the steps before it done, which may have changed it.
    Unwind,
    /// What it was before the first step.
    Start,
}

/// Unwinds each, and when all are, puts each back to what it was at the start: a kernel may refuse a value for as long as another
/// is not what it was (an energy preference under the governor `performance`, EBUSY), and putting one back may change another
/// (a partition that is taken away gives kernel threads all CPUs, more channels bring queues back that had values).
///
/// What stays is given with the reason: it is gone, or it refused.
///
/// The second round sees the host that the first has made.
fn in_two_rounds<S, H>(
    steps: &[S],
    host: H,
    see: impl FnOnce(H) -> H,
    mut put_back: impl FnMut(&H, &S, Round) -> Result<Back, String>,
) -> Vec<Result<Back, String>> {
    let first: Vec<_> = steps.iter().map(|step| put_back(&host, step, Round::Unwind)).collect();
    let host = see(host);
    let again = |(step, first)| match (put_back(&host, step, Round::Start), first) {
        (Ok(Back::Already), Ok(first)) => Ok(first),
        (second, _) => second,
    };
    steps.iter().zip(first).map(again).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Restored,
    Already,
}

fn put_back(host: &Host, journal: &mut Journal, undo: &ToUndo, before: &Value, unless: Unless) -> Result<Back, String> {
    let step: &Step = &undo.step;
    let unknown = || "this version of quell does not know the knob".to_owned();
    let knob = knob::by_id(&step.knob).ok_or_else(unknown)?;
    let read = || knob.read_back(host, &step.target, before).map_err(|error| error.to_string());
    match read() {
        // What a crash left half written may be nothing that can be read.
        Err(why) if !undo.half_written && unless == Unless::Changed => return Err(why),
        Ok(Reading::Absent(_)) if knob.may_end() => return Ok(Back::Already),
        Ok(Reading::Absent(why)) => return Err(format!("it is gone: {}", shown(&why))),
        Ok(Reading::Value(now)) if knob.meets(&now, before) => return Ok(Back::Already),
        Err(_) | Ok(Reading::Value(_)) => {}
    }
    journal.note(Record::Restoring { step: undo.index });
    knob.restore(host, &step.target, before).map_err(|error| error.to_string())?;
    match read()? {
        Reading::Value(now) if knob.meets(&now, before) => Ok(Back::Restored),
        Reading::Value(now) => Err(format!("it was written without an error, and it is {now}")),
        Reading::Absent(why) => Err(format!("it is gone: {}", shown(&why))),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// Two values of a kernel that refuses the first for as long as the second is `performance`, and changes the first
    /// with the second.
    struct Kernel {
        preference: &'static str,
        governor: &'static str,
    }

    impl Kernel {
        fn put_back(&mut self, step: &str) -> Result<Back, String> {
            match step {
                "preference" if self.preference == "balanced" => return Ok(Back::Already),
                "preference" if self.governor == "performance" => return Err("EBUSY".to_owned()),
                "preference" => self.preference = "balanced",
                _ if self.governor == "powersave" => return Ok(Back::Already),
                _ => (self.governor, self.preference) = ("powersave", "power"),
            }
            Ok(Back::Restored)
        }
    }

    #[test]
    fn values_that_hang_on_each_other_are_put_back_whichever_comes_first() {
        // Refused in the first round; or as it was then, and changed after that. A value that putting the other back has
        // moved is nobody else's, in either order.
        for preference in ["fast", "balanced"] {
            for order in [["preference", "governor"], ["governor", "preference"]] {
                let mut kernel = Kernel { preference, governor: "performance" };
                let backs = in_two_rounds(&order, (), |()| (), |(), step, _| kernel.put_back(step));
                assert_eq!(backs, [Ok(Back::Restored), Ok(Back::Restored)], "from {preference}, {order:?}");
                assert_eq!((kernel.preference, kernel.governor), ("balanced", "powersave"));
            }
        }
    }

    /// A partition takes CPUs from kernel threads, and gives them all back when it goes: what they had was not what they had
    /// between the two steps.
    #[test]
    fn a_value_ends_as_it_was_before_the_first_step_and_not_as_an_earlier_step_made_it() {
        let threads = RefCell::new("0");
        let partition = RefCell::new(true);
        let put_back = |(): &(), step: &&str, round: Round| {
            if *step == "partition" {
                if partition.replace(false) {
                    threads.replace("0-3");
                    return Ok(Back::Restored);
                }
                return Ok(Back::Already);
            }
            let wanted = if round == Round::Unwind { "0-1" } else { "0-3" };
            Ok(if threads.replace(wanted) == wanted { Back::Already } else { Back::Restored })
        };
        let backs = in_two_rounds(&["threads", "partition"], (), |()| (), put_back);
        assert_eq!(backs, [Ok(Back::Restored), Ok(Back::Restored)]);
        assert_eq!(*threads.borrow(), "0-3");
    }

    /// A thread that had the first four of eight CPUs is given all that there are where these four are all: as sched_setaffinity(2)
    /// is told for a thread that may run everywhere.
    #[test]
    fn what_all_cpus_are_is_seen_again_when_some_have_come_back() {
        let (online, thread) = (Cell::new(4), Cell::new(2));
        let put_back = |seen: &u32, step: &&str, _: Round| {
            match *step {
                "cpus" if online.get() == 8 => return Ok(Back::Already),
                "cpus" => online.set(8),
                _ if thread.get().min(online.get()) == 4 => return Ok(Back::Already),
                _ => thread.set(if *seen == 4 { 8192 } else { 4 }),
            }
            Ok(Back::Restored)
        };
        let backs = in_two_rounds(&["thread", "cpus"], online.get(), |_| online.get(), put_back);
        assert_eq!(backs, [Ok(Back::Restored), Ok(Back::Restored)]);
        assert_eq!(thread.get(), 4);
    }
}
