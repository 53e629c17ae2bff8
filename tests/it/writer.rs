//! Writing under faults. Time is paused: waits cost nothing.

use crate::script::{Answer, Log, client};
use revisor::metrics::{Metrics, ReasonLabels, kind, kind_reason};
use revisor::record::ledger::Ledger;
use revisor::record::lives::Origin;
use revisor::record::queue::{Item, Pending, Queue, StatusPatch, Write};
use revisor::record::report::Reporter;
use revisor::record::writer::Writer;
use revisor::revision::identity::ContentDigest;
use revisor::revision::{Gap, Revision, identity};
use revisor::watch::Room;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

fn revision(workload: u128, generation: i64) -> Revision {
    revision_in("n", workload, generation)
}

fn revision_in(namespace: &str, workload: u128, generation: i64) -> Revision {
    serde_json::from_value(json!({
        "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
        "metadata": {"name": format!("w{workload}-{generation:05}"), "namespace": namespace},
        "spec": {
            "id": Uuid::nil(), "type": "Change", "generation": generation, "resourceVersion": "1", "observedVia": "Watch",
            "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w", "uid": Uuid::from_u128(workload)},
            "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed", "contentDigest": digest(),
            "snapshot": {"encoding": "json", "size": 2, "data": "{}"},
        },
    }))
    .expect("a Revision")
}

/// Of a snapshot without content.
fn digest() -> String {
    ContentDigest::of_canonical_spec(b"null").to_string()
}

struct Run {
    metrics: Metrics,
    log: Log,
    elapsed: Duration,
}

impl Run {
    /// The names of the Revisions that were posted, in order.
    fn posts(&self) -> Vec<String> {
        let log = self.log.lock().expect("no panic");
        log.iter()
            .filter(|(line, _)| line.starts_with("POST") && line.contains("/revisions"))
            .filter_map(|(_, body)| name(body))
            .collect()
    }

    /// The number of Events with this reason that were sent.
    fn events(&self, reason: &str) -> usize {
        let log = self.log.lock().expect("no panic");
        log.iter()
            .filter(|(line, body)| line.contains("/events") && body.contains(reason))
            .count()
    }

    fn count(&self, pick: impl Fn(&Metrics) -> u64) -> u64 {
        pick(&self.metrics)
    }
}

/// The name of the object in a body.
fn name(body: &str) -> Option<String> {
    let object: serde_json::Value = serde_json::from_str(body).ok()?;
    object["metadata"]["name"].as_str().map(str::to_owned)
}

/// Writes `revisions` with four writers to a server that answers as told, until everything is settled.
async fn write(
    revisions: Vec<Revision>,
    answer: impl Fn(&str, &str, usize) -> Answer + Send + Sync + 'static,
) -> Run {
    write_counted(&Metrics::new(), revisions, answer).await
}

/// The same, counted where the server can look.
async fn write_counted(
    metrics: &Metrics,
    revisions: Vec<Revision>,
    answer: impl Fn(&str, &str, usize) -> Answer + Send + Sync + 'static,
) -> Run {
    let (client, log) = client(answer);
    let metrics = metrics.clone();
    let queue = Queue::new(1 << 30, 16, Room::default(), &metrics);
    let started = Instant::now();
    push(&queue, &metrics, revisions).await;
    queue.close();
    let writers = writers(&client, &queue, &metrics);
    timeout(Duration::from_secs(3600), writers.join_all())
        .await
        .expect("everything settles");
    assert!(queue.is_empty());
    assert_eq!(
        (metrics.queue_bytes.get(), metrics.queue_length.get()),
        (0, 0)
    );
    let elapsed = started.elapsed();
    // The last Events are on their way.
    tokio::time::sleep(Duration::from_secs(30)).await;
    Run {
        metrics,
        log,
        elapsed,
    }
}

async fn push(queue: &Queue, metrics: &Metrics, revisions: Vec<Revision>) {
    let ledger = Ledger::new(metrics, "Deployment");
    for revision in revisions {
        let workload = revision.spec.workload.uid;
        let write = Write::Create(Box::new(revision), None);
        push_write(queue, &ledger, workload, write).await;
    }
}

async fn push_write(queue: &Queue, ledger: &Ledger, workload: Uuid, write: Write) {
    let at = "7".parse().expect("a number");
    let item = Item {
        write,
        workload,
        origin: Origin::default(),
        seen: Instant::now(),
        ledger: ledger.clone(),
        pending: Pending::At(at, None),
    };
    queue.push(item).await;
}

