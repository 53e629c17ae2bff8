//! Up to where everything of a kind is durable: what is still on its way, by resourceVersion. Pure.

use crate::mutant::{self, Mutant};
use crate::revision::identity;
use crate::watch::Position;
use crate::watch::checkpoint::{CheckpointEntry, Exception};
use crate::workload::{Ack, ResourceVersion, Version};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// So many intervals are remembered.
const BLIND: usize = 10;
/// So many dated places are remembered; without one the next older one counts, which is safe.
const DATED: usize = 64;
/// So many generations may be exceptions. They are written into one ConfigMap, which has at most a mebibyte for all
/// kinds; beyond that number the place stays behind.
const EXCEPTIONS: usize = 100;
/// A watch lasts less than that and ends with a bookmark: after a longer silence it is broken.
const SILENCE: Duration = Duration::from_secs(60);

/// How far the recording of one kind has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Book {
    reached: ResourceVersion,
    /// Places with a time at which the history had come no further, ascending.
    dated: VecDeque<Position>,
    pending: BTreeMap<ResourceVersion, Pending>,
    /// Generations that are not durable, although everything around them may count as such.
    exceptions: BTreeMap<(Uuid, i64), Excepted>,
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

/// A generation that is an exception.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Excepted {
    exception: Exception,
    since: Instant,
    /// Whether the stored checkpoint names it.
    written: bool,
    /// Whether an earlier process named it, and the first list is not joined yet. Until then it also stands for the
    /// generations after it that waited for room in that process, and for the end of the workload.
    restored: bool,
    /// Whether changes of its workload wait for room in this process. It stands for all of them.
    postponed: bool,
    stage: Stage,
}

/// How far the generation of an exception itself has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// It is read back or seen again, unless it changed nothing.
    Expected,
    /// Its write is on its way.
    Writing,
    /// It is stored.
    Durable,
}

impl Excepted {
    /// One that this process has made.
    fn new(exception: Exception, since: Instant) -> Self {
        Self {
            exception,
            since,
            written: false,
            restored: false,
            postponed: false,
            stage: Stage::Expected,
        }
    }

    fn key(&self) -> (Uuid, i64) {
        (self.exception.uid, self.exception.version.generation)
    }

    /// Whether it stands for anything but its own generation.
    fn stands_for_more(&self) -> bool {
        self.restored || self.postponed
    }

    /// Whether everything that it stands for is stored.
    fn is_over(&self) -> bool {
        self.stage == Stage::Durable && !self.stands_for_more()
    }
}

impl Book {
    /// Nothing at or below `through` is on its way, except the exceptions.
    pub fn ack(&self) -> Ack {
        self.dated(self.through())
    }

    /// Nothing at or below `through` is on its way.
    pub fn conservative(&self) -> Ack {
        let excepted = self
            .exceptions
            .values()
            .map(|excepted| excepted.exception.first);
        let oldest = excepted.min().map(ResourceVersion::before);
        let through = self.through();
        self.dated(oldest.map_or(through, |oldest| oldest.min(through)))
    }

    fn through(&self) -> ResourceVersion {
        let oldest = self
            .pending
            .first_key_value()
            .map(|(oldest, _)| oldest.before());
        let oldest = oldest.filter(|_| !mutant::is(Mutant::CheckpointAhead));
        oldest.map_or(self.reached, |oldest| oldest.min(self.reached))
    }

    fn dated(&self, through: ResourceVersion) -> Ack {
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

    /// An earlier process has written down its place, with its time, where something may have gone unseen, and its
    /// exceptions.
    pub fn take_over(&mut self, entry: &CheckpointEntry, now: Instant) {
        if !mutant::is(Mutant::CheckpointTooYoung) {
            self.date(entry.position);
        }
        for (from, to) in &entry.blind {
            self.blind(*from, *to);
        }
        for exception in &entry.exceptions {
            let excepted = Excepted {
                written: true,
                restored: true,
                ..Excepted::new(exception.clone(), now)
            };
            self.exceptions.insert(excepted.key(), excepted);
        }
    }

    /// The first list is joined: the generations after the exceptions of an earlier process are on their way themselves.
    pub fn joined(&mut self) {
        for excepted in self.exceptions.values_mut() {
            excepted.restored = false;
        }
        self.exceptions.retain(|_, excepted| !excepted.is_over());
    }

    /// A write that is on its way becomes an exception. False when there are too many: then it stays on its way.
    pub fn except(&mut self, exception: Exception, now: Instant) -> bool {
        let Some(excepted) = self.exception(exception, now) else {
            return false;
        };
        excepted.stage = Stage::Writing;
        true
    }

    /// The changes of a workload wait for room from this generation on. False when there are too many exceptions.
    pub fn postpone(&mut self, exception: Exception, now: Instant) -> bool {
        let Some(excepted) = self.exception(exception, now) else {
            return false;
        };
        excepted.postponed = true;
        true
    }

    /// The exception of a generation, which is added if it is none yet; none when there are too many.
    fn exception(&mut self, exception: Exception, now: Instant) -> Option<&mut Excepted> {
        let is_full = self.exceptions.len() >= EXCEPTIONS;
        let excepted = Excepted::new(exception, now);
        match self.exceptions.entry(excepted.key()) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(_) if is_full => None,
            Entry::Vacant(room) => Some(room.insert(excepted)),
        }
    }

