//! Joining a list to the past: in which order what is missing is read, and from where the watch goes on. Pure.
//!
//! A list says what is there; what happened between it and the last position has to be passed on first. [`Join`] is
//! told what the list and each answer showed, and names the next [`JoinStep`]: a replay of the watch where that is
//! possible, else reading back every object that moved, the ends of those that are gone, and samples for those that
//! came and went. It does no I/O and keeps no content, so a model checker can take it through every order of answers.

mod listed;

pub use listed::{Behind, Listed, ObjectName, Placed};

use super::Recorded;
use super::known::Known;
use crate::workload::ResourceVersion;
use std::collections::BTreeSet;
use uuid::Uuid;

/// How often an interval is sampled for objects that came and went in it.
const SAMPLES: u128 = 8;
/// So many objects are looked at in all samples together, roughly.
const SAMPLED_OBJECTS: u128 = 16_000;

/// Up to where a watch has to go: until it has shown whatever a list showed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Until {
    at: ResourceVersion,
    /// The newest object that the watch has to show.
    newest: ResourceVersion,
    /// Workloads whose end it has to show.
    gone: Vec<Uuid>,
}

impl Until {
    fn shown(listed: &Listed) -> Self {
        let newest = listed.behind.iter().map(|behind| behind.to.at).max();
        Self {
            at: listed.at,
            newest: newest.unwrap_or_default(),
            gone: listed.gone.iter().map(|recorded| recorded.uid).collect(),
        }
    }

    /// A watch is in order: at the newest object every other one was shown, and every end before it.
    pub fn is_reached(&self, last: ResourceVersion, known: &Known) -> bool {
        let ends_shown = || self.gone.iter().all(|uid| known.is_gone(*uid));
        last >= self.at || (last >= self.newest && ends_shown())
    }
}

/// How the list of a kind relates to the position up to which everything was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lineage {
    /// It comes after it, or there is no position.
    Follows,
    /// It is older than the checkpoint, which is of another history.
    Foreign,
    /// It is older than a state that this process has seen: etcd was restored.
    Restored,
}

impl Lineage {
    /// Compares a list at `listed` with the position; `resumed` when this process has followed the kind before.
    pub fn of(since: Option<ResourceVersion>, listed: ResourceVersion, resumed: bool) -> Self {
        match since {
            Some(since) if since > listed && resumed => Self::Restored,
            Some(since) if since > listed => Self::Foreign,
            _ => Self::Follows,
        }
    }
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum JoinStep {
    /// Watch from the position on until that is reached, then call [`Join::replayed`] or [`Join::expired`].
    Replay(Until),
    /// Read back the history of each of these objects, and the last state, before the place `by`, of each that is gone.
    ReadBack {
        /// Objects that moved.
        behind: Vec<Behind>,
        /// Workloads that are gone.
        gone: Vec<Recorded>,
        /// Where they were gone.
        by: ResourceVersion,
    },
    /// Read all objects that were there at that place, then call [`Join::sampled`].
    Sample(ResourceVersion),
    /// Tell that objects may have come and gone between these places.
    Blind {
        /// The last place before the interval.
        from: ResourceVersion,
        /// The first place after it.
        to: ResourceVersion,
    },
    /// The list is joined: the watch goes on from there.
    Joined(ResourceVersion),
}

/// The join of one list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Join {
    listed: Listed,
    /// The position before the list.
    since: Option<ResourceVersion>,
    /// From where the watch goes on.
    at: ResourceVersion,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Replay,
    ReadBack(Option<Sampling>),
    Sampling(Sampling),
    Joined,
}

/// Looking for objects that came and went in an interval. An object that lived at none of the samples leaves no trace,
/// so unless every place was looked at, the interval is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sampling {
    from: ResourceVersion,
    distance: u128,
    samples: u128,
    taken: u128,
    seen: BTreeSet<Uuid>,
    blind: bool,
}

impl Sampling {
    fn new(from: ResourceVersion, listed: &Listed) -> Self {
        let distance = from.distance(listed.at);
        let affordable = SAMPLED_OBJECTS / listed.there.len().max(1) as u128;
        let samples = affordable.clamp(1, SAMPLES).min(distance);
        Self {
            from,
            distance,
            samples,
            taken: 0,
            seen: BTreeSet::new(),
            blind: distance > samples,
        }
    }

    fn next(&mut self) -> Option<ResourceVersion> {
        if self.taken == self.samples {
            return None;
        }
        self.taken += 1;
        let steps = self.distance * self.taken / (self.samples + 1);
        Some(self.from.after(steps))
    }
}

