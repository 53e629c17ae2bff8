//! Up to where everything of a kind is durable: what is still on its way, by resourceVersion. Pure.

use crate::metrics::{self, Metrics};
use crate::watch::Position;
use crate::watch::checkpoint::Progress;
use crate::workload::{Ack, ResourceVersion};
use prometheus_client::metrics::gauge::Gauge;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// So many intervals are remembered.
const BLIND: usize = 10;
/// So many dated places are remembered; without one the next older one counts, which is safe.
const DATED: usize = 64;
/// A watch lasts less than that and ends with a bookmark: after a longer silence it is broken.
const SILENCE: Duration = Duration::from_secs(60);

/// The book of one kind. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Ledger {
    book: Arc<Mutex<Book>>,
    watched: Gauge,
    recorded: Gauge,
    lag: Gauge<f64, AtomicU64>,
}

#[derive(Debug, Default)]
struct Book {
    reached: ResourceVersion,
    /// Places with a time at which the history had come no further, ascending.
    dated: VecDeque<Position>,
    pending: BTreeMap<ResourceVersion, Pending>,
    blind: Vec<(ResourceVersion, ResourceVersion)>,
    /// When something was last heard of the kind; none when there is nothing to hear.
    heard: Option<Instant>,
}

#[derive(Debug)]
struct Pending {
    count: u32,
    since: Instant,
}

impl Book {
    fn ack(&self) -> Ack {
        let oldest = self
            .pending
            .first_key_value()
            .map(|(oldest, _)| oldest.before());
        let through = oldest.map_or(self.reached, |oldest| oldest.min(self.reached));
        let dated = self.dated.iter().rev().find(|place| place.at <= through);
        let time = dated
            .or(self.dated.front())
            .map(|place| place.time)
            .unwrap_or_default();
        Ack { through, time }
    }

    /// Only what dates a later place than the last one, and no more of it than is needed.
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

    fn lag(&self) -> Duration {
        let pending = self
            .pending
            .values()
            .map(|pending| pending.since.elapsed())
            .max()
            .unwrap_or_default();
        let silence = self
            .heard
            .map(|heard| heard.elapsed())
            .filter(|silence| *silence > SILENCE);
        pending.max(silence.unwrap_or_default())
    }
}

impl Ledger {
    /// An empty book for `kind`.
    pub fn new(metrics: &Metrics, kind: &str) -> Self {
        let labels = metrics::kind(kind);
        Self {
            book: Arc::default(),
            watched: metrics
                .watch_resource_version
                .get_or_create(&labels)
                .clone(),
            recorded: metrics
                .recorded_resource_version
                .get_or_create(&labels)
                .clone(),
            lag: metrics.lag_seconds.get_or_create(&labels).clone(),
        }
    }

    /// The watch has passed on everything up to there.
    pub fn reached(&self, position: Position) {
        self.update(|book| {
            book.reached = book.reached.max(position.at);
            book.date(position);
        });
        self.heard(true);
    }

    /// The API server answered; or there is nothing to hear of the kind.
    pub fn heard(&self, expected: bool) {
        self.book().heard = expected.then(Instant::now);
    }

    /// Something that was seen at `at` is on its way.
    pub fn pending(&self, at: ResourceVersion) {
        self.update(|book| {
            book.pending
                .entry(at)
                .or_insert_with(|| Pending {
                    count: 0,
                    since: Instant::now(),
                })
                .count += 1;
        });
    }

    /// It has arrived, or never will.
    pub fn done(&self, at: ResourceVersion) {
        self.update(|book| {
            if let Some(pending) = book.pending.get_mut(&at) {
                pending.count -= 1;
                if pending.count == 0 {
                    book.pending.remove(&at);
                }
            }
        });
    }

    /// Between these two places something may have gone unseen.
    pub fn blind(&self, from: ResourceVersion, to: ResourceVersion) {
        self.update(|book| {
            book.blind.push((from, to));
            let surplus = book.blind.len().saturating_sub(BLIND);
            book.blind.drain(..surplus);
        });
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Book)) {
        let mut book = self.book();
        change(&mut book);
        self.watched.set(book.reached.as_metric());
        self.recorded.set(book.ack().through.as_metric());
    }
}

impl Progress for Ledger {
    fn ack(&self) -> Ack {
        self.book().ack()
    }

    fn blind_intervals(&self) -> Vec<(ResourceVersion, ResourceVersion)> {
        self.book().blind.clone()
    }

    fn measure(&self) {
        self.lag.set(self.book().lag().as_secs_f64());
    }

    fn blind_before(&self, from: ResourceVersion, to: ResourceVersion) {
        self.blind(from, to);
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
        let ledger = Ledger::new(&Metrics::new(), "Thing");
        assert_eq!(ledger.ack().through, ResourceVersion::default());
        ledger.pending(rv("10"));
        ledger.reached(place("10", 1));
        ledger.pending(rv("12"));
        ledger.pending(rv("12"));
        ledger.reached(place("15", 1));
        assert_eq!(ledger.ack().through, rv("9"));
        ledger.done(rv("10"));
        assert_eq!(ledger.ack().through, rv("11"));
        ledger.done(rv("12"));
        assert_eq!(ledger.ack().through, rv("11"));
        ledger.done(rv("12"));
        assert_eq!(ledger.ack().through, rv("15"));
        ledger.reached(place("14", 1));
        assert_eq!(ledger.ack().through, rv("15"));
    }

    #[test]
    fn a_place_is_never_said_to_be_younger_than_it_is() {
        let ledger = Ledger::new(&Metrics::new(), "Thing");
        let minutes = || ledger.ack().time.timestamp() / 60;
        ledger.reached(place("10", 1));
        ledger.pending(rv("15"));
        ledger.reached(place("20", 2));
        for i in 0..200 {
            ledger.reached(place(&(30 + i).to_string(), 3 + i));
        }
        assert_eq!((ledger.ack().through, minutes()), (rv("14"), 1));
        ledger.done(rv("15"));
        assert_eq!((ledger.ack().through, minutes()), (rv("229"), 202));
        assert!(ledger.book().dated.len() <= DATED);
        ledger.reached(place("230", 300));
        assert_eq!(ledger.book().dated.len(), 1, "what is older is not needed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_says_nothing_for_longer_than_it_lasts_is_behind() {
        let metrics = Metrics::new();
        let ledger = Ledger::new(&metrics, "Thing");
        let lag = async |seconds| {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            ledger.measure();
            metrics
                .lag_seconds
                .get_or_create(&metrics::kind("Thing"))
                .get()
        };
        assert!(
            lag(500).await < 0.5,
            "nothing is expected of a kind that is not there"
        );
        ledger.heard(true);
        assert!(lag(55).await < 0.5);
        assert!((lag(45).await - 100.0).abs() < 0.5);
        ledger.reached(place("10", 1));
        assert!(lag(10).await < 0.5);
        ledger.heard(false);
        assert!(lag(100).await < 0.5);
        ledger.pending(rv("11"));
        assert!((lag(7).await - 7.0).abs() < 0.5);
    }
}
