//! Everything of an answer that has to be equal.

use super::step::Memory;
use http::StatusCode;
use serde_json::Value;

/// The parts of an answer that are compared.
#[derive(Debug, PartialEq, Eq)]
pub struct Look {
    code: u16,
    /// Of a failure.
    reason: String,
    kind: String,
    /// The object, or those of a list in their order.
    objects: Vec<ObjectLook>,
    /// Whether a list goes on.
    has_more: bool,
}

/// The parts of an object that are compared.
#[derive(Debug, PartialEq, Eq)]
struct ObjectLook {
    name: String,
    generation: Option<i64>,
    /// Whether its resourceVersion is another one than before.
    has_moved: bool,
    is_being_deleted: bool,
    finalizers: usize,
    annotations: Value,
    has_status: bool,
}

impl Look {
    pub fn at((code, body): &(StatusCode, Value), memory: &Memory) -> Self {
        let is_list = body["items"].is_array() || body["items"].is_null() && is_list_kind(body);
        let is_failure = body["kind"] == "Status";
        let objects = if is_list {
            let items = body["items"].as_array().into_iter().flatten();
            items.map(|object| ObjectLook::at(object, memory)).collect()
        } else if is_failure {
            Vec::new()
        } else {
            vec![ObjectLook::at(body, memory)]
        };
        let token = body["metadata"]["continue"].as_str().unwrap_or_default();
        Self {
            code: code.as_u16(),
            reason: text(&body["reason"]),
            kind: text(&body["kind"]),
            objects,
            has_more: !token.is_empty(),
        }
    }
}

fn is_list_kind(body: &Value) -> bool {
    body["kind"]
        .as_str()
        .is_some_and(|kind| kind.ends_with("List"))
}

impl ObjectLook {
    fn at(object: &Value, memory: &Memory) -> Self {
        let metadata = &object["metadata"];
        Self {
            name: text(&metadata["name"]),
            generation: metadata["generation"].as_i64(),
            has_moved: memory.version(object) != metadata["resourceVersion"].as_str(),
            is_being_deleted: metadata.get("deletionTimestamp").is_some(),
            finalizers: metadata["finalizers"].as_array().map_or(0, Vec::len),
            annotations: metadata["annotations"].clone(),
            has_status: object["status"]["observed"].is_number(),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
