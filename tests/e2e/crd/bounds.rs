//! What a create is refused for, and what an earlier release has stored otherwise.

use super::{Stored, full, schema};
use crate::support::{Revisor, World, command, get, post, read, send, world};
use devcluster::Options;
use http::Method;
use kube::Client;
use serde_json::{Value, json};

const FIRST_CRD: &str = include_str!("../../fixtures/first-release/revisions-crd.yaml");
const FIRST_REVISIONS: &str = include_str!("../../fixtures/first-release/revisions.json");

struct Creator {
    client: Client,
    collection: String,
}

impl Creator {
    async fn new(world: &World, purpose: &str) -> Self {
        let namespace = world.namespace(purpose).await;
        Self {
            client: world.client().await,
            collection: format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions"),
        }
    }

    /// The answer to a create that stores nothing.
    async fn try_create(&self, object: &Value) -> (u16, String) {
        let path = format!("{}?dryRun=All&fieldValidation=Strict", self.collection);
        let body = object.to_string();
        send(&self.client, Method::POST, &path, "application/json", &body).await
    }

    async fn assert_refused(&self, what: &str, object: &Value) {
        let (status, body) = self.try_create(object).await;
        assert_eq!(status, 422, "{what}: {body}");
        assert!(body.contains("is invalid"), "{what}: {body}");
    }

    async fn assert_taken(&self, what: &str, object: &Value) {
        let (status, body) = self.try_create(object).await;
        assert_eq!(status, 201, "{what}: {body}");
    }
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = full();
    change(&mut object["spec"]);
    object
}

