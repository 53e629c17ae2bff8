//! `revisor status`: how a running Revisor is doing, from the metrics on its admin port.

use crate::config::Output;
use crate::table::columns;
use anyhow::{Context, bail};
use clap::Args;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 16 << 20;

/// Where a pod's own token is.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

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

/// What Revisor says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// One sample: a name, its labels and a value.
struct Sample<'a> {
    name: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    value: f64,
}

/// All that is printed.
#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Status {
    ready: String,
    queued_revisions: f64,
    queued_bytes: f64,
    held: Vec<String>,
    etcd_rewinds: f64,
    checkpoint_failures: f64,
    kinds: Vec<Kind>,
}

/// How the recording of one kind is doing. Places are resourceVersions.
#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Kind {
    kind: String,
    seen_through: f64,
    recorded_through: f64,
    checkpoint: f64,
    lag_seconds: f64,
    recorded: f64,
    quiet: f64,
    holes: f64,
    repaired: f64,
    lost: f64,
    in_gaps: f64,
    blind_intervals: f64,
    expired_watches: f64,
    audit_repairs: f64,
}

/// Asks a running Revisor.
///
/// # Errors
/// When it does not answer.
pub(super) async fn status(args: &StatusArgs) -> anyhow::Result<String> {
    let client = client(args)?;
    let (_, ready) = get(&client, args, "/readyz").await?;
    let (code, text) = get(&client, args, "/metrics").await?;
    if code != StatusCode::OK {
        let why =
            serde_json::from_str::<Refusal>(&text).map_or(String::new(), |refusal| refusal.message);
        bail!("{}/metrics answered {code} {why}", args.admin);
    }
    let status = read(ready, &text);
    Ok(match args.output {
        Output::Json => serde_json::to_string_pretty(&status)? + "\n",
        Output::Yaml => serde_saphyr::to_string(&status)?,
        Output::Table => table(&status),
    })
}

/// kube's client knows all there is to know about certificates and tokens.
fn client(args: &StatusArgs) -> anyhow::Result<Client> {
    let uri: Uri = args
        .admin
        .trim_end_matches('/')
        .parse()
        .with_context(|| format!("--admin {:?}", args.admin))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        bail!(
            "--admin {:?} is not an http:// or https:// address",
            args.admin
        );
    }
    let secure = uri.scheme_str() == Some("https");
    let mut config = Config::new(uri);
    config.default_retry = false;
    (config.connect_timeout, config.read_timeout) = (Some(DEADLINE), Some(DEADLINE));
    config.accept_invalid_certs = args.insecure_skip_tls_verify;
    if let Some(file) = &args.certificate_authority {
        let certificates =
            CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let certificates =
            certificates.with_context(|| format!("--certificate-authority {}", file.display()))?;
        config.root_cert = Some(
            certificates
                .iter()
                .map(|certificate| certificate.to_vec())
                .collect(),
        );
    }
    // A token is never sent where everybody could read it.
    let own = Path::new(POD_TOKEN);
    let token = args
        .token_file
        .as_deref()
        .or_else(|| own.exists().then_some(own))
        .filter(|_| secure);
    config.auth_info.token_file = token.map(|file| file.display().to_string());
    Ok(Client::try_from(config)?)
}

