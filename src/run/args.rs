//! Flags of `revisor run`, each of which is an environment variable too.

mod serving;

pub use serving::{Life, Origin, ServeArgs};

use crate::client::Clients;
use crate::config::ClusterArgs;
use crate::telemetry::LogFormat;
use clap::{ArgAction, Args};
use std::path::PathBuf;
use std::str::FromStr;

/// Flags of `revisor run`.
#[derive(Args, Debug, Clone)]
pub struct RunArgs {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Configuration file: kinds, autoscalers, snapshots, REST identity
    #[arg(
        long,
        env = "REVISOR_CONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub config: Option<PathBuf>,
    /// How the read API and the admin port are served.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Revisions waiting to be written take at most this much memory (suffixes KiB, MiB, GiB); then reading pauses
    #[arg(
        long,
        env = "REVISOR_QUEUE_BYTES",
        hide_env_values = true,
        value_name = "BYTES",
        default_value = "64MiB"
    )]
    pub queue_bytes: Bytes,
    /// Where the checkpoint is kept; without it the pod's own namespace, or that of the kubeconfig
    #[arg(
        long,
        env = "REVISOR_NAMESPACE",
        hide_env_values = true,
        value_name = "NAME"
    )]
    pub namespace: Option<String>,
    /// How often it is checked that no event was lost, in seconds
    #[arg(long, env = "REVISOR_AUDIT_SECONDS", hide_env_values = true, value_name = "SECONDS", default_value = "300", value_parser = clap::value_parser!(u32).range(1..))]
    pub audit_seconds: u32,
    /// How many Revisions of different workloads are written at the same time in one namespace
    #[arg(long, env = "REVISOR_WRITERS", hide_env_values = true, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub writers: u16,
    /// Whether the status of Revisions is observed: their phase, their pods, how they ended
    #[arg(long, env = "REVISOR_OBSERVE", hide_env_values = true, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub observe: bool,
    /// Whether replicas elect a leader, by a Lease; without it each does what one is enough for
    #[arg(long, env = "REVISOR_LEADER_ELECT", hide_env_values = true, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub leader_elect: bool,
    /// Name under which this replica stands for election; without it that of its host, which in a pod is the pod's
    #[arg(
        long,
        env = "REVISOR_IDENTITY",
        hide_env_values = true,
        value_name = "NAME"
    )]
    pub identity: Option<String>,
    /// How long a shutdown may take to write what is waiting, in seconds
    #[arg(
        long,
        env = "REVISOR_DRAIN_SECONDS",
        hide_env_values = true,
        value_name = "SECONDS",
        default_value = "25"
    )]
    pub drain_seconds: u32,
    /// How log lines look
    #[arg(long, env = "REVISOR_LOG_FORMAT", hide_env_values = true, value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// What is logged: a level, or directives such as info,revisor::watch=debug
    #[arg(
        long,
        env = "REVISOR_LOG",
        hide_env_values = true,
        value_name = "FILTER",
        default_value = "info"
    )]
    pub log: String,
}

impl RunArgs {
    /// Where the checkpoint and the Lease are.
    pub(super) fn namespace<'a>(&'a self, clients: &'a Clients) -> &'a str {
        self.namespace.as_deref().unwrap_or(&clients.namespace)
    }
}

/// A number of bytes: `65536`, `64KiB`, `8MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim() {
            "" => 1,
            "KiB" | "Ki" => 1 << 10,
            "MiB" | "Mi" => 1 << 20,
            "GiB" | "Gi" => 1 << 30,
            other => return Err(format!("unit {other:?} is not one of KiB, MiB, GiB")),
        };
        let number: usize = number
            .parse()
            .map_err(|_| format!("{text:?} is not a number of bytes"))?;
        let bytes = number
            .checked_mul(factor)
            .ok_or_else(|| format!("{text:?} is too large"))?;
        if bytes < 1 << 20 {
            Err(format!("{text:?} is less than 1MiB"))
        } else {
            Ok(Self(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units_and_a_least_size() {
        assert_eq!("8MiB".parse(), Ok(Bytes(8 << 20)));
        assert_eq!("2097152".parse(), Ok(Bytes(2 << 20)));
        for bad in ["", "MiB", "8MB", "1KiB", "99999999999GiB", "-1"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
    }
}
