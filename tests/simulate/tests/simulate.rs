//! A fixed set of histories, small enough for every change: that Revisor breaks no promise in them, that the same seed
//! makes the same history, and that the simulator finds the defects that it has found once.

use devcluster::{Cluster, Options};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the simulator; fails with its output.
fn simulate(arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_simulate"))
        .args(arguments)
        .output()
        .expect("the simulator");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{arguments:?}:\n{text}\n{errors}");
    text
}

#[test]
fn no_promise_is_broken() {
    let text = simulate(&["run", "--runs", "250", "--seed", "1", "--jobs", "1"]);
    assert!(
        text.starts_with("250 histories, 0 broke a promise"),
        "{text}"
    );
}

#[test]
fn the_same_seed_makes_the_same_history() {
    // Every eighth history is observed; the order in which kube-rs opens watches at one instant depends on the load there.
    for first in [5001, 5009, 5017, 5025, 5033] {
        let seed = first.to_string();
        let text = simulate(&[
            "run", "--runs", "7", "--seed", &seed, "--twice", "--jobs", "1",
        ]);
        assert!(
            text.starts_with("14 histories, 0 broke a promise"),
            "{text}"
        );
    }
}

/// Carries out 40 histories with these faults alone.
fn with_faults(faults: &str, seed: &str) {
    let text = simulate(&[
        "run", "--runs", "40", "--seed", seed, "--jobs", "1", "--faults", faults,
    ]);
    assert!(
        text.starts_with("40 histories, 0 broke a promise"),
        "{text}"
    );
}

#[test]
fn refused_revisions_are_stored_later_and_other_namespaces_do_not_wait() {
    with_faults("Denied,DeniedObject,QuotaExceeded,CreateHangs", "6000");
}

#[test]
fn refused_revisions_survive_kills_and_compaction() {
    with_faults("Denied,DeniedObject,Kill,AwayOverCompaction", "6100");
}

#[test]
fn a_checkpoint_that_is_lost_or_hidden_leaves_nothing_unsaid() {
    let faults =
        "CheckpointDeleted,CheckpointTruncated,CheckpointForeign,CheckpointUnreadable,Compaction";
    with_faults(faults, "6200");
}

#[test]
fn heads_that_are_removed_are_stored_again() {
    let faults = "RevisionDeleted,RevisionsDeleted,DefinitionGone,Kill,KillAfterCreate,WatchExpires,\
        Partition,ServerRestarts";
    with_faults(faults, "6400");
}

#[test]
fn recording_begins_before_the_first_start() {
    with_faults("FirstStart,Compaction,CompactionAtRead", "6300");
}

#[test]
fn what_never_was_hides_nothing_and_counts_for_nothing() {
    let faults =
        "ForgedGeneration,ForgedGap,ForgedName,ForgedDigest,ForgedElsewhere,Kill,ServerRestarts";
    with_faults(faults, "6400");
}

#[test]
fn quiet_claims_hide_nothing_that_can_be_read() {
    with_faults("ForgedClaim,Kill,ServerRestarts,Compaction", "6500");
}

#[test]
fn histories_that_found_a_defect_find_it_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("histories");
    let text = simulate(&["check", &folder.display().to_string()]);
    assert!(!text.contains("NOT found"), "{text}");
}

/// A folder of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

#[test]
fn the_simulated_api_server_answers_as_the_real_one() {
    compare(1000);
}

fn compare(sequences: usize) {
    let cluster = Cluster::start(&Options::minimal()).expect("a cluster");
    for definitions in [
        "crds/revisions.yaml",
        "tests/fixtures/crds/inferenceservices.yaml",
    ] {
        let manifest = std::fs::read_to_string(repository(definitions)).expect("a file");
        cluster.apply(&manifest).expect("definitions");
    }
    let established = cluster
        .kubectl()
        .args([
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=20s",
        ])
        .status();
    assert!(established.expect("kubectl").success());
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let sequences = sequences.to_string();
    simulate(&[
        "compare",
        "--kubeconfig",
        &kubeconfig,
        "--sequences",
        &sequences,
    ]);
}
