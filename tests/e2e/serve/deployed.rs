//! deploy/ as it is: the API server takes it, and under its rights everything works.

use super::people::{People, token};
use super::rest::Rest;
use crate::support::{
    DEPLOYMENT, INFERENCE_SERVICE, Revisor, World, eventually, patch, post, revisions, send,
};
use devcluster::Options;
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A kubeconfig with a token instead of the administrator's certificate.
fn kubeconfig(world: &World, folder: &Path, token: &str) -> PathBuf {
    let text = std::fs::read_to_string(world.cluster.kubeconfig()).expect("a kubeconfig");
    let mut config: Value = serde_saphyr::from_str(&text).expect("YAML");
    config["users"][0]["user"] = json!({ "token": token });
    config["contexts"][0]["context"]["namespace"] = json!("revisor");
    let file = folder.join("kubeconfig");
    std::fs::write(&file, config.to_string()).expect("written");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn its_rights_are_enough_and_no_more() {
    let world = World::start(&Options { controller_manager: true, ..Options::minimal() });
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let deploy = world.kubectl(&["kustomize", &root.join("deploy").display().to_string()]);
    assert!(!deploy.contains("'*'") && !deploy.contains("\"*\""), "a wildcard");
    world.cluster.apply(&deploy).expect("the API server takes deploy/");
    let client = world.client().await;
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = kubeconfig(&world, folder.path(), &token(&client, "revisor", "revisor", &[]).await);
    let server = Revisor::start_secure(&kubeconfig, &["--namespace", "revisor"]);
    let namespace = world.namespace("deployed").await;
    let mut last = Vec::new();
    for kind in [DEPLOYMENT, INFERENCE_SERVICE] {
        let made = post(&client, &kind.path(&namespace), &kind.example()).await;
        let path = format!("{}/{}", kind.path(&namespace), made.name);
        // A generation that changes nothing is written to the status of the Revision.
        let scaled = patch(&client, &path, &json!({"metadata": {"labels": {"a": "b"}}})).await;
        server.wait_recorded(kind, scaled.version());
        last.push((kind, made));
    }
    let observed = async || {
        let all = revisions(&client, &namespace).await;
        all.len() == 2 && all.iter().all(|revision| revision["status"]["phase"].is_string())
    };
    for _ in 0..200 {
        if observed().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(observed().await, "no status: {}", server.log());
    let people = People::of(&world, &namespace).await;
    let rest = Rest::tls(server.rest).with(&people.reader);
    for (_, made) in &last {
        let answer = rest.get(&format!("/api/v1/workloads/inferences/{}/revisions", made.uid)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let id = answer.json()["revisions"][0]["id"].as_str().expect("an id").to_owned();
        let snapshot = rest.get(&format!("/api/revisor/v1/revisions/{id}/snapshot")).await;
        assert_eq!(snapshot.status, 200, "{snapshot:?}");
    }
    let (kind, made) = &last[0];
    world.kubectl(&["-n", &namespace, "delete", kind.plural, &made.name, "--wait=true"]);
    let deleted = async || {
        let all = revisions(&client, &namespace).await;
        all.iter().filter(|r| r["status"]["workloadDeletionTime"].is_string()).count()
    };
    for _ in 0..100 {
        if deleted().await > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(deleted().await, 1, "{}", server.log());
    let checkpoint =
        || !world.kubectl(&["-n", "revisor", "get", "configmap", "-o", "name"]).contains("checkpoint");
    assert!(eventually(Duration::from_secs(20), || !checkpoint()), "no checkpoint");
    let log = server.log();
    assert!(!log.contains("forbidden") && !log.contains("Forbidden"), "{log}");
    assert_may_not(&client).await;
}

/// What it does not need it must not have.
async fn assert_may_not(client: &Client) {
    for (verb, what) in [
        ("get", "secrets"),
        ("delete", "pods"),
        ("create", "pods"),
        ("update", "nodes"),
        ("delete", "revisions.revisor.dev"),
        ("update", "deployments.apps"),
    ] {
        let account = "system:serviceaccount:revisor:revisor";
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": account, "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {"verb": verb, "resource": what.split('.').next(), "group": what.split_once('.').map_or("", |(_, group)| group)},
        }});
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let (_, answer) = send(client, Method::POST, path, "application/json", &review.to_string()).await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_ne!(answer["status"]["allowed"], true, "{verb} {what}");
    }
}
