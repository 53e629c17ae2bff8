//! A certificate from files that somebody else writes, such as a mounted Secret of cert-manager.

use super::publish::Publisher;
use super::{Origin, Pair, Tls};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::sleep;

/// How often files are looked at; a mounted Secret changes within a minute of its own anyway.
const EVERY: Duration = Duration::from_secs(10);

/// Files of a certificate chain and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority that readers verify it with, where that is published.
    pub authority: Option<PathBuf>,
}

/// The texts of both files: the certificate chain, and its key.
type Texts = [Vec<u8>; 2];

/// Files, and what was in them when they were read last.
pub struct FileCertificate {
    files: Files,
    texts: Texts,
    publisher: Option<Publisher>,
}

impl FileCertificate {
    /// Shows the certificate in `files`.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn show(files: Files, publisher: Option<Publisher>, tls: &Tls) -> anyhow::Result<Self> {
        let texts = read(&files)?;
        tls.show(pair(&files, &texts)?, Origin::Files);
        Ok(Self {
            files,
            texts,
            publisher,
        })
    }

    /// Takes over changed files, until it is dropped. Files that cannot be used change nothing.
    pub async fn follow(mut self, tls: Tls) {
        loop {
            self.publish().await;
            sleep(EVERY).await;
            match self.reload() {
                Ok(None) => {}
                Ok(Some(pair)) => tls.show(pair, Origin::Files),
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the new certificate cannot be used; the old one stays"
                    );
                }
            }
        }
    }

    /// Reads the files again; none when both are as before.
    fn reload(&mut self) -> anyhow::Result<Option<Pair>> {
        let texts = read(&self.files)?;
        if texts == self.texts {
            return Ok(None);
        }
        let pair = pair(&self.files, &texts)?;
        self.texts = texts;
        Ok(Some(pair))
    }

    async fn publish(&mut self) {
        let (Some(publisher), Some(file)) = (&mut self.publisher, &self.files.authority) else {
            return;
        };
        let published = match read_text(file) {
            Ok(authority) => publisher.publish(&authority).await,
            Err(error) => Err(error),
        };
        if let Err(error) = published {
            tracing::warn!(
                error = format!("{error:#}"),
                "the authority of the certificate could not be published"
            );
        }
    }
}

fn read(files: &Files) -> anyhow::Result<Texts> {
    Ok([read_file(&files.certificate)?, read_file(&files.key)?])
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn pair(files: &Files, [certificate, key]: &Texts) -> anyhow::Result<Pair> {
    let names = [&files.certificate, &files.key].map(|file| file.display().to_string());
    Pair::from_pem(certificate, key, [&names[0], &names[1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn written(folder: &Path, name: &str, params: &CertificateParams) -> Files {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("one");
        let files = Files {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
            authority: None,
        };
        std::fs::write(&files.certificate, certificate.pem()).expect("written");
        std::fs::write(&files.key, key.serialize_pem()).expect("written");
        files
    }

    fn files(folder: &Path, name: &str) -> Files {
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        written(folder, name, &params)
    }

    fn shown(files: Files) -> anyhow::Result<(Tls, FileCertificate)> {
        let tls = Tls::new(&Metrics::new());
        let certificate = FileCertificate::show(files, None, &tls)?;
        Ok((tls, certificate))
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let a = files(folder.path(), "a");
        let b = files(folder.path(), "b");
        assert!(shown(a.clone()).is_ok_and(|(tls, _)| tls.shown().is_some()));
        let error = |files: Files| format!("{:#}", shown(files).err().expect("an error"));
        let stranger = Files {
            key: b.key,
            ..a.clone()
        };
        assert!(
            error(stranger).contains("a.crt and "),
            "they do not belong together"
        );
        let swapped = Files {
            certificate: a.key.clone(),
            ..a.clone()
        };
        assert!(error(swapped).contains("a.key holds no certificate"));
        let missing = Files {
            key: folder.path().join("c"),
            ..a
        };
        assert!(error(missing).contains("/c"));
    }

    #[test]
    fn a_certificate_that_has_ended_is_shown_and_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::new(["old".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2025, 1, 2);
        let (tls, _) = shown(written(folder.path(), "old", &params)).expect("it can be read");
        let complaint = tls.complaint().expect("it has ended");
        assert!(complaint.contains("2025-01-02"), "{complaint}");
    }

    #[tokio::test(start_paused = true)]
    async fn changed_files_are_taken_over_and_broken_ones_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let a = files(folder.path(), "a");
        let b = files(folder.path(), "b");
        let (tls, certificate) = shown(a.clone()).expect("valid");
        let first = tls.shown();
        let following = tokio::spawn(certificate.follow(tls.clone()));
        std::fs::write(&a.certificate, "broken").expect("written");
        sleep(EVERY * 2).await;
        assert_eq!(tls.shown(), first);
        std::fs::copy(&b.certificate, &a.certificate).expect("copied");
        std::fs::copy(&b.key, &a.key).expect("copied");
        sleep(EVERY * 2).await;
        assert_ne!(tls.shown(), first);
        following.abort();
    }
}
