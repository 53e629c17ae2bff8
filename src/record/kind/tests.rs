//! The recorder of a kind behind its door, without a cluster: which facts become which Revisions.

use super::*;
use crate::kinds::Catalogue;
use crate::metrics::Metrics;
use crate::observe::Observer;
use crate::record::extract::Extractor;
use crate::record::lives::Lives;
use crate::record::queue::{Proof, Queue};
use crate::record::quiet::Quiet;
use crate::record::report::Reporter;
use crate::record::{Archive, Settings};
use crate::revision::identity::ContentDigest;
use crate::revision::{Observed, ObservedThrough, Previous};
use crate::watch::Room;
use crate::watch::known::Need;
use crate::watch::{Heads, Lost, Outlet, Reason, Removal};
use crate::workload::{Head, RemovedHead, Resource};
use http::{Request, Response};
use kube::client::Body;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::sync::watch;

const W: Uuid = Uuid::from_u128(7);

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

impl Archive for Stored {
    fn recorded(&self, _: Uuid, _: &RangeInclusive<i64>) -> BTreeSet<i64> {
        BTreeSet::new()
    }
}

/// A recorder of InferenceServices that has listed nothing, and its queue.
async fn recorder(heads: Vec<(Uuid, Head)>) -> (Outlet<KindRecorder>, Queue) {
    let metrics = Metrics::new();
    let service = tower::service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let queue = Queue::new(1 << 20, 16, Room::default(), &metrics);
    let (reporter, _) = Reporter::new(kube::Client::new(service, "default"), "default", &metrics);
    let recorder = Recorder {
        catalogue: Arc::new(Catalogue::built_in()),
        settings: Arc::new(Settings::default()),
        archive: Arc::new(Stored(Vec::new())),
        lives: Lives::default(),
        queue: queue.clone(),
        quiet: Quiet::new(queue.clone()),
        extractor: Extractor::new(Settings::default().names, &metrics),
        reporter,
        observer: Observer::none(),
        metrics: metrics.clone(),
    };
    let kinds = recorder.catalogue.clone();
    let kind = kinds
        .kinds()
        .iter()
        .find(|kind| kind.kind == "InferenceService")
        .expect("built in")
        .clone();
    let heads = Arc::new(Stored(heads));
    let sink = KindRecorder::new(recorder, kind.clone());
    let mut outlet = Outlet::new(kinds, kind, heads, metrics, Room::default(), sink);
    outlet.listing().await;
    (outlet, queue)
}

fn change(generation: i64, at: u32, seen: Observed, op: Op) -> Change {
    labelled(generation, at, seen, op, "true")
}

fn labelled(generation: i64, at: u32, seen: Observed, op: Op, record: &str) -> Change {
    let resource = Arc::new(Resource {
        group: "serving.kserve.io".into(),
        version: "v1beta1".into(),
        kind: "InferenceService".into(),
        plural: "inferenceservices".into(),
    });
    let object = serde_json::json!({
        "metadata": {"name": "w", "namespace": "n", "uid": W, "labels": {"revisor.dev/record": record}},
        "spec": {"n": generation},
    });
    Change {
        resource,
        uid: W,
        name: "w".into(),
        namespace: "n".into(),
        generation,
        resource_version: at.to_string().parse().expect("a number"),
        created: None,
        seen,
        op,
        raw: RawValue::from_string(object.to_string()).expect("JSON"),
        absent_at: None,
    }
}

fn watched(generation: i64, at: u32) -> Change {
    change(generation, at, Observed::Watch, Op::Modified)
}

fn lost(generations: RangeInclusive<i64>) -> Lost {
    Lost {
        uid: W,
        namespace: "n".into(),
        name: "w".into(),
        generations,
        reason: Reason::Compacted,
        from: "99".parse().expect("a number"),
        at: "99".parse().expect("a number"),
        api_version: "serving.kserve.io/v1beta1".into(),
    }
}

