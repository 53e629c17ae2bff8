//! The definition of Revisions is deleted, and every Revision with it, and installed anew: the heads come back.

use super::stage::{BACK, Present};
use crate::settled::{History, until};
use crate::support::{Revisor, World, command};
use devcluster::Options;

#[tokio::test(flavor = "multi_thread")]
async fn heads_come_back_after_the_definition_was_deleted_and_installed_anew() {
    let own = World::start(&Options::minimal());
    let mut revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let mut histories = Vec::new();
    for purpose in ["one", "two"] {
        let history = History::recorded(&own, purpose).await;
        let last = history.edit("w0", 0..3).await;
        history.assert_complete(&last, BACK).await;
        let present = Present::of(&history).await;
        histories.push((history, present));
    }
    reinstall(&own);
    all_back(&histories).await;
    revisor.assert_nothing_lost();
    drop(revisor);
    reinstall(&own);
    revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    all_back(&histories).await;
    for (history, before) in &histories {
        let last = history.edit("w0", 100..102).await;
        let is_left_out = |key: &(String, i64)| key.1 < before.last();
        history.wait(&last, BACK, is_left_out).await;
        let present = Present::of(history).await;
        assert_eq!(present.types, ["Baseline", "Change", "Change"]);
    }
    revisor.assert_nothing_lost();
}

async fn all_back(histories: &[(History, Present)]) {
    for (history, before) in histories {
        before.wait_for_head(history, "Baseline").await;
        let is_alone = async || history.revisions().await.len() == 1;
        until(BACK, "nothing but the head", is_alone).await;
    }
}

/// Deletes the definition, which takes all Revisions along, and installs it anew.
fn reinstall(own: &World) {
    own.kubectl(&["delete", "crd", "revisions.revisor.dev", "--timeout=60s"]);
    let definition = command(&["crds"]).stdout;
    own.define(&String::from_utf8(definition).expect("text"));
}