fn gap(from: i64, to: i64) -> Value {
    with(|spec| {
        spec["type"] = "Gap".into();
        spec["generation"] = to.into();
        spec["gap"] = json!({"from": from, "to": to, "reason": "Compacted"});
        for field in ["snapshot", "contentDigest", "previous"] {
            spec.as_object_mut().expect("an object").remove(field);
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_parts_do_not_fit_is_refused() {
    let creator = Creator::new(world(), "misfits").await;
    creator.assert_taken("a Change", &full()).await;
    creator.assert_taken("a Gap", &gap(3, 4)).await;
    creator.assert_taken("a Gap of one", &gap(1, 1)).await;
    let expunged = with(|spec| {
        spec["expunged"] = json!({"by": "u", "at": "2026-01-01T00:00:00Z", "reason": "r"});
        spec["snapshot"]
            .as_object_mut()
            .expect("one")
            .remove("data");
    });
    creator
        .assert_taken("a restore of an expunged one", &expunged)
        .await;
    for generation in [0, -1, i64::MIN] {
        let object = with(|spec| spec["generation"] = generation.into());
        creator
            .assert_refused("a generation below 1", &object)
            .await;
        let object = with(|spec| spec["previous"]["generation"] = generation.into());
        creator
            .assert_refused("a previous generation below 1", &object)
            .await;
        creator
            .assert_refused("a Gap from below 1", &gap(generation, 4))
            .await;
    }
    creator
        .assert_refused("a Gap that ends before it begins", &gap(5, 4))
        .await;
    let object = with(|spec| {
        spec["gap"] = json!({"from": 1, "to": 7, "reason": "Compacted"});
    });
    creator.assert_refused("a Change with a gap", &object).await;
    let object = with(|spec| spec["type"] = "Gap".into());
    creator.assert_refused("a Gap without a gap", &object).await;
    let mut object = gap(3, 4);
    object["spec"]["generation"] = 9.into();
    creator
        .assert_refused("a Gap of another generation", &object)
        .await;
    let mut object = gap(3, 4);
    object["spec"]["snapshot"] = json!({"encoding": "json", "size": 2, "data": "{}"});
    creator
        .assert_refused("a Gap with a snapshot", &object)
        .await;
    let object = with(|spec| {
        spec["expunged"] = json!({"by": "u", "at": "2026-01-01T00:00:00Z", "reason": "r"});
    });
    creator
        .assert_refused("an expunged one with data", &object)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_immutable() {
    let stored = Stored::create(world(), "gap", &gap(3, 4)).await;
    for gap in [
        json!({"from": 2, "to": 4, "reason": "Compacted"}),
        json!({"from": 3, "to": 5, "reason": "Compacted"}),
        json!({"from": 3, "to": 4, "reason": "Refused"}),
        Value::Null,
    ] {
        let what = format!("{gap}");
        stored.assert_refused(&what, |spec| spec["gap"] = gap).await;
    }
}

/// Where a value of `schema` has a bound: a pointer, and a value that is just too long.
fn too_long(pointer: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
    if let Some(most) = schema["maxLength"].as_u64() {
        let long = "é".repeat(usize::try_from(most).expect("small") + 1);
        found.push((pointer.to_owned(), long.into()));
    }
    if let Some(most) = schema["maxItems"].as_u64() {
        let item = match schema["items"]["type"].as_str() {
            Some("object") => json!({"path": "p"}),
            _ => json!("x"),
        };
        let most = usize::try_from(most).expect("small");
        found.push((pointer.to_owned(), vec![item; most + 1].into()));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        too_long(&format!("{pointer}/{name}"), field, found);
    }
    if let Some(items) = schema.get("items") {
        too_long(&format!("{pointer}/0"), items, found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_longer_than_its_bound_is_refused() {
    let creator = Creator::new(world(), "long").await;
    let mut found = Vec::new();
    too_long("", &schema(), &mut found);
    assert!(found.len() > 25, "{}", found.len());
    for (pointer, value) in found {
        if pointer == "/snapshot/data" {
            // No request is longer than that.
            continue;
        }
        let mut object = full();
        let mut at = &mut object["spec"];
        for step in pointer.split('/').skip(1) {
            at = match step.parse::<usize>() {
                Ok(0) if at.is_null() => {
                    *at = json!([null]);
                    &mut at[0]
                }
                Ok(index) => &mut at[index],
                Err(_) => &mut at[step],
            };
        }
        *at = value;
        let (status, body) = creator.try_create(&object).await;
        assert!(
            status == 422 && (body.contains("Too long") || body.contains("Too many")),
            "{pointer}: {status} {}",
            body.chars().take(600).collect::<String>()
        );
    }
}

/// What an earlier release or its definition let pass.
fn odd() -> Value {
    let long = "é".repeat(10_000);
    let mut odd = with(|spec| {
        spec["generation"] = 0.into();
        spec["gap"] = json!({"from": 5, "to": 3, "reason": "Compacted"});
        spec["changeCause"] = long.clone().into();
        spec["view"]["summary"] = long.clone().into();
        spec.as_object_mut().expect("an object").remove("previous");
    });
    odd["metadata"]["name"] = "odd".into();
    odd
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_release_has_stored_stays_readable_writable_and_served() {
    let own = World::start(&Options::minimal());
    own.define(FIRST_CRD);
    let creator = Creator::new(&own, "earlier").await;
    let mut names = Vec::new();
    let first: Vec<Value> = serde_json::from_str(FIRST_REVISIONS).expect("a list");
    let ids = first.iter().filter_map(|one| one["spec"]["id"].as_str());
    let served: Vec<_> = ids.map(str::to_owned).collect();
    for mut object in first.into_iter().chain([odd()]) {
        let name = object["metadata"]["name"].clone();
        let labels = object["metadata"]["labels"].clone();
        object["metadata"] = json!({"name": name, "labels": labels});
        names.push(
            post(&creator.client, &creator.collection, &object)
                .await
                .name,
        );
    }
    own.define(&String::from_utf8(command(&["crds"]).stdout).expect("text"));
    for name in &names {
        let path = format!("{}/{name}", creator.collection);
        assert!(read(&creator.client, &path).await["spec"]["id"].is_string());
        assert_writable(&creator.client, &path).await;
    }
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    for id in served {
        let path = format!("/api/v1/workloads/inferences/revisions/{id}");
        let (status, body) = get(revisor.rest, &path).expect("an answer");
        assert_eq!(status, 200, "{body}");
    }
}

/// Status, annotations and view can be written, and the content can be expunged.
async fn assert_writable(client: &Client, path: &str) {
    let patches = [
        (
            format!("{path}/status"),
            json!({"status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "reason": "Running"}]}}),
        ),
        (
            path.to_owned(),
            json!({"metadata": {"annotations": {"revisor.dev/pin": "why"}}}),
        ),
        (
            path.to_owned(),
            json!({"spec": {"view": {"version": 9, "summary": "better"}}}),
        ),
        (path.to_owned(), expunging("user")),
    ];
    for (path, patch) in patches {
        let (status, body) = merge(client, &path, &patch).await;
        assert_eq!(status, 200, "{path} {patch}: {body}");
    }
}

pub async fn merge(client: &Client, path: &str, patch: &Value) -> (u16, String) {
    let kind = "application/merge-patch+json";
    send(client, Method::PATCH, path, kind, &patch.to_string()).await
}

/// The patch that takes the content out.
pub fn expunging(by: &str) -> Value {
    json!({"spec": {"snapshot": {"data": null}, "view": null, "changeCause": null, "source": null,
        "expunged": {"by": by, "at": "2026-01-01T00:00:00Z", "reason": "a secret"}}})
}

/// Changes that take out too little or too much.
fn half_expunged() -> Vec<(&'static str, Value)> {
    vec![
        ("data removed alone", json!({"snapshot": {"data": null}})),
        ("data emptied", json!({"snapshot": {"data": ""}})),
        ("changeCause removed alone", json!({"changeCause": null})),
        ("source removed alone", json!({"source": null})),
        (
            "the snapshot removed",
            with_expunged(&json!({"snapshot": null})),
        ),
        ("data kept", with_expunged(&json!({}))),
        (
            "data changed",
            with_expunged(&json!({"snapshot": {"data": "[]"}})),
        ),
        (
            "size changed with it",
            with_expunged(&json!({"snapshot": {"data": null, "size": 3}})),
        ),
        (
            "oversize changed with it",
            with_expunged(&json!({"snapshot": {"data": null, "oversize": false}})),
        ),
        (
            "digest changed with it",
            with_expunged(&json!({"snapshot": {"data": null}, "contentDigest": "sha256:02"})),
        ),
        (
            "via removed with it",
            with_expunged(&json!({"snapshot": {"data": null}, "via": null})),
        ),
        (
            "changeCause changed with it",
            with_expunged(&json!({"snapshot": {"data": null}, "changeCause": "x"})),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn content_goes_only_when_it_is_expunged_and_does_not_come_back() {
    let stored = Stored::create(world(), "expunged", &full()).await;
    let (client, path) = (&stored.client, &stored.path);
    for (what, spec) in half_expunged() {
        let (status, body) = merge(client, path, &json!({"spec": spec})).await;
        assert_eq!(status, 422, "{what}: {body}");
    }
    let (status, body) = merge(client, path, &expunging("one")).await;
    assert_eq!(status, 200, "{body}");
    let left = read(client, path).await["spec"].clone();
    for gone in ["/snapshot/data", "/view", "/changeCause", "/source"] {
        assert_eq!(left.pointer(gone), None, "{gone}");
    }
    assert_eq!(left["contentDigest"], full()["spec"]["contentDigest"]);
    assert_eq!(left["expunged"]["by"], "one");
    let (status, _) = merge(client, path, &expunging("one")).await;
    assert_eq!(status, 200, "again");
    for (what, spec) in [
        ("data back", json!({"snapshot": {"data": "{}"}})),
        ("changeCause back", json!({"changeCause": "why"})),
        ("by another", json!({"expunged": {"by": "two"}})),
        ("not expunged", json!({"expunged": null})),
    ] {
        let (status, body) = merge(client, path, &json!({"spec": spec})).await;
        assert_eq!(status, 422, "{what}: {body}");
    }
    let (status, body) = merge(
        client,
        path,
        &json!({"spec": {"view": {"version": 2, "summary": "anew"}}}),
    )
    .await;
    assert_eq!(status, 200, "{body}");
}

fn with_expunged(change: &Value) -> Value {
    let mut spec = change.clone();
    spec["expunged"] = json!({"by": "u", "at": "2026-01-01T00:00:00Z", "reason": "r"});
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn one_without_data_can_be_expunged_too() {
    let oversize =
        with(|spec| spec["snapshot"] = json!({"encoding": "json", "size": 9, "oversize": true}));
    let stored = Stored::create(world(), "oversize", &oversize).await;
    let patch = json!({"spec": with_expunged(&json!({"changeCause": null}))});
    let (status, body) = merge(&stored.client, &stored.path, &patch).await;
    assert_eq!(status, 200, "{body}");
}
