//! Revisions that were stored when fewer secrets were known: what is served of them shows none of the corpus, whatever
//! their views, change causes and messages hold.

use super::corpus::Place;
use super::fill::Shown;
use super::record::{Workload, bare_view, record};
use super::serve::Served;
use super::table::{Finding, table};
use super::{BATCH, Output, Secret, generations, places, secrets};
use revisor::kinds::Catalogue;
use revisor::redact::Names;
use revisor::revision::{Condition, Revision, RevisionStatus};
use revisor::view::judged;
use serde_json::{Value, json};
use std::sync::Arc;

/// The generation in which the secret was changed.
const CHANGED: i64 = 3;
const CAUSE: &str = "/metadata/annotations/kubernetes.io~1change-cause";

/// The Revision of a generation as it would be stored if nothing were known of secrets.
fn made_older(mut revision: Revision, workload: &Workload, place: &Place) -> Revision {
    let step = usize::try_from(revision.spec.generation).expect("a generation") - 1;
    let (_, after) = &workload.steps[step];
    let before = &workload.steps[step.saturating_sub(1)].1;
    revision.spec.view = Some(bare_view(before, after));
    let cause = after.pointer(CAUSE).and_then(Value::as_str);
    revision.spec.change_cause = cause.map(str::to_owned);
    let message = match place {
        Place::Message { message } => Some(message.clone()),
        _ => None,
    };
    revision.status = Some(RevisionStatus {
        conditions: vec![condition(message.as_deref())],
        message,
        ..RevisionStatus::default()
    });
    revision
}

fn condition(message: Option<&str>) -> Condition {
    serde_json::from_value(json!({
        "type": "Ready", "status": "False", "reason": "Waiting", "message": message,
        "lastTransitionTime": "2026-01-02T03:04:06Z",
    }))
    .expect("a condition")
}

/// Whatever shows a workload whose Revisions are old. The Revisions themselves are not among it: what is stored cannot
/// be hidden from those who may read it, but what the plugin takes from them is.
async fn shown(served: &Served, workload: &Workload) -> Vec<Output> {
    let mut all = Vec::new();
    for (generation, (step, _)) in (1..).zip(&workload.steps) {
        let stored = served.revision(workload.uid, generation);
        let mut judged = judged(stored, &Names::default()).into_owned();
        judged.spec.snapshot = None;
        let text = serde_json::to_string(&judged).expect("JSON");
        all.push((*step, "judged", Shown::new(text)));
    }
    let answers = served.answers(workload.uid, CHANGED).await.into_iter();
    all.extend(answers.map(|(name, text)| ("changed", name, text)));
    let lists = served.lists(workload.uid).await.into_iter();
    all.extend(lists.map(|(name, text)| ("all", name, text)));
    all
}

/// Where the secrets of a batch can be read, and how many of them the stored Revisions show.
async fn leaks(catalogue: &Arc<Catalogue>, batch: &[Secret]) -> (Vec<Finding>, usize) {
    let workloads: Vec<_> = (0..)
        .zip(batch)
        .map(|(number, secret)| generations(catalogue, number, &secret.first, &secret.second))
        .collect();
    let revisions = record(catalogue, &workloads)
        .await
        .into_iter()
        .map(|stored| {
            let uid = stored.spec.workload.uid;
            let at = workloads.iter().position(|workload| workload.uid == uid);
            let at = at.expect("one of these");
            made_older(stored, &workloads[at], &batch[at].first)
        });
    let served = Served::new(catalogue, revisions.collect()).await;
    let mut findings = Vec::new();
    let mut stored = 0;
    for (secret, workload) in batch.iter().zip(&workloads) {
        let reveals = |text: &Shown| secret.planted.iter().any(|piece| text.reveals(piece));
        let mut added = served.revision(workload.uid, 2).clone();
        added.spec.snapshot = None;
        let added = Shown::new(serde_json::to_string(&added).expect("JSON"));
        stored += usize::from(reveals(&added));
        findings.push(Finding {
            form: secret.form.clone(),
            entry: secret.entry,
            template: secret.template.clone(),
            places: places(&shown(&served, workload).await, reveals),
        });
    }
    (findings, stored)
}

#[tokio::test]
async fn no_secret_that_is_stored_is_served() {
    let catalogue = Arc::new(Catalogue::built_in());
    let secrets = secrets();
    let mut findings = Vec::new();
    let mut stored = 0;
    for batch in secrets.chunks(BATCH) {
        let (found, shown) = leaks(&catalogue, batch).await;
        findings.extend(found);
        stored += shown;
    }
    let shown = findings.iter().filter(|finding| finding.is_found()).count();
    assert_eq!(shown, 0, "secrets are shown\n{}", table(&findings));
    // A long value is cut off in a view before its secret.
    let least = secrets.len() * 9 / 10;
    assert!(stored >= least, "{stored} of {} are stored", secrets.len());
}
