//! Whatever the API server accepts as a workload is recorded, and whatever a person writes wrong is named.

use crate::support::{
    DEPLOYMENT, INFERENCE_SERVICE, Kind, Meta, Revisor, command, eventually, patch, post,
    post_text, revisions, revisor, snapshot, world,
};
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

const KIND: Kind = INFERENCE_SERVICE;

fn manifest(name: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"serving.kserve.io/v1beta1","kind":"InferenceService","metadata":{{"name":"{name}"}},"spec":{spec}}}"#
    )
}

/// Creates a workload, waits until it is recorded, and returns its Revision.
async fn recorded(purpose: &str, name: &str, spec: &str) -> (Meta, Value) {
    let client = world().client().await;
    revisor();
    let namespace = world().namespace(purpose).await;
    let created = post_text(&client, &KIND.path(&namespace), &manifest(name, spec)).await;
    world().oracle.wait_for(KIND.registry, &created.uid, 1);
    revisor().wait_recorded(KIND, created.version());
    let mut all = revisions(&client, &namespace).await;
    assert_eq!(all.len(), 1);
    let oversize = all[0]["spec"]["snapshot"]["oversize"] == true;
    if !oversize {
        world().assert_recorded(&namespace, &[KIND]).await;
    }
    assert!(revisor().is_alive());
    (created, all.remove(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_is_no_object_is_recorded_without_a_view() {
    for (purpose, spec) in [
        ("text", "\"just text\""),
        ("number", "12"),
        ("list", "[1,{\"a\":2}]"),
        ("truth", "true"),
    ] {
        let (_, revision) = recorded(purpose, "odd", spec).await;
        assert!(revision["spec"].get("view").is_none(), "{spec}");
        assert!(
            revision["spec"]["contentDigest"]
                .as_str()
                .expect("a digest")
                .starts_with("sha256:")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_spec_that_compresses_is_stored_whole() {
    let spec = json!({"blob": "the same words again and again ".repeat(46_000)}).to_string();
    let (_, revision) = recorded("large", "large", &spec).await;
    let text = snapshot(&revision).expect("data");
    assert!(text.len() > 1_400_000 && text.contains(&spec));
}

/// Text that is too large to be stored a second time.
fn noise() -> String {
    // Printable characters from a linear congruential generator: gzip gains a fifth, base64 costs a third. Without
    // those that Go escapes with six characters: with them the workload itself would be too large for etcd.
    let mut seed = 12_345_u32;
    let mut letter = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(u8::try_from(32 + (seed >> 16) % 95).expect("printable"))
    };
    std::iter::from_fn(|| Some(letter()))
        .filter(|c| !"<>&".contains(*c))
        .take(1_468_006)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_spec_that_does_not_is_recorded_by_its_digest_and_holds_up_nobody() {
    let blob = noise();
    let (created, revision) = recorded("noise", "noise", &json!({"blob": blob}).to_string()).await;
    let stored = &revision["spec"]["snapshot"];
    assert_eq!(
        (&stored["oversize"], stored.get("data")),
        (&json!(true), None)
    );
    assert!(stored["size"].as_i64().expect("a size") > 1_300_000);
    assert_eq!(revision["spec"]["view"]["summary"], "created");
    // The next edit of the same object, and another object, are recorded all the same.
    let client = world().client().await;
    let namespace = revision["metadata"]["namespace"]
        .as_str()
        .expect("a namespace");
    let edited = patch(
        &client,
        &format!("{}/noise", KIND.path(namespace)),
        &json!({"spec": {"blob": "small"}}),
    )
    .await;
    let other = post(&client, &KIND.path(namespace), &KIND.example()).await;
    revisor().wait_recorded(KIND, edited.version().max(other.version()));
    let all = revisions(&client, namespace).await;
    assert_eq!(all.len(), 3);
    let second = all
        .iter()
        .find(|r| r["spec"]["generation"] == 2)
        .expect("recorded");
    assert_eq!(second["spec"]["view"]["changes"][0]["path"], "spec.blob");
    assert_eq!(second["spec"]["workload"]["uid"], created.uid.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn long_names_and_dots_at_the_cut_make_valid_names() {
    let long = format!("{}.{}", "a".repeat(120), "b".repeat(132));
    let dotted = format!("{}.-{}", "a".repeat(38), "c".repeat(10)).replace(".-", ".c-");
    let at_cut = format!("{}.{}", "a".repeat(39), "d".repeat(10));
    for (purpose, name) in [("long", long), ("dotted", dotted), ("cut", at_cut)] {
        let (_, revision) = recorded(purpose, &name, "{\"a\":1}").await;
        assert_eq!(revision["spec"]["workload"]["name"], name.as_str());
        assert!(
            revision["metadata"]["name"]
                .as_str()
                .expect("a name")
                .ends_with("-00001")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unicode_and_large_numbers_keep_every_character() {
    let spec = r#"{"text":"grüße 你好 🦀 \u0000 <&> \u2028","big":9007199254740993,"small":-9223372036854775808,"half":0.5}"#;
    let (_, revision) = recorded("unicode", "unicode", spec).await;
    let text = snapshot(&revision).expect("data");
    for part in [
        "grüße 你好 🦀 \\u0000 <&> \u{2028}",
        ":9007199254740993",
        ":-9223372036854775808",
        ":0.5",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

/// The digest of a spec, by its definition and by nothing of the product.
fn digest(spec: &Value) -> String {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(format!("v1\n{}", canonical(spec)));
    let hex: Vec<_> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

/// Keys sorted by their bytes, no spaces.
fn canonical(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(",");
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| key.as_bytes());
            let field =
                |(key, value): &(&String, &Value)| format!("{}:{}", json!(key), canonical(value));
            format!("{{{}}}", joined(fields.iter().map(field).collect()))
        }
        Value::Array(items) => format!("[{}]", joined(items.iter().map(canonical).collect())),
        plain => plain.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_are_those_of_what_etcd_stored() {
    let plain = KIND.example()["spec"].to_string();
    let odd = r#"{"z":null,"ä":"grüße \u0007 \" \\ \n","Z":{"b":[1,{"d":[],"c":{}}],"a":9007199254740993},"half":0.5}"#;
    let large = json!({"blob": noise()}).to_string();
    for (name, spec, oversize) in [
        ("plain", plain.as_str(), false),
        ("odd", odd, false),
        ("huge", &large, true),
    ] {
        let (created, revision) = recorded("digest", name, spec).await;
        let namespace = revision["metadata"]["namespace"]
            .as_str()
            .expect("a namespace");
        let stored = &world().oracle.expected(KIND.registry, namespace)[&(created.uid, 1)];
        assert_eq!(
            revision["spec"]["contentDigest"],
            digest(&stored.value()),
            "{name}"
        );
        assert_eq!(
            revision["spec"]["snapshot"]["oversize"] == true,
            oversize,
            "{name}"
        );
    }
    let client = world().client().await;
    let namespace = world().namespace("digest").await;
    let created = post(&client, &DEPLOYMENT.path(&namespace), &DEPLOYMENT.example()).await;
    world()
        .oracle
        .wait_for(DEPLOYMENT.registry, &created.uid, 1);
    revisor().wait_recorded(DEPLOYMENT, created.version());
    let stored = &world().oracle.expected(DEPLOYMENT.registry, &namespace)[&(created.uid, 1)];
    let revision = &revisions(&client, &namespace).await[0];
    assert_eq!(revision["spec"]["contentDigest"], digest(&stored.value()));
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_nesting_is_recorded() {
    for depth in [200, 1500] {
        let spec = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let (_, revision) = recorded("deep", "deep", &spec).await;
        assert!(
            snapshot(&revision).expect("data").contains(&spec),
            "{depth}"
        );
        let client = world().client().await;
        let namespace = revision["metadata"]["namespace"]
            .as_str()
            .expect("a namespace");
        let edited = patch(
            &client,
            &format!("{}/deep", KIND.path(namespace)),
            &json!({"spec": {"b": 1}}),
        )
        .await;
        revisor().wait_recorded(KIND, edited.version());
        assert_eq!(revisions(&client, namespace).await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_named_and_nothing_starts() {
    for (text, parts) in [
        ("kindz: []\n", vec!["kindz"]),
        (
            "kinds:\n- {kind: Thing, versions: [v1], plural: things, select: sometimes}\n",
            vec!["kinds[0] (Thing)", "select: \"sometimes\""],
        ),
        ("kinds: [\n", vec!["line 1"]),
    ] {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        let name = file.path().display().to_string();
        for arguments in [
            vec!["kinds", "--config", &name],
            vec!["run", "--admin-listen", "127.0.0.1:0", "--config", &name],
        ] {
            let out = command(&arguments);
            let message = String::from_utf8_lossy(&out.stderr).into_owned();
            assert_eq!(out.status.code(), Some(1), "{arguments:?}");
            assert!(
                message.contains(&name) && parts.iter().all(|part| message.contains(part)),
                "{message}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_counts_what_is_selected() {
    let client = world().client().await;
    let namespace = world().namespace("count").await;
    post(&client, &KIND.path(&namespace), &KIND.example()).await;
    let kubeconfig = world().cluster.kubeconfig().display().to_string();
    // Other tests make and delete workloads meanwhile, so it is counted again until nothing moved in between.
    let counted = || {
        let before = inference_services();
        let out = command(&["kinds", "--cluster", "--kubeconfig", &kubeconfig]);
        let text = String::from_utf8(out.stdout).expect("text");
        let line = text
            .lines()
            .find(|l| l.ends_with("InferenceServices selected"))
            .expect("a line");
        let numbers: Vec<usize> = line
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        before >= 1 && numbers == [before, before]
    };
    assert!(eventually(Duration::from_secs(60), counted));
}

fn inference_services() -> usize {
    world()
        .kubectl(&["get", "inferenceservices", "-A", "-o", "name"])
        .lines()
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_json_log_is_an_object() {
    let revisor = Revisor::start(world().cluster.kubeconfig(), &["--log-format", "json"]);
    let namespace = world().namespace("log").await;
    let created = post(
        &world().client().await,
        &KIND.path(&namespace),
        &KIND.example(),
    )
    .await;
    revisor.wait_recorded(KIND, created.version());
    revisor.signal("TERM");
    let ended = || revisor.log().contains("everything is written");
    assert!(
        eventually(Duration::from_secs(20), ended),
        "{}",
        revisor.log()
    );
    let log = revisor.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect();
    for line in &lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
    }
    // Fields stand beside the message, so that they can be searched for by name.
    assert!(
        lines
            .iter()
            .any(|line| line["message"] == "watching" && line["kind"] == "InferenceService"),
        "{log}"
    );
}
