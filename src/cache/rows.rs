//! The Revisions of one workload as a list shows them: newest first, their JSON one after the other. Pure.
//!
//! They lie in runs of a few, each run in one piece of memory: a list is written from few places, which lie together,
//! and a change moves little. With many Revisions it is the way to the memory that costs the time of an answer, so there
//! are few steps on it: most workloads have one run, which lies in the workload itself and is an answer as it is.

use super::Pieces;
use super::render::{Around, Etag, Rendered, etag, rewrite_tail};
use crate::revision::Phase;
use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, OnceLock};
use uuid::Uuid;

/// Revisions in a run, at most.
const RUN: usize = 16;
/// What is around the Revisions of a list.
const OPEN: &[u8] = b"{\"revisions\":[";
const CLOSE: &[u8] = b"]}";
const NOTHING: &[u8] = b"{\"revisions\":[]}";

/// Revisions by generation.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Oldest first.
    runs: SmallVec<[Run; 1]>,
    /// Hash of the whole list once somebody asked for it, until something changes.
    etag: OnceLock<Etag>,
}

/// Revisions that follow each other.
#[derive(Debug)]
struct Run {
    /// `{"revisions":[{…},{…}]}`, newest first.
    json: Arc<[u8]>,
    /// Newest first, never empty.
    rows: Vec<Row>,
}

/// A Revision, without its JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) generation: i64,
    pub(super) id: Uuid,
    pub(super) phase: Phase,
    pub(super) etag: Etag,
    /// Where its JSON is in that of the run, and where the part of it begins that owes to others.
    start: u32,
    tail: u32,
    end: u32,
}

/// A row on its way into a run.
type Entry<'a> = (Row, Cow<'a, [u8]>);

impl Row {
    pub(super) fn new(generation: i64, id: Uuid, phase: Phase) -> Self {
        Self {
            generation,
            id,
            phase,
            etag: Etag::default(),
            start: 0,
            tail: 0,
            end: 0,
        }
    }

    fn place(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    fn rendered<'a>(self, rendered: Rendered) -> Entry<'a> {
        (
            Self {
                etag: rendered.etag,
                tail: offset(rendered.tail),
                start: 0,
                ..self
            },
            rendered.json.into(),
        )
    }
}

/// A view is at most 16 KiB, so a run is far from 4 GiB.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Run {
    fn new(entries: &[Entry<'_>]) -> Self {
        let length = entries
            .iter()
            .map(|(_, json)| json.len() + 1)
            .sum::<usize>();
        let mut all = Vec::with_capacity(OPEN.len() + length + CLOSE.len());
        all.extend_from_slice(OPEN);
        let mut rows = Vec::with_capacity(entries.len());
        for (row, json) in entries {
            if !rows.is_empty() {
                all.push(b',');
            }
            let start = offset(all.len());
            all.extend_from_slice(json);
            rows.push(Row {
                start,
                tail: row.tail - row.start + start,
                end: offset(all.len()),
                ..*row
            });
        }
        all.extend_from_slice(CLOSE);
        Self {
            json: all.into(),
            rows,
        }
    }

    /// The list of a workload that has no others.
    fn whole(&self) -> Bytes {
        Bytes::from_owner(self.json.clone())
    }

    /// Where the Revisions are in it.
    fn inner(&self) -> Range<usize> {
        OPEN.len()..self.json.len() - CLOSE.len()
    }

    fn json_of(&self, row: &Row) -> Bytes {
        self.whole().slice(row.place())
    }

    fn entries(&self) -> Vec<Entry<'_>> {
        self.rows
            .iter()
            .map(|row| (*row, Cow::Borrowed(&self.json[row.place()])))
            .collect()
    }

    fn oldest(&self) -> i64 {
        self.rows.last().map_or(i64::MAX, |row| row.generation)
    }

    fn newest(&self) -> i64 {
        self.rows.first().map_or(i64::MIN, |row| row.generation)
    }

    /// Where a generation is, or belongs.
    fn position(&self, generation: i64) -> Result<usize, usize> {
        self.rows
            .binary_search_by(|row| generation.cmp(&row.generation))
    }

    fn get(&self, generation: i64) -> Option<&Row> {
        self.position(generation)
            .ok()
            .and_then(|at| self.rows.get(at))
    }

    fn rewrite_tail<'a>(
        &self,
        which: &RangeInclusive<i64>,
        around: &impl Fn(i64) -> Around<'a>,
    ) -> Option<Self> {
        let mut changed = false;
        let entry = |(row, json): Entry<'_>| {
            let at = (row.tail - row.start) as usize;
            let anew = which
                .contains(&row.generation)
                .then(|| rewrite_tail(&json, at, &around(row.generation)));
            let Some(anew) = anew.flatten() else {
                return (row, json.into_owned().into());
            };
            changed = true;
            row.rendered(anew)
        };
        let entries: Vec<Entry<'static>> = self.entries().into_iter().map(entry).collect();
        changed.then(|| Self::new(&entries))
    }
}

impl Rows {
    pub(super) const fn new() -> Self {
        Self {
            runs: SmallVec::new_const(),
            etag: OnceLock::new(),
        }
    }

