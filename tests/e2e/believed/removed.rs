//! Revisions are deleted by hand: the head of a live workload comes back, also after a restart, and nothing is said to be
//! lost.

use super::stage::{BACK, Present};
use crate::settled::{History, until};
use crate::support::{Revisor, World};
use devcluster::Options;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_deleted_by_hand_comes_back_and_others_do_not() {
    let own = World::start(&Options::minimal());
    let mut revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let history = History::recorded(&own, "removed").await;
    let mut last = history.edit("w0", 0..4).await;
    history.assert_complete(&last, BACK).await;
    for round in 0..2 {
        // The second time nobody looks.
        let is_away = round == 1;
        let before = Present::of(&history).await;
        assert!(before.generations().len() > 3);
        let chosen = [before.names[1].as_str(), before.head()];
        if is_away {
            drop(revisor);
            delete(&own, &history, &chosen);
            revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
        } else {
            delete(&own, &history, &chosen);
        }
        before.wait_for_head(&history, "Change").await;
        let expected: Vec<_> = before.without(1);
        assert_eq!(Present::of(&history).await.generations(), expected);
        is_counted(&revisor).await;
        let first = 100 * (round + 1);
        last = history.edit("w0", first..first + 2).await;
        let is_left_out = |key: &(String, i64)| key.1 <= before.last();
        history.wait(&last, BACK, is_left_out).await;
        revisor.assert_nothing_lost();
    }
    assert!(Present::of(&history).await.has_no_gap());
    assert_eq!(last.generation, 1 + 4 + 2 + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_revisions_are_deleted_the_heads_come_back() {
    let own = World::start(&Options::minimal());
    let mut revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let history = History::recorded(&own, "emptied").await;
    let last = history.edit("w0", 0..4).await;
    history.assert_complete(&last, BACK).await;
    let before = Present::of(&history).await;
    empty(&own, &history);
    before.wait_for_head(&history, "Baseline").await;
    drop(revisor);
    empty(&own, &history);
    revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    before.wait_for_head(&history, "Baseline").await;
    // Whatever is next is a change of it.
    let last = history.edit("w0", 100..101).await;
    let is_left_out = |key: &(String, i64)| key.1 < before.last();
    history.wait(&last, BACK, is_left_out).await;
    let present = Present::of(&history).await;
    assert_eq!(present.generations(), [before.last(), last.generation]);
    assert_eq!(present.types, ["Baseline", "Change"]);
    revisor.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_goes_after_its_head_leaves_no_other_behind() {
    let own = World::start(&Options::minimal());
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let history = History::recorded(&own, "gone").await;
    let last = history.edit("w0", 0..2).await;
    history.assert_complete(&last, BACK).await;
    let before = Present::of(&history).await;
    delete(&own, &history, &[before.head()]);
    before.wait_for_head(&history, "Change").await;
    history.delete("w0").await;
    let is_ended = async || {
        let revisions = history.revisions().await;
        let head = revisions.last().expect("a head");
        head["status"]["workloadDeletionTime"].is_string()
    };
    until(BACK, "the end is written", is_ended).await;
    // Nothing is recorded of a workload that is gone.
    empty(&own, &history);
    sleep(Duration::from_secs(8)).await;
    assert!(history.revisions().await.is_empty());
    revisor.assert_nothing_lost();
}

/// Deletes Revisions by their names.
fn delete(own: &World, history: &History, names: &[&str]) {
    let arguments = ["-n", &history.namespace, "delete", "revision"];
    own.kubectl(&[&arguments[..], names].concat());
}

fn empty(own: &World, history: &History) {
    own.kubectl(&["-n", &history.namespace, "delete", "revision", "--all"]);
}

async fn is_counted(revisor: &Revisor) {
    let counted = async || revisor.metric("revisor_revisions_removed", "") >= 1.0;
    until(BACK, "the removed Revision is counted", counted).await;
}
