//! Reading etcd's past from an API server that is old, forgetful, broken or down.

use crate::script::{Answer, client};
use chrono::DateTime;
use revisor::kinds::Catalogue;
use revisor::metrics::Metrics;
use revisor::watch::{Lost, Need, Parts, Position, Recorded, Sink, Stream};
use revisor::workload::{Change, ResourceVersion};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

/// The generation written at each of these places; the first is known before.
const HISTORY: &[(u64, i64)] = &[(10, 1), (20, 2), (30, 3), (40, 4), (50, 5)];
const NOW: u64 = 70;
const W: Uuid = Uuid::from_u128(1);

#[derive(Clone)]
struct Book {
    /// The last known generation of the workload, and what was told.
    told: Arc<Mutex<(i64, Vec<String>)>>,
    wants: bool,
}

impl Book {
    fn note(&self, note: String) {
        self.told.lock().expect("no panic").1.push(note);
    }
}

impl Sink for Book {
    fn listing(&mut self) {
        self.note("list".to_owned());
    }

    fn need(&mut self, change: &Change) -> Need {
        let known = self.told.lock().expect("no panic").0;
        let at = HISTORY
            .iter()
            .find(|(_, generation)| *generation == known)
            .map_or(0, |(place, _)| *place);
        if change.generation <= known + 1 {
            return Need::Nothing;
        }
        Need::After {
            generation: known,
            at: at.to_string().parse().expect("a number"),
            refresh: false,
        }
    }

    fn knows(&self, uid: Uuid, generation: i64) -> bool {
        uid == W && self.told.lock().expect("no panic").0 >= generation
    }

    fn wants(&self, _: &Change) -> bool {
        self.wants
    }

    fn contradicts(&self, _: &Change) -> bool {
        false
    }

    async fn change(&mut self, change: Change) {
        self.note(format!("{} {:?}", change.generation, change.seen));
        if change.uid != W {
            return;
        }
        let mut book = self.told.lock().expect("no panic");
        book.0 = book.0.max(change.generation);
    }

    async fn lost(&mut self, lost: Lost) {
        self.note(format!("lost {:?} {:?}", lost.generations, lost.reason));
        let mut book = self.told.lock().expect("no panic");
        book.0 = book.0.max(*lost.generations.end());
    }

    fn listed(&mut self, _: &HashSet<Uuid>) -> Vec<Recorded> {
        Vec::new()
    }

    async fn gone(&mut self, _: &Recorded) {}
    fn blind(&mut self, _: ResourceVersion, _: ResourceVersion) {}
    fn rewound(&mut self, _: ResourceVersion, _: ResourceVersion) {}
    fn reached(&mut self, position: Position) {
        if position.at.to_string() == NOW.to_string() {
            self.note("caught up".to_owned());
        }
    }
    fn heard(&mut self, _: bool) {}
}

fn object(place: u64, generation: i64, size: usize) -> Value {
    json!({"metadata": {"name": "w", "namespace": "n", "uid": W, "creationTimestamp": "2026-01-01T00:00:00Z", "generation": generation, "resourceVersion": place.to_string()}, "spec": "x".repeat(size)})
}

/// What a request is about.
struct Asked {
    /// Of the past.
    place: Option<u64>,
    watch: bool,
    /// The workload alone, or one that nobody has.
    name: Option<String>,
    /// How often it was asked before.
    before: usize,
}

fn parameter<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split(['?', '&'])
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Follows the workload on a server that has an object of `size` and answers as it should, unless `fault` does.
async fn follow(
    since: Option<u64>,
    size: usize,
    fault: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
) -> Vec<String> {
    follow_wanted(true, since, size, fault).await
}

