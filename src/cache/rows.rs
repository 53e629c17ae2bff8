//! The Revisions of one workload as a list shows them: newest first, their JSON one after the other. Pure.
//!
//! They lie in runs of a few, each run in one piece of memory: a list is written from few places, which lie together,
//! and a change moves little. With many Revisions, cache misses dominate the time of an answer, so a list touches as few
//! cache lines as possible: most workloads have one run, which lies in the workload itself and is an answer as it is.

use super::Pieces;
use super::render::{Etag, Rendered, Siblings, etag, rewrite_tail};
use crate::revision::Phase;
use crate::view::normal::NormalKey;
use crate::workload::{ResourceVersion, Version};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;
use std::num::NonZeroI64;
use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, OnceLock};
use uuid::Uuid;

/// Revisions in a run, at most.
const RUN: usize = 16;
/// The text around the Revisions of a list.
const OPEN: &[u8] = b"{\"revisions\":[";
const CLOSE: &[u8] = b"]}";
const NOTHING: &[u8] = b"{\"revisions\":[]}";

/// Revisions by generation.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Oldest first.
    runs: SmallVec<[Run; 1]>,
    /// Hash of the whole list, from the first request for it until something changes.
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
    /// When the change was made.
    pub(super) changed: DateTime<Utc>,
    pub(super) etag: Etag,
    /// The generation of the Revision that it names as the one before it.
    pub(super) previous: Option<NonZeroI64>,
    /// Whether it is stored under the long form of its name.
    pub(super) has_long_name: bool,
    /// The beginning of the digest of its normal form.
    pub(super) normal: Option<NormalKey>,
    /// Where its generation was seen.
    pub(super) at: ResourceVersion,
    /// The last generation that is known to have changed nothing after it, and where that was seen.
    pub(super) through: Version,
    /// Where its JSON is in that of the run, and where the part of it begins that depends on its siblings.
    start: u32,
    tail: u32,
    end: u32,
}

/// A row on its way into a run, with its JSON.
struct RowJson<'a> {
    row: Row,
    json: Cow<'a, [u8]>,
}

impl Row {
    pub(super) fn new(generation: i64, id: Uuid, phase: Phase, changed: DateTime<Utc>) -> Self {
        Self {
            generation,
            id,
            phase,
            changed,
            etag: Etag::default(),
            previous: None,
            has_long_name: false,
            normal: None,
            at: ResourceVersion::default(),
            through: Version::default(),
            start: 0,
            tail: 0,
            end: 0,
        }
    }

    /// Where its JSON is in that of the run.
    fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Where the part that depends on its siblings begins in its own JSON.
    fn tail_in_row(&self) -> u32 {
        self.tail - self.start
    }

    fn with_json<'a>(self, rendered: Rendered) -> RowJson<'a> {
        RowJson {
            row: Self {
                etag: rendered.etag,
                tail: offset(rendered.tail),
                start: 0,
                ..self
            },
            json: rendered.json.into(),
        }
    }
}

/// A view is at most 16 KiB, so a run is far from 4 GiB.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Run {
    fn new(entries: &[RowJson<'_>]) -> Self {
        let length: usize = entries.iter().map(|entry| entry.json.len() + 1).sum();
        let mut all = Vec::with_capacity(OPEN.len() + length + CLOSE.len());
        all.extend_from_slice(OPEN);
        let mut rows = Vec::with_capacity(entries.len());
        for RowJson { row, json } in entries {
            if !rows.is_empty() {
                all.push(b',');
            }
            let start = offset(all.len());
            all.extend_from_slice(json);
            rows.push(Row {
                start,
                tail: row.tail_in_row() + start,
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
        self.whole().slice(row.range())
    }

    fn entries(&self) -> Vec<RowJson<'_>> {
        self.rows
            .iter()
            .map(|row| RowJson {
                row: *row,
                json: Cow::Borrowed(&self.json[row.range()]),
            })
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

    /// The run with the tails of these rows rewritten; none when all are as they were.
    fn rewrite_tails<'a>(
        &self,
        which: &RangeInclusive<i64>,
        siblings: &impl Fn(i64) -> Siblings<'a>,
    ) -> Option<Self> {
        let mut changed = false;
        let mut entries = self.entries();
        for entry in &mut entries {
            let row = entry.row;
            if !which.contains(&row.generation) {
                continue;
            }
            let tail = row.tail_in_row() as usize;
            if let Some(rewritten) = rewrite_tail(&entry.json, tail, &siblings(row.generation)) {
                *entry = row.with_json(rewritten);
                changed = true;
            }
        }
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
        self.runs
            .iter()
            .rev()
            .flat_map(|run| run.rows.iter().map(move |row| (row, run.json_of(row))))
    }

    /// `{"revisions":[…]}` of all, newest first; and a hash of it.
    pub(super) fn list(&self) -> (Pieces, Etag) {
        (self.pieces(), *self.etag.get_or_init(|| self.hash()))
    }

    fn hash(&self) -> Etag {
        let etags: Vec<_> = self.iter().map(|row| row.etag.as_slice()).collect();
        etag(&etags)
    }

    fn pieces(&self) -> Pieces {
        match &*self.runs {
            [] => smallvec![Bytes::from_static(NOTHING)],
            [only] => smallvec![only.whole()],
            [older @ .., newest] => {
                let first = newest.whole().slice(..newest.inner().end);
                let others = older
                    .iter()
                    .rev()
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
        self.rows_within(which).map(|row| row.generation)
    }

    /// The rows of these generations, in no order.
    pub(super) fn rows_within(&self, which: &RangeInclusive<i64>) -> impl Iterator<Item = &Row> {
        self.runs[self.run_of(*which.start())..]
            .iter()
            .take_while(|run| run.oldest() <= *which.end())
            .flat_map(|run| &run.rows)
            .filter(|row| which.contains(&row.generation))
    }

    /// The run that a generation is in, or belongs in; one past the last when it is newer than all.
    fn run_of(&self, generation: i64) -> usize {
        self.runs.partition_point(|run| run.newest() < generation)
    }

    /// Adds or replaces one; true when it is new.
    pub(super) fn put(&mut self, row: Row, rendered: Rendered) -> bool {
        let generation = row.generation;
        let entry = row.with_json(rendered);
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
        let newer = (half > 0).then(|| Run::new(&entries[..half]));
        let older = Run::new(&entries[half..]);
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

    /// Rewrites the tails of these rows that changed.
    pub(super) fn rewrite_tails<'a>(
        &mut self,
        which: &RangeInclusive<i64>,
        siblings: impl Fn(i64) -> Siblings<'a>,
    ) {
        let first = self.run_of(*which.start());
        for run in self.change()[first..]
            .iter_mut()
            .take_while(|run| run.oldest() <= *which.end())
        {
            if let Some(rewritten) = run.rewrite_tails(which, &siblings) {
                *run = rewritten;
            }
        }
    }
}
