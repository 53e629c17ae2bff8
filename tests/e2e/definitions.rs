//! Definitions that change, and go, while their objects are edited.

use crate::oracle::Oracle;
use crate::support::{Kind, Meta, Revisor, World, edit, patch, post, recorded, revisions, send};
use devcluster::Options;
use http::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::ops::Range;
use std::time::Duration;
use tokio::time::sleep;

const LATE: Kind = Kind {
    kind: "Late",
    api: "apis/e2e.example.com/v1",
    plural: "lates",
    registry: "e2e.example.com/lates",
};
const LATE_FILE: &str = "kinds:\n- {kind: Late, group: e2e.example.com, versions: [v1, v2], plural: lates, select: always}\n";

/// Its definition: which versions are served, which is stored, a column, a default.
fn late(served: [bool; 2], stored: usize, column: bool, default: bool) -> String {
    let mut spec = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    if default {
        spec["properties"] = json!({"mode": {"type": "string", "default": "fast"}});
    }
    let columns = if column {
        json!([{"name": "N", "type": "integer", "jsonPath": ".spec.n"}])
    } else {
        json!([])
    };
    let version = |i: usize| {
        json!({
            "name": format!("v{}", i + 1), "served": served[i], "storage": stored == i, "subresources": {"status": {}},
            "additionalPrinterColumns": columns,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "lates.e2e.example.com"},
        "spec": {"group": "e2e.example.com", "scope": "Namespaced", "names": {"kind": "Late", "plural": "lates", "singular": "late"},
            "versions": [version(0), version(1)]},
    })
    .to_string()
}

/// What is stored of an object, without what the definition fills in when it is read.
fn without_default(spec: &crate::oracle::Spec) -> Value {
    let mut value = spec.value();
    value.as_object_mut().map(|fields| fields.remove("mode"));
    value
}

async fn assert_late_complete(
    world: &World,
    oracle: &Oracle,
    revisor: &Revisor,
    namespace: &str,
    last: &Meta,
) -> usize {
    oracle.wait_for(LATE.registry, &last.uid, last.generation);
    revisor.wait_recorded(LATE, last.version());
    let expected = oracle.expected(LATE.registry, namespace);
    let recorded = recorded(&world.client().await, namespace).await;
    let keys = |set: &crate::oracle::Expected| set.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&expected), keys(&recorded));
    for (key, spec) in &expected {
        assert_eq!(
            without_default(spec),
            without_default(&recorded[key]),
            "{key:?}"
        );
    }
    assert!(
        revisor.metric("revisor_generations_lost_total", "").abs() < 0.5,
        "{}",
        revisor.log()
    );
    expected.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_changes_under_load_and_its_version_goes() {
    changes_under_load(100).await;
}

fn number(i: usize) -> Value {
    json!({"spec": {"n": i, "mode": null}})
}

/// Edits one after the other; while the definition changes some are refused.
async fn edit_through(client: &kube::Client, path: &str, numbers: Range<usize>) {
    let uri = format!("{path}?fieldManager=e2e");
    for n in numbers {
        let body = number(n).to_string();
        let _ = send(
            client,
            Method::PATCH,
            &uri,
            "application/merge-patch+json",
            &body,
        )
        .await;
        sleep(Duration::from_millis(20)).await;
    }
}

/// The definition changes five times, each time among `each` edits.
pub async fn changes_under_load(each: usize) {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let mut config = tempfile::NamedTempFile::new().expect("a file");
    config.write_all(LATE_FILE.as_bytes()).expect("written");
    own.define(&late([true, false], 0, false, false));
    let oracle = Oracle::start(&own.cluster.etcd_endpoint(), &[LATE.registry]);
    let namespace = own.namespace("definition").await;
    let file = config.path().display().to_string();
    let revisor = Revisor::start(own.cluster.kubeconfig(), &["--config", &file]);
    let object = json!({"apiVersion": "e2e.example.com/v1", "kind": "Late", "metadata": {"name": "w"}, "spec": {"n": 0}});
    post(&client, &LATE.path(&namespace), &object).await;
    let in_v1 = format!("{}/w", LATE.path(&namespace));
    let in_v2 = in_v1.replace("/v1/", "/v2/");
    let changes = [
        late([true, false], 0, true, false),
        late([true, false], 0, true, true),
        late([true, true], 0, true, true),
        late([true, true], 1, true, true),
        late([false, true], 1, true, true),
    ];
    for (i, change) in changes.iter().enumerate() {
        let at = if i < 4 { &in_v1 } else { &in_v2 };
        let edits = edit_through(&client, at, i * each + 2..(i + 1) * each + 2);
        let apply = async {
            sleep(Duration::from_millis(600)).await;
            own.cluster.apply(change).expect("a definition");
        };
        tokio::join!(edits, apply);
    }
    let last = patch(&client, &in_v2, &number(1_000_000)).await;
    let before = assert_late_complete(&own, &oracle, &revisor, &namespace, &last).await;
    assert!(before > 3 * each, "{before}");
    let all = revisions(&client, &namespace).await;
    let newest = all
        .iter()
        .find(|r| r["spec"]["generation"] == last.generation)
        .expect("recorded");
    assert_eq!(
        newest["spec"]["workload"]["apiVersion"],
        "e2e.example.com/v2"
    );
    assert_eq!(
        newest["spec"]["view"]["changes"].as_array().map(Vec::len),
        Some(1),
        "compared in one version: {newest}"
    );
    install_again(&own, &client, &namespace).await;
    let last = edit(&client, &in_v2, 10, |i| number(i + 1)).await;
    assert_eq!(
        assert_late_complete(&own, &oracle, &revisor, &namespace, &last).await,
        before + 11
    );
}

/// Deleted and installed again: other workloads of the same name.
async fn install_again(world: &World, client: &kube::Client, namespace: &str) {
    world.kubectl(&["delete", "crd", "lates.e2e.example.com"]);
    world.define(&late([false, true], 1, false, false));
    let object = json!({"apiVersion": "e2e.example.com/v2", "kind": "Late", "metadata": {"name": "w"}, "spec": {"n": 0}});
    post(
        client,
        &LATE.path(namespace).replace("/v1/", "/v2/"),
        &object,
    )
    .await;
}
