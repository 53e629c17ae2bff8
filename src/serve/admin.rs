//! The admin port: `/livez` and `/readyz` for everybody, `/metrics` and `/status` for callers with
//! the right to get them.

use super::answer::{JSON, failure};
use super::auth::{AccessRequest, Authenticator, Target};
use super::error::{ApiError, shown};
use super::listen::Handler;
use super::payload::Payload;
use super::status::{Backlog, QueueSize, ReplicaStatus};
use super::tls::Tls;
use crate::cache::count_forged;
use crate::metrics::Metrics;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
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

/// The endpoints of the admin port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Livez,
    Readyz,
    Metrics,
    Status,
}

impl Endpoint {
    /// The endpoint at a path.
    fn at(path: &str) -> Option<Self> {
        match path {
            "/livez" => Some(Self::Livez),
            "/readyz" => Some(Self::Readyz),
            "/metrics" => Some(Self::Metrics),
            "/status" => Some(Self::Status),
            _ => None,
        }
    }

    /// The nonResourceURL that a caller needs the right to get; none: the endpoint is open to all.
    fn guarded_by(self) -> Option<&'static str> {
        match self {
            Self::Livez | Self::Readyz => None,
            Self::Metrics => Some("/metrics"),
            Self::Status => Some("/status"),
        }
    }
}

/// The admin port.
pub struct Admin {
    /// Whether everything is in.
    pub ready: Readiness,
    /// The body of `/metrics`.
    pub metrics: Metrics,
    /// The queue, of which `/status` shows the holds.
    pub backlog: Arc<dyn Backlog>,
    /// The name under which this replica stands for election.
    pub identity: Option<String>,
    /// Whether this replica leads.
    pub leads: watch::Receiver<bool>,
    /// Decides which callers may see `/metrics` and `/status`; without one, every caller may.
    pub authenticator: Option<Authenticator>,
    /// The certificate of the ports; none without TLS.
    pub certificate: Option<Tls>,
}

/// The port for probes from inside the pod. It has nothing else to answer, and no other way in than the pod's own
/// loopback address, so strangers cannot keep a probe from its answer.
pub struct Health(pub Readiness);

impl Handler for Health {
    async fn handle(&self, request: Request<Incoming>) -> Response<Payload> {
        match Endpoint::at(request.uri().path()) {
            Some(Endpoint::Livez) => alive(),
            Some(Endpoint::Readyz) => readiness(&self.0.missing(), String::new()),
            _ => text(StatusCode::NOT_FOUND, TEXT, "not here".to_owned()),
        }
    }
}

impl Admin {
    async fn answer(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Response<Payload>, ApiError> {
        let path = uri.path();
        let Some(endpoint) = Endpoint::at(path) else {
            return Err(ApiError::NotFound(format!("path {:?}", shown(path))));
        };
        if method != Method::GET && method != Method::HEAD {
            return Err(ApiError::WrongMethod {
                method: shown(method.as_str()),
                allowed: "GET, HEAD",
            });
        }
        if let Some(path) = endpoint.guarded_by() {
            self.authorize(headers, path).await?;
        }
        Ok(match endpoint {
            Endpoint::Livez => alive(),
            Endpoint::Readyz => self.readyz(is_verbose(uri)),
            Endpoint::Metrics => text(StatusCode::OK, OPEN_METRICS, self.metrics.encode()),
            Endpoint::Status => self.status_answer(),
        })
    }

    /// Refuses callers that may not get `path`; without an authenticator none.
    async fn authorize(&self, headers: &HeaderMap, path: &'static str) -> Result<(), ApiError> {
        let Some(authenticator) = &self.authenticator else {
            return Ok(());
        };
        let caller = authenticator.authenticate(headers).await?;
        let request = AccessRequest {
            verb: "get",
            target: Target::Path(path),
        };
        authenticator.authorize(&caller, request).await
    }

    /// The answer to a probe. A hold makes no replica unready: restarting it would not help.
    fn readyz(&self, verbose: bool) -> Response<Payload> {
        let missing = self.ready.missing();
        let mut body = String::new();
        if verbose {
            body.push_str(&counts(missing.len(), self.backlog.holds().len()));
        }
        readiness(&missing, body)
    }

    fn status(&self) -> ReplicaStatus {
        let waiting_for = self.ready.missing();
        ReplicaStatus {
            version: env!("CARGO_PKG_VERSION"),
            identity: self.identity.clone(),
            leads: *self.leads.borrow(),
            ready: waiting_for.is_empty(),
            waiting_for,
            queue: QueueSize {
                writes: self.backlog.writes(),
                bytes: self.metrics.queue_bytes.get(),
            },
            holds: self.backlog.holds(),
            forged: count_forged(&self.metrics),
            certificate: self.certificate.as_ref().and_then(Tls::status),
        }
    }

    fn status_answer(&self) -> Response<Payload> {
        // Plain data with text keys always serializes.
        let body = serde_json::to_string(&self.status()).unwrap_or_default();
        text(StatusCode::OK, HeaderValue::from_static(JSON), body)
    }
}

impl Handler for Admin {
    async fn handle(&self, request: Request<Incoming>) -> Response<Payload> {
        let answer = self
            .answer(request.method(), request.uri(), request.headers())
            .await;
        answer.unwrap_or_else(|error| failure(&error))
    }
}

/// Answering at all is being alive; an unreachable API server is no reason for a restart.
fn alive() -> Response<Payload> {
    text(StatusCode::OK, TEXT, "ok".to_owned())
}

/// The verdict about the gates that are closed, below the lines of `body`.
fn readiness(missing: &[String], mut body: String) -> Response<Payload> {
    if missing.is_empty() {
        body.push_str("ok");
        return text(StatusCode::OK, TEXT, body);
    }
    body.push_str("not ready, waiting for: ");
    body.push_str(&missing.join(", "));
    text(StatusCode::SERVICE_UNAVAILABLE, TEXT, body)
}

/// Whether a probe asks for more than the verdict, as `?verbose` does at the API server.
fn is_verbose(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| {
        form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "verbose")
    })
}

