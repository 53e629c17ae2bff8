//! The cost of one view: from the compressed workload to the finished view, as the recorder makes it.

#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks measure real time"
)]

use criterion::{Criterion, criterion_group, criterion_main};
use revisor::json::Document;
use revisor::kinds::{Catalogue, Kind};
use revisor::record::extract::components;
use revisor::redact::Names;
use revisor::snapshot::{pack, unpack};
use revisor::view::{History, complete, diff, view};
use revisor::workload::Resource;
use serde_json::{Value, json};
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn variables(count: usize) -> Value {
    let variable = |i: usize| json!({"name": format!("SETTING_{i}"), "value": format!("value {} of setting {i}", i * 7919 % 1000)});
    (0..count).map(variable).collect()
}

/// 8 KB.
fn inference_service() -> Value {
    json!({"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "llama", "namespace": "n"}, "spec": {
        "predictor": {"minReplicas": 1, "maxReplicas": 4, "nodeSelector": {"kai.scheduler/node-pool": "h100"},
            "model": {"modelFormat": {"name": "huggingface"}, "storageUri": "s3://m", "args": ["--max-model-len=8192"], "env": variables(140),
                "resources": {"requests": {"cpu": "8", "memory": "128Gi"}, "limits": {"nvidia.com/gpu": "4"}}}},
        "transformer": {"containers": [{"name": "kserve-container", "image": "t:1"}]}}})
}

/// 200 KB: 25 components.
fn dynamo_graph() -> Value {
    let component = |i: usize| {
        json!({"name": format!("c{i}"), "replicas": i, "podTemplate": {"spec": {"containers": [
        {"name": "main", "image": format!("dynamo:{i}"), "env": variables(140), "resources": {"limits": {"nvidia.com/gpu": "4", "memory": "8Gi"}}}]}}})
    };
    let all: Vec<_> = (0..25).map(component).collect();
    json!({"apiVersion": "nvidia.com/v1beta1", "kind": "DynamoGraphDeployment", "metadata": {"name": "g", "namespace": "n"}, "spec": {"components": all}})
}

fn kind(name: &str) -> Arc<Kind> {
    Catalogue::built_in()
        .kinds()
        .iter()
        .find(|kind| kind.kind == name)
        .expect("built in")
        .clone()
}

/// The most that the view of an InferenceService, and that of the median manifest, may take.
const TARGET: Duration = Duration::from_micros(500);

/// The most that the view of the 95th percentile of manifests may take.
const HIGH: Duration = Duration::from_millis(2);

fn median_of<T>(make: impl Fn() -> T) -> Duration {
    let once = || {
        let started = Instant::now();
        black_box(make());
        started.elapsed()
    };
    let mut all: Vec<_> = (0..301).map(|_| once()).collect();
    all.sort_unstable();
    all[150]
}

fn views(criterion: &mut Criterion) {
    for (name, object, size) in [
        ("InferenceService", inference_service(), 8_000),
        ("DynamoGraphDeployment", dynamo_graph(), 200_000),
    ] {
        let kind = kind(name);
        let names = Names::default();
        let text = object.to_string();
        assert!(
            text.len() >= size,
            "{name}: {} bytes are less than {size}",
            text.len()
        );
        let resource = Resource {
            group: kind.group.clone(),
            version: "v1".into(),
            kind: kind.kind.clone(),
            plural: kind.plural.clone(),
        };
        let document = Document::parse(&text).expect("JSON");
        let packed = pack(&resource, document.root()).expect("memory");
        let base = view(
            &kind,
            document.root(),
            History::First { generation: 1 },
            &names,
        )
        .expect("a view");
        let file = kind.view.as_ref().expect("a view");
        let make = || {
            let text = unpack(black_box(&packed.gzip)).expect("packed here");
            let outputs = components(file, &text).expect("components");
            let mut view = base.clone();
            complete(&mut view, file, &outputs, &names);
            view
        };
        let label = format!("view of a {name} of {} KB", text.len() / 1000);
        criterion.bench_function(&label, |bencher| bencher.iter(make));
        let median = median_of(make);
        println!("{label}: median {median:?}");
        assert!(
            name != "InferenceService" || median <= TARGET,
            "{label}: {median:?} is more than {TARGET:?}"
        );
    }
}

/// Every manifest of the fixtures, of the reported cases and of the cases of redaction.
fn manifests() -> Vec<Value> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let read = |path: &Path| -> Value {
        let text = fs::read_to_string(path).expect("a file");
        serde_saphyr::from_str(&text).expect("YAML")
    };
    let tables = ["fixtures/kinds.yaml", "fixtures/cases.yaml"].map(|file| read(&tests.join(file)));
    let cases = tables
        .iter()
        .flat_map(|table| table.as_array().into_iter().flatten());
    let mut all: Vec<_> = cases.map(|case| case["manifest"].clone()).collect();
    for entry in fs::read_dir(tests.join("redaction/cases")).expect("a folder") {
        all.push(read(&entry.expect("a file").path()));
    }
    all
}

/// The cost of the view of a workload that changed in every field, and that of reading and writing it at all.
fn costs(manifest: &Value) -> (Duration, Duration) {
    let name = manifest["kind"].as_str().expect("a kind");
    let kind = kind(name);
    let names = Names::default();
    let text = manifest.to_string();
    let document = Document::parse(&text).expect("JSON");
    let before = Document::parse(r#"{"spec":{}}"#).expect("JSON");
    let file = kind.view.as_ref().expect("a view");
    let make = || {
        let deltas = diff::objects(before.root(), document.root());
        let mut view = view(&kind, document.root(), History::Changed(&deltas), &names)?;
        complete(&mut view, file, &components(file, &text).ok()?, &names);
        Some(view)
    };
    let copy = || {
        let value: Value = serde_json::from_str(&text).expect("JSON");
        value.to_string()
    };
    (median_of(make), median_of(copy))
}

/// The median manifest.
fn fixtures(_: &mut Criterion) {
    let (mut views, mut floors): (Vec<_>, Vec<_>) = manifests().iter().map(costs).unzip();
    views.sort_unstable();
    floors.sort_unstable();
    let middle = views.len() / 2;
    let high = views[views.len() * 95 / 100];
    let (view, floor) = (views[middle], floors[middle]);
    println!(
        "view of the median of {} manifests: {view:?}; to read and write it as JSON: {floor:?}",
        views.len()
    );
    assert!(view <= TARGET, "{view:?} is more than {TARGET:?}");
    println!("view of the 95th percentile: {high:?}");
    assert!(high <= HIGH, "{high:?} is more than {HIGH:?}");
}

criterion_group!(benches, fixtures, views);
criterion_main!(benches);
