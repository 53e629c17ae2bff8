//! Reading under faults.

use crate::facts::{Facts, stream};
use crate::script::{Answer, client, nothing_stored};
use chrono::{DateTime, Utc};
use revisor::metrics::{Metrics, kind};
use revisor::watch::{Fact, Position, STALENESS};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// `list` for the begin of one, `1@10 Watch Added` for a change, `at 10` for a position.
fn note(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::Listing(_) => "list".to_owned(),
        Fact::Corrected(uid, _) => format!("corrected {}", uid.as_u128()),
        Fact::Change(change, _) => format!(
            "{}@{} {:?} {:?}",
            change.generation, change.resource_version, change.seen, change.op
        ),
        Fact::Lost(lost) => format!("lost {:?} {:?}", lost.generations, lost.reason),
        Fact::Removed(removal) => format!("removed {}", removal.removed.head.generation),
        Fact::Recorded { through, .. } => format!("recorded {}", through.generation),
        Fact::Gone(recorded) => format!("gone {}", recorded.version.generation),
        Fact::Blind { from, to } => format!("blind {from} to {to}"),
        Fact::Unordered { namespace, name } => format!("unordered {namespace}/{name}"),
        Fact::CheckpointLost(why) => format!("checkpoint {}", why.explain()),
        Fact::Excepted(exception, found) => {
            format!(
                "excepted {} {}",
                exception.version.generation,
                found.is_ok()
            )
        }
        Fact::Postponed(exception) => format!("postponed {}", exception.version.generation),
        Fact::Resumed(exception) => format!("resumed {}", exception.version.generation),
        Fact::Rewound { last, now } => format!("rewound {last} to {now}"),
        Fact::Reached(position) => format!("at {}", position.at),
        Fact::Joined | Fact::Heard { .. } => return None,
    })
}

fn object(generation: i64, version: u32) -> Value {
    object_of(1, generation, version)
}

fn object_of(uid: u128, generation: i64, version: u32) -> Value {
    json!({"metadata": {"name": "w", "namespace": "n", "uid": Uuid::from_u128(uid), "generation": generation,
        "resourceVersion": version.to_string(), "labels": {"revisor.dev/record": "true"}}})
}

fn event(kind: &str, object: &Value) -> String {
    // The type first, as the API server writes it.
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn expired() -> String {
    event(
        "ERROR",
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}),
    )
}

/// Follows Deployments on a server whose lists and watches are scripted, until `last` is noted.
async fn follow(
    lists: Vec<Answer>,
    watches: Vec<Answer>,
    last: &str,
) -> (Vec<String>, Metrics, Vec<String>) {
    let (facts, metrics, mut asked) = follow_from(None, u32::MAX, lists, watches, last).await;
    // Recording begins at the place of the first list.
    let mut notes = facts.texts(note);
    if notes.first().is_some_and(|first| first.starts_with("at ")) {
        notes.remove(0);
    }
    asked.retain(|line| !line.contains("resourceVersionMatch=Exact") && !line.contains(NOBODY));
    (notes, metrics, asked)
}

/// The answer to a question about a place to which etcd has not come: that of the API server, and, for odd places, that of
/// older ones, which pass on etcd's.
fn future(now: u32, line: &str) -> Option<Answer> {
    let (_, asked) = line.split_once("resourceVersion=")?;
    let asked: u32 = asked.split('&').next()?.parse().ok()?;
    let message = format!("Too large resource version: {asked}, current: {now}");
    let of_etcd = "etcdserver: mvcc: required revision is a future revision";
    (asked > now).then(|| match asked % 2 {
        0 => Answer::status(504, "Timeout", &message),
        _ => Answer::status(500, "", of_etcd),
    })
}

