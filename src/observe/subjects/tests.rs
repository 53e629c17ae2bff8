//! What is kept in memory of Revisions, workloads and pods.

use super::*;
use crate::observe::judge::Judgement;
use crate::observe::pod::Pod;
use crate::observe::pod::tests::pruned;
use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};
use std::collections::HashSet;

pub(super) const WORKLOAD: Uuid = Uuid::from_u128(1);

pub(super) fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000 + second, 0).expect("a time")
}

pub(super) fn revision(generation: i64, image: &str, status: &Value) -> Revision {
    serde_json::from_value(json!({
        "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision", "metadata": {"name": format!("w-{generation}"), "namespace": "n"},
        "spec": {
            "id": Uuid::from_u128(u128::try_from(generation).expect("positive")), "type": "Change", "generation": generation,
            "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w", "uid": WORKLOAD},
            "resourceVersion": "1", "observedVia": "Watch", "changeTime": at(10 * generation), "changeTimeSource": "Observed",
            "view": {"version": 1, "summary": "s", "images": [image]},
        },
        "status": status,
    }))
    .expect("a Revision")
}

pub(super) fn subjects() -> Subjects {
    let mut subjects = Subjects::new(crate::kinds::Catalogue::built_in().kinds());
    subjects.leads = true;
    subjects
}

pub(super) fn pod(hash: &str, image: &str, second: i64) -> Pod {
    pruned(
        json!({"metadata": {"namespace": "n", "creationTimestamp": at(second), "labels": {"pod-template-hash": hash}},
        "spec": {"nodeName": "a", "containers": [{"name": "c", "image": image}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(second)}]}}),
    )
}

pub(super) fn owner() -> OwnerReference {
    OwnerReference {
        kind: "ReplicaSet".into(),
        uid: Uuid::from_u128(7).to_string(),
        ..OwnerReference::default()
    }
}

pub(super) fn decided(subjects: &mut Subjects, second: i64) -> Vec<(i64, String, Option<i32>)> {
    let all = subjects.decide(WORKLOAD, &Judgement::silent(), at(second));
    let short = |decision: &Decision| {
        (
            decision.generation,
            decision
                .status
                .phase
                .map(|phase| phase.to_string())
                .unwrap_or_default(),
            decision.status.running_pods,
        )
    };
    let mut short: Vec<_> = all.iter().map(short).collect();
    short.sort_unstable();
    for decision in all {
        subjects.written(WORKLOAD, decision.generation, decision.status);
    }
    short
}

#[test]
fn pods_may_come_before_their_workload_is_known() {
    let mut subjects = subjects();
    let uid = Uuid::from_u128(100);
    subjects.pod(0, uid, pod("a", "i:1", 11), Some(owner()));
    assert!(
        subjects.take_lookups().lookups.is_empty(),
        "nothing is recorded in its namespace, so nobody is asked"
    );
    subjects.put(&revision(1, "i:1", &json!({})));
    let lost = subjects.take_lookups().lookups;
    assert_eq!((lost.len(), lost[0].uid), (1, uid));
    assert!(
        subjects.take_lookups().lookups.is_empty(),
        "each is asked for once"
    );
    subjects.claim(uid, WORKLOAD);
    assert_eq!(decided(&mut subjects, 15), [(1, "Running".into(), Some(1))]);
    assert!(decided(&mut subjects, 16).is_empty(), "it is written");
    assert_eq!(subjects.moved, [(WORKLOAD, true)]);
}

