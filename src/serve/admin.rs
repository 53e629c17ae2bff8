//! The admin port: `/livez`, `/readyz`, `/metrics`.

use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What has to be in first, and whether it is.
type Gate = (String, watch::Receiver<bool>);

/// Ready means: the first lists are in. Neither lag nor an outage of the API server makes a replica unready later.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    gates: Arc<Mutex<Vec<Gate>>>,
}

impl Readiness {
    /// A gate that has to open first; `name` is what an unready answer shows.
    pub fn gate(&self, name: impl Into<String>) -> watch::Sender<bool> {
        let (sender, receiver) = watch::channel(false);
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).push((name.into(), receiver));
        sender
    }

    /// Everything has to come in again; gates from before do not count.
    pub fn reset(&self) {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What is still missing. Without a gate nothing has begun yet.
    pub fn missing(&self) -> Vec<String> {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.is_empty() {
            return vec!["start".to_owned()];
        }
        gates.iter().filter(|(_, open)| !*open.borrow()).map(|(name, _)| name.clone()).collect()
    }

    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.missing().is_empty()
    }
}

#[derive(Clone)]
struct Admin {
    ready: Readiness,
    metrics: Metrics,
}

/// The router of the admin port.
pub fn router(ready: Readiness, metrics: Metrics) -> Router {
    Router::new()
        // Answering at all is being alive; an unreachable API server is no reason to be restarted.
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(Admin { ready, metrics })
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    let missing = admin.ready.missing();
    if missing.is_empty() {
        (StatusCode::OK, "ok".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready, waiting for: {}", missing.join(", ")))
    }
}

async fn metrics_text(State(admin): State<Admin>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
        admin.metrics.encode(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_every_gate_is_open_and_that_there_is_one() {
        let ready = Readiness::default();
        assert_eq!(ready.missing(), ["start"], "asked before anything began");
        let (first, second) = (ready.gate("a"), ready.gate("b"));
        first.send_replace(true);
        assert_eq!(ready.missing(), ["b"]);
        second.send_replace(true);
        assert!(ready.is_ready());
        ready.reset();
        assert!(!ready.is_ready(), "everything has to come in again");
    }
}
