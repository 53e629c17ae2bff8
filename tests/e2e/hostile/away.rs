//! Against a Revisor that was away, and edits that were made meanwhile.

use super::forge;
use super::stage::{Tenant, generations, object, served, start, until_said, until_served};
use crate::settled::{AFTER_A_START, History};
use crate::support::{Revisor, World};
use devcluster::Component;
use serde_json::{Value, json};
use std::time::Duration;

/// How the API server is when Revisor comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Server {
    /// It still shows what happened.
    Remembers,
    /// It was restarted: everything has to be read back from etcd.
    Restarted,
}

fn come_back(world: &World, server: Server) -> Revisor {
    if server == Server::Restarted {
        let api = Component::ApiServer(0);
        world.cluster.restart(api).expect("restarted");
    }
    Revisor::start(world.cluster.kubeconfig(), &[])
}

async fn recorded(world: &World, purpose: &str) -> (History, Tenant) {
    let revisor = Revisor::start(world.cluster.kubeconfig(), &[]);
    let history = History::recorded(world, purpose).await;
    let last = history.edit("w0", 0..1).await;
    history.assert_complete(&last, AFTER_A_START).await;
    let tenant = Tenant::of(world, &history.namespace).await;
    // The checkpoint may have passed everything by then, or not.
    drop(revisor);
    (history, tenant)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_generation_hides_no_edit_that_was_made_meanwhile() {
    for server in [Server::Remembers, Server::Restarted] {
        let world = start();
        let (history, tenant) = recorded(&world, "head").await;
        let model = history.revisions().await.remove(1);
        let far = tenant
            .store(&forge::generation(&model, 1_000_000_000_000))
            .await;
        tenant.store(&forge::gap(&model, 3, 900)).await;
        history.edit("w0", 10..12).await;
        let revisor = come_back(&world, server);
        let last = history.edit("w0", 20..21).await;
        history.wait(&last, AFTER_A_START, |_| false).await;
        until_served(&revisor, &last.uid, &[5, 4, 3, 2, 1]).await;
        until_said(
            &revisor,
            &history.client,
            &history.namespace,
            &far,
            "Generation",
        )
        .await;
        revisor.assert_nothing_lost();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_quiet_claim_hides_no_edit_that_can_be_read() {
    for server in [Server::Remembers, Server::Restarted] {
        let world = start();
        let (history, tenant) = recorded(&world, "quiet").await;
        let last = history.edit("w0", 10..13).await;
        let name = history.revisions().await[1]["metadata"]["name"].clone();
        let name = name.as_str().expect("a name");
        let live = object(&history.client, &history.path("w0")).await;
        let claim = json!({"observedThrough": {
            "generation": last.generation, "resourceVersion": live["metadata"]["resourceVersion"]}});
        tenant.patch_status(name, &claim).await;
        let revisor = come_back(&world, server);
        history.wait(&last, AFTER_A_START, |_| false).await;
        let last = history.edit("w0", 20..21).await;
        history.assert_complete(&last, AFTER_A_START).await;
        // A claim above the live generation explains nothing either.
        drop(revisor);
        let newest = history.revisions().await.pop().expect("one");
        let newest = newest["metadata"]["name"].as_str().expect("a name");
        let claim = json!({"observedThrough": {"generation": 1_000_000, "resourceVersion": "1"}});
        tenant.patch_status(newest, &claim).await;
        let last = history.edit("w0", 30..33).await;
        let revisor = come_back(&world, Server::Remembers);
        history.assert_complete(&last, AFTER_A_START).await;
        revisor.assert_nothing_lost();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_was_not_recorded_yet_is_not_taken_over() {
    let world = start();
    let revisor = Revisor::start(world.cluster.kubeconfig(), &[]);
    let own = History::recorded(&world, "attacker").await;
    let tenant = Tenant::of(&world, &own.namespace).await;
    let model = own.revisions().await.remove(0);
    drop(revisor);
    let victim = History::begin(&world, "victim").await;
    let made = victim.create("w0").await;
    let live = object(&victim.client, &victim.path("w0")).await;
    let mut names = Vec::new();
    for generation in [1, 2, 7] {
        names.push(tenant.store(&forge::of(&model, &live, generation)).await);
    }
    // The creation of Revisions has whole seconds; these are older.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let revisor = come_back(&world, Server::Remembers);
    let last = victim.edit("w0", 0..2).await;
    victim.assert_complete(&last, AFTER_A_START).await;
    drop(revisor);
    let revisor = come_back(&world, Server::Restarted);
    until_said(
        &revisor,
        &victim.client,
        &tenant.namespace,
        &names[0],
        "Namespace",
    )
    .await;
    let all = served(&revisor, &made.uid);
    let namespace = |one: &Value| one["additionalFields"]["namespace"].clone();
    assert!(
        all.iter()
            .all(|one| namespace(one) == json!(victim.namespace))
    );
    assert_eq!(generations(&revisor, &made.uid), [3, 2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_revision_that_names_another_kind_does_not_make_it_one() {
    let world = start();
    let (history, tenant) = recorded(&world, "kind").await;
    let model = history.revisions().await.remove(0);
    // Deleted and stored again under its own name, as something else.
    let name = model["metadata"]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    world.kubectl(&["-n", &history.namespace, "delete", "revision", &name]);
    let mut forged = forge::generation(&model, 1);
    forged["spec"]["workload"]["kind"] = "Nothing".into();
    forged["spec"]["workload"]["apiVersion"] = "evil.example/v1".into();
    tenant.store(&forged).await;
    history.edit("w0", 10..12).await;
    let revisor = come_back(&world, Server::Remembers);
    let last = history.edit("w0", 20..21).await;
    history.wait(&last, AFTER_A_START, |key| key.1 == 1).await;
    until_served(&revisor, &last.uid, &[5, 4, 3, 2]).await;
    until_said(
        &revisor,
        &history.client,
        &history.namespace,
        &name,
        "Workload",
    )
    .await;
}
