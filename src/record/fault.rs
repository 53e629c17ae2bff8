//! What an answer of the API server to a create means. Pure.

use super::queue::Scope;
use http::StatusCode;
use kube::core::Status;
use std::time::Duration;

/// An answer other than "created".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A Revision of this name is there: compare.
    Exists,
    /// Larger than the API server or etcd takes: store it without data.
    TooLarge,
    /// It will never be taken.
    Refused(&'static str),
    /// Its namespace is going or gone, and its history with it.
    NamespaceGone,
    /// Somebody has to mend something first; tried again slowly, and loudly.
    Held(&'static str, Scope),
    /// Passes by itself.
    Passing(&'static str, Option<Duration>),
}

/// How etcd, and the API server's client of it, say that something is too large.
const TOO_LARGE: [&str; 2] = [
    "request is too large",
    "trying to send message larger than max",
];

/// Reads an answer.
pub(crate) fn classify(code: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Fault {
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let text = if status.message.is_empty() {
        String::from_utf8_lossy(body)
    } else {
        status.message.as_str().into()
    };
    match code.as_u16() {
        500.. if text.contains("database space exceeded") => Fault::Held("EtcdFull", Scope::All),
        409 if status.reason == "AlreadyExists" => Fault::Exists,
        409 => Fault::Passing("Conflict", retry_after),
        413 => Fault::TooLarge,
        500 if TOO_LARGE.iter().any(|says| text.contains(says)) => Fault::TooLarge,
        422 => Fault::Refused("Invalid"),
        403 => forbidden(&status, &text),
        404 if details(&status).is_some_and(|d| d.kind == "namespaces") => Fault::NamespaceGone,
        404 => Fault::Held("CustomResourceDefinitionMissing", Scope::All),
        400 => Fault::Held("BadRequest", Scope::All),
        401 => Fault::Held("Unauthorized", Scope::All),
        429 => Fault::Passing("TooManyRequests", retry_after),
        500.. => Fault::Passing("ServerError", retry_after),
        _ => Fault::Held("UnexpectedAnswer", Scope::All),
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
        Fault::Held("QuotaExceeded", Scope::Namespace)
    } else {
        // A right that was taken away concerns everything, a policy or a webhook often one namespace only.
        Fault::Held("Forbidden", Scope::Unclear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, body: &str) -> Fault {
        classify(
            StatusCode::from_u16(code).expect("a status"),
            Some(Duration::from_secs(3)),
            body.as_bytes(),
        )
    }

    #[test]
    fn every_answer_has_a_meaning() {
        let status = |message: &str, reason: &str, details: &str| {
            format!(
                r#"{{"kind":"Status","status":"Failure","message":"{message}","reason":"{reason}","details":{details}}}"#
            )
        };
        let all = |reason| Fault::Held(reason, Scope::All);
        let after = Some(Duration::from_secs(3));
        let denied = Fault::Held("Forbidden", Scope::Unclear);
        let message = "rpc error: code = ResourceExhausted desc = trying to send message larger than max \
            (2097333 vs. 2097152)";
        for (code, body, expected) in [
            (409, status("exists", "AlreadyExists", "{}"), Fault::Exists),
            (
                409,
                status(
                    "Operation cannot be fulfilled on resourcequotas",
                    "Conflict",
                    "{}",
                ),
                Fault::Passing("Conflict", after),
            ),
            (413, "limit is 3145728".into(), Fault::TooLarge),
            (
                500,
                status("etcdserver: request is too large", "", "{}"),
                Fault::TooLarge,
            ),
            (500, status(message, "", "{}"), Fault::TooLarge),
            (
                503,
                status("etcdserver: mvcc: database space exceeded", "", "{}"),
                all("EtcdFull"),
            ),
            (
                500,
                status("etcdserver: mvcc: database space exceeded", "", "{}"),
                all("EtcdFull"),
            ),
            (
                500,
                status("boom", "InternalError", "{}"),
                Fault::Passing("ServerError", after),
            ),
            (
                503,
                "no endpoints".into(),
                Fault::Passing("ServerError", after),
            ),
            (
                429,
                status("storage is (re)initializing", "TooManyRequests", "{}"),
                Fault::Passing("TooManyRequests", after),
            ),
            (
                422,
                status("invalid", "Invalid", "{}"),
                Fault::Refused("Invalid"),
            ),
            (
                403,
                status(
                    "x is being terminated",
                    "Forbidden",
                    r#"{"causes":[{"reason":"NamespaceTerminating"}]}"#,
                ),
                Fault::NamespaceGone,
            ),
            (
                403,
                status("exceeded quota: q", "Forbidden", "{}"),
                Fault::Held("QuotaExceeded", Scope::Namespace),
            ),
            (
                403,
                status("cannot create resource", "Forbidden", "{}"),
                denied.clone(),
            ),
            (
                403,
                status(
                    "denied: etcdserver: mvcc: database space exceeded",
                    "Forbidden",
                    "{}",
                ),
                denied,
            ),
            (
                422,
                status("database space exceeded", "Invalid", "{}"),
                Fault::Refused("Invalid"),
            ),
            (
                404,
                status(
                    "namespaces n not found",
                    "NotFound",
                    r#"{"kind":"namespaces"}"#,
                ),
                Fault::NamespaceGone,
            ),
            (
                404,
                "404 page not found".into(),
                all("CustomResourceDefinitionMissing"),
            ),
            (
                400,
                status("strict decoding error", "BadRequest", "{}"),
                all("BadRequest"),
            ),
            (
                401,
                status("Unauthorized", "Unauthorized", "{}"),
                all("Unauthorized"),
            ),
            (301, String::new(), all("UnexpectedAnswer")),
        ] {
            assert_eq!(answer(code, &body), expected, "{code} {body}");
        }
    }
}
