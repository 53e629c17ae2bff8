//! deploy/ as it is: the API server takes it, and under its rights everything works.

use super::people::{People, token};
use super::rest::Rest;
use crate::support::{
    DEPLOYMENT, INFERENCE_SERVICE, Kind, Meta, Revisor, World, eventually, patch, post, revisions,
};
use devcluster::Options;
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
    let world = World::start(&Options {
        controller_manager: true,
        ..Options::minimal()
    });
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let deploy = world.kubectl(&["kustomize", &root.join("deploy").display().to_string()]);
    assert!(
        !deploy.contains("'*'") && !deploy.contains("\"*\""),
        "a wildcard"
    );
    world
        .cluster
        .apply(&deploy)
        .expect("the API server takes deploy/");
    let client = world.client().await;
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = kubeconfig(
        &world,
        folder.path(),
        &token(&client, "revisor", "revisor", &[]).await,
    );
    let arguments = arguments(root);
    let arguments: Vec<_> = arguments
        .iter()
        .map(String::as_str)
        .chain(["--namespace", "revisor"])
        .collect();
    let server = Revisor::start_secure(&kubeconfig, &arguments);
    let namespace = world.namespace("deployed").await;
    let last = record(&client, &namespace, &server).await;
    assert_observed(&client, &namespace, &server).await;
    assert_served(&world, &namespace, &server, &last).await;
    assert_deletion(&world, &namespace, &server, &last[0]).await;
    let checkpoint = || {
        !world
            .kubectl(&["-n", "revisor", "get", "configmap", "-o", "name"])
            .contains("checkpoint")
    };
    assert!(
        eventually(Duration::from_secs(20), || !checkpoint()),
        "no checkpoint"
    );
    let log = server.log();
    assert!(
        !log.contains("forbidden") && !log.contains("Forbidden"),
        "{log}"
    );
    assert_rights(&world, root);
}

/// A Deployment and an InferenceService, recorded.
async fn record(client: &Client, namespace: &str, server: &Revisor) -> Vec<(Kind, Meta)> {
    let mut last = Vec::new();
    for kind in [DEPLOYMENT, INFERENCE_SERVICE] {
        let made = post(client, &kind.path(namespace), &kind.example()).await;
        let path = format!("{}/{}", kind.path(namespace), made.name);
        // A generation that changes nothing is written to the status of the Revision.
        let scaled = patch(client, &path, &json!({"metadata": {"labels": {"a": "b"}}})).await;
        server.wait_recorded(kind, scaled.version());
        last.push((kind, made));
    }
    last
}

/// What was recorded can be read.
async fn assert_served(world: &World, namespace: &str, server: &Revisor, last: &[(Kind, Meta)]) {
    let people = People::of(world, namespace).await;
    let rest = Rest::tls(server.rest).with(&people.reader);
    for (_, made) in last {
        let answer = rest
            .get(&format!(
                "/api/v1/workloads/inferences/{}/revisions",
                made.uid
            ))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let id = answer.json()["revisions"][0]["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let snapshot = rest
            .get(&format!("/api/revisor/v1/revisions/{id}/snapshot"))
            .await;
        assert_eq!(snapshot.status, 200, "{snapshot:?}");
    }
}

/// The end of a workload is written to its newest Revision.
async fn assert_deletion(
    world: &World,
    namespace: &str,
    server: &Revisor,
    (kind, made): &(Kind, Meta),
) {
    let client = world.client().await;
    world.kubectl(&[
        "-n",
        namespace,
        "delete",
        kind.plural,
        &made.name,
        "--wait=true",
    ]);
    let deleted = async || {
        let all = revisions(&client, namespace).await;
        all.iter()
            .filter(|r| r["status"]["workloadDeletionTime"].is_string())
            .count()
    };
    for _ in 0..100 {
        if deleted().await > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(deleted().await, 1, "{}", server.log());
}

/// Both workloads have a status.
async fn assert_observed(client: &Client, namespace: &str, server: &Revisor) {
    let observed = async || {
        let all = revisions(client, namespace).await;
        all.len() == 2
            && all
                .iter()
                .all(|revision| revision["status"]["phase"].is_string())
    };
    for _ in 0..200 {
        if observed().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no status: {}", server.log());
}

/// What the Deployment starts Revisor with, where its files are here.
fn arguments(root: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(root.join("deploy/deployment.yaml")).expect("a file");
    let deployment: Value = serde_saphyr::from_str(&text).expect("YAML");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let mount = &container["volumeMounts"][0];
    let arguments = container["args"].as_array().expect("arguments");
    let there = mount["mountPath"].as_str().expect("a path");
    let here = root.join("deploy").display().to_string();
    let mut arguments = arguments
        .iter()
        .map(|text| text.as_str().expect("text").replace(there, &here));
    assert_eq!(arguments.next().as_deref(), Some("run"));
    let arguments: Vec<_> = arguments.collect();
    assert!(
        arguments
            .iter()
            .any(|text| text.contains("deploy/config.yaml")),
        "{arguments:?}"
    );
    arguments
}

/// All that the API server says the account may, in its own namespace and elsewhere, is what somebody looked at once.
fn assert_rights(world: &World, root: &Path) {
    let account = "--as=system:serviceaccount:revisor:revisor";
    let list = |namespace: &str| {
        let text = world.kubectl(&[
            "auth",
            "can-i",
            "--list",
            "--no-headers",
            account,
            "--namespace",
            namespace,
        ]);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut lines: Vec<_> = text
            .lines()
            .map(words)
            .filter(|line| !line.is_empty())
            .collect();
        lines.sort_unstable();
        format!("namespace {namespace}:\n{}\n", lines.join("\n"))
    };
    let text = [list("revisor"), list("default")].join("\n");
    let file = root.join("tests/fixtures/rights.txt");
    if std::env::var_os("REVISOR_GENERATE").is_some() {
        std::fs::write(&file, &text).expect("written");
    }
    let expected = std::fs::read_to_string(&file).expect("a file");
    assert_eq!(
        text,
        expected,
        "REVISOR_GENERATE=1 writes {}; read it again before it is committed",
        file.display()
    );
}
