//! Brings an object up to date from etcd's past: every generation between its last known state and the present one.

use super::edge::{self, PartialObject};
use super::exact::{Exact, Past, PastResult, Unserved, state};
use super::join::{Behind, ObjectName};
use super::walk::{Hole, State, Walk};
use crate::mutant::{self, Mutant};
use crate::revision::Observed;
use crate::workload::{Change, Op, Resource, ResourceVersion, Version};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The content found of one object is kept up to this size; the rest is read a second time when its turn comes.
const KEEP: usize = 256 << 10;

/// The past of one object, by generation.
#[derive(Debug, Default)]
pub(super) struct ObjectPast {
    states: BTreeMap<i64, FoundState>,
    lost: Vec<Hole>,
    kept: usize,
}

/// One generation: its content, or where to read it again.
#[derive(Debug)]
pub(super) struct FoundState {
    /// The place at which it was read.
    pub(super) at: ResourceVersion,
    /// The place at which it was written.
    written: ResourceVersion,
    /// Whether it is the state that a list at this place showed, wherever it was written.
    listed: bool,
    raw: Option<Box<RawValue>>,
}

/// One piece of the history of an object.
#[derive(Debug)]
pub(super) enum Piece {
    /// A generation that was found.
    State(i64, FoundState),
    /// Generations that cannot be had, and the last place where they may have been.
    Hole(Hole, ResourceVersion),
}

impl ObjectPast {
    /// Keeps a state. The oldest are the first that compaction takes, so the youngest are dropped.
    fn keep(&mut self, found: Version, at: ResourceVersion, listed: bool, raw: Box<RawValue>) {
        self.kept += raw.get().len();
        let state = FoundState {
            at,
            written: found.at,
            listed,
            raw: Some(raw),
        };
        self.states.insert(found.generation, state);
        for state in self.states.values_mut().rev() {
            if self.kept <= KEEP {
                return;
            }
            self.kept -= state.raw.take().map_or(0, |raw| raw.get().len());
        }
    }

    fn lose(&mut self, generation: i64, unreadable: bool) {
        self.lost.push(Hole {
            generations: generation..=generation,
            unreadable,
        });
    }

    /// All pieces, from the oldest to the youngest.
    pub(super) fn pieces(self, behind: &Behind) -> Vec<Piece> {
        let to = behind.to;
        let mut pieces = Vec::with_capacity(self.states.len() + self.lost.len());
        let mut lost = self.lost.into_iter().peekable();
        for (generation, state) in self.states {
            while let Some(hole) = lost.next_if(|hole| *hole.generations.end() < generation) {
                let at = state.written.min(state.at).min(to.at).before();
                pieces.push(Piece::Hole(hole, at));
            }
            pieces.push(Piece::State(generation, state));
        }
        pieces.extend(lost.map(|hole| {
            let is_newest = *hole.generations.end() == to.generation;
            let at = if is_newest { to.at } else { to.at.before() };
            Piece::Hole(hole, at)
        }));
        pieces
    }
}

/// The end of an object that is gone.
#[derive(Debug)]
pub(super) enum LastState {
    /// Its last state.
    Last(Change),
    /// A state of it: the ones that may have followed are compacted.
    Earlier(Change),
    /// Its history is compacted.
    Compacted,
}

/// A generation that a list showed, when its content is wanted.
pub(super) enum Shown {
    /// Its state.
    Found(Box<RawValue>),
    /// It is compacted where the list showed it, and the object went on to this state: there may be a place in between.
    Passed(Version),
    /// It is compacted.
    Compacted,
    /// It is there, and the API server cannot read it.
    Unreadable,
}

impl Shown {
    /// `generation` as a later place shows it, where the object has the state `raw`.
    fn later(raw: Box<RawValue>, generation: i64) -> Self {
        let version = PartialObject::read(raw.get()).and_then(|object| object.version());
        match version {
            Ok(version) if version.generation == generation => Self::Found(raw),
            Ok(version)
                if version.generation > generation && !mutant::is(Mutant::PassedTakenForLost) =>
            {
                Self::Passed(version)
            }
            _ => Self::Compacted,
        }
    }
}

