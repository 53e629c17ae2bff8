//! A watch that loses events without a word: the audit finds what is missing and reads it back.

use crate::facts::stream;
use crate::script::{Answer, client, nothing_stored};
use revisor::metrics::{Metrics, kind};
use revisor::watch::Fact;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
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
    (20, 4, 1),
    (21, 4, 2),
];
/// What the watch shows of it. Of the fourth only the very last generation is missing.
const SHOWN: &[u64] = &[11, 12, 13, 20];
const NOW: u64 = 22;

fn note(fact: &Fact) -> Option<String> {
    match fact {
        Fact::Change(change, _) => Some(format!(
            "{}:{} {:?} {:?}",
            change.uid.as_u128(),
            change.generation,
            change.seen,
            change.op
        )),
        Fact::Lost(lost) => Some(format!("lost {:?}", lost.generations)),
        Fact::Gone(recorded) => Some(format!("gone {}", recorded.uid.as_u128())),
        _ => None,
    }
}

fn object(place: u64, uid: u128, generation: i64) -> Value {
    json!({"metadata": {"name": format!("w{uid}"), "namespace": "n", "uid": Uuid::from_u128(uid), "generation": generation, "resourceVersion": place.to_string(),
        "labels": {"revisor.dev/record": "true"}}})
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
    if let Some(nothing) = nothing_stored(line) {
        return nothing;
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
    let metrics = Metrics::new();
    let (stream, facts) = stream(&client, Vec::new(), None, Duration::from_secs(5), &metrics);
    let task = tokio::spawn(stream.run());
    let notes = || facts.texts(note);
    let complete = async {
        while notes().len() < 11 {
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
    assert_eq!(of("4:"), ["4:1 Watch Modified", "4:2 Repair Modified"]);
    assert_eq!(
        metrics
            .audit_repairs
            .get_or_create(&kind("Deployment"))
            .get(),
        4
    );
}