async fn get(
    client: &Client,
    args: &StatusArgs,
    path: &str,
) -> anyhow::Result<(StatusCode, String)> {
    let answer = timeout(
        DEADLINE,
        client.send(Request::get(path).body(Body::empty())?),
    )
    .await;
    let answer = answer
        .map_err(anyhow::Error::from)
        .and_then(|answer| answer.map_err(Into::into));
    let answer = answer.with_context(|| format!("no Revisor answers at {}", args.admin))?;
    let code = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect();
    let body = timeout(DEADLINE, body).await?;
    let body = body.map_err(|error| anyhow::anyhow!("{}{path}: {error}", args.admin))?;
    Ok((code, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

fn read(ready: String, text: &str) -> Status {
    let samples: Vec<_> = text.lines().filter_map(sample).collect();
    let total = |name: &str, kind: Option<&str>| {
        let of = samples.iter().filter(|s| {
            s.name == name && (kind.is_none() || s.labels.get("kind").copied() == kind)
        });
        // Not -0, which a sum of nothing is.
        of.map(|s| s.value).sum::<f64>() + 0.0
    };
    let held = samples
        .iter()
        .filter(|s| s.name == "revisor_write_held" && s.value > 0.0);
    let kinds: BTreeSet<_> = samples
        .iter()
        .filter_map(|s| s.labels.get("kind").copied())
        .collect();
    let row = |kind: &str| Kind {
        kind: kind.to_owned(),
        seen_through: total("revisor_watch_resource_version", Some(kind)),
        recorded_through: total("revisor_recorded_resource_version", Some(kind)),
        checkpoint: total("revisor_checkpoint_resource_version", Some(kind)),
        lag_seconds: total("revisor_lag_seconds", Some(kind)),
        recorded: total("revisor_revisions_recorded_total", Some(kind)),
        quiet: total("revisor_quiet_generations_total", Some(kind)),
        holes: total("revisor_generation_holes_total", Some(kind)),
        repaired: total("revisor_generations_repaired_total", Some(kind)),
        lost: total("revisor_generations_lost_total", Some(kind)),
        in_gaps: total("revisor_gap_generations_total", Some(kind)),
        blind_intervals: total("revisor_blind_intervals_total", Some(kind)),
        expired_watches: total("revisor_watch_expired_total", Some(kind)),
        audit_repairs: total("revisor_audit_repairs_total", Some(kind)),
    };
    Status {
        ready,
        queued_revisions: total("revisor_queue_length", None),
        queued_bytes: total("revisor_queue_bytes", None),
        held: held
            .filter_map(|s| s.labels.get("reason").map(|reason| (*reason).to_owned()))
            .collect(),
        etcd_rewinds: total("revisor_etcd_rewinds_total", None),
        checkpoint_failures: total("revisor_checkpoint_failures_total", None),
        kinds: kinds.into_iter().map(row).collect(),
    }
}

/// `name{label="value",…} number`, as Revisor itself writes it: no value holds a quote or a comma.
fn sample(line: &str) -> Option<Sample<'_>> {
    let (series, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let label = |pair| {
        str::split_once(pair, '=').map(|(key, value): (&str, &str)| (key, value.trim_matches('"')))
    };
    let labels = labels
        .trim_end_matches('}')
        .split(',')
        .filter_map(label)
        .collect();
    Some(Sample {
        name,
        labels,
        value: value.parse().ok()?,
    })
}

fn table(status: &Status) -> String {
    let header = [
        "KIND",
        "SEEN",
        "RECORDED",
        "CHECKPOINT",
        "LAG",
        "REVISIONS",
        "QUIET",
        "HOLES",
        "REPAIRED",
        "LOST",
        "GAPS",
        "BLIND",
        "410",
        "AUDIT",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(status.kinds.iter().map(|k| {
        let lag = format!("{:.1}s", k.lag_seconds);
        let numbers = [k.seen_through, k.recorded_through, k.checkpoint];
        let counts = [
            k.recorded,
            k.quiet,
            k.holes,
            k.repaired,
            k.lost,
            k.in_gaps,
            k.blind_intervals,
            k.expired_watches,
            k.audit_repairs,
        ];
        let places = numbers.iter().map(ToString::to_string);
        [k.kind.clone()]
            .into_iter()
            .chain(places)
            .chain([lag])
            .chain(counts.iter().map(ToString::to_string))
            .collect()
    }));
    let held = if status.held.is_empty() {
        "no".to_owned()
    } else {
        status.held.join(", ")
    };
    format!(
        "ready: {}\nqueue: {} Revisions, {} bytes\nheld: {held}\netcd rewinds: {}\ncheckpoint failures: {}\n\n{}",
        status.ready,
        status.queued_revisions,
        status.queued_bytes,
        status.etcd_rewinds,
        status.checkpoint_failures,
        columns(&rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, kind, kind_reason};

    #[test]
    fn what_the_metrics_say_is_printed_by_kind() {
        let metrics = Metrics::new();
        metrics
            .recorded_resource_version
            .get_or_create(&kind("Deployment"))
            .set(70);
        metrics
            .lag_seconds
            .get_or_create(&kind("Deployment"))
            .set(1.25);
        metrics
            .lost
            .get_or_create(&kind_reason("Deployment", "Compacted"))
            .inc_by(2);
        metrics
            .lost
            .get_or_create(&kind_reason("Deployment", "Undecodable"))
            .inc_by(1);
        metrics
            .held
            .get_or_create(&crate::metrics::ReasonLabels { reason: "EtcdFull" })
            .set(1);
        metrics
            .held
            .get_or_create(&crate::metrics::ReasonLabels {
                reason: "Forbidden",
            })
            .set(0);
        metrics
            .holes
            .get_or_create(&kind_reason("Deployment", "NotSeen"))
            .inc_by(7);
        metrics.record_seconds.observe(Duration::from_secs(1));
        let status = read("ok".to_owned(), &metrics.encode());
        assert_eq!(status.held, ["EtcdFull"]);
        assert_eq!(status.kinds.len(), 1);
        let of = &status.kinds[0];
        assert!((of.lost - 3.0).abs() < 0.1 && (of.recorded_through - 70.0).abs() < 0.1);
        let text = table(&status);
        assert!(
            text.starts_with("ready: ok\nqueue: 0 Revisions, 0 bytes\nheld: EtcdFull\n"),
            "{text}"
        );
        assert!(text.contains("Deployment   0      70"), "{text}");
        assert!(text.contains("1.2s"), "{text}");
        assert!(
            (of.holes - 7.0).abs() < 0.1 && text.contains("QUIET   HOLES"),
            "{text}"
        );
    }
}
