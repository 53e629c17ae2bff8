//! `kubectl revisor` against a real API server.

use crate::support::{INFERENCE_SERVICE, command, edit, post, revisor, world};
use serde_json::{Value, json};
use std::process::{Command, Output};

fn plugin(namespace: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-revisor"));
    command
        .args(arguments)
        .args(["-n", namespace, "--kubeconfig"])
        .arg(world().cluster.kubeconfig());
    command.output().expect("the plugin")
}

fn printed(namespace: &str, arguments: &[&str]) -> String {
    let out = plugin(namespace, arguments);
    let expected = i32::from(arguments[0] == "diff");
    assert_eq!(
        out.status.code(),
        Some(expected),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).expect("text")
}

fn assert_history(namespace: &str) {
    let table = printed(namespace, &["history", "isvc/llama-70b"]);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let header = "REV CHANGE VIA PHASE OUTCOME PODS READY-AFTER AGE";
    assert_eq!(rows[0].join(" "), header);
    assert_eq!(
        rows.iter().skip(1).map(|row| row[0]).collect::<Vec<_>>(),
        ["1", "2", "3", "4"]
    );
    assert!(table.contains("predictor.maxReplicas 5→6"), "{table}");
    let list: serde_json::Value = serde_json::from_str(&printed(
        namespace,
        &["history", "inferenceservices/llama-70b", "-o", "json"],
    ))
    .expect("JSON");
    assert_eq!(list.as_array().expect("a list").len(), 4);
}

fn assert_diff(namespace: &str) {
    let diff = printed(namespace, &["diff", "InferenceService/llama-70b"]);
    assert!(
        diff.contains("--- revision 3\n+++ revision 4\n")
            && diff.contains("-    maxReplicas: 6\n+    maxReplicas: 7\n"),
        "{diff}"
    );
    assert!(
        printed(
            namespace,
            &["diff", "isvc/llama-70b", "--from", "1", "--to=-2"]
        )
        .contains("+    maxReplicas: 6")
    );
}

/// A manifest with hidden values cannot be applied; the same with its secrets can.
fn assert_applied(namespace: &str) {
    let show = ["show", "isvc/llama-70b", "--revision", "1"];
    for format in ["yaml", "json"] {
        let hidden = printed(namespace, &[&show[..], &["-o", format]].concat());
        assert!(hidden.contains("[redacted]"), "{hidden}");
        world().cluster.apply(&hidden).expect_err("refused");
    }
    let whole = printed(namespace, &[&show[..], &["--show-secrets"]].concat());
    world().cluster.apply(&whole).expect("applied");
}

/// What is not there, or cannot be understood, is told by name.
fn assert_refusals(namespace: &str) {
    for (arguments, code, message) in [
        (
            ["show", "isvc/llama-70b", "--revision=9"],
            1,
            "there is no revision 9; there are: 1, 2, 3, 4",
        ),
        (["diff", "isvc/llama-70b", "--to=1"], 2, "nothing before it"),
        (
            ["history", "isvc/nobody", "-otable"],
            1,
            "no revisions of inferenceservice/nobody",
        ),
        (["history", "isvc/", "-otable"], 1, "is not TYPE/NAME"),
    ] {
        let out = plugin(namespace, &arguments);
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.code() == Some(code) && error.contains(message),
            "{arguments:?}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_show_and_diff() {
    let client = world().client().await;
    revisor();
    let namespace = world().namespace("plugin").await;
    post(
        &client,
        &INFERENCE_SERVICE.path(&namespace),
        &INFERENCE_SERVICE.example(),
    )
    .await;
    let path = format!("{}/llama-70b", INFERENCE_SERVICE.path(&namespace));
    let last = edit(
        &client,
        &path,
        3,
        |i| json!({"spec": {"predictor": {"maxReplicas": i + 5}}}),
    )
    .await;
    revisor().wait_recorded(INFERENCE_SERVICE, last.version());

    assert_history(&namespace);
    assert_diff(&namespace);
    assert_applied(&namespace);
    let live = world().kubectl(&[
        "-n",
        &namespace,
        "get",
        "isvc",
        "llama-70b",
        "-o",
        "jsonpath={.spec.predictor.maxReplicas}",
    ]);
    assert_eq!(live, "4");
    assert_refusals(&namespace);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_how_a_running_revisor_is_doing() {
    let client = world().client().await;
    let namespace = world().namespace("status").await;
    let made = post(
        &client,
        &INFERENCE_SERVICE.path(&namespace),
        &INFERENCE_SERVICE.example(),
    )
    .await;
    revisor().wait_recorded(INFERENCE_SERVICE, made.version());
    let admin = format!("http://127.0.0.1:{}", revisor().admin);
    let status = |format: &str| {
        let out = command(&["status", "--admin", &admin, "-o", format]);
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).expect("text")
    };
    let table = status("table");
    assert!(table.starts_with("ready: ok\n"), "{table}");
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("InferenceService ")),
        "{table}"
    );
    let json: Value = serde_json::from_str(&status("json")).expect("JSON");
    let kinds = json["kinds"].as_array().expect("kinds");
    let of = kinds
        .iter()
        .find(|kind| kind["kind"] == "InferenceService")
        .expect("a row");
    assert!(
        of["recordedThrough"].as_f64().expect("a number")
            >= f64::from(u32::try_from(made.version()).expect("small"))
    );
    assert_eq!(of["lost"], 0.0);
    assert!(status("yaml").contains("kind: InferenceService"));
    for (wrong, why) in [
        ("http://127.0.0.1:1", "no Revisor answers"),
        ("https://127.0.0.1:1", "no Revisor answers"),
        ("ftp://x", "not an http://"),
        ("x y", "x y"),
    ] {
        let out = command(&["status", "--admin", wrong]);
        assert!(!out.status.success());
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(text.contains(why), "{text}");
    }
}
