//! A real Kubernetes control plane on loopback: etcd, kube-apiserver and, if wanted, controller-manager, scheduler
//! and kwok with fake GPU nodes. For tests, benchmarks and the demo.
//!
//! [`binaries`] finds or builds the programs, [`Cluster::start`] runs them. Whatever happens to the process that
//! started a cluster, nothing of it stays behind: every program hangs on a pipe of its parent.

#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks measure real time"
)]

mod binaries;
mod certificates;
mod cluster;
mod components;
mod operators;
mod process;

pub use binaries::{Binaries, Program, binaries};
pub use cluster::Cluster;
pub use operators::{Companion, Operator, OperatorFiles};

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What a cluster is made of.
// One switch for each program that a cluster may or may not have.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug)]
pub struct Options {
    /// How many API servers share the etcd.
    pub api_servers: usize,
    /// How often history is compacted; five minutes when not given.
    pub compaction_interval: Option<Duration>,
    /// How large etcd's database may grow; etcd's default when not given.
    pub quota_backend_bytes: Option<u64>,
    /// Whether there is a kube-controller-manager.
    pub controller_manager: bool,
    /// Whether there is a kube-scheduler.
    pub scheduler: bool,
    /// Whether all controllers act under the account of the controller-manager, instead of one each.
    pub one_account: bool,
    /// Whether the API servers log who asked for what: [`Cluster::audit_log`].
    pub audit: bool,
    /// Whether there are nodes, played by kwok. An object of the kind PortForward says where ports of a pod lead to.
    pub kwok: bool,
    /// Whether etcd announces every five seconds how far it has come; every ten minutes otherwise.
    pub announces: bool,
    /// Whether etcd waits for the disk.
    pub fsync: bool,
    /// GOMAXPROCS of every program.
    pub go_max_procs: Option<u32>,
    /// Where everything is kept; without it a temporary folder, removed at the end.
    pub directory: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self::minimal()
    }
}

impl Options {
    /// etcd and one API server.
    pub fn minimal() -> Self {
        Self {
            api_servers: 1,
            compaction_interval: None,
            quota_backend_bytes: None,
            controller_manager: false,
            scheduler: false,
            one_account: false,
            audit: false,
            kwok: false,
            announces: true,
            fsync: false,
            go_max_procs: Some(1),
            directory: None,
        }
    }

    /// Everything, with two pools of two GPU nodes.
    pub fn full() -> Self {
        Self {
            controller_manager: true,
            scheduler: true,
            kwok: true,
            ..Self::minimal()
        }
    }
}

/// One program of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// The store.
    Etcd,
    /// An API server, by number from 0.
    ApiServer(usize),
    /// Deployments, ReplicaSets, autoscaling, garbage collection, namespaces.
    ControllerManager,
    /// Pods to nodes.
    Scheduler,
    /// Plays the kubelets.
    Kwok,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etcd => f.write_str("etcd"),
            Self::ApiServer(0) => f.write_str("kube-apiserver"),
            Self::ApiServer(number) => write!(f, "kube-apiserver-{number}"),
            Self::ControllerManager => f.write_str("kube-controller-manager"),
            Self::Scheduler => f.write_str("kube-scheduler"),
            Self::Kwok => f.write_str("kwok"),
        }
    }
}

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something of the operating system failed.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What came of it.
        error: std::io::Error,
    },
    /// A program is neither there nor can it be built.
    #[error("{0}")]
    Binaries(String),
    /// A certificate could not be made.
    #[error("certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// A component ended, or did not become ready.
    #[error("{component} {what}; the end of its log:\n{log}")]
    Component {
        /// Which.
        component: Component,
        /// What it did.
        what: &'static str,
        /// The last lines it wrote.
        log: String,
    },
    /// A component that this cluster does not have.
    #[error("this cluster has no {0}")]
    NoSuchComponent(Component),
    /// kubectl refused.
    #[error("kubectl {0}")]
    Kubectl(String),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;
