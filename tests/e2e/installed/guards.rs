//! The admission policies: what they refuse, and what they must never stand in the way of.

use super::kubectl::kubectl;
use crate::support::{client, client_as, post, send};
use devcluster::Cluster;
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const RECORDER: &str = "system:serviceaccount:revisor:revisor";
const MAINTENANCE: &str = "system:serviceaccount:revisor:revisor-maintenance";
const SWEEP: &str = "system:serviceaccount:revisor:revisor-sweep";
const MERGE: &str = "application/merge-patch+json";

/// A cluster with everything applied, and people in it.
pub struct Site<'a> {
    pub cluster: &'a Cluster,
    admin: Client,
    recorder: Client,
    maintenance: Client,
    sweep: Client,
}

impl<'a> Site<'a> {
    /// Makes a few namespaces with Revisions, and waits until the policies are in force.
    pub async fn new(cluster: &'a Cluster) -> Self {
        let kubeconfig = cluster.kubeconfig();
        let site = Self {
            cluster,
            admin: client(kubeconfig).await,
            recorder: client_as(kubeconfig, RECORDER).await,
            maintenance: client_as(kubeconfig, MAINTENANCE).await,
            sweep: client_as(kubeconfig, SWEEP).await,
        };
        for namespace in ["kept", "ending", "foreground"] {
            let body =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            post(&site.admin, "/api/v1/namespaces", &body).await;
            for number in 1..=3 {
                let body = revision(&format!("r{number}"));
                post(&site.recorder, &path(namespace, ""), &body).await;
            }
        }
        // Retention has no manifest of its own yet; its rights are made here.
        let rules = json!([{"apiGroups": ["revisor.dev"], "resources": ["revisions"], "verbs": ["delete"]}]);
        let account = ("revisor", "revisor-sweep");
        crate::serve::people::grant(&site.admin, account, None, &rules).await;
        site.wait_in_force().await;
        site
    }

    async fn wait_in_force(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (status, body) = self
                .as_admin(
                    "POST",
                    &path("kept", "?dryRun=All"),
                    &revision("x").to_string(),
                )
                .await;
            if status == 403 {
                assert!(
                    body.contains("only Revisor makes Revisions, not devcluster-admin"),
                    "{body}"
                );
                return;
            }
            assert!(Instant::now() < deadline, "{status} {body}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub async fn as_admin(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        ask(&self.admin, method, path, body).await
    }

    /// The names of the Revisions in a namespace.
    pub async fn names(&self, namespace: &str) -> Vec<String> {
        let (_, body) = self.as_admin("GET", &path(namespace, ""), "").await;
        let list: Value = serde_json::from_str(&body).expect("JSON");
        let items = list["items"].as_array().into_iter().flatten();
        items
            .map(|item| {
                item["metadata"]["name"]
                    .as_str()
                    .expect("a name")
                    .to_owned()
            })
            .collect()
    }
}

fn path(namespace: &str, rest: &str) -> String {
    format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions{rest}")
}

async fn ask(client: &Client, method: &str, path: &str, body: &str) -> (u16, String) {
    let method: Method = method.parse().expect("a method");
    let content_type = if method == Method::PATCH {
        MERGE
    } else {
        "application/json"
    };
    send(client, method, path, content_type, body).await
}

fn revision(name: &str) -> Value {
    json!({
        "apiVersion": "revisor.dev/v1alpha1",
        "kind": "Revision",
        "metadata": {"name": name, "labels": {"revisor.dev/workload-kind": "Deployment"}},
        "spec": {
            "id": "8c7f9a8e-3d5b-5a53-9c50-6a4b1b1f9e11",
            "type": "Baseline",
            "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w",
                "uid": "5c1f7a52-0d0f-4c8e-9a53-1d2f0c8b7e11"},
            "generation": 1,
            "resourceVersion": "1",
            "observedVia": "Watch",
            "changeTime": "2026-01-01T00:00:00Z",
            "changeTimeSource": "Observed",
            "view": {"version": 1, "summary": "created"},
        },
    })
}

