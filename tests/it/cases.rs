//! Manifests and edits in the shapes of public reports: what of them is shown.

use crate::kinds::{kind_of, shown};
use revisor::json::Document;
use revisor::kinds::Catalogue;
use revisor::redact::Names;
use revisor::revision::View;
use revisor::view::{History, diff, view};
use serde_json::{Value, json};
use std::path::Path;

fn fixture(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(file);
    serde_saphyr::from_str(&std::fs::read_to_string(path).expect("a file")).expect("YAML")
}

#[test]
fn reported_manifests_are_shown_as_they_are() {
    for case in &fixture("cases.yaml") {
        let manifest = &case["manifest"];
        let view = shown(&kind_of(manifest), manifest).expect("a view");
        let view = serde_json::to_value(view).expect("JSON");
        for (field, expected) in case["view"].as_object().expect("fields") {
            let found = view.get(field).unwrap_or(&Value::Null);
            if expected == "" {
                assert!(found.is_null(), "{}: {field}: {found}", case["name"]);
            } else {
                assert_eq!(found, expected, "{}: {field}: {view}", case["name"]);
            }
        }
        assert!(!view.to_string().contains("LEAK"), "{view}");
    }
}

/// The view of the change from one object to another.
fn changed(kind: &str, from: &Value, to: &Value) -> View {
    let catalogue = Catalogue::built_in();
    let kind = catalogue.kinds().iter().find(|it| it.kind == kind);
    let kind = kind.expect("built in");
    let [from, to] = [from, to].map(Value::to_string);
    let before = Document::parse(&from).expect("JSON");
    let after = Document::parse(&to).expect("JSON");
    let deltas = diff::objects(before.root(), after.root());
    view(
        kind,
        after.root(),
        History::Changed(&deltas),
        &Names::default(),
    )
    .expect("a view")
}

/// A Deployment whose only container has these fields beside its name.
fn deployment(container: &Value) -> Value {
    let mut own = json!({"name": "vllm", "image": "registry.example.com/vllm:1"});
    json_patch::merge(&mut own, container);
    json!({"metadata": {"name": "d"}, "spec": {"replicas": 1, "template": {"spec": {"containers": [own]}}}})
}

/// An edit of the container, and what is told of it.
fn edit(from: &Value, to: &Value) -> (String, Vec<(String, String)>) {
    let view = changed("Deployment", &deployment(from), &deployment(to));
    let text = |side: Option<String>| side.unwrap_or_else(|| "-".to_owned());
    let changes = view.changes.into_iter();
    let sides = changes.map(|change| (text(change.from), text(change.to)));
    (view.summary, sides.collect())
}

const SCRIPT: &str = "set -euo pipefail\nexport NCCL_DEBUG=INFO\nexport GLOO_SOCKET_IFNAME=eth0\nexport NCCL_SOCKET_IFNAME=eth0\nexport UCX_TLS=rc,sm,self\nexec vllm serve org/model --tensor-parallel-size 8 --max-model-len 32768\n";

#[test]
fn a_change_in_a_long_text_shows_the_flag_that_changed() {
    let script = |script: &str| json!({"command": ["sh", "-c"], "args": [script]});
    let (summary, changes) = edit(&script(SCRIPT), &script(&SCRIPT.replace("32768", "65536")));
    assert_eq!(summary, "args --max-model-len 32768→65536");
    let line = |length: &str| {
        format!("…exec vllm serve org/model --tensor-parallel-size 8 --max-model-len {length}")
    };
    assert_eq!(changes, [(line("32768"), line("65536"))]);
    let config = |replicas: u32| {
        let filler = "  # a comment of some length that stays as it is\n".repeat(8);
        json!({"metadata": {"name": "r"}, "spec": {"serveConfigV2": format!("applications:\n{filler}- name: llm\n  num_replicas: {replicas}\n{filler}")}})
    };
    let view = changed("RayService", &config(1), &config(3));
    assert_eq!(view.summary, "serveConfigV2 num_replicas 1→3");
    let change = &view.changes[0];
    assert!(
        change
            .to
            .as_deref()
            .expect("a side")
            .contains("num_replicas: 3"),
        "{change:?}"
    );
    let two = SCRIPT.replace("32768", "1").replace("INFO", "WARN");
    let (summary, changes) = edit(&script(SCRIPT), &script(&two));
    assert_eq!(
        (summary.as_str(), changes.len()),
        ("args", 2),
        "{changes:?}"
    );
    assert!(
        changes[0].1.contains("NCCL_DEBUG=WARN") && changes[1].1.contains("--max-model-len 1"),
        "{changes:?}"
    );
    let far = format!("{}{SCRIPT}", "# nothing\n".repeat(3000));
    let (summary, _) = edit(&script(&far), &script(&far.replace("32768", "65536")));
    assert_eq!(summary, "args --max-model-len 32768→65536");
}