#[test]
fn a_rollout_moves_pods_from_one_revision_to_the_next() {
    let mut subjects = subjects();
    subjects.put(&revision(1, "i:1", &json!({})));
    subjects.put(&revision(2, "i:2", &json!({})));
    for (number, hash, image, second) in [(1, "a", "i:1", 12), (2, "b", "i:2", 21)] {
        subjects.pod(
            0,
            Uuid::from_u128(number),
            pod(hash, image, second),
            Some(owner()),
        );
        subjects.claim(Uuid::from_u128(number), WORKLOAD);
    }
    let expected = [
        (1, "Terminating".to_owned(), Some(1)),
        (2, "Running".to_owned(), Some(1)),
    ];
    assert_eq!(decided(&mut subjects, 25), expected);
    subjects.pod_gone(0, Uuid::from_u128(1));
    assert_eq!(
        decided(&mut subjects, 26),
        [(1, "Stopped".to_owned(), Some(0))]
    );
    // What is final is not looked at again.
    subjects.put(&revision(2, "i:2", &json!({})));
    assert_eq!(decided(&mut subjects, 27).len(), 1);
}

#[test]
fn a_time_of_our_own_is_compared_in_whole_seconds() {
    let mut subjects = subjects();
    subjects.put(&revision(1, "i:1", &json!({})));
    let mut second = revision(2, "i:2", &json!({}));
    second.spec.change_time = at(20) + TimeDelta::milliseconds(471);
    subjects.put(&second);
    let uid = Uuid::from_u128(1);
    subjects.pod(0, uid, pod("b", "i:2", 20), Some(owner()));
    subjects.claim(uid, WORKLOAD);
    let newest = (2, "Running".to_owned(), Some(1));
    assert!(decided(&mut subjects, 25).contains(&newest));
}

#[test]
fn a_pod_goes_when_no_watch_shows_it_any_more() {
    let mut subjects = subjects();
    let uid = Uuid::from_u128(100);
    subjects.put(&revision(1, "i:1", &json!({})));
    subjects.pod(0, uid, pod("a", "i:1", 11), Some(owner()));
    subjects.pod(1, uid, pod("a", "i:1", 11), Some(owner()));
    subjects.claim(uid, WORKLOAD);
    subjects.pod_gone(0, uid);
    assert_eq!(subjects.pod_count(), 1);
    subjects.pods_listed(1, &HashSet::new());
    assert_eq!(subjects.pod_count(), 0);
    assert_eq!(
        decided(&mut subjects, 15),
        [(1, "Creating".into(), Some(0))]
    );
}

#[test]
fn the_order_in_which_pods_came_does_not_show() {
    let failing = |number: u128| {
        let waiting = json!({"reason": "ErrImagePull", "message": format!("of pod {number}")});
        pruned(
            json!({"metadata": {"namespace": "n", "creationTimestamp": at(11), "labels": {"pod-template-hash": "a"}},
            "spec": {"nodeName": "a", "containers": [{"name": "c", "image": "i:1"}]},
            "status": {"phase": "Pending", "containerStatuses": [{"name": "c", "state": {"waiting": waiting}}]}}),
        )
    };
    for order in [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 5, 1, 4, 2]] {
        let mut subjects = subjects();
        subjects.put(&revision(1, "i:1", &json!({})));
        for number in order {
            let uid = Uuid::from_u128(number);
            subjects.pod(0, uid, failing(number), Some(owner()));
            subjects.claim(uid, WORKLOAD);
        }
        let all = subjects.decide(WORKLOAD, &Judgement::silent(), at(15));
        assert_eq!(
            all[0].status.message.as_deref(),
            Some("container c: ErrImagePull: of pod 1"),
            "{order:?}"
        );
    }
}

#[test]
fn a_leader_looks_at_every_workload_in_one_order() {
    let mut subjects = subjects();
    subjects.leads = false;
    let uids: Vec<_> = [4, 1, 3, 2].map(Uuid::from_u128).to_vec();
    for uid in &uids {
        let mut revision = revision(1, "i:1", &json!({}));
        revision.spec.workload.uid = *uid;
        revision.spec.workload.name = uid.to_string();
        subjects.put(&revision);
    }
    assert!(subjects.moved.is_empty());
    subjects.dirty.clear();
    subjects.lead(&[]);
    let sorted = [1, 2, 3, 4].map(Uuid::from_u128);
    assert_eq!(subjects.moved, sorted.map(|uid| (uid, true)));
    assert!(subjects.dirty.iter().eq(&sorted));
}

