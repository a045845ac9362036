//! The order in which files are read, and which files are skipped.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::path::PathBuf;
use std::time::Duration;

use super::payer::Payer;
use super::{Names, Naming};
use crate::inspect::{FileNumber, Owner};
use crate::recording::{FrameId, ModuleId};
use crate::symbolize::unnamed::Unnamed;

/// The number of strikes after which no more files of a payer are read.
const MAX_STRIKES: u32 = 12;

/// The number of strikes for a timeout.
const TIMED_OUT: u32 = 4;

/// The number of strikes for a file that crashed the child, which takes little time.
const KILLED: u32 = 1;

/// The time for the files of one payer, except root, before the files of all others were read.
const SHARE: Duration = Duration::from_secs(2);

/// A file that is to be read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    /// The kind of the file.
    pub(super) naming: Naming,
    /// The number of the file.
    pub(super) number: FileNumber,
    /// The owner of the file.
    pub(super) owner: Owner,
    /// The part of its frames: a file with very many frames is read in parts.
    pub(super) part: u32,
    /// The frames with their locations.
    pub(super) frames: Vec<(FrameId, u64)>,
    /// The module of the file.
    pub(super) module: Option<ModuleId>,
    /// The path, for messages.
    pub(super) path: PathBuf,
}

impl Job {
    /// The result if none of the frames has a name, for one reason.
    pub(super) fn without(&self, why: Unnamed) -> Names {
        Names { build_id: None, names: vec![Err(why); self.frames.len()] }
    }
}

/// The effort for a file. After a timeout, it is tried again with the next effort, after all other files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effort {
    /// Sufficient for nearly all files.
    Little,
    /// Sufficient for large programs.
    Usual,
    /// Sufficient for the largest programs.
    Great,
}

const EFFORTS: [Effort; 3] = [Effort::Little, Effort::Usual, Effort::Great];

/// The next action for a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Turn {
    /// Read it.
    Read(Job, Effort),
    /// Skip it, because other files of its payer took too long.
    Leave(Job),
}

/// Files by the user who pays for them. The files of root come first, then one file of each other user in turn; users of containers
/// come last, because they have high UIDs. Among the files of a user, files with more frames come first. A file that timed out is tried
/// again after all others, again beginning with root's. Files of a user whose files have already taken [`SHARE`] come at the
/// end.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    payers: BTreeMap<Payer, Files>,
    /// The payer of the last file.
    last: Option<Payer>,
}

#[derive(Debug, Default)]
struct Files {
    /// The files by their next effort, the smallest first.
    waiting: [VecDeque<Job>; 3],
    strikes: u32,
    took: Duration,
}

/// Whether the files of a payer have already taken [`SHARE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Left,
    UsedUp,
}

impl Files {
    fn share(&self, payer: Payer) -> Share {
        if payer == Payer::ROOT || self.took < SHARE { Share::Left } else { Share::UsedUp }
    }
}

impl Schedule {
    /// Adds a file.
    pub(super) fn add(&mut self, payer: Payer, job: Job) {
        let files = &mut self.payers.entry(payer).or_default().waiting[Effort::Little as usize];
        let order = |job: &Job| (job.part, Reverse(job.frames.len()));
        let place = files.partition_point(|other| order(other) <= order(&job));
        files.insert(place, job);
    }

    /// The next file.
    pub(super) fn next(&mut self) -> Option<Turn> {
        let all = [Share::Left, Share::UsedUp].into_iter().flat_map(|share| EFFORTS.map(|effort| (share, effort)));
        let mut next =
            |(share, effort)| {
                let job = self.take(|payer, files| {
                    if files.share(*payer) == share { files.waiting[effort as usize].pop_front() } else { None }
                });
                job.map(|job| Turn::Read(job, effort))
            };
        let turn = all.into_iter().find_map(&mut next)?;
        let is_out =
            self.last.and_then(|payer| self.payers.get(&payer)).is_some_and(|files| files.strikes >= MAX_STRIKES);
        match turn {
            Turn::Read(job, _) if is_out => Some(Turn::Leave(job)),
            turn => Some(turn),
        }
    }

    /// Adds the time that the last file took.
    pub(super) fn took(&mut self, time: Duration) {
        if let Some(files) = self.last.and_then(|payer| self.payers.get_mut(&payer)) {
            files.took += time;
        }
    }

    /// Stores the reason why the last file has no names; `true` if it will be tried again.
    pub(super) fn failed(&mut self, job: &Job, effort: Effort, why: Unnamed) -> bool {
        let Some(files) = self.last.and_then(|payer| self.payers.get_mut(&payer)) else { return false };
        match (why, effort) {
            // A large file alone is not suspicious, so it is not a strike.
            (Unnamed::TimedOut, Effort::Little) => {}
            (Unnamed::TimedOut, _) => files.strikes += TIMED_OUT,
            (Unnamed::Killed, _) => files.strikes += KILLED,
            _ => {}
        }
        let next = files.waiting.get_mut(effort as usize + 1).filter(|_| why == Unnamed::TimedOut);
        let again = next.is_some();
        next.into_iter().for_each(|next| next.push_back(job.clone()));
        again
    }