fn stored(generation: i64, through: Option<i64>, deleted: bool) -> Head {
    let through = through.map(|generation| ObservedThrough {
        generation,
        resource_version: (generation * 10).to_string(),
    });
    Head {
        namespace: "n".into(),
        name: "w".into(),
        revision: "w-1".into(),
        generation,
        resource_version: (generation * 10).to_string().parse().expect("a number"),
        api_version: "serving.kserve.io/v1beta1".into(),
        deleted,
        observed_through: through,
        ..Head::default()
    }
}

/// What was handed in.
async fn written(queue: &Queue) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(Some(queued)) = tokio::time::timeout(Duration::from_millis(50), queue.next()).await
    {
        all.push(match &queued.item.item.write {
            Write::Create(revision, _) => match &revision.spec.gap {
                Some(gap) => format!("Gap {}-{} {}", gap.from, gap.to, gap.reason),
                None => format!("{:?} {}", revision.spec.r#type, revision.spec.generation),
            },
            Write::Status(patch) if patch.end_unknown && patch.deletion_time.is_some() => {
                "deleted, end unknown".to_owned()
            }
            Write::Status(patch) if patch.deletion_time.is_some() => "deleted".to_owned(),
            Write::Status(_) => "quiet".to_owned(),
        });
        queue.done(queued, Proof::Created);
    }
    all
}

/// The generation of each Revision that was handed in, and that of the one before it as it is named.
async fn named(queue: &Queue) -> Vec<(i64, Option<Previous>)> {
    let mut all = Vec::new();
    while let Ok(Some(queued)) = tokio::time::timeout(Duration::from_millis(50), queue.next()).await
    {
        if let Write::Create(revision, _) = &queued.item.item.write {
            all.push((revision.spec.generation, revision.spec.previous.clone()));
        }
        queue.done(queued, Proof::Created);
    }
    all
}

