//! What a restart, an echo and pods that come back do to statuses.

use super::tests::{WORKLOAD, at, decided, owner, pod, revision, subjects};
use super::*;
use crate::observe::attribute::Templates;
use crate::observe::judge::Judgement;
use crate::observe::phase::Ruling;
use serde_json::{Value, json};
use std::collections::HashSet;

type Rows = Vec<(i64, String, Option<i32>)>;

fn row(generation: i64, phase: &str, pods: i32) -> (i64, String, Option<i32>) {
    (generation, phase.to_owned(), Some(pods))
}

fn templates(hash: u64) -> Templates {
    Templates {
        components: std::iter::once(("main".into(), hash)).collect(),
        pods: 1,
        replicas: Some(1),
        elastic: false,
    }
}

/// A pod that is ready, and its workload is known.
fn serve(subjects: &mut Subjects, number: u128, hash: &str, image: &str, second: i64) {
    let uid = Uuid::from_u128(number);
    subjects.pod(0, uid, pod(hash, image, second), Some(owner()));
    subjects.claim(uid, WORKLOAD);
}

/// The workload is there, in that generation.
fn is_live(subjects: &mut Subjects, generation: i64) {
    let raw = json!({"metadata": {"name": "w", "generation": generation}, "spec": {"replicas": 1}});
    let written = Written {
        group: "apps".into(),
        kind: "Deployment".into(),
        gone: false,
        raw: RawValue::from_string(raw.to_string()).expect("JSON"),
    };
    subjects.live(WORKLOAD, &written);
}

fn stored(subjects: &Subjects, generation: i64) -> Value {
    let known = &subjects.get(WORKLOAD).expect("known").revisions[&generation];
    json!(known.status)
}

fn unread(subjects: &Subjects, second: i64) -> Vec<i64> {
    let unread = subjects.unread(WORKLOAD, &Judgement::silent(), at(second));
    unread.iter().map(|unread| unread.generation).collect()
}

fn settled(keys: &[&str], outcome: &str) -> Value {
    json!({"phase": "Stopped", "outcome": outcome, "runningPods": 0, "podKeys": keys,
        "conditions": [{"type": "Superseded", "status": "True"}]})
}

#[test]
fn a_revision_that_was_scaled_has_its_pods_after_a_restart() {
    let mut subjects = subjects();
    subjects.put(&revision(1, "i:1", &settled(&["a"], "Succeeded")));
    let running = json!({"phase": "Running", "runningPods": 1, "podKeys": ["a"]});
    subjects.put(&revision(2, "i:1", &running));
    is_live(&mut subjects, 2);
    serve(&mut subjects, 1, "a", "i:1", 11);
    let rows: Rows = decided(&mut subjects, 30);
    assert!(rows.contains(&row(2, "Running", 1)), "{rows:?}");
}

#[test]
fn without_a_key_the_templates_tell_after_a_restart() {
    let mut subjects = subjects();
    subjects.put(&revision(1, "i:1", &settled(&[], "Succeeded")));
    subjects.put(&revision(
        2,
        "i:1",
        &json!({"phase": "Running", "runningPods": 1}),
    ));
    is_live(&mut subjects, 2);
    serve(&mut subjects, 1, "a", "i:1", 11);
    assert_eq!(
        unread(&subjects, 30),
        [1, 2],
        "one that is settled has pods"
    );
    let before: RevisionStatus =
        serde_json::from_value(settled(&[], "Succeeded")).expect("a status");
    subjects.learned(WORKLOAD, 1, Some(templates(1)), Some(&before));
    subjects.learned(WORKLOAD, 2, Some(templates(1)), None);
    assert!(unread(&subjects, 30).is_empty());
    let rows: Rows = decided(&mut subjects, 30);
    assert!(rows.contains(&row(2, "Running", 1)), "{rows:?}");
    assert_eq!(stored(&subjects, 2)["podKeys"], json!(["a"]));
}