/// Everything that changes or deletes history is refused, whoever asks.
pub async fn hold(site: &Site<'_>) {
    let label = r#"{"metadata": {"labels": {"revisor.dev/workload-kind": "Other"}}}"#;
    let view = r#"{"spec": {"view": {"summary": "innocent"}}}"#;
    let foreign = r#"{"metadata": {"annotations": {"example.com/x": "y"}}}"#;
    let finalizer = r#"{"metadata": {"finalizers": ["example.com/x"]}}"#;
    let owner = r#"{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x",
        "uid": "5c1f7a52-0d0f-4c8e-9a53-1d2f0c8b7e12"}]}}"#;
    let status = r#"{"status": {"outcome": "Succeeded"}}"#;
    let nothing_else = "and nothing else";
    let no_owner = "takes no finalizers and no owners";
    let retention = "history is deleted by retention";
    for (who, method, rest, body, reason) in [
        (&site.admin, "PATCH", "/r1", label, nothing_else),
        (&site.admin, "PATCH", "/r1", view, nothing_else),
        (&site.admin, "PATCH", "/r1", foreign, nothing_else),
        (&site.admin, "PATCH", "/r1/status", status, nothing_else),
        (&site.admin, "PATCH", "/r1", finalizer, no_owner),
        (&site.admin, "PATCH", "/r1", owner, no_owner),
        (&site.maintenance, "PATCH", "/r1", finalizer, "cannot patch"),
        (&site.admin, "DELETE", "/r1", "", retention),
        (&site.admin, "DELETE", "", "", retention),
        (&site.recorder, "DELETE", "/r1", "", "cannot delete"),
        (&site.maintenance, "DELETE", "/r1", "", "cannot delete"),
    ] {
        let (status, answer) = ask(who, method, &path("kept", rest), body).await;
        assert_eq!(status, 403, "{method} {rest} {body}: {answer}");
        assert!(answer.contains(reason), "{method} {rest} {body}: {answer}");
    }
    assert_eq!(site.names("kept").await, ["r1", "r2", "r3"]);
}

/// Work, annotations of people, retention and storage migration are not in its way.
pub async fn let_pass(site: &Site<'_>) {
    let pin =
        r#"{"metadata": {"annotations": {"revisor.dev/pin": "", "revisor.dev/note": "keep"}}}"#;
    let status = r#"{"status": {"phase": "Running"}}"#;
    for (who, method, rest, body) in [
        (&site.admin, "PATCH", "/r1", pin),
        (&site.recorder, "PATCH", "/r1/status", status),
        (&site.sweep, "DELETE", "/r3", ""),
    ] {
        let (status, answer) = ask(who, method, &path("kept", rest), body).await;
        assert_eq!(status, 200, "{method} {rest} {body}: {answer}");
    }
    // What a storage migration does: every object is written as it was read.
    let (_, stored) = site.as_admin("GET", &path("kept", "/r1"), "").await;
    let (status, answer) = site.as_admin("PUT", &path("kept", "/r1"), &stored).await;
    assert_eq!(status, 200, "{answer}");
    let mut rewritten: Value = serde_json::from_str(&stored).expect("JSON");
    rewritten["spec"]["view"]["summary"] = "made anew".into();
    let (status, answer) = ask(
        &site.maintenance,
        "PUT",
        &path("kept", "/r1"),
        &rewritten.to_string(),
    )
    .await;
    assert_eq!(status, 200, "{answer}");
}

/// A namespace goes with its Revisions; one whose history may be deleted can be emptied, and foreground deletion ends.
pub async fn let_namespaces_go(site: &Site<'_>) {
    let annotated = [
        "annotate",
        "namespace/foreground",
        "revisor.dev/delete-history=yes",
    ];
    kubectl(site.cluster, &annotated).quietly();
    let foreground = ["-n", "foreground", "delete", "revision", "r1"];
    let foreground = [&foreground[..], &["--cascade=foreground", "--timeout=30s"]].concat();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let said = kubectl(site.cluster, &foreground);
        if said.code == 0 {
            break;
        }
        // The annotation takes a moment to reach the policy.
        assert!(Instant::now() < deadline, "{said:?}");
    }
    let (status, answer) = site.as_admin("DELETE", &path("foreground", ""), "").await;
    assert_eq!(status, 200, "{answer}");
    assert!(site.names("foreground").await.is_empty());
    let gone = [
        "delete",
        "namespace",
        "ending",
        "foreground",
        "--timeout=60s",
    ];
    let said = kubectl(site.cluster, &gone);
    assert_eq!(said.code, 0, "{said:?}");
}
