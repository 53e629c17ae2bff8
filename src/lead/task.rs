//! Takes, renews and gives up the Lease.

use super::LEASE;
use super::election::{DEADLINE, DURATION, PERIOD, Seen, held};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long giving it up may take.
const RELEASE: Duration = Duration::from_secs(2);

/// Stands for election as long as it runs.
pub struct Elector {
    api: Api<Lease>,
    identity: String,
    seen: Option<Seen>,
    version: Option<String>,
    leads: watch::Sender<bool>,
}

impl Elector {
    /// Stands as `identity`, which should be the same after a restart: then the Lease is taken back at once. The
    /// returned side tells whether this process leads.
    pub fn new(client: Client, namespace: &str, identity: &str) -> (Self, watch::Receiver<bool>) {
        let (leads, told) = watch::channel(false);
        let api = Api::namespaced(client, namespace);
        (
            Self {
                api,
                identity: identity.to_owned(),
                seen: None,
                version: None,
                leads,
            },
            told,
        )
    }

    /// Runs until it is told to stop; then gives the Lease up.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.stand() => {}
        }
        self.release().await;
    }

    async fn stand(&mut self) {
        let mut renewed: Option<Instant> = None;
        loop {
            let started = Instant::now();
            // A call of a leader must not outlive its leadership.
            let left = renewed.map_or(DEADLINE, |at| DEADLINE.saturating_sub(at.elapsed()));
            match timeout(left, self.attempt()).await {
                Ok(Ok(leads)) => renewed = leads.then_some(started),
                Ok(Err(error)) => {
                    tracing::warn!(%error, lease = LEASE, "the lease cannot be read or renewed");
                }
                Err(_) => tracing::warn!(lease = LEASE, "the API server did not answer in time"),
            }
            renewed = renewed.filter(|at| at.elapsed() < DEADLINE);
            self.tell(renewed.is_some());
            // Replicas that wait should not all ask at the same moment.
            let jitter = if renewed.is_some() {
                1.0
            } else {
                1.0 + fastrand::f64() / 5.0
            };
            sleep(PERIOD.mul_f64(jitter)).await;
        }
    }

    async fn release(&mut self) {
        let led = *self.leads.borrow();
        self.tell(false);
        let Some(seen) = self.seen.take().filter(|_| led) else {
            return;
        };
        let lease = self.lease(seen.release());
        if !matches!(
            timeout(
                RELEASE,
                self.api.replace(LEASE, &PostParams::default(), &lease)
            )
            .await,
            Ok(Ok(_))
        ) {
            tracing::info!(
                "the lease was not given up; it expires in {} s",
                DURATION.as_secs()
            );
        }
    }

    fn tell(&self, leads: bool) {
        let changed = self
            .leads
            .send_if_modified(|led| std::mem::replace(led, leads) != leads);
        if changed {
            tracing::info!(identity = self.identity, leads, "leadership changed");
        }
    }

    /// Whether this process leads after it.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let Some(present) = self.api.get_opt(LEASE).await? else {
            self.version = None;
            let lease = self.lease(held(&self.identity, 0));
            let made = self.api.create(&PostParams::default(), &lease).await;
            return self.written(made);
        };
        let now = Instant::now();
        self.version.clone_from(&present.metadata.resource_version);
        let seen = Seen::update(self.seen.take(), present.spec.unwrap_or_default(), now);
        let claim = seen.claim(&self.identity, now);
        self.seen = Some(seen);
        let Some(claim) = claim else { return Ok(false) };
        let lease = self.lease(claim);
        let made = self
            .api
            .replace(LEASE, &PostParams::default(), &lease)
            .await;
        self.written(made)
    }

    /// A conflict says that somebody else was faster.
    fn written(&mut self, answer: kube::Result<Lease>) -> kube::Result<bool> {
        match answer {
            Ok(lease) => {
                self.version = lease.metadata.resource_version;
                let record = lease.spec.unwrap_or_default();
                self.seen = Some(Seen::update(self.seen.take(), record, Instant::now()));
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn lease(&self, spec: LeaseSpec) -> Lease {
        let metadata = ObjectMeta {
            name: Some(LEASE.to_owned()),
            resource_version: self.version.clone(),
            ..ObjectMeta::default()
        };
        Lease {
            metadata,
            spec: Some(spec),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Request, Response, StatusCode};
    use kube::client::Body;
    use serde_json::{Value, json};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};
    use tokio::task::JoinHandle;

    /// One Lease as the API server keeps it: with a resourceVersion that a PUT has to name.
    #[derive(Clone, Default)]
    struct Server(Arc<Mutex<Option<Value>>>);

    impl Server {
        fn answer(&self, method: &Method, body: &[u8]) -> (u16, Value) {
            let mut kept = self.0.lock().expect("no panic");
            let sent: Value = serde_json::from_slice(body).unwrap_or_default();
            let version = |lease: &Value| {
                lease["metadata"]["resourceVersion"]
                    .as_str()
                    .map(str::to_owned)
            };
            let failed = |code: u16| {
                (
                    code,
                    json!({"kind": "Status", "status": "Failure", "code": code, "reason": "x", "message": "x"}),
                )
            };
            match (method, kept.as_ref()) {
                (&Method::GET, None) => (
                    404,
                    json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "x"}),
                ),
                (&Method::GET, Some(lease)) => (200, lease.clone()),
                (&Method::POST, Some(_)) => failed(409),
                (&Method::PUT, Some(lease)) if version(lease) != version(&sent) => failed(409),
                _ => {
                    let next = kept
                        .as_ref()
                        .and_then(version)
                        .map_or(1, |v| v.parse::<u32>().expect("a number") + 1);
                    let mut lease = sent;
                    lease["metadata"]["resourceVersion"] = next.to_string().into();
                    *kept = Some(lease.clone());
                    (200, lease)
                }
            }
        }

        /// A connection that may be cut.
        fn client(&self, cut: Arc<AtomicBool>) -> Client {
            let server = self.clone();
            let service = tower::service_fn(move |request: Request<Body>| {
                let (server, cut) = (server.clone(), cut.clone());
                async move {
                    let method = request.method().clone();
                    let body = http_body_util::BodyExt::collect(request.into_body())
                        .await
                        .expect("a body")
                        .to_bytes();
                    if cut.load(Ordering::Relaxed) {
                        std::future::pending::<()>().await;
                    }
                    let (code, body) = server.answer(&method, &body);
                    let answer =
                        Response::builder().status(StatusCode::from_u16(code).expect("a code"));
                    answer
                        .body(Body::from(body.to_string().into_bytes()))
                        .map_err(tower::BoxError::from)
                }
            });
            Client::new(service, "default")
        }
    }

    struct Replica {
        leads: watch::Receiver<bool>,
        cut: Arc<AtomicBool>,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    fn start(server: &Server, identity: &str) -> Replica {
        let (cut, stop) = (Arc::<AtomicBool>::default(), CancellationToken::new());
        let (elector, leads) = Elector::new(server.client(cut.clone()), "default", identity);
        let task = tokio::spawn(elector.run(stop.clone()));
        Replica {
            leads,
            cut,
            stop,
            task,
        }
    }

    /// Lets time pass; who led in each tenth of a second, and never two at once.
    async fn pass(seconds: u64, replicas: &[&Replica]) -> Vec<Option<usize>> {
        let mut led = Vec::new();
        for _ in 0..seconds * 10 {
            sleep(Duration::from_millis(100)).await;
            let leaders: Vec<_> = (0..replicas.len())
                .filter(|i| *replicas[*i].leads.borrow())
                .collect();
            assert!(leaders.len() < 2, "two lead");
            led.push(leaders.first().copied());
        }
        led
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_cut_off_stops_leading_before_another_begins() {
        let server = Server::default();
        let first = start(&server, "a");
        assert_eq!(pass(1, &[&first]).await.last(), Some(&Some(0)));
        let second = start(&server, "b");
        assert!(
            pass(60, &[&first, &second])
                .await
                .iter()
                .all(|leader| *leader == Some(0)),
            "it renews"
        );
        first.cut.store(true, Ordering::Relaxed);
        let led = pass(30, &[&first, &second]).await;
        let ended = led
            .iter()
            .position(|leader| *leader != Some(0))
            .expect("it ends");
        let began = led
            .iter()
            .position(|leader| *leader == Some(1))
            .expect("the other begins");
        assert!(
            ended <= 120 && began > ended && began <= 200,
            "{ended} {began}"
        );
        first.cut.store(false, Ordering::Relaxed);
        assert!(
            pass(30, &[&first, &second])
                .await
                .iter()
                .all(|leader| *leader == Some(1)),
            "it does not come back"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_given_up_is_taken_at_once_and_so_is_ones_own() {
        let server = Server::default();
        let first = start(&server, "a");
        pass(1, &[&first]).await;
        let second = start(&server, "b");
        pass(5, &[&first, &second]).await;
        first.stop.cancel();
        first.task.await.expect("it ends");
        let led = pass(4, &[&second]).await;
        assert_eq!(led.last(), Some(&Some(0)));
        second.task.abort();
        let again = start(&server, "b");
        assert_eq!(
            pass(1, &[&again]).await.last(),
            Some(&Some(0)),
            "after a crash it is its own"
        );
    }
}
