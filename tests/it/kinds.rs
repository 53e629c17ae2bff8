//! What the built-in kind files find in manifests, and that nothing makes them panic.

use proptest::prelude::*;
use revisor::json::Document;
use revisor::kinds::{Catalogue, Kind, Shape};
use revisor::record::extract::components;
use revisor::redact::Names;
use revisor::revision::View;
use revisor::view::{History, MAX_BYTES, VERSION, complete, view};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

pub fn kind_of(manifest: &Value) -> Arc<Kind> {
    let group = manifest["apiVersion"]
        .as_str()
        .and_then(|v| v.split_once('/'))
        .map_or("", |(group, _)| group);
    let catalogue = Catalogue::built_in();
    let of = |kind: &&Arc<Kind>| kind.group == group && manifest["kind"] == kind.kind.as_str();
    catalogue
        .kinds()
        .iter()
        .find(of)
        .expect("a built-in kind")
        .clone()
}

pub fn shown(kind: &Kind, manifest: &Value) -> Option<View> {
    let text = manifest.to_string();
    let document = Document::parse(&text).expect("JSON");
    let mut view = view(
        kind,
        document.root(),
        History::First { generation: 1 },
        &Names::default(),
    )?;
    let file = kind.view.as_ref().expect("a view");
    if let Ok(outputs) = components(file, &text) {
        complete(&mut view, file, &outputs, &Names::default());
    }
    Some(view)
}

fn cases() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kinds.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(path).expect("a file")).expect("YAML")
}

#[test]
fn every_kind_is_shown_as_its_table_says() {
    let mut kinds = BTreeSet::new();
    for case in &cases() {
        let manifest = &case["manifest"];
        let kind = kind_of(manifest);
        let view = shown(&kind, manifest).expect("a view");
        let mut view = serde_json::to_value(view).expect("JSON");
        let fields = view.as_object_mut().expect("an object");
        assert_eq!(
            (fields.remove("version"), fields.remove("summary")),
            (Some(json!(VERSION)), Some(json!("created")))
        );
        let digest = fields.remove("normalDigest").unwrap_or_default();
        assert!(digest.as_str().is_some_and(|it| it.len() == 71), "{digest}");
        assert_eq!(view, case["view"], "{}", case["name"]);
        kinds.insert(kind.group_kind().to_string());
    }
    assert_eq!(
        kinds.len(),
        Catalogue::built_in().kinds().len(),
        "every built-in kind has a case"
    );
}

/// The manifest of a case of the table.
fn case(name: &str) -> Value {
    let all = cases();
    all.iter()
        .find(|case| case["name"] == name)
        .expect("a case")["manifest"]
        .clone()
}

#[test]
fn a_graph_is_shown_the_same_in_any_order_and_version() {
    // The digest is of the content, which has another order.
    let shown_as_json = |manifest: &Value| View {
        normal_digest: String::new(),
        ..shown(&kind_of(manifest), manifest).expect("a view")
    };
    let list = case("DynamoGraphDeployment v1beta1");
    let map = case("DynamoGraphDeployment v1alpha1, the same");
    let mut reversed = list.clone();
    reversed["spec"]["components"]
        .as_array_mut()
        .expect("a list")
        .reverse();
    let text = map.to_string();
    // A map has no order, and yet a text of it has.
    let front = map["spec"]["services"]["Frontend"].clone();
    let work = map["spec"]["services"]["Worker"].clone();
    let services = |text: &str| format!("\"services\":{text}");
    let forward = services(&format!("{{\"Frontend\":{front},\"Worker\":{work}}}"));
    let backward = services(&format!("{{\"Worker\":{work},\"Frontend\":{front}}}"));
    assert!(text.contains(&forward));
    let outputs = |text: &str| {
        components(kind_of(&map).view.as_ref().expect("a view"), text).expect("components")
    };
    assert_eq!(outputs(&text), outputs(&text.replace(&forward, &backward)));
    let expected = shown_as_json(&list);
    assert_eq!(shown_as_json(&reversed), expected);
    assert_eq!(shown_as_json(&map), expected);
}

/// Of every component what tells whether two Revisions share their pods.
fn pods_of(manifest: &Value) -> Vec<Value> {
    let kind = kind_of(manifest);
    let file = kind.view.as_ref().expect("a view");
    let outputs = file
        .components(&manifest.to_string(), &Shape::Whole)
        .expect("components");
    outputs
        .iter()
        .map(|o| json!([o["name"], o["pod"], o["identity"]]))
        .collect()
}

