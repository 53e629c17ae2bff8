//! Asks, before anything is written, whether the installed definition of Revisions knows every field that is written.
//!
//! In: the dry run of a create with every field there is; nothing is stored by it. Out: the start is refused where the
//! definition is older, goes on, or waits until it is installed. Without this check an older definition would refuse
//! each Revision with an error that names no remedy.

use crate::client::backoff::{Waits, backoff};
use crate::revision::{FIELD_MANAGER, GROUP, PLURAL, VERSION, schema};
use crate::serve::admin::Readiness;
use http::{Request, header};
use kube::Client;
use kube::core::Status;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// First wait before the question is asked again, and the longest.
const WAITS: Waits = (Duration::from_secs(1), Duration::from_secs(10));
/// The start goes on when there is no answer within this time.
const DEADLINE: Duration = Duration::from_secs(10);
/// The command that installs the definition of this version.
const REMEDY: &str = "kubectl apply --server-side -k crds/";

/// The API server's answer about the definition.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It knows every field.
    Current,
    /// It does not know these fields.
    Older(Vec<String>),
    /// It is not installed.
    Missing,
    /// The API server does not say, for this reason.
    Unknown(String),
}

/// Asks once.
///
/// # Errors
/// When the definition is older; names the fields that it does not know. A definition that is missing, and a right or a
/// connection, may come later.
pub(super) async fn check(client: &Client, namespace: &str) -> anyhow::Result<()> {
    match ask(client, namespace).await {
        Verdict::Older(fields) => anyhow::bail!(
            "the CustomResourceDefinition revisions.revisor.dev is older than this version and does not know {}: {REMEDY}",
            fields.join(", ")
        ),
        Verdict::Current | Verdict::Missing | Verdict::Unknown(_) => Ok(()),
    }
}

/// Returns when the definition is current, or when the API server does not say whether it is: an older one refuses every
/// Revision, so the start need not wait for a right or for a webhook. `ready` names the definition meanwhile.
pub(super) async fn wait_until_current(client: &Client, namespace: &str, ready: &Readiness) {
    let mut failures = 0;
    loop {
        match ask(client, namespace).await {
            Verdict::Current => break,
            Verdict::Unknown(message) => {
                tracing::warn!(
                    namespace,
                    message,
                    "whether the definition of Revisions is current could not be asked; going on"
                );
                break;
            }
            Verdict::Older(fields) => refuse_older(ready, &fields.join(", ")),
            Verdict::Missing => refuse_missing(ready),
        }
        failures += 1;
        sleep(backoff(WAITS, failures)).await;
    }
    // The gates of the tasks that start now take the place of this one.
    ready.reset();
}

fn refuse_older(ready: &Readiness, fields: &str) {
    tracing::error!(
        fields,
        "the installed CustomResourceDefinition revisions.revisor.dev is older than this version and does not know \
         these fields; nothing is recorded before it is replaced: `{REMEDY}`"
    );
    wait_for(
        ready,
        &format!("a definition of Revisions that knows {fields}"),
    );
}

fn refuse_missing(ready: &Readiness) {
    tracing::error!(
        "the CustomResourceDefinition revisions.revisor.dev is not installed: `{REMEDY}`"
    );
    wait_for(ready, "the definition of Revisions");
}

/// Names the definition in `ready`, in place of an earlier answer.
fn wait_for(ready: &Readiness, definition: &str) {
    ready.reset();
    // A closed gate stays closed without its sender.
    drop(ready.gate(format!("{definition} ({REMEDY})")));
}

async fn ask(client: &Client, namespace: &str) -> Verdict {
    let request = match request(namespace) {
        Ok(request) => request,
        Err(error) => return Verdict::Unknown(error.to_string()),
    };
    match timeout(DEADLINE, client.request_text(request)).await {
        Ok(Ok(_)) => Verdict::Current,
        Ok(Err(kube::Error::Api(status))) => judge(&status),
        Ok(Err(error)) => Verdict::Unknown(error.to_string()),
        Err(late) => Verdict::Unknown(late.to_string()),
    }
}

fn request(namespace: &str) -> anyhow::Result<Request<Vec<u8>>> {
    let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}");
    let uri = format!("{path}?dryRun=All&fieldManager={FIELD_MANAGER}&fieldValidation=Strict");
    let body = serde_json::to_vec(&schema::example()?)?;
    Ok(Request::post(uri)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)?)
}

