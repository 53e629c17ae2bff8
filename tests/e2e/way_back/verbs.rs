//! What the verbs print, and every way to call them.

use super::stage::{Stage, stage};
use crate::support::{DEPLOYMENT, INFERENCE_SERVICE, patch, post, read};
use serde_json::{Value, json};

/// An InferenceService with three states.
async fn service(stage: &Stage, namespace: &str) -> String {
    let client = stage.client().await;
    post(
        &client,
        &INFERENCE_SERVICE.path(namespace),
        &INFERENCE_SERVICE.example(),
    )
    .await;
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(namespace));
    for replicas in [6, 7] {
        patch(
            &client,
            &path,
            &json!({"spec": {"predictor": {"maxReplicas": replicas}}}),
        )
        .await;
    }
    stage.recorded(INFERENCE_SERVICE, &path).await;
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_has_every_name_that_kubectl_knows() {
    let stage = stage();
    let namespace = stage.world.namespace("words").await;
    service(stage, &namespace).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), INFERENCE_SERVICE.example().to_string()).expect("written");
    let file = file.path().display().to_string();
    for words in [
        &["history", "isvc/llama-70b"][..],
        &["history", "isvc", "llama-70b"],
        &["history", "llama-70b"],
        &["history", "inferenceservices/llama-70b"],
        &["history", "InferenceService/llama-70b"],
        &[
            "history",
            "inferenceservices.v1beta1.serving.kserve.io/llama-70b",
        ],
        &["history", "-f", &file],
        &["history", "-l", "team=search"],
    ] {
        let table = stage.plugin(&namespace, words).ok();
        let numbers: Vec<_> = table
            .lines()
            .skip(1)
            .map(|line| line.split(' ').next().expect("a number"))
            .collect();
        assert_eq!(numbers, ["1", "2", "3"], "{words:?}: {table}");
    }
    let names = stage
        .plugin(&namespace, &["history", "llama-70b", "-o", "name"])
        .ok();
    assert_eq!(names.lines().count(), 3);
    let newest = names
        .lines()
        .last()
        .expect("a name")
        .trim_start_matches("revision.revisor.dev/")
        .to_owned();
    let all: Value = serde_json::from_str(
        &stage
            .plugin(&namespace, &["history", "llama-70b", "-o", "json"])
            .ok(),
    )
    .expect("JSON");
    let id = all[2]["spec"]["id"].as_str().expect("an id").to_owned();
    for which in [
        "3",
        "-1",
        &newest,
        &id,
        &id[..13],
        "@0s",
        "@2100-01-01T00:00Z",
    ] {
        let shown = stage.plugin(&namespace, &["show", "llama-70b", which]).ok();
        assert!(shown.contains("maxReplicas: 7"), "{which}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_are_listed_by_namespace_time_and_format() {
    let stage = stage();
    let namespace = stage.world.namespace("list").await;
    service(stage, &namespace).await;
    let table = stage.plugin(&namespace, &["list"]).ok();
    assert!(table.starts_with("WORKLOAD "), "{table}");
    assert!(table.contains("inferenceservice/llama-70b   3 "), "{table}");
    let all = stage
        .plugin("default", &["list", "-A", "--since", "1h"])
        .ok();
    assert!(
        all.starts_with("NAMESPACE ") && all.contains(&namespace) && all.contains("CHANGES"),
        "{all}"
    );
    let name = stage.plugin(&namespace, &["list", "-o", "name"]).ok();
    assert_eq!(name, "inferenceservice.serving.kserve.io/llama-70b\n");
    let none = stage.plugin(&namespace, &["list", "--since", "0s"]);
    assert!(
        none.out.is_empty() && none.err.contains("No workload with a history"),
        "{none:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_are_shown_without_noise_and_with_the_codes_of_diff() {
    let stage = stage();
    let namespace = stage.world.namespace("diff").await;
    let path = service(stage, &namespace).await;
    let diff = |words: &[&str]| stage.plugin(&namespace, &[&["diff", "llama-70b"], words].concat());
    let last = diff(&[]);
    assert!(
        last.code == 1
            && last
                .out
                .contains("-    maxReplicas: 6\n+    maxReplicas: 7\n"),
        "{last:?}"
    );
    assert_eq!(diff(&["2", "3"]).out, last.out);
    assert!(
        diff(&["1"])
            .out
            .contains("-    maxReplicas: 4\n+    maxReplicas: 7\n")
    );
    let same = diff(&["3", "3"]);
    assert!(same.code == 0 && same.out.is_empty(), "{same:?}");
    let live = diff(&["--live"]);
    assert!(live.code == 0 && live.out.is_empty(), "{live:?}");
    let summary = diff(&["--summary"]);
    assert!(
        summary
            .out
            .starts_with("predictor.maxReplicas 6→7\n    spec.predictor.maxReplicas: 6 → 7\n"),
        "{summary:?}"
    );
    let patch_text = diff(&["--json-patch", "3", "1", "--show-secrets"]);
    let expected = json!([{"op": "replace", "path": "/spec/predictor/maxReplicas", "value": 4}]);
    assert_eq!(
        serde_json::from_str::<Value>(&patch_text.out).expect("JSON"),
        expected
    );
    let kubectl = [
        "patch",
        "isvc/llama-70b",
        "--type=json",
        "-p",
        &patch_text.out,
    ];
    stage.kubectl(&namespace, &kubectl, &Value::Null).ok();
    assert_eq!(
        read(&stage.client().await, &path).await["spec"]["predictor"]["maxReplicas"],
        4
    );
    let now = diff(&["3", "--live"]);
    assert!(
        now.code == 1 && now.out.contains("+++ live (generation 4)"),
        "{now:?}"
    );
    assert_external(stage, &namespace);
}

fn assert_external(stage: &Stage, namespace: &str) {
    let mut external = stage.plugin_command(namespace, &["diff", "llama-70b", "1", "2"]);
    let out = external
        .env("KUBECTL_EXTERNAL_DIFF", "diff -N -U 0")
        .output()
        .expect("the plugin");
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let text = String::from_utf8(out.stdout).expect("text");
    assert!(
        text.contains("-    maxReplicas: 4\n+    maxReplicas: 6\n"),
        "{text}"
    );
}

/// The controller of Deployments notes its own revision in an annotation, after each edit.
#[tokio::test(flavor = "multi_thread")]
async fn a_revision_and_its_way_back_are_the_same() {
    let stage = stage();
    let namespace = stage.world.namespace("noise").await;
    let client = stage.client().await;
    let mut object = DEPLOYMENT.example();
    object["spec"]["replicas"] = json!(0);
    post(&client, &DEPLOYMENT.path(&namespace), &object).await;
    let path = format!("{}/llama-8b", DEPLOYMENT.path(&namespace));
    let controlled = |number: &'static str| {
        move |it: &Value| {
            it["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == number
        }
    };
    stage.until(&path, controlled("1")).await;
    let image = |image: &str| {
        json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}])
            .to_string()
    };
    let set = ["patch", "deployment/llama-8b", "--type=json", "-p"];
    stage
        .kubectl(
            &namespace,
            &[&set[..], &[&image("m:2")]].concat(),
            &Value::Null,
        )
        .ok();
    stage.until(&path, controlled("2")).await;
    stage.recorded(DEPLOYMENT, &path).await;
    stage
        .plugin(&namespace, &["rollback", "llama-8b", "1", "--yes"])
        .ok();
    stage.until(&path, controlled("3")).await;
    stage.recorded(DEPLOYMENT, &path).await;
    let diff = stage.plugin(&namespace, &["diff", "llama-8b", "1"]);
    assert!(diff.code == 0 && diff.out.is_empty(), "{diff:?}");
    let shown = stage.plugin(&namespace, &["show", "llama-8b"]).ok();
    assert!(
        !shown.contains("deployment.kubernetes.io/revision"),
        "{shown}"
    );
    let history = stage.plugin(&namespace, &["history", "llama-8b"]).ok();
    assert!(history.contains("rolled back to 1: "), "{history}");
    let again = stage
        .plugin(&namespace, &["rollback", "llama-8b", "1", "--yes"])
        .ok();
    assert!(again.contains("nothing to do"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn order_and_words_are_told_from_changes() {
    let stage = stage();
    let namespace = stage.world.namespace("order").await;
    let client = stage.client().await;
    let lws = crate::support::LEADER_WORKER_SET;
    let container = |cpu: &str, env: [&str; 2]| {
        json!([{"name": "m", "image": "m:1",
        "env": env.map(|name| json!({"name": name, "value": "1"})), "resources": {"requests": {"cpu": cpu}}}])
    };
    let object = |cpu: &str, env: [&str; 2], more: Value| {
        let mut pod = json!({"containers": container(cpu, env)});
        json_patch::merge(&mut pod, &more);
        json!({"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "metadata": {"name": "g"},
            "spec": {"replicas": 1, "leaderWorkerTemplate": {"size": 2, "workerTemplate": {"spec": pod}}}})
    };
    post(
        &client,
        &lws.path(&namespace),
        &object("1000m", ["A", "B"], json!({})),
    )
    .await;
    for next in [
        object("1", ["A", "B"], json!({})),
        object("1", ["B", "A"], json!({"nodeSelector": {}})),
    ] {
        let spec = json!({"spec": next["spec"]});
        patch(&client, &format!("{}/g", lws.path(&namespace)), &spec).await;
    }
    stage
        .recorded(lws, &format!("{}/g", lws.path(&namespace)))
        .await;
    let diff = |words: &[&str]| stage.plugin(&namespace, &[&["diff", "lws/g"], words].concat());
    assert_eq!(diff(&["1", "2"]).code, 0);
    let order = diff(&["2", "3"]);
    assert_eq!(
        order.out,
        "# only the order differs: spec.leaderWorkerTemplate.workerTemplate.spec.containers[m].env\n"
    );
    let history = stage.plugin(&namespace, &["history", "lws/g"]).ok();
    assert!(
        history
            .lines()
            .nth(2)
            .is_some_and(|line| line.contains("no effect: ")),
        "{history}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_offers_live_names_and_revisions() {
    let stage = stage();
    let namespace = stage.world.namespace("complete").await;
    service(stage, &namespace).await;
    let kubeconfig = stage.world.cluster.kubeconfig().display().to_string();
    let offered = |words: &[&str]| {
        let fixed = [
            "__complete",
            "--",
            "--kubeconfig",
            &kubeconfig,
            "-n",
            &namespace,
        ];
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-revisor"))
            .args(fixed)
            .args(words)
            .output();
        let out = out.expect("the plugin");
        assert!(out.status.success(), "{out:?}");
        let text = String::from_utf8(out.stdout).expect("text");
        let lines: Vec<_> = text
            .lines()
            .map(|line| line.split('\t').next().unwrap_or_default().to_owned())
            .collect();
        lines
    };
    assert_eq!(offered(&["show", ""]), ["inferenceservice/llama-70b", ":4"]);
    assert_eq!(offered(&["show", "isvc", ""]), ["llama-70b", ":4"]);
    assert_eq!(
        offered(&["show", "isvc/llama-70b", ""]),
        ["3", "2", "1", "last-good", "serving", ":4"]
    );
    assert_eq!(
        offered(&["rollback", "llama-70b", "l"]),
        ["last-good", ":4"]
    );
    assert!(offered(&["history", "-n", &namespace[..5]]).contains(&namespace));
    let script = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-revisor"))
        .args(["completion", "bash"])
        .output()
        .expect("the plugin");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("s.bash"), script.stdout).expect("written");
    let binary = env!("CARGO_BIN_EXE_kubectl-revisor");
    let ask = format!(
        "source {}/s.bash; COMP_WORDS=({binary} --kubeconfig {kubeconfig} -n {namespace} show ''); COMP_CWORD=6; _kubectl_revisor; echo \"${{COMPREPLY[@]}}\"",
        folder.path().display()
    );
    let out = std::process::Command::new("bash")
        .args(["-c", &ask])
        .output()
        .expect("bash");
    assert_eq!(
        String::from_utf8_lossy(&out.stdout),
        "inferenceservice/llama-70b\n",
        "{out:?}"
    );
}
