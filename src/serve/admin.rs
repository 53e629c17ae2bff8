//! The admin port: `/livez` and `/readyz` for everybody, `/metrics` for those who may.

use super::answer::failure;
use super::auth::{AccessRequest, Authenticator, Target};
use super::error::{ApiError, shown};
use super::listen::Handler;
use super::payload::Payload;
use crate::metrics::Metrics;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What has to be in first, and whether it is.
type Needed = (String, watch::Receiver<bool>);

/// Ready means: the first lists are in. Neither lag nor an outage of the API server makes a replica unready later.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    gates: Arc<Mutex<Vec<Needed>>>,
    /// Set once all were seen open: gates do not close, and every request asks.
    open: Arc<AtomicBool>,
}

impl Readiness {
    /// A gate that has to open first; `name` is what an unready answer shows.
    pub fn gate(&self, name: impl Into<String>) -> watch::Sender<bool> {
        let (sender, receiver) = watch::channel(false);
        let mut gates = self.gates.lock();
        gates.push((name.into(), receiver));
        self.open.store(false, Ordering::Release);
        drop(gates);
        sender
    }

    /// Everything has to come in again; gates from before do not count.
    pub fn reset(&self) {
        let mut gates = self.gates.lock();
        gates.clear();
        self.open.store(false, Ordering::Release);
    }

    /// What is still missing. Without a gate nothing has begun yet.
    pub fn missing(&self) -> Vec<String> {
        let gates = self.gates.lock();
        if gates.is_empty() {
            return vec!["start".to_owned()];
        }
        gates
            .iter()
            .filter(|(_, open)| !*open.borrow())
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        if self.open.load(Ordering::Acquire) {
            return true;
        }
        let gates = self.gates.lock();
        let open = !gates.is_empty() && gates.iter().all(|(_, open)| *open.borrow());
        // Under the lock, so that a reset is not overtaken.
        self.open.store(open, Ordering::Release);
        open
    }
}

/// The admin port.
pub struct Admin {
    /// Whether everything is in.
    pub ready: Readiness,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Decides which callers may see them; without one, every caller may.
    pub authenticator: Option<Authenticator>,
}

impl Admin {
    async fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Response<Payload>, ApiError> {
        if !matches!(path, "/livez" | "/readyz" | "/metrics") {
            return Err(ApiError::NotFound(format!("path {:?}", shown(path))));
        }
        if method != Method::GET && method != Method::HEAD {
            return Err(ApiError::WrongMethod {
                method: shown(method.as_str()),
                allowed: "GET, HEAD",
            });
        }
        match path {
            // Answering at all is being alive; an unreachable API server is no reason to be restarted.
            "/livez" => Ok(text(StatusCode::OK, TEXT, "ok".to_owned())),
            "/readyz" => Ok(readyz(&self.ready.missing())),
            _ => {
                if let Some(authenticator) = &self.authenticator {
                    let caller = authenticator.authenticate(headers).await?;
                    let request = AccessRequest {
                        verb: "get",
                        target: Target::Path("/metrics"),
                    };
                    authenticator.authorize(&caller, request).await?;
                }
                Ok(text(StatusCode::OK, OPEN_METRICS, self.metrics.encode()))
            }
        }
    }
}

impl Handler for Admin {
    async fn handle(&self, request: Request<Incoming>) -> Response<Payload> {
        let answer = self
            .answer(request.method(), request.uri().path(), request.headers())
            .await;
        answer.unwrap_or_else(|error| failure(&error))
    }
}

fn readyz(missing: &[String]) -> Response<Payload> {
    if missing.is_empty() {
        text(StatusCode::OK, TEXT, "ok".to_owned())
    } else {
        let why = format!("not ready, waiting for: {}", missing.join(", "));
        text(StatusCode::SERVICE_UNAVAILABLE, TEXT, why)
    }
}

fn text(status: StatusCode, media: HeaderValue, body: String) -> Response<Payload> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_every_gate_is_open_and_that_there_is_one() {
        let ready = Readiness::default();
        assert!(!ready.is_ready());
        assert_eq!(ready.missing(), ["start"], "asked before anything began");
        let first = ready.gate("a");
        let second = ready.gate("b");
        first.send_replace(true);
        assert_eq!(ready.missing(), ["b"]);
        assert!(!ready.is_ready());
        second.send_replace(true);
        assert!(ready.is_ready() && ready.missing().is_empty());
        ready.reset();
        assert!(!ready.is_ready(), "everything has to come in again");
    }

    #[tokio::test]
    async fn there_is_no_other_path_and_no_other_method() {
        let admin = Admin {
            ready: Readiness::default(),
            metrics: Metrics::new(),
            authenticator: None,
        };
        let status = async |method: Method, path: &str| {
            let answer = admin.answer(&method, path, &HeaderMap::new()).await;
            answer
                .map_or_else(|error| error.status(), |answer| answer.status())
                .as_u16()
        };
        for (path, expected) in [
            ("/livez", 200),
            ("/readyz", 503),
            ("/metrics", 200),
            ("/", 404),
            ("/livez/", 404),
        ] {
            assert_eq!(status(Method::GET, path).await, expected, "{path}");
        }
        assert_eq!(status(Method::POST, "/metrics").await, 405);
    }
}
