//! The lengths and numbers that the definition takes: those to which the recorder and the observer cut. Pure.
//!
//! In: the generated schema. Out: the same with a bound on every text, list, map and counted number. Enumerations, times
//! and UUIDs are bounded by their format.

use crate::revision::limits::{
    MAX_API_VERSION, MAX_CHANGES, MAX_CONDITIONS, MAX_DATA, MAX_DIGEST, MAX_IMAGE, MAX_IMAGES,
    MAX_ITEM, MAX_ITEMS, MAX_KEYS, MAX_LABEL, MAX_MANAGER, MAX_MESSAGE, MAX_NAME, MAX_PATH,
    MAX_POOLS, MAX_QUANTITY, MAX_SUMMARY, MAX_TEXT, MAX_USER, MAX_VALUE, MAX_VIEW, MAX_WORD,
};
use serde_json::{Value, json};

/// A field below the schema of a Revision, a keyword, and its value.
pub(in crate::revision) type Bound = (&'static str, &'static str, usize);

/// The bounds of spec. Each is a field's own schema, or the schema of its items.
pub(in crate::revision) const SPEC: &[Bound] = &[
    (
        "/workload/properties/apiVersion",
        "maxLength",
        MAX_API_VERSION,
    ),
    ("/workload/properties/kind", "maxLength", MAX_LABEL),
    ("/workload/properties/name", "maxLength", MAX_NAME),
    ("/generation", "minimum", 1),
    ("/resourceVersion", "maxLength", MAX_WORD),
    ("/changeCause", "maxLength", MAX_TEXT),
    ("/source/properties/tool", "maxLength", MAX_WORD),
    ("/source/properties/name", "maxLength", MAX_TEXT),
    ("/via/properties/manager", "maxLength", MAX_MANAGER),
    ("/via/properties/operation", "maxLength", MAX_WORD),
    ("/via/properties/subresource", "maxLength", MAX_WORD),
    ("/contentDigest", "maxLength", MAX_DIGEST),
    ("/previous/properties/generation", "minimum", 1),
    ("/previous/properties/digest", "maxLength", MAX_DIGEST),
    ("/gap/properties/from", "minimum", 1),
    ("/gap/properties/to", "minimum", 1),
    ("/gap/properties/reason", "maxLength", MAX_WORD),
    ("/snapshot/properties/size", "minimum", 0),
    ("/snapshot/properties/data", "maxLength", MAX_DATA),
    ("/expunged/properties/by", "maxLength", MAX_USER),
    ("/expunged/properties/reason", "maxLength", MAX_TEXT),
    ("/view/properties/summary", "maxLength", MAX_SUMMARY),
    ("/view/properties/changes", "maxItems", MAX_CHANGES),
    (
        "/view/properties/changes/items/properties/path",
        "maxLength",
        MAX_PATH,
    ),
    (
        "/view/properties/changes/items/properties/from",
        "maxLength",
        MAX_VALUE,
    ),
    (
        "/view/properties/changes/items/properties/to",
        "maxLength",
        MAX_VALUE,
    ),
    ("/view/properties/images", "maxItems", MAX_IMAGES),
    ("/view/properties/images/items", "maxLength", MAX_IMAGE),
    ("/view/properties/command", "maxLength", MAX_VIEW),
    ("/view/properties/args", "maxLength", MAX_VIEW),
    ("/view/properties/env", "maxLength", MAX_VIEW),
    ("/view/properties/nodePools", "maxLength", MAX_VIEW),
    ("/view/properties/pods", "maxLength", MAX_WORD),
    ("/view/properties/requestsPerPod", "maxLength", MAX_VIEW),
    ("/view/properties/requestsTotal", "maxLength", MAX_VIEW),
    ("/view/properties/limitsPerPod", "maxLength", MAX_VIEW),
    ("/view/properties/limitsTotal", "maxLength", MAX_VIEW),
    ("/view/properties/model", "maxLength", MAX_ITEM),
    ("/view/properties/unresolved", "maxLength", MAX_VIEW),
    ("/view/properties/normalDigest", "maxLength", MAX_DIGEST),
    ("/view/properties/sameAs", "minimum", 1),
];

/// The bounds of status.
pub(in crate::revision) const STATUS: &[Bound] = &[
    ("/phase", "maxLength", MAX_WORD),
    ("/reason", "maxLength", MAX_TEXT),
    ("/message", "maxLength", MAX_MESSAGE),
    ("/outcome", "maxLength", MAX_WORD),
    ("/nodePools", "maxItems", MAX_POOLS),
    ("/nodePools/items", "maxLength", MAX_LABEL),
    ("/allocated", "maxProperties", MAX_ITEMS),
    ("/allocated/additionalProperties", "maxLength", MAX_QUANTITY),
    ("/images", "maxItems", MAX_IMAGES),
    ("/images/items", "maxLength", MAX_IMAGE),
    ("/podKeys", "maxItems", MAX_KEYS),
    ("/podKeys/items", "maxLength", MAX_LABEL),
    ("/conditions", "maxItems", MAX_CONDITIONS),
    ("/conditions/items/properties/type", "maxLength", MAX_WORD),
    ("/conditions/items/properties/status", "maxLength", MAX_WORD),
    ("/conditions/items/properties/reason", "maxLength", MAX_TEXT),
    (
        "/conditions/items/properties/message",
        "maxLength",
        MAX_MESSAGE,
    ),
    ("/observedThrough/properties/generation", "minimum", 0),
    (
        "/observedThrough/properties/resourceVersion",
        "maxLength",
        MAX_WORD,
    ),
];

/// Puts the bounds into the schema of a Revision.
pub(super) fn bound(root: &mut Value) {
    for (part, bounds) in [("spec", SPEC), ("status", STATUS)] {
        for (pointer, keyword, value) in bounds {
            let pointer = format!("/properties/{part}/properties{pointer}");
            if let Some(field) = root.pointer_mut(&pointer) {
                field[*keyword] = json!(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::schema::crd;

    fn root() -> Value {
        crd().expect("crd")["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    /// The keyword without which a schema is unbounded.
    fn keyword(schema: &Value) -> Option<&'static str> {
        let is_bounded = schema.get("enum").is_some() || schema.get("format").is_some();
        match schema["type"].as_str() {
            Some("string") if !is_bounded => Some("maxLength"),
            Some("array") => Some("maxItems"),
            Some("object") if schema.get("additionalProperties").is_some() => Some("maxProperties"),
            _ => None,
        }
    }

    fn unbounded(path: &str, schema: &Value, found: &mut Vec<String>) {
        if keyword(schema).is_some_and(|keyword| schema.get(keyword).is_none()) {
            found.push(path.to_owned());
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            unbounded(&format!("{path}.{name}"), field, found);
        }
        for part in ["items", "additionalProperties"] {
            if let Some(below) = schema.get(part) {
                unbounded(&format!("{path}[]"), below, found);
            }
        }
    }

    #[test]
    fn every_text_list_and_map_is_bounded() {
        let root = root();
        let mut found = Vec::new();
        for part in ["spec", "status"] {
            unbounded(part, &root["properties"][part], &mut found);
        }
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn every_bound_is_of_a_field() {
        let root = root();
        for (part, bounds) in [("spec", SPEC), ("status", STATUS)] {
            for (pointer, keyword, value) in bounds {
                let pointer = format!("/properties/{part}/properties{pointer}/{keyword}");
                assert_eq!(root.pointer(&pointer), Some(&json!(value)), "{pointer}");
            }
        }
    }
}
