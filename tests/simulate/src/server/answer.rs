//! Answers, and the JSON of which they are made.

use super::read::Opened;
use crate::etcd::{Entry, Key, Object};
use http::StatusCode;
use serde_json::{Value, json};

/// An answer to a request.
#[derive(Debug)]
pub enum Answer {
    Whole {
        code: StatusCode,
        body: String,
        /// Seconds.
        retry_after: Option<u32>,
    },
    /// The answer goes on for as long as the watch lasts.
    Watch(Opened),
}

impl Answer {
    pub fn text(code: u16, body: String) -> Self {
        Self::Whole {
            code: StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body,
            retry_after: None,
        }
    }

    /// One object, whole or its metadata only.
    pub fn object(code: u16, entry: &Entry, metadata_only: bool) -> Self {
        Self::text(code, shown(&entry.object, metadata_only))
    }

    pub fn code(&self) -> u16 {
        match self {
            Self::Whole { code, .. } => code.as_u16(),
            Self::Watch(_) => 200,
        }
    }
}

/// The JSON of an object, whole or its metadata only.
pub fn shown(object: &Object, metadata_only: bool) -> String {
    if metadata_only {
        partial(&object.value)
    } else {
        object.text().to_owned()
    }
}

fn partial(object: &Value) -> String {
    let partial = json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
    });
    partial.to_string()
}

/// A line of a watch.
pub fn event(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

/// A failure.
pub fn status(code: u16, reason: &str, message: &str) -> Answer {
    Answer::text(code, status_text(code, reason, message, &json!({})))
}

/// The JSON of a failure.
pub fn status_text(code: u16, reason: &str, message: &str, details: &Value) -> String {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": details, "code": code,
    });
    status.to_string()
}

/// A failure that is about one object.
pub fn about(code: u16, reason: &str, key: &Key, message: &str) -> Answer {
    let details = json!({"name": key.name, "group": key.kind.group, "kind": key.kind.plural});
    let of = if key.kind.group.is_empty() {
        key.kind.plural.to_owned()
    } else {
        format!("{}.{}", key.kind.plural, key.kind.group)
    };
    let message = format!("{of} \"{}\" {message}", key.name);
    Answer::text(code, status_text(code, reason, &message, &details))
}

/// History that is gone.
pub fn expired(message: &str) -> Answer {
    status(410, "Expired", message)
}
