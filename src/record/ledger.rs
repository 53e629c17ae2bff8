//! Up to where everything of a kind is durable: what is still on its way, by resourceVersion. Pure.

use crate::metrics::{self, Metrics};
use crate::watch::checkpoint::Progress;
use crate::workload::{Ack, ResourceVersion};
use chrono::{DateTime, Utc};
use prometheus_client::metrics::gauge::Gauge;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many intervals are remembered.
const BLIND: usize = 10;

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
    reached_time: DateTime<Utc>,
    pending: BTreeMap<ResourceVersion, Pending>,
    blind: Vec<(ResourceVersion, ResourceVersion)>,
}

#[derive(Debug)]
struct Pending {
    count: u32,
    since: DateTime<Utc>,
}

impl Book {
    fn ack(&self) -> Ack {
        match self.pending.first_key_value() {
            Some((oldest, pending)) if oldest.before() < self.reached => {
                Ack { through: oldest.before(), time: pending.since }
            }
            _ => Ack { through: self.reached, time: self.reached_time },
        }
    }
}

impl Ledger {
    /// An empty book for `kind`.
    pub fn new(metrics: &Metrics, kind: &str) -> Self {
        let labels = metrics::kind(kind);
        Self {
            book: Arc::default(),
            watched: metrics.watch_resource_version.get_or_create(&labels).clone(),
            recorded: metrics.recorded_resource_version.get_or_create(&labels).clone(),
            lag: metrics.lag_seconds.get_or_create(&labels).clone(),
        }
    }

    /// The watch has passed on everything up to `at`.
    pub fn reached(&self, at: ResourceVersion) {
        self.update(|book| {
            book.reached = book.reached.max(at);
            book.reached_time = Utc::now();
        });
    }

    /// Something that was seen at `at` is on its way.
    pub fn pending(&self, at: ResourceVersion) {
        self.update(|book| {
            book.pending.entry(at).or_insert_with(|| Pending { count: 0, since: Utc::now() }).count += 1;
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
        let oldest = self.book().pending.values().map(|pending| pending.since).min();
        let lag = oldest.and_then(|since| (Utc::now() - since).to_std().ok()).unwrap_or_default();
        self.lag.set(lag.as_secs_f64());
    }

    fn blind_before(&self, from: ResourceVersion, to: ResourceVersion) {
        self.blind(from, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_acknowledged_while_something_older_is_on_its_way() {
        let ledger = Ledger::new(&Metrics::new(), "Thing");
        let rv = |text: &str| text.parse::<ResourceVersion>().expect("number");
        assert_eq!(ledger.ack().through, ResourceVersion::default());
        ledger.pending(rv("10"));
        ledger.reached(rv("10"));
        ledger.pending(rv("12"));
        ledger.pending(rv("12"));
        ledger.reached(rv("15"));
        assert_eq!(ledger.ack().through, rv("9"));
        ledger.done(rv("10"));
        assert_eq!(ledger.ack().through, rv("11"));
        ledger.done(rv("12"));
        assert_eq!(ledger.ack().through, rv("11"));
        ledger.done(rv("12"));
        assert_eq!(ledger.ack().through, rv("15"));
        ledger.reached(rv("14"));
        assert_eq!(ledger.ack().through, rv("15"));
    }
}
