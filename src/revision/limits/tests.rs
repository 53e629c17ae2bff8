//! Revisions of any length against the schema of the definition.

use super::*;
use crate::revision::{Condition, FieldChange, Gap, Source, Via, schema};
use serde_json::{Value, json};

/// The schema of a part of a Revision.
fn schema_of(part: &str) -> Value {
    let crd = schema::crd().expect("a definition");
    let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    root["properties"][part].clone()
}

/// The texts and lists of spec that are cut, all of which [`overfull`] has too long. Identity and content are not cut.
const CUT: usize = 24;

/// Every place at which `value` is not of `schema`.
fn violations(path: &str, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if is_over(schema, value) {
        found.push(format!("{path} is too long"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if name.as_str().is_none_or(|name| value.get(name).is_none()) {
            found.push(format!("{path} lacks {name}"));
        }
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let known = schema["properties"].get(name);
        match known.or_else(|| schema.get("additionalProperties")) {
            Some(schema) => found.extend(violations(&path, schema, field)),
            None => found.push(format!("{path} is unknown")),
        }
    }
    for item in value.as_array().into_iter().flatten() {
        found.extend(violations(&format!("{path}[]"), &schema["items"], item));
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn is_over(schema: &Value, value: &Value) -> bool {
    let (word, length) = match value {
        Value::String(text) => ("maxLength", text.chars().count()),
        Value::Array(items) => ("maxItems", items.len()),
        Value::Object(fields) => ("maxProperties", fields.len()),
        _ => return false,
    };
    schema[word]
        .as_u64()
        .is_some_and(|limit| length as u64 > limit)
}

fn small() -> Revision {
    let uid = uuid::Uuid::nil();
    serde_json::from_value(json!({
        "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
        "metadata": {"name": "x", "labels": {"revisor.dev/workload-kind": "Deployment"}},
        "spec": {
            "id": uid, "type": "Change", "generation": 2, "resourceVersion": "1", "observedVia": "Watch",
            "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": uid},
            "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed",
            "via": {"manager": "m", "operation": "Update", "subresource": "scale"},
            "changeCause": "why", "source": {"tool": "Helm", "name": "r"},
            "snapshot": {"encoding": "json", "size": 2, "data": "{}"},
            "view": {"version": 1, "summary": "image", "images": ["a"], "args": "a 'b c'", "requestsTotal": "cpu=1",
                "changes": [{"path": "spec.image", "from": "a", "to": "b"}]},
        },
    }))
    .expect("a Revision")
}

/// A Revision that holds too much of everything.
fn overfull() -> Revision {
    let long = "é".repeat(100 << 10);
    let word = "é".repeat(2000);
    let words = vec![word.clone(); 300];
    let quantities: BTreeMap<_, _> = (0..2000)
        .map(|i| (format!("example.com/resource-{i}"), "1".to_owned()))
        .chain([(long.clone(), "1".to_owned())])
        .collect();
    let mut revision = small();
    revision.metadata.labels = Some(BTreeMap::from([("kind".to_owned(), "K".repeat(100))]));
    let spec = &mut revision.spec;
    spec.change_cause = Some(long.clone());
    spec.source = Some(Source {
        tool: long.clone(),
        name: long.clone(),
    });
    spec.via = Some(Via {
        manager: long.clone(),
        operation: long.clone(),
        subresource: long.clone(),
    });
    spec.gap = Some(Gap {
        from: 1,
        to: 2,
        reason: long.clone(),
    });
    let change = FieldChange {
        path: long.clone(),
        from: Some(long.clone()),
        to: Some(long.clone()),
        ..FieldChange::default()
    };
    spec.view = Some(View {
        version: 1,
        model: long.clone(),
        summary: long,
        changes: vec![change; 33],
        images: words.clone(),
        command: words.clone(),
        args: words.clone(),
        env: words.clone(),
        node_pools: words.clone(),
        unresolved: words,
        requests_per_pod: quantities.clone(),
        requests_total: quantities.clone(),
        limits_per_pod: quantities.clone(),
        limits_total: quantities,
        ..View::default()
    });
    revision
}

fn spec_of(revision: &Revision) -> Value {
    serde_json::to_value(&revision.spec).expect("JSON")
}

#[test]
fn an_overfull_revision_is_cut_to_every_limit() {
    let schema = schema_of("spec");
    let mut revision = overfull();
    let before = violations("spec", &schema, &spec_of(&revision));
    assert_eq!(before.len(), CUT, "{before:?}");
    revision.fit();
    let after = violations("spec", &schema, &spec_of(&revision));
    assert_eq!(after, [""; 0], "{after:?}");
    let cause = revision.spec.change_cause.as_deref().unwrap_or_default();
    assert_eq!(cause.chars().count(), MAX_TEXT);
    assert!(cause.ends_with("é…"));
    assert!(
        revision
            .spec
            .view
            .as_ref()
            .is_some_and(|view| view.truncated)
    );
    let mut labels = revision.metadata.labels.iter().flatten();
    assert!(labels.all(|(_, value)| value.len() == MAX_LABEL));
    let json = serde_json::to_vec(&revision).expect("JSON");
    assert!(json.len() < 32 << 10, "{}", json.len());
    let once = revision.clone();
    revision.fit();
    assert_eq!(revision, once, "what fits is not cut again");
}

#[test]
fn a_revision_within_its_limits_stays_as_it_is() {
    let mut revision = small();
    let schema = schema_of("spec");
    let found = violations("spec", &schema, &spec_of(&revision));
    assert_eq!(found, [""; 0], "{found:?}");
    revision.fit();
    assert_eq!(revision, small());
}

#[test]
fn the_lists_of_quantities_keep_whole_entries_only() {
    let mut all = BTreeMap::from([
        ("cpu".to_owned(), "1".to_owned()),
        ("n".repeat(MAX_ITEM + 1), "1".to_owned()),
    ]);
    let mut cutter = Cutter::default();
    cutter.quantities(&mut all);
    assert_eq!(all, BTreeMap::from([("cpu".to_owned(), "1".to_owned())]));
    assert!(cutter.less);
}

#[test]
fn extras_and_data_are_taken_out_once() {
    let mut revision = small();
    assert!(revision.without_extras());
    assert!(!revision.without_extras());
    let spec = &revision.spec;
    assert_eq!(
        (&spec.view, &spec.change_cause, &spec.source, &spec.via),
        (&None, &None, &None, &None)
    );
    assert_eq!(
        violations("spec", &schema_of("spec"), &spec_of(&revision)),
        [""; 0]
    );
    assert!(revision.without_data());
    assert!(!revision.without_data());
    let snapshot = revision.spec.snapshot.as_ref().expect("a snapshot");
    assert!(snapshot.data.is_none() && snapshot.oversize);
    revision.spec.snapshot = None;
    assert!(!revision.without_data());
}

#[test]
fn an_overfull_status_is_cut_to_every_limit() {
    let long = "é".repeat(2000);
    let condition = Condition {
        r#type: "Ready".into(),
        status: "True".into(),
        reason: Some(long.clone()),
        message: Some(long.clone()),
        last_transition_time: None,
    };
    let quantities = (0..300).map(|i| (format!("example.com/r{i}"), "1".to_owned()));
    let mut status = RevisionStatus {
        reason: Some(long.clone()),
        message: Some(long.clone()),
        node_pools: vec![long.clone(); 300],
        images: vec![long.clone(); 40],
        conditions: vec![condition; 9],
        allocated: quantities.chain([("long".to_owned(), long)]).collect(),
        ..RevisionStatus::default()
    };
    let schema = schema_of("status");
    let found = |status: &RevisionStatus| {
        let json = serde_json::to_value(status).expect("JSON");
        violations("status", &schema, &json)
    };
    let before = found(&status);
    assert_eq!(before.len(), 11, "{before:?}");
    status.fit();
    assert_eq!(found(&status), [""; 0]);
    assert_eq!(
        status.reason.as_ref().map(|reason| reason.chars().count()),
        Some(MAX_TEXT)
    );
    assert_eq!(
        status
            .message
            .as_ref()
            .map(|message| message.chars().count()),
        Some(MAX_MESSAGE)
    );
    let once = status.clone();
    status.fit();
    assert_eq!(status, once);
}
