//! A watch that loses events without a word: the audit finds what is missing and reads it back.

use crate::script::{Answer, client};
use revisor::kinds::Catalogue;
use revisor::metrics::{Metrics, kind};
use revisor::revision::Observed;
use revisor::watch::{Lost, Need, Parts, Position, Recorded, Sink, Stream};
use revisor::workload::{Change, Op, ResourceVersion};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

/// What etcd holds: place, uid, generation; 0 for a deletion.
const HISTORY: &[(u64, u128, i64)] = &[
    (11, 1, 1),
    (12, 2, 1),
    (13, 1, 2),
    (14, 2, 2),
    (15, 1, 3),
    (16, 3, 1),
    (17, 1, 4),
    (18, 2, 0),
    (19, 3, 2),
];
/// What the watch shows of it.
const SHOWN: &[u64] = &[11, 12, 13];
const NOW: u64 = 20;

/// The last known states, and what was told.
type Pages = (HashMap<Uuid, (i64, ResourceVersion)>, Vec<String>);

#[derive(Clone, Default)]
struct Book(Arc<Mutex<Pages>>);

impl Sink for Book {
    fn listing(&mut self) {}

    fn need(&mut self, change: &Change) -> Need {
        match self.0.lock().expect("no panic").0.get(&change.uid) {
            Some((known, at)) if change.generation > known + 1 => Need::After {
                generation: *known,
                at: *at,
                refresh: false,
            },
            None if change.seen == Observed::List => Need::Origin,
            _ => Need::Nothing,
        }
    }

    fn knows(&self, uid: Uuid, generation: i64) -> bool {
        self.0
            .lock()
            .expect("no panic")
            .0
            .get(&uid)
            .is_some_and(|(known, _)| *known >= generation)
    }

    fn wants(&self, _: &Change) -> bool {
        true
    }

    fn contradicts(&self, _: &Change) -> bool {
        false
    }

    async fn change(&mut self, change: Change) {
        let mut book = self.0.lock().expect("no panic");
        book.0
            .insert(change.uid, (change.generation, change.resource_version));
        if change.op == Op::Deleted {
            book.0.remove(&change.uid);
        }
        book.1.push(format!(
            "{}:{} {:?} {:?}",
            change.uid.as_u128(),
            change.generation,
            change.seen,
            change.op
        ));
    }

    async fn lost(&mut self, lost: Lost) {
        self.0
            .lock()
            .expect("no panic")
            .1
            .push(format!("lost {:?}", lost.generations));
    }

    fn listed(&mut self, there: &HashSet<Uuid>) -> Vec<Recorded> {
        let book = self.0.lock().expect("no panic");
        let gone = book.0.iter().filter(|(uid, _)| !there.contains(uid));
        let recorded = |(uid, (generation, at)): (&Uuid, &(i64, ResourceVersion))| Recorded {
            uid: *uid,
            namespace: "n".into(),
            name: format!("w{}", uid.as_u128()),
            generation: *generation,
            at: *at,
        };
        gone.map(recorded).collect()
    }

    async fn gone(&mut self, recorded: &Recorded) {
        self.0
            .lock()
            .expect("no panic")
            .1
            .push(format!("gone {}", recorded.uid.as_u128()));
    }

    fn blind(&mut self, _: ResourceVersion, _: ResourceVersion) {}
    fn rewound(&mut self, _: ResourceVersion, _: ResourceVersion) {}
    fn reached(&mut self, _: Position) {}
    fn heard(&mut self, _: bool) {}
}

fn object(place: u64, uid: u128, generation: i64) -> Value {
    json!({"metadata": {"name": format!("w{uid}"), "namespace": "n", "uid": Uuid::from_u128(uid), "generation": generation, "resourceVersion": place.to_string()}})
}

/// What is there at a place.
fn at(place: u64) -> Vec<Value> {
    let mut present = BTreeMap::new();
    for (written, uid, generation) in HISTORY.iter().filter(|(written, _, _)| *written <= place) {
        present.insert(*uid, (*written, *generation));
    }
    let there = present
        .into_iter()
        .filter(|(_, (_, generation))| *generation > 0);
    there
        .map(|(uid, (written, generation))| object(written, uid, generation))
        .collect()
}

fn parameter<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split(['?', '&'])
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn answer(line: &str, started: &Mutex<bool>) -> Answer {
    if line == "GET /apis/apps/v1" {
        let resource = json!({"name": "deployments", "kind": "Deployment", "namespaced": true, "verbs": ["list", "watch"]});
        return Answer::Body(200, json!({"resources": [resource]}).to_string());
    }
    let from: Option<u64> = parameter(line, "resourceVersion").and_then(|v| v.parse().ok());
    if line.contains("watch=true") {
        *started.lock().expect("no panic") = true;
        let shown = HISTORY
            .iter()
            .filter(|(place, _, _)| SHOWN.contains(place) && Some(*place) > from);
        let event = |(place, uid, generation): &(u64, u128, i64)| {
            format!(
                "{{\"type\":\"MODIFIED\",\"object\":{}}}\n",
                object(*place, *uid, *generation)
            )
        };
        return Answer::Body(200, shown.map(event).collect());
    }
    let now = if *started.lock().expect("no panic") {
        NOW
    } else {
        10
    };
    let mut items = at(from.unwrap_or(now));
    if let Some(name) = parameter(line, "fieldSelector")
        .and_then(|selector| selector.strip_prefix("metadata.name%3D"))
    {
        items.retain(|item| item["metadata"]["name"] == name);
    }
    let version = from.unwrap_or(now).to_string();
    Answer::Body(
        200,
        json!({"metadata": {"resourceVersion": version}, "items": items}).to_string(),
    )
}

#[tokio::test(start_paused = true)]
async fn events_that_a_watch_lost_are_found_and_read_back() {
    let started = Mutex::new(false);
    let (client, _) = client(move |line, _, _| answer(line, &started));
    let (book, metrics) = (Book::default(), Metrics::new());
    let catalogue = Catalogue::built_in();
    let deployment = catalogue
        .kinds()
        .iter()
        .find(|k| k.kind == "Deployment")
        .expect("built in")
        .clone();
    let (ready, _) = watch::channel(false);
    let parts = Parts {
        watch: client.clone(),
        call: client,
        kind: deployment,
        metrics: metrics.clone(),
        ready,
        since: None,
        audit: Duration::from_secs(5),
        rewound: Arc::default(),
    };
    let task = tokio::spawn(Stream::new(parts, book.clone()).run());
    let notes = || book.0.lock().expect("no panic").1.clone();
    let complete = async {
        while notes().len() < 9 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = timeout(Duration::from_secs(300), complete).await;
    // A second audit finds nothing.
    tokio::time::sleep(Duration::from_secs(30)).await;
    task.abort();
    assert!(in_time.is_ok(), "{:?}", notes());
    let of = |uid: &str| {
        notes()
            .into_iter()
            .filter(|note| note.starts_with(uid))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("1:"),
        [
            "1:1 Watch Modified",
            "1:2 Watch Modified",
            "1:3 Repair Modified",
            "1:4 Repair Modified"
        ]
    );
    assert_eq!(
        of("2:"),
        [
            "2:1 Watch Modified",
            "2:1 Repair Modified",
            "2:2 Repair Deleted"
        ]
    );
    assert_eq!(of("3:"), ["3:1 Repair Modified", "3:2 Repair Modified"]);
    assert_eq!(
        metrics
            .audit_repairs
            .get_or_create(&kind("Deployment"))
            .get(),
        3
    );
}