    /// The runs, to be changed.
    fn change(&mut self) -> &mut SmallVec<[Run; 1]> {
        self.etag.take();
        &mut self.runs
    }

    pub(super) fn len(&self) -> usize {
        self.runs.iter().map(|run| run.rows.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn newest(&self) -> Option<&Row> {
        self.runs.last().and_then(|run| run.rows.first())
    }

    /// Newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.runs.iter().rev().flat_map(|run| &run.rows)
    }

    /// Newest first, with their JSON.
    pub(super) fn with_json(&self) -> impl Iterator<Item = (&Row, Bytes)> {
        let all = self
            .runs
            .iter()
            .rev()
            .flat_map(|run| run.rows.iter().map(move |row| (run, row)));
        all.map(|(run, row)| (row, run.json_of(row)))
    }

    /// `{"revisions":[…]}` of all, newest first; and a hash of it.
    pub(super) fn list(&self) -> (Pieces, Etag) {
        let hash = || {
            etag(
                &self
                    .iter()
                    .map(|row| row.etag.as_slice())
                    .collect::<Vec<_>>(),
            )
        };
        (self.pieces(), *self.etag.get_or_init(hash))
    }

    fn pieces(&self) -> Pieces {
        match &*self.runs {
            [] => smallvec![Bytes::from_static(NOTHING)],
            [only] => smallvec![only.whole()],
            [older @ .., newest] => {
                let first = newest.whole().slice(..newest.inner().end);
                let others = older.iter().rev();
                let others = others
                    .flat_map(|run| [Bytes::from_static(b","), run.whole().slice(run.inner())]);
                [first]
                    .into_iter()
                    .chain(others)
                    .chain([Bytes::from_static(CLOSE)])
                    .collect()
            }
        }
    }

    pub(super) fn get(&self, generation: i64) -> Option<(&Row, Bytes)> {
        let run = self.runs.get(self.run_of(generation))?;
        let row = run.get(generation)?;
        Some((row, run.json_of(row)))
    }

    /// The next older one.
    pub(super) fn before(&self, generation: i64) -> Option<&Row> {
        let at = self.run_of(generation);
        let same = self
            .runs
            .get(at)
            .and_then(|run| run.rows.iter().find(|row| row.generation < generation));
        same.or_else(|| at.checked_sub(1).and_then(|at| self.runs[at].rows.first()))
    }

    /// Those of these generations that are there, in no order.
    pub(super) fn within(&self, which: &RangeInclusive<i64>) -> impl Iterator<Item = i64> {
        let runs = self.runs[self.run_of(*which.start())..].iter();
        let runs = runs.take_while(|run| run.oldest() <= *which.end());
        runs.flat_map(|run| &run.rows)
            .map(|row| row.generation)
            .filter(|generation| which.contains(generation))
    }

    /// The run that a generation is in, or belongs in; one past the last when it is newer than all.
    fn run_of(&self, generation: i64) -> usize {
        self.runs.partition_point(|run| run.newest() < generation)
    }

    /// Adds or replaces one; true when it is new.
    pub(super) fn put(&mut self, row: Row, rendered: Rendered) -> bool {
        let generation = row.generation;
        let entry = row.rendered(rendered);
        let last = self.runs.len().checked_sub(1);
        let Some(at) = last.map(|last| self.run_of(generation).min(last)) else {
            self.change().push(Run::new(&[entry]));
            return true;
        };
        let run = &self.runs[at];
        if run.rows.len() >= RUN && generation > run.newest() {
            self.change().push(Run::new(&[entry]));
            return true;
        }
        let mut entries = run.entries();
        let position = run.position(generation);
        match position {
            Ok(at) => entries[at] = entry,
            Err(at) => entries.insert(at, entry),
        }
        let half = if entries.len() > RUN {
            entries.len() / 2
        } else {
            0
        };
        let (newer, older) = (
            (half > 0).then(|| Run::new(&entries[..half])),
            Run::new(&entries[half..]),
        );
        let runs = self.change();
        runs[at] = older;
        runs.insert_many(at + 1, newer);
        position.is_err()
    }

    /// Takes one out; true when it was there.
    pub(super) fn remove(&mut self, generation: i64) -> bool {
        let at = self.run_of(generation);
        let Some(Ok(position)) = self.runs.get(at).map(|run| run.position(generation)) else {
            return false;
        };
        let mut entries = self.runs[at].entries();
        entries.remove(position);
        let rest = (!entries.is_empty()).then(|| Run::new(&entries));
        match rest {
            Some(rest) => self.change()[at] = rest,
            None => drop(self.change().remove(at)),
        }
        true
    }

    /// Writes the parts of these anew that owe to others, where they changed.
    pub(super) fn rewrite_tail<'a>(
        &mut self,
        which: &RangeInclusive<i64>,
        around: impl Fn(i64) -> Around<'a>,
    ) {
        let first = self.run_of(*which.start());
        for run in self.change()[first..]
            .iter_mut()
            .take_while(|run| run.oldest() <= *which.end())
        {
            if let Some(anew) = run.rewrite_tail(which, &around) {
                *run = anew;
            }
        }
    }
}
