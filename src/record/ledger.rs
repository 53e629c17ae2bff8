//! The book of one kind, shared, with its gauges.

mod book;

pub use book::Book;

use crate::metrics::{self, Metrics};
use crate::watch::Position;
use crate::watch::checkpoint::{CheckpointEntry, Exception, Progress};
use crate::workload::{Ack, ResourceVersion, Version};
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::time::Instant;
use uuid::Uuid;

/// The book of one kind. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Ledger {
    book: Arc<Mutex<Book>>,
    watched: Gauge,
    recorded: Gauge,
    lag: Gauge<f64, AtomicU64>,
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
        self.update(|book| book.reached(position));
        self.heard(true);
    }

    /// The API server answered; or there is nothing to hear of the kind.
    pub fn heard(&self, expected: bool) {
        self.book.lock().heard(expected, Instant::now());
    }

    /// Something that was seen at `at` is on its way.
    pub fn pending(&self, at: ResourceVersion) {
        self.update(|book| book.pending(at, Instant::now()));
    }

    /// It has arrived, or never will.
    pub fn done(&self, at: ResourceVersion) {
        self.update(|book| book.done(at));
    }

    /// A write that is on its way becomes an exception. False when there are too many: then it stays on its way.
    pub fn except(&self, exception: Exception) -> bool {
        self.book.lock().except(exception, Instant::now())
    }

    /// The changes of a workload wait for room from this generation on. False when there are too many exceptions.
    pub fn postpone(&self, exception: Exception) -> bool {
        self.book.lock().postpone(exception, Instant::now())
    }

    /// The changes of a workload do not wait for room any more. False when they were no exception.
    pub fn resume(&self, uid: Uuid, generation: i64) -> bool {
        self.update(|book| book.resume(uid, generation))
    }

    /// The write of a generation is handed in. True when that is an exception, and stays one until it is stored.
    pub fn writes(&self, uid: Uuid, generation: i64) -> bool {
        self.book.lock().writes(uid, generation)
    }

    /// Whether the stored checkpoint names a generation as an exception.
    pub fn is_written(&self, uid: Uuid, generation: i64) -> bool {
        self.book.lock().is_written(uid, generation)
    }

    /// An exception is durable now. False when it was none.
    pub fn settle(&self, uid: Uuid, generation: i64) -> bool {
        self.update(|book| book.settle(uid, generation))
    }

    /// The first list is joined.
    pub fn joined(&self) {
        self.update(Book::joined);
    }

    /// Whether the Revision into whose status something is written is an exception, which takes that over.
    pub fn follow(&self, uid: Uuid, revision: &str, through: Option<Version>) -> bool {
        self.book.lock().follow(uid, revision, through)
    }

    /// Between these two places something may have gone unseen.
    pub fn blind(&self, from: ResourceVersion, to: ResourceVersion) {
        self.update(|book| book.blind(from, to));
    }

    fn update<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book.lock();
        let done = change(&mut book);
        self.watched.set(book.watched().as_metric());
        self.recorded.set(book.conservative().through.as_metric());
        done
    }
}

impl Progress for Ledger {
    fn ack(&self) -> Ack {
        self.book.lock().ack()
    }

    fn entries(&self) -> [CheckpointEntry; 2] {
        let book = self.book.lock();
        let blind = || book.blind_intervals().to_vec();
        [
            CheckpointEntry::new(book.conservative(), blind(), Vec::new()),
            CheckpointEntry::new(book.ack(), blind(), book.exceptions()),
        ]
    }

    fn written(&self, settled: &CheckpointEntry) {
        self.book.lock().written(&settled.exceptions);
    }

    fn measure(&self) {
        let lag = self.book.lock().lag(Instant::now());
        self.lag.set(lag.as_secs_f64());
    }

    fn take_over(&self, entry: &CheckpointEntry) {
        self.update(|book| book.take_over(entry, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use std::time::Duration;

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
        ledger.reached(Position {
            at: "10".parse().expect("a number"),
            time: DateTime::UNIX_EPOCH,
        });
        assert!(lag(10).await < 0.5);
        ledger.heard(false);
        assert!(lag(100).await < 0.5);
        ledger.pending("11".parse().expect("a number"));
        assert!((lag(7).await - 7.0).abs() < 0.5);
    }
}
