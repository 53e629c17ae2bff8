//! A cluster with one operator, and Revisor.

use crate::support::{Revisor, client, command, free_port, post};
use devcluster::{Cluster, Companion, Operator, OperatorFiles, Options};
use kube::Client;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

const FLAGS: &[&str] = &["--log", "info,revisor::observe=debug"];

pub struct Stage {
    /// Before the cluster, so that it ends first.
    pub operator: Option<Companion>,
    pub revisor: Revisor,
    pub cluster: Cluster,
    pub client: Client,
    pub files: OperatorFiles,
}

/// Whether scenes of an operator are asked for.
pub fn is_asked_for(operator: Operator) -> bool {
    std::env::var("OPERATOR").map_or(true, |name| name == operator.name())
}

impl Stage {
    /// Everything but the operator, whose definitions are there.
    pub async fn set(operator: Operator, definitions: &[&str]) -> Self {
        let files = operator.files().expect("an operator");
        let cluster = Cluster::start(&Options {
            go_max_procs: None,
            ..Options::full()
        })
        .expect("a cluster");
        let revisions = command(&["crds"]);
        cluster
            .apply(&String::from_utf8_lossy(&revisions.stdout))
            .expect("the definition of Revisions");
        for file in definitions {
            let path = files.manifests.join(file);
            let text = std::fs::read_to_string(&path).expect("a definition");
            cluster.apply(&text).expect("a definition");
        }
        let client = client(cluster.kubeconfig()).await;
        let stage = Self {
            operator: None,
            revisor: Revisor::start(cluster.kubeconfig(), FLAGS),
            cluster,
            client,
            files,
        };
        stage.kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=60s",
        ]);
        stage
    }

    /// Starts the operator.
    pub fn run(&mut self, arguments: &[String], environment: &[(String, String)]) {
        let operator = self
            .cluster
            .run("operator", &self.files.program, arguments, environment);
        self.operator = Some(operator.expect("an operator"));
    }

    /// Waits until the operator listens.
    pub fn wait_for_port(&self, port: u16) {
        let operator = self.operator.as_ref().expect("it was started");
        operator.wait_for_port(port).expect("it listens");
    }

    /// Ends Revisor and starts it again.
    pub fn restart(&mut self, signal: &str) {
        self.revisor.signal(signal);
        self.revisor.exit_code();
        self.revisor = Revisor::start(self.cluster.kubeconfig(), FLAGS);
    }

    /// A folder for the operator.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.cluster.directory().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    /// Puts the certificate for webhooks into a folder, under the names that operators look for.
    pub fn certificates(&self, folder: &std::path::Path) {
        std::fs::create_dir_all(folder).expect("a folder");
        let (certificate, key) = self.cluster.serving_certificate();
        std::fs::copy(certificate, folder.join("tls.crt")).expect("a copy");
        std::fs::copy(key, folder.join("tls.key")).expect("a copy");
    }

    pub async fn namespace(&self, purpose: &str) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{purpose}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        post(&self.client, "/api/v1/namespaces", &body).await;
        name
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let out = self.cluster.kubectl().args(arguments).output();
        let out = out.expect("kubectl");
        assert!(
            out.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).expect("text")
    }

    /// `kubectl apply` of one object; its errors.
    pub fn apply(&self, namespace: &str, file: &Value, flags: &[&str]) -> Result<(), String> {
        let mut text = tempfile::NamedTempFile::new().expect("a file");
        text.write_all(file.to_string().as_bytes())
            .expect("written");
        let mut kubectl = self.cluster.kubectl();
        kubectl
            .args(["apply", "-n", namespace, "-f"])
            .arg(text.path());
        let out = kubectl.args(flags).output().expect("kubectl");
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        out.status.success().then_some(()).ok_or(told)
    }

    /// Runs the plugin; it must succeed. Standard error.
    pub fn plugin(&self, namespace: &str, arguments: &[&str]) -> String {
        let mut plugin = Command::new(env!("CARGO_BIN_EXE_kubectl-revisor"));
        plugin
            .args(arguments)
            .args(["-n", namespace, "--kubeconfig"]);
        let out = plugin
            .arg(self.cluster.kubeconfig())
            .output()
            .expect("the plugin");
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{arguments:?}: {told}");
        told
    }

    /// What to look at when a scene fails.
    pub fn logs(&self) -> String {
        let operator = self.operator.as_ref().map(Companion::tail);
        format!(
            "operator:\n{}\nrevisor:\n{}",
            operator.unwrap_or_default(),
            self.revisor.log()
        )
    }
}

/// A port that nothing listens on.
pub fn port() -> u16 {
    free_port()
}
