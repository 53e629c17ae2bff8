//! Up to where everything of a kind is durable: what is still on its way, by resourceVersion. Pure.

use crate::metrics::{self, Metrics};
use crate::workload::{Ack, ResourceVersion};
use prometheus_client::metrics::gauge::Gauge;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The book of one kind. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Ledger {
    book: Arc<Mutex<Book>>,
    watched: Gauge,
    recorded: Gauge,
}

#[derive(Debug, Default)]
struct Book {
    reached: ResourceVersion,
    pending: BTreeMap<ResourceVersion, u32>,
}

impl Book {
    fn through(&self) -> ResourceVersion {
        match self.pending.first_key_value() {
            Some((oldest, _)) => oldest.before().min(self.reached),
            None => self.reached,
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
        }
    }

    /// The watch has passed on everything up to `at`.
    pub fn reached(&self, at: ResourceVersion) {
        self.update(|book| book.reached = book.reached.max(at));
    }

    /// Something that was seen at `at` is on its way.
    pub fn pending(&self, at: ResourceVersion) {
        self.update(|book| *book.pending.entry(at).or_default() += 1);
    }

    /// It has arrived, or never will.
    pub fn done(&self, at: ResourceVersion) {
        self.update(|book| {
            if let Some(count) = book.pending.get_mut(&at) {
                *count -= 1;
                if *count == 0 {
                    book.pending.remove(&at);
                }
            }
        });
    }

    /// Up to where everything is durable.
    pub fn ack(&self) -> Ack {
        Ack { through: self.book.lock().unwrap_or_else(PoisonError::into_inner).through() }
    }

    fn update(&self, change: impl FnOnce(&mut Book)) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut book);
        self.watched.set(book.reached.as_metric());
        self.recorded.set(book.through().as_metric());
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
