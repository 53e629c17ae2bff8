//! What is kept of a workload as it is now: enough for the programs of its kind file, and no more. Pure.

use crate::content;
use crate::json::{Document, Value};
use crate::kinds::Kind;
use std::sync::Arc;

/// Parts of a spec that are longer than this say nothing about a phase.
const MAX_PART: usize = 256;
/// A status that is longer is not looked at.
const MAX_STATUS: usize = 64 << 10;
/// Copies of a whole manifest, and annotations like it, are left out.
const MAX_ANNOTATION: usize = 256;

/// A workload as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Live {
    /// metadata.generation.
    pub(super) generation: i64,
    /// Which generation its status speaks of, where it says that and can be trusted.
    pub(super) observed: Option<i64>,
    /// How many replicas it asks for now.
    pub(super) replicas: Option<i64>,
    /// Whether its deletion was asked for.
    pub(super) deleting: bool,
    /// What programs see.
    pub(super) text: Arc<str>,
    /// Why its status cannot be read, when it cannot.
    pub(super) odd: Option<&'static str>,
}

impl Live {
    /// Reads a whole object; none when it is not JSON.
    pub(super) fn read(kind: &Kind, raw: &str) -> Option<Self> {
        let document = Document::parse(raw).ok()?;
        let object = document.root();
        let metadata = object.get("metadata")?;
        let observed = kind
            .observed_generation
            .as_ref()
            .and_then(|path| number(path.find(object)?));
        let replicas = kind
            .replicas
            .iter()
            .filter_map(|path| number(path.find(object)?))
            .reduce(i64::saturating_add);
        let odd = odd(object.get("status"));
        Some(Self {
            generation: metadata.get("generation").and_then(number)?,
            observed,
            replicas,
            deleting: metadata.get("deletionTimestamp").is_some(),
            text: text(metadata, object, odd.is_some()).into(),
            odd,
        })
    }

    /// Whether what the status says is of this generation of the workload; unsaid counts as yes.
    pub(super) fn is_current(&self) -> bool {
        self.observed
            .is_none_or(|observed| observed >= self.generation)
    }
}

/// A number, also one in a text: Argo Rollouts writes its observedGeneration as one.
fn number(value: Value<'_>) -> Option<i64> {
    value
        .as_number()
        .or(value.as_str())
        .and_then(|text| text.parse().ok())
}

fn text(metadata: Value<'_>, object: Value<'_>, without_status: bool) -> String {
    let names = ["name", "namespace", "generation"]
        .iter()
        .filter_map(|name| Some((*name, metadata.get(name)?.canonical())));
    let annotations = short_fields(metadata.get("annotations"), MAX_ANNOTATION);
    let spec = short_fields(object.get("spec"), MAX_PART);
    let mut text = String::from("{\"metadata\":{");
    append(&mut text, names);
    text.push_str(",\"annotations\":{");
    append(&mut text, annotations);
    text.push_str("}},\"spec\":{");
    append(&mut text, spec);
    text.push('}');
    for field in fields_without_spec(object) {
        text.push(',');
        append(&mut text, std::iter::once(field));
    }
    if let Some(status) = object.get("status").filter(|_| !without_status) {
        text.push_str(",\"status\":");
        text.push_str(&status.canonical());
    }
    text.push('}');
    text
}

/// The content of an object that has no spec, without its long parts.
fn fields_without_spec(object: Value<'_>) -> impl Iterator<Item = (&str, String)> {
    content::fields(object)
        .into_iter()
        .filter(|(name, _)| *name != "spec")
        .map(|(name, value)| (name, value.canonical()))
        .filter(|(_, value)| value.len() <= MAX_PART)
}

/// The fields of an object whose canonical JSON has at most `max` bytes.
fn short_fields(object: Option<Value<'_>>, max: usize) -> impl Iterator<Item = (&str, String)> {
    object
        .into_iter()
        .flat_map(Value::entries)
        .map(|(key, value)| (key, value.canonical()))
        .filter(move |(_, value)| value.len() <= max)
}

fn append<'a>(text: &mut String, fields: impl Iterator<Item = (&'a str, String)>) {
    for (i, (key, value)) in fields.enumerate() {
        if i > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(key).to_string());
        text.push(':');
        text.push_str(&value);
    }
}