#[test]
fn deleted_workloads_are_forgotten_when_all_is_said() {
    let mut subjects = subjects();
    subjects.put(&revision(
        1,
        "i:1",
        &json!({"workloadDeletionTime": at(50)}),
    ));
    assert_eq!(decided(&mut subjects, 60), [(1, "Stopped".into(), Some(0))]);
    assert!(subjects.has(WORKLOAD), "the watch has not shown that yet");
    // A list after a restart shows it again, as it was stored.
    let stored = json!({"phase": "Stopped", "outcome": "NeverReady", "runningPods": 0, "workloadDeletionTime": at(50)});
    subjects.listing();
    subjects.put(&revision(1, "i:1", &stored));
    subjects.listed();
    assert!(!subjects.has(WORKLOAD));
    assert_eq!(subjects.moved, [(WORKLOAD, true), (WORKLOAD, false)]);
}

#[test]
fn what_a_list_does_not_name_is_gone() {
    let mut subjects = subjects();
    subjects.put(&revision(1, "i:1", &json!({})));
    subjects.put(&revision(2, "i:2", &json!({})));
    subjects.listing();
    subjects.put(&revision(2, "i:2", &json!({})));
    subjects.listed();
    assert_eq!(
        decided(&mut subjects, 30),
        [(2, "Creating".into(), Some(0))]
    );
}

#[test]
fn old_pods_of_a_name_are_not_those_of_its_new_owner() {
    let mut subjects = subjects();
    let mut first = revision(1, "i:1", &json!({}));
    first.spec.workload.kind = "LeaderWorkerSet".into();
    first.spec.workload.api_version = "leaderworkerset.x-k8s.io/v1".into();
    subjects.put(&first);
    let labelled = |second: i64| {
        pruned(
            json!({"metadata": {"namespace": "n", "creationTimestamp": at(second), "labels": {"leaderworkerset.sigs.k8s.io/name": "w"}}, "spec": {}}),
        )
    };
    subjects.pod(0, Uuid::from_u128(1), labelled(5), None);
    assert_eq!(
        decided(&mut subjects, 15),
        [(1, "Creating".into(), Some(0))]
    );
    subjects.pod(0, Uuid::from_u128(2), labelled(11), None);
    assert_eq!(decided(&mut subjects, 16), [(1, "Pending".into(), Some(0))]);
}

#[test]
fn content_is_kept_of_the_newest_only_and_by_who_leads_only() {
    let with_content = |generation| {
        let mut revision = revision(generation, "i", &json!({}));
        let gzip = crate::gzip::compress(b"{}").expect("memory");
        let data = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, gzip);
        let snapshot = json!({"encoding": "gzip+base64", "size": 2, "data": data});
        revision.spec.snapshot = serde_json::from_value(snapshot).expect("a snapshot");
        revision
    };
    let kept = |subjects: &Subjects| {
        let all = &subjects.get(WORKLOAD).expect("known").revisions;
        all.iter()
            .filter(|(_, known)| known.gzip.is_some())
            .map(|(generation, _)| *generation)
            .collect::<Vec<_>>()
    };
    let mut subjects = subjects();
    (1..=3).for_each(|generation| subjects.put(&with_content(generation)));
    assert_eq!(
        kept(&subjects),
        [2, 3],
        "and of the one that it may complete"
    );
    let unread = |subjects: &Subjects| {
        let unread = subjects.unread(WORKLOAD, &Judgement::silent(), at(40));
        unread
            .iter()
            .map(|unread| unread.generation)
            .collect::<Vec<_>>()
    };
    assert_eq!(unread(&subjects), [2, 3]);
    subjects.learned(WORKLOAD, 2, None, None);
    subjects.learned(WORKLOAD, 3, None, None);
    assert!(kept(&subjects).is_empty() && unread(&subjects).is_empty());
    subjects.leads = false;
    (4..=5).for_each(|generation| subjects.put(&with_content(generation)));
    assert!(kept(&subjects).is_empty());
}
