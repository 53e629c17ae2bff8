//! Takes, renews and gives up the Lease.

use super::LEASE;
use super::election::{DEADLINE, DURATION, ObservedLease, PERIOD, held};
use crate::clock;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The deadline of giving the Lease up.
const RELEASE: Duration = Duration::from_secs(2);

/// Stands for election for as long as it runs.
pub struct Elector {
    api: Api<Lease>,
    identity: String,
    observed: Option<ObservedLease>,
    version: Option<String>,
    leads: watch::Sender<bool>,
    led: watch::Sender<bool>,
}

impl Elector {
    /// Stands as `identity`, which should be the same after a restart: then the Lease is taken back at once. The
    /// returned side tells whether this process leads.
    pub fn new(client: Client, namespace: &str, identity: &str) -> (Self, watch::Receiver<bool>) {
        let (leads, told) = watch::channel(false);
        let elector = Self {
            api: Api::namespaced(client, namespace),
            identity: identity.to_owned(),
            observed: None,
            version: None,
            leads,
            led: watch::Sender::new(false),
        };
        (elector, told)
    }

    /// Tells whether another process is seen to lead.
    pub fn led(&self) -> watch::Receiver<bool> {
        self.led.subscribe()
    }

    /// Runs until `stop`; then gives the Lease up.
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
            self.tell_led();
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
        let Some(observed) = self.observed.take().filter(|_| led) else {
            return;
        };
        let lease = self.lease(observed.release(clock::timestamp()));
        let params = PostParams::default();
        let answer = timeout(RELEASE, self.api.replace(LEASE, &params, &lease)).await;
        if !matches!(answer, Ok(Ok(_))) {
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

    fn tell_led(&self) {
        let observed = self.observed.as_ref();
        let led = observed.is_some_and(|lease| lease.is_led(&self.identity, Instant::now()));
        self.led
            .send_if_modified(|before| std::mem::replace(before, led) != led);
    }

    /// Whether this process leads after it.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let Some(present) = self.api.get_opt(LEASE).await? else {
            self.version = None;
            let lease = self.lease(held(&self.identity, 0, clock::timestamp()));
            let created = self.api.create(&PostParams::default(), &lease).await;
            return self.written(created);
        };
        let now = Instant::now();
        self.version.clone_from(&present.metadata.resource_version);
        let record = present.spec.unwrap_or_default();
        let observed = ObservedLease::update(self.observed.take(), record, now);
        let claim = observed.claim(&self.identity, now, clock::timestamp());
        self.observed = Some(observed);
        let Some(claim) = claim else { return Ok(false) };
        let lease = self.lease(claim);
        let replaced = self
            .api
            .replace(LEASE, &PostParams::default(), &lease)
            .await;
        self.written(replaced)
    }

    /// Whether this process leads after the answer to a write. A conflict means that another process was faster.
    fn written(&mut self, answer: kube::Result<Lease>) -> kube::Result<bool> {
        match answer {
            Ok(lease) => {
                self.version = lease.metadata.resource_version;
                let record = lease.spec.unwrap_or_default();
                let observed = self.observed.take();
                self.observed = Some(ObservedLease::update(observed, record, Instant::now()));
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
    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::task::JoinHandle;

    /// One Lease as the API server keeps it: with a resourceVersion that a PUT has to name.
    #[derive(Clone, Default)]
    struct Server(Arc<Mutex<Option<Value>>>);

    fn version(lease: &Value) -> Option<&str> {
        lease["metadata"]["resourceVersion"].as_str()
    }

    fn failed(code: u16, reason: &str) -> (u16, Value) {
        let status = json!({
            "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "x",
        });
        (code, status)
    }

    impl Server {
        fn answer(&self, method: &Method, body: &[u8]) -> (u16, Value) {
            let mut kept = self.0.lock();
            let sent: Value = serde_json::from_slice(body).unwrap_or_default();
            match (method, kept.as_ref()) {
                (&Method::GET, None) => failed(404, "NotFound"),
                (&Method::GET, Some(lease)) => (200, lease.clone()),
                (&Method::POST, Some(_)) => failed(409, "x"),
                (&Method::PUT, Some(lease)) if version(lease) != version(&sent) => failed(409, "x"),
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
                let server = server.clone();
                let cut = cut.clone();
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
        let cut = Arc::<AtomicBool>::default();
        let stop = CancellationToken::new();
        let (elector, leads) = Elector::new(server.client(cut.clone()), "default", identity);
        let task = tokio::spawn(elector.run(stop.clone()));
        Replica {
            leads,
            cut,
            stop,
            task,
        }
    }

    /// Lets time pass. Returns the leader in each tenth of a second; two at once fail the test.
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
