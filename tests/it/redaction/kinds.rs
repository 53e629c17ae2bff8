//! The kinds of places that secrets were once read in, one test each, over everything that shows a workload.

use super::cases::{assert_hidden, outputs};
use super::{Output, manifest};
use revisor::kinds::Catalogue;
use serde_json::{Value, json};

/// Stands where a secret would: neither a word nor a number.
const OLD: &str = "zq7Old4Leak9";
const NEW: &str = "zq7New4Leak9";

/// A Deployment whose main container has these fields.
fn with(step: i64, fields: &Value) -> Value {
    let kind = manifest::named(&Catalogue::built_in(), "Deployment");
    let mut object = manifest::plain(&kind, step);
    let container = object.pointer_mut("/spec/template/spec/containers/0");
    let container = container.and_then(Value::as_object_mut);
    let container = container.expect("a container");
    for (key, field) in fields.as_object().into_iter().flatten() {
        container.insert(key.clone(), field.clone());
    }
    object
}

fn args(step: i64, args: &[&str]) -> Value {
    with(step, &json!({"args": args}))
}

/// A variable of an everyday name whose value is this text.
fn text(step: i64, text: &str) -> Value {
    with(step, &json!({"env": [{"name": "SETTINGS", "value": text}]}))
}

/// Everything that shows that texts with the secret come, are changed and go.
async fn shown(make: impl Fn(i64, &str) -> Value) -> Vec<Output> {
    let none = with(1, &json!({}));
    let steps = vec![
        ("before", none.clone()),
        ("added", make(2, OLD)),
        ("changed", make(3, NEW)),
        ("removed", none),
    ];
    outputs(steps).await
}

async fn assert_texts_are_hidden(texts: &[&str]) {
    let leaks = [OLD, NEW].map(str::to_owned);
    for template in texts {
        let outputs = shown(|step, secret| text(step, &template.replace('@', secret))).await;
        assert_hidden(template, &outputs, &leaks);
    }
}

#[tokio::test]
async fn a_removed_secret_is_hidden_when_arguments_move() {
    let steps = vec![
        ("before", args(1, &["--api-key", OLD, "--port", "80"])),
        (
            "moved",
            args(2, &["--model", "m", "--api-key", NEW, "--port", "81"]),
        ),
        ("gone", args(3, &["--model", "m", "--port", "81"])),
    ];
    let outputs = outputs(steps).await;
    assert_hidden("moved", &outputs, &[OLD, NEW].map(str::to_owned));
    let of_moved = |(step, name, _): &&Output| *step == "moved" && *name == "Revision";
    let (_, _, revision) = outputs.iter().find(of_moved).expect("a Revision");
    assert!(revision.reveals("\"81\""), "{}", revision.text());
}

#[tokio::test]
async fn every_value_behind_a_flag_and_every_short_flag_is_hidden() {
    for list in [
        &["--api-key", "ab9Kd7Qw2x", "@", "--port", "80"][..],
        &["redis-server", "--requirepass", "@"],
        &["redis-server", "--masterauth", "@"],
        &["docker", "login", "-u", "svc", "-p", "@"],
        &["mysql", "-u", "app", "-p@"],
        &["--user", "bob:@"],
        &["curl", "-u", "bob:@", "https://x.example.com"],
        &["--token", "--@"],
    ] {
        let filled = |secret: &str| -> Vec<String> {
            list.iter().map(|item| item.replace('@', secret)).collect()
        };
        let outputs = shown(|step, secret| with(step, &json!({"args": filled(secret)}))).await;
        assert_hidden(&list.join(" "), &outputs, &[OLD, NEW].map(str::to_owned));
    }
}

#[tokio::test]
async fn well_known_forms_are_hidden_under_any_name() {
    assert_texts_are_hidden(&[
        "Authorization: Token @",
        "Authorization=Token @",
        "x-honeycomb-team=@,x-dataset=a",
        "https://a.blob.core.windows.net/m?sv=1&sig=@",
        "https://b.s3.amazonaws.com/w?Expires=1&Signature=@",
        "https://hooks.slack.com/services/T0/B0/@",
        "{\"auths\":{\"r.example.com\":{\"auth\":\"@\"}}}",
        "<password>@</password>",
    ])
    .await;
}

#[tokio::test]
async fn blocks_of_yaml_are_hidden_to_their_end() {
    assert_texts_are_hidden(&[
        "password: |\n  @\nport: 80\n",
        "db:\n  password: >-\n    first\n    @\n  port: 80\n",
        "password: two @\n",
        "tls:\n  key: |\n    -----BEGIN PRIVATE KEY-----\n    @\n    -----END PRIVATE KEY-----\n",
    ])
    .await;
}

#[tokio::test]
async fn numbers_objects_and_pairs_below_secret_names_are_hidden() {
    let leaks = ["83920174", "29471638"].map(str::to_owned);
    for (field, template) in [
        ("password", "@"),
        ("credentials", r#"{"pass":"@"}"#),
        ("auth", r#"{"basic":{"p":"x@"}}"#),
        ("secretEnv", r#"{"A":"@"}"#),
        ("parameters", r#"[{"key":"apiKey","value":"k@"}]"#),
        ("HF_TOKEN", r#"{"literal":"k@"}"#),
        ("note", r#""{\"db\":{\"password\":{\"value\":\"@\"}}}""#),
    ] {
        let make = |secret: &str| -> Value {
            let value = template.replace('@', secret);
            serde_json::from_str(&value).expect("JSON")
        };
        let [old, new] = [&leaks[0], &leaks[1]].map(|leak| make(leak));
        let steps = vec![
            ("before", with(1, &json!({}))),
            ("added", with(2, &json!({field: old}))),
            ("changed", with(3, &json!({field: new}))),
        ];
        assert_hidden(field, &outputs(steps).await, &leaks);
    }
}

#[tokio::test]
async fn the_working_folder_is_no_password() {
    let env = json!({"env": [{"name": "PWD", "value": "/workspace"}]});
    let steps = vec![("before", with(1, &json!({}))), ("added", with(2, &env))];
    for (step, output, text) in outputs(steps).await {
        assert!(!text.hides(), "{output} ({step}): {}", text.text());
    }
}

#[tokio::test]
async fn characters_that_change_the_direction_of_writing_are_visible() {
    let steps = vec![
        ("before", with(1, &json!({}))),
        ("added", text(2, "safe\u{202e}txt.exe\u{2066}")),
    ];
    for (step, output, text) in outputs(steps).await {
        let is_raw = text.text().contains(['\u{202e}', '\u{2066}']);
        assert!(!is_raw, "{output} ({step}): {}", text.text());
    }
}
