//! Workloads that once showed their secrets. The first line of each says what is right.

use super::corpus::{folder, tokens};
use super::fill::Filler;
use super::record::Workload;
use super::{Output, manifest, serve, shown};
use revisor::kinds::Catalogue;
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use uuid::Uuid;

/// Stands in the cases where a secret would.
const LEAK: &str = "LEAK";
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// A case, filled in for the `time`-th time, and the secrets that were made up for it.
fn read(file: &str, time: &str) -> (Value, Vec<String>) {
    let text = fs::read_to_string(folder().join("cases").join(file)).expect("a case");
    assert!(
        text.starts_with("# expected: ") || text.starts_with("# right: "),
        "{file}"
    );
    let template: Value = serde_saphyr::from_str(&text).expect("YAML");
    let tokens = tokens();
    let mut filler = Filler::new(&tokens, &format!("{file} {time}"));
    let manifest = filler.value(&template);
    (manifest, filler.planted)
}

/// The same workload without command, arguments and variables.
fn bare(object: &Value) -> Value {
    let mut bare = object.clone();
    let container = bare.pointer_mut(CONTAINER).and_then(Value::as_object_mut);
    let container = container.expect("a container");
    for field in ["command", "args", "env"] {
        container.remove(field);
    }
    bare
}

fn workload(steps: Vec<(&'static str, Value)>) -> Workload {
    Workload {
        uid: Uuid::from_u128(1),
        kind: manifest::named(&Catalogue::built_in(), "Deployment"),
        steps,
    }
}

/// Everything that shows a workload in these steps.
pub async fn outputs(steps: Vec<(&'static str, Value)>) -> Vec<Output> {
    let catalogue = Arc::new(Catalogue::built_in());
    let workload = workload(steps);
    let served = serve(&catalogue, std::slice::from_ref(&workload)).await;
    shown(&served, &workload).await
}

/// Fails with everything that shows one of these pieces.
pub fn assert_hidden(about: &str, outputs: &[Output], pieces: &[String]) {
    let leaks: Vec<_> = outputs
        .iter()
        .filter_map(|(step, output, text)| {
            let excerpt = pieces.iter().find_map(|piece| text.excerpt(piece))?;
            Some(format!("{output} ({step}): {excerpt:?}"))
        })
        .collect();
    assert!(leaks.is_empty(), "{about}\n{}", leaks.join("\n"));
}

/// Records a workload without the secrets of a case, with them, with others, and without them.
async fn assert_shows_no_leak(file: &str) {
    let (first, mut pieces) = read(file, "first");
    let (second, more) = read(file, "second");
    let second = second.to_string().replace(LEAK, "LEAKz");
    let second = serde_json::from_str(&second).expect("JSON");
    pieces.extend(more);
    pieces.push(LEAK.to_owned());
    let steps = vec![
        ("before", bare(&first)),
        ("added", first.clone()),
        ("changed", second),
        ("removed", bare(&first)),
    ];
    assert_hidden(file, &outputs(steps).await, &pieces);
}

#[tokio::test]
async fn a_value_on_the_next_line_or_beside_its_name_is_hidden() {
    assert_shows_no_leak("04-secret-on-the-next-line.yaml").await;
}

#[tokio::test]
async fn a_number_at_the_end_of_a_name_changes_nothing() {
    assert_shows_no_leak("06-numbered-secret-names.yaml").await;
}

#[tokio::test]
async fn private_keys_are_hidden_under_any_name() {
    assert_shows_no_leak("07-private-key-blocks.yaml").await;
}

#[tokio::test]
async fn the_auth_of_a_docker_config_is_hidden() {
    assert_shows_no_leak("08-registry-auths.yaml").await;
}

#[tokio::test]
async fn a_token_that_is_the_user_of_a_url_is_hidden() {
    assert_shows_no_leak("10-token-as-user-of-a-url.yaml").await;
}

#[tokio::test]
async fn signatures_of_urls_are_hidden() {
    assert_shows_no_leak("11-signed-urls.yaml").await;
}

#[tokio::test]
async fn a_change_cause_shows_no_secret_and_belongs_to_one_change() {
    let file = "15-change-cause.yaml";
    let (created, _) = read(file, "first");
    let cause = "kubectl set env deployment/cause VLLM_API_KEY=LEAK --record=true";
    let mut set = created.clone();
    set["metadata"]["annotations"]["kubernetes.io/change-cause"] = json!(cause);
    let container = set.pointer_mut(CONTAINER).expect("a container");
    container["env"] = json!([{"name": "VLLM_API_KEY", "value": LEAK}]);
    let mut updated = set.clone();
    let container = updated.pointer_mut(CONTAINER).expect("a container");
    container["image"] = json!("registry.example.com/vllm:2");
    let catalogue = Arc::new(Catalogue::built_in());
    let workload = workload(vec![
        ("created", created),
        ("set", set),
        ("updated", updated),
    ]);
    let served = serve(&catalogue, std::slice::from_ref(&workload)).await;
    assert_hidden(file, &shown(&served, &workload).await, &[LEAK.to_owned()]);
    let cause = &served.revision(workload.uid, 3).spec.change_cause;
    assert_eq!(*cause, None, "that of the change before");
}

#[tokio::test]
async fn flags_that_count_tokens_or_name_a_header_are_shown() {
    let (object, _) = read("30-token-flag-not-secret.yaml", "first");
    let steps = vec![("before", bare(&object)), ("added", object)];
    let hidden: Vec<_> = outputs(steps)
        .await
        .iter()
        .filter_map(|(step, output, text)| {
            let excerpt = text.excerpt("[redact")?;
            Some(format!("{output} ({step}): {excerpt:?}"))
        })
        .collect();
    assert!(hidden.is_empty(), "{}", hidden.join("\n"));
}

#[tokio::test]
async fn a_changed_secret_is_told_from_one_that_did_not_change() {
    let file = "65-rotated-token.yaml";
    let (first, mut pieces) = read(file, "first");
    let (second, more) = read(file, "second");
    pieces.extend(more);
    let outputs = outputs(vec![("added", first), ("changed", second)]).await;
    assert_hidden(file, &outputs, &pieces);
    let text = |wanted: &str| {
        let mut found = outputs.iter().filter(|(step, _, _)| *step == "changed");
        let found = found.find(|(_, output, _)| *output == wanted);
        found.expect("an output").2.text()
    };
    assert!(
        text("diff").contains("HF_TOKEN"),
        "no difference in the text"
    );
    assert_ne!(text("patch"), "[]", "no difference in the patch");
    let revision: Value = serde_json::from_str(text("Revision")).expect("JSON");
    let change = &revision["spec"]["view"]["changes"][0];
    assert_ne!(change["from"], change["to"], "{change}");
}
