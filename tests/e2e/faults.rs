//! Writing fails: nothing is lost, others go on, and people are told.

use crate::support::{
    DEPLOYMENT, INFERENCE_SERVICE, Revisor, World, command, edit, eventually, get, patch, post,
    revisions,
};
use devcluster::Options;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

fn uri(i: usize) -> Value {
    json!({"spec": {"predictor": {"model": {"storageUri": format!("s3://m/{i}")}}}})
}

/// What Revisor needs; without the right to create when `creates` is false.
pub fn role(creates: bool) -> String {
    let verbs = if creates {
        "[create, get, list, watch]"
    } else {
        "[get, list, watch]"
    };
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: recorder}}\nrules:\n\
        - {{apiGroups: [revisor.dev], resources: [revisions], verbs: {verbs}}}\n\
        - {{apiGroups: [revisor.dev], resources: [revisions/status], verbs: [patch]}}\n\
        - {{apiGroups: [\"\"], resources: [configmaps], verbs: [create, get, patch]}}\n\
        - {{apiGroups: [apps], resources: [deployments, statefulsets, daemonsets], verbs: [get, list, watch]}}\n\
        - {{apiGroups: [serving.kserve.io], resources: [inferenceservices], verbs: [get, list, watch]}}\n\
        - {{apiGroups: [leaderworkerset.x-k8s.io], resources: [leaderworkersets], verbs: [get, list, watch]}}\n\
        - {{apiGroups: [events.k8s.io], resources: [events], verbs: [create, patch]}}\n\
        - {{apiGroups: [\"\"], resources: [namespaces], verbs: [get]}}\n"
    )
}

/// A kubeconfig of a service account that is bound to that role.
pub fn service_account(world: &World) -> PathBuf {
    world.cluster.apply(&role(true)).expect("a role");
    world.kubectl(&["create", "serviceaccount", "recorder"]);
    world.kubectl(&[
        "create",
        "clusterrolebinding",
        "recorder",
        "--clusterrole=recorder",
        "--serviceaccount=default:recorder",
    ]);
    let token = world.kubectl(&["create", "token", "recorder", "--duration=1h"]);
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": world.cluster.api_server_url(0), "certificate-authority": world.cluster.authority()}}],
        "users": [{"name": "u", "user": {"token": token.trim()}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    let path = world.cluster.directory().join("recorder.kubeconfig");
    std::fs::write(&path, config.to_string()).expect("written");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_holds_recording_until_it_is_back() {
    let own = World::start(&Options::minimal());
    let revisor = Revisor::start(&service_account(&own), &[]);
    let client = own.client().await;
    let namespace = own.namespace("rights").await;
    post(
        &client,
        &INFERENCE_SERVICE.path(&namespace),
        &INFERENCE_SERVICE.example(),
    )
    .await;
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(&namespace));
    edit(&client, &path, 10, uri).await;
    own.cluster.apply(&role(false)).expect("a role");
    // The API server's own view of roles lags a little: edit until writing is held.
    let held = || revisor.metric("revisor_write_held", "Forbidden") > 0.5;
    let mut last = None;
    for i in 100..200 {
        last = Some(patch(&client, &path, &uri(i)).await);
        if held() && i > 140 {
            break;
        }
    }
    let last = last.expect("edits");
    assert!(
        eventually(Duration::from_secs(10), held),
        "{}",
        revisor.log()
    );
    let events = || {
        own.kubectl(&[
            "-n",
            &namespace,
            "get",
            "events",
            "-o",
            "jsonpath={.items[*].reason}",
        ])
    };
    assert!(
        eventually(Duration::from_secs(10), || events()
            .contains("RecordingHeld")),
        "{}",
        events()
    );
    own.cluster.apply(&role(true)).expect("a role");
    own.wait_recorded(&revisor, INFERENCE_SERVICE, &last);
    own.assert_recorded(&namespace, &[INFERENCE_SERVICE]).await;
    assert!(!held(), "the metric says that recording goes on");
}

/// Three Revisions and no more, once the quota is enforced.
fn set_quota(own: &World, namespace: &str) {
    own.kubectl(&[
        "-n",
        namespace,
        "create",
        "quota",
        "q",
        "--hard=count/revisions.revisor.dev=3",
    ]);
    let used = || {
        own.kubectl(&[
            "-n",
            namespace,
            "get",
            "quota",
            "q",
            "-o",
            "jsonpath={.status.hard}",
        ])
    };
    assert!(
        eventually(Duration::from_secs(20), || used().contains("revisions")),
        "the quota is not enforced"
    );
}

/// `/status` names the namespace that is held and the reason; a probe counts it.
fn assert_hold_is_shown(revisor: &Revisor, namespace: &str) {
    let (code, body) = get(revisor.admin, "/status").expect("an answer");
    let status: Value = serde_json::from_str(&body).expect("JSON");
    let holds = status["holds"].as_array().expect("holds");
    let is_shown = holds.iter().any(|hold| {
        hold["reason"] == "QuotaExceeded"
            && hold["namespace"] == namespace
            && hold["since"].is_string()
    });
    assert!(code == 200 && is_shown, "{body}");
    let (code, body) = get(revisor.admin, "/readyz?verbose").expect("an answer");
    assert_eq!(code, 200, "a hold makes no replica unready");
    assert!(body.contains("(see /status)"), "{body}");
    assert!(!body.contains(namespace), "{body}");
    let admin = format!("http://127.0.0.1:{}", revisor.admin);
    let out = command(&["status", "--admin", &admin]);
    let text = String::from_utf8_lossy(&out.stdout);
    let row = text.lines().find(|line| line.starts_with("QuotaExceeded"));
    assert!(row.is_some_and(|row| row.contains(namespace)), "{out:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_parks_its_namespace_only() {
    let own = World::start(&Options {
        controller_manager: true,
        ..Options::minimal()
    });
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let client = own.client().await;
    let full = own.namespace("full").await;
    let free = own.namespace("free").await;
    set_quota(&own, &full);
    let mut last = Vec::new();
    for namespace in [&full, &free] {
        post(
            &client,
            &INFERENCE_SERVICE.path(namespace),
            &INFERENCE_SERVICE.example(),
        )
        .await;
        let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(namespace));
        last.push(edit(&client, &path, 10, uri).await);
    }
    let held = || revisor.metric("revisor_write_held", "QuotaExceeded") > 0.5;
    assert!(
        eventually(Duration::from_secs(10), held),
        "{}",
        revisor.log()
    );
    let count = |namespace: &str| {
        own.kubectl(&["-n", namespace, "get", "revisions", "-o", "name"])
            .lines()
            .count()
    };
    assert!(
        eventually(Duration::from_secs(20), || count(&free) == 11),
        "{} of 11",
        count(&free)
    );
    assert!(count(&full) <= 3);
    assert_hold_is_shown(&revisor, &full);
    // Others are written all the time, and that is no reason to say that this one is.
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(&free));
    for i in 0..30 {
        let edited = patch(&client, &path, &uri(100 + i)).await;
        own.oracle
            .wait_for(INFERENCE_SERVICE.registry, &edited.uid, edited.generation);
        assert!(held(), "{}", revisor.log());
        last[1] = edited;
    }
    assert!(
        eventually(Duration::from_secs(20), || count(&free) == 41),
        "{} of 41",
        count(&free)
    );
    assert!(held(), "{}", revisor.log());
    own.kubectl(&["-n", &full, "delete", "quota", "q"]);
    for last in &last {
        own.wait_recorded(&revisor, INFERENCE_SERVICE, last);
    }
    own.assert_recorded(&full, &[INFERENCE_SERVICE]).await;
    own.assert_recorded(&free, &[INFERENCE_SERVICE]).await;
    assert!(!held(), "the metric says that recording goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_goes_holds_nobody_up() {
    let own = World::start(&Options {
        controller_manager: true,
        ..Options::minimal()
    });
    let revisor = Revisor::start(own.cluster.kubeconfig(), &["--writers=2"]);
    let client = own.client().await;
    let gone = own.namespace("gone").await;
    let stays = own.namespace("stays").await;
    // A finalizer keeps the workload in its terminating namespace, where it can still be edited but not recorded.
    let mut kept = INFERENCE_SERVICE.example();
    kept["metadata"]["finalizers"] = json!(["e2e.example.com/keep"]);
    post(&client, &INFERENCE_SERVICE.path(&gone), &kept).await;
    own.kubectl(&["delete", "namespace", &gone, "--wait=false"]);
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(&gone));
    edit(&client, &path, 20, uri).await;
    let last = post(&client, &DEPLOYMENT.path(&stays), &DEPLOYMENT.example()).await;
    revisor.wait_recorded(DEPLOYMENT, last.version());
    assert_eq!(revisions(&client, &stays).await.len(), 1);
    let dropped = || revisor.metric("revisor_revisions_refused_total", "NamespaceGone");
    assert!(
        eventually(Duration::from_secs(10), || dropped() > 19.5),
        "{}",
        dropped()
    );
    assert_eq!(
        revisor.log().matches("the namespace is gone").count(),
        1,
        "{}",
        revisor.log()
    );
    let released = patch(&client, &path, &json!({"metadata": {"finalizers": null}})).await;
    revisor.wait_recorded(INFERENCE_SERVICE, released.version());
    assert!(
        revisor.metric("revisor_write_held", "").abs() < 0.5,
        "{}",
        revisor.log()
    );
}

/// The definition with one field of spec taken out, as an older Revisor would have installed it.
fn old_crd() -> String {
    let out = command(&["crds"]);
    let mut crd: Value =
        serde_saphyr::from_str(&String::from_utf8(out.stdout).expect("text")).expect("YAML");
    let spec = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    assert!(
        spec["properties"]
            .as_object_mut()
            .expect("properties")
            .remove("contentDigest")
            .is_some()
    );
    spec.as_object_mut()
        .expect("an object")
        .remove("x-kubernetes-validations");
    crd.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_definition_holds_recording_instead_of_losing_a_field() {
    let own = World::start(&Options::minimal());
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    own.cluster.apply(&old_crd()).expect("an old definition");
    // The API server serves the old schema a moment after it took it.
    let is_old = || {
        let explained = own
            .cluster
            .kubectl()
            .args(["explain", "revision.spec.contentDigest"])
            .output();
        explained.is_ok_and(|out| !out.status.success())
    };
    assert!(eventually(Duration::from_secs(20), is_old));
    let client = own.client().await;
    let namespace = own.namespace("old").await;
    post(
        &client,
        &INFERENCE_SERVICE.path(&namespace),
        &INFERENCE_SERVICE.example(),
    )
    .await;
    let last = edit(
        &client,
        &format!("{}/llama-70b", INFERENCE_SERVICE.path(&namespace)),
        5,
        uri,
    )
    .await;
    let held = || revisor.metric("revisor_write_held", "BadRequest") > 0.5;
    assert!(
        eventually(Duration::from_secs(20), held),
        "{}",
        revisor.log()
    );
    assert!(
        revisor.log().contains("contentDigest"),
        "the log names the field:\n{}",
        revisor.log()
    );
    assert_eq!(revisions(&client, &namespace).await.len(), 0);
    let new = String::from_utf8(command(&["crds"]).stdout).expect("text");
    own.cluster.apply(&new).expect("the new definition");
    own.wait_recorded(&revisor, INFERENCE_SERVICE, &last);
    assert_eq!(
        own.assert_recorded(&namespace, &[INFERENCE_SERVICE]).await,
        6
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_held_keeps_a_quarter_of_the_queue_and_loses_nothing() {
    full_queue(60).await;
}

/// The queue holds 1 MiB, the right to write is missing, and there are so many edits of 50 KB.
pub async fn full_queue(edits: usize) {
    let own = World::start(&Options::minimal());
    let kubeconfig = service_account(&own);
    let revisor = Revisor::start(&kubeconfig, &["--queue-bytes=1MiB"]);
    let client = own.client().await;
    let namespace = own.namespace("queue").await;
    own.cluster.apply(&role(false)).expect("a role");
    let mut file = tempfile::tempfile().expect("a file");
    let mut noise = 1_u32;
    let mut blob = || {
        let mut letter = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + u8::try_from((noise >> 16) % 26).expect("a letter"))
        };
        (0..50_000).map(|_| letter()).collect::<String>()
    };
    post(
        &client,
        &INFERENCE_SERVICE.path(&namespace),
        &INFERENCE_SERVICE.example(),
    )
    .await;
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(&namespace));
    let mut last = None;
    for _ in 0..edits {
        let text = blob();
        file.write_all(text.as_bytes()).expect("written");
        last = Some(patch(&client, &path, &json!({"spec": {"blob": text}})).await);
    }
    let last = last.expect("edits");
    let bytes = || revisor.metric("revisor_queue_bytes", "");
    assert!(
        eventually(Duration::from_secs(10), || bytes() > 200_000.0),
        "{}",
        bytes()
    );
    // A quarter, and the write that has filled it.
    assert!(
        bytes() <= 262_144.0 + 100_000.0,
        "{} bytes are waiting",
        bytes()
    );
    own.cluster.apply(&role(true)).expect("a role");
    own.wait_recorded(&revisor, INFERENCE_SERVICE, &last);
    assert_eq!(
        own.assert_recorded(&namespace, &[INFERENCE_SERVICE]).await,
        edits + 1
    );
}
