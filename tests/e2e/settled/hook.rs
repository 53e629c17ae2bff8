//! Webhooks that refuse Revisions, each in one namespace.

use super::denial::only;
use super::https::{Handler, Reply, Server, answer};
use crate::support::{World, post, send};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kube::Client;
use serde_json::{Value, json};

const CONFIGURATIONS: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// The way in which a webhook refuses.
#[derive(Clone)]
pub enum Refusal {
    /// It answers with this Status.
    Status(Value),
    /// It never answers.
    Silence,
}

/// The server behind the webhooks. The number of a refusal is its path.
struct Reviewer {
    refusals: Vec<Refusal>,
}

impl Handler for Reviewer {
    async fn handle(&self, request: Request<Incoming>) -> Response<Reply> {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let number: usize = path.parse().expect("a number");
        let body = request.into_body().collect().await.expect("a body");
        let review: Value = serde_json::from_slice(&body.to_bytes()).expect("a review");
        let Refusal::Status(status) = &self.refusals[number] else {
            return std::future::pending().await;
        };
        let response = json!({"uid": review["request"]["uid"], "allowed": false, "status": status});
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response,
        });
        answer(200, &review)
    }
}

/// Webhooks that are installed, and their server.
pub struct Hooks {
    client: Client,
    name: String,
    /// Answers until it is dropped.
    _server: Server,
}

impl Hooks {
    /// Installs a webhook for each namespace. The API server waits `timeout` seconds for an answer.
    pub async fn install(world: &World, cases: &[(String, Refusal)], timeout: u32) -> Self {
        let client = world.client().await;
        let refusals = cases.iter().map(|(_, refusal)| refusal.clone()).collect();
        let server = Server::start(Reviewer { refusals }).await;
        let webhooks: Vec<_> = cases
            .iter()
            .enumerate()
            .map(|(number, (namespace, _))| webhook(&server, number, namespace, timeout))
            .collect();
        let name = cases[0].0.clone();
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name}, "webhooks": webhooks,
        });
        post(&client, CONFIGURATIONS, &configuration).await;
        Self {
            client,
            name,
            _server: server,
        }
    }

    /// Removes all of them.
    pub async fn remove(self) {
        let path = format!("{CONFIGURATIONS}/{}", self.name);
        let (code, body) = send(&self.client, Method::DELETE, &path, "application/json", "").await;
        assert_eq!(code, 200, "{body}");
    }
}

fn webhook(server: &Server, number: usize, namespace: &str, timeout: u32) -> Value {
    json!({
        "name": format!("hook-{number}.e2e.example.com"),
        "clientConfig": {
            "url": format!("{}/{number}", server.url()), "caBundle": server.authority(),
        },
        "rules": [{
            "apiGroups": ["revisor.dev"], "apiVersions": ["*"],
            "operations": ["CREATE"], "resources": ["revisions"],
        }],
        "namespaceSelector": only(namespace), "failurePolicy": "Fail", "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "timeoutSeconds": timeout,
    })
}