impl Exact {
    /// Every generation of an object after its last known state, and that state itself if it has to be read again.
    pub(super) async fn history(
        &self,
        resource: &Arc<Resource>,
        behind: &Behind,
    ) -> Result<ObjectPast, Unserved> {
        let mut history = ObjectPast::default();
        let to = behind.to.generation;
        let mut end = behind.to;
        if let Some(listed) = behind.listed {
            match self.shown(resource, &behind.of, to, listed).await? {
                Shown::Found(raw) => history.keep(behind.to, listed, true, raw),
                Shown::Passed(later) => end = later,
                Shown::Compacted => history.lose(to, false),
                Shown::Unreadable => history.lose(to, true),
            }
        }
        let from = behind.from;
        if behind.refresh
            && let Past::Was(Some(raw)) = self.object(resource, &behind.of, from.at).await?
        {
            history.keep(from, from.at, false, raw);
        }
        let mut walk = Walk::new(from, end);
        while let Some(at) = walk.next() {
            let past = self.object(resource, &behind.of, at).await?;
            let state = state(&past);
            let is_new = walk.saw(at, state);
            if let (true, State::Present(found), Past::Was(Some(raw))) = (is_new, state, past)
                && found.generation <= to
            {
                history.keep(found, at, false, raw);
            }
        }
        let lost = walk.lost().into_iter();
        history
            .lost
            .splice(0..0, lost.filter_map(|hole| hole.up_to(to)));
        Ok(history)
    }

    /// The state of a generation that a list at `listed` showed.
    pub(super) async fn shown(
        &self,
        resource: &Arc<Resource>,
        of: &ObjectName,
        generation: i64,
        listed: ResourceVersion,
    ) -> Result<Shown, Unserved> {
        match self.object(resource, of, listed).await? {
            Past::Was(Some(raw)) => {
                if let Shown::Found(raw) = Shown::later(raw, generation) {
                    return Ok(Shown::Found(raw));
                }
            }
            Past::Was(None) | Past::Compacted => {}
            Past::Unreadable => return Ok(Shown::Unreadable),
        }
        let now = match self.now(resource, of).await? {
            Past::Was((Some(raw), _)) => return Ok(Shown::later(raw, generation)),
            Past::Was((None, now)) => now,
            Past::Compacted => return Ok(Shown::Compacted),
            Past::Unreadable => return Ok(Shown::Unreadable),
        };
        Ok(match self.last_state(resource, of, listed, now).await? {
            LastState::Last(change) | LastState::Earlier(change) => {
                Shown::later(change.raw, generation)
            }
            LastState::Compacted => Shown::Compacted,
        })
    }

    /// One of the states that were found.
    pub(super) async fn change(
        &self,
        resource: &Arc<Resource>,
        of: &ObjectName,
        generation: i64,
        state: FoundState,
    ) -> PastResult<Change> {
        let past = match state.raw {
            Some(raw) => Past::Was(raw),
            None if state.listed => match self.shown(resource, of, generation, state.at).await? {
                Shown::Found(raw) => Past::Was(raw),
                Shown::Passed(_) | Shown::Compacted => Past::Compacted,
                Shown::Unreadable => Past::Unreadable,
            },
            None => match self.object(resource, of, state.at).await? {
                Past::Was(Some(raw)) => Past::Was(raw),
                Past::Was(None) | Past::Compacted => Past::Compacted,
                Past::Unreadable => Past::Unreadable,
            },
        };
        let change = |raw| edge::change(resource, Observed::Repair, Op::Modified, raw);
        Ok(match past {
            Past::Was(raw) => change(raw).map_or(Past::Unreadable, Past::Was),
            Past::Compacted => Past::Compacted,
            Past::Unreadable => Past::Unreadable,
        })
    }

    /// The last state of an object that was there at `from` and is not at `to`.
    pub(super) async fn last_state(
        &self,
        resource: &Arc<Resource>,
        of: &ObjectName,
        from: ResourceVersion,
        to: ResourceVersion,
    ) -> Result<LastState, Unserved> {
        let mut there = from.before();
        let mut gone = to;
        let mut last = None;
        while there.distance(gone) > 1 {
            let at = there.middle(gone);
            match self.object(resource, of, at).await? {
                Past::Was(Some(raw)) => (there, last) = (at, Some((at, raw))),
                Past::Was(None) => gone = at,
                Past::Compacted | Past::Unreadable => there = at,
            }
        }
        let Some((at, raw)) = last else {
            return Ok(LastState::Compacted);
        };
        // A place after it that is compacted, or cannot be read, may have shown another.
        let is_last = at == there || mutant::is(Mutant::FoundTakenForLast);
        let op = if is_last { Op::Deleted } else { Op::Modified };
        Ok(match edge::change(resource, Observed::Repair, op, raw) {
            Ok(change) if is_last => LastState::Last(change),
            Ok(change) => LastState::Earlier(change),
            Err(_) => LastState::Compacted,
        })
    }
}
