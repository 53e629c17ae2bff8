//! The creation of a Revision, and the consequence of each answer to it.
//!
//! In: a Revision. Out: whether it is settled or comes again. A Revision that exists is compared, one that is too large
//! loses its data, one that is refused or whose namespace is gone is counted and left out.

use super::super::fault::{Fault, FaultReason};
use super::super::queue::{Proof, Scope};
use super::request::{self, DEADLINE};
use super::{WriteResult, Writer};
use crate::metrics::{kind, kind_reason};
use crate::mutant::{self, Mutant};
use crate::revision::Revision;
use kube::Api;
use tokio::time::timeout;
use uuid::Uuid;

/// The number of namespaces that are gone and remembered, to log each once.
const GONE: usize = 1000;

impl Writer {
    pub(super) async fn create(&self, revision: &mut Revision) -> WriteResult {
        let answer = match request::post(&self.client, revision).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, revision = revision.metadata.name, "create failed");
                let message = format!("{error:#}");
                return WriteResult::passing(Scope::All, FaultReason::Network, message, None);
            }
        };
        if answer.is_success() {
            self.metrics
                .recorded
                .get_or_create(&kind(&revision.spec.workload.kind))
                .inc();
            return WriteResult::Settled(Proof::Created);
        }
        match answer.fault() {
            Fault::Exists => self.compare(revision).await,
            Fault::TooLarge => self.shrink(revision),
            Fault::NamespaceGone => self.leave(revision),
            Fault::Refused(reason) => self.refuse(revision, reason, &answer.message()),
            Fault::Held(reason, scope) => WriteResult::held(scope, reason, answer.message()),
            Fault::Passing(reason, after) => {
                WriteResult::passing(Scope::All, reason, answer.message(), after)
            }
        }
    }

    /// Another writer was faster: this process before a restart, a second replica, or an attempt whose answer was lost.
    async fn compare(&self, revision: &Revision) -> WriteResult {
        let present = match self.present(revision).await {
            Ok(present) => present,
            Err(message) => {
                return WriteResult::passing(Scope::Workload, FaultReason::Compare, message, None);
            }
        };
        let labels = kind(&revision.spec.workload.kind);
        if identity(&present) == identity(revision) || mutant::is(Mutant::ConflictTakenForEqual) {
            self.metrics.present.get_or_create(&labels).inc();
        } else {
            self.metrics.drift.get_or_create(&labels).inc();
            let name = name(revision);
            tracing::error!(
                revision = name,
                namespace = namespace(revision),
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
        // Everything that could refuse a Revision has let it pass before it was found to exist.
        WriteResult::Settled(Proof::Created)
    }

    /// The Revision of the same name that is stored.
    ///
    /// # Errors
    /// The reason for which it could not be read, as text.
    async fn present(&self, revision: &Revision) -> Result<Revision, String> {
        let name = name(revision);
        let api: Api<Revision> = Api::namespaced(self.client.clone(), namespace(revision));
        let answer = timeout(DEADLINE, api.get(name))
            .await
            .map_err(|late| late.to_string())?;
        answer.map_err(|error| {
            tracing::debug!(%error, revision = name, "a present Revision could not be read");
            error.to_string()
        })
    }

    /// The history of a workload goes with its namespace; that is counted, and logged once for each namespace.
    fn leave(&self, revision: &Revision) -> WriteResult {
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
        match &mut revision.spec.snapshot {
            Some(snapshot) if snapshot.data.is_some() => {
                snapshot.data = None;
                snapshot.oversize = true;
            }
            _ => {
                let message = "it is too large even without its data";
                return self.refuse(revision, FaultReason::TooLarge, message);
            }
        }
        self.metrics
            .oversize
            .get_or_create(&kind(&revision.spec.workload.kind))
            .inc();
        let name = name(revision);
        tracing::warn!(
            revision = name,
            "the workload is larger than the API server stores; recorded without its data"
        );
        let note = format!(
            "Revision {name} holds the digest but not the content: the workload is too large to be stored twice"
        );
        self.reporter.warn(revision, "RevisionOversize", note);
        WriteResult::passing(Scope::Workload, FaultReason::TooLarge, String::new(), None)
    }

    fn refuse(&self, revision: &Revision, reason: FaultReason, message: &str) -> WriteResult {
        self.count_refused(revision, reason);
        let name = name(revision);
        let reason = reason.as_str();
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
        WriteResult::Settled(Proof::Answered)
    }

    fn count_refused(&self, revision: &Revision, reason: FaultReason) {
        let labels = kind_reason(&revision.spec.workload.kind, reason.as_str());
        self.metrics.refused.get_or_create(&labels).inc();
    }
}

/// The generation of a workload and its content, which make two Revisions the same.
fn identity(revision: &Revision) -> (Uuid, i64, Option<&str>) {
    let spec = &revision.spec;
    (
        spec.workload.uid,
        spec.generation,
        spec.content_digest.as_deref(),
    )
}

fn name(revision: &Revision) -> &str {
    revision.metadata.name.as_deref().unwrap_or_default()
}

fn namespace(revision: &Revision) -> &str {
    revision.metadata.namespace.as_deref().unwrap_or_default()
}