#[test]
fn pods_are_known_after_many_quick_edits() {
    let mut subjects = subjects();
    for generation in 1..=31 {
        subjects.put(&revision(generation, "i:1", &json!({})));
    }
    serve(&mut subjects, 1, "a", "i:1", 11);
    is_live(&mut subjects, 31);
    for generation in [1, 30, 31] {
        subjects.learned(WORKLOAD, generation, Some(templates(1)), None);
    }
    let rows = decided(&mut subjects, 320);
    assert!(rows.contains(&row(31, "Running", 1)), "{rows:?}");
    assert!(rows.contains(&row(1, "Stopped", 0)), "{rows:?}");
    assert!(
        decided(&mut subjects, 330).is_empty(),
        "nothing changes any more"
    );
}

#[test]
fn pods_that_come_back_open_what_was_over() {
    let mut subjects = subjects();
    subjects.put(&revision(1, "i:1", &settled(&["a"], "Succeeded")));
    let degraded = json!({"phase": "Degraded", "runningPods": 1, "podKeys": ["b"]});
    subjects.put(&revision(2, "i:2", &degraded));
    assert!(stored(&subjects, 1).is_null(), "it takes no memory");
    serve(&mut subjects, 1, "a", "i:1", 50);
    serve(&mut subjects, 2, "b", "i:2", 21);
    assert_eq!(unread(&subjects, 60), [1, 2]);
    let before: RevisionStatus =
        serde_json::from_value(settled(&["a"], "Succeeded")).expect("a status");
    subjects.learned(WORKLOAD, 1, Some(templates(1)), Some(&before));
    subjects.learned(WORKLOAD, 2, Some(templates(2)), None);
    let judgement = Judgement {
        serving: vec!["a".into()],
        ..Judgement::silent()
    };
    let all = subjects.decide(WORKLOAD, &judgement, at(60));
    let first = all.iter().find(|decision| decision.generation == 1);
    let status = &first.expect("it is open").status;
    assert_eq!(
        (status.phase, status.reason.as_deref(), status.running_pods),
        (
            Some(crate::revision::Phase::Running),
            Some("ServesTraffic"),
            Some(1)
        )
    );
    assert_eq!(json!(status.outcome), "Succeeded");
}

#[test]
fn a_failure_gives_its_numbers_back() {
    let mut subjects = subjects();
    let failed = json!({"phase": "Failed", "outcome": "Failed", "runningPods": 0, "nodePools": ["a100"],
        "allocated": {"nvidia.com/gpu": "2"}, "conditions": [{"type": "Superseded", "status": "True"}]});
    subjects.put(&revision(1, "i:1", &failed));
    subjects.put(&revision(2, "i:2", &json!({"phase": "Creating"})));
    decided(&mut subjects, 30);
    subjects.put(&revision(2, "i:2", &json!({})));
    let known = &subjects.get(WORKLOAD).expect("known").revisions[&1];
    assert!(known.status.is_none(), "nothing is held any more");
}

#[test]
fn a_change_that_another_one_completes_has_its_outcome() {
    let mut subjects = subjects();
    for generation in [1, 2, 3] {
        let image = if generation == 1 { "i:1" } else { "i:2" };
        subjects.put(&revision(generation, image, &json!({})));
        subjects.learned(
            WORKLOAD,
            generation,
            Some(templates(u64::from(generation > 1))),
            None,
        );
    }
    is_live(&mut subjects, 3);
    decided(&mut subjects, 31);
    let outcome = |subjects: &Subjects, generation| stored(subjects, generation)["outcome"].clone();
    assert_eq!(
        outcome(&subjects, 2),
        json!(null),
        "the next one may complete it"
    );
    serve(&mut subjects, 1, "b", "i:2", 35);
    decided(&mut subjects, 40);
    assert_eq!(outcome(&subjects, 3), "Succeeded");
    let rows = &subjects.get(WORKLOAD).expect("known").revisions;
    assert!(rows[&2].status.is_none(), "it is settled with that");
}

