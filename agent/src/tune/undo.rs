//! Putting back what a transaction changed, in reverse.

use std::fmt;

use super::journal::{Journal, JournalError, Phase, Record};
use super::knob::{Lifetime, Reading};
use super::{Step, Target, Value, background, knob};
use crate::host::Host;

/// What is done about a value that is neither what it was before nor what the transaction made it: somebody changed it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unless {
    /// It is left as it is.
    Changed,
    /// It is put back all the same.
    Never,
}

/// What undoing came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// How many values were put back.
    pub restored: usize,
    /// How many were as before already, or went with the boot.
    pub unchanged: usize,
    /// What was not put back.
    pub left: Vec<Left>,
}

/// A value that was not put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The knob.
    pub knob: String,
    /// Where.
    pub target: Target,
    /// What it was before the transaction.
    pub before: Value,
    /// Why it was not put back.
    pub why: String,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} was {} and was not put back: {}", self.knob, self.target, self.before, self.why)
    }
}

/// Undoes a transaction, as far as it was done. Who calls this holds the lock. Again after it was cut short it goes on where
/// it was, and tries once more what was left.
///
/// # Errors
/// The journal's: what is not journaled as undone will be tried again.
pub fn undo(host: &Host, journal: &mut Journal, why: &str, unless: Unless) -> Result<Undone, JournalError> {
    let mut undone = Undone::default();
    let mut unsettled = Vec::new();
    let same_boot = journal.transaction().boot == host.boot;
    let applied = matches!(journal.transaction().phase, Phase::Complete { .. });
    let steps: Vec<_> = journal
        .transaction()
        .to_undo()
        .map(|(index, step, before, after)| (index, step.clone(), before.clone(), after.cloned()))
        .collect();
    journal.append(Record::Undoing { why: why.to_owned() })?;
    journal.sync()?;
    background::release(&host.root, journal.transaction().id);
    let mut rest = Vec::new();
    for (index, step, before, after) in steps.into_iter().rev() {
        if step.lifetime != Lifetime::NextBoot && !same_boot {
            // Runtime values are what the new boot made them.
            undone.unchanged += 1;
            journal.append(Record::Undone { step: index })?;
            continue;
        }
        if step.lifetime == Lifetime::WhileHeld && host.root.is_host() {
            // Gone with its holder. What it is now is for those to say who hold it too.
            undone.restored += 1;
            journal.append(Record::Undone { step: index })?;
            continue;
        }
        // A step that may be half done has no value of its own yet: whatever is there is ours.
        let ours = after.filter(|_| applied);
        rest.push((index, step, before, ours));
    }
    let backs = in_two_rounds(&rest, unless, |(_, step, before, ours), round, unless| match round {
        Round::Unwind => put_back(host, step, before, ours.as_ref(), unless),
        Round::Start => put_back(host, step, &step.now, ours.as_ref(), unless),
    });
    for ((index, step, before, _), back) in rest.into_iter().zip(backs) {
        match back {
            Ok(Back::Restored) => undone.restored += 1,
            Ok(Back::Already) => undone.unchanged += 1,
            Err(why) => {
                journal.append(Record::Left { step: index, why: why.clone() })?;
                undone.left.push(Left { knob: step.knob, target: step.target, before, why });
                continue;
            }
        }
        if step.lifetime == Lifetime::NextBoot {
            // Not undone before it is settled too, even where it was as before: a crash may have come between the two.
            unsettled.push((index, step, before));
            continue;
        }
        journal.append(Record::Undone { step: index })?;
    }
    settle(host, journal, unsettled, &mut undone)?;
    journal.append(Record::Closed)?;
    journal.sync()?;
    Ok(undone)
}

/// Makes what was put back count, each knob once.
fn settle(
    host: &Host,
    journal: &mut Journal,
    steps: Vec<(usize, Step, Value)>,
    undone: &mut Undone,
) -> Result<(), JournalError> {
    let mut settled: Vec<(String, Result<(), String>)> = Vec::new();
    for (index, step, before) in steps {
        let known = settled.iter().find(|(knob, _)| *knob == step.knob).map(|(_, result)| result.clone());
        let result = known.unwrap_or_else(|| {
            let result = knob::by_id(&step.knob).map_or(Ok(()), |knob| knob.settle(host));
            let result = result.map_err(|error| error.to_string());
            settled.push((step.knob.clone(), result.clone()));
            result
        });
        match result {
            Ok(()) => journal.append(Record::Undone { step: index })?,
            Err(why) => {
                journal.append(Record::Left { step: index, why: why.clone() })?;
                undone.left.push(Left { knob: step.knob, target: step.target, before, why });
            }
        }
    }
    Ok(())
}

/// What a value is put back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// What it was just before its step: with the steps before it done, which may have changed it.
    Unwind,
    /// What it was before the first step.
    Start,
}

/// Why a value stays.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stays {
    /// Somebody else's, for all that is known.
    Theirs(String),
    /// It is gone, or it refused.
    Ours(String),
}

