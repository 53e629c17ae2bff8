//! The certificate that the ports show, and until when it is good.
//!
//! It comes from files that may change ([`files`]), from a Secret that all replicas share ([`shared`]), or is made at
//! the start and verified by nobody. Whichever it is, its end is a metric, a line of the log and a part of `/status`.

pub mod files;
mod issue;
pub mod publish;
pub mod shared;

use crate::clock;
use crate::metrics::{self, Metrics};
use anyhow::{Context, ensure};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// A certificate that ends within this time is reported.
const SOON: TimeDelta = TimeDelta::days(7);
/// How often a certificate that ends soon is reported again.
const AGAIN: Duration = Duration::from_hours(12);

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Files that somebody else writes.
    Files,
    /// The Secret that the replicas share.
    Secret,
    /// Made at the start of this process.
    SelfSigned,
}

impl Origin {
    /// The label of the metric.
    fn label(self) -> &'static str {
        match self {
            Self::Files => "Files",
            Self::Secret => "Secret",
            Self::SelfSigned => "SelfSigned",
        }
    }
}

/// The certificate that is shown, as `/status` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// Where it comes from.
    pub origin: Origin,
    /// When it ends.
    pub not_after: DateTime<Utc>,
}

impl CertificateStatus {
    /// A sentence about a certificate that has ended or will within a week; none about any other.
    pub fn complaint(&self, now: DateTime<Utc>) -> Option<String> {
        let end = self.not_after.to_rfc3339_opts(SecondsFormat::Secs, true);
        if self.not_after <= now {
            Some(format!("the certificate has ended at {end}"))
        } else if self.not_after - now <= SOON {
            Some(format!("the certificate ends within a week, at {end}"))
        } else {
            None
        }
    }
}

/// A certificate chain and its key, ready to be shown.
#[derive(Clone, Debug)]
pub struct Pair {
    certified: Arc<CertifiedKey>,
    not_after: DateTime<Utc>,
}

impl Pair {
    /// Reads both from PEM. `names` are those of the certificate and the key in errors.
    ///
    /// # Errors
    /// Names the one that cannot be used, or both when they do not belong together.
    pub fn from_pem(certificate: &[u8], key: &[u8], names: [&str; 2]) -> anyhow::Result<Self> {
        let [of_certificate, of_key] = names;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .with_context(|| of_certificate.to_owned())?;
        ensure!(
            !chain.is_empty(),
            "{of_certificate} holds no certificate in PEM"
        );
        let private = PrivateKeyDer::from_pem_slice(key).with_context(|| of_key.to_owned())?;
        Self::new(chain, private).with_context(|| format!("{of_certificate} and {of_key}"))
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> anyhow::Result<Self> {
        let leaf = chain.first().context("an empty certificate chain")?;
        let not_after = issue::validity(leaf)?.not_after;
        // This also checks that the two belong together.
        let certified = CertifiedKey::from_der(chain, key, &provider())?;
        Ok(Self {
            certified: Arc::new(certified),
            not_after,
        })
    }
}

/// The present certificate; none before the first is there. Connections that are open keep the one they began with.
#[derive(Debug, Default)]
struct Present(RwLock<Option<(Arc<CertifiedKey>, CertificateStatus)>>);

impl ResolvesServerCert for Present {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let present = self.0.read();
        present.as_ref().map(|(certified, _)| certified.clone())
    }
}

/// TLS 1.2 and 1.3 with the present certificate. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Tls {
    present: Arc<Present>,
    replaced: Arc<Notify>,
    metrics: Metrics,
}

impl Tls {
    /// Without a certificate: handshakes fail until one is shown.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            present: Arc::default(),
            replaced: Arc::default(),
            metrics: metrics.clone(),
        }
    }

    /// Shows a certificate of its own making, for these host names. It hides what is said and proves nothing.
    ///
    /// # Errors
    /// When a name is none.
    pub fn make(&self, names: &[String]) -> anyhow::Result<()> {
        self.show(issue::self_signed(names)?, Origin::SelfSigned);
        Ok(())
    }

    /// Accepts connections with the present certificate.
    ///
    /// # Errors
    /// None with the provider that is built in.
    pub fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.present.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Shows `pair` to every connection from now on.
    pub fn show(&self, pair: Pair, origin: Origin) {
        let status = CertificateStatus {
            origin,
            not_after: pair.not_after,
        };
        let labels = metrics::origin(origin.label());
        let ends = self.metrics.certificate_not_after.get_or_create(&labels);
        ends.set(pair.not_after.timestamp());
        *self.present.0.write() = Some((pair.certified, status));
        tracing::info!(origin = origin.label(), not_after = %pair.not_after, "showing a certificate");
        self.replaced.notify_one();
    }

    /// The present certificate; none before the first.
    pub fn status(&self) -> Option<CertificateStatus> {
        self.present.0.read().as_ref().map(|(_, status)| *status)
    }

    /// Logs a certificate that has ended or ends soon, again and again, until it is dropped.
    pub async fn watch_end(self) {
        loop {
            if let Some(complaint) = self.complaint() {
                tracing::warn!("{complaint}");
            }
            tokio::select! {
                () = self.replaced.notified() => {}
                () = sleep(AGAIN) => {}
            }
        }
    }

    fn complaint(&self) -> Option<String> {
        self.status()?.complaint(clock::now())
    }

    #[cfg(test)]
    fn shown(&self) -> Option<CertificateDer<'static>> {
        let present = self.present.0.read();
        present.as_ref().map(|(pair, _)| pair.cert[0].clone())
    }
}

fn provider() -> CryptoProvider {
    ring::default_provider()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_said_when_it_is_near_or_past() {
        let now = DateTime::UNIX_EPOCH;
        let ends = |after: TimeDelta| CertificateStatus {
            origin: Origin::Files,
            not_after: now + after,
        };
        assert_eq!(ends(TimeDelta::days(8)).complaint(now), None);
        let soon = ends(TimeDelta::days(6)).complaint(now).expect("near");
        assert_eq!(
            soon,
            "the certificate ends within a week, at 1970-01-07T00:00:00Z"
        );
        let past = ends(TimeDelta::days(-1)).complaint(now).expect("past");
        assert_eq!(past, "the certificate has ended at 1969-12-31T00:00:00Z");
    }

    #[test]
    fn the_end_of_the_certificate_is_a_metric_and_a_part_of_the_status() {
        let metrics = Metrics::new();
        assert!(!metrics.encode().contains("not_after_seconds{"));
        let tls = Tls::new(&metrics);
        assert!(tls.acceptor().is_ok() && tls.status().is_none());
        tls.make(&["localhost".to_owned()]).expect("a name");
        let status = tls.status().expect("one is shown");
        assert_eq!(status.origin, Origin::SelfSigned);
        let line = format!(
            "revisor_certificate_not_after_seconds{{origin=\"SelfSigned\"}} {}",
            status.not_after.timestamp()
        );
        assert!(metrics.encode().contains(&line), "{}", metrics.encode());
    }
}
