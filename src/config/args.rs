//! Flags that several commands share.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Which cluster.
#[derive(Args, Debug, Clone, Default)]
pub struct ClusterArgs {
    /// Kubeconfig file; without it the pod's own service account, or else $KUBECONFIG and ~/.kube/config
    #[arg(
        long,
        env = "REVISOR_KUBECONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub kubeconfig: Option<PathBuf>,
}

/// How a command prints.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Columns.
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}
