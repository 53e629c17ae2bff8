//! The plugin, run as people run it against an API server that has Revisions with secrets in every place.

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use std::process::{Command, Output};
use tempfile::TempDir;

/// They have no shape of a token, so that no scanner takes them for real ones.
const PASSWORD: [&str; 2] = ["hunter2-before", "hunter2-after"];
const KEY: &str = "correct-horse-battery";
/// No rule but one of the configuration file hides it.
const CODE: &str = "blue-door-seventeen";

/// A workload with secrets, and with characters that turn the direction of writing.
fn deployment(password: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "llama", "namespace": "team-a", "annotations": {"example.com/note": "ab\u{202e}cd"}},
        "spec": {"template": {"spec": {"containers": [{
            "name": "vllm", "image": "vllm:1", "command": ["vllm", "serve"], "args": ["--api-key", KEY, "--port", "80"],
            "env": [{"name": "DB_PASSWORD", "value": password}, {"name": "DOOR_CODE", "value": CODE}],
        }]}}},
    })
}

/// A Revision as an older Revisor may have written it, which knew no secrets.
fn revision(generation: usize, password: &str) -> Value {
    let data = deployment(password).to_string();
    json!({
        "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
        "metadata": {"name": format!("llama-{generation}"), "namespace": "team-a"},
        "spec": {
            "id": uuid::Uuid::from_u128(generation as u128), "type": "Change", "generation": generation,
            "resourceVersion": "1", "observedVia": "Watch",
            "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama", "uid": uuid::Uuid::nil()},
            "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed",
            "changeCause": format!("kubectl set env deployment/llama DB_PASSWORD={password}"),
            "snapshot": {"encoding": "json", "size": data.len(), "data": data},
            "view": {"version": 1, "summary": format!("args --api-key={KEY} \u{202e}\u{1b}[31m"),
                "changes": [{"path": "spec.template.spec.containers[vllm].env[DB_PASSWORD].value", "from": "x", "to": password}],
                "images": [format!("https://ann:{KEY}@registry.example.com/vllm:1")]},
        },
        "status": {"phase": "Failed", "message": format!("login with DB_PASSWORD={password} failed")},
    })
}

/// An API server with two Revisions, and a kubeconfig that leads to it.
struct Cluster {
    files: TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let list = json!({
            "apiVersion": "revisor.dev/v1alpha1", "kind": "RevisionList", "metadata": {"resourceVersion": "9"},
            "items": [revision(1, PASSWORD[0]), revision(2, PASSWORD[1])],
        })
        .to_string();
        let path = "/apis/revisor.dev/v1alpha1/namespaces/team-a/revisions";
        let router = Router::new().route(path, get(move || async move { list }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let server = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let files = TempDir::new().expect("a folder");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}], "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "team-a"}}],
        });
        std::fs::write(files.path().join("kubeconfig"), config.to_string()).expect("a file");
        let names = "redaction: {secretNames: [DOOR_CODE]}";
        std::fs::write(files.path().join("revisor.yaml"), names).expect("a file");
        Self { files }
    }

    /// Runs the plugin. Standard output and standard error.
    async fn run(&self, verb: &str, arguments: &[&str]) -> (String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-revisor"));
        command
            .env_remove("REVISOR_CONFIG")
            .args([verb, "deployment/llama", "--kubeconfig"])
            .arg(self.files.path().join("kubeconfig"))
            .args(arguments);
        let run = tokio::task::spawn_blocking(move || command.output());
        let Output {
            status,
            stdout,
            stderr,
        } = run.await.expect("no panic").expect("the plugin");
        let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).expect("text"));
        // A difference is no failure.
        let expected = i32::from(verb == "diff");
        assert_eq!(
            status.code(),
            Some(expected),
            "{verb} {arguments:?}: {stderr}"
        );
        (stdout, stderr)
    }

    fn config(&self) -> String {
        let file = self.files.path().join("revisor.yaml");
        file.to_str().expect("text").to_owned()
    }
}

/// Each way in which the plugin prints content, and the secrets in it.
const OUTPUTS: [(&str, &[&str], &[&str]); 11] = [
    ("history", &["-o", "table"], &[]),
    ("history", &["-o", "wide"], &[]),
    ("history", &["-o", "json"], &[PASSWORD[0], PASSWORD[1], KEY]),
    ("history", &["-o", "yaml"], &[PASSWORD[0], PASSWORD[1], KEY]),
    ("show", &["-o", "yaml"], &[PASSWORD[1], KEY]),
    ("show", &["-o", "json"], &[PASSWORD[1], KEY]),
    ("diff", &[], &[PASSWORD[0], PASSWORD[1]]),
    ("diff", &["--json-patch"], &[PASSWORD[1]]),
    ("diff", &["--summary"], &[]),
    (
        "diff",
        &["--from", "1", "--to", "2"],
        &[PASSWORD[0], PASSWORD[1]],
    ),
    ("history", &["-o", "name"], &[]),
];

fn assert_visible(text: &str) {
    let hides = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(hides), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_output_shows_a_secret_unless_it_is_asked_for() {
    let cluster = Cluster::start().await;
    for (verb, format, secrets) in OUTPUTS {
        let (hidden, errors) = cluster.run(verb, format).await;
        assert_visible(&hidden);
        for secret in PASSWORD.iter().chain([&KEY]) {
            assert!(!hidden.contains(secret), "{verb} {format:?}: {hidden}");
        }
        assert_eq!(errors, "", "{verb} {format:?}");

        let (shown, errors) = cluster
            .run(verb, &[format, &["--show-secrets"]].concat())
            .await;
        assert_visible(&shown);
        for secret in secrets {
            assert!(shown.contains(secret), "{verb} {format:?}: {shown}");
        }
        let warning = "Warning: values that look secret are not hidden in this output\n";
        assert_eq!(errors, warning, "{verb} {format:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_with_hidden_values_is_none_that_kubectl_takes() {
    let cluster = Cluster::start().await;
    for format in ["yaml", "json"] {
        let (text, _) = cluster.run("show", &["-o", format]).await;
        let object: Value = serde_saphyr::from_str(&text).expect("YAML");
        assert!(
            object.get("kind").is_none() && object.get("apiVersion").is_none(),
            "{text}"
        );
        let told = "2 values that look secret are hidden; to show secrets: kubectl revisor show deployment/llama";
        assert!(text.contains(told), "{text}");
        let (text, _) = cluster.run("show", &["-o", format, "--show-secrets"]).await;
        let object: Value = serde_saphyr::from_str(&text).expect("YAML");
        assert_eq!(object, deployment(PASSWORD[1]));
    }
    let (text, _) = cluster.run("history", &["-o", "json"]).await;
    let list: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    for revision in &list {
        assert!(revision.get("kind").is_none(), "{revision}");
        assert_eq!(revision["redacted"]["kind"], "Revision");
    }
    let (text, _) = cluster.run("diff", &[]).await;
    assert!(
        text.starts_with("# 2 values that look secret are hidden; "),
        "{text}"
    );
    assert!(
        text.contains("\n--- revision 1\n+++ revision 2\n"),
        "{text}"
    );
    assert!(text.contains("[redacted, changed]"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_the_configuration_file_are_hidden_as_well() {
    let cluster = Cluster::start().await;
    let (text, _) = cluster.run("show", &[]).await;
    assert!(text.contains(CODE), "{text}");
    let (text, _) = cluster.run("show", &["--config", &cluster.config()]).await;
    assert!(!text.contains(CODE), "{text}");
}
