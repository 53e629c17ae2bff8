//! The certificate that callers see: from files that may change, or made at the start.

use anyhow::{Context, ensure};
use parking_lot::RwLock;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// How often files are looked at; a mounted Secret changes within a minute of its own anyway.
const EVERY: Duration = Duration::from_secs(10);

/// Files of a certificate chain and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The texts of both files: the certificate chain, and its key.
type Texts = [Vec<u8>; 2];

/// The present certificate. Connections that are open keep the one they began with.
#[derive(Debug)]
struct Present(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Present {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

/// TLS 1.2 and 1.3 with a certificate.
pub struct Tls {
    present: Arc<Present>,
    files: Option<(Files, Texts)>,
}

impl Tls {
    /// With the certificate in `files`.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn from_files(files: Files) -> anyhow::Result<Self> {
        let texts = read(&files)?;
        let present = certified(&files, &texts)?;
        Ok(Self {
            present: Arc::new(Present(RwLock::new(present))),
            files: Some((files, texts)),
        })
    }

    /// With a certificate of its own making, for these host names. Nobody can verify it; it only hides what is said.
    ///
    /// # Errors
    /// When a name is none.
    pub fn self_signed(names: &[String]) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "revisor");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let chain = vec![certificate.der().clone()];
        let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let present = Arc::new(CertifiedKey::from_der(chain, private, &provider())?);
        Ok(Self {
            present: Arc::new(Present(RwLock::new(present))),
            files: None,
        })
    }

    /// What takes connections.
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

    /// Takes over changed files, until it is dropped. Files that cannot be used change nothing.
    pub async fn follow(mut self) {
        let Some((files, mut texts)) = self.files.take() else {
            return std::future::pending().await;
        };
        loop {
            sleep(EVERY).await;
            match reload(&files, &texts) {
                Ok(None) => {}
                Ok(Some((new, certified))) => {
                    *self.present.0.write() = certified;
                    texts = new;
                    tracing::info!(file = %files.certificate.display(), "the certificate was replaced");
                }
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the new certificate cannot be used; the old one stays"
                    );
                }
            }
        }
    }
}

fn provider() -> CryptoProvider {
    ring::default_provider()
}

fn read(files: &Files) -> anyhow::Result<Texts> {
    Ok([read_file(&files.certificate)?, read_file(&files.key)?])
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

/// Reads the files again; none when both are as before.
fn reload(files: &Files, before: &Texts) -> anyhow::Result<Option<(Texts, Arc<CertifiedKey>)>> {
    let texts = read(files)?;
    if texts == *before {
        return Ok(None);
    }
    let certified = certified(files, &texts)?;
    Ok(Some((texts, certified)))
}

fn certified(files: &Files, [certificate, key]: &Texts) -> anyhow::Result<Arc<CertifiedKey>> {
    let name = files.certificate.display();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .with_context(|| name.to_string())?;
    ensure!(!chain.is_empty(), "{name} holds no certificate in PEM");
    let private =
        PrivateKeyDer::from_pem_slice(key).with_context(|| files.key.display().to_string())?;
    // This also checks that the two belong together.
    CertifiedKey::from_der(chain, private, &provider())
        .map(Arc::new)
        .with_context(|| format!("{name} and {}", files.key.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(folder: &Path, name: &str) -> Files {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new([name.to_owned()])
            .expect("a name")
            .self_signed(&key)
            .expect("one");
        let files = Files {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        std::fs::write(&files.certificate, certificate.pem()).expect("written");
        std::fs::write(&files.key, key.serialize_pem()).expect("written");
        files
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let a = pair(folder.path(), "a");
        let b = pair(folder.path(), "b");
        assert!(Tls::from_files(a.clone()).is_ok_and(|tls| tls.acceptor().is_ok()));
        let error = |files: Files| format!("{:#}", Tls::from_files(files).err().expect("an error"));
        assert!(
            error(Files {
                key: b.key,
                ..a.clone()
            })
            .contains("a.crt and "),
            "they do not belong together"
        );
        assert!(
            error(Files {
                certificate: a.key.clone(),
                ..a.clone()
            })
            .contains("a.key holds no certificate")
        );
        assert!(
            error(Files {
                key: folder.path().join("c"),
                ..a
            })
            .contains("/c")
        );
        assert!(
            Tls::self_signed(&["localhost".to_owned()]).is_ok_and(|tls| tls.acceptor().is_ok())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn changed_files_are_taken_over_and_broken_ones_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let a = pair(folder.path(), "a");
        let b = pair(folder.path(), "b");
        let tls = Tls::from_files(a.clone()).expect("valid");
        let present = tls.present.clone();
        let shown = || present.0.read().cert[0].clone();
        let first = shown();
        let following = tokio::spawn(tls.follow());
        std::fs::write(&a.certificate, "broken").expect("written");
        sleep(EVERY * 2).await;
        assert_eq!(shown(), first);
        std::fs::copy(&b.certificate, &a.certificate).expect("copied");
        std::fs::copy(&b.key, &a.key).expect("copied");
        sleep(EVERY * 2).await;
        assert_ne!(shown(), first);
        following.abort();
    }
}
