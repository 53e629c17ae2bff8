//! The custom resource on a real API server: immutable, selectable, readable.

mod bounds;

use crate::support::{DEPLOYMENT, World, command, post, read, revisions, revisor, send, world};
use devcluster::Options;
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use uuid::Uuid;

/// The schema of spec, from what `revisor crds` prints.
fn schema() -> Value {
    let out = command(&["crds"]);
    let crd: Value =
        serde_saphyr::from_str(&String::from_utf8(out.stdout).expect("text")).expect("YAML");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// A Revision with every field set.
fn full() -> Value {
    json!({
        "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision", "metadata": {"name": "full"},
        "spec": {
            "id": Uuid::from_u128(1), "type": "Change", "generation": 7, "resourceVersion": "1", "observedVia": "Watch",
            "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w", "uid": Uuid::from_u128(2)},
            "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed",
            "via": {"manager": "m", "operation": "Update", "subresource": "scale"}, "changeCause": "why",
            "source": {"tool": "Helm", "name": "r"}, "contentDigest": "sha256:00",
            "previous": {"generation": 6, "digest": "sha256:01"},
            "snapshot": {"encoding": "json", "size": 2, "data": "{}", "oversize": true},
            "view": {"version": 1, "summary": "image", "images": ["a"], "changes": [{"path": "spec.image", "from": "a", "to": "b"}]},
        },
    })
}

/// Some other value of the same type.
fn other(value: &Value) -> Value {
    match value {
        Value::String(text) => match text.as_str() {
            "Change" => "Gap".into(),
            "Watch" => "List".into(),
            "Observed" => "ManagedFields".into(),
            "json" => "gzip+base64".into(),
            "2026-01-01T00:00:00Z" => "2026-01-02T00:00:00Z".into(),
            uuid if Uuid::try_parse(uuid).is_ok() => json!(Uuid::from_u128(99)),
            text => format!("{text}x").into(),
        },
        Value::Number(number) => json!(number.as_i64().expect("an integer") + 1),
        Value::Bool(value) => json!(!value),
        Value::Object(fields) => {
            let (name, field) = fields.iter().next().expect("a field");
            let mut changed = value.clone();
            changed[name] = other(field);
            changed
        }
        other => panic!("no other value for {other}"),
    }
}

struct Stored {
    client: Client,
    path: String,
}

impl Stored {
    async fn create(world: &World, purpose: &str, object: &Value) -> Self {
        let client = world.client().await;
        let namespace = world.namespace(purpose).await;
        let collection = format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions");
        let name = post(&client, &collection, object).await.name;
        Self {
            client,
            path: format!("{collection}/{name}"),
        }
    }

    /// PUTs the stored object with `spec` changed.
    async fn put(&self, change: impl FnOnce(&mut Value)) -> (u16, String) {
        let mut object = read(&self.client, &self.path).await;
        change(&mut object["spec"]);
        send(
            &self.client,
            Method::PUT,
            &self.path,
            "application/json",
            &object.to_string(),
        )
        .await
    }

