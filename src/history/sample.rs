//! Revisions for tests.

use crate::revision::Revision;
use serde_json::json;
use uuid::Uuid;

/// A Revision of a Deployment `x` with this image.
pub(crate) fn revision(generation: i64, image: &str) -> Revision {
    let spec = json!({"replicas": 1, "template": {"spec": {"containers": [{"name": "m", "image": image}]}}});
    of(generation, &spec)
}

/// A Revision of a Deployment `x` with this spec.
pub(crate) fn of(generation: i64, spec: &serde_json::Value) -> Revision {
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "namespace": "n"}, "spec": spec,
    })
    .to_string();
    serde_json::from_value(json!({
        "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
        "metadata": {"name": format!("x-00000000-{generation:05}"), "namespace": "n"},
        "spec": {
            "id": crate::revision::identity::id(Uuid::nil(), generation), "type": "Change", "generation": generation,
            "resourceVersion": generation.to_string(), "observedVia": "Watch",
            "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": Uuid::nil()},
            "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed",
            "snapshot": {"encoding": "json", "size": manifest.len(), "data": manifest},
        },
    }))
    .expect("a Revision")
}

/// A Gap of these generations.
pub(crate) fn gap(from: i64, to: i64) -> Revision {
    let mut revision = revision(to, "");
    revision.spec.r#type = crate::revision::RevisionType::Gap;
    revision.spec.snapshot = None;
    revision.spec.gap = Some(crate::revision::Gap {
        from,
        to,
        reason: "Compacted".to_owned(),
    });
    revision
}

/// A Revision with another time.
pub(crate) struct Dated(pub(crate) Revision);

impl Revision {
    /// The same, changed at this time.
    pub(crate) fn at(mut self, time: &str) -> Dated {
        self.spec.change_time = time.parse().expect("a time");
        Dated(self)
    }
}
