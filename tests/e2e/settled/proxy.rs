//! An API server that is busy for the checkpoint, or late with pods and nodes: a proxy passes everything else on.

use super::https::{AnyError, Handler, Reply, Server, answer};
use super::stage::plain_client;
use crate::support::World;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A running proxy, and the kubeconfig of its callers.
pub struct Proxy {
    busy: Arc<AtomicBool>,
    late: Arc<AtomicU64>,
    kubeconfig: PathBuf,
    /// Passes requests on until it is dropped.
    _server: Server,
}

impl Proxy {
    /// Passes the requests of every caller on with the rights of `kubeconfig`.
    pub async fn start(world: &World, kubeconfig: &Path) -> Self {
        let busy = Arc::new(AtomicBool::new(false));
        let late = Arc::new(AtomicU64::new(0));
        let forwarder = Forwarder {
            upstream: plain_client(kubeconfig).await,
            busy: busy.clone(),
            late: late.clone(),
        };
        let server = Server::start(forwarder).await;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": server.url(), "certificate-authority-data": server.authority()}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        let path = world.cluster.directory().join("proxy.kubeconfig");
        std::fs::write(&path, config.to_string()).expect("written");
        Self {
            busy,
            late,
            kubeconfig: path,
            _server: server,
        }
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// From now on reads of the checkpoint are answered with 429, or are not.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    /// From now on lists of pods and nodes are answered so many seconds later.
    pub fn set_late(&self, seconds: u64) {
        self.late.store(seconds, Ordering::Relaxed);
    }
}

struct Forwarder {
    upstream: Client,
    busy: Arc<AtomicBool>,
    late: Arc<AtomicU64>,
}

impl Forwarder {
    fn is_busy_for(&self, request: &Request<Incoming>) -> bool {
        let is_checkpoint = request.uri().path().ends_with("/revisor-checkpoint");
        is_checkpoint && request.method() == Method::GET && self.busy.load(Ordering::Relaxed)
    }

    /// How much later a request is to be answered.
    fn delay_of(&self, request: &Request<Incoming>) -> Duration {
        let is_list = ["/api/v1/pods", "/api/v1/nodes"].contains(&request.uri().path())
            && !request.uri().query().unwrap_or_default().contains("watch=");
        let late = self.late.load(Ordering::Relaxed);
        Duration::from_secs(if is_list { late } else { 0 })
    }

    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Reply>, AnyError> {
        let (mut parts, body) = request.into_parts();
        parts.headers.remove(CONNECTION);
        parts.headers.remove(HOST);
        parts.headers.remove(TRANSFER_ENCODING);
        let body = body.collect().await?.to_bytes().to_vec();
        let request = Request::from_parts(parts, Body::from(body));
        let mut response = self.upstream.send(request).await?;
        // How the body is framed is a matter of each connection.
        response.headers_mut().remove(TRANSFER_ENCODING);
        response.headers_mut().remove(CONNECTION);
        Ok(response.map(|body| body.map_err(AnyError::from).boxed_unsync()))
    }
}

impl Handler for Forwarder {
    async fn handle(&self, request: Request<Incoming>) -> Response<Reply> {
        if self.is_busy_for(&request) {
            let status = json!({
                "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 429,
                "reason": "TooManyRequests", "message": "too many requests, try again later",
            });
            return answer(429, &status);
        }
        tokio::time::sleep(self.delay_of(&request)).await;
        let forwarded = self.forward(request).await;
        forwarded.unwrap_or_else(|error| answer(502, &json!({"message": error.to_string()})))
    }
}
