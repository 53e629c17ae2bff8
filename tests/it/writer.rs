//! Writing under faults. Time is paused: waits cost nothing.

use crate::script::{Answer, Log, client};
use revisor::metrics::{Metrics, kind};
use revisor::record::ledger::Ledger;
use revisor::record::queue::{Item, Queue, Write};
use revisor::record::report::Reporter;
use revisor::record::writer::Writer;
use revisor::revision::Revision;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

fn revision(workload: u128, generation: i64) -> Revision {
    serde_json::from_value(json!({
        "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
        "metadata": {"name": format!("w{workload}-{generation:05}"), "namespace": "n"},
        "spec": {
            "id": Uuid::nil(), "type": "Change", "generation": generation, "resourceVersion": "1", "observedVia": "Watch",
            "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w", "uid": Uuid::from_u128(workload)},
            "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed", "contentDigest": "sha256:aa",
            "snapshot": {"encoding": "json", "size": 2, "data": "{}"},
        },
    }))
    .expect("a Revision")
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
        let post = |(line, body): &(String, String)| {
            let value: serde_json::Value = serde_json::from_str(body).ok()?;
            line.contains("/revisions").then(|| value["metadata"]["name"].as_str().map(str::to_owned))?
        };
        log.iter().filter(|(line, _)| line.starts_with("POST")).filter_map(post).collect()
    }

    fn count(&self, pick: impl Fn(&Metrics) -> u64) -> u64 {
        pick(&self.metrics)
    }
}

/// Writes `revisions` with four writers to a server that answers as told, until everything is settled.
async fn write(
    revisions: Vec<Revision>,
    answer: impl Fn(&str, &str, usize) -> Answer + Send + Sync + 'static,
) -> Run {
    let (client, log) = client(answer);
    let metrics = Metrics::new();
    let queue = Queue::new(1 << 30, &metrics);
    let ledger = Ledger::new(&metrics, "Deployment");
    let (reporter, reporting) = Reporter::new(client.clone(), "revisor", &metrics);
    tokio::spawn(reporting);
    let started = Instant::now();
    for revision in revisions {
        let workload = revision.spec.workload.uid;
        let at = "7".parse().expect("a number");
        let item = Item {
            write: Write::Create(Box::new(revision), None),
            workload,
            at,
            also: None,
            seen: started,
            ledger: ledger.clone(),
        };
        queue.push(item).await;
    }
    queue.close();
    let writers: tokio::task::JoinSet<()> = (0..4)
        .map(|_| Writer::new(client.clone(), queue.clone(), reporter.clone(), &metrics).run())
        .collect();
    timeout(Duration::from_secs(3600), writers.join_all()).await.expect("everything settles");
    assert!(queue.is_empty());
    assert_eq!(metrics.queue_bytes.get(), 0);
    Run { metrics, log, elapsed: started.elapsed() }
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
    let run = write(vec![revision(1, 1)], move |line, _, before| match (line.split(' ').next(), before) {
        (Some("POST"), 0) => Answer::Broken,
        (Some("POST"), _) => Answer::status(409, "AlreadyExists", "exists"),
        _ => Answer::Body(200, stored.clone()),
    })
    .await;
    assert_eq!(run.count(|m| m.present.get_or_create(&kind("Deployment")).get()), 1);
    assert_eq!(run.count(|m| m.drift.get_or_create(&kind("Deployment")).get()), 0);
    assert_eq!(run.posts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn other_content_under_the_same_name_is_drift_and_is_kept() {
    let mut other = revision(1, 1);
    other.spec.content_digest = Some("sha256:bb".to_owned());
    let stored = serde_json::to_string(&other).expect("JSON");
    let run =
        write(vec![revision(1, 1), revision(1, 2)], move |line, body, _| match line.split(' ').next() {
            Some("POST") if body.contains("w1-00001") => Answer::status(409, "AlreadyExists", "exists"),
            Some("POST") => created(),
            _ => Answer::Body(200, stored.clone()),
        })
        .await;
    assert_eq!(run.count(|m| m.drift.get_or_create(&kind("Deployment")).get()), 1);
    assert_eq!(run.count(recorded), 1, "the next generation is recorded all the same");
    let log = run.log.lock().expect("no panic");
    assert!(
        log.iter().all(|(line, _)| line.starts_with("POST") || line.starts_with("GET")),
        "nothing overwrites"
    );
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
    let revisions =
        (1..=5).flat_map(|workload| (1..=20).map(move |generation| revision(workload, generation))).collect();
    let run =
        write(revisions, move |_, _, _| if Instant::now() < outage { Answer::Broken } else { created() })
            .await;
    assert_eq!(run.count(recorded), 100);
    let posts = run.posts();
    let failed = posts.len() - 100;
    assert!(failed < 300, "{failed} attempts in ten minutes");
    assert!(run.elapsed < Duration::from_secs(620), "back soon after the outage: {:?}", run.elapsed);
    for workload in 1..=5 {
        let mut own: Vec<_> =
            posts.iter().filter(|name| name.starts_with(&format!("w{workload}-"))).collect();
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
    let (noted, started) = (done.clone(), Instant::now());
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
    assert!(others < Duration::from_secs(5), "the others took {others:?}");
}

#[tokio::test(start_paused = true)]
async fn what_will_never_be_taken_is_reported_and_passed() {
    let run = write(vec![revision(1, 1), revision(1, 2)], |line, body, _| {
        if line.contains("/revisions") && body.contains("w1-00001") {
            Answer::status(422, "Invalid", "spec.generation: Invalid value")
        } else {
            created()
        }
    })
    .await;
    let refused = revisor::metrics::kind_reason("Deployment", "Invalid");
    assert_eq!(run.count(|m| m.refused.get_or_create(&refused).get()), 1);
    assert_eq!(run.count(recorded), 1);
    let event = || {
        run.log
            .lock()
            .expect("no panic")
            .iter()
            .any(|(line, body)| line.contains("/events") && body.contains("RevisionRefused"))
    };
    for _ in 0..50 {
        if event() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no Event was sent");
}

#[tokio::test(start_paused = true)]
async fn too_large_is_stored_without_data_and_refused_only_then() {
    let run = write(vec![revision(1, 1), revision(2, 1)], |line, body, _| {
        match (line.contains("/revisions"), body.contains("\"data\"")) {
            (true, true) => Answer::status(500, "", "etcdserver: request is too large"),
            (true, false) if body.contains("w2-") => Answer::Body(413, "limit is 3145728".to_owned()),
            _ => created(),
        }
    })
    .await;
    assert_eq!(run.count(recorded), 1);
    assert_eq!(run.count(|m| m.oversize.get_or_create(&kind("Deployment")).get()), 2);
    let refused = revisor::metrics::kind_reason("Deployment", "TooLarge");
    assert_eq!(run.count(|m| m.refused.get_or_create(&refused).get()), 1);
    let log = run.log.lock().expect("no panic");
    assert!(log.iter().any(|(_, body)| body.contains("\"oversize\":true") && body.contains("contentDigest")));
}
