//! Rules of every kind over statuses of every shape, hostile ones too.

use super::*;
use crate::metrics::Metrics;
use crate::observe::pod::tests::kind;
use serde_json::json;

async fn judged(name: &str, object: &Value) -> Judgement {
    let kind = kind(name);
    let mut object = object.clone();
    if object["metadata"].is_null() {
        object["metadata"] = json!({"name": "w", "namespace": "n", "generation": 2});
    }
    let live = Live::read(&kind, &object.to_string()).expect("an object");
    let metrics = Metrics::new();
    let result = judge(&Runner::new(&metrics), &kind, &live, &Names::default()).await;
    assert!(
        !metrics.encode().contains("revisor_view_failures_total{"),
        "{name}: a program failed"
    );
    result
}

fn condition(name: &str, status: &str, reason: &str) -> Value {
    json!({"type": name, "status": status, "reason": reason, "message": "because", "lastTransitionTime": "2026-01-02T03:04:05Z"})
}

#[derive(serde::Deserialize)]
struct Case {
    kind: String,
    #[serde(default)]
    annotations: Value,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    conditions: Vec<[String; 3]>,
    phase: Option<String>,
}

#[tokio::test]
async fn rules_of_every_kind() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/phases.yaml");
    let cases: Vec<Case> =
        serde_saphyr::from_str(&std::fs::read_to_string(file).expect("a fixture")).expect("YAML");
    let mut kinds = std::collections::BTreeSet::new();
    for Case {
        kind,
        annotations,
        spec,
        mut status,
        conditions,
        phase,
    } in cases
    {
        if !conditions.is_empty() {
            let all = conditions
                .iter()
                .map(|[name, status, reason]| condition(name, status, reason));
            status["conditions"] = all.collect();
        }
        let metadata =
            json!({"name": "w", "namespace": "n", "generation": 2, "annotations": annotations});
        let Judgement { ruling, .. } = judged(
            &kind,
            &json!({"metadata": metadata, "spec": spec, "status": status}),
        )
        .await;
        let found = match &ruling {
            Ruling::Match { phase, .. } => Some(phase.to_string()),
            _ => None,
        };
        assert_eq!(found, phase, "{kind}: {status}: {ruling:?}");
        kinds.insert(kind);
    }
    assert_eq!(
        kinds.len(),
        crate::kinds::Catalogue::built_in().kinds().len(),
        "every built-in kind has a case"
    );
}

#[tokio::test]
async fn a_match_carries_reason_message_and_time() {
    let failed = condition("Progressing", "False", "ProgressDeadlineExceeded");
    let Judgement { ruling, .. } = judged(
        "Deployment",
        &json!({"status": {"observedGeneration": 2, "conditions": [failed]}}),
    )
    .await;
    let expected = Ruling::Match {
        phase: Phase::Failed,
        reason: Some("ProgressDeadlineExceeded".into()),
        message: Some("because".into()),
        since: "2026-01-02T03:04:05Z".parse().ok(),
    };
    assert_eq!(ruling, expected);
}

#[tokio::test]
async fn a_status_of_the_generation_before_says_nothing() {
    let failed = condition("Progressing", "False", "ProgressDeadlineExceeded");
    let object = json!({"status": {"observedGeneration": 1, "conditions": [failed]}});
    assert_eq!(judged("Deployment", &object).await.ruling, Ruling::Silent);
}

#[tokio::test]
async fn the_key_of_the_newest_pods_is_read_where_the_status_names_it() {
    for (name, status, expected) in [
        (
            "StatefulSet",
            json!({"observedGeneration": 2, "updateRevision": "w-7d4"}),
            Some("w-7d4"),
        ),
        (
            "StatefulSet",
            json!({"observedGeneration": 1, "updateRevision": "w-7d4"}),
            None,
        ),
        (
            "Service",
            json!({"observedGeneration": 2, "latestCreatedRevisionName": "w-00002"}),
            Some("w-00002"),
        ),
        (
            "Service",
            json!({"observedGeneration": 1, "latestCreatedRevisionName": "w-00001"}),
            None,
        ),
        (
            "RayService",
            json!({"observedGeneration": 2, "activeServiceStatus": {"rayClusterName": "a"}, "pendingServiceStatus": {"rayClusterName": "b"}}),
            Some("b"),
        ),
        (
            "RayService",
            json!({"observedGeneration": 2, "activeServiceStatus": {"rayClusterName": "a"}, "pendingServiceStatus": {"rayClusterName": ""}}),
            Some("a"),
        ),
        (
            "Rollout",
            json!({"observedGeneration": "2", "currentPodHash": "abc"}),
            Some("abc"),
        ),
        (
            "Rollout",
            json!({"observedGeneration": "1", "currentPodHash": "abc"}),
            None,
        ),
        ("Deployment", json!({"observedGeneration": 2}), None),
    ] {
        assert_eq!(
            judged(name, &json!({"status": status}))
                .await
                .current
                .as_deref(),
            expected,
            "{name} {status}"
        );
    }
}

