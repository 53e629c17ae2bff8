//! Workloads as they were at any time, beside what etcd says.

use super::stage::stage;
use crate::support::{DEPLOYMENT, LEADER_WORKER_SET, patch, post, read, revisions};
use revisor::history::at::at_version;
use revisor::history::lives::{Life, lives};
use revisor::manifest::Manifest;
use revisor::revision::Revision;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What etcd had at a place: the spec of each object, by name.
async fn stored(client: &kube::Client, namespace: &str, version: u64) -> BTreeMap<String, Value> {
    let path = format!(
        "{}?resourceVersion={version}&resourceVersionMatch=Exact",
        LEADER_WORKER_SET.path(namespace)
    );
    let list = read(client, &path).await;
    let items = list["items"].as_array().expect("items").iter();
    items
        .map(|it| {
            (
                it["metadata"]["name"].as_str().expect("a name").to_owned(),
                it["spec"].clone(),
            )
        })
        .collect()
}

fn recorded(lives: &[Life], version: u64) -> BTreeMap<String, Value> {
    let version = version.to_string().parse().expect("a version");
    let state = |life: &Life| {
        let revision = at_version(life, version, lives).expect("known")?;
        let object = Manifest::read(revision).expect("content").into_object();
        Some((life.name().to_owned(), object["spec"].clone()))
    };
    lives.iter().filter_map(state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_thousand_places_the_past_is_that_of_etcd() {
    let stage = stage();
    let client = stage.client().await;
    let namespace = stage.world.namespace("past").await;
    let path = LEADER_WORKER_SET.path(&namespace);
    let object = |name: &str| {
        let mut object = LEADER_WORKER_SET.example();
        object["metadata"]["name"] = json!(name);
        object
    };
    let first = post(&client, &path, &object("a")).await.version();
    for (number, name) in ["b", "c"].into_iter().enumerate() {
        let edits = 1..=20_usize;
        for size in edits {
            let edited = ["a", "b"][size % (number + 1)];
            let edit =
                json!({"spec": {"leaderWorkerTemplate": {"size": 100 * (number + 1) + size}}});
            patch(&client, &format!("{path}/{edited}"), &edit).await;
        }
        post(&client, &path, &object(name)).await;
    }
    let last = post(&client, &path, &object("d")).await.version();
    stage
        .recorded(LEADER_WORKER_SET, &format!("{path}/d"))
        .await;
    let all: Vec<Revision> = revisions(&client, &namespace)
        .await
        .into_iter()
        .map(|it| serde_json::from_value(it).expect("a Revision"))
        .collect();
    let lives: Vec<_> = lives(all).into_values().flatten().collect();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..1000 {
        let version = random.u64(first..=last);
        assert_eq!(
            recorded(&lives, version),
            stored(&client, &namespace, version).await,
            "at {version}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_printed_as_it_was_by_time_and_by_place() {
    let stage = stage();
    let client = stage.client().await;
    let namespace = stage.world.namespace("at").await;
    let mut object = DEPLOYMENT.example();
    object["spec"]["replicas"] = json!(0);
    let made = post(&client, &DEPLOYMENT.path(&namespace), &object).await;
    post(
        &client,
        &LEADER_WORKER_SET.path(&namespace),
        &LEADER_WORKER_SET.example(),
    )
    .await;
    let path = format!("{}/deepseek-r1", LEADER_WORKER_SET.path(&namespace));
    patch(
        &client,
        &path,
        &json!({"spec": {"leaderWorkerTemplate": {"size": 9}}}),
    )
    .await;
    stage.recorded(LEADER_WORKER_SET, &path).await;
    let now = stage
        .plugin(&namespace, &["at", "0s", "--show-secrets"])
        .ok();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&now).expect("YAML");
    let kinds: Vec<_> = documents
        .iter()
        .map(|it| it["kind"].as_str().expect("a kind"))
        .collect();
    assert_eq!(kinds, ["Deployment", "LeaderWorkerSet"], "{now}");
    assert!(now.contains("size: 9"), "{now}");
    let then = stage
        .plugin(
            &namespace,
            &[
                "at",
                "--resource-version",
                &made.resource_version,
                "-o",
                "name",
            ],
        )
        .ok();
    assert_eq!(then, format!("deployment/llama-8b in {namespace} 1\n"));
    let one = stage
        .plugin(&namespace, &["at", "@0s", "lws/deepseek-r1", "-o", "name"])
        .ok();
    assert_eq!(
        one,
        format!("leaderworkerset/deepseek-r1 in {namespace} 2\n")
    );
    stage
        .plugin(&namespace, &["at", "2000-01-01"])
        .failed(1, "no workload that is recorded was there then");
}