/// What is wrong with a status, in the field's own words.
fn odd(status: Option<Value<'_>>) -> Option<&'static str> {
    let status = status.filter(|status| !status.is_null())?;
    if !status.is_object() {
        return Some("status is not an object");
    }
    let conditions = status
        .get("conditions")
        .filter(|conditions| !conditions.is_null());
    if let Some(conditions) = conditions {
        if !conditions.is_array() {
            return Some("status.conditions is not a list");
        }
        if !conditions.items().all(is_condition) {
            return Some("an item of status.conditions has no type or status");
        }
    }
    (status.canonical().len() > MAX_STATUS).then_some("status is larger than 64 KiB")
}

fn is_condition(value: Value<'_>) -> bool {
    ["type", "status"]
        .iter()
        .all(|field| value.get(field).and_then(Value::as_str).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Catalogue;
    use serde_json::json;

    fn read(kind: &str, object: &serde_json::Value) -> Live {
        let catalogue = Catalogue::built_in();
        let kind = catalogue
            .kinds()
            .iter()
            .find(|k| k.kind == kind)
            .expect("built in");
        Live::read(kind, &object.to_string()).expect("an object")
    }

    #[test]
    fn what_programs_need_is_kept() {
        let object = json!({
            "metadata": {"name": "n", "namespace": "ns", "generation": 3, "managedFields": [1], "annotations": {"a": "b", "last": "x".repeat(300)}},
            "spec": {"replicas": 2, "paused": true, "template": {"spec": "x".repeat(300)}},
            "status": {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}]},
        });
        let live = read("Deployment", &object);
        let kept: serde_json::Value = serde_json::from_str(&live.text).expect("JSON");
        let expected = json!({
            "metadata": {"name": "n", "namespace": "ns", "generation": 3, "annotations": {"a": "b"}},
            "spec": {"replicas": 2, "paused": true}, "status": object["status"],
        });
        assert_eq!(kept, expected);
        assert_eq!(
            (live.generation, live.observed, live.replicas, live.deleting),
            (3, Some(2), Some(2), false)
        );
        assert!(!live.is_current());
    }

    #[test]
    fn without_a_spec_the_other_fields_are_kept() {
        let object = json!({"metadata": {"name": "n", "generation": 3}, "data": {"a": 1}, "long": "x".repeat(300)});
        let kept: serde_json::Value =
            serde_json::from_str(&read("Deployment", &object).text).expect("JSON");
        let expected = json!({
            "metadata": {"name": "n", "generation": 3, "annotations": {}},
            "spec": {}, "data": {"a": 1},
        });
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_generation_in_a_text_is_read_and_none_is_current() {
        let rollout = json!({"metadata": {"generation": 3}, "status": {"observedGeneration": "3"}});
        assert!(read("Rollout", &rollout).is_current());
        assert!(read("Deployment", &json!({"metadata": {"generation": 3}})).is_current());
    }

    #[test]
    fn a_hostile_status_is_named_and_left_out() {
        for (status, expected) in [
            (json!("text"), "status is not an object"),
            (json!([1]), "status is not an object"),
            (
                json!({"conditions": {"type": "Ready"}}),
                "status.conditions is not a list",
            ),
            (
                json!({"conditions": "Ready"}),
                "status.conditions is not a list",
            ),
            (
                json!({"conditions": [1]}),
                "an item of status.conditions has no type or status",
            ),
            (
                json!({"conditions": [{"type": 1, "status": "True"}]}),
                "an item of status.conditions has no type or status",
            ),
            (
                json!({"message": "x".repeat(MAX_STATUS)}),
                "status is larger than 64 KiB",
            ),
        ] {
            let live = read(
                "Deployment",
                &json!({"metadata": {"generation": 1}, "status": status}),
            );
            assert_eq!(live.odd, Some(expected));
            assert!(!live.text.contains("\"status\""));
        }
        for status in [json!(null), json!({}), json!({"conditions": null})] {
            assert_eq!(
                read(
                    "Deployment",
                    &json!({"metadata": {"generation": 1}, "status": status})
                )
                .odd,
                None
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_json_is_read_or_none(text in ".{0,80}", status in "[\\[\\]{}\",:a-z0-9]{0,40}") {
            let catalogue = Catalogue::built_in();
            for kind in catalogue.kinds() {
                let _ = Live::read(kind, &text);
                let _ = Live::read(kind, &format!("{{\"metadata\":{{\"generation\":1}},\"status\":{status}}}"));
            }
        }
    }
}
