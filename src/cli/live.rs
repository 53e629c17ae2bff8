//! Workloads as they are now, and what is written to them.

use super::connection::Session;
use super::types::Types;
use crate::kinds::GroupKind;
use crate::workload::Resource;
use anyhow::{Context, anyhow};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;

/// Where a workload is served.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Its type, in the version that is used.
    pub(super) resource: Resource,
    /// Its namespace.
    pub(super) namespace: String,
    /// metadata.name.
    pub(super) name: String,
}

/// An answer of the API server.
#[derive(Debug)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) code: u16,
    /// The object, or the Status.
    pub(super) body: Value,
    /// Warnings in its headers.
    pub(super) warnings: Vec<String>,
}

impl Place {
    /// Where objects of a kind are served, in the version that they were recorded in when that is still served.
    pub(super) async fn find(
        session: &Session,
        types: &Types,
        kind: &GroupKind,
        api_version: &str,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<Self> {
        let version = api_version.rsplit('/').next().unwrap_or_default();
        Ok(Self {
            resource: types.resource(session, kind, version).await?,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The resource as RBAC names it.
    pub(super) fn rbac(&self) -> String {
        let Resource { plural, group, .. } = &self.resource;
        if group.is_empty() {
            plural.clone()
        } else {
            format!("{plural}.{group}")
        }
    }

    /// The URL path of the collection.
    pub(super) fn collection(&self) -> String {
        self.resource.path(Some(&self.namespace))
    }

    /// The URL path of the object.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    /// The object as it is now; none when it is not there.
    pub(super) async fn read(&self, session: &Session) -> anyhow::Result<Option<Value>> {
        let answer = send(session, Method::GET, &self.path(), None, &Value::Null).await?;
        match answer.code {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            _ => Err(self.refused(session, "get", &answer)),
        }
    }

    /// The error that an answer is.
    pub(super) fn refused(&self, session: &Session, verb: &str, answer: &Answer) -> anyhow::Error {
        let error = kube::Error::Api(Box::new(answer.status()));
        session.explain(error, verb, &self.rbac(), Some(&self.namespace))
    }
}

impl Answer {
    /// Whether the request was carried out.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The words of the API server.
    pub(super) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// The fields that it refuses, each with the reason.
    pub(super) fn causes(&self) -> Vec<(String, String)> {
        let causes = self.body["details"]["causes"]
            .as_array()
            .into_iter()
            .flatten();
        let text = |cause: &Value, key: &str| cause[key].as_str().unwrap_or_default().to_owned();
        causes
            .map(|cause| (text(cause, "field"), text(cause, "message")))
            .collect()
    }

    fn status(&self) -> kube::core::Status {
        kube::core::Status::failure(
            self.message(),
            self.body["reason"].as_str().unwrap_or_default(),
        )
        .with_code(self.code)
    }
}

/// The content type of a JSON Patch.
pub(super) const JSON_PATCH: &str = "application/json-patch+json";

/// Sends a request, and reads the answer whatever its status.
pub(super) async fn send(
    session: &Session,
    method: Method,
    path: &str,
    content_type: Option<&str>,
    body: &Value,
) -> anyhow::Result<Answer> {
    let mut request = Request::builder().method(method).uri(path);
    let mut bytes = Vec::new();
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
        bytes = serde_json::to_vec(body)?;
    }
    let request = request.body(Body::from(bytes)).context("a request")?;
    let answer = session.client.send(request).await;
    let answer = answer.map_err(|error| session.explain(error, "get", "the answer", None))?;
    read(answer).await
}

async fn read(answer: Response<Body>) -> anyhow::Result<Answer> {
    let code = answer.status();
    let headers = answer.headers().get_all("warning").iter();
    let warnings = headers
        .filter_map(|it| it.to_str().ok())
        .map(warning)
        .collect();
    let body = answer
        .into_body()
        .collect()
        .await
        .map_err(|error| anyhow!("the answer breaks off: {error}"))?;
    Ok(Answer {
        code: code.as_u16(),
        body: body_of(code, &body.to_bytes())?,
        warnings,
    })
}

/// A path that is not served is answered by plain text.
fn body_of(code: StatusCode, bytes: &[u8]) -> anyhow::Result<Value> {
    match serde_json::from_slice(bytes) {
        Ok(body) => Ok(body),
        Err(_) if !code.is_success() => {
            let text = String::from_utf8_lossy(bytes);
            Ok(serde_json::json!({"message": format!("{} ({code})", text.trim())}))
        }
        Err(_) => Err(anyhow!("the answer is no JSON, or is nested too deeply")),
    }
}

/// The text of a header `299 - "text"`.
fn warning(header: &str) -> String {
    let text = header.split_once('"').map_or(header, |(_, text)| text);
    let text = text.strip_suffix('"').unwrap_or(text);
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read_without_their_code() {
        let header = r#"299 - "unknown field \"spec.old\"""#;
        assert_eq!(warning(header), "unknown field \"spec.old\"");
        assert_eq!(warning("odd"), "odd");
    }

    #[test]
    fn an_answer_that_is_no_json_is_still_read_when_it_is_an_error() {
        let body = body_of(StatusCode::NOT_FOUND, b"404 page not found\n").expect("a body");
        assert_eq!(body["message"], "404 page not found (404 Not Found)");
        assert!(body_of(StatusCode::OK, b"hello").is_err());
    }
}
