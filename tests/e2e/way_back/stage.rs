//! Shared by these tests: a cluster with the definitions of every kind, one `revisor run`, and the plugin.

use crate::observe::definitions;
use crate::support::{Kind, Meta, Revisor, World, read};
use devcluster::Options;
use kube::Client;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(super) struct Stage {
    pub(super) world: World,
    pub(super) revisor: Revisor,
}

/// One cluster with controllers for all of these tests.
pub(super) fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let world = World::start(&Options {
            controller_manager: true,
            ..Options::minimal()
        });
        world.define(&definitions());
        let revisor = Revisor::start(world.cluster.kubeconfig(), &[]);
        Stage { world, revisor }
    })
}

/// The end of a program.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self {
            code: output.status.code().expect("an exit code"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Ran {
    /// Its output, when it ended with 0.
    pub(super) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// It ended with this code, and standard error has these words.
    pub(super) fn failed(&self, code: i32, words: &str) {
        assert!(
            self.code == code && self.err.contains(words),
            "{words}: {self:?}"
        );
    }
}

impl Stage {
    pub(super) fn plugin_command(&self, namespace: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-revisor"));
        command
            .args(arguments)
            .args(["-n", namespace, "--kubeconfig"])
            .arg(self.world.cluster.kubeconfig())
            .env_remove("KUBECTL_EXTERNAL_DIFF")
            .stdin(Stdio::null());
        command
    }

    /// Runs the plugin to its end.
    pub(super) fn plugin(&self, namespace: &str, arguments: &[&str]) -> Ran {
        let output = self.plugin_command(namespace, arguments).output();
        output.expect("the plugin").into()
    }

    /// Runs kubectl with a manifest on its standard input.
    pub(super) fn kubectl(&self, namespace: &str, arguments: &[&str], manifest: &Value) -> Ran {
        let mut kubectl = self.world.cluster.kubectl();
        kubectl
            .args(["-n", namespace])
            .args(arguments)
            .stdin(Stdio::piped());
        let mut child = kubectl
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl");
        let mut input = child.stdin.take().expect("a pipe");
        input
            .write_all(manifest.to_string().as_bytes())
            .expect("written");
        drop(input);
        child.wait_with_output().expect("kubectl").into()
    }

    pub(super) async fn client(&self) -> Client {
        self.world.client().await
    }

    /// Waits until the live state of an object is recorded; its metadata.
    pub(super) async fn recorded(&self, kind: Kind, path: &str) -> Meta {
        let object = read(&self.client().await, path).await;
        let meta: Meta = serde_json::from_value(object["metadata"].clone()).expect("metadata");
        self.revisor.wait_recorded(kind, meta.version());
        meta
    }

    pub(super) async fn spec(&self, path: &str) -> Value {
        read(&self.client().await, path).await["spec"].clone()
    }

    /// Waits until `wanted` holds of an object.
    pub(super) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let client = self.client().await;
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let object = read(&client, path).await;
            if wanted(&object) {
                return object;
            }
            assert!(Instant::now() < deadline, "{path}: {object}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