/// The same; whether other workloads than that are wanted.
async fn follow_wanted(
    wants: bool,
    since: Option<u64>,
    size: usize,
    fault: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
) -> Vec<String> {
    let (client, _) = client(move |line, _, before| {
        if line == "GET /apis/apps/v1" {
            let resource = json!({"name": "deployments", "kind": "Deployment", "namespaced": true, "verbs": ["list", "watch"]});
            return Answer::Body(200, json!({"resources": [resource]}).to_string());
        }
        let asked = Asked {
            place: parameter(line, "resourceVersion").and_then(|place| place.parse().ok()),
            watch: line.contains("watch=true"),
            name: parameter(line, "fieldSelector")
                .and_then(|selector| selector.strip_prefix("metadata.name%3D"))
                .map(str::to_owned),
            before,
        };
        if let Some(answer) = fault(&asked) {
            return answer;
        }
        if asked.watch {
            return Answer::Body(200, String::new());
        }
        let at = asked.place.unwrap_or(NOW);
        let newest = HISTORY.iter().rev().find(|(written, _)| *written <= at);
        let items: Vec<_> = newest
            .filter(|_| asked.name.as_deref().is_none_or(|name| name == "w"))
            .map(|(written, generation)| object(*written, *generation, size))
            .into_iter()
            .collect();
        Answer::Body(
            200,
            json!({"metadata": {"resourceVersion": at.to_string()}, "items": items}).to_string(),
        )
    });
    let book = Book {
        told: Arc::new(Mutex::new((1, Vec::new()))),
        wants,
    };
    let catalogue = Catalogue::built_in();
    let deployment = catalogue
        .kinds()
        .iter()
        .find(|k| k.kind == "Deployment")
        .expect("built in")
        .clone();
    let (ready, _) = watch::channel(false);
    let since = since.map(|at| Position {
        at: at.to_string().parse().expect("a number"),
        time: DateTime::UNIX_EPOCH,
    });
    let parts = Parts {
        watch: client.clone(),
        call: client,
        kind: deployment,
        metrics: Metrics::new(),
        ready,
        since,
        audit: Duration::from_secs(3000),
        rewound: Arc::default(),
    };
    let task = tokio::spawn(Stream::new(parts, book.clone()).run());
    let notes = || book.told.lock().expect("no panic").1.clone();
    let done = async {
        while !notes()
            .iter()
            .any(|note| note == "caught up" || note == "5 Watch")
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = timeout(Duration::from_secs(900), done).await;
    task.abort();
    assert!(in_time.is_ok(), "{:?}", notes());
    notes()
}

/// The answer about the workload as it was in generation 2.
fn second(asked: &Asked) -> bool {
    asked.place.is_some_and(|place| (20..30).contains(&place)) && asked.name.as_deref() == Some("w")
}

const WHOLE: [&str; 6] = [
    "list",
    "2 Repair",
    "3 Repair",
    "4 Repair",
    "5 Repair",
    "caught up",
];

#[tokio::test(start_paused = true)]
async fn one_state_that_cannot_be_read_is_lost_alone() {
    for code in [500, 400, 422] {
        let fault =
            move |asked: &Asked| second(asked).then(|| Answer::status(code, "InternalError", "no"));
        let expected = [
            "list",
            "lost 2..=2 Undecodable",
            "3 Repair",
            "4 Repair",
            "5 Repair",
            "caught up",
        ];
        assert_eq!(follow(None, 1, fault).await, expected, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_waited_for() {
    let busy = |asked: &Asked| {
        (second(asked) && asked.before < 40)
            .then(|| Answer::status(503, "ServiceUnavailable", "later"))
    };
    assert_eq!(follow(None, 1, busy).await, WHOLE);
    let many = |asked: &Asked| {
        (second(asked) && asked.before < 40)
            .then(|| Answer::status(429, "TooManyRequests", "later"))
    };
    assert_eq!(follow(None, 1, many).await, WHOLE);
    let broken = |asked: &Asked| (second(asked) && asked.before < 40).then_some(Answer::Broken);
    assert_eq!(follow(None, 1, broken).await, WHOLE);
    // Nothing can be read there: that is not about the workload.
    let down = |asked: &Asked| {
        (asked.place.is_some_and(|place| (20..30).contains(&place)) && asked.before < 40)
            .then(|| Answer::status(500, "InternalError", "etcd"))
    };
    assert_eq!(follow(None, 1, down).await, WHOLE);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_goes_meanwhile_is_left_and_everything_is_read_in_the_next() {
    let fault = |asked: &Asked| {
        (second(asked) && asked.before == 0)
            .then(|| Answer::status(404, "NotFound", "no such resource"))
    };
    let expected = [
        "list",
        "list",
        "2 Repair",
        "3 Repair",
        "4 Repair",
        "5 Repair",
        "caught up",
    ];
    assert_eq!(follow(None, 1, fault).await, expected);
}

fn compacted(up_to: u64) -> impl Fn(&Asked) -> Option<Answer> {
    move |asked: &Asked| {
        let old = !asked.watch && asked.place.is_some_and(|place| place < up_to);
        old.then(|| Answer::status(410, "Expired", "the history is compacted"))
    }
}

#[tokio::test(start_paused = true)]
async fn the_present_state_is_recorded_whenever_it_was_written() {
    let expected = ["list", "lost 2..=4 RecorderAway", "5 Repair", "caught up"];
    for up_to in [60, NOW, NOW + 1] {
        assert_eq!(follow(None, 1, compacted(up_to)).await, expected, "{up_to}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_that_was_found_and_is_gone_when_its_turn_comes_is_said_to_be_lost() {
    // Too large to be kept: all but the oldest are read twice.
    let again = |asked: &Asked| {
        (asked.before > 0 && [Some(39), Some(NOW)].contains(&asked.place))
            .then(|| Answer::status(410, "Expired", "the history is compacted"))
    };
    let expected = [
        "list",
        "2 Repair",
        "lost 3..=3 RecorderAway",
        "4 Repair",
        "5 Repair",
        "caught up",
    ];
    assert_eq!(follow(None, 200_000, again).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_begins_slowly_is_waited_for() {
    let fault = |asked: &Asked| {
        let shown = HISTORY[1..].iter().map(|(place, generation)| {
            format!(
                "{{\"type\":\"MODIFIED\",\"object\":{}}}\n",
                object(*place, *generation, 1)
            )
        });
        (asked.watch && asked.before == 5).then(|| Answer::Body(200, shown.collect()))
    };
    assert_eq!(
        follow(Some(10), 1, fault).await,
        ["list", "2 Watch", "3 Watch", "4 Watch", "5 Watch"]
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_of_what_is_none_of_ours() {
    // Another one was there from 55 to 64 and had three generations; what was before 60 is compacted.
    let other = |asked: &Asked| {
        if asked.watch {
            return Some(Answer::status(410, "Expired", "too old"));
        }
        let object = json!({"metadata": {"name": "v", "namespace": "n", "uid": Uuid::from_u128(2),
            "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 3, "resourceVersion": "60"}});
        let place = asked.place?;
        match asked.name.as_deref() {
            Some("v") if place < 60 => {
                Some(Answer::status(410, "Expired", "the history is compacted"))
            }
            Some("w") => None,
            _ => {
                let items = if (60..65).contains(&place) {
                    vec![object]
                } else {
                    vec![]
                };
                let list =
                    json!({"metadata": {"resourceVersion": place.to_string()}, "items": items});
                Some(Answer::Body(200, list.to_string()))
            }
        }
    };
    let mut expected = WHOLE.to_vec();
    assert_eq!(follow_wanted(false, Some(10), 1, other).await, expected);
    expected.splice(5..5, ["lost 1..=2 RecorderAway", "3 Repair"]);
    assert_eq!(follow_wanted(true, Some(10), 1, other).await, expected);
}
