//! The shared certificate: one for all replicas, verified by what is published, renewed and put back without a restart.

use super::kubectl::{apply, kubectl};
use super::stage::{MANIFESTS, Stage, stage};
use crate::support::read;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::{Duration, Instant};

const SECRET: &str = "/api/v1/namespaces/revisor/secrets/revisor-tls";

/// A value of the Secret, as it is stored.
async fn stored(stage: &Stage, key: &str) -> String {
    let secret = read(&stage.client().await, SECRET).await;
    secret["data"][key].as_str().unwrap_or_default().to_owned()
}

fn decoded(text: &str) -> CertificateDer<'static> {
    use base64::Engine;
    let pem = base64::engine::general_purpose::STANDARD
        .decode(text)
        .expect("base64");
    CertificateDer::from_pem_slice(&pem).expect("PEM")
}

/// Waits until a value of the Secret is there and is not `old`.
async fn changed(stage: &Stage, key: &str, old: &str, limit: Duration) -> String {
    let deadline = Instant::now() + limit;
    loop {
        let now = stored(stage, key).await;
        if !now.is_empty() && now != old {
            return now;
        }
        assert!(
            Instant::now() < deadline,
            "{key} stays as it is:\n{}",
            stage.replicas[0].process.log()
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Whether every replica shows something that `authority` has signed.
async fn assert_trusted(stage: &Stage, authority: &[u8]) {
    for replica in &stage.replicas {
        let rest = crate::serve::rest::Rest::trusting(replica.process.rest, authority);
        let answer = rest.try_ask(http::Method::GET, "/", &[], "").await;
        assert!(answer.is_ok(), "{answer:?}\n{}", replica.process.log());
    }
}

/// Waits until every replica shows what the Secret holds.
async fn wait_shown(stage: &Stage) {
    let deadline = Instant::now() + Duration::from_secs(30);
    for replica in &stage.replicas {
        loop {
            let stored = stored(stage, "tls.crt").await;
            if !stored.is_empty() && shown(replica.process.rest).await == decoded(&stored) {
                break;
            }
            assert!(Instant::now() < deadline, "{}", replica.process.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The certificate that a port shows.
async fn shown(port: u16) -> CertificateDer<'static> {
    use rustls::pki_types::ServerName;
    use std::sync::Arc;
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("versions")
    .dangerous()
    .with_custom_certificate_verifier(Arc::new(Anything))
    .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("a port");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = tokio_rustls::TlsConnector::from(Arc::new(tls))
        .connect(name, stream)
        .await
        .expect("a handshake");
    let (_, connection) = stream.get_ref();
    let chain = connection.peer_certificates().expect("a certificate");
    chain[0].clone().into_owned()
}

/// Takes every certificate: this is only to see which one is shown.
#[derive(Debug)]
struct Anything;

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_certificate_is_shown_by_all_renewed_and_put_back_without_a_restart() {
    let stage = stage().await;
    let pids: Vec<_> = stage.replicas.iter().map(|one| one.process.pid).collect();
    let authority = stage.authorities().await.remove(0);
    let first = stored(stage, "tls.crt").await;
    wait_shown(stage).await;
    assert_trusted(stage, &authority).await;

    // It lives for a minute and is renewed after two thirds of that.
    changed(stage, "tls.crt", &first, Duration::from_secs(60)).await;
    wait_shown(stage).await;
    assert_trusted(stage, &authority).await;

    let _mine = stage.certificate.lock().await;
    apply(&stage.cluster, MANIFESTS).quietly();
    assert_ne!(
        stored(stage, "tls.crt").await,
        "",
        "applied again it is still there"
    );

    // `kubectl replace` empties both objects; they are filled again, and the authority stays the same.
    for object in ["secret-tls", "configmap-ca"] {
        let file = super::kubectl::at(&format!("deploy/base/{object}.yaml"));
        let replace = [
            "-n",
            "revisor",
            "replace",
            "-f",
            &file.display().to_string(),
        ];
        kubectl(&stage.cluster, &replace).quietly();
    }
    changed(stage, "tls.crt", "", Duration::from_secs(20)).await;
    wait_shown(stage).await;
    assert_trusted(stage, &authority).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !stage.authorities().await.contains(&authority) {
        assert!(Instant::now() < deadline, "it is not published again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    for (replica, pid) in stage.replicas.iter().zip(pids) {
        assert!(replica.process.is_alive(), "{}", replica.process.log());
        assert_eq!(replica.process.pid, pid);
        let log = replica.process.log();
        assert!(log.contains("showing a certificate"), "{log}");
        assert!(log.contains("the certificate ends within a week"), "{log}");
    }
}
