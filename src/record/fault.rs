//! The meaning of an answer of the API server to a create.

use super::queue::Scope;
use http::StatusCode;
use kube::core::Status;
use std::time::Duration;

/// An answer other than "created".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// A Revision of this name exists: compare.
    Exists,
    /// Larger than the API server, etcd or a proxy takes: store it without data.
    TooLarge,
    /// The definition of Revisions does not allow it.
    Invalid,
    /// Its namespace is going or gone, and its history with it.
    NamespaceGone,
    /// Something has to be repaired first; tried again slowly, and reported.
    Held(FaultReason, Scope),
    /// Transient; tried again, after the wait that the API server asked for.
    Passing(FaultReason, Scope, Option<Duration>),
}

/// The reason for which a Revision was not written: a label of metrics, a field of the log, a word in Events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FaultReason {
    BadRequest,
    /// A Revision of the same name exists and could not be read.
    Compare,
    Conflict,
    /// A Revision of another content has its name.
    Contested,
    CustomResourceDefinitionMissing,
    /// A policy or a webhook denies it, or a webhook that has to be asked fails.
    Denied,
    EtcdFull,
    Forbidden,
    Invalid,
    NamespaceGone,
    /// No connection.
    Network,
    QuotaExceeded,
    ServerError,
    /// No answer within the deadline.
    Timeout,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    UnexpectedAnswer,
}

impl FaultReason {
    /// The reason as one CamelCase word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Compare => "Compare",
            Self::Conflict => "Conflict",
            Self::Contested => "Contested",
            Self::CustomResourceDefinitionMissing => "CustomResourceDefinitionMissing",
            Self::Denied => "Denied",
            Self::EtcdFull => "EtcdFull",
            Self::Forbidden => "Forbidden",
            Self::Invalid => "Invalid",
            Self::NamespaceGone => "NamespaceGone",
            Self::Network => "Network",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::ServerError => "ServerError",
            Self::Timeout => "Timeout",
            Self::TooLarge => "TooLarge",
            Self::TooManyRequests => "TooManyRequests",
            Self::Unauthorized => "Unauthorized",
            Self::UnexpectedAnswer => "UnexpectedAnswer",
        }
    }
}

/// The words by which etcd, and the API server's client of it, say that an object is too large.
const TOO_LARGE: [&str; 2] = [
    "etcdserver: request is too large",
    "trying to send message larger than max",
];

/// The beginnings of the API server's own sentence about a webhook: that it denied the request, and that it could not be
/// called. The webhook's words come after it, with any code and any details.
const WEBHOOKS: [&str; 2] = [
    "admission webhook \"",
    "Internal error occurred: failed calling webhook \"",
];

/// The beginning of the API server's own sentence about a request that admission or authorization forbids. Whatever the
/// code is, the words after it may be a policy's.
const FORBIDDEN: [&str; 2] = [
    "revisions.revisor.dev \"",
    "revisions.revisor.dev is forbidden: ",
];

/// The end of that sentence after the name, if there is one.
const IS_FORBIDDEN: &str = "\" is forbidden: ";

/// The beginnings of the words of the plugin for quotas, which stand right after that sentence.
const QUOTA: [&str; 3] = ["exceeded quota: ", "insufficient quota ", "failed quota: "];

/// The words of the API server, at the same place, about a definition that is being deleted.
const DEFINITION_TERMINATING: &str =
    "create not allowed while custom resource definition is terminating";

/// The words of the API server, at the same place, about a namespace that is being deleted.
const NAMESPACE_TERMINATING: &str = "unable to create new content in namespace ";

