//! The only place that creates Revisions: POST, never anything that could overwrite one.
//!
//! In: the queue's writes. Out: requests to the API server, and the fate of each write back to the queue; holds are
//! reported in the log and as Events. `request` sends and reads, `create` decides about a Revision, `patch` about a
//! status.

mod contest;
mod create;
mod patch;
mod request;

use super::Archive;
use super::fault::FaultReason;
use super::lives::{Lives, Origin};
use super::queue::lanes::Given;
use super::queue::{Cause, HoldScope, Proof, Queue, Queued, Scope, StatusPatch, Write};
use super::report::{Reporter, reference};
use crate::client::backoff::{Waits, backoff};
use crate::metrics::{Metrics, ReasonLabels};
use crate::mutant::{self, Mutant};
use crate::redact::Names;
use crate::revision::identity;
use kube::Client;
use parking_lot::Mutex;
use request::ApiAnswer;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// First wait after a transient failure, and the longest.
const PASSING: Waits = (Duration::from_millis(100), Duration::from_secs(5));
/// First wait while something has to be repaired, and the longest.
const HELD: Waits = (Duration::from_millis(500), Duration::from_secs(10));

/// Writes the items of the queue.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    queue: Queue,
    reporter: Reporter,
    metrics: Metrics,
    /// Secrets of these names are hidden in messages.
    names: Arc<Names>,
    /// The namespaces that there are.
    lives: Lives,
    /// The Revisions that are stored; it is told of those whose name is taken.
    archive: Option<Arc<dyn Archive>>,
    /// Namespaces that are gone, to log each once.
    gone: Arc<Mutex<HashSet<String>>>,
    /// The names of Revisions that are stored under the long form, because another workload's Revision has the short one.
    /// Such hashes are so rare that the set stays small.
    long_names: Arc<Mutex<HashSet<String>>>,
    /// Namespaces and names of Revisions that are stored with another content.
    contested: Arc<Mutex<HashSet<(String, String)>>>,
}

/// The result of one attempt to write.
enum WriteResult {
    Settled(Proof),
    Failed(Retry),
}

/// A failed attempt, which is repeated.
struct Retry {
    cause: Cause,
    reason: FaultReason,
    message: String,
    /// The wait that the API server asked for.
    after: Option<Duration>,
}

impl WriteResult {
    /// A transient failure.
    fn passing(
        scope: Scope,
        reason: FaultReason,
        message: String,
        after: Option<Duration>,
    ) -> Self {
        let passing = true;
        Self::Failed(Retry {
            cause: Cause { scope, passing },
            reason,
            message,
            after,
        })
    }

    /// A failure that lasts until its cause is repaired.
    fn held(scope: Scope, reason: FaultReason, message: String) -> Self {
        let passing = false;
        Self::Failed(Retry {
            cause: Cause { scope, passing },
            reason,
            message,
            after: None,
        })
    }
}

impl Writer {
    /// `client` must not retry by itself.
    pub fn new(client: Client, queue: Queue, reporter: Reporter, metrics: &Metrics) -> Self {
        Self {
            client,
            queue,
            reporter,
            metrics: metrics.clone(),
            names: Arc::default(),
            lives: Lives::default(),
            archive: None,
            gone: Arc::default(),
            long_names: Arc::default(),
            contested: Arc::default(),
        }
    }

    /// Hides secrets by these names in messages, instead of by the built-in ones.
    #[must_use]
    pub fn hiding(self, names: &Names) -> Self {
        Self {
            names: Arc::new(names.clone()),
            ..self
        }
    }

    /// Leaves out whatever was made for an earlier life of its namespace, and what the stored Revisions say already; the archive is told of generations whose name is taken.
    #[must_use]
    pub fn knowing(self, lives: &Lives, archive: &Arc<dyn Archive>) -> Self {
        Self {
            lives: lives.clone(),
            archive: Some(archive.clone()),
            ..self
        }
    }