    fn take(&mut self, take: impl Fn(&Payer, &mut Files) -> Option<Job>) -> Option<Job> {
        let next = |(payer, files): (&Payer, &mut Files)| Some((*payer, take(payer, files)?));
        let is_root = |(payer, _): &(&Payer, &mut Files)| **payer == Payer::ROOT;
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let root = self.payers.iter_mut().filter(is_root).find_map(next);
        let later = root.or_else(|| self.payers.range_mut((after, Bound::Unbounded)).find_map(next));
        let (payer, job) = later.or_else(|| self.payers.iter_mut().find_map(next))?;
        self.last = Some(payer);
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner { uid: 0, device: 1 };

    fn schedule(files: &[(u32, u32)]) -> Schedule {
        let mut schedule = Schedule::default();
        for (uid, number) in files {
            let job = Job {
                naming: Naming::File,
                number: FileNumber(*number),
                owner: OWNER,
                part: 0,
                frames: Vec::new(),
                module: None,
                path: PathBuf::new(),
            };
            schedule.add(Payer::user(*uid), job);
        }
        schedule
    }

    fn order(schedule: &mut Schedule, fate: impl Fn(u32, Effort) -> Option<Unnamed>) -> Vec<i64> {
        let mut order = Vec::new();
        while let Some(turn) = schedule.next() {
            match turn {
                Turn::Leave(job) => order.push(-i64::from(job.number.0)),
                Turn::Read(job, effort) => {
                    order.push(i64::from(job.number.0));
                    if let Some(why) = fate(job.number.0, effort) {
                        schedule.failed(&job, effort, why);
                    }
                }
            }
        }
        order
    }

    #[test]
    fn root_s_files_come_first_and_the_others_in_turn() {
        let mut schedule = schedule(&[(1_000, 1), (1_000, 2), (1_000, 3), (0, 4), (0, 5), (33, 6)]);
        assert_eq!(order(&mut schedule, |_, _| None), [4, 5, 6, 1, 2, 3]);
    }

    #[test]
    fn parts_of_a_file_wait_for_the_first_parts_of_others() {
        let mut schedule = Schedule::default();
        for (number, part, frames) in [(1, 0, 100), (1, 1, 100), (2, 0, 5), (3, 0, 50), (1, 2, 3)] {
            let frames = (0..frames).map(|frame| (FrameId::new(frame), 0)).collect();
            let (naming, path) = (Naming::File, PathBuf::new());
            let job = Job { naming, number: FileNumber(number), owner: OWNER, part, frames, module: None, path };
            schedule.add(Payer::ROOT, job);
        }
        assert_eq!(order(&mut schedule, |_, _| None), [1, 3, 2, 1, 1]);
    }

    #[test]
    fn the_many_files_of_one_user_leave_the_others_their_time() {
        let files: Vec<(u32, u32)> =
            (1..=100).map(|number| (1_000, number)).chain([(1_001, 1_000), (1_001, 1_001)]).collect();
        let mut schedule = schedule(&files);
        let mut order = Vec::new();
        while let Some(turn) = schedule.next() {
            let Turn::Read(job, effort) = turn else { panic!("{turn:?}") };
            order.push((job.number.0, effort));
            schedule.took(Duration::from_millis(900));
        }
        assert_eq!(order.len(), 102);
        // In turn, until each user has used up the share.
        let first: Vec<u32> = order[..5].iter().map(|(number, _)| *number).collect();
        assert_eq!(first, [1, 1_000, 2, 1_001, 3]);
    }

    #[test]
    fn the_large_files_of_a_user_who_has_used_up_the_share_leave_the_small_ones_their_time() {
        let mut schedule = schedule(&[(1_000, 1), (1_000, 2), (1_000, 3), (1_000, 4)]);
        let mut order = Vec::new();
        while let Some(turn) = schedule.next() {
            let Turn::Read(job, effort) = turn else { panic!("{turn:?}") };
            order.push(job.number.0);
            schedule.took(Duration::from_millis(1_500));
            if job.number.0 == 1 && effort < Effort::Great {
                schedule.failed(&job, effort, Unnamed::TimedOut);
            }
        }
        assert_eq!(order, [1, 2, 3, 4, 1, 1]);
    }

    #[test]
    fn a_large_file_is_tried_again_when_all_others_are_done() {
        let mut schedule = schedule(&[(0, 1), (0, 2), (1_000, 3)]);
        let slow = |number, effort| (number == 1 && effort < Effort::Great).then_some(Unnamed::TimedOut);
        assert_eq!(order(&mut schedule, slow), [1, 2, 3, 1, 1]);
    }

    #[test]
    fn a_user_of_files_that_are_too_much_costs_a_bounded_time_and_others_nothing() {
        let files: Vec<(u32, u32)> = (1..=100).map(|number| (1_000, number)).chain([(1_001, 1_000)]).collect();
        let hostile = |number, _| (number < 1_000).then_some(Unnamed::TimedOut);
        let order = order(&mut schedule(&files), hostile);
        assert_eq!(order.iter().filter(|number| (1..1_000).contains(*number)).count(), 103, "{order:?}");
        assert_eq!(order.iter().position(|number| *number == 1_000), Some(1), "{order:?}");
        assert_eq!(order.iter().filter(|number| **number < 0).count(), 100, "{order:?}");
    }
}
