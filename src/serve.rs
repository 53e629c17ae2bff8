//! The HTTP side: the read API from the cache, and the admin port (probes and metrics).
//!
//! In: what the cache may be asked ([`Read`]), readiness and metrics. Out: two routers. The read API knows nothing of
//! the API server.

pub mod admin;
mod error;
mod revisions;

use crate::cache::Read;
use axum::Router;
use axum::routing::get;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The router of the read API. `ready` says whether the cache is filled.
pub fn router(cache: Arc<dyn Read>, ready: admin::Readiness) -> Router {
    Router::new()
        .route("/api/v1/workloads/inferences/{workload_id}/revisions", get(revisions::list))
        .fallback(error::unknown_path)
        .method_not_allowed_fallback(error::wrong_method)
        .with_state(revisions::Reader { cache, ready })
}

/// Serves `router` until `stop`, then finishes what is under way.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}
