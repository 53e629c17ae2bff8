//! The whole demo, as `make demo KUBECONFIG=…` runs it.

use crate::support::{World, eventually};
use devcluster::Options;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_its_story_and_leaves_nothing_but_definitions() {
    let own = World::start(&Options::full());
    let programs = Path::new(env!("CARGO_BIN_EXE_revisor"))
        .parent()
        .expect("a folder");
    let kubectl = own.cluster.kubectl().get_program().to_owned();
    let kubectl = Path::new(&kubectl)
        .parent()
        .expect("a folder")
        .display()
        .to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let out = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/demo.sh"))
        .env("DEMO_BIN", programs)
        .env("DEMO_KUBECONFIG", own.cluster.kubeconfig())
        .env("PATH", format!("{kubectl}:{path}"))
        .env_remove("KEEP")
        .output()
        .expect("bash");
    let text = String::from_utf8_lossy(&out.stdout);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}\n{errors}");
    let stored = text.lines().filter(|line| line.starts_with("llama-8b-"));
    assert_eq!(stored.count(), 11, "{text}");
    for words in [
        "10 edits in ",
        "revision 12: ",
        "ImagePullBackOff",
        "image",
        "deployment/llama-8b rolled back to revision 11 (generation 13)",
        "deployment/llama-8b runs as revision 13",
        "rolled back to 11: ",
        "\"type\":\"runai-revision\"",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("hf_"), "secrets are hidden: {text}");
    assert!(
        !text.contains("delete crd"),
        "the definitions were there before: {text}"
    );
    let namespaces = || own.kubectl(&["get", "namespaces", "-o", "name"]);
    let gone = || !namespaces().contains("revisor-demo-");
    assert!(
        eventually(Duration::from_secs(60), gone),
        "{}",
        namespaces()
    );
}
