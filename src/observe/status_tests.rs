//! The life of a status, and the patches that it takes.

use super::*;
use crate::observe::phase::{Lifecycle, Others, Ruling, Standing};
use crate::observe::pod::tests::pruned;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000 + second, 0).expect("a time")
}

fn pod(node: Option<&str>, ready_at: Option<i64>) -> Pod {
    let conditions = ready_at.map(
        |second| json!([{"type": "Ready", "status": "True", "lastTransitionTime": at(second)}]),
    );
    pruned(json!({
        "metadata": {"namespace": "n", "annotations": {"gpu-fraction": "0.5"}},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "500m"}}}]},
        "status": {"phase": "Running", "conditions": conditions},
    }))
}

fn facts<'a>(pods: &'a [&'a Pod], newest: bool, before: &RevisionStatus, now: i64) -> Facts<'a> {
    Facts {
        standing: if newest {
            Standing::Newest
        } else {
            Standing::Replaced
        },
        lifecycle: Lifecycle::Live,
        pods,
        expected: newest.then_some(2),
        ruling: &Ruling::Silent,
        words: None,
        others: Others::default(),
        deadline: None,
        trusted: true,
        changed: at(0),
        was_ready: before.first_ready_time.is_some(),
        ready_before: before.ready_pods.unwrap_or(0),
        has_failed: before.outcome == Some(Outcome::Failed),
        before: finding(before),
        now: at(now),
    }
}

fn step(before: &RevisionStatus, pods: &[Pod], newest: bool, now: i64) -> RevisionStatus {
    let pods: Vec<_> = pods.iter().collect();
    let pools = Pools::from([("n1".into(), "a100".into()), ("n2".into(), "h100".into())]);
    next(
        before,
        &facts(&pods, newest, before, now),
        &Surroundings {
            pools: &pools,
            images_unknown: true,
            keys: vec!["k"],
            completion: Completion::None,
        },
    )
}

fn condition(status: &RevisionStatus, name: &str) -> (String, i64) {
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.r#type == name)
        .expect(name);
    let since = condition.last_transition_time.expect("a time") - at(0);
    (condition.status.clone(), since.num_seconds())
}

/// A Revision of two pods, one of which has no node yet.
fn starting() -> RevisionStatus {
    let pods = [pod(Some("n1"), None), pod(None, None)];
    step(&RevisionStatus::default(), &pods, true, 5)
}

fn both_ready() -> [Pod; 2] {
    [pod(Some("n1"), Some(7)), pod(Some("n2"), Some(9))]
}

/// The same Revision when both of its pods are ready.
fn running() -> RevisionStatus {
    step(&starting(), &both_ready(), true, 12)
}

#[test]
fn a_life_begins_with_the_first_pod() {
    let starting = starting();
    assert_eq!(
        (starting.phase, starting.running_pods, starting.ready_pods),
        (Some(Phase::Pending), Some(1), Some(0))
    );
    assert_eq!(starting.node_pools, ["a100"]);
    assert_eq!(
        starting.allocated,
        BTreeMap::from([
            ("cpu".into(), "500m".into()),
            ("nvidia.com/gpu".into(), "500m".into())
        ])
    );
    assert_eq!((starting.outcome, starting.first_ready_time), (None, None));
    assert_eq!(condition(&starting, "Ready"), ("False".into(), 5));
    assert_eq!(condition(&starting, "Progressing"), ("True".into(), 5));
}

#[test]
fn a_life_succeeds_when_all_pods_are_ready() {
    let running = running();
    assert_eq!(
        (running.phase, running.phase_time),
        (Some(Phase::Running), Some(at(12)))
    );
    assert_eq!(
        (running.outcome, running.first_ready_time),
        (Some(Outcome::Succeeded), Some(at(9)))
    );
    assert_eq!(running.node_pools, ["a100", "h100"]);
    assert_eq!(running.allocated["cpu"], "1");
    assert_eq!(running.images, ["i"]);
    assert_eq!(condition(&running, "Ready"), ("True".into(), 12));
    assert_eq!(condition(&running, "Progressing"), ("False".into(), 12));

    let later = step(&running, &both_ready(), true, 99);
    assert_eq!(later, running, "nothing changed");
}

#[test]
fn a_life_ends_when_its_last_pod_is_gone() {
    let running = running();
    let over = step(&running, &[], false, 120);
    assert_eq!(
        (over.phase, over.reason.as_deref()),
        (Some(Phase::Stopped), Some("Superseded"))
    );
    assert_eq!(
        (over.outcome, over.first_ready_time),
        (Some(Outcome::Succeeded), Some(at(9)))
    );
    assert_eq!(over.images, ["i"], "what its pods were is not forgotten");
    assert_eq!(condition(&over, "Superseded"), ("True".into(), 120));
    assert!(is_settled(&over, false) && !is_settled(&running, false));
}

#[test]
fn a_failure_may_heal_until_it_is_superseded() {
    let crash = json!({"phase": "Running", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]});
    let crashing = pruned(
        json!({"metadata": {"namespace": "n"}, "spec": {"nodeName": "n1"}, "status": crash}),
    );
    let failed = step(
        &RevisionStatus::default(),
        &[crashing.clone(), crashing.clone()],
        true,
        5,
    );
    assert_eq!(
        (failed.phase, failed.outcome),
        (Some(Phase::Failed), Some(Outcome::Failed))
    );
    let healed = step(
        &failed,
        &[pod(Some("n1"), Some(20)), pod(Some("n1"), Some(21))],
        true,
        22,
    );
    assert_eq!(
        (healed.phase, healed.outcome),
        (Some(Phase::Running), Some(Outcome::Succeeded))
    );
    let superseded = step(&failed, &[crashing], false, 30);
    assert_eq!(
        (superseded.phase, superseded.outcome),
        (Some(Phase::Failed), Some(Outcome::Failed))
    );
    assert_eq!(superseded.message, failed.message);
    assert!(
        !is_settled(&superseded, false),
        "its pods are still counted"
    );
    let over = step(&superseded, &[], false, 40);
    assert!(is_settled(&over, false) && over.phase_time == failed.phase_time);
}

