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
    /// Larger than the API server or etcd takes: store it without data.
    TooLarge,
    /// It will never be taken.
    Refused(FaultReason),
    /// Its namespace is going or gone, and its history with it.
    NamespaceGone,
    /// Something has to be repaired first; tried again slowly, and reported.
    Held(FaultReason, Scope),
    /// Transient; tried again, after the wait that the API server asked for.
    Passing(FaultReason, Option<Duration>),
}

/// The reason for which a Revision was not written: a label of metrics, a field of the log, a word in Events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FaultReason {
    BadRequest,
    /// A Revision of the same name exists and could not be read.
    Compare,
    Conflict,
    CustomResourceDefinitionMissing,
    EtcdFull,
    Forbidden,
    Invalid,
    NamespaceGone,
    /// No answer.
    Network,
    QuotaExceeded,
    ServerError,
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
            Self::CustomResourceDefinitionMissing => "CustomResourceDefinitionMissing",
            Self::EtcdFull => "EtcdFull",
            Self::Forbidden => "Forbidden",
            Self::Invalid => "Invalid",
            Self::NamespaceGone => "NamespaceGone",
            Self::Network => "Network",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::ServerError => "ServerError",
            Self::TooLarge => "TooLarge",
            Self::TooManyRequests => "TooManyRequests",
            Self::Unauthorized => "Unauthorized",
            Self::UnexpectedAnswer => "UnexpectedAnswer",
        }
    }
}

/// The words by which etcd, and the API server's client of it, say that an object is too large.
const TOO_LARGE: [&str; 2] = [
    "request is too large",
    "trying to send message larger than max",
];

