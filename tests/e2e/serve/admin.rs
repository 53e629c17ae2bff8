//! The admin port where it is not on a loopback address: probes are open, everything else is a right.

use super::people::{account, grant, token};
use super::rest::Rest;
use crate::support::{Revisor, command, free_port, world};
use http::Method;
use serde_json::json;
use std::io::Write;
use std::time::{Duration, Instant};

/// Waits until a probe says so.
async fn wait_ready(rest: &Rest, server: &Revisor) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !rest
        .try_ask(Method::GET, "/readyz", &[], "")
        .await
        .is_ok_and(|answer| answer.status == 200)
    {
        assert!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Without a token, and to a caller without the right, `path` is not shown.
async fn assert_guarded(rest: &Rest, path: &str, nobody: &str) {
    assert_eq!(rest.get(path).await.status, 401, "{path}");
    let refused = rest.with(nobody).get(path).await;
    assert_eq!(refused.status, 403, "{path}");
    assert!(refused.text().contains("cannot get path"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_status_need_a_right_and_probes_none() {
    let world = world();
    let namespace = world.namespace("metrics").await;
    let client = world.client().await;
    for name in ["prometheus", "nobody"] {
        account(&client, &namespace, name).await;
    }
    let rules = json!([{"nonResourceURLs": ["/metrics", "/status"], "verbs": ["get"]}]);
    grant(&client, (&namespace, "prometheus"), None, &rules).await;
    let port = free_port();
    // Not a loopback address, so with TLS and authentication.
    let address = format!("0.0.0.0:{port}");
    let server = Revisor::launch_on(world.cluster.kubeconfig(), &address, &[]);
    let rest = Rest::at(&format!("https://127.0.0.1:{port}"));
    wait_ready(&rest, &server).await;
    assert_eq!(rest.get("/livez").await.status, 200);
    let nobody = token(&client, &namespace, "nobody", &[]).await;
    let allowed = token(&client, &namespace, "prometheus", &[]).await;
    assert_guarded(&rest, "/metrics", &nobody).await;
    assert_guarded(&rest, "/status", &nobody).await;
    let replica = rest.with(&allowed).get("/status").await;
    assert_eq!(replica.status, 200, "{replica:?}");
    assert_eq!(replica.json()["ready"], true);
    let probe = rest.get("/readyz?verbose").await.text();
    // Tests beside this one may have something held.
    assert!(probe.contains("[+]holds: "), "{probe}");
    let metrics = rest.with(&allowed).get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics
            .text()
            .contains("revisor_reviews_total{review=\"access\",outcome=\"No\"} 2"),
        "{}",
        metrics.text()
    );
    let status = |token: &str, more: &[&str]| {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(token.as_bytes()).expect("written");
        let admin = format!("https://127.0.0.1:{port}");
        let path = file.path().display().to_string();
        command(&[&["status", "--admin", &admin, "--token-file", &path], more].concat())
    };
    let out = status(&allowed, &["--insecure-skip-tls-verify"]);
    // It fails when something is held, which a test beside this one may bring about.
    assert!(out.stdout.starts_with(b"ready: ok"), "{out:?}");
    assert!(
        out.status.success() || out.stderr.ends_with(b" holds\n"),
        "{out:?}"
    );
    let refused = status(&nobody, &["--insecure-skip-tls-verify"]);
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("cannot get path"),
        "{refused:?}"
    );
    assert!(
        !status(&allowed, &[]).status.success(),
        "a certificate that nobody signed was taken"
    );
}