/// The meaning of a refusal. Fields are decoded before anything else but the right to create is looked at.
fn judge(status: &Status) -> Verdict {
    let fields = unknown_fields(&status.message);
    let is_about_namespace = status
        .details
        .as_ref()
        .is_some_and(|details| details.kind == "namespaces");
    match status.code {
        // Fields are looked at before values are.
        409 | 422 => Verdict::Current,
        400 if !fields.is_empty() => Verdict::Older(fields),
        404 if !is_about_namespace => Verdict::Missing,
        _ => Verdict::Unknown(status.message.clone()),
    }
}

/// The fields that the API server's own sentence about strict decoding names. A webhook's words begin otherwise.
fn unknown_fields(message: &str) -> Vec<String> {
    if !message.starts_with("Revision in version \"") {
        return Vec::new();
    }
    message
        .split("unknown field \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;
    use kube::client::Body;
    use serde_json::{Value, json};
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    const OLDER: &str = r#"Revision in version "v1alpha1" cannot be handled as a Revision: strict decoding error: unknown field "spec.author", unknown field "spec.previous""#;

    fn status(code: u16, message: &str, kind: &str) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": "", "details": {"kind": kind}})
    }

    fn verdict(code: u16, message: &str, kind: &str) -> Verdict {
        let status = serde_json::from_value(status(code, message, kind)).expect("a Status");
        judge(&status)
    }

    #[test]
    fn only_the_api_servers_own_words_about_fields_and_the_definition_hold_the_start() {
        let fields = ["spec.author", "spec.previous"].map(str::to_owned).to_vec();
        assert_eq!(verdict(400, OLDER, ""), Verdict::Older(fields));
        assert_eq!(
            verdict(409, "already exists", "revisions"),
            Verdict::Current
        );
        assert_eq!(
            verdict(
                404,
                "the server could not find the requested resource",
                "revisions"
            ),
            Verdict::Missing
        );
        for (code, message, kind) in [
            (404, "namespaces \"x\" not found", "namespaces"),
            (403, "revisions.revisor.dev is forbidden", "revisions"),
            (
                400,
                "admission webhook \"w\" denied the request: unknown field \"spec.previous\"",
                "",
            ),
            (
                400,
                "admission webhook \"w\" does not support dry run",
                "revisions",
            ),
            (503, "apiserver not ready", ""),
        ] {
            let expected = Verdict::Unknown(message.to_owned());
            assert_eq!(verdict(code, message, kind), expected);
        }
    }

    /// A server that gives these answers, one after the other.
    fn server(answers: Vec<(u16, Value)>) -> Client {
        let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
        let service = tower::service_fn(move |request: Request<Body>| {
            let uri = request.uri().to_string();
            assert!(
                uri.contains("/namespaces/own/revisions?dryRun=All")
                    && uri.contains("fieldValidation=Strict"),
                "{uri}"
            );
            let answer = answers.lock().expect("no panic").pop_front();
            let (code, body) = answer.expect("no more questions");
            let response = Response::builder().status(code);
            let response = response.body(Body::from(body.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(response.expect("a response")) }
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_definition_is_named_until_it_is_replaced() {
        let client = server(vec![
            (404, status(404, "404 page not found", "")),
            (400, status(400, OLDER, "")),
            (400, status(400, OLDER, "")),
            (201, json!({})),
        ]);
        let ready = Readiness::default();
        let waiting = wait_until_current(&client, "own", &ready);
        let looking = async {
            let mut shown: Vec<Vec<String>> = Vec::new();
            for _ in 0..400 {
                sleep(Duration::from_millis(10)).await;
                let missing = ready.missing();
                if shown.last() != Some(&missing) {
                    shown.push(missing);
                }
            }
            shown
        };
        let (shown, ()) = tokio::join!(looking, waiting);
        let expected = [
            format!("the definition of Revisions ({REMEDY})"),
            format!("a definition of Revisions that knows spec.author, spec.previous ({REMEDY})"),
        ];
        assert_eq!(shown[..2].concat(), expected);
        assert_eq!(ready.missing(), ["start"], "the tasks have their own gates");
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_right_to_ask_the_start_goes_on() {
        let client = server(vec![(403, status(403, "forbidden", ""))]);
        wait_until_current(&client, "own", &Readiness::default()).await;
    }
}