fn writers(client: &kube::Client, queue: &Queue, metrics: &Metrics) -> tokio::task::JoinSet<()> {
    let (reporter, reporting) = Reporter::new(client.clone(), "revisor", metrics);
    tokio::spawn(reporting);
    (0..4)
        .map(|_| Writer::new(client.clone(), queue.clone(), reporter.clone(), metrics).run())
        .collect()
}

/// Whether writing is held for `reason`, as the metric says.
fn held(metrics: &Metrics, reason: &'static str) -> bool {
    metrics.held.get_or_create(&ReasonLabels { reason }).get() == 1
}

fn created() -> Answer {
    Answer::Body(201, "{}".to_owned())
}

fn recorded(metrics: &Metrics) -> u64 {
    metrics.recorded.get_or_create(&kind("Deployment")).get()
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_after_the_write_is_found_to_be_equal() {
    let stored = serde_json::to_string(&revision(1, 1)).expect("JSON");
    let run = write(vec![revision(1, 1)], move |line, _, before| {
        match (line.split(' ').next(), before) {
            (Some("POST"), 0) => Answer::Broken,
            (Some("POST"), _) => Answer::status(409, "AlreadyExists", "exists"),
            _ => Answer::Body(200, stored.clone()),
        }
    })
    .await;
    assert_eq!(
        run.count(|m| m.present.get_or_create(&kind("Deployment")).get()),
        1
    );
    assert_eq!(
        run.count(|m| m.drift.get_or_create(&kind("Deployment")).get()),
        0
    );
    assert_eq!(run.posts().len(), 2);
}

/// Other Revisions under the name of generation 1: of another digest, of ours with another content, of ours without any.
fn contestants() -> [Revision; 3] {
    let mut other = revision(1, 1);
    other.spec.content_digest = Some(format!("sha256:{}", "b".repeat(64)));
    let mut forged = revision(1, 1);
    let snapshot = forged.spec.snapshot.as_mut().expect("one");
    snapshot.data = Some(r#"{"spec":{}}"#.to_owned());
    snapshot.size = 11;
    let mut empty = revision(1, 1);
    empty.spec.snapshot.as_mut().expect("one").data = None;
    [other, forged, empty]
}

#[tokio::test(start_paused = true)]
async fn other_content_under_the_same_name_is_contested_until_it_is_deleted() {
    for contestant in contestants() {
        let stored = serde_json::to_string(&contestant).expect("JSON");
        let creates = AtomicUsize::new(0);
        let is_first = move || creates.fetch_add(1, Ordering::Relaxed) == 0;
        let run = write(
            vec![revision(1, 1), revision(2, 1)],
            move |line, body, before| match line.split(' ').next() {
                Some("POST") if body.contains("w1-00001") && is_first() => {
                    Answer::status(409, "AlreadyExists", "exists")
                }
                Some("POST") => created(),
                // It is deleted after a while.
                _ if before < 6 => Answer::Body(200, stored.clone()),
                _ => Answer::status(404, "NotFound", "not found"),
            },
        )
        .await;
        let contested = |m: &Metrics| m.contested.get_or_create(&kind("Deployment")).get();
        assert_eq!((run.count(contested), run.count(recorded)), (1, 2));
        assert_eq!(run.events("RevisionContested"), 1);
        let held = ReasonLabels {
            reason: "Contested",
        };
        assert_eq!(run.metrics.held.get_or_create(&held).get(), 0, "it is over");
        let posts = run.posts();
        let ours = posts.iter().filter(|name| *name == "w1-00001");
        assert_eq!(
            ours.count(),
            2,
            "a create follows only when the name is free"
        );
        let log = run.log.lock().expect("no panic");
        assert!(
            log.iter()
                .all(|(line, _)| line.starts_with("POST") || line.starts_with("GET")),
            "nothing overwrites"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stored_revision_that_says_why_it_has_no_data_is_equal_and_said() {
    let mut oversize = revision(1, 1);
    assert!(oversize.without_data());
    let stored = serde_json::to_string(&oversize).expect("JSON");
    let run = write(vec![revision(1, 1)], move |line, _, _| {
        match line.split(' ').next() {
            Some("POST") => Answer::status(409, "AlreadyExists", "exists"),
            _ => Answer::Body(200, stored.clone()),
        }
    })
    .await;
    let present = |m: &Metrics| m.present.get_or_create(&kind("Deployment")).get();
    assert_eq!(
        (run.count(present), run.events("RevisionWithoutContent")),
        (1, 1)
    );
}

/// The hashes of these two uids begin with the same 8 digits.
const ALIKE: [u128; 2] = [10_864, 68_225];

/// Writes a Revision, and a status of it, where one of another workload has its name. Returns the names that were
/// created and patched.
async fn write_beside_another(mut mine: Revision, other: &Revision) -> (Vec<String>, Vec<String>) {
    let workload = mine.spec.workload.uid;
    let taken = other.metadata.name.clone().expect("a name");
    mine.metadata.name = Some(taken.clone());
    let stored = serde_json::to_string(other).expect("JSON");
    let (client, log) = client(move |line, body, _| match line.split(' ').next() {
        Some("POST") if name(body).as_ref() == Some(&taken) => {
            Answer::status(409, "AlreadyExists", "exists")
        }
        Some("POST") => created(),
        Some("PATCH") => Answer::Body(200, "{}".to_owned()),
        _ => Answer::Body(200, stored.clone()),
    });
    let metrics = Metrics::new();
    let queue = Queue::new(1 << 30, 16, Room::default(), &metrics);
    let ledger = Ledger::new(&metrics, "Deployment");
    let patch = StatusPatch {
        namespace: "n".to_owned(),
        name: mine.metadata.name.clone().expect("a name"),
        kind: "Deployment".to_owned(),
        workload,
        observed_through: None,
        deletion_time: None,
        end_unknown: false,
    };
    push_write(
        &queue,
        &ledger,
        workload,
        Write::Create(Box::new(mine), None),
    )
    .await;
    push_write(&queue, &ledger, workload, Write::Status(patch)).await;
    queue.close();
    let writers = writers(&client, &queue, &metrics);
    let written = timeout(Duration::from_secs(3600), writers.join_all()).await;
    written.expect("everything settles");
    assert_eq!(metrics.drift.get_or_create(&kind("Deployment")).get(), 0);
    let log = log.lock().expect("no panic");
    let posted = log.iter().filter(|(line, _)| line.starts_with("POST"));
    let patched = log.iter().filter(|(line, _)| line.starts_with("PATCH"));
    let of_patch = |line: &str| line.split('/').rev().nth(1).map(str::to_owned);
    (
        posted.filter_map(|(_, body)| name(body)).collect(),
        patched.filter_map(|(line, _)| of_patch(line)).collect(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_revision_whose_name_another_workload_has_taken_gets_a_longer_one() {
    let [first, second] = ALIKE;
    let [older, younger] = ALIKE.map(Uuid::from_u128);
    let short = identity::name("w", younger, 1);
    assert_eq!(short, identity::name("w", older, 1), "they are alike");
    let mut other = revision(first, 1);
    other.metadata.name = Some(short.clone());
    let (posted, patched) = write_beside_another(revision(second, 1), &other).await;
    let long = identity::long_name("w", younger, 1);
    assert_eq!(posted, [short, long.clone()]);
    assert_eq!(patched, [long], "not the other's status");

    let short = identity::gap_name("w", younger, 1, 3);
    let gap = |workload| {
        let mut gap = revision(workload, 3);
        gap.spec.gap = Some(Gap {
            from: 1,
            to: 3,
            reason: "Compacted".to_owned(),
        });
        gap
    };
    let mut other = gap(first);
    other.metadata.name = Some(short.clone());
    let (posted, patched) = write_beside_another(gap(second), &other).await;
    let long = identity::long_gap_name("w", younger, 1, 3);
    assert_eq!(posted, [short, long.clone()]);
    assert_eq!(patched, [long]);
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_are_waited_for_as_long_as_asked() {
    let run = write(vec![revision(1, 1)], |_, _, before| match before {
        0 => Answer::RetryAfter(429, 20),
        _ => created(),
    })
    .await;
    assert!(run.elapsed >= Duration::from_secs(20), "{:?}", run.elapsed);
    assert_eq!(run.count(recorded), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_keeps_the_order_and_asks_seldom() {
    let outage = Instant::now() + Duration::from_secs(600);
    let revisions = (1..=5)
        .flat_map(|workload| (1..=20).map(move |generation| revision(workload, generation)))
        .collect();
    let run = write(revisions, move |_, _, _| {
        if Instant::now() < outage {
            Answer::Broken
        } else {
            created()
        }
    })
    .await;
    assert_eq!(run.count(recorded), 100);
    let posts = run.posts();
    let failed = posts.len() - 100;
    assert!(failed < 300, "{failed} attempts in ten minutes");
    assert!(
        run.elapsed < Duration::from_secs(620),
        "back soon after the outage: {:?}",
        run.elapsed
    );
    for workload in 1..=5 {
        let mut own: Vec<_> = posts
            .iter()
            .filter(|name| name.starts_with(&format!("w{workload}-")))
            .collect();
        assert!(own.is_sorted(), "{own:?}");
        own.dedup();
        assert_eq!(own.len(), 20);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_always_fails_does_not_hold_the_others() {
    let gives_in = Instant::now() + Duration::from_secs(300);
    let mut revisions: Vec<_> = (2..=200).map(|workload| revision(workload, 1)).collect();
    revisions.insert(0, revision(1, 1));
    let done = std::sync::Arc::new(std::sync::Mutex::new(None));
    let noted = done.clone();
    let started = Instant::now();
    let count = std::sync::atomic::AtomicUsize::new(0);
    let run = write(revisions, move |_, body, _| {
        if body.contains("\"w1-00001\"") && Instant::now() < gives_in {
            return Answer::status(500, "InternalError", "boom");
        }
        if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 198 {
            *noted.lock().expect("no panic") = Some(started.elapsed());
        }
        created()
    })
    .await;
    assert_eq!(run.count(recorded), 200);
    let others = done.lock().expect("no panic").expect("the others arrived");
    assert!(
        others < Duration::from_secs(5),
        "the others took {others:?}"
    );
}

/// The API server's sentence about a Revision that it does not let in.
fn forbidden(words: &str) -> String {
    format!("revisions.revisor.dev \"w\" is forbidden: {words}")
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_the_definition_refuses_loses_its_data_last_and_becomes_a_gap() {
    for (refused, gaps) in [("changeCause", 0), ("\"data\"", 0), ("\"Change\"", 1)] {
        let mut first = revision(1, 1);
        first.spec.change_cause = Some("a cause".to_owned());
        let run = write(vec![first, revision(1, 2)], move |line, body, _| {
            let is_first = line.contains("/revisions") && body.contains("\"generation\":1,");
            if is_first && body.contains(refused) {
                let message = "Revision.revisor.dev \"w1-00001\" is invalid: spec: Invalid value";
                let details = json!({"causes": [{"reason": "FieldValueInvalid"}]});
                Answer::Body(
                    422,
                    json!({"message": message, "reason": "Invalid", "details": details})
                        .to_string(),
                )
            } else {
                created()
            }
        })
        .await;
        assert_eq!(run.count(recorded), 2, "nothing is left out");
        assert!(run.events("RevisionRefused") > 0);
        let gap = kind_reason("Deployment", "Refused");
        assert_eq!(
            run.count(|m| m.lost.get_or_create(&gap).get()),
            gaps,
            "{refused}"
        );
        let log = run.log.lock().expect("no panic");
        let is_first = |body: &&String| body.contains("\"generation\":1,");
        let mut posts = log.iter().map(|(_, body)| body).filter(is_first);
        let stored = posts.next_back().expect("it is posted");
        assert_eq!(stored.contains("\"data\""), refused == "changeCause");
    }
}

#[tokio::test(start_paused = true)]
async fn too_large_is_stored_without_data_and_refused_only_then() {
    let run = write(
        vec![revision(1, 1), revision(2, 1)],
        |line, body, _| match (line.contains("/revisions"), body.contains("\"data\"")) {
            (true, true) => Answer::status(500, "", "etcdserver: request is too large"),
            (true, false) if body.contains("w2-") && !body.contains("\"Gap\"") => {
                Answer::Body(413, "limit is 3145728".to_owned())
            }
            _ => created(),
        },
    )
    .await;
    assert_eq!(run.count(recorded), 2, "a Gap takes the place of one");
    assert_eq!(
        run.count(|m| m.oversize.get_or_create(&kind("Deployment")).get()),
        2
    );
    let gap = kind_reason("Deployment", "Refused");
    assert_eq!(run.count(|m| m.lost.get_or_create(&gap).get()), 1);
    let log = run.log.lock().expect("no panic");
    assert!(
        log.iter()
            .any(|(_, body)| body.contains("\"oversize\":true") && body.contains("contentDigest"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_lasts_is_told_once_until_it_is_over() {
    for (reason, answer) in [
        ("Network", Answer::Broken),
        ("Timeout", Answer::Silent),
        (
            "ServerError",
            Answer::status(503, "ServiceUnavailable", "not now"),
        ),
        ("TooManyRequests", Answer::RetryAfter(429, 1)),
    ] {
        let started = Instant::now();
        let metrics = Metrics::new();
        let seen = metrics.clone();
        let revisions = (1..=20).map(|workload| revision(workload, 1)).collect();
        let run = write_counted(&metrics, revisions, move |line, _, _| {
            let outage = started.elapsed();
            if line.contains("/events") {
                return created();
            }
            if outage > Duration::from_secs(300) {
                return created();
            }
            assert!(
                outage > Duration::from_millis(700) || !held(&seen, reason),
                "{reason}: too soon"
            );
            assert!(
                outage < Duration::from_secs(45) || held(&seen, reason),
                "{reason}: nobody is told"
            );
            answer.clone()
        })
        .await;
        assert_eq!(run.count(recorded), 20);
        assert_eq!(run.events("RecordingHeld"), 1, "{reason}");
        assert!(!held(&metrics, reason), "{reason}: it is over");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_soon_is_not_told() {
    let metrics = Metrics::new();
    let seen = metrics.clone();
    let run = write_counted(&metrics, vec![revision(1, 1)], move |_, _, before| {
        assert!(!held(&seen, "Network"));
        if before < 4 {
            Answer::Broken
        } else {
            created()
        }
    })
    .await;
    assert_eq!((run.count(recorded), run.events("RecordingHeld")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_goes_on_failing_is_told_though_others_are_written() {
    let metrics = Metrics::new();
    let gives_in = Instant::now() + Duration::from_secs(300);
    let seen = metrics.clone();
    let revisions = (1..=20).map(|workload| revision(workload, 1)).collect();
    let run = write_counted(&metrics, revisions, move |line, body, _| {
        if line.contains("/revisions") && body.contains("\"w1-00001\"") && Instant::now() < gives_in
        {
            return Answer::status(500, "InternalError", "boom");
        }
        assert!(Instant::now() < gives_in || held(&seen, "ServerError"));
        created()
    })
    .await;
    assert_eq!((run.count(recorded), run.events("RecordingHeld")), (20, 1));
    assert!(!held(&metrics, "ServerError"));
}

#[tokio::test(start_paused = true)]
async fn a_full_namespace_is_held_for_as_long_as_it_is_full() {
    let full = Instant::now() + Duration::from_secs(120);
    let metrics = Metrics::new();
    let seen = metrics.clone();
    let mut revisions: Vec<_> = (1..=5)
        .map(|workload| revision_in("full", workload, 1))
        .collect();
    revisions.extend(
        (6..=8).flat_map(|workload| (1..=200).map(move |g| revision_in("free", workload, g))),
    );
    let written = std::sync::atomic::AtomicUsize::new(0);
    let run = write_counted(&metrics, revisions, move |line, body, _| {
        if line.contains("/namespaces/full/revisions") && Instant::now() < full {
            return Answer::status(403, "Forbidden", &forbidden("exceeded quota: q"));
        }
        if line.contains("/namespaces/free/revisions") {
            let before = written.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            assert!(
                before < 10 || held(&seen, "QuotaExceeded"),
                "others are no proof"
            );
            if body.contains("w6-00100") && body.contains("\"data\"") {
                return Answer::Body(413, "neither is a refusal".to_owned());
            }
        }
        created()
    })
    .await;
    assert_eq!(run.count(recorded), 605);
    assert!(!held(&metrics, "QuotaExceeded"));
    assert_eq!(run.events("RecordingHeld"), 1);
    let attempts = run.count(|m| {
        m.retries
            .get_or_create(&ReasonLabels {
                reason: "QuotaExceeded",
            })
            .get()
    });
    assert!(attempts < 60, "{attempts} attempts in two minutes");
}

#[tokio::test(start_paused = true)]
async fn a_denial_in_one_namespace_does_not_starve_the_others() {
    let denied = Instant::now() + Duration::from_secs(600);
    let started = Instant::now();
    let mut revisions: Vec<_> = (1..=50)
        .map(|workload| revision_in("bad", workload, 1))
        .collect();
    revisions.extend(
        (51..=100).flat_map(|workload| (1..=4).map(move |g| revision_in("good", workload, g))),
    );
    let metrics = Metrics::new();
    let seen = metrics.clone();
    let good = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = good.clone();
    let run = write_counted(&metrics, revisions, move |line, _, _| {
        if line.contains("/namespaces/bad/revisions") && Instant::now() < denied {
            assert!(started.elapsed() < Duration::from_secs(5) || held(&seen, "Denied"));
            return Answer::status(
                403,
                "Forbidden",
                "admission webhook \"policy\" denied the request: no",
            );
        }
        if line.contains("/namespaces/good/revisions") {
            noted.lock().expect("no panic").push(started.elapsed());
        }
        created()
    })
    .await;
    assert_eq!(run.count(recorded), 250);
    let good = good.lock().expect("no panic");
    let last = good.last().expect("written");
    assert!(
        (good.len(), *last < Duration::from_secs(2)) == (200, true),
        "the others took {last:?}"
    );
    assert!(!held(&metrics, "Denied"));
    let denials = run.count(|m| {
        m.retries
            .get_or_create(&ReasonLabels { reason: "Denied" })
            .get()
    });
    assert!(denials < 400, "{denials} attempts in ten minutes");
    assert!(
        run.elapsed < Duration::from_secs(625),
        "back soon after: {:?}",
        run.elapsed
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_can_make_it_wait_for_longer_than_a_minute() {
    for seconds in [86_400, u64::MAX] {
        let run = write(vec![revision(1, 1)], move |_, _, before| match before {
            0 => Answer::RetryAfter(429, seconds),
            _ => created(),
        })
        .await;
        let minute = Duration::from_secs(59)..Duration::from_secs(62);
        assert!(
            minute.contains(&run.elapsed),
            "{seconds}: {:?}",
            run.elapsed
        );
        assert_eq!(run.count(recorded), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_with_its_namespace_is_counted() {
    let run = write(
        vec![revision(1, 1), revision(2, 1), revision_in("stays", 3, 1)],
        |line, _, _| {
            if line.contains("/namespaces/n/revisions") {
                let details = json!({"kind": "namespaces", "name": "n"});
                return Answer::Body(
                    404,
                    json!({"kind": "Status", "reason": "NotFound", "details": details}).to_string(),
                );
            }
            created()
        },
    )
    .await;
    let gone = kind_reason("Deployment", "NamespaceGone");
    assert_eq!(
        (
            run.count(|m| m.refused.get_or_create(&gone).get()),
            run.count(recorded)
        ),
        (2, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_create_without_an_answer_is_repeated_after_the_longest_wait_for_a_webhook() {
    let run = write(vec![revision(1, 1)], |_, _, before| match before {
        0 => Answer::Silent,
        1 => Answer::Stalls("{".to_owned()),
        _ => created(),
    })
    .await;
    let seconds = Duration::from_secs(70)..Duration::from_secs(73);
    assert!(seconds.contains(&run.elapsed), "{:?}", run.elapsed);
    assert_eq!((run.count(recorded), run.posts().len()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn what_was_being_written_when_the_queue_was_cleared_does_not_come_again() {
    let (client, log) = client(|line, body, _| {
        if body.contains("w1-") || !line.contains("/revisions") {
            Answer::Silent
        } else {
            created()
        }
    });
    let metrics = Metrics::new();
    let queue = Queue::new(1 << 30, 16, Room::default(), &metrics);
    push(&queue, &metrics, vec![revision(1, 1), revision(1, 2)]).await;
    let writers = writers(&client, &queue, &metrics);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(queue.len(), 2, "one is being written, one waits");
    queue.clear();
    assert_eq!(queue.len(), 1);
    push(&queue, &metrics, vec![revision(2, 1)]).await;
    queue.close();
    timeout(Duration::from_secs(60), writers.join_all())
        .await
        .expect("everything settles");
    assert_eq!(
        (
            recorded(&metrics),
            metrics.queue_length.get(),
            metrics.queue_bytes.get()
        ),
        (1, 0, 0)
    );
    let log = log.lock().expect("no panic");
    let posts = log
        .iter()
        .filter(|(line, body)| line.contains("/revisions") && body.contains("w1-"));
    assert_eq!(
        posts.count(),
        1,
        "what was of another history is not repeated"
    );
}
