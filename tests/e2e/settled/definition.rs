//! The definition of Revisions goes and comes back while workloads are edited.

use super::history::History;
use super::stage::{AFTER_A_HOLD, until};
use crate::support::{Revisor, World, command, patch, read, send};
use devcluster::Options;
use http::Method;
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

const DEFINITION: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/revisions.revisor.dev";

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
