//! Brings an object up to date from etcd's past: every generation between its last known state and the present one.

use super::edge;
use super::exact::{Exact, Name, Past, state};
use super::walk::{State, Walk};
use crate::revision::Observed;
use crate::workload::{Change, Op, Resource, ResourceVersion};
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What is found is kept up to this size; the rest is read a second time when its turn comes.
const KEEP: usize = 8 << 20;

/// An object that has to be brought up to date.
#[derive(Clone, Debug)]
pub(super) struct Behind {
    pub(super) of: Name,
    /// Its last known state: generation and place; generation 0 when it was not made yet there.
    pub(super) from: (i64, ResourceVersion),
    /// Whether the content of that state has to be read again.
    pub(super) refresh: bool,
    /// The state up to which it is brought, and whether that is to be read as well.
    pub(super) to: (i64, ResourceVersion),
    pub(super) with_last: bool,
    /// When it was made.
    pub(super) made: Option<DateTime<Utc>>,
}

/// What the past told.
pub(super) struct Found {
    /// From the oldest to the newest.
    pub(super) states: Vec<FoundState>,
    pub(super) lost: Option<RangeInclusive<i64>>,
    /// Whether it is lost because it cannot be understood.
    pub(super) unreadable: bool,
}

/// One generation: its content, or where to read it again.
pub(super) struct FoundState {
    pub(super) at: ResourceVersion,
    raw: Option<Box<RawValue>>,
}

impl Exact {
    /// Every generation of an object after its last known state.
    pub(super) async fn history(&self, resource: &Arc<Resource>, behind: &Behind) -> Found {
        let mut states = BTreeMap::new();
        let (mut kept, mut unreadable) = (0, false);
        let mut keep = |generation: i64, at: ResourceVersion, raw: Box<RawValue>| {
            kept += raw.get().len();
            states.insert(generation, FoundState { at, raw: (kept < KEEP).then_some(raw) });
        };
        let ends = [(behind.with_last, behind.to), (behind.refresh, behind.from)];
        for (generation, at) in ends.into_iter().filter(|(wanted, _)| *wanted).map(|(_, end)| end) {
            if let Past::Was(Some(raw)) = self.object(resource, &behind.of, at).await {
                keep(generation, at, raw);
            }
        }
        let mut walk = Walk::new(behind.from, behind.to);
        while let Some(at) = walk.next() {
            let past = self.object(resource, &behind.of, at).await;
            let state = state(&past);
            unreadable |= state == State::Unreadable;
            let new = walk.saw(at, state);
            if let (true, State::Version { generation, .. }, Past::Was(Some(raw))) = (new, state, past) {
                keep(generation, at, raw);
            }
        }
        Found { states: states.into_values().collect(), lost: walk.lost(), unreadable }
    }

    /// One of the states that were found.
    pub(super) async fn change(
        &self,
        resource: &Arc<Resource>,
        of: &Name,
        state: FoundState,
    ) -> Option<Change> {
        let raw = match state.raw {
            Some(raw) => raw,
            None => match self.object(resource, of, state.at).await {
                Past::Was(raw) => raw?,
                Past::Compacted => return None,
            },
        };
        edge::change(resource, Observed::Repair, Op::Modified, raw).ok()
    }

    /// The last state of an object that was there at `from` and is not at `to`; none when nobody knows it any more.
    pub(super) async fn last_state(
        &self,
        resource: &Arc<Resource>,
        of: &Name,
        from: ResourceVersion,
        to: ResourceVersion,
    ) -> Option<Change> {
        let (mut there, mut gone) = (from.before(), to);
        let mut last = None;
        while there.distance(gone) > 1 {
            let at = there.middle(gone);
            match self.object(resource, of, at).await {
                Past::Was(Some(raw)) => (there, last) = (at, Some(raw)),
                Past::Was(None) => gone = at,
                Past::Compacted => there = at,
            }
        }
        edge::change(resource, Observed::Repair, Op::Deleted, last?).ok()
    }
}