    /// The write of a generation is handed in. True when that is an exception, and stays one until it is stored: another
    /// replica, which knows it from the checkpoint, may have passed it.
    pub fn writes(&mut self, uid: Uuid, generation: i64) -> bool {
        let excepted = self.exceptions.get_mut(&(uid, generation));
        let is_none =
            |one: &Excepted| one.stage == Stage::Durable || mutant::is(Mutant::ExceptionsPending);
        let Some(excepted) = excepted.filter(|one| !is_none(one)) else {
            return false;
        };
        excepted.stage = Stage::Writing;
        true
    }

    /// The changes of a workload do not wait for room any more, and were handed in. False when they were no exception.
    pub fn resume(&mut self, uid: Uuid, generation: i64) -> bool {
        let key = (uid, generation);
        let Some(excepted) = self.exceptions.get_mut(&key) else {
            return false;
        };
        excepted.postponed = false;
        if excepted.stage != Stage::Writing && !excepted.restored {
            self.exceptions.remove(&key);
        }
        true
    }

    /// The checkpoint with these exceptions is stored.
    pub fn written(&mut self, exceptions: &[Exception]) {
        for exception in exceptions {
            let key = (exception.uid, exception.version.generation);
            if let Some(excepted) = self.exceptions.get_mut(&key) {
                excepted.written = true;
            }
        }
    }

    /// Whether the stored checkpoint names a generation as an exception. Before that no later one of its workload may be
    /// stored: after a restart it would be taken for recorded.
    pub fn is_written(&self, uid: Uuid, generation: i64) -> bool {
        let excepted = self.exceptions.get(&(uid, generation));
        excepted.is_some_and(|excepted| excepted.written)
    }

    /// An exception is durable now. False when it was none.
    pub fn settle(&mut self, uid: Uuid, generation: i64) -> bool {
        let key = (uid, generation);
        let excepted = self.exceptions.get_mut(&key);
        let Some(excepted) = excepted.filter(|one| one.stage != Stage::Durable) else {
            return false;
        };
        excepted.stage = Stage::Durable;
        if excepted.is_over() || mutant::is(Mutant::ExceptionsDropped) {
            self.exceptions.remove(&key);
        }
        true
    }

    /// A status of a Revision that is an exception: reading the exception back finds its content again.
    /// `through` is the last generation that changed nothing. False when it is no exception.
    pub fn follow(&mut self, uid: Uuid, revision: &str, through: Option<Version>) -> bool {
        let mut of_workload = self.exceptions.range_mut((uid, 0)..=(uid, i64::MAX));
        let is_it = |exception: &Exception| {
            let generation = exception.version.generation;
            identity::is_name_of(revision, &exception.name, uid, generation)
        };
        let found =
            of_workload.find(|(_, one)| one.stage != Stage::Durable && is_it(&one.exception));
        let Some((_, excepted)) = found else {
            return false;
        };
        let exception = &mut excepted.exception;
        exception.through = exception.through.max(through);
        true
    }

    /// The generations that are exceptions, also those after the place: a restart sees these again, but takes them for
    /// recorded when a later one of their workload is stored.
    pub fn exceptions(&self) -> Vec<Exception> {
        let exceptions = self.exceptions.values();
        exceptions
            .map(|excepted| excepted.exception.clone())
            .collect()
    }

    /// Up to where the watch has passed everything on.
    pub fn watched(&self) -> ResourceVersion {
        self.reached
    }

