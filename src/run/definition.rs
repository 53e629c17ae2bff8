//! Compares the installed definition of Revisions with this program: an older one would refuse every Revision.
//!
//! In: one create that is a dry run, with every field there is, under strict validation. The API server names the fields
//! that it does not know before it looks at anything else.

use crate::revision::schema;
use anyhow::bail;
use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::timeout;

/// An API server that does not answer in this time is not waited for: recording waits for it anyway.
const DEADLINE: Duration = Duration::from_secs(10);

/// The part of an API server's refusal that matters here.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// Asks the API server whether it knows every field that is written.
///
/// # Errors
/// When its definition is older; names the fields. Whatever else it answers, or does not, is no error here: a missing
/// definition, right or connection may come later, and is reported where it holds up recording.
pub(super) async fn check(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let Ok(Ok(text)) = timeout(DEADLINE, ask(client, namespace)).await else {
        return Ok(());
    };
    let Ok(refusal) = serde_json::from_str::<Refusal>(&text) else {
        return Ok(());
    };
    let fields = unknown_fields(&refusal.message);
    if !fields.is_empty() {
        bail!(
            "the CustomResourceDefinition revisions.revisor.dev is older than this program and does not know {}: \
             kubectl apply --server-side -k crds/",
            fields.join(", ")
        );
    }
    Ok(())
}

/// The body of the answer to the dry run.
async fn ask(client: &Client, namespace: &str) -> anyhow::Result<String> {
    let path = format!(
        "/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions?dryRun=All&fieldValidation=Strict"
    );
    let body = serde_json::to_vec(&schema::example()?)?;
    let request = Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))?;
    let answer = client.send(request).await?;
    let body = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The fields that a strict decoding error names.
fn unknown_fields(message: &str) -> Vec<&str> {
    if !message.contains("strict decoding error") {
        return Vec::new();
    }
    message
        .split("unknown field \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_that_the_definition_lacks_are_named() {
        let message = "Revision in version \"v1alpha1\" cannot be handled as a Revision: strict decoding error: \
                       unknown field \"spec.author\", unknown field \"spec.rollbackOf\"";
        assert_eq!(unknown_fields(message), ["spec.author", "spec.rollbackOf"]);
        let other = "revisions.revisor.dev is forbidden: unknown field \"x\"";
        assert!(unknown_fields(other).is_empty());
    }
}
