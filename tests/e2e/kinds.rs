//! Kinds that are parts of others, and views of the real thing.

use crate::support::{
    INFERENCE_SERVICE, Kind, LEADER_WORKER_SET, Meta, Revisor, World, command, fixtures, patch,
    post, read, revisions, send,
};
use devcluster::Options;
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use std::io::Write;

const NIM: Kind = Kind {
    kind: "NIMService",
    api: "apis/apps.nvidia.com/v1alpha1",
    plural: "nimservices",
    registry: "",
};
const KSVC: Kind = Kind {
    kind: "Service",
    api: "apis/serving.knative.dev/v1",
    plural: "services",
    registry: "",
};
const LLM: Kind = Kind {
    kind: "LLMInferenceService",
    api: "apis/serving.kserve.io/v1alpha2",
    plural: "llminferenceservices",
    registry: "",
};

/// A manifest, owned by another object as its controller would have it.
fn manifest(kind: Kind, name: &str, owner: Option<(Kind, &str, &Meta)>, spec: &Value) -> Value {
    let version = |kind: Kind| kind.api.trim_start_matches("apis/").to_owned();
    let reference = |(kind, name, meta): (Kind, &str, &Meta)| json!([{"apiVersion": version(kind), "kind": kind.kind, "name": name, "uid": meta.uid, "controller": true}]);
    let owners = owner.map(reference).unwrap_or_default();
    json!({"apiVersion": version(kind), "kind": kind.kind, "metadata": {"name": name, "ownerReferences": owners}, "spec": spec})
}

