//! A cluster with a victim's namespace and an attacker's, and the attacker's own connection.

use crate::serve::people::{account, grant, token};
use crate::settled::{events, until};
use crate::support::{Revisor, World, get, post, read, send};
use devcluster::Options;
use http::Method;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::time::Duration;

/// Four times the ten seconds for which a Revision is a suspect, and one round of questions.
pub const SAID: Duration = Duration::from_secs(60);

/// A subject that may do everything in one namespace, and nothing elsewhere.
pub struct Tenant {
    pub client: Client,
    pub namespace: String,
}

impl Tenant {
    pub async fn of(world: &World, namespace: &str) -> Self {
        let admin = world.client().await;
        account(&admin, namespace, "tenant").await;
        let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
        grant(&admin, (namespace, "tenant"), Some(namespace), &all).await;
        let token = token(&admin, namespace, "tenant", &[]).await;
        let tenant = Self {
            client: with_token(world, &token).await,
            namespace: namespace.to_owned(),
        };
        tenant.wait_for_rights().await;
        tenant
    }

    /// Authorization learns of a binding a moment later.
    async fn wait_for_rights(&self) {
        let path = self.revisions();
        let may = async || {
            let list = send(&self.client, Method::GET, &path, "application/json", "");
            list.await.0 == 200
        };
        until(Duration::from_secs(20), "the tenant's rights", may).await;
    }

    /// The path of the Revisions in its namespace.
    pub fn revisions(&self) -> String {
        format!(
            "/apis/revisor.dev/v1alpha1/namespaces/{}/revisions",
            self.namespace
        )
    }

    /// Stores a Revision.
    pub async fn store(&self, revision: &Value) -> String {
        post(&self.client, &self.revisions(), revision).await.name
    }

    /// Patches the status of a Revision.
    pub async fn patch_status(&self, name: &str, status: &Value) {
        let path = format!("{}/{name}/status", self.revisions());
        let patch = json!({"status": status}).to_string();
        let kind = "application/merge-patch+json";
        let (code, body) = send(&self.client, Method::PATCH, &path, kind, &patch).await;
        assert_eq!(code, 200, "{body}");
    }
}

async fn with_token(world: &World, token: &str) -> Client {
    let kubeconfig = Kubeconfig::read_from(world.cluster.kubeconfig()).expect("a kubeconfig");
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("a config");
    config.auth_info = kube::config::AuthInfo {
        token: Some(token.to_owned().into()),
        ..kube::config::AuthInfo::default()
    };
    Client::try_from(config).expect("a client")
}

/// Two replicas of one installation.
pub fn two(world: &World) -> [Revisor; 2] {
    ["one", "two"].map(|_| Revisor::start(world.cluster.kubeconfig(), &[]))
}

pub fn start() -> World {
    World::start(&Options::minimal())
}

/// What a replica serves of a workload, newest first.
pub fn served(revisor: &Revisor, uid: &str) -> Vec<Value> {
    let path = format!("/api/v1/workloads/inferences/{uid}/revisions");
    let (status, body) = get(revisor.rest, &path).expect("an answer");
    if status == 404 {
        return Vec::new();
    }
    assert_eq!(status, 200, "{body}");
    let list: Value = serde_json::from_str(&body).expect("JSON");
    list["revisions"].as_array().expect("a list").clone()
}

/// The generations that are served.
pub fn generations(revisor: &Revisor, uid: &str) -> Vec<i64> {
    let all = served(revisor, uid);
    let generation = |one: &Value| one["additionalFields"]["generation"].as_i64();
    all.iter().filter_map(generation).collect()
}

/// Waits until exactly these are served.
pub async fn until_served(revisor: &Revisor, uid: &str, expected: &[i64]) {
    let is_served = async || generations(revisor, uid) == expected;
    until(
        Duration::from_secs(60),
        &format!("{expected:?} served"),
        is_served,
    )
    .await;
}

/// Waits until an Event about this Revision was sent, and the metric and the status of the replica say it too.
pub async fn until_said(
    revisor: &Revisor,
    client: &Client,
    namespace: &str,
    name: &str,
    why: &str,
) {
    let is_said = async || {
        let events = events(client, namespace, "RevisionForged").await;
        let names = |event: &Value| {
            let text = event["message"].as_str().unwrap_or_default();
            text.contains("not believed") && (text.contains(name) || text.contains("others"))
        };
        events.iter().any(names)
            && revisor.metric("revisor_revisions_forged", &format!("reason=\"{why}\"")) >= 1.0
    };
    until(
        SAID,
        &format!("{name} is said to be forged ({why})"),
        is_said,
    )
    .await;
    let (code, body) = get(revisor.admin, "/status").expect("an answer");
    let status: Value = serde_json::from_str(&body).expect("JSON");
    assert!(
        code == 200 && status["forged"].as_u64() >= Some(1),
        "{body}"
    );
}

pub async fn object(client: &Client, path: &str) -> Value {
    read(client, path).await
}