/// The same from a checkpoint, while the present is at `now`.
async fn follow_from(
    since: Option<Position>,
    now: u32,
    lists: Vec<Answer>,
    watches: Vec<Answer>,
    last: &str,
) -> (Facts, Metrics, Vec<String>) {
    let listed = items(&lists);
    let first = since.is_none().then(|| place(&lists));
    let listing = AtomicBool::new(false);
    let lists = Mutex::new(lists.into_iter());
    let watches = Mutex::new(watches.into_iter());
    let (client, log) = client(move |line, _, _| {
        if line == "GET /apis/apps/v1" {
            let resource = json!({"name": "deployments", "kind": "Deployment", "namespaced": true, "verbs": ["list", "watch"]});
            return Answer::Body(200, json!({"resources": [resource]}).to_string());
        }
        if let Some(nothing) = nothing_stored(line) {
            return nothing;
        }
        // The present, between two watches, and the past.
        if line.contains("limit=1&") || line.ends_with("limit=1") {
            return list(now, &[]);
        }
        // Until the first list etcd is at its place; it may go back after that.
        let is_listed = listing.load(Ordering::Relaxed);
        let now = first.filter(|_| !is_listed).unwrap_or(now).max(now);
        if let Some(first) = first.filter(|_| line.contains(NOBODY)) {
            return future(now, line).unwrap_or_else(|| begin(first, line));
        }
        if line.contains("resourceVersionMatch=Exact") {
            return future(now, line).unwrap_or_else(|| past(&listed, line));
        }
        let next =
            |answers: &Mutex<std::vec::IntoIter<Answer>>| answers.lock().expect("no panic").next();
        let answer = if line.contains("watch=true") {
            next(&watches)
        } else {
            listing.store(true, Ordering::Relaxed);
            next(&lists)
        };
        answer.unwrap_or(Answer::Body(200, String::new()))
    });
    let metrics = Metrics::new();
    let audit = Duration::from_secs(300);
    let (stream, facts) = stream(&client, Vec::new(), since, audit, &metrics);
    let task = tokio::spawn(stream.run());
    let noted = async {
        while facts.texts(note).last().map(String::as_str) != Some(last) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = timeout(Duration::from_secs(600), noted).await;
    task.abort();
    let notes = facts.texts(note);
    assert!(in_time.is_ok(), "{last:?} was not reached: {notes:?}");
    let asked = log.lock().expect("no panic");
    let asked = asked.iter().map(|(line, _)| line.clone()).collect();
    (facts, metrics, asked)
}

/// The name of no object.
const NOBODY: &str = "revisor-asks-whether-this-place-can-be-read";

/// The place of the first of these lists.
fn place(lists: &[Answer]) -> u32 {
    let place = |answer: &Answer| {
        let Answer::Body(_, body) = answer else {
            return None;
        };
        let list: Value = serde_json::from_str(body).ok()?;
        list["metadata"]["resourceVersion"].as_str()?.parse().ok()
    };
    lists.iter().find_map(place).expect("a list")
}

/// The answer to a question about nothing: etcd's history begins at `first`.
fn begin(first: u32, line: &str) -> Answer {
    let asked = line.split_once("resourceVersion=");
    let asked = asked.and_then(|(_, rest)| rest.split('&').next()?.parse::<u32>().ok());
    if asked.is_some_and(|asked| asked < first) {
        return Answer::status(410, "Expired", "the history is compacted");
    }
    list(asked.unwrap_or(first), &[])
}

/// Every object of these lists.
fn items(lists: &[Answer]) -> Vec<Value> {
    let items = |answer: &Answer| {
        let Answer::Body(_, body) = answer else {
            return Vec::new();
        };
        let list: Value = serde_json::from_str(body).unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    };
    lists.iter().flat_map(items).collect()
}

/// The newest state at the place that `line` asks for, when it asks for the workload: whatever a list shows was there
/// since it was written.
fn past(listed: &[Value], line: &str) -> Answer {
    let written = |object: &Value| -> Option<u32> {
        let version = object["metadata"]["resourceVersion"].as_str()?;
        version.parse().ok()
    };
    let asked = line
        .split(['?', '&'])
        .find_map(|pair| pair.strip_prefix("resourceVersion="));
    let at: u32 = asked.and_then(|at| at.parse().ok()).expect("a place");
    let there = listed.iter().filter(|object| written(object) <= Some(at));
    let newest = there.max_by_key(|object| written(object));
    let is_named = line.contains("fieldSelector=metadata.name%3Dw&");
    let items: Vec<_> = newest.filter(|_| is_named).cloned().into_iter().collect();
    list(at, &items)
}

fn list(version: u32, items: &[Value]) -> Answer {
    Answer::Body(
        200,
        json!({"metadata": {"resourceVersion": version.to_string()}, "items": items}).to_string(),
    )
}

fn events(text: &[String]) -> Answer {
    Answer::Body(200, text.concat())
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_resumes_where_it_was() {
    let bookmark = event(
        "BOOKMARK",
        &json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"resourceVersion": "30"}}),
    );
    let (notes, _, asked) = follow(
        vec![list(10, &[object(1, 5)])],
        vec![
            events(&[
                event("MODIFIED", &object(2, 12)),
                event("DELETED", &object(3, 14)),
            ]),
            Answer::Broken,
            events(&[bookmark]),
            events(&[event("ADDED", &object_of(2, 1, 31))]),
        ],
        "at 31",
    )
    .await;
    let expected = [
        "list",
        "1@5 List Added",
        "at 10",
        "2@12 Watch Modified",
        "at 12",
        "3@14 Watch Deleted",
        "at 14",
        "at 30",
        "1@31 Watch Added",
        "at 31",
    ];
    assert_eq!(notes, expected);
    let from: Vec<_> = asked
        .iter()
        .filter_map(|line| line.split("&resourceVersion=").nth(1))
        .take(4)
        .collect();
    assert_eq!(from, ["10", "14", "14", "30"]);
    assert!(
        asked
            .iter()
            .filter(|line| !line.contains("watch=true"))
            .all(|line| !line.contains("resourceVersion="))
    );
}

