//! `deploy/demo.sh` with programs that only note how they are called: what it must never do, and how it ends.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Notes its name and arguments, then goes on as told.
fn stub(folder: &Path, name: &str, then: &str) {
    let log = folder.join("calls");
    let text = format!(
        "#!/bin/sh\necho \"{name} $*\" >>'{}'\n{then}\n",
        log.display()
    );
    let file = folder.join(name);
    fs::write(&file, text).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("executable");
}

/// A cluster that nobody may touch: its address, and the kubeconfig that leads there.
struct Decoy(TcpListener, tempfile::TempDir);

impl Decoy {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let home = tempfile::tempdir().expect("a folder");
        let port = listener.local_addr().expect("an address").port();
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
            "clusters": [{"name": "c", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        fs::create_dir(home.path().join(".kube")).expect("a folder");
        fs::write(home.path().join(".kube/config"), config.to_string()).expect("written");
        Self(listener, home)
    }

    fn is_untouched(&self) -> bool {
        self.0.accept().is_err()
    }

    /// Runs the demo as somebody whose shell knows this cluster by variable and by home.
    fn demo(&self, programs: &Path, settings: &[(&str, &str)]) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/demo.sh"))
            .env("DEMO_BIN", programs)
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("HOME", self.1.path())
            .env("KUBECONFIG", self.1.path().join(".kube/config"))
            .env_remove("DEMO_KUBECONFIG")
            .env_remove("KEEP")
            .envs(settings.iter().copied())
            .output()
            .expect("bash")
    }
}

fn calls(folder: &Path) -> String {
    fs::read_to_string(folder.join("calls")).unwrap_or_default()
}

#[test]
fn a_control_plane_that_does_not_come_up_ends_the_demo_before_it_touches_anything() {
    let gone = "export KUBECONFIG=/nowhere/kubeconfig";
    for (up, message) in [
        ("exit 1".to_owned(), "did not come up"),
        (format!("echo '{gone}'; exit 1"), "did not come up"),
        (":".to_owned(), "devcluster up said"),
        (
            "echo 'export KUBECONFIG='".to_owned(),
            "there is no kubeconfig",
        ),
        (
            format!("echo '{gone}'"),
            "there is no kubeconfig /nowhere/kubeconfig",
        ),
    ] {
        let decoy = Decoy::new();
        let folder = tempfile::tempdir().expect("a folder");
        let kubectl = folder.path().join("kubectl");
        let verbs = format!(
            "case $1 in up) {up};; build) echo 'kubectl {}';; esac",
            kubectl.display()
        );
        stub(folder.path(), "devcluster", &verbs);
        stub(folder.path(), "kubectl", "");
        stub(folder.path(), "revisor", "");
        let out = decoy.demo(folder.path(), &[]);
        let errors = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{up}: {errors}");
        assert!(errors.contains(message), "{up}: {errors}");
        let calls = calls(folder.path());
        assert!(
            calls.lines().all(|line| line.starts_with("devcluster ")),
            "{up}: {calls}"
        );
        assert!(decoy.is_untouched(), "{up}");
    }
}

#[test]
fn a_recorder_that_is_never_ready_fails_the_demo_which_cleans_up_after_itself() {
    let decoy = Decoy::new();
    let folder = tempfile::tempdir().expect("a folder");
    // The definition of Revisions is not there yet; everything else works.
    stub(
        folder.path(),
        "kubectl",
        "case \"$*\" in 'get crd revisions'*) exit 1;; esac",
    );
    stub(
        folder.path(),
        "revisor",
        "[ \"$1\" != run ] || { echo 'no cluster to connect to' >&2; exec sleep 60; }",
    );
    let own = folder.path().join("own.kubeconfig");
    fs::write(&own, "{}").expect("written");
    let own = own.display().to_string();
    let out = decoy.demo(
        folder.path(),
        &[
            ("DEMO_KUBECONFIG", own.as_str()),
            ("DEMO_READY_SECONDS", "1"),
        ],
    );
    let text = String::from_utf8_lossy(&out.stdout);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{errors}");
    assert!(!text.contains("ready:"), "{text}");
    assert!(
        errors.contains("no cluster to connect to") && errors.contains("did not become ready"),
        "{errors}"
    );
    let calls = calls(folder.path());
    let made = calls
        .lines()
        .find_map(|line| line.strip_prefix("kubectl create namespace "));
    let made = made.expect("a namespace");
    assert!(
        calls.contains(&format!("kubectl delete namespace {made}")),
        "{calls}"
    );
    assert!(
        text.contains("kubectl delete crd revisions.revisor.dev\n"),
        "what stays is said: {text}"
    );
    assert!(decoy.is_untouched());
}
