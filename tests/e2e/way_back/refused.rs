//! Rollbacks that are refused, or that need a word of warning first; and workloads that are gone.

use super::stage::{Stage, stage};
use crate::support::{DEPLOYMENT, INFERENCE_SERVICE, Kind, STATEFUL_SET, patch, post, read, send};
use http::Method;
use serde_json::{Value, json};

async fn deployment(stage: &Stage, namespace: &str, metadata: &Value) -> String {
    let client = stage.client().await;
    let mut object = DEPLOYMENT.example();
    object["spec"]["replicas"] = json!(0);
    json_patch::merge(&mut object["metadata"], metadata);
    post(&client, &DEPLOYMENT.path(namespace), &object).await;
    let path = format!("{}/llama-8b", DEPLOYMENT.path(namespace));
    patch(&client, &path, &image("vllm:bad")).await;
    stage.recorded(DEPLOYMENT, &path).await;
    path
}

fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [
        {"name": "vllm", "image": image, "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}}}})
}

fn image_of(object: &Value) -> &str {
    object["spec"]["template"]["spec"]["containers"][0]["image"]
        .as_str()
        .expect("an image")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_delivery_tool_owns_is_refused_with_a_patch_that_kubectl_and_git_take() {
    let stage = stage();
    let namespace = stage.world.namespace("gitops").await;
    let id = format!("search:apps/Deployment:{namespace}/llama-8b");
    let path = deployment(
        stage,
        &namespace,
        &json!({"annotations": {"argocd.argoproj.io/tracking-id": id}}),
    )
    .await;
    let before = read(&stage.client().await, &path).await;
    let rollback = ["rollback", "deploy/llama-8b", "1", "--yes"];
    let ran = stage.plugin(&namespace, &rollback);
    ran.failed(
        1,
        "Argo CD (search) owns deployment/llama-8b and undoes a rollback within seconds",
    );
    assert!(ran.out.contains("[redacted"), "secrets are hidden: {ran:?}");
    assert_eq!(
        read(&stage.client().await, &path).await["metadata"]["generation"],
        before["metadata"]["generation"]
    );

    let shown = stage.plugin(&namespace, &[&rollback[..], &["--show-secrets"]].concat());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("patch.yaml");
    std::fs::write(&file, &shown.out).expect("written");
    let file = file.display().to_string();
    let patch = [
        "patch",
        "deployment/llama-8b",
        "--type=merge",
        "--patch-file",
        &file,
    ];
    stage.kubectl(&namespace, &patch, &Value::Null).ok();
    assert_eq!(
        image_of(&read(&stage.client().await, &path).await),
        "vllm/vllm-openai:v0.11.0"
    );
    let done = stage
        .plugin(
            &namespace,
            &["rollback", "deploy/llama-8b", "1", "--yes", "--force"],
        )
        .ok();
    assert!(
        done.contains("nothing to do"),
        "the patch made the whole old state: {done}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_of_the_repository_is_one_that_git_applies() {
    let stage = stage();
    let namespace = stage.world.namespace("repository").await;
    deployment(stage, &namespace, &json!({})).await;
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: llama-8b\nspec:\n  template:\n    spec:\n      containers:\n      - name: vllm\n        image: vllm:bad\n";
    let file = folder.path().join("llama.yaml");
    std::fs::write(&file, manifest).expect("written");
    let mut plugin = stage.plugin_command(
        &namespace,
        &[
            "rollback",
            "deploy/llama-8b",
            "1",
            "--repo-file",
            "llama.yaml",
            "--show-secrets",
        ],
    );
    let out = plugin
        .current_dir(folder.path())
        .output()
        .expect("the plugin");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    std::fs::write(folder.path().join("p.diff"), &out.stdout).expect("written");
    let git = |arguments: &[&str]| {
        let out = std::process::Command::new("git")
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .expect("git");
        assert!(
            out.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    };
    git(&["init", "-q"]);
    git(&["apply", "p.diff"]);
    let after = std::fs::read_to_string(&file).expect("text");
    assert!(
        after.contains("image: vllm/vllm-openai:v0.11.0") && !after.contains("bad"),
        "{after}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_that_look_alike_are_not_refused_and_controllers_are() {
    let stage = stage();
    let namespace = stage.world.namespace("look-alike").await;
    let metadata = json!({"labels": {"app.kubernetes.io/instance": "search", "app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"argocd.argoproj.io/tracking-id": "search:apps/Deployment:other/llama-8b"}});
    let path = deployment(stage, &namespace, &metadata).await;
    stage
        .plugin(&namespace, &["rollback", "deploy/llama-8b", "1", "--yes"])
        .ok();
    let live = read(&stage.client().await, &path).await;
    assert_eq!(image_of(&live), "vllm/vllm-openai:v0.11.0");
    let owner = json!([{"apiVersion": "example.com/v1", "kind": "Fleet", "name": "f", "uid": live["metadata"]["uid"], "controller": true}]);
    patch(
        &stage.client().await,
        &path,
        &json!({"metadata": {"ownerReferences": owner}}),
    )
    .await;
    let ran = stage.plugin(
        &namespace,
        &["rollback", "deploy/llama-8b", "2", "--yes", "--force"],
    );
    ran.failed(1, "is made by Fleet/f, which would write it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_anybody_to_ask_nothing_is_written_and_a_dry_run_writes_nothing() {
    let stage = stage();
    let namespace = stage.world.namespace("asked").await;
    let path = deployment(stage, &namespace, &json!({})).await;
    let version = || async {
        let live = read(&stage.client().await, &path).await;
        (live["metadata"]["generation"].clone(), live["spec"].clone())
    };
    let before = version().await;
    stage
        .plugin(&namespace, &["rollback", "deploy/llama-8b", "1"])
        .failed(1, "nobody to ask: --yes");
    for mode in ["--dry-run", "--dry-run=server", "--dry-run=client"] {
        let ran = stage.plugin(&namespace, &["rollback", "deploy/llama-8b", "1", mode]);
        assert!(
            ran.out.contains("+        image: vllm/vllm-openai:v0.11.0"),
            "{ran:?}"
        );
        assert!(
            !ran.out.contains("hf_0123456789"),
            "secrets are hidden: {ran:?}"
        );
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    stage
        .plugin(&namespace, &["rollback", "deploy/llama-8b"])
        .failed(1, "which revision?");
    assert_eq!(version().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_was_deleted_is_restored() {
    let stage = stage();
    let namespace = stage.world.namespace("restore").await;
    let path = deployment(stage, &namespace, &json!({"annotations": {"note": "kept"}})).await;
    let client = stage.client().await;
    send(&client, Method::DELETE, &path, "application/json", "").await;
    let deleted = || {
        stage
            .plugin(&namespace, &["list", "--deleted", "-o", "json"])
            .out
            .contains("\"deletedAt\": \"")
    };
    assert!(crate::support::eventually(
        std::time::Duration::from_secs(30),
        deleted
    ));
    let ran = stage.plugin(&namespace, &["rollback", "deploy/llama-8b", "1", "--yes"]);
    assert!(
        ran.out
            .contains("deployment/llama-8b restored from revision 1"),
        "{ran:?}"
    );
    assert!(
        ran.err
            .contains("last-applied-configuration are not recorded"),
        "{ran:?}"
    );
    let live = read(&client, &path).await;
    assert_eq!(
        (image_of(&live), &live["metadata"]["annotations"]["note"]),
        ("vllm/vllm-openai:v0.11.0", &json!("kept"))
    );

    stage.recorded(DEPLOYMENT, &path).await;
    let history = stage
        .plugin(&namespace, &["history", "deploy/llama-8b"])
        .ok();
    assert!(
        history.contains("recreated: above is an earlier workload of this name, deleted"),
        "{history}"
    );
    send(&client, Method::DELETE, &path, "application/json", "").await;
    assert_refused_in_a_namespace_that_goes(stage, &namespace).await;
}

/// A finalizer keeps the namespace from being gone at once.
async fn assert_refused_in_a_namespace_that_goes(stage: &Stage, namespace: &str) {
    let client = stage.client().await;
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/held"]}});
    let path = format!("/api/v1/namespaces/{namespace}");
    post(&client, &format!("{path}/configmaps"), &held).await;
    send(&client, Method::DELETE, &path, "application/json", "").await;
    stage
        .until(&path, |it| it["status"]["phase"] == "Terminating")
        .await;
    let ran = stage.plugin(namespace, &["rollback", "deploy/llama-8b", "1", "--yes"]);
    let why = ran.err.contains("is being deleted") || ran.err.contains("no revisions of");
    assert!(ran.code == 1 && why, "{ran:?}");
    let released = json!({"metadata": {"finalizers": null}});
    patch(&client, &format!("{path}/configmaps/held"), &released).await;
}

/// A StatefulSet that was made anew with another immutable field: the old state cannot be had by a write.
#[tokio::test(flavor = "multi_thread")]
async fn immutable_fields_are_named_before_anything_is_written() {
    let stage = stage();
    let namespace = stage.world.namespace("immutable").await;
    let client = stage.client().await;
    let path = format!("{}/embedder", STATEFUL_SET.path(&namespace));
    let mut object = STATEFUL_SET.example();
    object["spec"]["replicas"] = json!(0);
    let first = post(&client, &STATEFUL_SET.path(&namespace), &object).await;
    stage.revisor.wait_recorded(STATEFUL_SET, first.version());
    send(&client, Method::DELETE, &path, "application/json", "").await;
    object["spec"]["serviceName"] = json!("other");
    let second = post(&client, &STATEFUL_SET.path(&namespace), &object).await;
    stage.revisor.wait_recorded(STATEFUL_SET, second.version());
    let ran = stage.plugin(
        &namespace,
        &[
            "rollback",
            "sts/embedder",
            "1",
            "--uid",
            &first.uid,
            "--yes",
        ],
    );
    ran.failed(1, "cannot be changed; it takes a deletion");
    assert!(ran.err.len() < 900, "no dump of an object: {}", ran.err);
    assert_eq!(read(&client, &path).await["spec"]["serviceName"], "other");
}

const DEFINITION: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/dynamographdeployments.nvidia.com";
const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

/// Changes the schema of the spec.
async fn define(client: &kube::Client, schema: &Value) {
    let patch = json!([{"op": "replace", "path": SPEC, "value": schema}]).to_string();
    let patch_type = "application/json-patch+json";
    let (code, body) = send(client, Method::PATCH, DEFINITION, patch_type, &patch).await;
    assert_eq!(code, 200, "{body}");
}

/// A schema without one of the fields, with a new default.
fn schema(size: &Value) -> Value {
    let filled = json!({"type": "string", "default": "in"});
    json!({"type": "object", "properties": {"size": size, "x": {"type": "integer"}, "filled": filled}})
}

/// A definition that lost a field, has a new default and a tighter rule.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_changed_definition_makes_of_the_old_state_is_said_first() {
    let stage = stage();
    let own = Kind {
        kind: "DynamoGraphDeployment",
        api: "apis/nvidia.com/v1beta1",
        plural: "dynamographdeployments",
        registry: "",
    };
    let namespace = stage.world.namespace("definition").await;
    let client = stage.client().await;
    let path = format!("{}/w", own.path(&namespace));
    let object = json!({"apiVersion": "nvidia.com/v1beta1", "kind": own.kind, "metadata": {"name": "w"}, "spec": {"old": 1, "size": 3, "x": 1}});
    post(&client, &own.path(&namespace), &object).await;
    let edit = json!({"spec": {"old": null, "size": 2, "x": 2}});
    patch(&client, &path, &edit).await;
    stage.recorded(own, &path).await;
    let whole = read(&client, DEFINITION)
        .await
        .pointer(SPEC)
        .expect("a schema")
        .clone();
    define(&client, &schema(&json!({"type": "integer"}))).await;
    stage.until(&path, |it| it["spec"]["filled"] == "in").await;
    let rollback = ["rollback", "dynamographdeployment/w", "1"];
    let ran = stage.plugin(&namespace, &[&rollback[..], &["--dry-run"]].concat());
    for words in [
        "drops fields that the definition does not have any more: spec.old",
        "unknown field \"spec.old\"",
    ] {
        assert!(ran.code == 0 && ran.err.contains(words), "{words}: {ran:?}");
    }
    assert!(ran.err.contains("fills in: spec.filled"), "{ran:?}");
    define(&client, &schema(&json!({"type": "integer", "maximum": 2}))).await;
    // The API server takes a moment to go by a changed definition.
    let dry = || {
        stage
            .plugin(&namespace, &[&rollback[..], &["--dry-run"]].concat())
            .code
            != 0
    };
    assert!(crate::support::eventually(
        std::time::Duration::from_secs(20),
        dry
    ));
    let ran = stage.plugin(&namespace, &[&rollback[..], &["--yes"]].concat());
    ran.failed(1, "\n  spec.size: ");
    define(&client, &whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_references_canaries_and_restarts_are_told_before() {
    let stage = stage();
    let namespace = stage.world.namespace("told").await;
    let client = stage.client().await;
    let mut service = INFERENCE_SERVICE.example();
    service["spec"]["predictor"]["canaryTrafficPercent"] = json!(20);
    service["spec"]["predictor"]["serviceAccountName"] = json!("gone");
    post(&client, &INFERENCE_SERVICE.path(&namespace), &service).await;
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(&namespace));
    patch(
        &client,
        &path,
        &json!({"spec": {"predictor": {"canaryTrafficPercent": null, "serviceAccountName": null}}}),
    )
    .await;
    stage.recorded(INFERENCE_SERVICE, &path).await;
    let ran = stage.plugin(
        &namespace,
        &["rollback", "isvc/llama-70b", "1", "--dry-run"],
    );
    for words in [
        "ServiceAccount gone is missing",
        "canaryTrafficPercent is 20 in the revision",
    ] {
        assert!(ran.err.contains(words), "{words}: {ran:?}");
    }
    let deployment_path = deployment(stage, &namespace, &json!({})).await;
    stage
        .kubectl(
            &namespace,
            &["rollout", "restart", "deployment/llama-8b"],
            &Value::Null,
        )
        .ok();
    stage.recorded(DEPLOYMENT, &deployment_path).await;
    let ran = stage.plugin(
        &namespace,
        &["rollback", "deploy/llama-8b", "2", "--dry-run"],
    );
    assert!(ran.err.contains("this only undoes a restart"), "{ran:?}");
}