/// The meaning of an answer that is no success.
pub(crate) fn classify(code: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Fault {
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let text = if status.message.is_empty() {
        String::from_utf8_lossy(body)
    } else {
        status.message.as_str().into()
    };
    match code.as_u16() {
        500.. if text.contains("database space exceeded") => {
            Fault::Held(FaultReason::EtcdFull, Scope::All)
        }
        409 if status.reason == "AlreadyExists" => Fault::Exists,
        409 => Fault::Passing(FaultReason::Conflict, retry_after),
        413 => Fault::TooLarge,
        500 if TOO_LARGE.iter().any(|says| text.contains(says)) => Fault::TooLarge,
        422 => Fault::Refused(FaultReason::Invalid),
        403 => forbidden(&status, &text),
        404 if details(&status).is_some_and(|d| d.kind == "namespaces") => Fault::NamespaceGone,
        404 => Fault::Held(FaultReason::CustomResourceDefinitionMissing, Scope::All),
        400 => Fault::Held(FaultReason::BadRequest, Scope::All),
        401 => Fault::Held(FaultReason::Unauthorized, Scope::All),
        429 => Fault::Passing(FaultReason::TooManyRequests, retry_after),
        500.. => Fault::Passing(FaultReason::ServerError, retry_after),
        _ => Fault::Held(FaultReason::UnexpectedAnswer, Scope::All),
    }
}

fn details(status: &Status) -> Option<&kube::core::response::StatusDetails> {
    status.details.as_ref()
}

fn forbidden(status: &Status, text: &str) -> Fault {
    let terminating = details(status)
        .is_some_and(|d| d.causes.iter().any(|c| c.reason == "NamespaceTerminating"));
    if terminating {
        Fault::NamespaceGone
    } else if text.contains("exceeded quota")
        || text.contains("insufficient quota")
        || text.contains("failed quota")
    {
        Fault::Held(FaultReason::QuotaExceeded, Scope::Namespace)
    } else {
        // A right that was taken away concerns everything, a policy or a webhook often one namespace only.
        Fault::Held(FaultReason::Forbidden, Scope::Unclear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Option<Duration> = Some(Duration::from_secs(3));
    const DENIED: Fault = Fault::Held(FaultReason::Forbidden, Scope::Unclear);

    const fn all(reason: FaultReason) -> Fault {
        Fault::Held(reason, Scope::All)
    }

    const fn passing(reason: FaultReason) -> Fault {
        Fault::Passing(reason, AFTER)
    }

    /// Answers whose body is a Status: its code, message, reason and details.
    const STATUSES: &[(u16, &str, &str, &str, Fault)] = &[
        (409, "exists", "AlreadyExists", "{}", Fault::Exists),
        (
            409,
            "Operation cannot be fulfilled on resourcequotas",
            "Conflict",
            "{}",
            passing(FaultReason::Conflict),
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
            "rpc error: code = ResourceExhausted desc = trying to send message larger than max \
             (2097333 vs. 2097152)",
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
            429,
            "storage is (re)initializing",
            "TooManyRequests",
            "{}",
            passing(FaultReason::TooManyRequests),
        ),
        (
            422,
            "invalid",
            "Invalid",
            "{}",
            Fault::Refused(FaultReason::Invalid),
        ),
        (
            403,
            "x is being terminated",
            "Forbidden",
            r#"{"causes":[{"reason":"NamespaceTerminating"}]}"#,
            Fault::NamespaceGone,
        ),
        (
            403,
            "exceeded quota: q",
            "Forbidden",
            "{}",
            Fault::Held(FaultReason::QuotaExceeded, Scope::Namespace),
        ),
        (403, "cannot create resource", "Forbidden", "{}", DENIED),
        (
            403,
            "denied: etcdserver: mvcc: database space exceeded",
            "Forbidden",
            "{}",
            DENIED,
        ),
        (
            422,
            "database space exceeded",
            "Invalid",
            "{}",
            Fault::Refused(FaultReason::Invalid),
        ),
        (
            404,
            "namespaces n not found",
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

    /// Answers whose body is none of a Status.
    const TEXTS: &[(u16, &str, Fault)] = &[
        (413, "limit is 3145728", Fault::TooLarge),
        (503, "no endpoints", passing(FaultReason::ServerError)),
        (
            404,
            "404 page not found",
            all(FaultReason::CustomResourceDefinitionMissing),
        ),
        (301, "", all(FaultReason::UnexpectedAnswer)),
    ];

    const LABELS: &[(FaultReason, &str)] = &[
        (FaultReason::BadRequest, "BadRequest"),
        (FaultReason::Compare, "Compare"),
        (FaultReason::Conflict, "Conflict"),
        (
            FaultReason::CustomResourceDefinitionMissing,
            "CustomResourceDefinitionMissing",
        ),
        (FaultReason::EtcdFull, "EtcdFull"),
        (FaultReason::Forbidden, "Forbidden"),
        (FaultReason::Invalid, "Invalid"),
        (FaultReason::NamespaceGone, "NamespaceGone"),
        (FaultReason::Network, "Network"),
        (FaultReason::QuotaExceeded, "QuotaExceeded"),
        (FaultReason::ServerError, "ServerError"),
        (FaultReason::TooLarge, "TooLarge"),
        (FaultReason::TooManyRequests, "TooManyRequests"),
        (FaultReason::Unauthorized, "Unauthorized"),
        (FaultReason::UnexpectedAnswer, "UnexpectedAnswer"),
    ];

    fn answer(code: u16, body: &str) -> Fault {
        let code = StatusCode::from_u16(code).expect("a status");
        classify(code, AFTER, body.as_bytes())
    }

    #[test]
    fn every_answer_has_a_meaning() {
        for (code, message, reason, details, expected) in STATUSES {
            let body = format!(
                r#"{{"kind":"Status","status":"Failure","message":"{message}","reason":"{reason}","details":{details}}}"#
            );
            assert_eq!(answer(*code, &body), *expected, "{code} {body}");
        }
        for (code, body, expected) in TEXTS {
            assert_eq!(answer(*code, body), *expected, "{code} {body}");
        }
    }

    #[test]
    fn a_reason_keeps_its_label() {
        for (reason, label) in LABELS {
            assert_eq!(reason.as_str(), *label);
        }
    }
}
