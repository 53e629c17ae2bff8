//! Generations whose name a Revision of another content has taken.
//!
//! In: a Revision that was found to be stored otherwise. Out: it is held and said, and asked about until the stored one is
//! deleted: nothing is overwritten. A create that fails uses up a unit of the namespace's quota, so it follows only when the
//! name is free.

use super::super::fault::FaultReason;
use super::super::queue::Scope;
use super::create::{name, namespace};
use super::{WriteResult, Writer};
use crate::metrics::kind;
use crate::revision::Revision;

impl Writer {
    /// Whether the name of a Revision was taken when it was last looked at.
    pub(super) fn is_contested(&self, revision: &Revision) -> bool {
        let contested = self.contested.lock();
        !contested.is_empty() && contested.contains(&key(revision))
    }

    /// Another content is stored under the name of a Revision.
    pub(super) fn contest(&self, revision: &Revision, stored: &Revision) -> WriteResult {
        let name = name(revision);
        let message = format!(
            "Revision {name} is stored with another content, which somebody else has written; this one is stored when that is \
             deleted"
        );
        if self.contested.lock().insert(key(revision)) {
            let labels = kind(&revision.spec.workload.kind);
            self.metrics.contested.get_or_create(&labels).inc();
            tracing::error!(
                revision = name,
                namespace = namespace(revision),
                stored.digest = stored.spec.content_digest,
                seen.digest = revision.spec.content_digest,
                "a Revision of this name is stored with another content; nothing is overwritten"
            );
            self.tell_archive(revision, true);
            self.reporter
                .warn(revision, "RevisionContested", message.clone());
        }
        WriteResult::held(Scope::Workload, FaultReason::Contested, message)
    }

    /// A Revision is stored as it should be.
    pub(super) fn settle_contest(&self, revision: &Revision) {
        let mut contested = self.contested.lock();
        if !contested.is_empty() && contested.remove(&key(revision)) {
            drop(contested);
            self.tell_archive(revision, false);
        }
    }

    fn tell_archive(&self, revision: &Revision, is_contested: bool) {
        let spec = &revision.spec;
        if let Some(archive) = self.archive.as_ref().filter(|_| spec.gap.is_none()) {
            archive.contest(spec.workload.uid, spec.generation, is_contested);
        }
    }
}

fn key(revision: &Revision) -> (String, String) {
    (namespace(revision).to_owned(), name(revision).to_owned())
}
