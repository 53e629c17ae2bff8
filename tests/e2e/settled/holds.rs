//! Holds as people see them: on the admin port, and as Events.

use super::history::History;
use super::stage::{UNHELD, events, until};
use crate::support::{Revisor, get};
use serde_json::Value;

/// The holds that a replica shows.
fn holds(revisor: &Revisor) -> Vec<Value> {
    let (code, body) = get(revisor.admin, "/status").expect("an answer");
    assert_eq!(code, 200, "{body}");
    let status: Value = serde_json::from_str(&body).expect("JSON");
    status["holds"].as_array().expect("holds").clone()
}

/// Whether a replica shows a hold of a namespace, or of one workload in it.
pub fn is_shown(revisor: &Revisor, history: &History, workload: &str) -> bool {
    let of_it = |hold: &Value| {
        hold["namespace"] == history.namespace.as_str() || hold["workload"] == workload
    };
    holds(revisor).iter().any(of_it)
}

/// `/status` shows a hold of the namespace, a probe counts holds, and an Event tells of it.
pub async fn assert_shown(revisor: &Revisor, history: &History) {
    let namespace = history.namespace.as_str();
    let is_complete = |hold: &Value| {
        hold["namespace"] == namespace && hold["reason"].is_string() && hold["since"].is_string()
    };
    let shown = async || holds(revisor).iter().any(is_complete);
    until(UNHELD, "the hold is shown", shown).await;
    let (code, body) = get(revisor.admin, "/readyz?verbose").expect("an answer");
    assert_eq!(code, 200, "a hold makes no replica unready: {body}");
    assert!(body.contains("holds: "), "{body}");
    assert!(
        !body.contains(namespace),
        "every caller may ask, so no namespace is named: {body}"
    );
    let told = async || {
        !events(&history.client, namespace, "RecordingHeld")
            .await
            .is_empty()
    };
    until(UNHELD, "an Event RecordingHeld", told).await;
}
