//! Judges the statuses of Revisions at rest: they have to agree with the pods that are there.

use super::Hostile;
use crate::controllers::is_ready;
use crate::etcd::{Entry, Etcd, Revision};
use crate::kinds::{DEPLOYMENT, POD, REVISION};
use serde_json::Value;
use std::collections::BTreeMap;

/// The statuses of Revisions of Deployments that do not agree with the pods. Where generations are lost, pods may be of
/// one of those, and nobody can tell.
pub fn differing(etcd: &Etcd, hostile: &Hostile) -> Vec<String> {
    let now = etcd.revision();
    let spec = |revision: &Entry| revision.object.value["spec"].clone();
    let all: Vec<_> = etcd
        .range(&REVISION, None, now)
        .filter(|revision| !hostile.is_forged(&revision.key))
        .filter(|revision| spec(revision)["workload"]["kind"] == "Deployment")
        .collect();
    let with_gaps: Vec<_> = all
        .iter()
        .filter(|revision| spec(revision)["type"] == "Gap")
        .map(|gap| spec(gap)["workload"]["uid"].clone())
        .collect();
    let revisions: Vec<_> = all
        .into_iter()
        .filter(|revision| !with_gaps.contains(&spec(revision)["workload"]["uid"]))
        .collect();
    let deployments: Vec<_> = etcd.range(&DEPLOYMENT, None, now).collect();
    let of = |revision: &Entry| {
        deployments.iter().copied().find(|deployment| {
            deployment.object.value["metadata"]["uid"]
                == revision.object.value["spec"]["workload"]["uid"]
        })
    };
    revisions
        .iter()
        .filter_map(|revision| {
            let live = of(revision).filter(|live| is_newest(&revisions, revision, live));
            let expected = live.map(|live| pods(etcd, live));
            difference(&revision.object.value["status"], expected)
                .map(|text| format!("{}: {text}", revision.key.name))
        })
        .collect()
}

/// Whether a Revision is the newest of its workload, which has pods.
fn is_newest(revisions: &[&Entry], revision: &Entry, live: &Entry) -> bool {
    let spec = |entry: &Entry| entry.object.value["spec"].clone();
    let own = spec(revision);
    let is_newer = |other: &&&Entry| {
        let other = spec(other);
        other["workload"]["uid"] == own["workload"]["uid"]
            && other["generation"].as_i64() > own["generation"].as_i64()
    };
    let is_going = live.object.value["metadata"].get("deletionTimestamp");
    is_going.is_none() && !revisions.iter().any(|other| is_newer(&other))
}

/// The pods of a Deployment that rests: all are of its template.
fn pods(etcd: &Etcd, deployment: &Entry) -> i64 {
    let prefix = format!("{}-", deployment.key.name);
    let namespace = Some(deployment.key.namespace.as_str());
    let pods = etcd.range(&POD, namespace, etcd.revision());
    let is_its_own =
        |pod: &&Entry| pod.key.name.starts_with(&prefix) && is_ready(&pod.object.value);
    i64::try_from(pods.filter(is_its_own).count()).unwrap_or(i64::MAX)
}

/// The difference between a status and the pods that it should count; None: it is not the newest, and has none.
fn difference(status: &Value, pods: Option<i64>) -> Option<String> {
    let count = |field: &str| status[field].as_i64().unwrap_or_default();
    let [running, ready] = ["runningPods", "readyPods"].map(count);
    let phase = status["phase"].as_str().unwrap_or("none");
    let is_right = match pods {
        Some(pods) => (running, ready, phase) == (pods, pods, "Running"),
        None => (running, ready) == (0, 0) && phase != "Running",
    };
    (!is_right).then(|| {
        let expected = pods.map_or("no".to_owned(), |pods| pods.to_string());
        format!("{phase}, {running} running, {ready} ready; {expected} pods are there")
    })
}

/// The statuses that were written since a place, and are not what they were there. Fields of recording do not count.
pub fn changed(etcd: &Etcd, since: Revision) -> Vec<String> {
    let own = |entry: &Entry| {
        let mut status = entry.object.value["status"].clone();
        if let Some(fields) = status.as_object_mut() {
            for field in [
                "observedThrough",
                "workloadDeletionTime",
                "workloadEndUnknown",
            ] {
                fields.remove(field);
            }
        }
        status
    };
    let before: BTreeMap<_, _> = etcd
        .range(&REVISION, None, since)
        .map(|entry| (entry.key.clone(), own(entry)))
        .collect();
    etcd.range(&REVISION, None, etcd.revision())
        .filter_map(|entry| {
            let (before, now) = (before.get(&entry.key)?, own(entry));
            (*before != now).then(|| format!("{}: {before} became {now}", entry.key.name))
        })
        .collect()
}
