//! `revisor kinds explain` with what people have: charts, lists, folders, pipes.

use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Explains what comes from a pipe.
fn piped(text: &str) -> Output {
    let mut explain = Command::new(env!("CARGO_BIN_EXE_revisor"));
    explain.args(["kinds", "explain", "-f", "-", "-o", "json"]);
    explain
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = explain.spawn().expect("it runs");
    let mut input = running.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("written");
    drop(input);
    running.wait_with_output().expect("its end")
}

fn deployment(name: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  template: {{spec: {{containers: [{{name: m, image: \"i:1\", env: [{{name: HF_TOKEN, value: hunter2}}], resources: {{limits: {{nvidia.com/gpu: \"1\"}}}}}}]}}}}\n"
    )
}

/// Workload, whether it is recorded, and why.
fn rows(out: &Output) -> Vec<(String, bool, String)> {
    let all: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let row = |one: &Value| {
        let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        (
            text("workload"),
            one["recorded"] == json!(true),
            text("why"),
        )
    };
    all.as_array().expect("a list").iter().map(row).collect()
}

#[test]
fn documents_of_other_kinds_are_told_and_do_not_end_it() {
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: vllm}\n";
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: vllm}\nspec: {ports: [{port: 80}]}\n";
    let chart = format!(
        "# Source: sa.yaml\n{account}---\n# Source: d.yaml\n{}---\n{service}",
        deployment("vllm")
    );
    let out = piped(&chart);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let rows = rows(&out);
    assert_eq!(
        (rows.len(), rows[1].0.as_str(), rows[1].1),
        (3, "Deployment/vllm", true)
    );
    assert!(
        !rows[0].1 && rows[0].2.contains("has no kind file"),
        "{rows:?}"
    );
    let all: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(all[1]["document"], "-: document 2");
    assert_eq!(
        all[1]["hidden"],
        json!(["spec.template.spec.containers[m].env[HF_TOKEN].value"])
    );
    assert!(!String::from_utf8_lossy(&out.stdout).contains("hunter2"));
}

#[test]
fn the_items_of_a_list_are_explained() {
    let item = |name: &str| {
        let text = deployment(name);
        let lines: Vec<_> = text.lines().map(|line| format!("  {line}")).collect();
        format!("-{}\n", &lines.join("\n")[1..])
    };
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n{}{}",
        item("a"),
        item("b")
    );
    let rows = rows(&piped(&list));
    let names: Vec<_> = rows.iter().map(|row| row.0.as_str()).collect();
    assert_eq!(names, ["Deployment/a", "Deployment/b"]);
}

#[test]
fn one_that_is_no_yaml_is_told_after_the_others() {
    let out = piped(&format!("{}---\n{{{{ .Values.x }}}}: [\n", deployment("a")));
    assert!(!out.status.success());
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(error.contains("-: document 2: is not YAML"), "{error}");
    assert_eq!(rows(&out)[0].0, "Deployment/a");
}

#[test]
fn a_rollout_whose_template_is_elsewhere_is_recorded() {
    let rollout = "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: r}\nspec: {replicas: 3, workloadRef: {apiVersion: apps/v1, kind: Deployment, name: vllm}}\n";
    let rows = rows(&piped(&format!("{rollout}---\n{}", deployment("vllm"))));
    assert!(rows[0].1 && rows[1].1, "{rows:?}");
}
