//! One request of the writer and its answer.
//!
//! In: a Revision or a status patch. Out: an [`ApiAnswer`], or the error because of which there is none within the
//! deadline.

use super::super::fault::{Fault, classify};
use super::super::queue::StatusPatch;
use crate::redact::Names;
use crate::revision::{FIELD_MANAGER, GROUP, PLURAL, Revision, VERSION};
use crate::text::{cut, prefix, visible_line};
use http::{HeaderMap, Request, Response, StatusCode, header, request};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use std::time::Duration;
use tokio::time::timeout;

/// A create that takes longer is repeated: its name makes that safe. The API server asks a webhook for up to 30 seconds.
const CREATE_DEADLINE: Duration = Duration::from_secs(35);
/// The deadline of everything else.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// An API server, or a proxy before it, cannot make the writer wait for longer.
const LONGEST_RETRY_AFTER: u64 = 60;
/// The longest message of a failure, in characters.
const MAX_MESSAGE: usize = 300;
/// So many characters of it are searched for secrets: one that is cut off in the middle is not recognised.
const MAX_READ: usize = 16 * MAX_MESSAGE;

/// Asks for metadata only: the answer to a create is not read.
const ACCEPT: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// An answer of the API server. The body is kept only if it is one of a failure.
pub(super) struct ApiAnswer {
    code: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl ApiAnswer {
    pub(super) fn is_success(&self) -> bool {
        self.code.is_success()
    }

    /// The meaning of an answer that is no success.
    pub(super) fn fault(&self) -> Fault {
        classify(self.code, self.retry_after, &self.body)
    }

    /// Whether a failure is about the object called `name`.
    pub(super) fn is_about(&self, name: &str) -> bool {
        self.status()
            .details
            .is_some_and(|details| details.name == name)
    }

    /// The words of the API server, or of a policy or a webhook. They may repeat the object, so they are cut, and secrets
    /// in them are hidden.
    pub(super) fn message(&self, names: &Names) -> String {
        let status = self.status();
        let text = if status.message.is_empty() {
            String::from_utf8_lossy(&self.body).into_owned()
        } else {
            status.message
        };
        let shown = names.text(prefix(&text, MAX_READ));
        cut(&visible_line(&shown), MAX_MESSAGE).into_owned()
    }

    fn status(&self) -> Status {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Creates a Revision.
pub(super) async fn post(client: &Client, revision: &Revision) -> anyhow::Result<ApiAnswer> {
    let namespace = revision.metadata.namespace.as_deref().unwrap_or_default();
    let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}");
    // Strict, or an old definition would prune a new field into an object that cannot change.
    let uri = format!("{path}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict");
    let body = serde_json::to_vec(revision)?;
    let create = Request::post(uri);
    send(client, create, "application/json", body, CREATE_DEADLINE).await
}

/// Patches the recorder's own fields of a Revision's status.
pub(super) async fn patch_status(
    client: &Client,
    patch: &StatusPatch,
) -> anyhow::Result<ApiAnswer> {
    let StatusPatch {
        namespace, name, ..
    } = patch;
    let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}/status");
    let uri = format!("{path}?fieldManager={FIELD_MANAGER}");
    let body = patch.body()?;
    send(
        client,
        Request::patch(uri),
        "application/merge-patch+json",
        body,
        DEADLINE,
    )
    .await
}

async fn send(
    client: &Client,
    request: request::Builder,
    content_type: &str,
    body: Vec<u8>,
    deadline: Duration,
) -> anyhow::Result<ApiAnswer> {
    let request = request
        .header(header::CONTENT_TYPE, content_type)
        .header(header::ACCEPT, ACCEPT)
        .body(Body::from(body))?;
    timeout(deadline, read(client.send(request))).await?
}

async fn read(
    answer: impl Future<Output = kube::Result<Response<Body>>>,
) -> anyhow::Result<ApiAnswer> {
    let answer = answer.await?;
    let code = answer.status();
    let retry_after = retry_after(answer.headers());
    // The body is read even when it is not used, so that the connection can be used again.
    let read = answer.into_body().collect().await?.to_bytes();
    let body = if code.is_success() {
        Vec::new()
    } else {
        read.to_vec()
    };
    Ok(ApiAnswer {
        code,
        retry_after,
        body,
    })
}

/// The wait that an answer asks for, bounded.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_a_refusal_repeat_no_secret_of_the_object() {
        let message = |text: &str| {
            let body = serde_json::json!({"kind": "Status", "code": 422, "message": text});
            let answer = ApiAnswer {
                code: StatusCode::UNPROCESSABLE_ENTITY,
                retry_after: None,
                body: body.to_string().into_bytes(),
            };
            answer.message(&Names::default())
        };
        let shown = message("spec.changeCause: Invalid value: \"set HF_TOKEN=hunter2x\": too long");
        assert!(
            shown.contains("HF_TOKEN=[redacted]") && !shown.contains("hunter2"),
            "{shown}"
        );
        assert_eq!(message("a\u{202e}b"), "a\\u{202e}b");
        let cut = message(&"x ".repeat(4 * MAX_READ));
        assert_eq!(cut.chars().count(), MAX_MESSAGE);
    }
}
