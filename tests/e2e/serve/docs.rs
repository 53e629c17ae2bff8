//! What openapi.json says holds, as a fuzzer sees it; and how the examples of a document are run.

use super::people::People;
use super::rest::Rest;
use super::stage::{listed, secure, workload};
use crate::support::{Revisor, world};
use devcluster::Cluster;
use std::path::Path;
use std::process::{Command, Output};

/// The shell blocks of a document, as one script.
pub fn script(document: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(path).expect("a document");
    let blocks = text
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let script: String = blocks.collect();
    assert!(script.contains("curl"), "{document} shows nothing");
    format!("set -euo pipefail\n{script}")
}

/// Runs it in a folder, as an administrator of the cluster; `$REVISOR` is the address.
pub fn bash(script: &str, address: &str, cluster: &Cluster, folder: &Path) -> Output {
    let kubectl = cluster.kubectl();
    let program = Path::new(kubectl.get_program());
    let path = std::env::var("PATH").expect("PATH");
    let path = program.parent().map_or(path.clone(), |folder| {
        format!("{}:{path}", folder.display())
    });
    let mut bash = Command::new("bash");
    bash.args(["-c", script])
        .current_dir(folder)
        .env("PATH", path)
        .env("KUBECONFIG", cluster.kubeconfig());
    bash.env("REVISOR", address).output().expect("bash")
}

/// Where schemathesis is; none on a machine without Python or its package index.
fn schemathesis() -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis.sh");
    let out = Command::new("bash").arg(script).output().expect("bash");
    eprint!("{}", String::from_utf8_lossy(&out.stderr));
    out.status
        .success()
        .then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// Runs it in a folder with its settings.
fn fuzz(program: &str, folder: &Path, server: &Revisor, token: &str, examples: usize) {
    let mut run = Command::new(program);
    run.current_dir(folder)
        .arg("run")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json"));
    run.args([
        "--url",
        &format!("https://127.0.0.1:{}", server.rest),
        "--tls-verify",
        "false",
        "--header",
        token,
    ]);
    run.args([
        "--max-examples",
        &examples.to_string(),
        "--seed",
        "7",
        "--no-color",
        "--suppress-health-check",
        "all",
    ]);
    let out = run.output().expect("schemathesis");
    assert!(
        out.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fuzzer_that_knows_the_description_finds_nothing() {
    fuzzed(50).await;
}

/// A fuzzer makes so many examples of each endpoint.
pub async fn fuzzed(examples: usize) {
    let Some(program) = schemathesis() else {
        assert!(
            std::env::var("CI").is_err(),
            "schemathesis cannot be had, and in CI nothing is left out"
        );
        eprintln!("schemathesis cannot be had here; its checks are left out");
        return;
    };
    let world = world();
    let server = secure();
    let namespace = world.namespace("fuzz").await;
    let people = People::of(world, &namespace).await;
    let made = workload(world, server, &namespace).await;
    let rest = Rest::tls(server.rest).with(&people.everywhere);
    let id = listed(&rest, &made.uid, 3).await[2]["id"].clone();
    let id = id.as_str().expect("an id");
    let folder = tempfile::tempdir().expect("a folder");
    // Only an answer knows what a cursor is, and the first revision has none before it: no schema can say so.
    let loose = [
        "/namespaces",
        "/workloads",
        "/workloads/{workloadId}/revisions",
        "/revisions/{revisionId}/diff",
    ]
    .map(|path| {
        let check = "checks.positive_data_acceptance.enabled = false";
        format!("[[operations]]\ninclude-name = \"GET /api/revisor/v1{path}\"\n{check}\n")
    });
    // Ids that exist, so that answers other than 404 are seen too.
    let known = format!(
        "[parameters]\n\"path.workloadId\" = \"{}\"\n\"path.revisionId\" = \"{id}\"\n",
        made.uid
    );
    let [known, any] = [known, String::new()].map(|head| head + &loose.concat());
    let token = format!("Authorization: Bearer {}", people.everywhere);
    for config in [known, any] {
        std::fs::write(folder.path().join("schemathesis.toml"), config).expect("written");
        fuzz(&program, folder.path(), server, &token, examples);
    }
}