/// A case of the table, a field of it, another value of that as JSON, and whether that makes new pods.
const FIELDS: &[(&str, &str, &str, bool)] = &[
    (PREDICTOR, "/spec/predictor/minReplicas", "7", false),
    (PREDICTOR, "/spec/predictor/maxReplicas", "7", false),
    (PREDICTOR, "/spec/predictor/scaleTarget", "7", false),
    (PREDICTOR, "/spec/predictor/scaleMetric", r#""rps""#, false),
    (
        PREDICTOR,
        "/spec/predictor/scaleMetricType",
        r#""Utilization""#,
        false,
    ),
    (
        PREDICTOR,
        "/spec/predictor/autoScaling",
        r#"{"metrics": []}"#,
        false,
    ),
    (
        PREDICTOR,
        "/spec/predictor/canaryTrafficPercent",
        "10",
        false,
    ),
    (PREDICTOR, "/spec/transformer/minReplicas", "3", false),
    (PREDICTOR, "/spec/explainer/maxReplicas", "3", false),
    (
        PREDICTOR,
        "/spec/predictor/model/storageUri",
        r#""s3://other""#,
        true,
    ),
    (PREDICTOR, "/metadata/labels", r#"{"team": "x"}"#, true),
    (LEADER, "/spec/replicas", "9", false),
    (LEADER, "/spec/leaderWorkerTemplate/size", "9", true),
    (
        LEADER,
        "/spec/leaderWorkerTemplate/restartPolicy",
        r#""None""#,
        true,
    ),
    (
        LEADER,
        "/spec/networkConfig",
        r#"{"subdomainPolicy": "Shared"}"#,
        true,
    ),
    (NIM, "/spec/replicas", "9", false),
    (
        NIM,
        "/spec/scale",
        r#"{"enabled": true, "hpa": {"minReplicas": 2, "maxReplicas": 3}}"#,
        false,
    ),
    (NIM, "/spec/livenessProbe", "{}", false),
    (NIM, "/spec/expose", r#"{"ingress": {"spec": {}}}"#, false),
    (NIM, "/spec/metrics", r#"{"serviceMonitor": {}}"#, false),
    (NIM, "/spec/storage", r#"{"nimCache": {}}"#, false),
    (NIM, "/spec/storage", r#"{"pvc": {"name": "x"}}"#, true),
    (LLM, "/spec/replicas", "9", false),
    (LLM, "/spec/scaling", r#"{"minReplicas": 3}"#, false),
    (LLM, "/spec/parallelism", r#"{"tensor": 2}"#, true),
    (LLM, "/spec/baseRefs", r#"[{"name": "x"}]"#, true),
    (LLM, "/spec/model", r#"{"uri": "hf://other"}"#, true),
    (GRAPH, "/spec/components/1/replicas", "9", false),
    (GRAPH, "/spec/components/1/scalingAdapter", "{}", false),
    (
        GRAPH,
        "/spec/components/1/multinode",
        r#"{"nodeCount": 4}"#,
        true,
    ),
    (GRAPH, "/spec/restart", r#"{"id": "2"}"#, true),
    (RUN_AI, "/spec/minScale", r#"{"value": 9}"#, false),
    (RUN_AI, "/spec/maxScale", r#"{"value": 9}"#, false),
    (RUN_AI, "/spec/nodeType", r#"{"value": "x"}"#, true),
];

#[test]
fn pods_are_told_apart_by_what_makes_them_new_and_not_by_their_number() {
    for (name, field, value, new) in FIELDS {
        let before = case(name);
        let mut after = before.clone();
        let (parent, key) = field.rsplit_once('/').expect("a path");
        let value: Value = serde_json::from_str(value).expect("JSON");
        after.pointer_mut(parent).expect(field)[key] = value.clone();
        assert_eq!(
            pods_of(&before) != pods_of(&after),
            *new,
            "{name}: {field} {value}"
        );
    }
}

const PREDICTOR: &str = "InferenceService with a model whose image the runtime knows, several nodes, a transformer and an explainer";
const LEADER: &str = "LeaderWorkerSet without a template for its leader";
const NIM: &str = "NIMService with an autoscaler";
const LLM: &str = "LLMInferenceService with workers and a prefill of its own";
const GRAPH: &str = "DynamoGraphDeployment v1beta1";
const RUN_AI: &str = "Run:ai InferenceWorkload, every field wrapped";

/// The code block of the page on kinds that begins with this comment.
fn example(file: &str) -> String {
    let page = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/adding-a-kind.md"),
    );
    let page = page.expect("a page");
    let start = format!("```yaml\n# {file}\n");
    let (_, block) = page.split_once(&start).expect("an example");
    block.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn the_example_of_the_documentation_does_what_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["manifest.yaml", "revisor.yaml"] {
        std::fs::write(folder.path().join(file), example(file)).expect("written");
    }
    let mut explain = std::process::Command::new(env!("CARGO_BIN_EXE_revisor"));
    explain.args([
        "kinds",
        "explain",
        "-f",
        "manifest.yaml",
        "--config",
        "revisor.yaml",
        "-o",
        "json",
    ]);
    let out = explain
        .current_dir(folder.path())
        .output()
        .expect("it runs");
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
    let expected = json!({"version": VERSION, "summary": "created", "normalDigest": all[0]["view"]["normalDigest"], "model": "llama",
        "limitsPerPod": "nvidia.com/gpu=4", "limitsTotal": "nvidia.com/gpu=8",
        "images": ["registry.example.com/server:1.4"], "args": "--model=llama", "env": "HF_TOKEN='[redacted]'",
        "pods": "2", "requestsPerPod": "nvidia.com/gpu=4", "requestsTotal": "nvidia.com/gpu=8"});
    assert_eq!(all[0]["view"], expected);
}

#[test]
fn the_pods_and_phases_of_the_documentation_are_a_kind_file() {
    let page = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/adding-a-kind.md"),
    );
    let page = page.expect("a page");
    let (_, block) = page.split_once("```yaml\npods:\n").expect("an example");
    let more = block.split_once("```").expect("its end").0;
    let file =
        format!("kind: T\ngroup: a.b\nversions: [v1]\nplural: ts\nselect: always\npods:\n{more}");
    let kind = Kind::parse("example", &file).expect("valid");
    assert_eq!((kind.phases.len(), kind.pods.labels.len()), (2, 3));
}

#[test]
fn what_an_operator_fills_in_is_no_change() {
    let catalogue = Catalogue::built_in();
    let nim = catalogue
        .kinds()
        .iter()
        .find(|kind| kind.kind == "NIMService")
        .expect("built in");
    let written =
        r#"{"spec":{"image":{"repository":"r"},"expose":{"service":{"port":8000}},"scale":{}}}"#;
    let filled = r#"{"spec":{"image":{"repository":"r"},"expose":{"service":{"port":8000},"ingress":{"spec":{}}},"livenessProbe":{},"readinessProbe":{},"startupProbe":{},"metrics":{"serviceMonitor":{}},"scale":{"hpa":{"maxReplicas":0,"minReplicas":1}},"storage":{"nimCache":{}}}}"#;
    let edited = filled.replace("\"maxReplicas\":0", "\"maxReplicas\":2");
    let compared = |to: &str| {
        let from = Document::parse(written).expect("JSON");
        let to = Document::parse(to).expect("JSON");
        let old = from.root().get("spec").expect("spec");
        let new = to.root().get("spec").expect("spec");
        let mut deltas = revisor::view::diff::diff("spec", old, new);
        revisor::record::decide::compare(nim, &mut deltas, &[], &[])
    };
    assert_eq!(compared(filled), revisor::record::decide::Comparison::Same);
    assert_eq!(
        compared(&edited),
        revisor::record::decide::Comparison::Different
    );
}

/// Words of manifests.
const KEYS: &[&str] = &[
    "spec",
    "template",
    "metadata",
    "annotations",
    "containers",
    "initContainers",
    "resources",
    "limits",
    "requests",
    "predictor",
    "model",
    "workerSpec",
    "transformer",
    "minReplicas",
    "maxReplicas",
    "replicas",
    "env",
    "name",
    "value",
    "valueFrom",
    "image",
    "args",
    "command",
    "components",
    "services",
    "podTemplate",
    "rayClusterConfig",
    "headGroupSpec",
    "workerGroupSpecs",
    "leaderWorkerTemplate",
    "workerTemplate",
    "size",
    "items",
    "gpu",
    "scale",
    "hpa",
    "parallelism",
    "data",
    "dataLocal",
    "nodeSelector",
    "affinity",
    "overhead",
    "gpu-fraction",
    "multinode",
    "scaling",
    "prefill",
    "router",
    "scheduler",
    "tokenizer",
    "worker",
    "explainer",
    "canary",
    "extraPodSpec",
    "mainContainer",
    "envs",
    "multiNode",
    "pipeline",
    "workloadRef",
    "status",
    "conditions",
    "suspend",
    "ports",
    "labels",
    "resourceClaims",
    "leaderTemplate",
    "migProfile",
    "environment",
    "storage",
    "expose",
];

/// Arbitrary JSON that uses the words of manifests.
fn value() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("1"),
        Just("500m"),
        Just("1Gi"),
        Just("x"),
        Just(""),
        Just("true"),
        Just("HF_TOKEN"),
        Just("9999999999999999999999"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 96, 6, |inner| {
        let key = prop::sample::select(KEYS);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|fields| {
                Value::Object(
                    fields
                        .into_iter()
                        .map(|(key, value)| ((*key).to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_object_makes_a_view_and_always_the_same(spec in value(), which in 0usize..100) {
        let catalogue = Catalogue::built_in();
        let kind = &catalogue.kinds()[which % catalogue.kinds().len()];
        let manifest = json!({"metadata": {"name": "x"}, "spec": spec});
        let once = shown(kind, &manifest);
        prop_assert_eq!(once.is_some(), manifest["spec"].is_object());
        if let Some(view) = &once {
            prop_assert!(serde_json::to_vec(view).expect("JSON").len() <= MAX_BYTES);
        }
        prop_assert_eq!(once, shown(kind, &manifest));
    }
}