impl Join {
    /// Joins the list of a watch to the position `since`. Unless it is `resumable`, the history from there is gone.
    pub fn start(listed: Listed, since: Option<ResourceVersion>, resumable: bool) -> Self {
        let at = since.unwrap_or(listed.at);
        let stage = match since {
            None => Stage::ReadBack(None),
            // Nothing to wait for: whatever came and went meanwhile comes by the watch.
            Some(_) if resumable && listed.is_settled() => Stage::Joined,
            Some(_) => Stage::Replay,
        };
        let mut join = Self {
            listed,
            since,
            at,
            stage,
        };
        if since.is_some() && !resumable {
            join.read_all_back();
        }
        join
    }

    /// Joins the first list to the place where recording begins. Unless something `was_recorded` before, nobody expects
    /// objects that came and went since then.
    pub fn begin(listed: Listed, begin: ResourceVersion, was_recorded: bool) -> Self {
        let sampling = was_recorded.then(|| Sampling {
            blind: true,
            ..Sampling::new(begin, &listed)
        });
        Self {
            at: listed.at,
            listed,
            since: Some(begin),
            stage: Stage::ReadBack(sampling),
        }
    }

    /// Joins a list that was made for comparison, while the watch is at `at`.
    pub fn audit(listed: Listed, at: ResourceVersion) -> Self {
        let stage = if listed.is_settled() {
            Stage::Joined
        } else {
            Stage::Replay
        };
        Self {
            listed,
            since: None,
            at,
            stage,
        }
    }

    /// The next thing to do.
    pub fn step(&mut self) -> JoinStep {
        match std::mem::replace(&mut self.stage, Stage::Joined) {
            Stage::Replay => {
                self.stage = Stage::Replay;
                JoinStep::Replay(Until::shown(&self.listed))
            }
            Stage::ReadBack(sampling) => {
                self.stage = sampling.map_or(Stage::Joined, Stage::Sampling);
                JoinStep::ReadBack {
                    behind: std::mem::take(&mut self.listed.behind),
                    gone: std::mem::take(&mut self.listed.gone),
                    by: self.listed.at,
                }
            }
            Stage::Sampling(mut sampling) => {
                let Some(at) = sampling.next() else {
                    return self.finish(&sampling);
                };
                self.stage = Stage::Sampling(sampling);
                JoinStep::Sample(at)
            }
            Stage::Joined => JoinStep::Joined(self.at),
        }
    }

    fn finish(&self, sampling: &Sampling) -> JoinStep {
        if sampling.blind {
            JoinStep::Blind {
                from: sampling.from,
                to: self.listed.at,
            }
        } else {
            JoinStep::Joined(self.at)
        }
    }

    /// The replay has come to `at`, and shows no more. What it did not show is read back.
    pub fn replayed(&mut self, at: ResourceVersion, known: &Known) {
        self.at = at;
        self.listed.drop_known(known);
        self.stage = if self.listed.is_settled() {
            Stage::Joined
        } else {
            Stage::ReadBack(None)
        };
    }

    /// The history that a replay would show is gone. Everything is read back, and the watch goes on from the list; an
    /// audit leaves that to the list that follows.
    pub fn expired(&mut self, known: &Known) {
        // A replay that came some of the way has shown workloads that the list did not.
        self.listed.find_gone(known);
        self.read_all_back();
    }

    fn read_all_back(&mut self) {
        let Some(since) = self.since else {
            self.stage = Stage::Joined;
            return;
        };
        self.at = self.listed.at;
        self.stage = Stage::ReadBack(Some(Sampling::new(since, &self.listed)));
    }

    /// The places between which objects are looked for.
    pub fn interval(&self) -> (ResourceVersion, ResourceVersion) {
        (self.since.unwrap_or_default(), self.listed.at)
    }

    /// An object that a sample has shown cannot be read any more.
    pub fn lost_sight(&mut self) {
        if let Stage::Sampling(sampling) = &mut self.stage {
            sampling.blind = true;
        }
    }

    /// A sample at the place that was asked for showed these objects in these generations; nothing when its history is
    /// gone. Returns the objects that came and went since the position: their last state has to be found.
    pub fn sampled(&mut self, objects: Option<&[(Uuid, i64)]>, known: &Known) -> BTreeSet<Uuid> {
        let Stage::Sampling(sampling) = &mut self.stage else {
            return BTreeSet::new();
        };
        let Some(objects) = objects else {
            sampling.blind = true;
            return BTreeSet::new();
        };
        let mut passed_by = BTreeSet::new();
        for (uid, generation) in objects {
            let is_known = self.listed.there.contains(uid) || known.knows(*uid, *generation);
            if !is_known && sampling.seen.insert(*uid) {
                passed_by.insert(*uid);
            }
        }
        passed_by
    }
}

#[cfg(test)]
mod tests;
