//! The creation of a Revision, and the consequence of each answer to it.
//!
//! In: a Revision. Out: whether it is settled or comes again. A Revision that exists is compared: one of another content
//! holds this one ([`super::contest`]). One that is too large
//! loses its data; one that the definition of Revisions refuses loses whatever is not needed, its data last, and becomes
//! a Gap in the end. One that something else denies comes again. One whose namespace is gone is counted and left out:
//! nothing else is settled without a stored object.

use super::super::fault::{Fault, FaultReason};
use super::super::gap::gap;
use super::super::queue::{Proof, Scope};
use super::request::{self, DEADLINE};
use super::{WriteResult, Writer};
use crate::clock;
use crate::json::without_value;
use crate::metrics::{kind, kind_reason};
use crate::mutant::{self, Mutant};
use crate::revision::{Revision, RevisionSpec, identity};
use crate::snapshot;
use crate::watch::{Lost, Reason};
use kube::Api;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// The number of namespaces that are gone and remembered, to log each once.
const GONE: usize = 1000;

/// Why a Revision could not be read.
struct Unread {
    message: String,
    /// Whether the API server was reached, as far as is known.
    is_answered: bool,
}

impl Writer {
    /// Creates a Revision that may be stored already. A create that finds it would use up a unit of the namespace's quota
    /// all the same, until that is counted again.
    pub(super) async fn create_if_absent(&self, revision: &mut Revision) -> WriteResult {
        match self.present(revision).await {
            Ok(None) => self.post(revision).await,
            Ok(Some(present)) => self.equal(revision, &present),
            Err(Unread {
                message,
                is_answered: false,
            }) => WriteResult::passing(Scope::All, FaultReason::Network, message, None),
            Err(Unread { message, .. }) => {
                WriteResult::passing(Scope::Workload, FaultReason::Compare, message, None)
            }
        }
    }

    pub(super) async fn create(&self, revision: &mut Revision) -> WriteResult {
        if self.is_contested(revision) {
            return self.create_if_absent(revision).await;
        }
        self.post(revision).await
    }

