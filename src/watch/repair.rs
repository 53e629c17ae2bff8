//! Brings an object up to date from etcd's past: every generation between its last known state and the present one.

use super::edge;
use super::exact::{Exact, Name, Past, Read, Unserved, state};
use super::walk::{Hole, State, Walk};
use crate::revision::Observed;
use crate::workload::{Change, Op, Resource, ResourceVersion};
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is found of one object is kept up to this size; the rest is read a second time when its turn comes.
const KEEP: usize = 256 << 10;

/// An object that has to be brought up to date.
#[derive(Clone, Debug)]
pub(super) struct Behind {
    pub(super) of: Name,
    /// Its last known state: generation and place; generation 0 when it was not made yet there.
    pub(super) from: (i64, ResourceVersion),
    /// Whether the content of that state has to be read again.
    pub(super) refresh: bool,
    /// The state up to which it is brought.
    pub(super) to: (i64, ResourceVersion),
    /// The list that showed that state, when it has to be read as well.
    pub(super) listed: Option<ResourceVersion>,
    /// When it was made.
    pub(super) created: Option<DateTime<Utc>>,
}

/// What the past told of one object, by generation.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) states: BTreeMap<i64, FoundState>,
    pub(super) lost: Vec<Hole>,
    kept: usize,
}

/// One generation: its content, or where to read it again.
#[derive(Debug)]
pub(super) struct FoundState {
    pub(super) at: ResourceVersion,
    /// Whether it is what a list at this place showed, wherever it was written.
    listed: bool,
    raw: Option<Box<RawValue>>,
}

impl Found {
    /// Keeps a state. The oldest are the first that compaction takes, so the youngest are dropped.
    fn keep(&mut self, generation: i64, at: ResourceVersion, listed: bool, raw: Box<RawValue>) {
        self.kept += raw.get().len();
        self.states.insert(
            generation,
            FoundState {
                at,
                listed,
                raw: Some(raw),
            },
        );
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
}

impl Exact {
    /// Every generation of an object after its last known state, and that state itself if it has to be read again.
    pub(super) async fn history(
        &self,
        resource: &Arc<Resource>,
        behind: &Behind,
    ) -> Result<Found, Unserved> {
        let mut found = Found::default();
        let (to, from) = (behind.to, behind.from);
        if let Some(listed) = behind.listed {
            match self.shown(resource, &behind.of, to.0, listed).await? {
                Past::Was(raw) => found.keep(to.0, listed, true, raw),
                past => found.lose(to.0, matches!(past, Past::Unreadable)),
            }
        }
        if behind.refresh
            && let Past::Was(Some(raw)) = self.object(resource, &behind.of, from.1).await?
        {
            found.keep(from.0, from.1, false, raw);
        }
        let mut walk = Walk::new(from, to);
        while let Some(at) = walk.next() {
            let past = self.object(resource, &behind.of, at).await?;
            let state = state(&past);
            let new = walk.saw(at, state);
            if let (true, State::Version { generation, .. }, Past::Was(Some(raw))) =
                (new, state, past)
            {
                found.keep(generation, at, false, raw);
            }
        }
        found.lost.splice(0..0, walk.lost());
        Ok(found)
    }

    /// One of the states that were found.
    pub(super) async fn change(
        &self,
        resource: &Arc<Resource>,
        of: &Name,
        generation: i64,
        state: FoundState,
    ) -> Read<Change> {
        let past = match state.raw {
            Some(raw) => Past::Was(raw),
            None if state.listed => self.shown(resource, of, generation, state.at).await?,
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

    /// The last state of an object that was there at `from` and is not at `to`; none when nobody knows it any more.
    pub(super) async fn last_state(
        &self,
        resource: &Arc<Resource>,
        of: &Name,
        from: ResourceVersion,
        to: ResourceVersion,
    ) -> Result<Option<Change>, Unserved> {
        let (mut there, mut gone) = (from.before(), to);
        let mut last = None;
        while there.distance(gone) > 1 {
            let at = there.middle(gone);
            match self.object(resource, of, at).await? {
                Past::Was(Some(raw)) => (there, last) = (at, Some(raw)),
                Past::Was(None) => gone = at,
                Past::Compacted | Past::Unreadable => there = at,
            }
        }
        Ok(last.and_then(|raw| edge::change(resource, Observed::Repair, Op::Deleted, raw).ok()))
    }
}
