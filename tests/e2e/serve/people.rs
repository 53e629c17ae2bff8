//! ServiceAccounts with rights, and their tokens.

use crate::support::{World, post, send};
use http::Method;
use kube::Client;
use serde_json::{Value, json};

/// Makes a ServiceAccount.
pub async fn account(client: &Client, namespace: &str, name: &str) {
    let body = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    post(
        client,
        &format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
        &body,
    )
    .await;
}

/// A token of a ServiceAccount, as `kubectl create token` makes it.
pub async fn token(client: &Client, namespace: &str, name: &str, audiences: &[&str]) -> String {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let spec = if audiences.is_empty() {
        json!({})
    } else {
        json!({ "audiences": audiences })
    };
    let body =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let (status, body) = send(
        client,
        Method::POST,
        &path,
        "application/json",
        &body.to_string(),
    )
    .await;
    assert_eq!(status, 201, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    answer["status"]["token"]
        .as_str()
        .expect("a token")
        .to_owned()
}

/// Gives a ServiceAccount rules in a namespace, or in all of them.
pub async fn grant(
    client: &Client,
    (namespace, name): (&str, &str),
    within: Option<&str>,
    rules: &Value,
) {
    let (prefix, base) = match within {
        None => ("Cluster", "/apis/rbac.authorization.k8s.io/v1/".to_owned()),
        Some(within) => (
            "",
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{within}/"),
        ),
    };
    let api = "rbac.authorization.k8s.io/v1";
    let role = format!("{prefix}Role");
    let binding = format!("{prefix}RoleBinding");
    let named = format!("{namespace}-{name}");
    let body =
        json!({"apiVersion": api, "kind": role, "metadata": {"name": named}, "rules": rules});
    post(client, &format!("{base}{}s", role.to_lowercase()), &body).await;
    let body = json!({
        "apiVersion": api, "kind": binding, "metadata": {"name": named},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": named},
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}],
    });
    post(client, &format!("{base}{}s", binding.to_lowercase()), &body).await;
}

pub fn read_revisions() -> Value {
    json!([{"apiGroups": ["revisor.dev"], "resources": ["revisions"], "verbs": ["get", "list"]}])
}

/// Tokens of callers with all kinds of rights.
pub struct People {
    /// May read in `namespace`.
    pub reader: String,
    /// May read everywhere.
    pub everywhere: String,
    /// May read, but not here.
    pub elsewhere: String,
    /// May nothing.
    pub nobody: String,
}

impl People {
    pub async fn of(world: &World, namespace: &str) -> Self {
        let client = world.client().await;
        let other = world.namespace("elsewhere").await;
        for name in ["reader", "everywhere", "elsewhere", "nobody"] {
            account(&client, namespace, name).await;
        }
        grant(
            &client,
            (namespace, "reader"),
            Some(namespace),
            &read_revisions(),
        )
        .await;
        grant(&client, (namespace, "everywhere"), None, &read_revisions()).await;
        grant(
            &client,
            (namespace, "elsewhere"),
            Some(&other),
            &read_revisions(),
        )
        .await;
        Self {
            reader: token(&client, namespace, "reader", &[]).await,
            everywhere: token(&client, namespace, "everywhere", &[]).await,
            elsewhere: token(&client, namespace, "elsewhere", &[]).await,
            nobody: token(&client, namespace, "nobody", &[]).await,
        }
    }
}