    async fn post(&self, revision: &mut Revision) -> WriteResult {
        let answer = match request::post(&self.client, revision).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, revision = revision.metadata.name, "create failed");
                // A webhook that hangs concerns its namespace, and hangs again.
                return unanswered(&error, |message| {
                    WriteResult::held(Scope::Namespace, FaultReason::Timeout, message)
                });
            }
        };
        if answer.is_success() {
            self.metrics
                .recorded
                .get_or_create(&kind(&revision.spec.workload.kind))
                .inc();
            self.settle_contest(revision);
            return WriteResult::Settled(Proof::Created);
        }
        match answer.fault() {
            Fault::Exists => self.compare(revision).await,
            Fault::TooLarge => self.shrink(revision),
            Fault::NamespaceGone => self.leave(revision),
            Fault::Invalid => self.reduce(revision, FaultReason::Invalid, &self.message(&answer)),
            Fault::Held(FaultReason::Denied, _) if mutant::is(Mutant::DenialDropped) => {
                WriteResult::Settled(Proof::Answered)
            }
            Fault::Held(reason, scope) => WriteResult::held(scope, reason, self.message(&answer)),
            Fault::Passing(reason, scope, after) => {
                WriteResult::passing(scope, reason, self.message(&answer), after)
            }
        }
    }

    /// Another writer was faster: this process before a restart, a second replica, or an attempt whose answer was lost.
    /// Or it is a Revision of another workload, whose uid has a hash that begins with the same digits.
    async fn compare(&self, revision: &mut Revision) -> WriteResult {
        match self.present(revision).await {
            Ok(Some(present)) => self.equal(revision, &present),
            // It was deleted since.
            Ok(None) => again(FaultReason::Conflict),
            Err(Unread { message, .. }) => {
                WriteResult::passing(Scope::Workload, FaultReason::Compare, message, None)
            }
        }
    }

    /// A Revision of the same name is stored.
    fn equal(&self, revision: &mut Revision, present: &Revision) -> WriteResult {
        if self.give_way(revision, present) {
            return again(FaultReason::Conflict);
        }
        if is_equal(present, revision) || mutant::is(Mutant::ConflictTakenForEqual) {
            self.found_equal(revision, present);
            // Everything that could refuse a Revision has let it pass before it was found to exist.
            return WriteResult::Settled(Proof::Created);
        }
        self.contest(revision, present)
    }

    /// The same generation is stored, with the same content.
    fn found_equal(&self, revision: &Revision, present: &Revision) {
        let labels = kind(&revision.spec.workload.kind);
        self.metrics.present.get_or_create(&labels).inc();
        self.settle_contest(revision);
        if has_data(revision) && !has_data(present) {
            self.metrics.oversize.get_or_create(&labels).inc();
            let name = name(revision);
            tracing::warn!(
                revision = name,
                namespace = namespace(revision),
                "a Revision is stored without its data, for which this replica sees no reason"
            );
            let note = format!("Revision {name} is stored without its content");
            self.reporter.warn(revision, "RevisionWithoutContent", note);
        }
    }

    /// Takes the long form of the name where a Revision of another workload has the short one. False when that is not so.
    fn give_way(&self, revision: &mut Revision, present: &Revision) -> bool {
        let workload = revision.spec.workload.uid;
        if present.spec.workload.uid == workload {
            return false;
        }
        let Some(long) = identity::lengthened(name(revision), workload) else {
            return false;
        };
        tracing::info!(
            revision = name(revision),
            namespace = namespace(revision),
            long,
            "a Revision of another workload has this name; the long form is used instead"
        );
        self.long_names.lock().insert(long.clone());
        revision.metadata.name = Some(long);
        true
    }

    /// The Revision of the same name that is stored; none when there is none.
    ///
    /// # Errors
    /// The reason for which it could not be read.
    async fn present(&self, revision: &Revision) -> Result<Option<Revision>, Unread> {
        let name = name(revision);
        let api: Api<Revision> = Api::namespaced(self.client.clone(), namespace(revision));
        let answer = timeout(DEADLINE, api.get_opt(name))
            .await
            .map_err(|late| Unread {
                message: late.to_string(),
                is_answered: true,
            })?;
        answer.map_err(|error| {
            let is_answered = matches!(error, kube::Error::Api(_) | kube::Error::SerdeError(_));
            let message = without_value(&error);
            tracing::debug!(
                error = message,
                revision = name,
                "a present Revision could not be read"
            );
            Unread {
                message,
                is_answered,
            }
        })
    }

    /// The history of a workload goes with its namespace; that is counted, and logged once for each namespace.
    pub(super) fn leave(&self, revision: &Revision) -> WriteResult {
        self.count_refused(revision, FaultReason::NamespaceGone);
        let namespace = namespace(revision);
        let mut gone = self.gone.lock();
        if gone.len() >= GONE {
            gone.clear();
        }
        if gone.insert(namespace.to_owned()) {
            tracing::info!(
                namespace,
                "the namespace is gone, and its history with it; no more is recorded there"
            );
        }
        WriteResult::Settled(Proof::NamespaceGone)
    }

    /// Takes the data out of the snapshot; the digest stays.
    fn shrink(&self, revision: &mut Revision) -> WriteResult {
        if !revision.without_data() {
            let message = "it is too large even without its data";
            return self.reduce(revision, FaultReason::TooLarge, message);
        }
        let labels = kind(&revision.spec.workload.kind);
        self.metrics.oversize.get_or_create(&labels).inc();
        let name = name(revision);
        tracing::warn!(
            revision = name,
            "the workload is larger than the API server stores; recorded without its data"
        );
        let note = format!(
            "Revision {name} holds the digest but not the content: the workload is too large to be stored twice"
        );
        self.reporter.warn(revision, "RevisionOversize", note);
        again(FaultReason::TooLarge)
    }

    /// Takes out whatever a Revision does not need, then its data; at last a Gap takes its place. A Gap stays.
    fn reduce(&self, revision: &mut Revision, reason: FaultReason, message: &str) -> WriteResult {
        self.count_refused(revision, reason);
        let name = name(revision).to_owned();
        let reduced = if revision.without_extras() {
            "it is recorded without its view, change cause, source and author"
        } else if revision.without_data() {
            "it is recorded without its data"
        } else if revision.spec.gap.is_none() {
            *revision = self.closed(revision);
            "a Gap is recorded in its place"
        } else {
            return WriteResult::held(Scope::Workload, reason, message.to_owned());
        };
        let reason_word = reason.as_str();
        tracing::error!(
            revision = name,
            reason = reason_word,
            answer = message,
            "refused: {reduced}"
        );
        let note = format!("Revision {name} was refused ({reason_word}), {reduced}: {message}");
        self.reporter.warn(revision, "RevisionRefused", note);
        again(reason)
    }

    /// The Gap for the generation of a Revision that the API server refuses.
    fn closed(&self, revision: &Revision) -> Revision {
        let spec = &revision.spec;
        let at = spec.resource_version.parse().unwrap_or_default();
        let lost = Lost {
            uid: spec.workload.uid,
            namespace: namespace(revision).to_owned(),
            name: spec.workload.name.clone(),
            generations: spec.generation..=spec.generation,
            reason: Reason::Refused,
            from: at,
            at,
            api_version: spec.workload.api_version.clone(),
        };
        let labels = kind_reason(&spec.workload.kind, lost.reason.as_str());
        self.metrics.gap_generations.get_or_create(&labels).inc();
        self.metrics.lost.get_or_create(&labels).inc();
        gap(&spec.workload.kind, &lost, clock::now())
    }

    fn count_refused(&self, revision: &Revision, reason: FaultReason) {
        let labels = kind_reason(&revision.spec.workload.kind, reason.as_str());
        self.metrics.refused.get_or_create(&labels).inc();
    }
}

