//! Kinds of unusual shapes: without `spec`, and without `metadata.generation`.

use super::stage::until;
use crate::support::{Kind, Revisor, World, edit, eventually, post, revisions, snapshot};
use devcluster::Options;
use kube::Client;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

const BARE: Kind = Kind {
    kind: "Bare",
    api: "apis/e2e.example.com/v1",
    plural: "bares",
    registry: "e2e.example.com/bares",
};
/// A kind of Kubernetes itself whose objects have no generation.
const LIMIT_RANGE: Kind = Kind {
    kind: "LimitRange",
    api: "api/v1",
    plural: "limitranges",
    registry: "limitranges",
};
const KINDS: &str = "kinds:
- {kind: Bare, group: e2e.example.com, versions: [v1], plural: bares, select: always}
- {kind: LimitRange, versions: [v1], plural: limitranges, select: always}
";

/// The definition of a kind with `content` where others have `spec`.
fn bare() -> String {
    let content = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"type": "object", "properties": {"content": content}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "bares.e2e.example.com"},
        "spec": {
            "group": "e2e.example.com", "scope": "Namespaced",
            "names": {"kind": "Bare", "plural": "bares", "singular": "bare"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_without_spec_is_recorded_and_one_without_generation_is_refused() {
    let own = World::start(&Options::minimal());
    own.define(&bare());
    let mut config = tempfile::NamedTempFile::new().expect("a file");
    config.write_all(KINDS.as_bytes()).expect("written");
    let file = config.path().display().to_string();
    let revisor = Revisor::start(own.cluster.kubeconfig(), &["--config", &file]);
    let client = own.client().await;
    let namespace = own.namespace("shapes").await;
    assert_bare_is_recorded(&client, &namespace).await;
    let namespace = own.namespace("shapes").await;
    assert_refused(&client, &namespace, &revisor).await;
}

async fn assert_bare_is_recorded(client: &Client, namespace: &str) {
    let object = json!({
        "apiVersion": "e2e.example.com/v1", "kind": "Bare", "metadata": {"name": "w"},
        "content": {"n": 0},
    });
    post(client, &BARE.path(namespace), &object).await;
    let path = format!("{}/w", BARE.path(namespace));
    edit(client, &path, 4, |i| json!({"content": {"n": i + 1}})).await;
    let all = async || revisions(client, namespace).await.len() >= 5;
    until(Duration::from_secs(40), "five Revisions", all).await;
    let stored = revisions(client, namespace).await;
    let mut numbers: Vec<_> = stored.iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]);
}

/// The generation of a Revision, and the number in its snapshot.
fn number(revision: &Value) -> (i64, i64) {
    let text = snapshot(revision).expect("data");
    let object: Value = serde_json::from_str(&text).expect("JSON");
    let generation = revision["spec"]["generation"].as_i64();
    let number = object["content"]["n"].as_i64();
    (generation.expect("a number"), number.expect("a number"))
}

/// The kind is named as unfit, and its objects cost no more than a few lists.
async fn assert_refused(client: &Client, namespace: &str, revisor: &Revisor) {
    let object = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "w"},
        "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]},
    });
    post(client, &LIMIT_RANGE.path(namespace), &object).await;
    let path = format!("{}/w", LIMIT_RANGE.path(namespace));
    let note = |i: usize| json!({"metadata": {"annotations": {"note": i.to_string()}}});
    edit(client, &path, 20, note).await;
    let told = || {
        let log = revisor.log();
        log.lines()
            .any(|line| line.contains("LimitRange") && line.contains("metadata.generation"))
    };
    let limit = Duration::from_secs(40);
    assert!(eventually(limit, told), "{}", revisor.log());
    edit(client, &path, 20, |i| note(100 + i)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let lists = revisor.metric("revisor_lists_total", "LimitRange");
    assert!(lists < 4.5, "{lists} lists:\n{}", revisor.log());
    assert_eq!(revisions(client, namespace).await.len(), 0);
    assert!(revisor.is_alive(), "{}", revisor.log());
}
