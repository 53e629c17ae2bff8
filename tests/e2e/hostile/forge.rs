//! Forged Revisions, made from a genuine one.

use revisor::json::Document;
use revisor::revision::{SnapshotEncoding, identity};
use revisor::snapshot;
use revisor::workload::Resource;
use serde_json::{Value, json};
use uuid::Uuid;

/// A Revision of the same workload, of another generation: everything of it fits.
pub fn generation(model: &Value, generation: i64) -> Value {
    let mut forged = bare(model);
    let (uid, name) = workload(model);
    forged["metadata"]["name"] = identity::name(&name, uid, generation).into();
    let spec = &mut forged["spec"];
    spec["id"] = json!(identity::id(uid, generation));
    spec["generation"] = generation.into();
    spec["type"] = "Change".into();
    spec["via"] = json!({"manager": "forger", "operation": "Update"});
    spec.as_object_mut().expect("an object").remove("previous");
    forged
}

/// The same with a content of its own, whose digest fits.
pub fn with_content(mut forged: Value, content: &Value) -> Value {
    let resource = Resource {
        group: "serving.kserve.io".into(),
        version: "v1beta1".into(),
        kind: "InferenceService".into(),
        plural: "inferenceservices".into(),
    };
    let object = json!({"metadata": {"name": "w0"}, "spec": content}).to_string();
    let document = Document::parse(&object).expect("JSON");
    let packed = snapshot::pack(&resource, document.root()).expect("packs");
    let stored = snapshot::stored(&packed, SnapshotEncoding::GzipBase64).expect("stored");
    forged["spec"]["contentDigest"] = packed.digest.to_string().into();
    forged["spec"]["snapshot"] = serde_json::to_value(stored).expect("JSON");
    forged
}

/// A Gap of the same workload.
pub fn gap(model: &Value, from: i64, to: i64) -> Value {
    let mut forged = generation(model, to);
    let (uid, name) = workload(model);
    forged["metadata"]["name"] = identity::gap_name(&name, uid, from, to).into();
    let spec = &mut forged["spec"];
    spec["id"] = json!(identity::gap_id(uid, from, to));
    spec["type"] = "Gap".into();
    spec["gap"] = json!({"from": from, "to": to, "reason": "Compacted"});
    for field in ["snapshot", "contentDigest"] {
        spec.as_object_mut().expect("an object").remove(field);
    }
    forged
}

/// Of a workload that was never recorded.
pub fn of(model: &Value, live: &Value, generation: i64) -> Value {
    let mut model = model.clone();
    model["spec"]["workload"] = json!({
        "apiVersion": live["apiVersion"], "kind": live["kind"],
        "name": live["metadata"]["name"], "uid": live["metadata"]["uid"],
    });
    self::generation(&model, generation)
}

/// Without what the API server sets.
fn bare(model: &Value) -> Value {
    let mut bare = model.clone();
    bare["metadata"] = json!({"name": model["metadata"]["name"]});
    bare.as_object_mut().expect("an object").remove("status");
    bare
}

fn workload(model: &Value) -> (Uuid, String) {
    let workload = &model["spec"]["workload"];
    let uid = workload["uid"].as_str().and_then(|uid| uid.parse().ok());
    let name = workload["name"].as_str().expect("a name");
    (uid.expect("a uid"), name.to_owned())
}
