//! What a bare client reaches: the same bytes, the same number of connections, nothing decided and nothing kept.

use crate::CONNECTIONS;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt;
use http::Request;
use http::request::Builder;
use http_body_util::BodyExt;
use kube::Client;
use kube::api::WatchEvent;
use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Creates every body in `namespace`; returns how many a second.
pub(crate) async fn creates(client: &Client, namespace: &str, bodies: Vec<String>) -> f64 {
    let create = |body| creation(namespace, body);
    writes(client, bodies.into_iter().map(create).collect()).await
}

/// Replaces Revisions by these, which have their resourceVersions; returns how many a second.
pub(crate) async fn replaces(client: &Client, revisions: &[Value]) -> f64 {
    let replacement = |revision: &Value| {
        let meta = |field: &str| revision["metadata"][field].as_str().expect("a name");
        let collection = collection(meta("namespace"));
        let request = Request::put(format!("{collection}/{}", meta("name")));
        with_body(request, revision.to_string())
    };
    writes(client, revisions.iter().map(replacement).collect()).await
}

/// Sends all of these; returns how many a second.
async fn writes(client: &Client, requests: Vec<Request<Body>>) -> f64 {
    let count = requests.len();
    let requests = Arc::new(tokio::sync::Mutex::new(requests));
    let started = std::time::Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let client = client.clone();
        let requests = requests.clone();
        tasks.spawn(async move {
            loop {
                let Some(request) = requests.lock().await.pop() else {
                    return;
                };
                send(&client, request).await;
            }
        });
    }
    tasks.join_all().await;
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    count / started.elapsed().as_secs_f64()
}

fn collection(namespace: &str) -> String {
    format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions")
}

fn creation(namespace: &str, body: String) -> Request<Body> {
    let uri = format!("{}?fieldValidation=Strict", collection(namespace));
    with_body(Request::post(uri), body)
}

fn with_body(request: Builder, body: String) -> Request<Body> {
    let request = request.header("content-type", "application/json");
    request
        .body(Body::from(body.into_bytes()))
        .expect("a request")
}

async fn send(client: &Client, request: Request<Body>) {
    let answer = client.send(request).await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.into_body().collect().await.expect("a body");
}

/// Reads a collection page by page and drops it.
pub(crate) async fn list(client: &Client, path: &str) {
    let mut token = String::new();
    loop {
        let request = Request::get(format!("{path}?limit=500&continue={token}")).body(Vec::new());
        let text = client
            .request_text(request.expect("a request"))
            .await
            .expect("a page");
        let page: Page = serde_json::from_str(&text).expect("a page");
        token = page.metadata.token;
        if token.is_empty() {
            return;
        }
    }
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
}

#[derive(Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    token: String,
}

#[derive(Deserialize)]
struct Object<'a> {
    metadata: Metadata,
    #[serde(borrow)]
    spec: &'a RawValue,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: String,
    uid: String,
    generation: i64,
}

/// Watches InferenceServices of `namespace` and creates one Revision per event, of about the same size as the
/// product's: with `view`, which is one of the product's own.
pub(crate) async fn watch_and_post(
    client: Client,
    namespace: String,
    resource_version: String,
    view: Arc<str>,
) {
    let path = format!("/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices");
    let request = Request::get(format!(
        "{path}?watch=true&resourceVersion={resource_version}"
    ))
    .body(Vec::new());
    let events = client
        .request_events::<Box<RawValue>>(request.expect("a request"))
        .await
        .expect("a watch");
    let mut events = std::pin::pin!(events);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Some(event) = events.next().await {
        let Ok(WatchEvent::Added(raw) | WatchEvent::Modified(raw)) = event else {
            continue;
        };
        let client = client.clone();
        let namespace = namespace.clone();
        let view = view.clone();
        let place = places.clone().acquire_owned().await.expect("open");
        tokio::spawn(async move {
            send(&client, creation(&namespace, revision(&raw, &view))).await;
            drop(place);
        });
    }
}

fn revision(raw: &RawValue, view: &str) -> String {
    let Object { metadata, spec } = serde_json::from_str(raw.get()).expect("an object");
    let Metadata {
        name,
        namespace,
        uid,
        generation,
    } = metadata;
    // As much of the object as a snapshot has.
    let kept = format!(
        r#"{{"apiVersion":"serving.kserve.io/v1beta1","kind":"InferenceService","metadata":{{"name":"{name}","namespace":"{namespace}"}},"spec":{spec}}}"#
    );
    let mut gzip = GzEncoder::new(Vec::new(), Compression::new(6));
    gzip.write_all(kept.as_bytes()).expect("memory");
    let data = BASE64_STANDARD.encode(gzip.finish().expect("memory"));
    format!(
        r#"{{"apiVersion":"revisor.dev/v1alpha1","kind":"Revision","metadata":{{"name":"{name}-floor-{generation:05}","labels":{{"revisor.dev/workload-uid":"{uid}","revisor.dev/workload-kind":"InferenceService"}}}},"spec":{{"id":"{uid}","type":"Change","workload":{{"apiVersion":"serving.kserve.io/v1beta1","kind":"InferenceService","name":"{name}","uid":"{uid}"}},"generation":{generation},"resourceVersion":"1","observedVia":"Watch","changeTime":"2026-01-01T00:00:00Z","changeTimeSource":"Observed","via":{{"manager":"e2e","operation":"Update"}},"contentDigest":"sha256:{:064}","snapshot":{{"encoding":"gzip+base64","size":{},"data":"{data}"}},"view":{view}}}}}"#,
        0,
        kept.len()
    )
}

/// Bytes of what was posted to create a Revision, on average: what is stored, without what the API server adds.
pub(crate) fn mean_size(stored: &[Value]) -> f64 {
    let size = |revision: &Value| {
        let metadata =
            json!({"name": revision["metadata"]["name"], "labels": revision["metadata"]["labels"]});
        json!({"metadata": metadata, "spec": revision["spec"]})
            .to_string()
            .len()
    };
    #[allow(clippy::cast_precision_loss)]
    let mean = stored.iter().map(size).sum::<usize>() as f64 / stored.len() as f64;
    mean
}