/// Unwinds each, and when all are, puts each back to what it was at the start: a kernel may refuse a value for as long as another
/// is not what it was (an energy preference under the governor `performance`, EBUSY), and putting one back may change another
/// (a partition that is taken away gives kernel threads all CPUs, more channels bring queues back that had values).
fn in_two_rounds<S>(
    steps: &[S],
    unless: Unless,
    put_back: impl Fn(&S, Round, Unless) -> Result<Back, Stays>,
) -> Vec<Result<Back, String>> {
    let first: Vec<_> = steps.iter().map(|step| put_back(step, Round::Unwind, unless)).collect();
    let again = |(step, first)| match first {
        // Whatever is there instead came by our own hand since.
        Ok(back) => match put_back(step, Round::Start, Unless::Never)? {
            Back::Restored => Ok(Back::Restored),
            Back::Already => Ok(back),
        },
        Err(Stays::Ours(_)) => put_back(step, Round::Start, Unless::Never),
        Err(Stays::Theirs(_)) => put_back(step, Round::Start, unless),
    };
    let text = |(Stays::Theirs(why) | Stays::Ours(why))| why;
    steps.iter().zip(first).map(again).map(|back| back.map_err(text)).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Restored,
    Already,
}

fn put_back(host: &Host, step: &Step, before: &Value, ours: Option<&Value>, unless: Unless) -> Result<Back, Stays> {
    let unknown = || Stays::Ours("this version of quell does not know the knob".to_owned());
    let knob = knob::by_id(&step.knob).ok_or_else(unknown)?;
    let read = || knob.read(host, &step.target).map_err(|error| error.to_string());
    match read() {
        // What a crash left half written may be nothing that can be read.
        Err(why) if ours.is_some() => return Err(Stays::Theirs(why)),
        Err(_) => {}
        Ok(Reading::Absent(_)) if knob.may_end() => return Ok(Back::Already),
        Ok(Reading::Absent(why)) => return Err(Stays::Ours(format!("it is gone: {why}"))),
        Ok(Reading::Value(now)) if knob.meets(&now, before) => return Ok(Back::Already),
        Ok(Reading::Value(now)) if unless == Unless::Changed && ours.is_some_and(|ours| !knob.meets(&now, ours)) => {
            let why = format!("somebody has set it to {now} since; --force puts it back all the same");
            return Err(Stays::Theirs(why));
        }
        Ok(Reading::Value(_)) => {}
    }
    knob.restore(host, &step.target, before).map_err(|error| Stays::Ours(error.to_string()))?;
    match read().map_err(Stays::Ours)? {
        Reading::Value(now) if knob.meets(&now, before) => Ok(Back::Restored),
        Reading::Value(now) => Err(Stays::Ours(format!("it was written without an error, and it is {now}"))),
        Reading::Absent(why) => Err(Stays::Ours(format!("it is gone: {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Two values of a kernel that refuses the first for as long as the second is `performance`, and changes the first
    /// with the second.
    struct Kernel {
        preference: &'static str,
        governor: &'static str,
    }

    impl Kernel {
        fn put_back(&mut self, step: &str) -> Result<Back, Stays> {
            match step {
                "preference" if self.preference == "balanced" => return Ok(Back::Already),
                "preference" if self.governor == "performance" => return Err(Stays::Ours("EBUSY".to_owned())),
                "preference" => self.preference = "balanced",
                _ if self.governor == "powersave" => return Ok(Back::Already),
                _ => (self.governor, self.preference) = ("powersave", "power"),
            }
            Ok(Back::Restored)
        }
    }

    #[test]
    fn values_that_hang_on_each_other_are_put_back_whichever_comes_first() {
        // Refused in the first round; or as it was then, and changed after that.
        for preference in ["fast", "balanced"] {
            let kernel = RefCell::new(Kernel { preference, governor: "performance" });
            let order = ["preference", "governor"];
            let backs = in_two_rounds(&order, Unless::Changed, |step, _, _| kernel.borrow_mut().put_back(step));
            assert_eq!(backs, [Ok(Back::Restored), Ok(Back::Restored)], "from {preference}");
            assert_eq!(kernel.borrow().preference, "balanced");
        }
    }

    /// A partition takes CPUs from kernel threads, and gives them all back when it goes: what they had was not what they had
    /// between the two steps.
    #[test]
    fn a_value_ends_as_it_was_before_the_first_step_and_not_as_an_earlier_step_made_it() {
        let threads = RefCell::new("0");
        let partition = RefCell::new(true);
        let put_back = |step: &&str, round: Round, _| {
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
        let backs = in_two_rounds(&["threads", "partition"], Unless::Changed, put_back);
        assert_eq!(backs, [Ok(Back::Restored), Ok(Back::Restored)]);
        assert_eq!(*threads.borrow(), "0-3");
    }

    #[test]
    fn what_somebody_else_changed_is_left_in_both_rounds() {
        let tried = RefCell::new(Vec::new());
        let refuse = |_: &(), _, unless| {
            tried.borrow_mut().push(unless);
            Err(Stays::Theirs("somebody has set it".to_owned()))
        };
        assert!(in_two_rounds(&[()], Unless::Changed, refuse)[0].is_err());
        assert_eq!(*tried.borrow(), [Unless::Changed, Unless::Changed]);
    }
}
