//! What the built-in kind files find in manifests, and that nothing makes them panic.

use proptest::prelude::*;
use revisor::json::Document;
use revisor::kinds::{Catalogue, Kind};
use revisor::record::extract::components;
use revisor::record::view::redact::Names;
use revisor::record::view::{History, MAX_BYTES, VERSION, complete, view};
use revisor::revision::View;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

fn kind_of(manifest: &Value) -> Arc<Kind> {
    let group =
        manifest["apiVersion"].as_str().and_then(|v| v.split_once('/')).map_or("", |(group, _)| group);
    let catalogue = Catalogue::built_in();
    let of = |kind: &&Arc<Kind>| kind.group == group && manifest["kind"] == kind.kind.as_str();
    catalogue.kinds().iter().find(of).expect("a built-in kind").clone()
}

fn shown(kind: &Kind, manifest: &Value) -> Option<View> {
    let text = manifest.to_string();
    let document = Document::parse(&text).expect("JSON");
    let mut view = view(kind, document.root(), History::First { generation: 1 }, &Names::default())?;
    let file = kind.view.as_ref().expect("a view");
    if let Ok(outputs) = components(file, &text) {
        complete(&mut view, file, &outputs, &Names::default());
    }
    Some(view)
}

#[test]
fn every_kind_is_shown_as_its_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kinds.yaml");
    let cases: Vec<Value> =
        serde_saphyr::from_str(&std::fs::read_to_string(path).expect("a file")).expect("YAML");
    let mut kinds = BTreeSet::new();
    for case in &cases {
        let manifest = &case["manifest"];
        let kind = kind_of(manifest);
        let view = shown(&kind, manifest).expect("a view");
        let mut view = serde_json::to_value(view).expect("JSON");
        let fields = view.as_object_mut().expect("an object");
        assert_eq!(
            (fields.remove("version"), fields.remove("summary")),
            (Some(json!(VERSION)), Some(json!("created")))
        );
        assert_eq!(view, case["view"], "{}", case["name"]);
        kinds.insert(kind.group_kind().to_string());
    }
    assert_eq!(kinds.len(), Catalogue::built_in().kinds().len(), "every built-in kind has a case");
}

#[test]
fn what_an_operator_fills_in_is_no_change() {
    let catalogue = Catalogue::built_in();
    let nim = catalogue.kinds().iter().find(|kind| kind.kind == "NIMService").expect("built in");
    let written = r#"{"spec":{"image":{"repository":"r"},"expose":{"service":{"port":8000}},"scale":{}}}"#;
    let filled = r#"{"spec":{"image":{"repository":"r"},"expose":{"service":{"port":8000},"ingress":{"spec":{}}},"livenessProbe":{},"readinessProbe":{},"startupProbe":{},"metrics":{"serviceMonitor":{}},"scale":{"hpa":{"maxReplicas":0,"minReplicas":1}},"storage":{"nimCache":{}}}}"#;
    let edited = filled.replace("\"maxReplicas\":0", "\"maxReplicas\":2");
    let compared = |to: &str| {
        let (from, to) = (Document::parse(written).expect("JSON"), Document::parse(to).expect("JSON"));
        let (old, new) = (from.root().get("spec").expect("spec"), to.root().get("spec").expect("spec"));
        let mut deltas = revisor::record::view::diff::diff("spec", old, new);
        revisor::record::decide::compare(nim, &mut deltas, &[], &[])
    };
    assert_eq!(compared(filled), revisor::record::decide::Comparison::Same);
    assert_eq!(compared(&edited), revisor::record::decide::Comparison::Different);
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
                Value::Object(fields.into_iter().map(|(key, value)| ((*key).to_owned(), value)).collect())
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
