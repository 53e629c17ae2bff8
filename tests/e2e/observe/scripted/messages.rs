//! Messages of pods and refusals: no secret is in a status, an Event, an answer of the REST API or the log.

use super::{Stage, reference};
use crate::observe::scripted::script::{container, script};
use crate::support::{eventually, get, patch, post, read, send};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

const SECRET: &str = "zq7Kd93mX2pLw8";
const API: &str = "/apis/admissionregistration.k8s.io/v1";
const DENIED: &str = "messages-denied";

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_pods_and_refusals_show_no_secret() {
    let stage = Stage::set().await;
    let nim = script("NIMService");
    let namespace = stage.namespace(&nim).await;
    let made = post(&stage.client, &nim.path(&namespace), &nim.object()).await;
    let owner = reference(&nim.api_version, &nim.kind, "w", &made.uid);
    pod_waits(&stage, &namespace, &nim.labels(0), &owner).await;
    let hides = |row: &super::Row| row.message.contains("[redacted]");
    let rows = stage
        .wait(&namespace, "a message without its secret", |rows| {
            rows.first().is_some_and(hides)
        })
        .await;
    assert!(!rows[0].status.to_string().contains(SECRET), "{rows:?}");
    let path = format!("/api/v1/workloads/inferences/{}/revisions", made.uid);
    let is_served = || {
        let body = get(stage.revisor.rest, &path).map(|(_, body)| body);
        let body = body.unwrap_or_default();
        assert!(!body.contains(SECRET), "{body}");
        body.contains("[redacted]")
    };
    assert!(eventually(Duration::from_secs(10), is_served));
    refusal_shows_no_secret(&stage, &namespace, &format!("{}/w", nim.path(&namespace))).await;
    assert!(!stage.revisor.log().contains(SECRET), "it is in the log");
}

/// A pod whose container cannot be started; the runtime repeats its command line.
async fn pod_waits(stage: &Stage, namespace: &str, labels: &Value, owner: &Value) {
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a1", "labels": labels, "ownerReferences": [owner]},
        "spec": {"nodeName": "n1", "automountServiceAccountToken": false, "containers": container("m:1")}});
    post(&stage.client, &pods, &pod).await;
    let message = format!("failed to start: exec: \"serve --api-key {SECRET}\": not found");
    let status = json!({"phase": "Pending", "containerStatuses": [{
        "name": "main", "image": "m:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "CreateContainerError", "message": message}}}]});
    let path = format!("{pods}/a1/status");
    patch(&stage.client, &path, &json!({"status": status})).await;
}

/// A policy refuses the next Revision, and repeats a secret in its reason.
async fn refusal_shows_no_secret(stage: &Stage, namespace: &str, path: &str) {
    deny(stage, namespace).await;
    // The policy takes a while to be known, so edits go on until one is refused.
    let mut is_told = false;
    for edit in 0..60 {
        patch(
            &stage.client,
            path,
            &json!({"spec": {"replicas": 3 + edit}}),
        )
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let list = format!("/api/v1/namespaces/{namespace}/events");
        let events = read(&stage.client, &list).await.to_string();
        assert!(!events.contains(SECRET), "{events}");
        is_told = events.contains("HF_TOKEN=[redacted]");
        if is_told {
            break;
        }
    }
    assert!(
        is_told,
        "no Event tells the refusal:\n{}",
        stage.revisor.log()
    );
    let binding = format!("{API}/validatingadmissionpolicybindings/{DENIED}");
    let (code, body) = send(
        &stage.client,
        Method::DELETE,
        &binding,
        "application/json",
        "",
    )
    .await;
    assert_eq!(code, 200, "{body}");
}

async fn deny(stage: &Stage, namespace: &str) {
    let message = format!("set HF_TOKEN={SECRET} in another way");
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": DENIED},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["revisor.dev"], "apiVersions": ["*"],
                "operations": ["CREATE"], "resources": ["revisions"]}]},
            "validations": [{"expression": "false", "message": message}],
        },
    });
    let policies = format!("{API}/validatingadmissionpolicies");
    post(&stage.client, &policies, &policy).await;
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": DENIED},
        "spec": {
            "policyName": DENIED, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
        },
    });
    let bindings = format!("{API}/validatingadmissionpolicybindings");
    post(&stage.client, &bindings, &binding).await;
}