#[test]
fn what_never_had_pods_was_never_ready() {
    let over = step(&RevisionStatus::default(), &[], false, 1);
    assert_eq!(
        (over.phase, over.outcome),
        (Some(Phase::Stopped), Some(Outcome::NeverReady))
    );
    assert!(is_settled(&over, false));
}

#[test]
fn shared_pods_are_ready_from_the_first_moment() {
    let shared = [pod(Some("n1"), Some(-500)), pod(Some("n1"), Some(-400))];
    assert_eq!(
        step(&RevisionStatus::default(), &shared, true, 3).first_ready_time,
        Some(at(0))
    );
}

#[test]
fn patches_name_what_changed_and_nothing_else() {
    let before = RevisionStatus {
        phase: Some(Phase::Pending),
        message: Some("m".into()),
        allocated: BTreeMap::from([("a".into(), "1".into()), ("b".into(), "2".into())]),
        ..RevisionStatus::default()
    };
    let after = RevisionStatus {
        phase: Some(Phase::Running),
        allocated: BTreeMap::from([("a".into(), "1".into())]),
        ..RevisionStatus::default()
    };
    let expected =
        json!({"status": {"phase": "Running", "message": null, "allocated": {"b": null}}});
    assert_eq!(patch(&before, &after), Some(expected));
    assert_eq!(patch(&after, &after), None);
    assert_eq!(
        patch(&RevisionStatus::default(), &after).expect("a patch")["status"]["allocated"],
        json!({"a": "1"})
    );
}

#[test]
fn what_a_later_version_wrote_is_replaced_by_what_is_decided_only() {
    let stored = json!({"phase": "Napping", "outcome": "RolledBack", "message": "m"});
    let before: RevisionStatus = serde_json::from_value(stored).expect("a status");
    let without_message = RevisionStatus {
        message: None,
        ..before.clone()
    };
    assert_eq!(
        patch(&before, &without_message),
        Some(json!({"status": {"message": null}}))
    );
    let decided = RevisionStatus {
        phase: Some(Phase::Running),
        outcome: Some(Outcome::Succeeded),
        ..before.clone()
    };
    assert_eq!(
        patch(&before, &decided),
        Some(json!({"status": {"phase": "Running", "outcome": "Succeeded"}}))
    );
}

proptest::proptest! {
    #[test]
    fn a_patch_makes_one_of_the_other(
        a in proptest::collection::btree_map("[a-c]", "[0-9]{1,2}", 0..4), b in proptest::collection::btree_map("[a-c]", "[0-9]{1,2}", 0..4),
        message in proptest::option::of("[a-z]{1,3}"), pods in proptest::option::of(0..3_i32),
    ) {
        let before = RevisionStatus { allocated: a, running_pods: Some(1), message: Some("old".into()), ..RevisionStatus::default() };
        let after = RevisionStatus { allocated: b, running_pods: pods, message, ..RevisionStatus::default() };
        let mut document = json!({"status": before});
        if let Some(patch) = patch(&before, &after) {
            json_patch::merge(&mut document, &patch);
        }
        let status: RevisionStatus = serde_json::from_value(document["status"].clone()).expect("a status");
        proptest::prop_assert_eq!(status, after);
    }
}
