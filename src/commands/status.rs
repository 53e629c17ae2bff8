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

/// The columns of the table.
const HEADER: [&str; 14] = [
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

/// The file of a pod's own token.
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

/// The body of an error of Revisor.
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

impl Sample<'_> {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).copied()
    }
}

/// All samples of `/metrics`.
struct Samples<'a>(Vec<Sample<'a>>);

impl<'a> Samples<'a> {
    fn parse(text: &'a str) -> Self {
        Self(text.lines().filter_map(sample).collect())
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Sample<'a>> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The sum of a metric over all of its labels.
    fn total(&self, name: &str) -> f64 {
        sum(self.named(name))
    }

    /// The sum of a metric over all labels of one kind.
    fn total_of(&self, name: &str, kind: &str) -> f64 {
        sum(self
            .named(name)
            .filter(|sample| sample.label("kind") == Some(kind)))
    }

    /// The kinds that any sample has, in alphabetical order.
    fn kinds(&self) -> BTreeSet<&str> {
        self.0
            .iter()
            .filter_map(|sample| sample.label("kind"))
            .collect()
    }

    /// The reasons for which writing is held now.
    fn held(&self) -> Vec<String> {
        self.named("revisor_write_held")
            .filter(|sample| sample.value > 0.0)
            .filter_map(|sample| sample.label("reason").map(str::to_owned))
            .collect()
    }
}

/// The sum of no samples is -0, which is printed as such, so 0 is added.
fn sum<'s, 'a: 's>(samples: impl Iterator<Item = &'s Sample<'a>>) -> f64 {
    samples.map(|sample| sample.value).sum::<f64>() + 0.0
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
    kinds: Vec<KindStatus>,
}

/// The state of the recording of one kind. `seen_through`, `recorded_through` and `checkpoint` are resourceVersions.
#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct KindStatus {
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

impl Status {
    fn read(ready: String, text: &str) -> Self {
        let samples = Samples::parse(text);
        Self {
            ready,
            queued_revisions: samples.total("revisor_queue_length"),
            queued_bytes: samples.total("revisor_queue_bytes"),
            held: samples.held(),
            etcd_rewinds: samples.total("revisor_etcd_rewinds_total"),
            checkpoint_failures: samples.total("revisor_checkpoint_failures_total"),
            kinds: samples
                .kinds()
                .into_iter()
                .map(|kind| KindStatus::read(kind, &samples))
                .collect(),
        }
    }
}

impl KindStatus {
    fn read(kind: &str, samples: &Samples<'_>) -> Self {
        Self {
            kind: kind.to_owned(),
            seen_through: samples.total_of("revisor_watch_resource_version", kind),
            recorded_through: samples.total_of("revisor_recorded_resource_version", kind),
            checkpoint: samples.total_of("revisor_checkpoint_resource_version", kind),
            lag_seconds: samples.total_of("revisor_lag_seconds", kind),
            recorded: samples.total_of("revisor_revisions_recorded_total", kind),
            quiet: samples.total_of("revisor_quiet_generations_total", kind),
            holes: samples.total_of("revisor_generation_holes_total", kind),
            repaired: samples.total_of("revisor_generations_repaired_total", kind),
            lost: samples.total_of("revisor_generations_lost_total", kind),
            in_gaps: samples.total_of("revisor_gap_generations_total", kind),
            blind_intervals: samples.total_of("revisor_blind_intervals_total", kind),
            expired_watches: samples.total_of("revisor_watch_expired_total", kind),
            audit_repairs: samples.total_of("revisor_audit_repairs_total", kind),
        }
    }

    /// A row of the table, as [`HEADER`] names its cells.
    fn cells(&self) -> Vec<String> {
        vec![
            self.kind.clone(),
            self.seen_through.to_string(),
            self.recorded_through.to_string(),
            self.checkpoint.to_string(),
            format!("{:.1}s", self.lag_seconds),
            self.recorded.to_string(),
            self.quiet.to_string(),
            self.holes.to_string(),
            self.repaired.to_string(),
            self.lost.to_string(),
            self.in_gaps.to_string(),
            self.blind_intervals.to_string(),
            self.expired_watches.to_string(),
            self.audit_repairs.to_string(),
        ]
    }
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
    let status = Status::read(ready, &text);
    Ok(match args.output {
        Output::Json => serde_json::to_string_pretty(&status)? + "\n",
        Output::Yaml => serde_saphyr::to_string(&status)?,
        Output::Table => table(&status),
    })
}

/// A client for the admin port. It is kube's, which handles certificates and tokens.
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
    config.connect_timeout = Some(DEADLINE);
    config.read_timeout = Some(DEADLINE);
    config.accept_invalid_certs = args.insecure_skip_tls_verify;
    if let Some(file) = &args.certificate_authority {
        config.root_cert = Some(certificates(file)?);
    }
    // A token is never sent where everybody could read it.
    if secure {
        config.auth_info.token_file = token_file(args);
    }
    Ok(Client::try_from(config)?)
}

/// The certificates of a PEM file, in DER.
fn certificates(file: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    CertificateDer::pem_file_iter(file)
        .and_then(|certificates| {
            certificates
                .map(|certificate| Ok(certificate?.to_vec()))
                .collect()
        })
        .with_context(|| format!("--certificate-authority {}", file.display()))
}

/// The file of the token to send: that of the flag, else the pod's own.
fn token_file(args: &StatusArgs) -> Option<String> {
    let own = Path::new(POD_TOKEN);
    args.token_file
        .as_deref()
        .or_else(|| own.exists().then_some(own))
        .map(|file| file.display().to_string())
}

async fn get(
    client: &Client,
    args: &StatusArgs,
    path: &str,
) -> anyhow::Result<(StatusCode, String)> {
    let request = Request::get(path).body(Body::empty())?;
    let answer = timeout(DEADLINE, client.send(request))
        .await
        .map_err(anyhow::Error::from)
        .and_then(|answer| answer.map_err(Into::into))
        .with_context(|| format!("no Revisor answers at {}", args.admin))?;
    let code = answer.status();
    let limited = Limited::new(answer.into_body(), MAX_ANSWER);
    let body = timeout(DEADLINE, limited.collect())
        .await?
        .map_err(|error| anyhow::anyhow!("{}{path}: {error}", args.admin))?
        .to_bytes();
    Ok((code, String::from_utf8_lossy(&body).into_owned()))
}

/// `name{label="value",…} number`, as Revisor itself writes it: no value holds a quote or a comma.
fn sample(line: &str) -> Option<Sample<'_>> {
    let (series, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    Some(Sample {
        name,
        labels: labels
            .trim_end_matches('}')
            .split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key, value.trim_matches('"')))
            .collect(),
        value: value.parse().ok()?,
    })
}

fn table(status: &Status) -> String {
    let rows: Vec<_> = std::iter::once(HEADER.map(str::to_owned).to_vec())
        .chain(status.kinds.iter().map(KindStatus::cells))
        .collect();
    let held = if status.held.is_empty() {
        "no".to_owned()
    } else {
        status.held.join(", ")
    };
    format!(
        "ready: {}\nqueue: {} Revisions, {} bytes\nheld: {held}\netcd rewinds: {}\n\
         checkpoint failures: {}\n\n{}",
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
        let status = Status::read("ok".to_owned(), &metrics.encode());
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
