//! The CustomResourceDefinition, generated from [`super::resource`]; `revisor crds` prints it.

pub(super) mod bounds;
pub(super) mod rules;

pub use rules::{EXPUNGED_TOO, IMMUTABLE};

use super::{GROUP, Revision, VERSION};
use chrono::DateTime;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};
use uuid::Uuid;

/// The CustomResourceDefinition as JSON.
///
/// `nullable` is stripped from every field: with it, a `null` put where a field is absent would slip past the rule.
///
/// # Errors
/// Never in practice: the definition is plain data.
pub fn crd() -> Result<Value, serde_json::Error> {
    let mut crd = serde_json::to_value(Revision::crd())?;
    strip_nullable(&mut crd);
    bounds::bound(&mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    crd["metadata"]["annotations"] = Value::Object(
        KEEP.map(|(key, value)| (key.to_owned(), json!(value)))
            .into_iter()
            .collect(),
    );
    Ok(crd)
}

/// Annotations by which delivery tools leave the definition, and with it all history, when they remove the rest.
const KEEP: [(&str, &str); 2] = [
    (
        "argocd.argoproj.io/sync-options",
        "Prune=false,Delete=false",
    ),
    ("helm.sh/resource-policy", "keep"),
];

/// A Revision with a value in every field of the schema, which says nothing. A definition that refuses it as unknown is
/// older than this program.
///
/// # Errors
/// Never in practice: the definition is plain data.
pub fn example() -> Result<Value, serde_json::Error> {
    let crd = crd()?;
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    Ok(json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "Revision",
        "metadata": {"name": "dry-run"},
        "spec": filled(&schema["spec"]),
        "status": filled(&schema["status"]),
    }))
}

/// A value that a schema of ours accepts.
fn filled(schema: &Value) -> Value {
    if let Some(first) = schema.pointer("/enum/0") {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => filled_object(schema),
        Some("array") => json!([filled(&schema["items"])]),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        _ => match schema["format"].as_str() {
            Some("uuid") => json!(Uuid::nil()),
            Some("date-time") => json!(DateTime::UNIX_EPOCH),
            _ => json!("x"),
        },
    }
}

fn filled_object(schema: &Value) -> Value {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let fields = properties.map(|(name, field)| (name.clone(), filled(field)));
    Value::Object(fields.collect())
}

/// The same as a typed object.
///
/// # Errors
/// Never in practice: the definition is plain data.
pub fn typed_crd() -> Result<CustomResourceDefinition, serde_json::Error> {
    serde_json::from_value(crd()?)
}

/// Recurses as deep as the schema is, which is ours.
fn strip_nullable(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("nullable");
            fields.values_mut().for_each(strip_nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nullable),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn root() -> Value {
        crd().expect("crd")["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    #[test]
    fn every_field_but_the_view_is_immutable() {
        let properties = &root()["properties"]["spec"]["properties"];
        let fields: BTreeSet<_> = properties
            .as_object()
            .expect("properties")
            .keys()
            .map(String::as_str)
            .collect();
        let others = ["view", "snapshot", "expunged"];
        let expected: BTreeSet<_> = IMMUTABLE
            .iter()
            .chain(EXPUNGED_TOO)
            .copied()
            .chain(others)
            .collect();
        assert_eq!(fields, expected);
    }

    #[test]
    fn every_field_has_a_description_and_none_is_nullable() {
        fn walk(path: &str, schema: &Value) {
            assert!(schema.get("nullable").is_none(), "{path} is nullable");
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                assert!(
                    field["description"].as_str().is_some_and(|d| !d.is_empty()),
                    "{path} has no description"
                );
                walk(&path, field);
            }
            if let Some(items) = schema.get("items") {
                walk(&format!("{path}[]"), items);
            }
        }
        for part in ["spec", "status"] {
            walk(part, &root()["properties"][part]);
        }
    }

    #[test]
    fn the_example_has_every_field() {
        fn walk(path: &str, schema: &Value, value: &Value) {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                assert!(!value[name].is_null(), "{path} is not in the example");
                walk(&path, field, &value[name]);
            }
            if let Some(items) = schema.get("items") {
                walk(&format!("{path}[]"), items, &value[0]);
            }
        }
        let example = example().expect("an example");
        for part in ["spec", "status"] {
            walk(part, &root()["properties"][part], &example[part]);
        }
    }

    #[test]
    fn delivery_tools_are_told_to_leave_the_definition() {
        let annotations = &crd().expect("crd")["metadata"]["annotations"];
        assert_eq!(annotations["helm.sh/resource-policy"], "keep");
        assert_eq!(
            annotations["argocd.argoproj.io/sync-options"],
            "Prune=false,Delete=false"
        );
    }

    #[test]
    fn spec_view_and_status_are_atomic() {
        let root = root();
        for pointer in [
            "/properties/spec",
            "/properties/spec/properties/view",
            "/properties/status",
        ] {
            assert_eq!(
                root.pointer(pointer).expect(pointer)["x-kubernetes-map-type"],
                "atomic",
                "{pointer}"
            );
        }
    }
}
