//! Errors as a person meets them.

use super::stage::{Ran, stage};
use crate::support::{DEPLOYMENT, World, post};
use devcluster::Options;
use serde_json::{Value, json};
use std::process::{Command, Stdio};

async fn llama(namespace: &str) {
    let stage = stage();
    let client = stage.client().await;
    let mut object = DEPLOYMENT.example();
    object["spec"]["replicas"] = json!(0);
    post(&client, &DEPLOYMENT.path(namespace), &object).await;
    stage
        .recorded(
            DEPLOYMENT,
            &format!("{}/llama-8b", DEPLOYMENT.path(namespace)),
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_not_there_are_answered_with_those_that_are() {
    let stage = stage();
    let namespace = stage.world.namespace("names").await;
    llama(&namespace).await;
    for (words, error) in [
        (
            &["history", "deploy/lama-8b"][..],
            "did you mean deployment/llama-8b?",
        ),
        (&["history", "lama-8b"], "did you mean deployment/llama-8b?"),
        (
            &["history", "sts/llama-8b"],
            "did you mean deployment/llama-8b?",
        ),
        (&["history", "isvc/zzzzz"], "is it recorded?"),
        (
            &["history", "configmap/x"],
            "ConfigMap is not recorded: no kind file names it",
        ),
        (&["history", "svc/x"], "Service is not recorded"),
        (
            &["history", "nothing/x"],
            "the server has no type \"nothing\"; recorded are: deployment, ",
        ),
        (
            &["show", "deploy/llama-8b", "9"],
            "there is no revision 9; there are: 1",
        ),
        (
            &["show", "deploy/llama-8b", "serving"],
            "no revision serves",
        ),
        (
            &["show", "deploy/llama-8b", "@2000-01-01"],
            "nothing is recorded at 2000-01-01T00:00:00Z",
        ),
        (&["show", "deploy/llama-8b", "x"], "\"x\" is no revision"),
        (&["show"], "name a workload"),
        (
            &["history", "deploy/llama-8b", "-A"],
            "-A and -l choose several",
        ),
        (
            &["rollback", "deploy/llama-8b", "last-good", "--yes"],
            "none has the outcome Succeeded",
        ),
        (&["at", "x"], "\"x\" is no time"),
    ] {
        stage.plugin(&namespace, words).failed(1, error);
    }
    stage
        .plugin(&namespace, &["diff", "deploy/llama-8b"])
        .failed(2, "there is nothing before it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named_with_the_command_that_grants_it() {
    let stage = stage();
    let namespace = stage.world.namespace("rights").await;
    llama(&namespace).await;
    let as_ann = |words: &[&str]| stage.plugin(&namespace, &[words, &["--as", "ann"]].concat());
    let ran = as_ann(&["history", "deploy/llama-8b"]);
    ran.failed(1, "you may not list revisions.revisor.dev in namespace ");
    // The printed commands are the ones that help.
    for command in ran
        .err
        .lines()
        .filter_map(|line| line.strip_prefix("  kubectl "))
    {
        let words = shell(command);
        let words: Vec<_> = words
            .iter()
            .map(String::as_str)
            .filter(|it| !it.starts_with("--context"))
            .collect();
        let words: Vec<_> = words
            .split(|it| *it == "devcluster")
            .flatten()
            .copied()
            .collect();
        let words: Vec<_> = words
            .into_iter()
            .filter(|it| *it != "--kubeconfig" && !it.ends_with("kubeconfig"))
            .collect();
        let mut kubectl = stage.world.cluster.kubectl();
        let out = kubectl.args(&words).output().expect("kubectl");
        assert!(
            out.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    let history = || as_ann(&["history", "deploy/llama-8b"]).code == 0;
    assert!(crate::support::eventually(
        std::time::Duration::from_secs(10),
        history
    ));
    as_ann(&["diff", "deploy/llama-8b", "--live"])
        .failed(2, "you may not get deployments.apps in namespace ");
    let groups = [
        "history",
        "deploy/llama-8b",
        "--as",
        "bob",
        "--as-group",
        "system:masters",
    ];
    stage.plugin(&namespace, &groups).ok();
}

fn shell(text: &str) -> Vec<String> {
    text.split_whitespace()
        .map(|it| it.trim_matches('\'').to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_revisor_and_one_that_is_away_are_told_apart() {
    let bare = devcluster::Cluster::start(&Options::minimal()).expect("a cluster");
    let run = |arguments: &[&str]| -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-revisor"));
        command
            .args(arguments)
            .arg("--kubeconfig")
            .arg(bare.kubeconfig())
            .stdin(Stdio::null());
        command.output().expect("the plugin").into()
    };
    run(&["list"]).failed(
        1,
        "this cluster has no revisions.revisor.dev: Revisor is not installed",
    );
    let away = [
        "list",
        "--server",
        "https://127.0.0.1:1",
        "--request-timeout",
        "2s",
    ];
    run(&away).failed(
        1,
        "the API server at https://127.0.0.1:1/ cannot be reached",
    );
    run(&["list", "--context", "nowhere"]).failed(1, "nowhere");
    let token = ["list", "--token", "wrong"];
    run(&token).failed(1, "does not accept these credentials (401)");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", silent.local_addr().expect("an address"));
    let ran = run(&["list", "--server", &address, "--request-timeout", "1s"]);
    ran.failed(1, "does not answer in time");
    assert!(
        !ran.err.contains("tcp connect error: tcp connect error"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_not_stored_is_named() {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("omitted").await;
    let revision = json!({"apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
        "metadata": {"name": "x-00000000-00001"}, "spec": {
            "id": uuid::Uuid::nil(), "type": "Baseline", "generation": 1, "resourceVersion": "1", "observedVia": "Watch",
            "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": uuid::Uuid::nil()},
            "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed",
            "snapshot": {"encoding": "gzip+base64", "size": 9, "oversize": true}}});
    let path = format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions");
    post(&client, &path, &revision).await;
    for words in [
        &["show", "deploy/x", "1"][..],
        &["rollback", "deploy/x", "1", "--yes"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-revisor"));
        command
            .args(words)
            .args(["-n", &namespace, "--kubeconfig"])
            .arg(own.cluster.kubeconfig());
        let ran: Ran = command.output().expect("the plugin").into();
        ran.failed(1, "the content of revision 1 is not stored: the workload was larger than the API server stores twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_early_is_no_failure() {
    let stage = stage();
    let namespace = stage.world.namespace("pipe").await;
    llama(&namespace).await;
    let mut child = stage
        .plugin_command(&namespace, &["show", "deploy/llama-8b"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin");
    drop(child.stdout.take());
    let out = child.wait_with_output().expect("the plugin");
    assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
    let value: Value =
        serde_json::from_str(&stage.plugin(&namespace, &["list", "-o", "json"]).ok())
            .expect("JSON");
    assert_eq!(value[0]["name"], "llama-8b");
}