    /// Whether a Revision says already what a patch of its status would say.
    fn is_said(&self, patch: &StatusPatch) -> bool {
        let archive = self.archive.as_ref();
        archive.is_some_and(|archive| archive.says(patch)) && !mutant::is(Mutant::ObservedBackwards)
    }

    /// The message of a failure, without secrets.
    fn message(&self, answer: &ApiAnswer) -> String {
        answer.message(&self.names)
    }

    /// Writes one item after the other until the queue is closed and empty. Several of these run side by side.
    pub async fn run(self) {
        while let Some(mut given) = self.queue.next().await {
            let repeats = given.item.repeats;
            let item = &mut given.item.item;
            match self.attempt(&mut item.write, item.origin, repeats).await {
                WriteResult::Settled(proof) => {
                    self.metrics.record_seconds.observe(item.seen.elapsed());
                    self.queue.done(given, proof);
                }
                WriteResult::Failed(retry) => self.failed(given, &retry),
            }
        }
    }

    async fn attempt(&self, write: &mut Write, origin: Origin, repeats: bool) -> WriteResult {
        let is_of_another = self.lives.is_of_another(write.namespace(), origin);
        match write {
            Write::Create(revision, _) if is_of_another => self.leave(revision),
            Write::Create(revision, viewing) => {
                if let Some(viewing) = viewing.take()
                    && let Ok(view) = viewing.await
                {
                    revision.spec.view = Some(view);
                }
                if repeats {
                    self.create_if_absent(revision).await
                } else {
                    self.create(revision).await
                }
            }
            Write::Status(patch) => {
                self.correct_name(patch);
                if self.is_said(patch) {
                    return WriteResult::Settled(Proof::Answered);
                }
                self.patch(patch).await
            }
        }
    }

    /// The recorder does not know that a Revision was stored under the long form of its name.
    fn correct_name(&self, patch: &mut StatusPatch) {
        let long_names = self.long_names.lock();
        if long_names.is_empty() {
            return;
        }
        let long = identity::lengthened(&patch.name, patch.workload);
        if let Some(long) = long.filter(|long| long_names.contains(long)) {
            patch.name = long;
        }
    }

    /// Gives the write back to the queue. A new hold is reported once for all writes that it holds; the metric shows it
    /// for as long as it lasts.
    fn failed(&self, given: Given<Queued>, retry: &Retry) {
        let reason = retry.reason.as_str();
        self.metrics
            .retries
            .get_or_create(&ReasonLabels { reason })
            .inc();
        let write = &given.item.item.write;
        let namespace = write.namespace().to_owned();
        let workload = match write {
            Write::Create(revision, _) => Some(reference(revision)),
            Write::Status(_) => None,
        };
        let waits = if retry.cause.passing { PASSING } else { HELD };
        let least = retry.after.unwrap_or_default();
        let held = self.queue.failed(given, retry.cause, reason, |failures| {
            backoff(waits, failures).max(least)
        });
        let Some(scope) = held else { return };
        self.log_hold(retry, &scope, &namespace);
        if let Some(workload) = workload {
            self.reporter
                .warn_of(workload, "RecordingHeld", note(retry, &scope));
        }
    }

    fn log_hold(&self, retry: &Retry, scope: &HoldScope, namespace: &str) {
        let reason = retry.reason.as_str();
        let message = &retry.message;
        let waiting = self.queue.len();
        if retry.cause.passing {
            tracing::warn!(
                reason,
                ?scope,
                namespace,
                waiting,
                answer = message,
                "writing Revisions goes on failing"
            );
        } else {
            tracing::error!(
                reason,
                ?scope,
                namespace,
                waiting,
                answer = message,
                "writing Revisions is held until this is mended"
            );
        }
    }
}

/// The text of the Event about a hold.
fn note(retry: &Retry, scope: &HoldScope) -> String {
    let held = match scope {
        HoldScope::All => String::new(),
        HoldScope::Namespace(name) => format!(" in namespace {name}"),
        HoldScope::Workload(_) => " for this workload".to_owned(),
    };
    let reason = retry.reason.as_str();
    let message = &retry.message;
    format!("Recording is held{held} ({reason}), nothing is lost yet: {message}")
}
