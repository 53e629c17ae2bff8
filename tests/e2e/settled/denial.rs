//! Policies that deny the create of Revisions, in one namespace each.

use super::stage::plain_client;
use crate::support::{World, post, send};
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const API: &str = "admissionregistration.k8s.io/v1";

/// A ValidatingAdmissionPolicy and its binding; both have the name of their namespace.
pub struct Denial {
    client: Client,
    namespace: String,
}

/// The one validation of a policy.
pub struct Validation<'a> {
    /// CEL: a Revision of which it is false is denied.
    pub expression: &'a str,
    /// The reason of the answer, which decides its code; without one the API server takes Invalid.
    pub reason: Option<&'a str>,
    pub message: &'a str,
}

impl Denial {
    /// Installs a policy, and waits until it denies a Revision such as `like`.
    pub async fn begin(
        world: &World,
        namespace: &str,
        validation: &Validation<'_>,
        like: &Value,
    ) -> Self {
        let client = world.client().await;
        let policy = policy(namespace, validation);
        post(&client, &path("validatingadmissionpolicies", ""), &policy).await;
        let binding = binding(namespace);
        let bindings = path("validatingadmissionpolicybindings", "");
        post(&client, &bindings, &binding).await;
        wait_refused(world, namespace, like).await;
        Self {
            client,
            namespace: namespace.to_owned(),
        }
    }

    /// Removes the policy.
    pub async fn end(self) {
        for resource in [
            "validatingadmissionpolicybindings",
            "validatingadmissionpolicies",
        ] {
            let path = path(resource, &self.namespace);
            let (code, body) =
                send(&self.client, Method::DELETE, &path, "application/json", "").await;
            assert_eq!(code, 200, "{body}");
        }
    }
}

fn path(resource: &str, name: &str) -> String {
    format!("/apis/{API}/{resource}/{name}")
        .trim_end_matches('/')
        .to_owned()
}

fn policy(name: &str, validation: &Validation<'_>) -> Value {
    let mut rule = json!({"expression": validation.expression, "message": validation.message});
    if let Some(reason) = validation.reason {
        rule["reason"] = reason.into();
    }
    json!({
        "apiVersion": API, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["revisor.dev"], "apiVersions": ["*"],
                "operations": ["CREATE"], "resources": ["revisions"],
            }]},
            "validations": [rule],
        },
    })
}

fn binding(namespace: &str) -> Value {
    json!({
        "apiVersion": API, "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": namespace},
        "spec": {
            "policyName": namespace, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": only(namespace)},
        },
    })
}

/// A selector of one namespace.
pub fn only(namespace: &str) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}})
}

/// Waits until a policy or a webhook refuses the create of a Revision such as `like`. Each trial is
/// a dry run.
pub async fn wait_refused(world: &World, namespace: &str, like: &Value) {
    let client = plain_client(world.cluster.kubeconfig()).await;
    let path = format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions?dryRun=All");
    let trial = json!({
        "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
        "metadata": {"name": "trial", "namespace": namespace}, "spec": like["spec"],
    })
    .to_string();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (code, body) = send(&client, Method::POST, &path, "application/json", &trial).await;
        if code >= 400
            && ["denied", "failed calling"]
                .iter()
                .any(|word| body.contains(word))
        {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{namespace} refuses nothing: {code} {body}"
        );
        sleep(Duration::from_millis(200)).await;
    }
}
