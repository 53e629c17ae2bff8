//! The answers to a create that is refused, in the words of kube-apiserver 1.37.

use super::answer::{Answer, status_text};
use crate::etcd::Key;
use serde_json::{Value, json};

/// A policy's choice of a reason, and the code that follows from it. The first is the default.
const POLICY: [(u16, &str); 5] = [
    (422, "Invalid"),
    (422, "Invalid"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (413, "RequestEntityTooLarge"),
];
/// The codes and reasons with which webhooks deny, and the details that they forge.
const WEBHOOK: [(u16, &str, Forged); 9] = [
    (400, "BadRequest", Forged::Nothing),
    (403, "Forbidden", Forged::Nothing),
    (403, "Forbidden", Forged::Terminating),
    (404, "NotFound", Forged::Nothing),
    (404, "NotFound", Forged::Namespaces),
    (409, "Conflict", Forged::Nothing),
    (409, "AlreadyExists", Forged::Nothing),
    (429, "TooManyRequests", Forged::Nothing),
    (500, "InternalError", Forged::Nothing),
];
/// The words of a policy or a webhook. All but the first are those of something else.
const WORDS: [&str; 9] = [
    "every object needs the label owner",
    "exceeded quota: the team has none left",
    "the workload is being terminated",
    "the request is too large for review",
    "etcdserver: mvcc: database space exceeded",
    "namespaces \"models\" not found",
    "Revision.revisor.dev \"w0\" is invalid: spec.view: Invalid value: \"null\"",
    "create not allowed while custom resource definition is terminating",
    "an object of this name already exists",
];
/// Why a webhook cannot be called.
const UNREACHABLE: [&str; 3] = [
    "dial tcp 10.96.0.7:443: connect: connection refused",
    "no endpoints available for service \"gate\"",
    "x509: certificate has expired or is not yet valid",
];
/// Why a webhook that hangs has not answered.
const TOO_LATE: &str = "context deadline exceeded";
const HOOK: &str = "gate.policies.example";

/// Details of a denial that are those of another failure.
#[derive(Clone, Copy, Debug)]
enum Forged {
    Nothing,
    /// The cause of a namespace that is being terminated.
    Terminating,
    /// The kind of a namespace that is not there.
    Namespaces,
}

/// The shape of a message and of its details.
#[derive(Clone, Copy, Debug)]
enum Frame {
    Policy,
    Webhook(Forged),
    FailingWebhook,
    Quota,
    Timeout,
}

/// The answer to every create that one injection refuses.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    code: u16,
    reason: &'static str,
    frame: Frame,
    words: &'static str,
}

impl Refusal {
    /// A denial of a policy or a webhook, or the failure of a webhook.
    pub fn draw(lots: &mut fastrand::Rng) -> Self {
        let words = WORDS[lots.usize(..WORDS.len())];
        match lots.u8(..10) {
            0..5 => {
                let (code, reason) = POLICY[lots.usize(..POLICY.len())];
                Self::new(code, reason, Frame::Policy, words)
            }
            5..9 => {
                let (code, reason, forged) = WEBHOOK[lots.usize(..WEBHOOK.len())];
                Self::new(code, reason, Frame::Webhook(forged), words)
            }
            _ => {
                let words = UNREACHABLE[lots.usize(..UNREACHABLE.len())];
                Self::new(500, "InternalError", Frame::FailingWebhook, words)
            }
        }
    }

    /// The failure of a create that was not answered in time.
    pub fn late(lots: &mut fastrand::Rng) -> Self {
        if lots.bool() {
            Self::new(500, "InternalError", Frame::FailingWebhook, TOO_LATE)
        } else {
            Self::new(504, "Timeout", Frame::Timeout, "")
        }
    }

    /// A quota that is used up.
    pub fn quota() -> Self {
        Self::new(403, "Forbidden", Frame::Quota, "")
    }

    fn new(code: u16, reason: &'static str, frame: Frame, words: &'static str) -> Self {
        Self {
            code,
            reason,
            frame,
            words,
        }
    }

    pub fn answer(&self, key: &Key) -> Answer {
        let message = self.message(&key.name);
        let details = self.details(key);
        let text = status_text(self.code, self.reason, &message, &details);
        Answer::text(self.code, text)
    }

    fn message(&self, name: &str) -> String {
        let cause = self.cause();
        match self.frame {
            Frame::Policy | Frame::Quota => {
                format!("revisions.revisor.dev \"{name}\" is forbidden: {cause}")
            }
            Frame::FailingWebhook => format!("Internal error occurred: {cause}"),
            Frame::Webhook(_) | Frame::Timeout => cause,
        }
    }

    /// The message without the frame that the API server puts around it.
    fn cause(&self) -> String {
        let words = self.words;
        match self.frame {
            Frame::Policy => format!(
                "ValidatingAdmissionPolicy 'owners' with binding 'owners-everywhere' \
                 denied request: {words}"
            ),
            Frame::Webhook(_) => {
                format!("admission webhook \"{HOOK}\" denied the request: {words}")
            }
            Frame::FailingWebhook => format!(
                "failed calling webhook \"{HOOK}\": failed to call webhook: \
                 Post \"https://gate.policies.svc:443/validate?timeout=30s\": {words}"
            ),
            Frame::Quota => {
                let [requested, used] =
                    [1, 200].map(|n| format!("count/revisions.revisor.dev={n}"));
                format!(
                    "exceeded quota: histories, requested: {requested}, used: {used}, \
                     limited: {used}"
                )
            }
            Frame::Timeout => {
                "Timeout: request did not complete within the allotted timeout".to_owned()
            }
        }
    }

    fn details(&self, key: &Key) -> Value {
        let mut about = json!({"name": key.name, "group": key.kind.group, "kind": key.kind.plural});
        match self.frame {
            Frame::Policy => {
                about["causes"] = json!([{"message": self.cause()}]);
                about
            }
            Frame::Quota => about,
            Frame::FailingWebhook => json!({"causes": [{"message": self.cause()}]}),
            Frame::Webhook(Forged::Terminating) => {
                let message = format!("namespace {} is being terminated", key.namespace);
                about["causes"] = json!([
                    {
                        "reason": "NamespaceTerminating", "message": message,
                        "field": "metadata.namespace",
                    },
                ]);
                about
            }
            Frame::Webhook(Forged::Namespaces) => {
                json!({"name": key.namespace, "kind": "namespaces"})
            }
            Frame::Webhook(Forged::Nothing) | Frame::Timeout => json!({}),
        }
    }
}