/// The write comes again at once, as another one.
fn again(reason: FaultReason) -> WriteResult {
    WriteResult::passing(Scope::Workload, reason, String::new(), None)
}

/// There was no answer: no connection, or `silence` until the deadline.
pub(super) fn unanswered(
    error: &anyhow::Error,
    silence: impl FnOnce(String) -> WriteResult,
) -> WriteResult {
    let message = format!("{error:#}");
    if error.is::<Elapsed>() {
        silence(message)
    } else {
        WriteResult::passing(Scope::All, FaultReason::Network, message, None)
    }
}

/// Whether the stored Revision stands for the same, and has the content that its digest names or says why it has none.
fn is_equal(stored: &Revision, ours: &Revision) -> bool {
    let (there, here) = (&stored.spec, &ours.spec);
    let gap = |spec: &RevisionSpec| spec.gap.as_ref().map(|gap| (gap.from, gap.to));
    let says_why = there.expunged.is_some()
        || there
            .snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.oversize);
    let is_whole = has_data(stored) || says_why || here.snapshot.is_none();
    there.workload.uid == here.workload.uid
        && (there.id, there.generation, gap(there)) == (here.id, here.generation, gap(here))
        && there.content_digest == here.content_digest
        && is_whole
        && (here.gap.is_some() || snapshot::is_sound(there))
}

fn has_data(revision: &Revision) -> bool {
    let snapshot = revision.spec.snapshot.as_ref();
    snapshot.is_some_and(|snapshot| snapshot.data.is_some())
}

pub(super) fn name(revision: &Revision) -> &str {
    revision.metadata.name.as_deref().unwrap_or_default()
}

pub(super) fn namespace(revision: &Revision) -> &str {
    revision.metadata.namespace.as_deref().unwrap_or_default()
}
