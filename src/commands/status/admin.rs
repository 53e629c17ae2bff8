//! The admin port of a running Revisor, as a client sees it.

use super::StatusArgs;
use anyhow::{Context, bail};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 16 << 20;

/// The file of a pod's own token.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The body of an error of Revisor.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// The admin port of one replica. The client is kube's, whatever it speaks over.
pub(super) struct AdminPort {
    client: Client,
    /// The name of the port in errors.
    address: String,
}

impl AdminPort {
    /// The port that the flags name; nothing is sent yet.
    ///
    /// # Errors
    /// Names the flag that cannot be used.
    pub(super) fn at(address: &str, args: &StatusArgs) -> anyhow::Result<Self> {
        let address = address.trim_end_matches('/');
        Ok(Self {
            client: Client::try_from(config(address, args)?)?,
            address: address.to_owned(),
        })
    }

    /// The port that `client` leads to.
    pub(super) fn over(client: Client, address: String) -> Self {
        Self { client, address }
    }

    /// The name of the port.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The answer to a probe, whether the replica is ready or not.
    ///
    /// # Errors
    /// When the port does not answer.
    pub(super) async fn probe(&self) -> anyhow::Result<String> {
        let (_, body) = self.get("/readyz").await?;
        Ok(body)
    }

    /// The body at `path`.
    ///
    /// # Errors
    /// When the port does not answer, or refuses.
    pub(super) async fn read(&self, path: &str) -> anyhow::Result<String> {
        let (code, body) = self.get(path).await?;
        if code != StatusCode::OK {
            let why = serde_json::from_str::<Refusal>(&body)
                .map_or(String::new(), |refusal| refusal.message);
            bail!("{}{path} answered {code} {why}", self.address);
        }
        Ok(body)
    }

    async fn get(&self, path: &str) -> anyhow::Result<(StatusCode, String)> {
        let request = Request::get(path).body(Body::empty())?;
        let answer = timeout(DEADLINE, self.client.send(request))
            .await
            .map_err(anyhow::Error::from)
            .and_then(|answer| answer.map_err(Into::into))
            .with_context(|| format!("no Revisor answers at {}", self.address))?;
        let code = answer.status();
        let limited = Limited::new(answer.into_body(), MAX_ANSWER);
        let body = timeout(DEADLINE, limited.collect())
            .await?
            .map_err(|error| anyhow::anyhow!("{}{path}: {error}", self.address))?
            .to_bytes();
        Ok((code, String::from_utf8_lossy(&body).into_owned()))
    }
}

fn config(address: &str, args: &StatusArgs) -> anyhow::Result<Config> {
    let uri: Uri = address
        .parse()
        .with_context(|| format!("--admin {address:?}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        bail!("--admin {address:?} is not an http:// or https:// address");
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
    Ok(config)
}

/// The certificates of a PEM file, in DER.
pub(super) fn certificates(file: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
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
