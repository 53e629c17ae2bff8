//! Up to where everything of a kind is durable: what is still on its way, by resourceVersion. Pure.

use crate::mutant::{self, Mutant};
use crate::watch::Position;
use crate::watch::checkpoint::CheckpointEntry;
use crate::workload::{Ack, ResourceVersion};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// So many intervals are remembered.
const BLIND: usize = 10;
/// So many dated places are remembered; without one the next older one counts, which is safe.
const DATED: usize = 64;
/// A watch lasts less than that and ends with a bookmark: after a longer silence it is broken.
const SILENCE: Duration = Duration::from_secs(60);

/// How far the recording of one kind has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Book {
    reached: ResourceVersion,
    /// Places with a time at which the history had come no further, ascending.
    dated: VecDeque<Position>,
    pending: BTreeMap<ResourceVersion, Pending>,
    blind: Vec<(ResourceVersion, ResourceVersion)>,
    /// When something was last heard of the kind; none when there is nothing to hear.
    heard: Option<Instant>,
}

/// Writes that are on their way for changes seen at one place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pending {
    count: u32,
    since: Instant,
}

impl Book {
    /// Nothing at or below `through` is on its way.
    pub fn ack(&self) -> Ack {
        let oldest = self
            .pending
            .first_key_value()
            .map(|(oldest, _)| oldest.before());
        let oldest = oldest.filter(|_| !mutant::is(Mutant::CheckpointAhead));
        let through = oldest.map_or(self.reached, |oldest| oldest.min(self.reached));
        // The time of a later place would be too young. Without an older one, no time is known.
        let dated = self
            .dated
            .iter()
            .rev()
            .find(|position| position.at <= through)
            .or(self
                .dated
                .front()
                .filter(|_| mutant::is(Mutant::CheckpointTooYoung)));
        Ack {
            through,
            time: dated.map(|position| position.time).unwrap_or_default(),
        }
    }

    /// An earlier process has written down its place, with its time, and where something may have gone unseen.
    pub fn take_over(&mut self, entry: &CheckpointEntry) {
        if !mutant::is(Mutant::CheckpointTooYoung) {
            self.date(entry.position);
        }
        for (from, to) in &entry.blind {
            self.blind(*from, *to);
        }
    }

    /// Up to where the watch has passed everything on.
    pub fn watched(&self) -> ResourceVersion {
        self.reached
    }

    /// The watch has passed on everything up to there.
    pub fn reached(&mut self, position: Position) {
        self.reached = self.reached.max(position.at);
        self.date(position);
    }

    /// Only a position that dates a later place than the last one, and no more of them than are needed.
    fn date(&mut self, position: Position) {
        if self
            .dated
            .back()
            .is_none_or(|last| last.time < position.time)
        {
            self.dated.push_back(position);
        }
        let through = self.ack().through;
        while self.dated.get(1).is_some_and(|second| second.at <= through) {
            self.dated.pop_front();
        }
        if self.dated.len() > DATED {
            self.dated.remove(DATED / 2);
        }
    }

    /// The API server answered; or, when nothing is `expected`, there is nothing to hear of the kind.
    pub fn heard(&mut self, expected: bool, now: Instant) {
        self.heard = expected.then_some(now);
    }

    /// Something that was seen at `at` is on its way.
    pub fn pending(&mut self, at: ResourceVersion, now: Instant) {
        let first = Pending {
            count: 0,
            since: now,
        };
        self.pending.entry(at).or_insert(first).count += 1;
    }

    /// One of the writes for changes seen at `at` has arrived, or never will.
    pub fn done(&mut self, at: ResourceVersion) {
        let Some(pending) = self.pending.get_mut(&at) else {
            return;
        };
        pending.count -= 1;
        if pending.count == 0 {
            self.pending.remove(&at);
        }
    }

    /// Between these two places something may have gone unseen.
    pub fn blind(&mut self, from: ResourceVersion, to: ResourceVersion) {
        self.blind.push((from, to));
        let surplus = self.blind.len().saturating_sub(BLIND);
        self.blind.drain(..surplus);
    }

    /// The newest intervals in which something may have gone unseen.
    pub fn blind_intervals(&self) -> &[(ResourceVersion, ResourceVersion)] {
        &self.blind
    }

    /// How long the oldest write has been on its way, or for how much too long nothing was heard.
    pub fn lag(&self, now: Instant) -> Duration {
        let oldest = self.pending.values().map(|pending| pending.since).min();
        let waiting = oldest.map(|since| now.saturating_duration_since(since));
        let silence = self
            .heard
            .map(|heard| now.saturating_duration_since(heard))
            .filter(|silence| *silence > SILENCE);
        waiting.max(silence).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn rv(text: &str) -> ResourceVersion {
        text.parse().expect("number")
    }

    fn place(at: &str, minute: i64) -> Position {
        Position {
            at: rv(at),
            time: DateTime::from_timestamp(minute * 60, 0).expect("a time"),
        }
    }

    #[test]
    fn nothing_is_acknowledged_while_something_older_is_on_its_way() {
        let mut book = Book::default();
        let now = Instant::now();
        assert_eq!(book.ack().through, ResourceVersion::default());
        book.pending(rv("10"), now);
        book.reached(place("10", 1));
        book.pending(rv("12"), now);
        book.pending(rv("12"), now);
        book.reached(place("15", 1));
        assert_eq!(book.ack().through, rv("9"));
        book.done(rv("10"));
        assert_eq!(book.ack().through, rv("11"));
        book.done(rv("12"));
        assert_eq!(book.ack().through, rv("11"));
        book.done(rv("12"));
        assert_eq!(book.ack().through, rv("15"));
        book.reached(place("14", 1));
        assert_eq!(book.ack().through, rv("15"));
    }

    #[test]
    fn a_place_before_all_dated_ones_has_the_time_of_the_checkpoint_or_none() {
        let mut book = Book::default();
        let now = Instant::now();
        book.pending(rv("90"), now);
        book.reached(place("100", 5));
        assert_eq!(book.ack().time, DateTime::UNIX_EPOCH, "none is known");
        let mut resumed = Book::default();
        resumed.take_over(&CheckpointEntry {
            position: place("50", 2),
            blind: vec![(rv("10"), rv("20"))],
        });
        assert_eq!(resumed.ack().through, ResourceVersion::default());
        resumed.pending(rv("90"), now);
        resumed.reached(place("100", 5));
        let ack = resumed.ack();
        assert_eq!((ack.through, ack.time), (rv("89"), place("50", 2).time));
        assert_eq!(resumed.blind_intervals(), [(rv("10"), rv("20"))]);
    }

    #[test]
    fn a_place_is_never_said_to_be_younger_than_it_is() {
        let mut book = Book::default();
        let now = Instant::now();
        let minutes = |book: &Book| book.ack().time.timestamp() / 60;
        book.reached(place("10", 1));
        book.pending(rv("15"), now);
        book.reached(place("20", 2));
        for i in 0..200 {
            book.reached(place(&(30 + i).to_string(), 3 + i));
        }
        assert_eq!((book.ack().through, minutes(&book)), (rv("14"), 1));
        book.done(rv("15"));
        assert_eq!((book.ack().through, minutes(&book)), (rv("229"), 202));
        assert!(book.dated.len() <= DATED);
        book.reached(place("230", 300));
        assert_eq!(book.dated.len(), 1, "what is older is not needed");
    }
}