/// The meaning of an answer that is no success.
///
/// Only the API server's own sentences are read, never the words of a policy or a webhook. Whatever is not known to be
/// meant otherwise is a denial: it may end, so the Revision waits for that.
pub(crate) fn classify(code: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Fault {
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let text = if status.message.is_empty() {
        String::from_utf8_lossy(body)
    } else {
        status.message.as_str().into()
    };
    if WEBHOOKS.iter().any(|words| text.starts_with(words)) {
        return Fault::Held(FaultReason::Denied, Scope::Namespace);
    }
    if let Some(words) = forbidden(&text) {
        return denied(code, &status, words);
    }
    answered(code, retry_after, &status, &text)
}

/// The words after the sentence that says that a Revision is forbidden.
fn forbidden(text: &str) -> Option<&str> {
    let [named, unnamed] = FORBIDDEN;
    if let Some(words) = text.strip_prefix(unnamed) {
        return Some(words);
    }
    let (name, words) = text.strip_prefix(named)?.split_once(IS_FORBIDDEN)?;
    // The name of an object has no quotation marks.
    (!name.contains('"')).then_some(words)
}

/// The meaning of such an answer. A policy chooses its code.
fn denied(code: StatusCode, status: &Status, words: &str) -> Fault {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let is_terminating = causes
        .into_iter()
        .any(|cause| cause.reason == "NamespaceTerminating");
    let namespace = |reason| Fault::Held(reason, Scope::Namespace);
    if code != StatusCode::FORBIDDEN {
        namespace(FaultReason::Denied)
    } else if words.starts_with(DEFINITION_TERMINATING) {
        Fault::Held(FaultReason::CustomResourceDefinitionMissing, Scope::All)
    } else if words.starts_with(NAMESPACE_TERMINATING) && is_terminating {
        Fault::NamespaceGone
    } else if QUOTA.iter().any(|quota| words.starts_with(quota)) {
        namespace(FaultReason::QuotaExceeded)
    } else if words.starts_with("User \"") {
        namespace(FaultReason::Forbidden)
    } else {
        namespace(FaultReason::Denied)
    }
}

/// The meaning of an answer that is of the API server itself, of etcd, or of a proxy.
fn answered(code: StatusCode, retry_after: Option<Duration>, status: &Status, text: &str) -> Fault {
    let all = |reason| Fault::Held(reason, Scope::All);
    match code.as_u16() {
        500.. if text.contains("etcdserver: mvcc: database space exceeded") => {
            all(FaultReason::EtcdFull)
        }
        409 if status.reason == "AlreadyExists" => Fault::Exists,
        409 => Fault::Passing(FaultReason::Conflict, Scope::Workload, retry_after),
        413 => Fault::TooLarge,
        500 if TOO_LARGE.iter().any(|says| text.contains(says)) => Fault::TooLarge,
        422 if is_invalid(status) => Fault::Invalid,
        404 if details(status).is_some_and(|details| details.kind == "namespaces") => {
            Fault::NamespaceGone
        }
        404 => all(FaultReason::CustomResourceDefinitionMissing),
        // Strict decoding: the definition is older than this process.
        400 => all(FaultReason::BadRequest),
        401 => all(FaultReason::Unauthorized),
        429 => Fault::Passing(FaultReason::TooManyRequests, Scope::All, retry_after),
        500.. => Fault::Passing(FaultReason::ServerError, Scope::All, retry_after),
        403 => Fault::Held(FaultReason::Forbidden, Scope::Namespace),
        _ => Fault::Held(FaultReason::UnexpectedAnswer, Scope::Namespace),
    }
}

/// Whether the definition of Revisions refuses the object, and says why.
fn is_invalid(status: &Status) -> bool {
    let is_ours = status
        .message
        .strip_prefix("Revision.revisor.dev \"")
        .is_some_and(|rest| rest.contains("\" is invalid: "));
    let has_causes = details(status).is_some_and(|details| !details.causes.is_empty());
    status.reason == "Invalid" && is_ours && has_causes
}

fn details(status: &Status) -> Option<&kube::core::response::StatusDetails> {
    status.details.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Option<Duration> = Some(Duration::from_secs(3));
    const DENIED: Fault = Fault::Held(FaultReason::Denied, Scope::Namespace);
    const TERMINATING: &str = r#"{"causes":[{"reason":"NamespaceTerminating"}]}"#;
    const CAUSES: &str = r#"{"causes":[{"reason":"FieldValueInvalid","field":"<nil>"}]}"#;

    const fn all(reason: FaultReason) -> Fault {
        Fault::Held(reason, Scope::All)
    }

    const fn passing(reason: FaultReason) -> Fault {
        Fault::Passing(reason, Scope::All, AFTER)
    }

    /// Answers of the API server and of etcd: code, message, reason, details.
    const STATUSES: &[(u16, &str, &str, &str, Fault)] = &[
        (
            409,
            "revisions \"w\" already exists",
            "AlreadyExists",
            "{}",
            Fault::Exists,
        ),
        (
            409,
            "Operation cannot be fulfilled on resourcequotas",
            "Conflict",
            "{}",
            Fault::Passing(FaultReason::Conflict, Scope::Workload, AFTER),
        ),
        (
            500,
            "etcdserver: request is too large",
            "",
            "{}",
            Fault::TooLarge,
        ),
        (
            500,
            "rpc error: trying to send message larger than max (2097333 vs. 2097152)",
            "",
            "{}",
            Fault::TooLarge,
        ),
        (
            413,
            "Request entity too large: limit is 3145728",
            "",
            "{}",
            Fault::TooLarge,
        ),
        (
            503,
            "etcdserver: mvcc: database space exceeded",
            "",
            "{}",
            all(FaultReason::EtcdFull),
        ),
        (
            500,
            "boom",
            "InternalError",
            "{}",
            passing(FaultReason::ServerError),
        ),
        (
            504,
            "Timeout: context deadline exceeded",
            "Timeout",
            "{}",
            passing(FaultReason::ServerError),
        ),
        (
            429,
            "storage is (re)initializing",
            "TooManyRequests",
            "{}",
            passing(FaultReason::TooManyRequests),
        ),
        (
            422,
            "Revision.revisor.dev \"w-1\" is invalid: spec: Too long",
            "Invalid",
            CAUSES,
            Fault::Invalid,
        ),
        (
            404,
            "namespaces \"n\" not found",
            "NotFound",
            r#"{"kind":"namespaces"}"#,
            Fault::NamespaceGone,
        ),
        (
            400,
            "strict decoding error",
            "BadRequest",
            "{}",
            all(FaultReason::BadRequest),
        ),
        (
            401,
            "Unauthorized",
            "Unauthorized",
            "{}",
            all(FaultReason::Unauthorized),
        ),
    ];

    /// Answers with the API server's sentence that a Revision is forbidden: code, the words after it, details.
    const FORBIDDEN_WORDS: &[(u16, &str, &str, Fault)] = &[
        (
            403,
            "unable to create new content in namespace n",
            TERMINATING,
            Fault::NamespaceGone,
        ),
        (
            403,
            "unable to create new content in namespace n",
            "{}",
            DENIED,
        ),
        (403, "a policy's words", TERMINATING, DENIED),
        (
            403,
            "exceeded quota: q, requested: 1",
            "{}",
            Fault::Held(FaultReason::QuotaExceeded, Scope::Namespace),
        ),
        (
            403,
            DEFINITION_TERMINATING,
            "{}",
            all(FaultReason::CustomResourceDefinitionMissing),
        ),
        (
            403,
            "etcdserver: mvcc: database space exceeded",
            "{}",
            DENIED,
        ),
    ];

    /// Words of policies and webhooks that look like those of others.
    const WORDS: &[&str] = &[
        "no",
        "exceeded quota: q",
        "etcdserver: request is too large",
        "etcdserver: mvcc: database space exceeded",
        "namespace n is being terminated",
        "Revision.revisor.dev \"w-1\" is invalid: spec",
    ];

    /// Answers whose body is none of a Status.
    const TEXTS: &[(u16, &str, Fault)] = &[
        (413, "<html>too large</html>", Fault::TooLarge),
        (503, "no endpoints", passing(FaultReason::ServerError)),
        (
            404,
            "404 page not found",
            all(FaultReason::CustomResourceDefinitionMissing),
        ),
        (
            422,
            "no",
            Fault::Held(FaultReason::UnexpectedAnswer, Scope::Namespace),
        ),
        (
            301,
            "",
            Fault::Held(FaultReason::UnexpectedAnswer, Scope::Namespace),
        ),
    ];

    fn answer(code: u16, body: &str) -> Fault {
        let code = StatusCode::from_u16(code).expect("a status");
        classify(code, AFTER, body.as_bytes())
    }

    fn status(code: u16, message: &str, reason: &str, details: &str) -> Fault {
        let message = serde_json::to_string(message).expect("json");
        let body = format!(
            r#"{{"kind":"Status","status":"Failure","message":{message},"reason":"{reason}","details":{details}}}"#
        );
        answer(code, &body)
    }

    #[test]
    fn every_answer_has_a_meaning() {
        for (code, message, reason, details, expected) in STATUSES {
            assert_eq!(
                status(*code, message, reason, details),
                *expected,
                "{code} {message}"
            );
        }
        for (code, words, details, expected) in FORBIDDEN_WORDS {
            let message = format!("revisions.revisor.dev \"w-1\" is forbidden: {words}");
            assert_eq!(
                status(*code, &message, "Forbidden", details),
                *expected,
                "{message}"
            );
        }
        for (code, body, expected) in TEXTS {
            assert_eq!(answer(*code, body), *expected, "{code} {body}");
        }
        let right = "revisions.revisor.dev is forbidden: User \"u\" cannot create resource";
        let missing = Fault::Held(FaultReason::Forbidden, Scope::Namespace);
        assert_eq!(status(403, right, "Forbidden", "{}"), missing);
    }

    #[test]
    fn a_denial_is_one_whatever_its_code_words_and_details_are() {
        let policy = "revisions.revisor.dev \"w-1\" is forbidden: ValidatingAdmissionPolicy 'p' \
                      with binding 'b' denied request: ";
        let webhook = "admission webhook \"w.example.com\" denied the request: ";
        let failing = "Internal error occurred: failed calling webhook \"w\": ";
        let namespaces = r#"{"kind":"namespaces"}"#;
        for code in [400, 401, 403, 404, 409, 413, 422, 429, 500, 503] {
            for frame in [policy, webhook, failing] {
                for words in WORDS {
                    for details in ["{}", TERMINATING, CAUSES, namespaces] {
                        for reason in ["", "AlreadyExists", "Invalid", "Forbidden"] {
                            let message = format!("{frame}{words}");
                            let meaning = status(code, &message, reason, details);
                            assert_eq!(meaning, DENIED, "{code} {message} {reason} {details}");
                        }
                    }
                }
            }
        }
    }
}
