//! An installation for the tests that look at it from outside: a control plane with nodes, the manifests applied, and a
//! process for each pod of the Deployment.

use super::kubectl::{apply, kubectl};
use super::owners;
use super::pod::Replica;
use crate::serve::people::{account, token};
use crate::serve::rest::Rest;
use crate::support::{eventually, post, read};
use devcluster::{Cluster, Component, Options};
use kube::Client;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OnceCell};

/// The manifests with the settings of the tests.
pub const MANIFESTS: &str = "tests/fixtures/installed";
const SELECTOR: &str = "app.kubernetes.io/name=revisor";

/// The installation.
pub struct Stage {
    pub cluster: Cluster,
    pub replicas: Vec<Replica>,
    /// The pod of the first replica, as the API server has it.
    pub pod: Value,
    /// Held by the test that takes the certificate away.
    pub certificate: Mutex<()>,
}

/// One for all tests.
pub async fn stage() -> &'static Stage {
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    STAGE.get_or_init(Stage::start).await
}

impl Stage {
    async fn start() -> Self {
        let cluster = Cluster::start(&Options {
            audit: true,
            ..Options::full()
        })
        .expect("a cluster");
        cluster.apply(&owners::definitions()).expect("definitions");
        apply(&cluster, "crds").quietly();
        // Quotas count kinds that were there when it began at once, and later ones only after half a minute.
        cluster
            .restart(Component::ControllerManager)
            .expect("it starts again");
        for folder in [MANIFESTS, "deploy/guard"] {
            apply(&cluster, folder).quietly();
        }
        let wait = [
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=20s",
        ];
        kubectl(&cluster, &wait);
        let client = crate::support::client(cluster.kubeconfig()).await;
        let pods = pods(&cluster, &client).await;
        let mut replicas = Vec::new();
        for pod in &pods {
            let replica = Replica::start(&cluster, &client, pod).await;
            forward(&client, &replica).await;
            replicas.push(replica);
        }
        let stage = Self {
            cluster,
            replicas,
            pod: pods.into_iter().next().expect("a pod"),
            certificate: Mutex::default(),
        };
        stage.wait_ready();
        stage
    }

    /// Waits until the probe of the Deployment says so of every replica.
    fn wait_ready(&self) {
        for replica in &self.replicas {
            let is_ready = || replica.probe(self.probe("readinessProbe")).status.success();
            assert!(
                eventually(Duration::from_secs(40), is_ready),
                "{:?}\n{}",
                replica.probe(self.probe("readinessProbe")),
                replica.process.log()
            );
        }
    }

    /// A probe of the container.
    pub fn probe(&self, name: &str) -> &Value {
        &self.pod["spec"]["containers"][0][name]
    }

    pub async fn client(&self) -> Client {
        crate::support::client(self.cluster.kubeconfig()).await
    }

    /// Makes a namespace with an account in it that may read Revisions there; its token for Revisor.
    pub async fn team(&self, namespace: &str) -> String {
        let client = self.client().await;
        let body =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        post(&client, "/api/v1/namespaces", &body).await;
        let quota = json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"},
            "spec": {"hard": {"count/revisions.revisor.dev": "200"}},
        });
        let quotas = format!("/api/v1/namespaces/{namespace}/resourcequotas");
        post(&client, &quotas, &quota).await;
        let counted = ["-n", namespace, "wait", "--for=jsonpath={.status.hard}"];
        kubectl(
            &self.cluster,
            &[&counted[..], &["resourcequota/team"]].concat(),
        )
        .quietly();
        account(&client, namespace, "dashboard").await;
        let binding = [
            "-n",
            namespace,
            "create",
            "rolebinding",
            "dashboard",
            "--clusterrole=revisor-reader",
            &format!("--serviceaccount={namespace}:dashboard"),
        ];
        kubectl(&self.cluster, &binding).quietly();
        token(&client, namespace, "dashboard", &["revisor.dev"]).await
    }

    /// Waits until a quota says what is used: before, nothing that it counts can be made.
    pub fn wait_counted(&self, namespace: &str, quota: &str) {
        let quota = format!("resourcequota/{quota}");
        let used = ["--for=jsonpath={.status.used}", "--timeout=60s"];
        let wait = [&["-n", namespace, "wait", &quota][..], &used].concat();
        kubectl(&self.cluster, &wait).quietly();
    }

    /// The authorities that are published now, in DER.
    pub async fn authorities(&self) -> Vec<Vec<u8>> {
        let path = "/api/v1/namespaces/revisor/configmaps/revisor-ca";
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let map = read(&self.client().await, path).await;
            let text = map["data"]["ca.crt"].as_str().unwrap_or_default();
            let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
                .map(|der| der.expect("PEM").to_vec())
                .collect();
            // One test empties it, and it is filled again.
            if !found.is_empty() {
                return found;
            }
            assert!(Instant::now() < deadline, "nothing is published");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The read API of a replica, to a caller that trusts what is published.
    pub async fn rest(&self, replica: &Replica) -> Rest {
        let authorities = self.authorities().await;
        Rest::trusting(replica.process.rest, &authorities[0])
    }
}

/// The pods of the Deployment, once they run.
async fn pods(cluster: &Cluster, client: &Client) -> Vec<Value> {
    let path = format!("/api/v1/namespaces/revisor/pods?labelSelector={SELECTOR}");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let list = read(client, &path).await;
        let items = list["items"].as_array().expect("a list").clone();
        let running = items
            .iter()
            .filter(|pod| pod["status"]["phase"] == "Running");
        if running.count() == 2 {
            return items;
        }
        assert!(
            Instant::now() < deadline,
            "{:?}",
            kubectl(cluster, &["-n", "revisor", "get", "events,pods"])
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Leads the ports of the pod to its process.
async fn forward(client: &Client, replica: &Replica) {
    let target = |port: u16| json!({"address": "127.0.0.1", "port": port});
    let body = json!({
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "PortForward",
        "metadata": {"name": replica.name},
        "spec": {"forwards": [
            {"ports": [8081], "target": target(replica.process.admin)},
            {"ports": [8443], "target": target(replica.process.rest)},
        ]},
    });
    let path = "/apis/kwok.x-k8s.io/v1alpha1/namespaces/revisor/portforwards";
    post(client, path, &body).await;
}
