//! The shared cluster, running `revisor` processes, requests to the API server, and waiting for conditions.

// The benchmarks use these files too, from a folder of their own: without the paths they would be looked for there.
#[path = "support/process.rs"]
mod process;
#[path = "support/requests.rs"]
mod requests;
#[path = "support/stored.rs"]
mod stored;
#[path = "support/world.rs"]
mod world;

#[allow(unused_imports, reason = "the benchmarks do not use all of it")]
pub use process::{Binary, Revisor, eventually, free_port, get};
#[allow(unused_imports, reason = "the benchmarks do not use all of it")]
pub use requests::{Meta, client, client_as, edit, patch, post, post_text, read, send};
#[allow(unused_imports, reason = "the benchmarks do not use all of it")]
pub use stored::{gaps, recorded, revisions, snapshot};
pub use world::World;

use devcluster::Options;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Kinds as they are called here: kind, API path, and how etcd's keys name it.
pub const DEPLOYMENT: Kind = Kind {
    kind: "Deployment",
    api: "apis/apps/v1",
    plural: "deployments",
    registry: "deployments",
};
pub const STATEFUL_SET: Kind = Kind {
    kind: "StatefulSet",
    api: "apis/apps/v1",
    plural: "statefulsets",
    registry: "statefulsets",
};
pub const INFERENCE_SERVICE: Kind = Kind {
    kind: "InferenceService",
    api: "apis/serving.kserve.io/v1beta1",
    plural: "inferenceservices",
    registry: "serving.kserve.io/inferenceservices",
};
pub const LEADER_WORKER_SET: Kind = Kind {
    kind: "LeaderWorkerSet",
    api: "apis/leaderworkerset.x-k8s.io/v1",
    plural: "leaderworkersets",
    registry: "leaderworkerset.x-k8s.io/leaderworkersets",
};
pub const KINDS: [Kind; 4] = [
    DEPLOYMENT,
    STATEFUL_SET,
    INFERENCE_SERVICE,
    LEADER_WORKER_SET,
];

#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub kind: &'static str,
    pub api: &'static str,
    pub plural: &'static str,
    pub registry: &'static str,
}

impl Kind {
    pub fn path(&self, namespace: &str) -> String {
        format!("/{}/namespaces/{namespace}/{}", self.api, self.plural)
    }

    /// The example manifest of this kind.
    pub fn example(&self) -> Value {
        let file = fixtures().join(format!("workloads/{}.yaml", self.kind.to_lowercase()));
        let text = std::fs::read_to_string(&file).expect("a fixture");
        serde_saphyr::from_str(&text).expect("YAML")
    }
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// One cluster for all tests that do not disturb it.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        World::start(&Options {
            controller_manager: true,
            ..Options::minimal()
        })
    })
}

/// One `revisor run` for them.
pub fn revisor() -> &'static Revisor {
    static REVISOR: OnceLock<Revisor> = OnceLock::new();
    REVISOR.get_or_init(|| Revisor::start(world().cluster.kubeconfig(), &[]))
}

/// Runs a command of `revisor` to its end.
pub fn command(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_revisor"))
        .args(arguments)
        .output()
        .expect("revisor")
}
