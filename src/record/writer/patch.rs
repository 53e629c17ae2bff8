//! The patch of a Revision's status, and the consequence of each answer to it.
//!
//! In: a status patch. Out: whether it is settled or comes again. No answer shows that a Revision could be created.

use super::super::fault::{Fault, FaultReason};
use super::super::queue::{Proof, Scope, StatusPatch};
use super::create::unanswered;
use super::request;
use super::{WriteResult, Writer};

impl Writer {
    /// Patches the recorder's own fields of a Revision's status.
    pub(super) async fn patch(&self, patch: &StatusPatch) -> WriteResult {
        let StatusPatch {
            namespace, name, ..
        } = patch;
        let answer = match request::patch_status(&self.client, patch).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, name, "a status could not be written");
                return unanswered(&error, |message| {
                    WriteResult::passing(Scope::Workload, FaultReason::Timeout, message, None)
                });
            }
        };
        let settled = WriteResult::Settled(Proof::Answered);
        if answer.is_success() {
            return settled;
        }
        match answer.fault() {
            // Deleted by retention, or refused when it was created.
            Fault::Held(FaultReason::CustomResourceDefinitionMissing, _)
                if answer.is_about(name) =>
            {
                settled
            }
            // Creates of other workloads matter more than a status.
            Fault::Held(reason, _) => {
                WriteResult::held(Scope::Workload, reason, self.message(&answer))
            }
            Fault::Passing(reason, _, after) => {
                WriteResult::passing(Scope::Workload, reason, self.message(&answer), after)
            }
            Fault::NamespaceGone => WriteResult::Settled(Proof::NamespaceGone),
            Fault::Exists | Fault::TooLarge | Fault::Invalid => {
                tracing::warn!(
                    name,
                    namespace,
                    answer = self.message(&answer),
                    "a status was refused"
                );
                settled
            }
        }
    }
}
