//! `revisor status`: the state of a running Revisor.
//!
//! In: `/readyz`, `/status` and `/metrics` of its admin port. Out: tables, JSON or YAML.

mod admin;
mod kinds;
mod replica;
mod samples;

use crate::config::Output;
use admin::AdminPort;
use anyhow::Context;
use clap::Args;
use kinds::KindStatus;
use replica::{Hold, Replica};
use samples::Samples;
use serde::Serialize;
use std::path::PathBuf;

/// Flags of `revisor status`.
#[derive(Args, Debug, Clone)]
pub struct StatusArgs {
    /// Where its admin port is
    #[arg(
        long,
        env = "REVISOR_ADMIN",
        hide_env_values = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8081"
    )]
    pub admin: String,
    /// File with the token to show at an https:// address; in a pod that of its service account
    #[arg(
        long,
        env = "REVISOR_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub token_file: Option<PathBuf>,
    /// Certificate authority, in PEM, that signed its certificate
    #[arg(
        long,
        env = "REVISOR_CERTIFICATE_AUTHORITY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub certificate_authority: Option<PathBuf>,
    /// Take any certificate, such as one that Revisor made itself
    #[arg(long, conflicts_with = "certificate_authority")]
    pub insecure_skip_tls_verify: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// All that is printed.
#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Status {
    ready: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    leads: bool,
    queued_revisions: u64,
    queued_bytes: i64,
    holds: Vec<Hold>,
    etcd_rewinds: f64,
    checkpoint_failures: f64,
    kinds: Vec<KindStatus>,
}

impl Status {
    fn new(ready: String, replica: Replica, samples: &Samples<'_>) -> Self {
        Self {
            ready,
            version: replica.version,
            identity: replica.identity,
            leads: replica.leads,
            queued_revisions: replica.queue.writes,
            queued_bytes: replica.queue.bytes,
            holds: replica.holds,
            etcd_rewinds: samples.total("revisor_etcd_rewinds_total"),
            checkpoint_failures: samples.total("revisor_checkpoint_failures_total"),
            kinds: samples
                .kinds()
                .into_iter()
                .map(|kind| KindStatus::read(kind, samples))
                .collect(),
        }
    }
}

/// Asks a running Revisor.
///
/// # Errors
/// When it does not answer, or when the caller lacks the right to get `/status` or `/metrics`.
pub(super) async fn status(args: &StatusArgs) -> anyhow::Result<String> {
    let port = AdminPort::new(args)?;
    let ready = port.probe().await?;
    let body = port.read("/status").await?;
    let replica: Replica = serde_json::from_str(&body)
        .with_context(|| format!("{}/status is not the status of a Revisor", args.admin))?;
    let metrics = port.read("/metrics").await?;
    let status = Status::new(ready, replica, &Samples::parse(&metrics));
    Ok(match args.output {
        Output::Json => serde_json::to_string_pretty(&status)? + "\n",
        Output::Yaml => serde_saphyr::to_string(&status)?,
        Output::Table => tables(&status),
    })
}

/// The summary, the holds when there are any, and the kinds.
fn tables(status: &Status) -> String {
    let parts = [
        summary(status),
        replica::table(&status.holds),
        kinds::table(&status.kinds),
    ];
    let filled: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    filled.join("\n")
}

fn summary(status: &Status) -> String {
    let identity = status.identity.as_deref().unwrap_or("unnamed");
    let role = if status.leads { "leads" } else { "follows" };
    format!(
        "ready: {}\nreplica: {identity}, version {}, {role}\nqueue: {} Revisions, {} bytes\n\
         holds: {}\netcd rewinds: {}\ncheckpoint failures: {}\n",
        status.ready,
        status.version,
        status.queued_revisions,
        status.queued_bytes,
        status.holds.len(),
        status.etcd_rewinds,
        status.checkpoint_failures,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, kind};
    use serde_json::{Value, json};

    fn status(holds: &Value) -> Status {
        let body = json!({
            "version": "1.2.3",
            "identity": "replica-0",
            "leads": false,
            "ready": true,
            "waitingFor": [],
            "queue": {"writes": 41, "bytes": 2048},
            "holds": holds,
        });
        let replica = serde_json::from_value(body).expect("a replica");
        let metrics = Metrics::new();
        metrics.recorded.get_or_create(&kind("Deployment")).inc();
        let text = metrics.encode();
        Status::new("ok".to_owned(), replica, &Samples::parse(&text))
    }

    #[test]
    fn holds_have_a_table_of_their_own() {
        let hold = json!({
            "reason": "QuotaExceeded",
            "namespace": "team-a",
            "since": "2026-03-01T10:00:00.5Z",
        });
        let status = status(&json!([hold]));
        let text = tables(&status);
        let expected = "ready: ok\n\
                        replica: replica-0, version 1.2.3, follows\n\
                        queue: 41 Revisions, 2048 bytes\n\
                        holds: 1\n\
                        etcd rewinds: 0\n\
                        checkpoint failures: 0\n\
                        \n\
                        HELD            NAMESPACE   WORKLOAD   SINCE\n\
                        QuotaExceeded   team-a      *          2026-03-01T10:00:00Z\n\
                        \n\
                        KIND ";
        assert!(text.starts_with(expected), "{text}");
        let printed = serde_json::to_value(&status).expect("JSON");
        assert_eq!(printed["holds"][0]["reason"], "QuotaExceeded");
        assert_eq!(printed["holds"][0]["namespace"], "team-a");
        assert_eq!(printed["kinds"][0]["kind"], "Deployment");
    }

    #[test]
    fn without_holds_there_is_no_table_of_them() {
        let text = tables(&status(&json!([])));
        assert!(text.contains("holds: 0\n"), "{text}");
        assert!(text.contains("checkpoint failures: 0\n\nKIND "), "{text}");
        assert!(!text.contains("HELD"), "{text}");
    }
}