/// The digest of the content of `watched(generation, _)`.
fn digest(generation: i64) -> ContentDigest {
    ContentDigest::of_canonical_spec(format!(r#"{{"n":{generation}}}"#).as_bytes())
}

fn previous(generation: i64) -> Previous {
    let digest = digest(generation).to_string();
    Previous { generation, digest }
}

#[tokio::test]
async fn a_revision_names_the_one_before_it_unless_a_hole_lies_between() {
    let (mut recorder, queue) = recorder(Vec::new()).await;
    for (generation, at) in [(1, 10), (2, 20)] {
        recorder.change(watched(generation, at)).await;
    }
    // It changed nothing, so the next one still names the Revision before.
    let quiet = Change {
        generation: 3,
        resource_version: "30".parse().expect("a number"),
        ..watched(2, 20)
    };
    recorder.change(quiet).await;
    recorder.change(watched(4, 40)).await;
    recorder.lost(lost(5..=6)).await;
    recorder.change(watched(7, 70)).await;
    recorder.change(watched(8, 80)).await;
    recorder
        .change(labelled(9, 90, Observed::Watch, Op::Modified, "false"))
        .await;
    recorder.change(watched(10, 100)).await;
    let expected = [
        (1, None),
        (2, Some(previous(1))),
        (4, Some(previous(2))),
        (6, None),
        (7, None),
        (8, Some(previous(7))),
    ];
    let all = named(&queue).await;
    assert_eq!(all[..6], expected);
    assert!(all[6..].iter().all(|(_, previous)| previous.is_none()));
}

#[tokio::test]
async fn the_first_revision_after_a_restart_names_the_stored_head() {
    let head = Head {
        digest: Some(digest(3)),
        ..stored(3, Some(4), false)
    };
    let (mut recorder, queue) = recorder(vec![(W, head)]).await;
    recorder.change(watched(5, 50)).await;
    assert_eq!(named(&queue).await, [(5, Some(previous(3)))]);
    // A Gap has no digest.
    let (mut recorder, queue) = self::recorder(vec![(W, stored(3, None, false))]).await;
    recorder.change(watched(4, 40)).await;
    assert_eq!(named(&queue).await, [(4, None)]);
}

#[tokio::test]
async fn an_unknown_end_is_stored_with_the_deletion() {
    let (mut recorder, queue) = recorder(vec![(W, stored(3, Some(4), false))]).await;
    let [gone] = recorder
        .known()
        .missing(&BTreeSet::new())
        .try_into()
        .expect("one");
    recorder.gone(gone).await;
    assert_eq!(written(&queue).await, vec!["deleted, end unknown"]);
}

#[tokio::test]
async fn what_a_replay_shows_of_a_workload_that_is_gone_is_known() {
    let (mut recorder, queue) = recorder(vec![(W, stored(3, Some(4), true))]).await;
    for (generation, at) in [(2, 20), (3, 30), (4, 40)] {
        recorder.change(watched(generation, at)).await;
    }
    recorder
        .change(change(4, 45, Observed::Watch, Op::Deleted))
        .await;
    assert_eq!(written(&queue).await, Vec::<String>::new());
    assert!(recorder.known().knows(W, 4) && !recorder.known().knows(W, 5));
}

#[tokio::test]
async fn a_workload_that_went_here_does_not_begin_again() {
    let (mut recorder, queue) = recorder(Vec::new()).await;
    recorder.change(watched(1, 10)).await;
    recorder
        .change(change(2, 25, Observed::Watch, Op::Deleted))
        .await;
    for (generation, at) in [(1, 10), (2, 20)] {
        recorder.change(watched(generation, at)).await;
    }
    assert_eq!(written(&queue).await, ["Baseline 1", "Change 2", "deleted"]);
}

#[tokio::test]
async fn a_gap_holds_nothing_that_is_known() {
    let (mut recorder, queue) = recorder(Vec::new()).await;
    recorder.change(watched(5, 50)).await;
    recorder.lost(lost(3..=5)).await;
    recorder.lost(lost(4..=7)).await;
    recorder.lost(lost(2..=6)).await;
    recorder.change(watched(8, 80)).await;
    assert_eq!(
        written(&queue).await,
        ["Baseline 5", "Gap 6-7 Compacted", "Change 8"]
    );
}

#[tokio::test]
async fn what_is_lost_after_a_workload_was_not_selected_counts_from_there() {
    let (mut recorder, queue) = recorder(Vec::new()).await;
    recorder.change(watched(1, 10)).await;
    recorder
        .change(labelled(3, 30, Observed::Watch, Op::Modified, "false"))
        .await;
    recorder.lost(lost(4..=5)).await;
    recorder.change(watched(6, 60)).await;
    assert_eq!(
        written(&queue).await,
        ["Baseline 1", "Gap 2-5 NotSelected", "Change 6"]
    );
}

/// The head of a generation as it is stored.
fn head(generation: i64) -> Head {
    Head {
        digest: Some(digest(generation)),
        ..stored(generation, None, false)
    }
}

/// The Revision of generation 3, which names 2, is removed; the workload is read in another generation perhaps.
fn removal(change: Change, older: Option<Head>) -> Removal {
    let at = change.resource_version;
    let removed = RemovedHead {
        head: head(3),
        previous: Some(previous(2)),
    };
    Removal {
        change,
        removed,
        older,
        at,
    }
}

#[tokio::test]
async fn a_head_that_was_removed_is_recorded_again() {
    let (mut recorder, queue) = recorder(Vec::new()).await;
    for generation in 1..4 {
        let at = u32::try_from(generation).expect("small") * 10;
        recorder.change(watched(generation, at)).await;
    }
    let first = ["Baseline 1", "Change 2", "Change 3"];
    assert_eq!(written(&queue).await, first);
    recorder
        .removal(removal(watched(3, 30), Some(head(2))))
        .await;
    assert_eq!(named(&queue).await, [(3, Some(previous(2)))]);
    // The one before it is gone too: then it is named all the same, as it was removed and changed something.
    recorder
        .removal(removal(watched(3, 30), Some(head(1))))
        .await;
    assert_eq!(named(&queue).await, [(3, Some(previous(2)))]);
    recorder.removal(removal(watched(3, 30), None)).await;
    assert_eq!(written(&queue).await, ["Baseline 3"]);
    recorder.change(watched(4, 40)).await;
    assert_eq!(named(&queue).await, [(4, Some(previous(3)))]);
}

#[tokio::test(start_paused = true)]
async fn a_head_is_recorded_under_its_own_name_while_the_content_is_the_same() {
    let (mut recorder, queue) = recorder(vec![(W, stored(3, Some(5), false))]).await;
    let same = Change {
        generation: 5,
        resource_version: "50".parse().expect("a number"),
        ..watched(3, 30)
    };
    recorder.removal(removal(same, Some(head(2)))).await;
    assert_eq!(written(&queue).await, ["Change 3"]);
    recorder
        .removal(removal(watched(5, 50), Some(head(2))))
        .await;
    assert_eq!(named(&queue).await, [(5, None)], "it has changed quietly");
}

#[tokio::test]
async fn what_another_replica_has_recorded_is_known() {
    let (mut recorder, queue) = recorder(Vec::new()).await;
    recorder.change(watched(1, 10)).await;
    let explained = lost(2..=8);
    recorder.recorded(&explained, Some(head(6))).await;
    recorder.lost(lost(3..=8)).await;
    recorder.change(watched(9, 90)).await;
    assert_eq!(written(&queue).await, ["Baseline 1", "Change 9"]);
    recorder.change(watched(10, 100)).await;
    assert_eq!(named(&queue).await, [(10, Some(previous(9)))]);
}

#[tokio::test]
async fn what_is_younger_and_was_written_later_is_of_another_history() {
    let (mut recorder, _queue) = recorder(vec![(Uuid::from_u128(8), stored(9, None, false))]).await;
    recorder.change(watched(5, 50)).await;
    assert!(recorder.known().contradicts(&watched(3, 60)));
    assert!(
        !recorder.known().contradicts(&watched(3, 40)),
        "an old event"
    );
    assert!(
        !recorder.known().contradicts(&watched(5, 60))
            && !recorder.known().contradicts(&watched(6, 60))
    );
    assert!(
        recorder
            .known()
            .contradicts(&change(3, 40, Observed::List, Op::Added)),
        "a list is of the present"
    );
    let other = Change {
        uid: Uuid::from_u128(8),
        ..watched(3, 100)
    };
    assert!(!recorder.known().contradicts(&other), "not seen here");
    recorder
        .change(change(5, 70, Observed::Watch, Op::Deleted))
        .await;
    assert!(
        recorder.known().contradicts(&watched(5, 80)),
        "it came back"
    );
    assert!(!recorder.known().contradicts(&watched(5, 60)));
    assert_eq!(
        recorder.need(&change(5, 60, Observed::List, Op::Added)),
        Need::Rewound
    );
}

#[tokio::test(start_paused = true)]
async fn the_queue_tells_for_how_long_nothing_was_recorded() {
    let (mut recorder, queue) = recorder(Vec::new()).await;
    assert_eq!(queue.quiet(), Duration::MAX, "nothing ever was");
    recorder.change(watched(1, 10)).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(queue.quiet(), Duration::ZERO, "it waits to be written");
    let queued = queue.next().await.expect("an item");
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(queue.quiet(), Duration::ZERO, "it is being written");
    queue.done(queued, Proof::Created);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(queue.quiet(), Duration::from_secs(9));
}

/// An object whose content is not below `spec`.
fn without_spec(generation: i64, at: u32, image: &str, phase: &str) -> Change {
    let object = serde_json::json!({
        "metadata": {"name": "w", "namespace": "n", "uid": W, "labels": {"revisor.dev/record": "true"}},
        "template": {"image": image}, "status": {"phase": phase},
    });
    Change {
        raw: RawValue::from_string(object.to_string()).expect("JSON"),
        ..watched(generation, at)
    }
}

#[tokio::test]
async fn a_workload_without_a_spec_is_recorded_by_its_other_fields() {
    let (mut recorder, queue) = recorder(Vec::new()).await;
    for (generation, image, phase) in [(1, "a", "x"), (2, "b", "x"), (3, "b", "y"), (4, "c", "y")] {
        let at = u32::try_from(10 * generation).expect("small");
        recorder
            .change(without_spec(generation, at, image, phase))
            .await;
    }
    assert_eq!(
        written(&queue).await,
        ["Baseline 1", "Change 2", "Change 4"]
    );
}

/// A content of number `which`, in one of several words for it.
fn worded(which: u32, words: usize) -> serde_json::Value {
    let cpu = [
        serde_json::json!(format!("{which}")),
        serde_json::json!(which),
        serde_json::json!(format!("{}m", u64::from(which) * 1000)),
    ];
    let mut spec = serde_json::json!({"predictor": {"model": {"resources": {"requests": {"cpu": cpu[words % 3]}}}}});
    match words % 4 {
        1 => spec["predictor"]["nodeSelector"] = serde_json::json!({}),
        2 => spec["predictor"]["volumes"] = serde_json::Value::Null,
        _ => {}
    }
    spec
}

/// Whatever is edited and in whatever words, the newest older Revision with the same content is named, as a comparison of
/// each with all older ones finds it.
#[tokio::test]
async fn the_newest_older_revision_with_the_same_content_is_named() {
    for seed in 0..24 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut outlet, queue) = recorder(Vec::new()).await;
        let mut all: Vec<(i64, u32, Option<i64>)> = Vec::new();
        let mut last = None;
        let mut generation = 0;
        while generation < 24 {
            let which = random.u32(1..4);
            let spec = worded(which, random.usize(0..12));
            if last.replace(spec.clone()) == Some(spec.clone()) {
                continue;
            }
            generation += 1;
            let at = u32::try_from(generation * 10).expect("few");
            let object = serde_json::json!({
                "metadata": {"name": "w", "namespace": "n", "uid": W, "labels": {"revisor.dev/record": "true"}},
                "spec": spec,
            });
            let raw = RawValue::from_string(object.to_string()).expect("JSON");
            outlet
                .change(Change {
                    raw,
                    ..watched(generation, at)
                })
                .await;
            all.push((generation, which, None));
        }
        while let Ok(Some(queued)) =
            tokio::time::timeout(Duration::from_millis(50), queue.next()).await
        {
            if let Write::Create(revision, _) = &queued.item.item.write {
                let generation = revision.spec.generation;
                let view = revision.spec.view.as_ref().expect("a view");
                let known = all.iter_mut().find(|known| known.0 == generation);
                known.expect("handed in").2 = view.same_as;
            }
            queue.done(queued, Proof::Created);
        }
        for (at, (generation, which, same_as)) in all.iter().enumerate() {
            let older = all[..at].iter().rev().find(|older| older.1 == *which);
            assert_eq!(
                *same_as,
                older.map(|older| older.0),
                "seed {seed}, generation {generation}"
            );
        }
    }
}

#[tokio::test]
async fn after_a_restart_contents_of_the_process_before_are_known() {
    let (mut before, queue) = recorder(Vec::new()).await;
    before.change(watched(1, 10)).await;
    let queued = queue.next().await.expect("a write");
    let Write::Create(revision, _) = &queued.item.item.write else {
        panic!("a Revision");
    };
    let digest = &revision.spec.view.as_ref().expect("a view").normal_digest;
    let key = crate::view::normal::key(digest).expect("a digest");
    let head = Head {
        normals: vec![(1, key)],
        ..stored(2, None, false)
    };
    let (mut after, queue) = recorder(vec![(W, head)]).await;
    let again = Change {
        raw: watched(1, 10).raw,
        ..watched(3, 30)
    };
    after.change(again).await;
    let queued = queue.next().await.expect("a write");
    let Write::Create(revision, _) = &queued.item.item.write else {
        panic!("a Revision");
    };
    let view = revision.spec.view.as_ref().expect("a view");
    assert_eq!((revision.spec.generation, view.same_as), (3, Some(1)));
}
