//! A sink that keeps the facts it is given, and a stream of Deployments that gives them.

use kube::Client;
use revisor::kinds::Catalogue;
use revisor::metrics::Metrics;
use revisor::watch::checkpoint::{CheckpointEntry, Start, Unusable};
use revisor::watch::{Fact, Heads, Position, Room, Sink, Stream, StreamDeps};
use revisor::workload::{Head, RemovedHead};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// All facts so far. Cloning shares them.
#[derive(Clone, Default)]
pub struct Facts(Arc<Mutex<Vec<Fact>>>);

impl Sink for Facts {
    async fn take(&mut self, fact: Fact) {
        self.0.lock().expect("no panic").push(fact);
    }
}

impl Facts {
    /// Those that `text` has a text for.
    pub fn texts<T>(&self, text: impl Fn(&Fact) -> Option<T>) -> Vec<T> {
        let facts = self.0.lock().expect("no panic");
        facts.iter().filter_map(text).collect()
    }
}

/// The Revisions that were stored before.
struct Stored(Vec<(Uuid, Head)>);

impl Heads for Stored {
    fn hand_over(&self, _: &str, _: &str) -> Vec<(Uuid, Head)> {
        self.0.clone()
    }

    fn stored(&self, _: Uuid) -> Option<Head> {
        None
    }

    fn is_going(&self, _: &str) -> bool {
        false
    }

    fn removals(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    fn removed(&self, _: &str, _: &str) -> Vec<(Uuid, RemovedHead)> {
        Vec::new()
    }
}

/// A stream of the Deployments that `client` shows.
pub fn stream(
    client: &Client,
    heads: Vec<(Uuid, Head)>,
    since: Option<Position>,
    audit: Duration,
    metrics: &Metrics,
) -> (Stream<Facts>, Facts) {
    let catalogue = Arc::new(Catalogue::built_in());
    let mut kinds = catalogue.kinds().iter();
    let kind = kinds.find(|kind| kind.kind == "Deployment");
    let deps = StreamDeps {
        watch: client.clone(),
        call: client.clone(),
        kind: kind.expect("built in").clone(),
        catalogue: catalogue.clone(),
        heads: Arc::new(Stored(heads)),
        metrics: metrics.clone(),
        ready: watch::channel(false).0,
        room: Room::default(),
        audit,
        rewound: Arc::default(),
    };
    let start = match since {
        Some(position) => Start::Resume(CheckpointEntry {
            position,
            blind: Vec::new(),
            exceptions: Vec::new(),
        }),
        None => Start::Begin(Unusable::Absent),
    };
    let facts = Facts::default();
    (Stream::new(deps, start, facts.clone()), facts)
}
