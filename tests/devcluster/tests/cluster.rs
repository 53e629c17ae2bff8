//! Real clusters: they start, they can be disturbed, and nothing of them stays behind.

#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks measure real time"
)]

use devcluster::{Cluster, Component, Options};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        sleep(Duration::from_millis(100));
    }
}

fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Output {
    cluster.kubectl().args(arguments).output().expect("kubectl")
}

fn succeeds(cluster: &Cluster, arguments: &[&str]) -> bool {
    kubectl(cluster, arguments).status.success()
}

fn text(cluster: &Cluster, arguments: &[&str]) -> String {
    String::from_utf8_lossy(&kubectl(cluster, arguments).stdout).into_owned()
}

/// Command lines of all processes that mention `folder`.
fn processes(folder: &Path) -> Vec<String> {
    let out = Command::new("ps")
        .args(["-eww", "-o", "args="])
        .output()
        .expect("ps");
    let folder = folder.display().to_string();
    String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter(|line| line.contains(&folder))
        .map(str::to_owned)
        .collect()
}

#[test]
fn two_clusters_side_by_side_survive_kill_freeze_and_restart() {
    let options = Options {
        api_servers: 2,
        ..Options::minimal()
    };
    let first = Cluster::start(&options).expect("one");
    let second = Cluster::start(&Options::minimal()).expect("two");
    assert!(succeeds(
        &first,
        &["create", "configmap", "kept", "--from-literal=a=b"]
    ));
    assert!(
        !succeeds(&second, &["get", "configmap", "kept"]),
        "they share a store"
    );
    let other = first.kubeconfig_of(1).display().to_string();
    assert!(
        succeeds(
            &first,
            &["--kubeconfig", &other, "get", "configmap", "kept"]
        ),
        "two servers, one store"
    );

    let server = Component::ApiServer(0);
    first.freeze(server).expect("frozen");
    assert!(!succeeds(
        &first,
        &["get", "configmap", "kept", "--request-timeout=2s"]
    ));
    first.thaw(server).expect("thawed");
    eventually("an answer after the thaw", || {
        succeeds(&first, &["get", "configmap", "kept"])
    });
    first.kill(server).expect("killed");
    assert!(!succeeds(
        &first,
        &["get", "configmap", "kept", "--request-timeout=2s"]
    ));
    for component in [server, Component::Etcd] {
        first.restart(component).expect("restarted");
        eventually("the data after a restart", || {
            succeeds(&first, &["get", "configmap", "kept"])
        });
    }
    assert!(first.kill(Component::Kwok).is_err(), "it has no kwok");

    let folder = first.directory().to_owned();
    assert!(!processes(&folder).is_empty());
    drop(first);
    assert!(processes(&folder).is_empty() && !folder.exists());
    assert!(
        succeeds(&second, &["get", "namespace", "default"]),
        "the other one lives on"
    );
}

#[test]
fn pods_are_scheduled_on_gpu_nodes_and_meet_the_fate_of_their_annotation() {
    let cluster = Cluster::start(&Options::full()).expect("a cluster");
    let deployment = |fate: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {fate}}}\nspec:\n  selector: {{matchLabels: {{app: {fate}}}}}\n  \
             template:\n    metadata: {{labels: {{app: {fate}}}, annotations: {{devcluster.revisor.dev/pod: {fate}}}}}\n    \
             spec: {{containers: [{{name: c, image: i, resources: {{limits: {{nvidia.com/gpu: 1}}}}}}]}}\n---\n"
        )
    };
    let manifest: String = ["ready", "never-ready", "crash"].map(deployment).concat();
    cluster.apply(&manifest).expect("Deployments");
    let pools = [
        "get",
        "nodes",
        "-L",
        "kai.scheduler/node-pool",
        "--no-headers",
    ];
    let nodes = text(&cluster, &pools);
    assert_eq!(
        (nodes.lines().count(), nodes.matches("h100").count() >= 2),
        (4, true),
        "{nodes}"
    );
    let replicas = "jsonpath={.status.readyReplicas}";
    let ready = |name: &str| text(&cluster, &["get", "deployment", name, "-o", replicas]);
    eventually("a ready pod", || ready("ready") == "1");
    let waiting = "jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}";
    eventually("a crash", || {
        text(&cluster, &["get", "pods", "-l", "app=crash", "-o", waiting]) == "CrashLoopBackOff"
    });
    let phase = "jsonpath={.items[*].status.phase}";
    eventually("a pod that runs", || {
        text(
            &cluster,
            &["get", "pods", "-l", "app=never-ready", "-o", phase],
        ) == "Running"
    });
    assert_eq!(
        (ready("never-ready"), ready("crash")),
        (String::new(), String::new())
    );
    assert!(succeeds(&cluster, &["delete", "deployment", "ready"]));
    eventually("the end of its pod", || {
        text(&cluster, &["get", "pods", "-l", "app=ready", "-o", "name"]).is_empty()
    });
}

fn devcluster(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_devcluster"));
    command.args(arguments);
    command
}

/// The folder of the cluster that `env` names.
fn folder_of(name: &str) -> Option<std::path::PathBuf> {
    let out = devcluster(&["env", "--name", name])
        .output()
        .expect("devcluster");
    let line = String::from_utf8_lossy(&out.stdout).into_owned();
    let kubeconfig = line.trim().strip_prefix("export KUBECONFIG=")?.to_owned();
    Path::new(&kubeconfig).parent().map(Path::to_owned)
}

#[test]
fn a_parent_that_is_killed_leaves_nothing() {
    let name = format!("killed-{}", std::process::id());
    let mut parent = devcluster(&["up", "--minimal", "--foreground", "--name", &name])
        .stdout(Stdio::null())
        .spawn()
        .expect("devcluster");
    eventually("the cluster", || folder_of(&name).is_some());
    let folder = folder_of(&name).expect("a folder");
    assert!(!processes(&folder).is_empty());
    parent.kill().expect("killed");
    parent.wait().expect("gone");
    eventually("the end of every process", || {
        processes(&folder).is_empty() && !folder.exists()
    });
}

#[test]
fn up_env_and_down() {
    let name = format!("cli-{}", std::process::id());
    let run = |verb: &str| {
        devcluster(&[verb, "--name", &name])
            .output()
            .expect("devcluster")
    };
    assert_eq!(run("env").status.code(), Some(1), "not up yet");
    let up = || {
        devcluster(&["up", "--minimal", "--name", &name])
            .output()
            .expect("devcluster")
    };
    assert!(up().status.success());
    let folder = folder_of(&name).expect("a folder");
    let again = up();
    assert!(
        again.status.success() && String::from_utf8_lossy(&again.stderr).contains("up already")
    );
    assert!(run("down").status.success());
    assert!(processes(&folder).is_empty() && !folder.exists());
    assert!(run("down").status.success(), "down twice is no error");
    assert_eq!(
        devcluster(&["sideways"])
            .output()
            .expect("devcluster")
            .status
            .code(),
        Some(2)
    );
}