/// The lines of `/readyz?verbose` above the verdict. Every caller may read them, so they are counts
/// without names.
fn counts(closed: usize, holds: usize) -> String {
    let gates = if closed == 0 { '+' } else { '-' };
    let more = if holds == 0 { "" } else { " (see /status)" };
    format!("[{gates}]gates: {closed} closed\n[+]holds: {holds}{more}\n")
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
    use crate::record::queue::Held;
    use chrono::DateTime;
    use serde_json::{Value, json};

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

    /// A queue of seven writes with two holds.
    struct Waiting;

    impl Backlog for Waiting {
        fn writes(&self) -> usize {
            7
        }

        fn holds(&self) -> Vec<Held> {
            vec![
                hold("EtcdFull", None),
                hold("QuotaExceeded", Some("team-a")),
            ]
        }
    }

    fn hold(reason: &'static str, namespace: Option<&str>) -> Held {
        Held {
            reason,
            namespace: namespace.map(str::to_owned),
            workload: None,
            since: DateTime::UNIX_EPOCH,
        }
    }

    fn admin() -> Admin {
        Admin {
            ready: Readiness::default(),
            metrics: Metrics::new(),
            backlog: Arc::new(Waiting),
            identity: Some("replica-0".to_owned()),
            leads: watch::channel(true).1,
            authenticator: None,
            certificate: None,
        }
    }

    async fn answer(admin: &Admin, method: Method, path: &str) -> (u16, String) {
        let uri = path.parse().expect("a path");
        let answer = admin.answer(&method, &uri, &HeaderMap::new()).await;
        let answer = answer.unwrap_or_else(|error| failure(&error));
        let body = String::from_utf8(answer.body().joined()).expect("text");
        (answer.status().as_u16(), body)
    }

    #[tokio::test]
    async fn there_is_no_other_path_and_no_other_method() {
        let admin = admin();
        for (path, expected) in [
            ("/livez", 200),
            ("/readyz", 503),
            ("/metrics", 200),
            ("/status", 200),
            ("/", 404),
            ("/livez/", 404),
            ("/status/", 404),
        ] {
            let (status, _) = answer(&admin, Method::GET, path).await;
            assert_eq!(status, expected, "{path}");
        }
        for path in ["/metrics", "/status"] {
            let (status, _) = answer(&admin, Method::POST, path).await;
            assert_eq!(status, 405, "{path}");
        }
    }

    #[test]
    fn each_path_that_tells_more_than_a_probe_is_a_right_of_its_own() {
        for (path, right) in [
            ("/livez", None),
            ("/readyz", None),
            ("/metrics", Some("/metrics")),
            ("/status", Some("/status")),
        ] {
            let endpoint = Endpoint::at(path).expect(path);
            assert_eq!(endpoint.guarded_by(), right, "{path}");
        }
    }

    #[tokio::test]
    async fn a_probe_shows_counts_when_it_asks_and_never_a_namespace() {
        let admin = admin();
        let gate = admin.ready.gate("Revisions");
        for path in ["/readyz?verbose", "/readyz?verbose=true"] {
            let (status, body) = answer(&admin, Method::GET, path).await;
            assert_eq!(status, 503);
            assert_eq!(
                body,
                "[-]gates: 1 closed\n[+]holds: 2 (see /status)\nnot ready, waiting for: Revisions"
            );
        }
        gate.send_replace(true);
        let (status, body) = answer(&admin, Method::GET, "/readyz?verbose").await;
        assert_eq!(status, 200, "a hold makes no replica unready");
        assert_eq!(body, "[+]gates: 0 closed\n[+]holds: 2 (see /status)\nok");
        for path in ["/readyz", "/readyz?verbosely"] {
            let (_, body) = answer(&admin, Method::GET, path).await;
            assert_eq!(body, "ok", "{path}");
        }
        assert_eq!(counts(0, 0), "[+]gates: 0 closed\n[+]holds: 0\n");
    }

    #[tokio::test]
    async fn the_status_names_every_hold_and_every_closed_gate() {
        let admin = admin();
        let _gate = admin.ready.gate("Revisions");
        admin.metrics.queue_bytes.set(2048);
        let (_, body) = answer(&admin, Method::GET, "/status").await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            body,
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "identity": "replica-0",
                "leads": true,
                "ready": false,
                "waitingFor": ["Revisions"],
                "forged": 0,
                "queue": {"writes": 7, "bytes": 2048},
                "holds": [
                    {"reason": "EtcdFull", "since": "1970-01-01T00:00:00Z"},
                    {
                        "reason": "QuotaExceeded",
                        "namespace": "team-a",
                        "since": "1970-01-01T00:00:00Z",
                    },
                ],
            })
        );
    }
}
