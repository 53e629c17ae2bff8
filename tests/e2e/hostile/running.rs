//! Against two replicas that run.

use super::forge;
use super::stage::{
    SAID, Tenant, generations, object, served, start, two, until_said, until_served,
};
use crate::settled::{History, until};
use crate::support::{Revisor, get};
use serde_json::{Value, json};
use std::time::Duration;

/// The names of Revisions that never were.
struct Forged {
    /// Far above the live generation.
    far: String,
    /// Ends above it.
    gap: String,
    /// Has a name of its own.
    misnamed: String,
    /// Has the content of another generation.
    unfit: String,
}

impl Forged {
    async fn store(history: &History, tenant: &Tenant) -> Self {
        let mut all = history.revisions().await;
        let other = all[2]["spec"]["snapshot"].clone();
        let model = all.remove(1);
        let far = tenant
            .store(&forge::generation(&model, 1_000_000_000_000))
            .await;
        let gap = tenant.store(&forge::gap(&model, 4, 9)).await;
        let misnamed = {
            let mut forged = forge::generation(&model, 2);
            forged["metadata"]["name"] = "anything".into();
            tenant.store(&forged).await
        };
        let unfit = {
            let mut forged = forge::generation(&model, 1);
            forged["metadata"]["name"] = long_name(&forged).into();
            forged["spec"]["snapshot"] = other;
            tenant.store(&forged).await
        };
        Self {
            far,
            gap,
            misnamed,
            unfit,
        }
    }

    async fn assert_said(&self, replica: &Revisor, history: &History) {
        let (client, namespace) = (&history.client, &history.namespace);
        for (name, why) in [
            (&self.far, "Generation"),
            (&self.gap, "Generation"),
            (&self.misnamed, "Name"),
            (&self.unfit, "Content"),
        ] {
            until_said(replica, client, namespace, name, why).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_was_is_not_served_and_is_said() {
    let world = start();
    let replicas = two(&world);
    let history = History::recorded(&world, "own").await;
    let last = history.edit("w0", 0..2).await;
    history.assert_complete(&last, SAID).await;
    let tenant = Tenant::of(&world, &history.namespace).await;
    let forged = Forged::store(&history, &tenant).await;
    for replica in &replicas {
        forged.assert_said(replica, &history).await;
        assert_eq!(generations(replica, &last.uid), [3, 2, 1]);
        let newest = served(replica, &last.uid).remove(0);
        let fields = &newest["additionalFields"];
        assert!(
            fields["latest"] == true && fields.get("missing").is_none(),
            "{newest}"
        );
    }
    let delete = |names: [&str; 2]| {
        for name in names {
            world.kubectl(&["-n", &history.namespace, "delete", "revision", name]);
        }
    };
    // Each generation is there once again, as far as names go.
    delete([&forged.misnamed, &forged.unfit]);
    let last = history.edit("w0", 10..12).await;
    history.wait(&last, SAID, |_| false).await;
    for replica in &replicas {
        until_served(replica, &last.uid, &[5, 4, 3, 2, 1]).await;
        replica.assert_nothing_lost();
    }
    // One that is deleted is not said any more.
    delete([&forged.far, &forged.gap]);
    for replica in &replicas {
        let is_over = async || replica.metric("revisor_revisions_forged", "") < 0.5;
        until(SAID, "nothing is forged any more", is_over).await;
    }
}

/// The long form of the name of a Revision.
fn long_name(revision: &Value) -> String {
    let uid = revision["spec"]["workload"]["uid"].as_str().expect("a uid");
    let name = revision["metadata"]["name"].as_str().expect("a name");
    let uid = uid.parse().expect("a uid");
    revisor::revision::identity::lengthened(name, uid).expect("a short name")
}

#[tokio::test(flavor = "multi_thread")]
async fn another_namespaces_history_is_neither_taken_over_nor_hidden() {
    let world = start();
    let replicas = two(&world);
    let victim = History::recorded(&world, "victim").await;
    let last = victim.edit("w0", 0..2).await;
    victim.assert_complete(&last, SAID).await;
    let tenant = Tenant::of(&world, &world.namespace("attacker").await).await;
    // Whatever it can read of another namespace it has from elsewhere: a uid is no secret.
    let model = victim.revisions().await.remove(0);
    let mut forged = Vec::new();
    for generation in [1, 2, 3, 4, 900] {
        forged.push(tenant.store(&forge::generation(&model, generation)).await);
    }
    tenant.store(&forge::gap(&model, 1, 2)).await;
    for replica in &replicas {
        until_said(
            replica,
            &victim.client,
            &tenant.namespace,
            &forged[0],
            "Namespace",
        )
        .await;
        assert_eq!(generations(replica, &last.uid), [3, 2, 1]);
        let namespace = |one: &Value| one["additionalFields"]["namespace"].clone();
        let all = served(replica, &last.uid);
        assert!(
            all.iter()
                .all(|one| namespace(one) == json!(victim.namespace))
        );
    }
    let last = victim.edit("w0", 10..13).await;
    victim.assert_complete(&last, SAID).await;
    for replica in &replicas {
        until_served(replica, &last.uid, &[6, 5, 4, 3, 2, 1]).await;
    }
    // What was known of a workload is known when it is gone.
    victim.delete("w0").await;
    let is_deleted = async || {
        let all = victim.revisions().await;
        all.iter()
            .any(|one| one["status"]["workloadDeletionTime"].is_string())
    };
    until(SAID, "its end is recorded", is_deleted).await;
    for replica in &replicas {
        let (code, body) = get(
            replica.rest,
            &format!("/api/revisor/v1/workloads?namespace={}", tenant.namespace),
        )
        .expect("an answer");
        assert!(code == 200 && !body.contains(&last.uid), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_end_hides_no_workload_that_is_there() {
    let world = start();
    let [one, two] = two(&world);
    let history = History::recorded(&world, "ended").await;
    let last = history.edit("w0", 0..1).await;
    history.assert_complete(&last, SAID).await;
    let tenant = Tenant::of(&world, &history.namespace).await;
    let name = history.revisions().await[1]["metadata"]["name"].clone();
    let name = name.as_str().expect("a name");
    let end = json!({"workloadDeletionTime": "2026-01-01T00:00:00Z"});
    tenant.patch_status(name, &end).await;
    drop(two);
    let two = Revisor::start(world.cluster.kubeconfig(), &[]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for replica in [&one, &two] {
        assert_eq!(generations(replica, &last.uid), [2, 1]);
        assert!(served(replica, &last.uid)[0].get("deletedAt").is_none());
    }
    let last = history.edit("w0", 10..12).await;
    history.wait(&last, SAID, |_| false).await;
    let stored = object(&history.client, &format!("{}/{name}", tenant.revisions())).await;
    assert!(
        stored["status"]["workloadDeletionTime"].is_string(),
        "nobody takes it back"
    );
}