    async fn assert_refused(&self, what: &str, change: impl FnOnce(&mut Value)) {
        let (status, body) = self.put(change).await;
        assert!(
            status == 422 && body.contains("immutable"),
            "{what}: {status} {body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_but_the_view_is_immutable() {
    let stored = Stored::create(world(), "immutable", &full()).await;
    let schema = schema();
    let required: Vec<_> = schema["required"]
        .as_array()
        .expect("required")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let full = full();
    let mut tried = 0;
    for field in schema["properties"]
        .as_object()
        .expect("properties")
        .keys()
        .filter(|field| !["view", "gap", "expunged"].contains(&field.as_str()))
    {
        let present = full["spec"][field].clone();
        assert!(!present.is_null(), "the test sets {field}");
        stored
            .assert_refused(&format!("{field} changed"), |spec| {
                spec[field] = other(&present);
            })
            .await;
        for (name, value) in present.as_object().into_iter().flatten() {
            stored
                .assert_refused(&format!("{field}.{name} changed"), |spec| {
                    spec[field][name] = other(value);
                })
                .await;
        }
        if !required.contains(&field.as_str()) {
            let remove = |spec: &mut Value| {
                drop(spec.as_object_mut().expect("an object").remove(field));
            };
            stored
                .assert_refused(&format!("{field} removed"), remove)
                .await;
        }
        tried += 1;
    }
    assert_eq!(tried, 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_can_be_added_and_null_is_nothing() {
    let mut least = full();
    let schema = schema();
    let required: Vec<_> = schema["required"]
        .as_array()
        .expect("required")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    least["spec"]
        .as_object_mut()
        .expect("an object")
        .retain(|field, _| required.contains(&field.as_str()));
    let stored = Stored::create(world(), "additions", &least).await;
    let optional = full()["spec"].as_object().expect("an object").clone();
    for (field, value) in optional
        .into_iter()
        .filter(|(field, _)| field != "view" && !required.contains(&field.as_str()))
    {
        stored
            .assert_refused(&format!("{field} added"), |spec| spec[&field] = value)
            .await;
        // The server drops the null: accepted, and nothing is stored.
        let (status, body) = stored.put(|spec| spec[&field] = Value::Null).await;
        assert_eq!(status, 200, "{field}: {body}");
        assert!(
            read(&stored.client, &stored.path).await["spec"]
                .get(&field)
                .is_none(),
            "{field} is stored as null"
        );
    }
    stored
        .assert_refused("a nested addition", |spec| {
            spec["workload"]["name"] = "x".into();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_can_be_rewritten() {
    let stored = Stored::create(world(), "view", &full()).await;
    let accepted = |(status, body): (u16, String)| assert_eq!(status, 200, "{body}");
    accepted(
        stored
            .put(|spec| spec["view"] = json!({"version": 2, "summary": "better"}))
            .await,
    );
    assert_eq!(
        read(&stored.client, &stored.path).await["spec"]["view"],
        json!({"version": 2, "summary": "better"})
    );
    accepted(
        stored
            .put(|spec| drop(spec.as_object_mut().expect("an object").remove("view")))
            .await,
    );
    accepted(
        stored
            .put(|spec| spec["view"] = json!({"version": 3, "summary": "again"}))
            .await,
    );
    assert_eq!(
        read(&stored.client, &stored.path).await["spec"]["view"]["version"],
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_refused_when_asked_strictly() {
    let stored = Stored::create(world(), "strict", &full()).await;
    let (collection, _) = stored.path.rsplit_once('/').expect("a path");
    let mut unknown = full();
    unknown["metadata"]["name"] = "unknown".into();
    unknown["spec"]["newField"] = 1.into();
    let uri = format!("{collection}?fieldValidation=Strict");
    let (status, body) = send(
        &stored.client,
        Method::POST,
        &uri,
        "application/json",
        &unknown.to_string(),
    )
    .await;
    assert!(
        status == 400 && body.contains("unknown field \\\"spec.newField\\\""),
        "{status} {body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_selector_selects() {
    let client = world().client().await;
    let namespace = world().namespace("selectors").await;
    let collection = format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions");
    let mut second = full();
    second["metadata"]["name"] = "second".into();
    second["spec"]["id"] = json!(Uuid::from_u128(11));
    second["spec"]["type"] = "Baseline".into();
    second["spec"]["workload"] = json!({"apiVersion": "a/v1", "kind": "LeaderWorkerSet", "name": "v", "uid": Uuid::from_u128(12)});
    post(&client, &collection, &full()).await;
    post(&client, &collection, &second).await;
    for (field, value) in [
        ("spec.id", Uuid::from_u128(11).to_string()),
        ("spec.type", "Baseline".to_owned()),
        ("spec.workload.name", "v".to_owned()),
        ("spec.workload.uid", Uuid::from_u128(12).to_string()),
        ("spec.workload.kind", "LeaderWorkerSet".to_owned()),
    ] {
        let names = |sign: &str| {
            world().kubectl(&[
                "-n",
                &namespace,
                "get",
                "revisions",
                "-o",
                "name",
                "--field-selector",
                &format!("{field}{sign}{value}"),
            ])
        };
        assert_eq!(names("="), "revision.revisor.dev/second\n", "{field}");
        assert_eq!(names("!="), "revision.revisor.dev/full\n", "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shows_what_changed() {
    let client = world().client().await;
    revisor();
    let namespace = world().namespace("kubectl").await;
    post(&client, &DEPLOYMENT.path(&namespace), &DEPLOYMENT.example()).await;
    world().kubectl(&[
        "-n",
        &namespace,
        "set",
        "image",
        "deployment/llama-8b",
        "vllm=vllm/vllm-openai:v0.12.0",
    ]);
    let live = read(
        &client,
        &format!("{}/llama-8b", DEPLOYMENT.path(&namespace)),
    )
    .await;
    let at = live["metadata"]["resourceVersion"]
        .as_str()
        .expect("text")
        .parse()
        .expect("a number");
    revisor().wait_recorded(DEPLOYMENT, at);
    assert_tables(&namespace);
    let all = revisions(&client, &namespace).await;
    let name = all[1]["metadata"]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    let described = world().kubectl(&["-n", &namespace, "describe", "revision", &name]);
    for line in [
        "From:",
        "vllm/vllm-openai:v0.11.0",
        "To:",
        "vllm/vllm-openai:v0.12.0",
        "spec.template.spec.containers[vllm].image",
    ] {
        assert!(described.contains(line), "{line} is not in:\n{described}");
    }
}

/// What `kubectl get` shows of one edit, by every name that it knows Revisions by.
fn assert_tables(namespace: &str) {
    let get =
        |arguments: &[&str]| world().kubectl(&[&["-n", namespace, "get"], arguments].concat());
    let header = |text: &str| {
        text.lines()
            .next()
            .expect("a line")
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let columns = [
        "NAME", "WORKLOAD", "KIND", "REV", "CHANGE", "VIA", "PHASE", "PODS", "AGE",
    ];
    let table = get(&["revisions"]);
    assert_eq!(header(&table), columns);
    let row: Vec<_> = table
        .lines()
        .nth(2)
        .expect("two rows")
        .split_whitespace()
        .skip(1)
        .collect();
    assert_eq!(
        row[..6],
        [
            "llama-8b",
            "Deployment",
            "2",
            "image",
            "v0.11.0→v0.12.0",
            "kubectl-set"
        ],
        "{table}"
    );
    let wide = get(&["revisions", "-o", "wide"]);
    assert_eq!(
        header(&wide),
        [&columns[..], &["IMAGE", "POD-IMAGE", "MODEL", "OUTCOME"]].concat()
    );
    assert!(wide.contains("vllm/vllm-openai:v0.12.0"), "{wide}");
    assert_eq!(
        get(&["irev", "-o", "name"]),
        get(&["revisor", "-o", "name"]),
        "short name and category"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_answers_to_its_name_beside_that_of_knative() {
    let own = World::start(&Options::minimal());
    let knative = include_str!("../fixtures/crds/knative-revisions.yaml");
    own.define(knative);
    let stored = Stored::create(&own, "beside", &full()).await;
    let namespace = stored.path.split('/').nth(5).expect("a namespace");
    assert_eq!(
        own.kubectl(&["-n", namespace, "get", "revisions", "-o", "name"]),
        "revision.revisor.dev/full\n"
    );
    assert_eq!(
        own.kubectl(&["-n", namespace, "get", "irev", "-o", "name"]),
        "revision.revisor.dev/full\n"
    );
    assert_eq!(
        own.kubectl(&["-n", namespace, "get", "rev", "-o", "name"]),
        ""
    );
}