#[tokio::test]
async fn the_keys_that_serve_are_those_that_the_status_names() {
    let traffic = json!([{"revisionName": "w-1", "percent": 90}, {"revisionName": "w-2", "percent": 10}, {"revisionName": "w-3", "percent": 0, "tag": "t"}]);
    for (name, status, expected) in [
        ("Service", json!({"traffic": traffic}), vec!["w-1", "w-2"]),
        (
            "InferenceService",
            json!({"components": {"predictor": {"traffic": traffic}}}),
            vec!["w-1", "w-2"],
        ),
        ("Rollout", json!({"stableRS": "a"}), vec!["a"]),
        (
            "Rollout",
            json!({"stableRS": "a", "blueGreen": {"activeSelector": "b"}}),
            vec!["b"],
        ),
        (
            "RayService",
            json!({"activeServiceStatus": {"rayClusterName": "a"}, "pendingServiceStatus": {"rayClusterName": "b"}}),
            vec!["a"],
        ),
        ("Deployment", json!({}), vec![]),
        ("Rollout", json!({}), vec![]),
    ] {
        let judgement = judged(name, &json!({"status": status})).await;
        assert_eq!(judgement.serving, expected, "{name} {status}");
    }
}

#[tokio::test]
async fn a_workload_says_in_its_own_words_why_it_is_not_ready() {
    let words = async |observed: i64, status: &str| {
        let ready = condition("Ready", status, "ReconcileError");
        let object = json!({"status": {"observedGeneration": observed, "conditions": [ready]}});
        judged("LLMInferenceService", &object).await.words
    };
    let expected = Words {
        reason: "ReconcileError".into(),
        message: Some("because".into()),
        since: "2026-01-02T03:04:05Z".parse().ok(),
    };
    assert_eq!(words(2, "False").await, Some(expected));
    assert_eq!(words(2, "True").await, None);
    assert_eq!(words(1, "False").await, None, "of the generation before");
}

#[tokio::test]
async fn hostile_statuses_are_unreadable_and_never_stop_anything() {
    let huge = "x".repeat(100_000);
    for kind in crate::kinds::Catalogue::built_in().kinds() {
        for status in [
            json!("text"),
            json!({"conditions": {"a": 1}}),
            json!({"conditions": [[]]}),
            json!({"message": huge}),
        ] {
            let object = json!({"metadata": {"generation": 2}, "status": status});
            let live = Live::read(kind, &object.to_string()).expect("an object");
            let Judgement {
                ruling, current, ..
            } = judge(
                &Runner::new(&Metrics::new()),
                kind,
                &live,
                &Names::default(),
            )
            .await;
            assert!(
                matches!(ruling, Ruling::Unreadable(_)) && current.is_none(),
                "{}: {ruling:?}",
                kind.kind
            );
        }
        for field in [
            "state",
            "phase",
            "modelStatus",
            "observedGeneration",
            "updateRevision",
            "pendingServiceStatus",
        ] {
            for value in [
                json!([1]),
                json!({"a": 1}),
                json!(1.5),
                json!(null),
                json!("\u{0}"),
            ] {
                let object =
                    json!({"metadata": {"generation": 2}, "spec": value, "status": {field: value}});
                let live = Live::read(kind, &object.to_string()).expect("an object");
                judge(
                    &Runner::new(&Metrics::new()),
                    kind,
                    &live,
                    &Names::default(),
                )
                .await;
            }
        }
    }
}

#[tokio::test]
async fn templates_say_what_makes_pods_and_how_many() {
    let of = async |name: &str, object: Value| {
        let gzip = crate::gzip::compress(object.to_string().as_bytes()).expect("memory");
        templates(&Runner::new(&Metrics::new()), &kind(name), gzip.into())
            .await
            .expect("templates")
    };
    let deployment = |replicas: Value, image: &str| json!({"spec": {"replicas": replicas, "template": {"spec": {"containers": [{"image": image}]}}}});
    let three = of("Deployment", deployment(json!(3), "a")).await;
    let one = of("Deployment", deployment(json!(null), "a")).await;
    assert_eq!(three.components, one.components);
    assert_ne!(
        three.components,
        of("Deployment", deployment(json!(3), "b")).await.components
    );
    assert_eq!(
        (
            three.expected(Some(5)),
            three.expected(None),
            one.expected(Some(1))
        ),
        (Some(5), Some(3), Some(1))
    );
    assert_eq!(
        of("Deployment", deployment(json!(0), "a"))
            .await
            .expected(Some(2)),
        Some(2)
    );
    let lws = of(
        "LeaderWorkerSet",
        json!({"spec": {"replicas": 2, "leaderWorkerTemplate": {"size": 4, "workerTemplate": {}}}}),
    )
    .await;
    assert_eq!(
        (lws.expected(Some(2)), lws.expected(Some(3))),
        (Some(8), Some(12))
    );
    let knative = json!({"spec": {"template": {"spec": {"containers": [{"image": "a"}]}}}});
    assert_eq!(
        of("Service", knative).await.expected(None),
        None,
        "it scales to zero"
    );
    let zero = json!({"spec": {"predictor": {"minReplicas": 0, "maxReplicas": 3, "model": {}}}});
    assert_eq!(of("InferenceService", zero).await.expected(None), None);
}