/// A NIMService and an LLMInferenceService, and what their controllers make of them; all but the NIMService.
async fn make_nested(client: &Client, namespace: &str) -> [(Kind, Meta); 4] {
    let make = async |kind: Kind, name: &str, owner: Option<(Kind, &Meta)>, spec: Value| {
        let owner = owner.map(|(kind, meta)| (kind, name, meta));
        post(
            client,
            &kind.path(namespace),
            &manifest(kind, name, owner, &spec),
        )
        .await
    };
    let image = json!({"image": {"repository": "nvcr.io/nim/llama", "tag": "1"}, "resources": {"limits": {"nvidia.com/gpu": "2"}}});
    let nim = make(NIM, "llama", None, image).await;
    let predictor =
        json!({"predictor": {"containers": [{"name": "kserve-container", "image": "x"}]}});
    let isvc = make(INFERENCE_SERVICE, "llama", Some((NIM, &nim)), predictor).await;
    let template = json!({"template": {"spec": {"containers": [{"image": "x"}]}}});
    let ksvc = make(KSVC, "llama", Some((INFERENCE_SERVICE, &isvc)), template).await;
    let main = json!({"template": {"containers": [{"name": "main", "image": "m:1"}]}});
    let llm = make(LLM, "big", None, main).await;
    let group = json!({"leaderWorkerTemplate": {"size": 2, "workerTemplate": {"spec": {"containers": [{"name": "w", "image": "x"}]}}}});
    let lws = make(LEADER_WORKER_SET, "big", Some((LLM, &llm)), group).await;
    [
        (INFERENCE_SERVICE, isvc),
        (KSVC, ksvc),
        (LLM, llm),
        (LEADER_WORKER_SET, lws),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_topmost_of_nested_kinds_is_recorded() {
    let own = World::start(&Options::minimal());
    let others = std::fs::read_to_string(fixtures().join("crds/others.yaml")).expect("a fixture");
    own.define(&others);
    let client = own.client().await;
    let namespace = own.namespace("nested").await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let parts = make_nested(&client, &namespace).await;
    // What the operator fills in a moment later, and a real edit.
    let filled = json!({"spec": {"livenessProbe": {}, "scale": {"hpa": {"maxReplicas": 0, "minReplicas": 1}}, "storage": {"nimCache": {}}}});
    patch(&client, &format!("{}/llama", NIM.path(&namespace)), &filled).await;
    let edited = json!({"spec": {"image": {"tag": "2"}}});
    let last = patch(&client, &format!("{}/llama", NIM.path(&namespace)), &edited).await;
    revisor.wait_recorded(NIM, last.version());
    for (kind, meta) in parts {
        revisor.wait_recorded(kind, meta.version());
    }
    let all = revisions(&client, &namespace).await;
    let mut recorded: Vec<_> = all
        .iter()
        .map(|r| {
            (
                r["spec"]["workload"]["kind"].as_str().expect("a kind"),
                r["spec"]["generation"].as_i64().expect("a number"),
            )
        })
        .collect();
    recorded.sort_unstable();
    assert_eq!(
        recorded,
        [
            ("LLMInferenceService", 1),
            ("NIMService", 1),
            ("NIMService", 3)
        ]
    );
    let newest = all
        .iter()
        .find(|r| r["spec"]["generation"] == 3)
        .expect("recorded");
    let view = &newest["spec"]["view"];
    assert_eq!(
        (&view["summary"], &view["images"]),
        (&json!("image.tag 1→2"), &json!(["nvcr.io/nim/llama:2"]))
    );
    assert_eq!(view["requestsTotal"], "nvidia.com/gpu=2");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_are_made_anew_and_nothing_else_changes() {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("reindex").await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let made = post(
        &client,
        &INFERENCE_SERVICE.path(&namespace),
        &INFERENCE_SERVICE.example(),
    )
    .await;
    revisor.wait_recorded(INFERENCE_SERVICE, made.version());
    let kubeconfig = own.cluster.kubeconfig().display().to_string();
    let reindex =
        |more: &[&str]| printed(&[&["reindex", "--kubeconfig", &kubeconfig], more].concat());
    assert!(
        reindex(&[]).starts_with("1 Revisions: 0 rewritten, 1 up to date"),
        "{}",
        reindex(&[])
    );
    // A view of an older extractor, or a wrong one.
    let before = revisions(&client, &namespace).await.remove(0);
    let mut old = before.clone();
    old["spec"]["view"] = json!({"version": 1, "summary": "created", "images": ["wrong"]});
    let name = before["metadata"]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    let path = format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions/{name}");
    put(&client, &path, &old).await;
    assert!(reindex(&["--dry-run"]).starts_with("1 Revisions: 1 would be rewritten"));
    assert_eq!(
        read(&client, &path).await["spec"]["view"]["images"],
        json!(["wrong"])
    );
    assert!(reindex(&[]).starts_with("1 Revisions: 1 rewritten"));
    assert_eq!(read(&client, &path).await["spec"], before["spec"]);
    hidden_by_other_names(&client, &namespace, &path, &revisor, &reindex).await;
}

/// With other names of secrets the changes hide them too.
async fn hidden_by_other_names(
    client: &Client,
    namespace: &str,
    first: &str,
    revisor: &Revisor,
    reindex: &dyn Fn(&[&str]) -> String,
) {
    let setting = |tokens: &str| json!({"spec": {"predictor": {"model": {"env": [{"name": "MAX_TOKENS", "value": tokens}]}}}});
    let workload = format!(
        "{}/{}",
        INFERENCE_SERVICE.path(namespace),
        INFERENCE_SERVICE.example()["metadata"]["name"]
            .as_str()
            .expect("a name")
    );
    let edited = patch(client, &workload, &setting("4321")).await;
    revisor.wait_recorded(INFERENCE_SERVICE, edited.version());
    let mut config = tempfile::NamedTempFile::new().expect("a file");
    let own_file = "redaction: {secretNames: [MAX_*]}\n";
    config.write_all(own_file.as_bytes()).expect("written");
    reindex(&["--config", &config.path().display().to_string()]);
    let env = read(client, first).await["spec"]["view"]["env"].clone();
    let shown = env.as_str().and_then(|env| env.lines().nth(1));
    assert_eq!(shown, Some("MAX_TOKENS='[redacted]'"));
    let all = revisions(client, namespace).await;
    let view = &all
        .iter()
        .find(|r| r["spec"]["generation"] == 2)
        .expect("recorded")["spec"]["view"];
    assert!(view["changes"].to_string().contains("[redacted]"), "{view}");
    assert!(!view.to_string().contains("4321"), "{view}");
}

/// What a command of `revisor` prints.
fn printed(arguments: &[&str]) -> String {
    let out = command(arguments);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{errors}");
    String::from_utf8(out.stdout).expect("text")
}

async fn put(client: &Client, path: &str, object: &Value) {
    let body = object.to_string();
    let (code, body) = send(client, Method::PUT, path, "application/json", &body).await;
    assert_eq!(code, 200, "{body}");
}

/// The code block of the page on kinds that begins with this comment.
fn example(file: &str) -> String {
    let page =
        std::fs::read_to_string(fixtures().join("../../docs/adding-a-kind.md")).expect("a page");
    let (_, block) = page
        .split_once(&format!("```yaml\n# {file}\n"))
        .expect("an example");
    block.split_once("```").expect("its end").0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kind_of_the_documentation_is_recorded() {
    let kind = Kind {
        kind: "ModelServer",
        api: "apis/serving.example.com/v1",
        plural: "modelservers",
        registry: "",
    };
    let own = World::start(&Options::minimal());
    let definition =
        std::fs::read_to_string(fixtures().join("crds/lates.yaml")).expect("a fixture");
    let group = definition
        .lines()
        .find_map(|line| line.trim().strip_prefix("group: "))
        .expect("a group");
    let definition = definition
        .replace(group, "serving.example.com")
        .replace("Late", "ModelServer")
        .replace("lates", "modelservers")
        .replace("late", "modelserver");
    own.define(&definition);
    let client = own.client().await;
    let namespace = own.namespace("example").await;
    let config = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(config.path(), example("revisor.yaml")).expect("written");
    let revisor = Revisor::start(
        own.cluster.kubeconfig(),
        &["--config", &config.path().display().to_string()],
    );
    let manifest: Value = serde_saphyr::from_str(&example("manifest.yaml")).expect("YAML");
    let path = kind.path(&namespace);
    post(&client, &path, &manifest).await;
    let edited = json!({"spec": {"server": {"gpus": 8}}});
    let last = patch(&client, &format!("{path}/llama"), &edited).await;
    revisor.wait_recorded(kind, last.version());
    let all = revisions(&client, &namespace).await;
    let newest = all
        .iter()
        .find(|r| r["spec"]["generation"] == 2)
        .expect("recorded");
    let view = &newest["spec"]["view"];
    assert_eq!(
        (all.len(), &view["summary"]),
        (2, &json!("server.gpus 4→8"))
    );
    assert_eq!(view["env"], "HF_TOKEN='[redacted]'");
    assert_eq!(view["requestsTotal"], "nvidia.com/gpu=16");
}

#[test]
fn explain_needs_no_cluster() {
    let file = fixtures()
        .join("workloads/deployment.yaml")
        .display()
        .to_string();
    let out = command(&["kinds", "explain", "-f", &file, "-o", "json"]);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let all: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(
        (&all[0]["recorded"], &all[0]["why"]),
        (&json!(true), &json!("selected"))
    );
    assert_eq!(
        all[0]["view"]["requestsPerPod"],
        "cpu=4,memory=32Gi,nvidia.com/gpu=1"
    );
    let mut bad = tempfile::NamedTempFile::new().expect("a file");
    for (text, why) in [
        ("kind: X\n", "document 1: has no apiVersion"),
        (
            "apiVersion: v1\nkind: Pod\n",
            "kind: \"Pod\" of \"v1\" has no kind file",
        ),
        (
            "apiVersion: apps/v9\nkind: Deployment\n",
            "apiVersion: \"apps/v9\"",
        ),
        ("{", "is not YAML"),
        ("", "holds no manifest"),
    ] {
        bad.as_file_mut().set_len(0).expect("emptied");
        std::fs::write(bad.path(), text).expect("written");
        let out = command(&["kinds", "explain", "-f", &bad.path().display().to_string()]);
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            !out.status.success() && error.contains(why),
            "{text:?}: {error}"
        );
    }
    programs_that_fail_are_told();
    let mut config = tempfile::NamedTempFile::new().expect("a file");
    let yaml = "kinds:\n- {kind: T, group: a.b, versions: [v1], plural: ts, select: always, view: {components: '.a | foo'}}\n";
    config.write_all(yaml.as_bytes()).expect("written");
    let out = command(&["kinds", "--config", &config.path().display().to_string()]);
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        error.contains("kinds[0] (T): view.components: 1:6: undefined filter foo"),
        "{error}"
    );
}

/// A program that fails, and one that would take for ever.
fn programs_that_fail_are_told() {
    let many = format!(
        "apiVersion: a.b/v1\nkind: T\nspec: {{s: secret, a: [{}1]}}\n",
        "1,".repeat(2000)
    );
    let manifest = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(manifest.path(), many).expect("written");
    for (program, why) in [
        (
            ".spec.s.x",
            "T/(no name): view.components: the program ended with an error",
        ),
        (
            "[.spec.a as $l | $l[] as $a | $l[] as $b | $l[] as $c | $a + $b + $c] | length",
            "T/(no name): view.components: the program takes longer than half a second",
        ),
    ] {
        let config = tempfile::NamedTempFile::new().expect("a file");
        let kind = json!({"kind": "T", "group": "a.b", "versions": ["v1"], "plural": "ts", "select": "always", "view": {"components": program}});
        std::fs::write(config.path(), json!({"kinds": [kind]}).to_string()).expect("written");
        let path = |file: &tempfile::NamedTempFile| file.path().display().to_string();
        let out = command(&[
            "kinds",
            "explain",
            "-f",
            &path(&manifest),
            "--config",
            &path(&config),
            "-o",
            "json",
        ]);
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            !out.status.success() && error.contains(why) && !error.contains("secret"),
            "{error}"
        );
        let all: Value =
            serde_json::from_slice(&out.stdout).expect("what is recorded all the same");
        assert_eq!(all[0]["recorded"], json!(true));
    }
}
