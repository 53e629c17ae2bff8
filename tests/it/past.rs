//! Reading etcd's past from an API server that is old, forgetful, broken or down.

use crate::facts::stream;
use crate::script::{Answer, client, nothing_stored};
use chrono::DateTime;
use revisor::metrics::Metrics;
use revisor::watch::{Fact, Position};
use revisor::workload::Head;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

/// The generation written at each of these places; the first is recorded before.
const HISTORY: &[(u64, i64)] = &[(10, 1), (20, 2), (30, 3), (40, 4), (50, 5)];
const NOW: u64 = 70;
const W: Uuid = Uuid::from_u128(1);

fn note(fact: &Fact) -> Option<String> {
    match fact {
        Fact::Listing(_) => Some("list".to_owned()),
        Fact::Change(change, _) => Some(format!("{} {:?}", change.generation, change.seen)),
        Fact::Lost(lost) => Some(format!("lost {:?} {:?}", lost.generations, lost.reason)),
        Fact::Gone(recorded) => Some(format!("gone after {}", recorded.version.generation)),
        Fact::Reached(position) if position.at.to_string() == NOW.to_string() => {
            Some("caught up".to_owned())
        }
        _ => None,
    }
}

fn recorded() -> Head {
    Head {
        namespace: "n".to_owned(),
        name: "w".to_owned(),
        revision: "w-1".to_owned(),
        generation: 1,
        resource_version: "10".parse().expect("a number"),
        api_version: "apps/v1".to_owned(),
        ..Head::default()
    }
}

fn object(place: u64, generation: i64, size: usize) -> Value {
    json!({"metadata": {"name": "w", "namespace": "n", "uid": W, "creationTimestamp": "2026-01-01T00:00:00Z",
        "generation": generation, "resourceVersion": place.to_string(), "labels": {"revisor.dev/record": "true"}},
        "spec": "x".repeat(size)})
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
    let (client, _) = client(move |line, _, before| {
        if line == "GET /apis/apps/v1" {
            let resource = json!({"name": "deployments", "kind": "Deployment", "namespaced": true, "verbs": ["list", "watch"]});
            return Answer::Body(200, json!({"resources": [resource]}).to_string());
        }
        if let Some(nothing) = nothing_stored(line) {
            return nothing;
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
    let since = since.map(|at| Position {
        at: at.to_string().parse().expect("a number"),
        time: DateTime::UNIX_EPOCH,
    });
    let heads = vec![(W, recorded())];
    let audit = Duration::from_secs(3000);
    let (stream, facts) = stream(&client, heads, since, audit, &Metrics::new());
    let task = tokio::spawn(stream.run());
    let is_last = |note: &String| note == "caught up" || note == "5 Watch";
    let done = async {
        while !facts.texts(note).iter().any(is_last) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = timeout(Duration::from_secs(900), done).await;
    task.abort();
    let notes = facts.texts(note);
    assert!(in_time.is_ok(), "{notes:?}");
    notes
}

/// The answer about the workload as it was in generation 2.
fn second(asked: &Asked) -> bool {
    asked.place.is_some_and(|place| (20..30).contains(&place)) && asked.name.as_deref() == Some("w")
}

const WHOLE: [&str; 7] = [
    "list",
    "1 Repair",
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
            "1 Repair",
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
        "1 Repair",
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
        let mut facts = follow(None, 1, compacted(up_to)).await;
        // With less history than that, recording begins at the present.
        let begins_now = up_to >= NOW && facts.first().is_some_and(|fact| fact == "caught up");
        facts.drain(..usize::from(begins_now));
        assert_eq!(facts, expected, "{up_to}");
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
        "1 Repair",
        "2 Repair",
        "lost 3..=3 RecorderAway",
        "4 Repair",
        "5 Repair",
        "caught up",
    ];
    assert_eq!(follow(None, 200_000, again).await, expected);
}

/// The answer of a server whose history up to `compacted` is gone, to a request for the workload at `place`.
fn after_compaction(
    compacted: u64,
    place: u64,
    states: &[(u64, i64)],
    deleted: Option<u64>,
) -> Answer {
    if place < compacted {
        return Answer::status(410, "Expired", "the history is compacted");
    }
    let newest = states.iter().rev().find(|(written, _)| *written <= place);
    let items: Vec<_> = newest
        .filter(|_| deleted.is_none_or(|deleted| place < deleted))
        .map(|(written, generation)| object(*written, *generation, 1))
        .into_iter()
        .collect();
    let list = json!({"metadata": {"resourceVersion": place.to_string()}, "items": items});
    Answer::Body(200, list.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_state_whose_list_is_compacted_is_found_before_the_one_that_followed() {
    let fault = |asked: &Asked| {
        let states = [HISTORY, &[(80, 6)]].concat();
        (asked.name.as_deref() == Some("w"))
            .then(|| after_compaction(75, asked.place.unwrap_or(90), &states, None))
    };
    let expected = ["list", "lost 2..=4 RecorderAway", "5 Repair", "caught up"];
    assert_eq!(follow(None, 1, fault).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_state_whose_list_is_compacted_is_found_before_the_end() {
    let fault = |asked: &Asked| {
        (asked.name.as_deref() == Some("w"))
            .then(|| after_compaction(75, asked.place.unwrap_or(90), HISTORY, Some(80)))
    };
    let expected = ["list", "lost 2..=4 RecorderAway", "5 Repair", "caught up"];
    assert_eq!(follow(None, 1, fault).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_state_after_which_everything_is_compacted_is_not_the_last() {
    // The first state that is found is the last that can be.
    let found = AtomicBool::new(false);
    let fault = move |asked: &Asked| match (asked.name.as_deref(), asked.place) {
        (Some("w"), Some(place)) => {
            let is_compacted = found.swap(true, Ordering::Relaxed);
            let compacted = if is_compacted { 60 } else { 0 };
            Some(after_compaction(compacted, place, HISTORY, Some(60)))
        }
        (None, None) if !asked.watch => Some(after_compaction(0, NOW, HISTORY, Some(60))),
        _ => None,
    };
    let expected = [
        "list",
        "lost 2..=2 RecorderAway",
        "3 Repair",
        "gone after 3",
        "caught up",
    ];
    assert_eq!(follow(None, 1, fault).await, expected);
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
        [
            "list", "1 Repair", "2 Watch", "3 Watch", "4 Watch", "5 Watch"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_of_what_is_none_of_ours() {
    // Another one was there from 55 to 64 and had three generations; what was before 60 is compacted.
    let other = |record: &'static str| {
        move |asked: &Asked| {
            if asked.watch {
                return Some(Answer::status(410, "Expired", "too old"));
            }
            let object = json!({"metadata": {"name": "v", "namespace": "n", "uid": Uuid::from_u128(2),
            "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 3, "resourceVersion": "60",
            "labels": {"revisor.dev/record": record}}});
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
        }
    };
    let mut expected = WHOLE.to_vec();
    assert_eq!(follow(Some(10), 1, other("false")).await, expected);
    expected.splice(6..6, ["lost 1..=2 RecorderAway", "3 Repair"]);
    assert_eq!(follow(Some(10), 1, other("true")).await, expected);
}
