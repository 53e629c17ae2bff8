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
        (Self { api, identity: identity.to_owned(), seen: None, version: None, leads }, told)
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
            let jitter = if renewed.is_some() { 1.0 } else { 1.0 + fastrand::f64() / 5.0 };
            sleep(PERIOD.mul_f64(jitter)).await;
        }
    }

    async fn release(&mut self) {
        let led = *self.leads.borrow();
        self.tell(false);
        let Some(seen) = self.seen.take().filter(|_| led) else { return };
        let lease = self.lease(seen.release());
        if !matches!(
            timeout(RELEASE, self.api.replace(LEASE, &PostParams::default(), &lease)).await,
            Ok(Ok(_))
        ) {
            tracing::info!("the lease was not given up; it expires in {} s", DURATION.as_secs());
        }
    }

    fn tell(&self, leads: bool) {
        let changed = self.leads.send_if_modified(|led| std::mem::replace(led, leads) != leads);
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
        let made = self.api.replace(LEASE, &PostParams::default(), &lease).await;
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
        Lease { metadata, spec: Some(spec) }
    }
}
