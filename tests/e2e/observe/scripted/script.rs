//! The fixture of kinds whose operators are not here, and their definitions.

use crate::support::fixtures;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A kind, and how a workload of it lives; see the fixture.
#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Script {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    #[serde(default)]
    pub(super) chain: Vec<[String; 4]>,
    pub(crate) spec: Value,
    pub(super) pods: usize,
    pub(super) labels: Value,
    pub(super) status: Value,
    #[serde(default)]
    pub(super) switched: Value,
}

pub(super) const IMAGES: [&str; 2] = ["m:1", "m:2"];
const HASHES: [&str; 2] = ["a", "b"];

pub(crate) fn scripts() -> Vec<Script> {
    let text = std::fs::read_to_string(fixtures().join("pods.yaml")).expect("a fixture");
    serde_saphyr::from_str(&text).expect("YAML")
}

pub(super) fn script(kind: &str) -> Script {
    scripts()
        .into_iter()
        .find(|script| script.kind == kind)
        .expect("a script")
}

pub(super) fn container(image: &str) -> Value {
    json!([{"name": "main", "image": image, "resources": {"limits": {"nvidia.com/gpu": "1"}}}])
}

impl Script {
    fn filled(value: &Value, which: usize) -> Value {
        let text = value
            .to_string()
            .replace("\"PODS\"", &container(IMAGES[which]).to_string());
        let text = text
            .replace("IMAGE", IMAGES[which])
            .replace("HASH", HASHES[which]);
        serde_json::from_str(&text).expect("JSON")
    }

    pub(super) fn spec(&self, which: usize) -> Value {
        Self::filled(&self.spec, which)
    }

    pub(super) fn labels(&self, which: usize) -> Value {
        Self::filled(&self.labels, which)
    }

    pub(super) fn path(&self, namespace: &str) -> String {
        format!(
            "/apis/{}/namespaces/{namespace}/{}",
            self.api_version, self.plural
        )
    }

    pub(super) fn object(&self) -> Value {
        json!({"apiVersion": self.api_version, "kind": self.kind,
            "metadata": {"name": "w", "labels": {"revisor.dev/record": "true"}}, "spec": self.spec(0)})
    }
}

/// A definition of the same group, version, kind and status subresource, without a schema.
fn definition(api_version: &str, kind: &str, plural: &str) -> Value {
    let (group, version) = api_version.split_once('/').expect("a group");
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()}, "versions": [
            {"name": version, "served": true, "storage": true, "subresources": {"status": {}},
             "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": any, "status": any}}}}]}})
}

/// The definitions of all kinds that the scripts name and that are not there.
pub(crate) fn definitions() -> String {
    let mut all = BTreeMap::new();
    for script in scripts() {
        let own = [
            script.api_version.clone(),
            script.kind.clone(),
            script.plural.clone(),
            String::new(),
        ];
        for [api_version, kind, plural, _] in script.chain.iter().chain([&own]) {
            all.insert(plural.clone(), definition(api_version, kind, plural));
        }
    }
    let there = |plural: &str| {
        [
            "deployments",
            "replicasets",
            "statefulsets",
            "inferenceservices",
            "leaderworkersets",
        ]
        .contains(&plural)
    };
    let missing: Vec<_> = all
        .iter()
        .filter(|(plural, _)| !there(plural))
        .map(|(_, definition)| definition)
        .collect();
    json!({"apiVersion": "v1", "kind": "List", "items": missing}).to_string()
}