    /// The watch has passed on everything up to there.
    pub fn reached(&mut self, position: Position) {
        self.reached = self.reached.max(position.at);
        self.exceptions.retain(|_, excepted| {
            let is_expected = excepted.stage == Stage::Expected && !excepted.stands_for_more();
            !is_expected || excepted.exception.version.at > position.at
        });
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
        let through = self.conservative().through;
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
        let exceptions = self.exceptions.values();
        let waiting = exceptions.filter(|one| one.stage != Stage::Durable || one.postponed);
        let excepted = waiting.map(|excepted| excepted.since);
        let pending = self.pending.values().map(|pending| pending.since);
        let oldest = pending.chain(excepted).min();
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

    const WORKLOAD: Uuid = Uuid::from_u128(5);

    fn version(generation: i64) -> Version {
        Version {
            generation,
            at: rv("10"),
        }
    }

    fn exception(generation: i64) -> Exception {
        Exception {
            uid: WORKLOAD,
            namespace: "n".into(),
            name: "w".into(),
            version: version(generation),
            first: rv("8"),
            through: None,
        }
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
        resumed.take_over(
            &CheckpointEntry {
                position: place("50", 2),
                blind: vec![(rv("10"), rv("20"))],
                exceptions: Vec::new(),
            },
            now,
        );
        assert_eq!(resumed.ack().through, ResourceVersion::default());
        resumed.pending(rv("90"), now);
        resumed.reached(place("100", 5));
        let ack = resumed.ack();
        assert_eq!((ack.through, ack.time), (rv("89"), place("50", 2).time));
        assert_eq!(resumed.blind_intervals(), [(rv("10"), rv("20"))]);
    }

    #[test]
    fn an_exception_holds_the_place_of_earlier_releases_only() {
        let mut book = Book::default();
        let now = Instant::now();
        book.pending(rv("10"), now);
        book.reached(place("20", 1));
        assert!(book.except(exception(3), now));
        book.done(rv("10"));
        let places = |book: &Book| (book.ack().through, book.conservative().through);
        assert_eq!(places(&book), (rv("20"), rv("7")));
        let name = identity::name("w", WORKLOAD, 3);
        assert!(book.follow(WORKLOAD, &name, Some(version(7))));
        assert!(!book.follow(WORKLOAD, "another", None));
        assert_eq!(book.exceptions()[0].through, Some(version(7)));
        assert!(book.lag(now + Duration::from_secs(9)) >= Duration::from_secs(9));
        assert!(!book.is_written(WORKLOAD, 3));
        book.written(&book.exceptions());
        assert!(book.is_written(WORKLOAD, 3));
        book.settle(WORKLOAD, 3);
        assert_eq!(places(&book), (rv("20"), rv("20")));
        let taken = (0..).take_while(|generation| book.except(exception(*generation), now));
        assert_eq!(taken.count(), EXCEPTIONS);
    }

    #[test]
    fn an_exception_of_an_earlier_process_stands_until_the_first_list_is_joined() {
        let mut book = Book::default();
        let now = Instant::now();
        book.take_over(
            &CheckpointEntry {
                position: place("20", 1),
                blind: Vec::new(),
                exceptions: vec![exception(3), exception(4)],
            },
            now,
        );
        book.reached(place("20", 1));
        assert!(book.settle(WORKLOAD, 3));
        assert!(!book.settle(WORKLOAD, 3), "settled once");
        assert_eq!(book.exceptions(), [exception(3), exception(4)]);
        let name = identity::name("w", WORKLOAD, 3);
        assert!(!book.follow(WORKLOAD, &name, Some(version(7))));
        book.joined();
        assert_eq!(book.exceptions(), [exception(4)]);
        assert!(book.settle(WORKLOAD, 4));
        assert_eq!(book.exceptions(), []);
        assert_eq!(book.conservative().through, rv("20"));
    }

    #[test]
    fn an_exception_of_an_earlier_process_stands_until_it_is_stored_or_changed_nothing() {
        let mut book = Book::default();
        let now = Instant::now();
        book.take_over(
            &CheckpointEntry {
                position: place("8", 1),
                blind: Vec::new(),
                exceptions: vec![exception(3), exception(4)],
            },
            now,
        );
        assert!(book.writes(WORKLOAD, 4) && !book.writes(WORKLOAD, 5));
        book.reached(place("10", 1));
        assert_eq!(book.exceptions(), [exception(3), exception(4)]);
        book.joined();
        book.reached(place("9", 1));
        assert_eq!(book.exceptions(), [exception(3), exception(4)]);
        book.reached(place("10", 1));
        assert_eq!(book.exceptions(), [exception(4)], "3 changed nothing");
        assert!(book.settle(WORKLOAD, 4));
        assert_eq!(book.exceptions(), []);
    }

    #[test]
    fn an_exception_that_waited_for_room_ends_when_it_is_passed_on_unless_it_is_being_written() {
        let mut book = Book::default();
        let now = Instant::now();
        assert!(book.postpone(exception(3), now) && book.postpone(exception(4), now));
        book.reached(place("10", 1));
        assert!(book.writes(WORKLOAD, 4));
        assert!(book.resume(WORKLOAD, 3) && book.resume(WORKLOAD, 4));
        assert!(!book.resume(WORKLOAD, 3));
        assert_eq!(book.exceptions(), [exception(4)]);
    }

    #[test]
    fn an_exception_that_waits_for_room_stands_for_later_generations_when_it_is_stored() {
        let mut book = Book::default();
        let now = Instant::now();
        assert!(book.postpone(exception(3), now));
        assert!(book.writes(WORKLOAD, 3) && book.except(exception(3), now));
        assert!(book.settle(WORKLOAD, 3));
        book.reached(place("20", 1));
        book.joined();
        assert_eq!(book.conservative().through, rv("7"));
        assert!(book.lag(now + Duration::from_secs(9)) >= Duration::from_secs(9));
        assert!(book.resume(WORKLOAD, 3));
        assert_eq!(book.conservative().through, rv("20"));
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