#[test]
fn a_secret_in_a_long_text_is_not_shown() {
    let script = |key: &str| json!({"command": ["sh", "-c"], "args": [format!("{SCRIPT}curl --api-key {key} --port 1\n")]});
    let (summary, changes) = edit(&script("s3cret-one"), &script("s3cret-two"));
    assert!(
        !format!("{summary}{changes:?}").contains("s3cret"),
        "{summary} {changes:?}"
    );
    assert_eq!(summary, "args --api-key");
    assert!(
        changes[0].1.contains("--api-key [redacted, changed]"),
        "{changes:?}"
    );
}

#[test]
fn arguments_are_told_one_by_one() {
    let args = |args: &[&str]| json!({"args": args});
    for (from, to, summary, sides) in [
        (
            &["--port", "80", "--len", "1"][..],
            &["--port", "80", "--len", "2"][..],
            "args --len 1→2",
            vec![("1", "2")],
        ),
        (
            &["--a=1", "--b=2"],
            &["--c", "--a=1", "--b=3"],
            "args +1, args --b 2→3",
            vec![("-", "--c"), ("--b=2", "--b=3")],
        ),
        (
            &["--a", "1", "--b", "2"],
            &["--b", "2", "--a", "1"],
            "args order",
            vec![(r#"["--a","1","--b","2"]"#, r#"["--b","2","--a","1"]"#)],
        ),
        (
            &["--a", "1", "--b", "2"],
            &["--a", "2", "--b", "1"],
            "args --a 1→2, args --b 2→1",
            vec![("1", "2"), ("2", "1")],
        ),
        (
            &["--api-key", "OLDS3CRET", "--port", "80"],
            &["--model", "m", "--api-key", "OLDS3CRET", "--port", "81"],
            "args +2, args --port 80→81",
            vec![("-", "--model"), ("-", "m"), ("80", "81")],
        ),
    ] {
        let (said, changes) = edit(&args(from), &args(to));
        let changes: Vec<_> = changes
            .iter()
            .map(|(from, to)| (from.as_str(), to.as_str()))
            .collect();
        assert_eq!(
            (said.as_str(), changes),
            (summary, sides),
            "{from:?} {to:?}"
        );
    }
}

#[test]
fn order_is_told_as_order() {
    let env = |names: &[&str]| json!({"env": names.iter().map(|name| json!({"name": name, "value": "1"})).collect::<Value>()});
    let (summary, changes) = edit(&env(&["A", "B", "C"]), &env(&["C", "A", "B"]));
    assert_eq!(
        (summary.as_str(), changes),
        (
            "env order",
            vec![("A, B, C".to_owned(), "C, A, B".to_owned())]
        )
    );
    let pod = |first: &Value, second: &Value| json!({"metadata": {"name": "c10"}, "spec": {"template": {"spec": {"containers": [first, second]}}}});
    let server =
        json!({"name": "m", "image": "m:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}});
    let proxy = json!({"name": "p", "image": "p:1"});
    let view = changed("Deployment", &pod(&server, &proxy), &pod(&proxy, &server));
    assert_eq!(view.summary, "containers order");
    assert_eq!(
        (
            view.changes[0].from.as_deref(),
            view.changes[0].to.as_deref()
        ),
        (Some("m, p"), Some("p, m"))
    );
    let mut manifest = pod(&proxy, &server);
    manifest["apiVersion"] = "apps/v1".into();
    manifest["kind"] = "Deployment".into();
    let shown = shown(&kind_of(&manifest), &manifest).expect("a view");
    assert_eq!(shown.images[0], "m:1");
}

#[test]
fn equal_content_in_other_words_has_no_effect() {
    let set = |more: Value, cpu: &str| {
        let mut pod = json!({"containers": [{"name": "m", "image": "m:1", "resources": {"requests": {"cpu": cpu}, "limits": {"nvidia.com/gpu": "1"}}}]});
        for (key, value) in more.as_object().expect("fields") {
            pod[key] = value.clone();
        }
        json!({"metadata": {"name": "g"}, "spec": {"replicas": 2, "leaderWorkerTemplate": {"size": 2, "workerTemplate": {"spec": pod}}}})
    };
    let first = set(json!({}), "1000m");
    for (to, summary) in [
        (set(json!({}), "1"), "no effect: requests.cpu 1000m→1"),
        (
            set(json!({"nodeSelector": {}}), "1000m"),
            "no effect: +spec.nodeSelector",
        ),
        (
            set(json!({"volumes": null}), "1000m"),
            "no effect: +spec.volumes",
        ),
        (
            set(
                json!({"dnsPolicy": "ClusterFirst", "nodeSelector": {"a": "b"}}),
                "1000m",
            ),
            "+spec.nodeSelector",
        ),
    ] {
        let view = changed("LeaderWorkerSet", &first, &to);
        assert_eq!(view.summary, summary);
        let none = summary.starts_with("no effect");
        assert_eq!(view.changes[0].no_effect, none, "{:?}", view.changes);
        let same = changed("LeaderWorkerSet", &to, &first).normal_digest == view.normal_digest;
        assert_eq!(same, none, "{summary}");
    }
    let timed = json!({"metadata": {"name": "d"}, "spec": {"template": {"metadata": {"creationTimestamp": null}, "spec": {}}}});
    let bare = json!({"metadata": {"name": "d"}, "spec": {"template": {"spec": {}}}});
    assert!(
        changed("Deployment", &bare, &timed)
            .summary
            .starts_with("no effect")
    );
    let (summary, _) = edit(
        &json!({}),
        &json!({"image": "registry.example.com/vllm:2", "imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"}),
    );
    assert_eq!(summary, "image vllm:1→vllm:2");
}

#[test]
fn summaries_show_the_old_and_the_new_value() {
    for (from, to, summary) in [
        (
            json!({"image": "a:1"}),
            json!({"image": "a:2"}),
            "image a:1→a:2",
        ),
        (
            json!({"env": [{"name": "A", "value": "1"}]}),
            json!({"env": [{"name": "A", "value": "2"}]}),
            "env A 1→2",
        ),
        (
            json!({"stdin": true}),
            json!({"stdin": false}),
            "stdin true→false",
        ),
        (
            json!({"env": [{"name": "HF_TOKEN", "value": "a"}]}),
            json!({"env": [{"name": "HF_TOKEN", "value": "b"}]}),
            "env HF_TOKEN",
        ),
        (
            json!({"ports": [{"containerPort": 80}, {"containerPort": 81}]}),
            json!({"ports": [{"containerPort": 80}, {"containerPort": 82}]}),
            "-ports 81, +ports 82",
        ),
    ] {
        assert_eq!(edit(&from, &to).0, summary);
    }
    let ray = |replicas: [i64; 2]| {
        json!({"metadata": {"name": "r"}, "spec": {"rayClusterConfig": {"workerGroupSpecs": [
        {"groupName": "small", "replicas": replicas[0]}, {"groupName": "large", "replicas": replicas[1]}]}}})
    };
    assert_eq!(
        changed("RayService", &ray([2, 1]), &ray([3, 1])).summary,
        "replicas 2→3"
    );
    assert_eq!(
        changed("RayService", &ray([2, 1]), &ray([3, 4])).summary,
        "small replicas 2→3, large replicas 1→4"
    );
    let pod = |gpus: i64| json!({"spec": {"containers": [{"name": "w", "resources": {"limits": {"nvidia.com/gpu": gpus}}}]}});
    let set = |leader: i64, worker: i64| json!({"metadata": {"name": "l"}, "spec": {"leaderWorkerTemplate": {"leaderTemplate": pod(leader), "workerTemplate": pod(worker)}}});
    assert_eq!(
        changed("LeaderWorkerSet", &set(4, 4), &set(8, 8)).summary,
        "limits.nvidia.com/gpu 4→8"
    );
    let traffic = |percent: i64| json!({"metadata": {"name": "k"}, "spec": {"traffic": [{"latestRevision": true, "percent": percent}]}});
    assert_eq!(
        changed("Service", &traffic(100), &traffic(90)).summary,
        "traffic percent 100→90"
    );
    let paused = |paused: bool| json!({"metadata": {"name": "d"}, "spec": {"paused": paused}});
    assert_eq!(
        changed("Deployment", &paused(true), &paused(false)).summary,
        "paused true→false"
    );
}

#[test]
fn metadata_of_a_template_is_the_templates() {
    let template = |metadata: Value| json!({"metadata": {"name": "d"}, "spec": {"template": {"metadata": metadata, "spec": {}}}});
    for (from, to, summary) in [
        (
            json!({"annotations": {"a": "1"}}),
            json!({"annotations": {"a": "2"}}),
            "template annotation a 1→2",
        ),
        (
            json!({"labels": {"a": "1"}}),
            json!({"labels": {"a": "1", "b": "1"}}),
            "+template label b",
        ),
        (
            json!({"labels": {}}),
            json!({"annotations": {"a": "1"}}),
            "+template annotations",
        ),
        (
            json!({}),
            json!({"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}),
            "restarted",
        ),
    ] {
        assert_eq!(
            changed("Deployment", &template(from), &template(to)).summary,
            summary
        );
    }
}

#[test]
fn what_operators_fill_in_is_no_change() {
    use revisor::record::decide::{Comparison, compare};
    let catalogue = Catalogue::built_in();
    let ray = json!({"headGroupSpec": {"template": {"spec": {}}}, "workerGroupSpecs": [{"groupName": "g", "template": {"spec": {}}}]});
    let mut filled = ray.clone();
    filled["headGroupSpec"]["template"]["metadata"] = json!({});
    filled["workerGroupSpecs"][0]["template"]["metadata"] = json!({});
    filled["workerGroupSpecs"][0]["scaleStrategy"] = json!({});
    let mut edited = filled.clone();
    edited["workerGroupSpecs"][0]["scaleStrategy"] = json!({"workersToDelete": ["a"]});
    for (kind, from, to, expected) in [
        (
            "RayService",
            json!({"rayClusterConfig": ray}),
            json!({"rayClusterConfig": filled}),
            Comparison::Same,
        ),
        (
            "RayService",
            json!({"rayClusterConfig": filled}),
            json!({"rayClusterConfig": ray}),
            Comparison::Same,
        ),
        (
            "RayService",
            json!({"rayClusterConfig": ray}),
            json!({"rayClusterConfig": edited}),
            Comparison::Different,
        ),
        (
            "Rollout",
            json!({"replicas": 1, "paused": false}),
            json!({"replicas": 1}),
            Comparison::Same,
        ),
        (
            "Rollout",
            json!({"replicas": 1, "paused": true}),
            json!({"replicas": 1}),
            Comparison::Different,
        ),
    ] {
        let kind = catalogue
            .kinds()
            .iter()
            .find(|it| it.kind == kind)
            .expect("built in");
        let [from, to] = [from, to].map(|spec| json!({"spec": spec}).to_string());
        let before = Document::parse(&from).expect("JSON");
        let after = Document::parse(&to).expect("JSON");
        let mut deltas = diff::objects(before.root(), after.root());
        assert_eq!(
            compare(kind, &mut deltas, &[], &[]),
            expected,
            "{from} {to}"
        );
    }
}

#[test]
fn a_long_script_is_shown_whole() {
    let script = format!(
        "{}exec vllm serve org/model --tensor-parallel-size 8 --max-model-len 32768\n",
        "# a comment of some length\n".repeat(60)
    );
    let container = |script: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "s"},
        "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "i", "args": [script]}]}}}})
    };
    let manifest = container(&script);
    let view = shown(&kind_of(&manifest), &manifest).expect("a view");
    assert_eq!(view.args, std::slice::from_ref(&script));
    let longer = container(&script.repeat(20));
    let view = shown(&kind_of(&longer), &longer).expect("a view");
    assert!(
        view.truncated && view.args[0].ends_with("--max-model-len 32768\n"),
        "{view:?}"
    );
}
