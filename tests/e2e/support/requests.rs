//! Requests to the API server.

use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use std::path::Path;

pub async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("a config");
    Client::try_from(config).expect("a client")
}

/// The same, acting as `user`, with all that this user's groups bring.
#[allow(dead_code)] // The benchmarks do not use it.
pub async fn client_as(kubeconfig: &Path, user: &str) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("a config");
    config.auth_info.impersonate = Some(user.to_owned());
    Client::try_from(config).expect("a client")
}

/// Sends one request; the status and the body.
pub async fn send(
    client: &Client,
    method: Method,
    path: &str,
    content_type: &str,
    body: &str,
) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type);
    let request = request
        .body(kube::client::Body::from(body.to_owned().into_bytes()))
        .expect("a request");
    let answer = client.send(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(answer.into_body())
        .await
        .expect("a body")
        .to_bytes();
    (status, String::from_utf8(bytes.to_vec()).expect("text"))
}

/// Identity of a stored object.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    #[serde(default)]
    pub generation: i64,
}

impl Meta {
    pub fn version(&self) -> u64 {
        self.resource_version.parse().expect("a number")
    }
}

fn meta(path: &str, (status, body): (u16, String)) -> Meta {
    #[derive(serde::Deserialize)]
    struct Object {
        metadata: Meta,
    }
    assert!(
        (200..300).contains(&status),
        "{path}: {status} {}",
        body.chars().take(600).collect::<String>()
    );
    serde_json::from_str::<Object>(&body)
        .expect("an object")
        .metadata
}

pub async fn post(client: &Client, path: &str, body: &Value) -> Meta {
    post_text(client, path, &body.to_string()).await
}

pub async fn post_text(client: &Client, path: &str, body: &str) -> Meta {
    meta(
        path,
        send(client, Method::POST, path, "application/json", body).await,
    )
}

pub async fn patch(client: &Client, path: &str, patch: &Value) -> Meta {
    let uri = format!("{path}?fieldManager=e2e");
    meta(
        path,
        send(
            client,
            Method::PATCH,
            &uri,
            "application/merge-patch+json",
            &patch.to_string(),
        )
        .await,
    )
}

pub async fn read(client: &Client, path: &str) -> Value {
    let (status, body) = send(client, Method::GET, path, "application/json", "").await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

/// Edits one object `count` times, one after the other over one connection.
pub async fn edit(
    client: &Client,
    path: &str,
    count: usize,
    change: impl Fn(usize) -> Value,
) -> Meta {
    let mut last = None;
    for i in 0..count {
        last = Some(patch(client, path, &change(i)).await);
    }
    last.expect("at least one edit")
}
