//! `revisor status` as a person runs it against an installation, and probes that strangers cannot starve.

use super::kubectl::{Said, kubectl};
use super::stage::{Stage, stage};
use crate::serve::people::{account, token};
use crate::support::{DEPLOYMENT, Revisor, command, eventually, free_port, get, post, world};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A kubeconfig of the stage with a token instead of the administrator's certificate.
pub fn kubeconfig(stage: &Stage, folder: &Path, token: &str) -> PathBuf {
    let text = std::fs::read_to_string(stage.cluster.kubeconfig()).expect("a kubeconfig");
    let mut config: Value = serde_saphyr::from_str(&text).expect("YAML");
    config["users"][0]["user"] = json!({ "token": token });
    let file = folder.join("kubeconfig");
    std::fs::write(&file, config.to_string()).expect("written");
    file
}

fn status(kubeconfig: &Path, more: &[&str]) -> Said {
    let kubeconfig = kubeconfig.display().to_string();
    command(&[&["status", "--kubeconfig", &kubeconfig], more].concat()).into()
}

/// `revisor status` of a person who has the role for it and nothing else.
pub async fn operator_status(stage: &Stage) -> Said {
    let client = stage.client().await;
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "operators"}});
    post(&client, "/api/v1/namespaces", &body).await;
    account(&client, "operators", "operator").await;
    let folder = tempfile::tempdir().expect("a folder");
    let token = token(&client, "operators", "operator", &[]).await;
    let kubeconfig = kubeconfig(stage, folder.path(), &token);
    let refused = status(&kubeconfig, &[]);
    assert!(
        refused.code != 0 && refused.errors.contains("cannot list resource \"pods\""),
        "{refused:?}"
    );
    let binding = [
        "-n",
        "revisor",
        "create",
        "rolebinding",
        "operators",
        "--role=revisor-status",
        "--serviceaccount=operators:operator",
    ];
    kubectl(&stage.cluster, &binding).quietly();
    status(&kubeconfig, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_sums_all_replicas_and_fails_when_something_is_held() {
    let stage = stage().await;
    let said = status(stage.cluster.kubeconfig(), &["-o", "json"]);
    let printed: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(printed["ready"], "ok", "{said:?}");
    let replicas = printed["replicas"].as_array().expect("replicas");
    let mut names: Vec<_> = replicas
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    names.sort_unstable();
    let mut expected: Vec<_> = stage.replicas.iter().map(|one| one.name.as_str()).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    let leaders = replicas.iter().filter(|one| one["leads"] == true).count();
    assert_eq!(leaders, 1, "{said:?}");

    let client = stage.client().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "full"}});
    post(&client, "/api/v1/namespaces", &namespace).await;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
        "spec": {"hard": {"count/revisions.revisor.dev": "0"}},
    });
    post(&client, "/api/v1/namespaces/full/resourcequotas", &quota).await;
    stage.wait_counted("full", "none");
    post(&client, &DEPLOYMENT.path("full"), &DEPLOYMENT.example()).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let said = status(stage.cluster.kubeconfig(), &[]);
        if said.out.contains("QuotaExceeded   full") {
            assert_eq!(said.code, 1, "{said:?}");
            assert!(said.errors.contains("holds"), "{said:?}");
            assert!(
                said.out.contains("the certificate ends within a week"),
                "{said:?}"
            );
            break;
        }
        assert!(Instant::now() < deadline, "{said:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    kubectl(
        &stage.cluster,
        &["delete", "namespace", "full", "--wait=false"],
    )
    .quietly();
}

/// Opens connections as fast as it can, and says nothing over them.
fn flood(ports: &[u16], stop: &AtomicBool, opened: &AtomicUsize) {
    let mut open = std::collections::VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        for port in ports {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", *port)) {
                // The beginning of a handshake that never goes on.
                let _ = stream.write_all(&[0x16, 0x03]);
                open.push_back(stream);
                opened.fetch_add(1, Ordering::Relaxed);
            }
        }
        while open.len() > 400 {
            open.pop_front();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_keep_a_probe_from_its_answer() {
    let [admin, health] = [(); 2].map(|()| free_port());
    let health = format!("127.0.0.1:{health}");
    let kubeconfig = world().cluster.kubeconfig();
    let flags = ["--health-listen", &health];
    let replica = Revisor::launch_on(kubeconfig, &format!("0.0.0.0:{admin}"), &flags);
    let probe = |what: &str| Said::from(command(&["probe", what, "--health-listen", &health]));
    let is_ready = || probe("readyz").code == 0;
    assert!(
        eventually(Duration::from_secs(40), is_ready),
        "{}",
        replica.log()
    );
    let stop = Arc::new(AtomicBool::new(false));
    let opened = Arc::new(AtomicUsize::new(0));
    let flooding = {
        let (stop, opened) = (stop.clone(), opened.clone());
        let ports = [admin, replica.rest];
        std::thread::spawn(move || flood(&ports, &stop, &opened))
    };
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(probe("livez"));
        std::thread::sleep(Duration::from_millis(200));
    }
    stop.store(true, Ordering::Relaxed);
    flooding.join().expect("no panic");
    let opened = opened.load(Ordering::Relaxed);
    assert!(opened > 1000, "only {opened} connections were opened");
    assert!(answers.iter().all(|said| said.code == 0), "{answers:?}");
    // Nothing else is to be had there.
    let port = health.rsplit(':').next().and_then(|port| port.parse().ok());
    let (code, _) = get(port.expect("a port"), "/metrics").expect("an answer");
    assert_eq!(code, 404);
}
