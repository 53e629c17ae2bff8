//! The definition of Revisions goes and comes back while workloads are edited, or is an older one; and Revisions are
//! deleted by hand.

use super::checkpoint::CHECKPOINT;
use super::history::History;
use super::stage::{AFTER_A_HOLD, until};
use crate::support::{Revisor, World, command, patch, read, send};
use devcluster::Options;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

const DEFINITION: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/revisions.revisor.dev";

const FIRST_CRD: &str = include_str!("../../fixtures/first-release/revisions-crd.yaml");

#[tokio::test(flavor = "multi_thread")]
async fn an_older_definition_of_revisions_is_named_before_anything_is_written() {
    let own = World::start(&Options::minimal());
    own.define(FIRST_CRD);
    let history = History::begin(&own, "older").await;
    history.create("w0").await;
    let revisor = Revisor::launch(own.cluster.kubeconfig(), &[]);
    let is_over = async || !revisor.is_alive();
    until(Duration::from_secs(40), "the start is refused", is_over).await;
    assert!(revisor.log().contains("spec.previous"), "{}", revisor.log());
    let last = history.edit("w0", 0..5).await;
    assert!(history.revisions().await.is_empty());
    let checkpoint = send(
        &history.client,
        Method::GET,
        CHECKPOINT,
        "application/json",
        "",
    )
    .await;
    assert_eq!(checkpoint.0, 404, "{}", checkpoint.1);
    own.define(&String::from_utf8(command(&["crds"]).stdout).expect("text"));
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    history.assert_complete(&last, AFTER_A_HOLD).await;
    let generation = |revision: &Value| revision["spec"]["generation"].as_i64();
    let revisions = history.revisions().await;
    for pair in revisions.windows(2) {
        let previous = &pair[1]["spec"]["previous"];
        assert_eq!(previous["generation"].as_i64(), generation(&pair[0]));
        assert_eq!(previous["digest"], pair[0]["spec"]["contentDigest"]);
    }
    // Deleted by hand, before a restart and across it.
    let name = revisions[2]["metadata"]["name"].as_str().expect("a name");
    own.kubectl(&["-n", &history.namespace, "delete", "revision", name]);
    let is_counted = async |revisor: &Revisor| {
        let limit = Duration::from_secs(20);
        let counted = async || revisor.metric("revisor_revisions_removed", "") >= 1.0;
        until(limit, "the removed Revision is counted", counted).await;
        revisor.assert_nothing_lost();
    };
    is_counted(&revisor).await;
    drop(revisor);
    is_counted(&Revisor::start(own.cluster.kubeconfig(), &[])).await;
    assert_eq!(
        history.revisions().await.len(),
        revisions.len() - 1,
        "no Gap"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_while_the_definition_of_revisions_goes_and_comes_back_are_recorded() {
    let own = World::start(&Options::minimal());
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let history = History::recorded(&own, "undefined").await;
    let before = history.edit("w0", 0..3).await;
    history.assert_complete(&before, AFTER_A_HOLD).await;
    let kept = keep_one(&history).await;
    own.kubectl(&["delete", "crd", "revisions.revisor.dev", "--wait=false"]);
    history.edit("w0", 10..15).await;
    history.create("w1").await;
    sleep(Duration::from_secs(4)).await;
    history.edit("w1", 0..3).await;
    release(&history, &kept).await;
    history.edit("w0", 20..25).await;
    sleep(Duration::from_secs(3)).await;
    let definition = command(&["crds"]).stdout;
    own.define(&String::from_utf8(definition).expect("text"));
    let last = history.edit("w0", 30..33).await;
    // Earlier Revisions went with the definition.
    let is_earlier = |key: &(String, i64)| key.0 == before.uid && key.1 <= before.generation;
    history.wait(&last, AFTER_A_HOLD, is_earlier).await;
    assert!(revisor.is_alive(), "{}", revisor.log());
}

/// Holds the deletion of one Revision back, and with it that of the definition.
async fn keep_one(history: &History) -> String {
    let newest = history.revisions().await.pop().expect("a Revision");
    let name = newest["metadata"]["name"].as_str().expect("a name");
    let path = format!(
        "/apis/revisor.dev/v1alpha1/namespaces/{}/revisions/{name}",
        history.namespace
    );
    let kept = json!({"metadata": {"finalizers": ["e2e.example.com/keep"]}});
    patch(&history.client, &path, &kept).await;
    path
}

/// Lets the Revision go, and waits until the definition is gone too.
async fn release(history: &History, kept: &str) {
    let is_terminating = async || {
        let definition = read(&history.client, DEFINITION).await;
        definition["metadata"]["deletionTimestamp"].is_string()
    };
    let limit = Duration::from_secs(20);
    until(limit, "the definition is terminating", is_terminating).await;
    let released = json!({"metadata": {"finalizers": null}});
    patch(&history.client, kept, &released).await;
    let client = &history.client;
    let is_gone = async || {
        let answer = send(client, Method::GET, DEFINITION, "application/json", "");
        answer.await.0 == 404
    };
    until(limit, "the definition is gone", is_gone).await;
}