#[tokio::test(start_paused = true)]
async fn history_that_is_gone_is_listed_again() {
    for gone in [
        events(&[expired()]),
        Answer::status(410, "Expired", "too old"),
    ] {
        let (notes, metrics, _) = follow(
            vec![list(10, &[]), list(40, &[object(7, 35)])],
            vec![gone],
            "at 40",
        )
        .await;
        assert_eq!(
            notes,
            [
                "list",
                "at 10",
                "list",
                "7@35 Repair Modified",
                "blind 10 to 40",
                "at 40"
            ]
        );
        assert_eq!(
            metrics
                .watch_expired
                .get_or_create(&kind("Deployment"))
                .get(),
            1
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_is_counted_and_listed_again() {
    let cut = "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":}}\n".to_owned();
    let nameless = event("MODIFIED", &json!({"metadata": {"uid": "x"}}));
    for bad in [cut, nameless] {
        let (notes, metrics, _) = follow(
            vec![list(10, &[]), list(20, &[object(3, 15)])],
            vec![events(&[
                event("ADDED", &object(2, 12)),
                bad,
                event("MODIFIED", &object(4, 16)),
            ])],
            "at 20",
        )
        .await;
        let expected = [
            "list",
            "at 10",
            "2@12 Watch Added",
            "at 12",
            "list",
            "3@15 Repair Modified",
            "at 20",
        ];
        assert_eq!(notes, expected);
        assert_eq!(
            metrics.undecodable.get_or_create(&kind("Deployment")).get(),
            1
        );
    }
}

#[tokio::test(start_paused = true)]
async fn objects_without_a_generation_are_skipped_and_counted() {
    let unordered = |version| {
        let mut object = object_of(9, 0, version);
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        metadata.remove("generation");
        object
    };
    let shown = [
        event("ADDED", &unordered(11)),
        event("MODIFIED", &unordered(12)),
        event("ADDED", &object(1, 13)),
        event("DELETED", &unordered(14)),
    ];
    let (notes, metrics, _) = follow(vec![list(10, &[])], vec![events(&shown)], "at 14").await;
    let expected = [
        "list",
        "at 10",
        "unordered n/w",
        "at 11",
        "at 12",
        "1@13 Watch Added",
        "at 13",
        "at 14",
    ];
    assert_eq!(notes, expected);
    let labels = kind("Deployment");
    assert_eq!(metrics.undecodable.get_or_create(&labels).get(), 3);
    assert_eq!(metrics.unordered.get_or_create(&labels).get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_comes_in_pages_and_is_tried_again() {
    let first =
        json!({"metadata": {"resourceVersion": "9", "continue": "abc"}, "items": [object(1, 5)]});
    let (notes, _, asked) = follow(
        vec![
            Answer::status(503, "ServiceUnavailable", "not now"),
            Answer::Body(200, first.to_string()),
            Answer::status(410, "Expired", "the continue token is too old"),
            Answer::Body(200, first.to_string()),
            list(9, &[object(2, 6)]),
        ],
        vec![],
        "at 9",
    )
    .await;
    assert_eq!(notes.iter().filter(|n| *n == "list").count(), 3);
    assert_eq!(
        notes[notes.len() - 3..],
        ["1@5 List Added", "2@6 List Added", "at 9"]
    );
    assert!(asked.iter().any(|line| line.ends_with("&continue=abc")));
}

#[tokio::test(start_paused = true)]
async fn a_list_without_an_answer_is_repeated_after_half_a_minute() {
    let (started, first) = (
        Instant::now(),
        json!({"metadata": {"resourceVersion": "9", "continue": "abc"}, "items": []}),
    );
    let pages = vec![
        Answer::Silent,
        Answer::Body(200, first.to_string()),
        Answer::Stalls("{".to_owned()),
    ];
    let (notes, _, _) = follow(
        pages
            .into_iter()
            .chain([list(9, &[object(1, 5)])])
            .collect(),
        vec![],
        "at 9",
    )
    .await;
    assert_eq!(notes.iter().filter(|note| *note == "list").count(), 3);
    let seconds = Duration::from_secs(60)..Duration::from_secs(63);
    assert!(
        seconds.contains(&started.elapsed()),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_does_not_open_is_repeated_after_half_a_minute() {
    let started = Instant::now();
    let watches = vec![Answer::Silent, events(&[event("ADDED", &object(1, 12))])];
    let (_, _, asked) = follow(vec![list(10, &[])], watches, "at 12").await;
    let seconds = Duration::from_secs(30)..Duration::from_secs(33);
    assert!(
        seconds.contains(&started.elapsed()),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(
        asked
            .iter()
            .filter(|line| line.contains("resourceVersion=10"))
            .count(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_is_resumed_where_it_was() {
    let started = Instant::now();
    let watches = vec![
        Answer::Stalls(event("ADDED", &object(1, 12))),
        events(&[event("MODIFIED", &object(2, 14))]),
    ];
    let (notes, metrics, asked) = follow(vec![list(10, &[])], watches, "at 14").await;
    let silence = Duration::from_secs(55)..Duration::from_secs(58);
    assert!(
        silence.contains(&started.elapsed()),
        "{:?}",
        started.elapsed()
    );
    assert!(
        asked
            .iter()
            .any(|line| line.contains("watch=true") && line.ends_with("resourceVersion=12"))
    );
    assert_eq!(
        notes.iter().filter(|note| *note == "list").count(),
        1,
        "nothing is listed again"
    );
    assert_eq!(
        metrics
            .watch_expired
            .get_or_create(&kind("Deployment"))
            .get(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn events_that_are_not_news_are_dropped_and_counted() {
    let bookmark = event(
        "BOOKMARK",
        &json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"resourceVersion": "11"}}),
    );
    let shown = [
        event("MODIFIED", &object(2, 12)),
        event("MODIFIED", &object(1, 11)),
        event("MODIFIED", &object(2, 12)),
        bookmark,
        event("MODIFIED", &object(3, 13)),
    ];
    let (notes, metrics, asked) = follow(vec![list(10, &[])], vec![events(&shown)], "at 13").await;
    let expected = [
        "list",
        "at 10",
        "2@12 Watch Modified",
        "at 12",
        "at 12",
        "3@13 Watch Modified",
        "at 13",
    ];
    assert_eq!(notes, expected);
    assert_eq!(
        metrics
            .stale_events
            .get_or_create(&kind("Deployment"))
            .get(),
        2
    );
    assert!(
        asked
            .iter()
            .filter(|line| line.contains("watch=true"))
            .count()
            < 3
    );
}

#[tokio::test(start_paused = true)]
async fn another_history_is_found_after_a_broken_watch_too() {
    let shown = vec![events(&[event("ADDED", &object(1, 12))])];
    let (facts, _, _) = follow_from(None, 11, vec![list(10, &[])], shown, "rewound 12 to 11").await;
    assert_eq!(facts.texts(note).len(), 5);
    let broken = vec![Answer::Broken, Answer::Broken];
    follow_from(None, 9, vec![list(10, &[])], broken, "rewound 10 to 9").await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_answered_from_the_past_is_asked_for_again() {
    let shown = vec![
        events(&[event("ADDED", &object(1, 12))]),
        Answer::status(410, "Expired", "too old"),
    ];
    // The list after the 410 is one of before the object was created.
    let lists = vec![list(10, &[]), list(9, &[]), list(13, &[object(2, 13)])];
    let (facts, _, _) = follow_from(None, u32::MAX, lists, shown, "at 13").await;
    let notes = facts.texts(note);
    assert!(
        !notes.iter().any(|note| note.starts_with("rewound")),
        "{notes:?}"
    );
    assert!(
        notes.iter().any(|note| note.starts_with("2@13")),
        "{notes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_workload_whose_creation_the_watch_has_lost_is_read_back_from_the_first_generation() {
    let shown = vec![events(&[event("MODIFIED", &object(2, 13))])];
    let lists = vec![list(10, &[]), list(12, &[object(1, 12)])];
    let (facts, _, asked) = follow_from(None, u32::MAX, lists, shown, "at 13").await;
    let read = asked
        .iter()
        .filter(|line| line.contains("resourceVersion=12&resourceVersionMatch=Exact"));
    assert_eq!(read.count(), 1, "{asked:?}");
    let notes = facts.texts(note);
    assert!(
        notes.iter().any(|note| note.starts_with("2@13")),
        "{notes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_of_another_history_starts_everything_over() {
    let shown = vec![events(&[
        event("ADDED", &object(5, 12)),
        event("MODIFIED", &object(3, 20)),
    ])];
    let (notes, _, _) = follow(vec![list(10, &[])], shown, "rewound 12 to 20").await;
    assert!(
        !notes.iter().any(|note| note.starts_with("3@")),
        "{notes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_place_is_dated_by_what_the_api_server_said_of_the_present() {
    let long_ago = Position {
        at: "5".parse().expect("a number"),
        time: DateTime::UNIX_EPOCH,
    };
    let before = Utc::now();
    let shown = [
        event("ADDED", &object(1, 7)),
        event("MODIFIED", &object(2, 99)),
        event("MODIFIED", &object(3, 101)),
    ];
    let (facts, _, _) = follow_from(
        Some(long_ago),
        u32::MAX,
        vec![list(100, &[])],
        vec![events(&shown)],
        "at 101",
    )
    .await;
    let positions = facts.texts(|fact| match fact {
        Fact::Reached(position) => Some(*position),
        _ => None,
    });
    let time = |at: &str| {
        positions
            .iter()
            .find(|position| position.at.to_string() == at)
            .expect("reached")
            .time
    };
    // They are passed on now, and happened whenever that was.
    assert_eq!((time("7"), time("99")), (long_ago.time, long_ago.time));
    let earliest = before - STALENESS;
    assert!(time("101") >= earliest, "it is younger than the list");
}
