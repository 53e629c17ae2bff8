//! The only place that creates Revisions: POST, never anything that could overwrite one.

use super::fault::{Fault, classify};
use super::queue::{Cause, Place, Proof, Queue, Queued, Scope, StatusPatch, Write};
use super::report::{Reporter, reference};
use crate::client::backoff::{Waits, backoff};
use crate::metrics::{Metrics, ReasonLabels, kind, kind_reason};
use crate::revision::{FIELD_MANAGER, GROUP, PLURAL, Revision, VERSION};
use crate::text::prefix;
use http::{Request, Response, StatusCode, header, request};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::{Api, Client};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// A create that takes longer is repeated: its name makes that safe.
const DEADLINE: Duration = Duration::from_secs(10);
/// First wait after a failure that passes by itself, and the longest.
const PASSING: Waits = (Duration::from_millis(100), Duration::from_secs(5));
/// First wait while something has to be mended, and the longest.
const HELD: Waits = (Duration::from_millis(500), Duration::from_secs(10));
/// An API server, or what stands before it, cannot make it wait for longer.
const LONGEST_RETRY_AFTER: u64 = 60;
/// So many namespaces that are gone are remembered, to tell of each once.
const GONE: usize = 1000;

/// Asks for metadata only: the answer to a create is not read.
const ACCEPT: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// Writes what the queue holds.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    queue: Queue,
    reporter: Reporter,
    metrics: Metrics,
    gone: Arc<Mutex<HashSet<String>>>,
}

/// How one attempt ended.
enum Outcome {
    Settled(Proof),
    Failed(Failure),
}

/// An attempt that is repeated.
struct Failure {
    cause: Cause,
    reason: &'static str,
    message: String,
    after: Option<Duration>,
}

/// Something that passes by itself.
fn again(scope: Scope, reason: &'static str, message: String, after: Option<Duration>) -> Outcome {
    Outcome::Failed(Failure {
        cause: Cause {
            scope,
            passing: true,
        },
        reason,
        message,
        after,
    })
}

/// Something that somebody has to mend.
fn hold(scope: Scope, reason: &'static str, message: String) -> Outcome {
    Outcome::Failed(Failure {
        cause: Cause {
            scope,
            passing: false,
        },
        reason,
        message,
        after: None,
    })
}

impl Writer {
    /// `client` must not retry by itself.
    pub fn new(client: Client, queue: Queue, reporter: Reporter, metrics: &Metrics) -> Self {
        Self {
            client,
            queue,
            reporter,
            metrics: metrics.clone(),
            gone: Arc::default(),
        }
    }

    /// Writes one item after the other until the queue is closed and empty. Several of these run side by side.
    pub async fn run(self) {
        while let Some(mut queued) = self.queue.next().await {
            match self.attempt(&mut queued.item.write).await {
                Outcome::Settled(proof) => {
                    self.metrics
                        .record_seconds
                        .observe(queued.item.seen.elapsed());
                    self.queue.done(queued, proof);
                }
                Outcome::Failed(failure) => self.failed(queued, &failure),
            }
        }
    }

    /// Says so once for everybody whom it holds, until that goes on; the metric says so all the time.
    fn failed(&self, queued: Queued, failure: &Failure) {
        let Failure {
            cause,
            reason,
            message,
            after,
        } = failure;
        self.metrics
            .retries
            .get_or_create(&ReasonLabels { reason })
            .inc();
        let namespace = queued.item.write.namespace().to_owned();
        let workload = match &queued.item.write {
            Write::Create(revision, _) => Some(reference(revision)),
            Write::Status(_) => None,
        };
        let waits = if cause.passing { PASSING } else { HELD };
        let delay = |failures| backoff(waits, failures).max(after.unwrap_or_default());
        let Some(place) = self.queue.failed(queued, *cause, reason, delay) else {
            return;
        };
        let waiting = self.queue.len();
        if cause.passing {
            tracing::warn!(
                reason,
                ?place,
                namespace,
                waiting,
                message,
                "writing Revisions goes on failing"
            );
        } else {
            tracing::error!(
                reason,
                ?place,
                namespace,
                waiting,
                message,
                "writing Revisions is held until this is mended"
            );
        }
        let whom = match place {
            Place::All => String::new(),
            Place::Namespace(name) => format!(" in namespace {name}"),
            Place::Workload(_) => " for this workload".to_owned(),
        };
        if let Some(workload) = workload {
            let note =
                format!("Recording is held{whom} ({reason}), nothing is lost yet: {message}");
            self.reporter.warn_of(workload, "RecordingHeld", note);
        }
    }