#[test]
fn the_echo_of_a_write_makes_no_workload() {
    let mut subjects = subjects();
    subjects.put(&revision(1, "i:1", &json!({"phase": "Running"})));
    subjects.put(&revision(
        2,
        "i:2",
        &json!({"workloadDeletionTime": at(50)}),
    ));
    let all = subjects.decide(WORKLOAD, &Judgement::silent(), at(60));
    let mut echoes = Vec::new();
    for decision in all {
        let mut status = json!(decision.status);
        if decision.generation == 2 {
            status["workloadDeletionTime"] = json!(at(50));
        }
        let image = format!("i:{}", decision.generation);
        echoes.push(revision(decision.generation, &image, &status));
        subjects.written(WORKLOAD, decision.generation, decision.status);
    }
    assert!(subjects.has(WORKLOAD), "its echoes are still to come");
    for echo in &echoes {
        subjects.put(echo);
        subjects.drop_finished(WORKLOAD);
    }
    assert!(!subjects.has(WORKLOAD));
    subjects.put(&echoes[1]);
    assert!(!subjects.has(WORKLOAD), "somebody wrote a note on it");
    subjects.put(&revision(1, "i:1", &json!({})));
    let rows = decided(&mut subjects, 70);
    assert_eq!(rows, [row(1, "Stopped", 0)], "one that was stored late");
    subjects.listing();
    subjects.listed();
    assert!(subjects.over.is_empty() && !subjects.has(WORKLOAD));
}

#[test]
fn nothing_is_decided_on_a_part_of_what_there_is() {
    let kinds = crate::kinds::Catalogue::built_in();
    let mut subjects = Subjects::new(kinds.kinds());
    subjects.listing();
    subjects.put(&revision(1, "i:1", &json!({})));
    let deployment = subjects.get(WORKLOAD).expect("known").kind.clone();
    subjects.lead(&[vec![deployment]]);
    assert!(subjects.take_dirty().is_empty());
    subjects.listed();
    subjects.nodes_listed(&HashSet::new());
    subjects.serves("apps", "Deployment", true);
    subjects.joined("apps", "Deployment");
    subjects.pods_listed(0, &HashSet::new());
    assert!(
        subjects.take_dirty().is_empty(),
        "owners are asked for first"
    );
    let watches = subjects.take_lookups().watches;
    subjects.looked_up(&watches);
    assert_eq!(subjects.take_dirty(), [WORKLOAD]);
    assert!(subjects.take_dirty().is_empty());
}

#[test]
fn a_workload_that_is_known_before_its_revision_is_not_forgotten() {
    let mut subjects = subjects();
    is_live(&mut subjects, 1);
    assert!(subjects.get(WORKLOAD).is_none());
    subjects.put(&revision(1, "i:1", &json!({})));
    assert!(subjects.get(WORKLOAD).expect("known").live.is_some());
    assert!(subjects.early.is_empty());
}

#[test]
fn a_namespace_that_goes_leaves_nothing() {
    let mut subjects = subjects();
    subjects.put(&revision(1, "i:1", &json!({})));
    serve(&mut subjects, 1, "a", "i:1", 11);
    is_live(&mut subjects, 1);
    subjects.remove(WORKLOAD, 1);
    assert!(subjects.has(WORKLOAD), "its pods go later");
    subjects.pod_gone(0, Uuid::from_u128(1));
    assert!(!subjects.has(WORKLOAD) && subjects.over.is_empty());
    assert!(subjects.names.is_empty() && subjects.namespaces.is_empty());
    assert!(subjects.dirty.is_empty() && subjects.early.is_empty());
}

#[test]
fn pods_that_look_alike_are_shared_by_component_when_the_workload_is_content() {
    let mut subjects = subjects();
    subjects.put(&revision(1, "i:1", &json!({})));
    subjects.put(&revision(2, "i:1", &json!({})));
    subjects.learned(WORKLOAD, 1, Some(templates(1)), None);
    subjects.learned(WORKLOAD, 2, Some(templates(2)), None);
    serve(&mut subjects, 1, "a", "i:1", 11);
    let judgement = Judgement {
        ruling: Ruling::Match {
            phase: crate::revision::Phase::Running,
            reason: None,
            message: None,
            since: None,
        },
        ..Judgement::silent()
    };
    let of = |subjects: &Subjects, second| {
        let subject = subjects.get(WORKLOAD).expect("known");
        let attribution = subject.attribution(&judgement, at(second));
        attribution.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(of(&subjects, 49), [1]);
    assert_eq!(of(&subjects, 50), [2]);
    serve(&mut subjects, 2, "b", "i:1", 30);
    assert_eq!(of(&subjects, 50), [1, 2], "it has pods of its own");
}
