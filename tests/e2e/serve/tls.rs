//! Certificates from files, and their change under load.

use super::people::People;
use super::rest::Rest;
use super::stage::workload;
use crate::support::{Revisor, world};
use http::Method;
use rcgen::{CertificateParams, KeyPair};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn pair(folder: &Path, name: &str) -> Vec<u8> {
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new([name.to_owned()])
        .expect("a name")
        .self_signed(&key)
        .expect("one");
    // As kubelet does: nobody ever sees half a file. Key and certificate still change one after the other.
    for (file, text) in [
        ("tls.key", key.serialize_pem()),
        ("tls.crt", certificate.pem()),
    ] {
        std::fs::write(folder.join("new"), text).expect("written");
        std::fs::rename(folder.join("new"), folder.join(file)).expect("renamed");
    }
    certificate.der().to_vec()
}

/// Whether the server shows this certificate now.
async fn shows(port: u16, certificate: &[u8]) -> bool {
    Rest::trusting(port, certificate)
        .try_ask(Method::GET, "/", &[], "")
        .await
        .is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_and_no_request_fails_meanwhile() {
    let world = world();
    let namespace = world.namespace("tls").await;
    let folder = tempfile::tempdir().expect("a folder");
    let first = pair(folder.path(), "localhost");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let flags = [
        "--tls-cert-file",
        &file("tls.crt"),
        "--tls-key-file",
        &file("tls.key"),
    ];
    let server = Revisor::start_secure(world.cluster.kubeconfig(), &flags);
    let people = People::of(world, &namespace).await;
    let made = workload(world, &server, &namespace).await;
    let path = format!("/api/v1/workloads/inferences/{}/revisions", made.uid);
    assert!(shows(server.rest, &first).await);
    let stop = Arc::new(AtomicBool::new(false));
    let ended = stop.clone();
    let port = server.rest;
    let asking = tokio::spawn(async move {
        let mut good = 0;
        while !ended.load(Ordering::Relaxed) {
            // A connection of its own each time, so that each shakes hands.
            let answer = Rest::tls(port).with(&people.reader).get(&path).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            good += 1;
        }
        good
    });
    let second = pair(folder.path(), "localhost");
    assert!(!shows(server.rest, &second).await, "nobody has seen it yet");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !shows(server.rest, &second).await {
        assert!(
            Instant::now() < deadline,
            "the new certificate is not shown:\n{}",
            server.log()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stop.store(true, Ordering::Relaxed);
    assert!(asking.await.expect("no request failed") > 20);
}