    async fn attempt(&self, write: &mut Write) -> Outcome {
        match write {
            Write::Create(revision, viewing) => {
                if let Some(viewing) = viewing.take()
                    && let Ok(view) = viewing.await
                {
                    revision.spec.view = Some(view);
                }
                self.create(revision).await
            }
            Write::Status(patch) => self.patch(patch).await,
        }
    }

    async fn create(&self, revision: &mut Revision) -> Outcome {
        let (code, after, body) = match self.post(revision).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, revision = revision.metadata.name, "create failed");
                return again(Scope::All, "Network", format!("{error:#}"), None);
            }
        };
        if code.is_success() {
            self.metrics
                .recorded
                .get_or_create(&kind(&revision.spec.workload.kind))
                .inc();
            return Outcome::Settled(Proof::Created);
        }
        let message = || message(&body);
        match classify(code, after, &body) {
            Fault::Exists => self.compare(revision).await,
            Fault::TooLarge => self.shrink(revision),
            Fault::NamespaceGone => self.leave(revision),
            Fault::Refused(reason) => self.refuse(revision, reason, &message()),
            Fault::Held(reason, scope) => hold(scope, reason, message()),
            Fault::Passing(reason, after) => again(Scope::All, reason, message(), after),
        }
    }

    async fn post(
        &self,
        revision: &Revision,
    ) -> anyhow::Result<(StatusCode, Option<Duration>, Vec<u8>)> {
        let namespace = revision.metadata.namespace.as_deref().unwrap_or_default();
        let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}");
        // Strict, or an old definition would prune a new field into an object that cannot change.
        let uri = format!("{path}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict");
        self.send(
            Request::post(uri),
            "application/json",
            serde_json::to_vec(revision)?,
        )
        .await
    }

    async fn send(
        &self,
        request: request::Builder,
        content_type: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<(StatusCode, Option<Duration>, Vec<u8>)> {
        let request = request
            .header(header::CONTENT_TYPE, content_type)
            .header(header::ACCEPT, ACCEPT);
        timeout(
            DEADLINE,
            read(self.client.send(request.body(Body::from(body))?)),
        )
        .await?
    }

    /// Patches the recorder's own fields of a Revision's status.
    async fn patch(&self, patch: &StatusPatch) -> Outcome {
        let StatusPatch {
            namespace, name, ..
        } = patch;
        let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}/status");
        let request = Request::patch(format!("{path}?fieldManager={FIELD_MANAGER}"));
        let answer = match patch.body() {
            Ok(body) => {
                self.send(request, "application/merge-patch+json", body)
                    .await
            }
            Err(error) => Err(error.into()),
        };
        let (code, after, body) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, name, "a status could not be written");
                return again(Scope::All, "Network", format!("{error:#}"), None);
            }
        };
        // None of these shows that a Revision could be created.
        let settled = Outcome::Settled(Proof::Answered);
        match classify(code, after, &body) {
            _ if code.is_success() => settled,
            // Deleted by retention, or refused when it was created.
            Fault::Held("CustomResourceDefinitionMissing", _) if is_revision(&body, name) => {
                settled
            }
            // Creates of other workloads matter more than a status.
            Fault::Held(reason, _) => hold(Scope::Workload, reason, message(&body)),
            Fault::Passing(reason, after) => again(Scope::Workload, reason, message(&body), after),
            Fault::NamespaceGone => Outcome::Settled(Proof::NamespaceGone),
            Fault::Exists | Fault::TooLarge | Fault::Refused(_) => {
                tracing::warn!(
                    name,
                    namespace,
                    message = message(&body),
                    "a status was refused"
                );
                settled
            }
        }
    }

    /// Somebody was faster: this process before a restart, a second replica, or an attempt whose answer was lost.
    async fn compare(&self, revision: &Revision) -> Outcome {
        let name = revision.metadata.name.as_deref().unwrap_or_default();
        let namespace = revision.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Revision> = Api::namespaced(self.client.clone(), namespace);
        let present = match timeout(DEADLINE, api.get(name)).await {
            Ok(Ok(present)) => present,
            Ok(Err(error)) => {
                tracing::debug!(%error, revision = name, "a present Revision could not be read");
                return again(Scope::Workload, "Compare", error.to_string(), None);
            }
            Err(late) => return again(Scope::Workload, "Compare", late.to_string(), None),
        };
        let identity = |r: &Revision| {
            (
                r.spec.workload.uid,
                r.spec.generation,
                r.spec.content_digest.clone(),
            )
        };
        let labels = kind(&revision.spec.workload.kind);
        if identity(&present) == identity(revision) {
            self.metrics.present.get_or_create(&labels).inc();
        } else {
            self.metrics.drift.get_or_create(&labels).inc();
            tracing::error!(
                revision = name,
                namespace,
                present.digest = present.spec.content_digest,
                seen.digest = revision.spec.content_digest,
                "a Revision of this name is there with other content; the stored one stays"
            );
            self.reporter.warn(
                revision,
                "RevisionDiffers",
                format!("Revision {name} exists with other content and was kept"),
            );
        }
        // Everything that could refuse a Revision has let it pass before it was found to be there.
        Outcome::Settled(Proof::Created)
    }

    /// Its history goes with its namespace; that is counted, and told once for each namespace.
    fn leave(&self, revision: &Revision) -> Outcome {
        let labels = kind_reason(&revision.spec.workload.kind, "NamespaceGone");
        self.metrics.refused.get_or_create(&labels).inc();
        let namespace = revision.metadata.namespace.as_deref().unwrap_or_default();
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if gone.len() >= GONE {
            gone.clear();
        }
        if gone.insert(namespace.to_owned()) {
            tracing::info!(
                namespace,
                "the namespace is gone, and its history with it; no more is recorded there"
            );
        }
        Outcome::Settled(Proof::NamespaceGone)
    }

    fn shrink(&self, revision: &mut Revision) -> Outcome {
        match &mut revision.spec.snapshot {
            Some(snapshot) if snapshot.data.is_some() => {
                (snapshot.data, snapshot.oversize) = (None, true);
            }
            _ => {
                return self.refuse(
                    revision,
                    "TooLarge",
                    "it is too large even without its data",
                );
            }
        }
        self.metrics
            .oversize
            .get_or_create(&kind(&revision.spec.workload.kind))
            .inc();
        let name = revision.metadata.name.as_deref().unwrap_or_default();
        tracing::warn!(
            revision = name,
            "the workload is larger than the API server stores; recorded without its data"
        );
        let note = format!(
            "Revision {name} holds the digest but not the content: the workload is too large to be stored twice"
        );
        self.reporter.warn(revision, "RevisionOversize", note);
        again(Scope::Workload, "TooLarge", String::new(), None)
    }

    fn refuse(&self, revision: &Revision, reason: &'static str, message: &str) -> Outcome {
        self.metrics
            .refused
            .get_or_create(&kind_reason(&revision.spec.workload.kind, reason))
            .inc();
        let name = revision.metadata.name.as_deref().unwrap_or_default();
        tracing::error!(
            revision = name,
            reason,
            message,
            "the API server refuses this Revision; it is not recorded"
        );
        self.reporter.warn(
            revision,
            "RevisionRefused",
            format!("Revision {name} was refused ({reason}): {message}"),
        );
        Outcome::Settled(Proof::Answered)
    }
}

async fn read(
    answer: impl Future<Output = kube::Result<Response<Body>>>,
) -> anyhow::Result<(StatusCode, Option<Duration>, Vec<u8>)> {
    let answer = answer.await?;
    let code = answer.status();
    let after = answer
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let after = after.map(|seconds| Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER)));
    // The body is read even when nobody looks at it, so that the connection can be used again.
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((
        code,
        after,
        if code.is_success() {
            Vec::new()
        } else {
            body.to_vec()
        },
    ))
}

/// Whether a 404 is about the Revision itself.
fn is_revision(body: &[u8], name: &str) -> bool {
    let status: kube::core::Status = serde_json::from_slice(body).unwrap_or_default();
    status.details.is_some_and(|details| details.name == name)
}

/// The API server's own words, cut: they may repeat the object.
fn message(body: &[u8]) -> String {
    let status: kube::core::Status = serde_json::from_slice(body).unwrap_or_default();
    let whole = if status.message.is_empty() {
        String::from_utf8_lossy(body).into_owned()
    } else {
        status.message
    };
    prefix(&whole, 300).to_owned()
}
