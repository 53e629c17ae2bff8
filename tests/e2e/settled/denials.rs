//! Policies that deny the create of Revisions: every generation is recorded once they are gone.

use super::denial::{Denial, Validation};
use super::history::History;
use super::holds::{assert_shown, is_shown};
use super::stage::{AFTER_A_HOLD, assert_nothing_lost, stage, until};
use crate::support::{Revisor, World};
use futures::future::join_all;
use std::time::Duration;
use tokio::time::sleep;

/// The reasons that a policy may give, as far as the API server takes them: 422, 403, 422 and 413.
const REASONS: [Option<&str>; 4] = [
    None,
    Some("Forbidden"),
    Some("Invalid"),
    Some("RequestEntityTooLarge"),
];
/// Words of other refusals, which the message of a policy may hold too.
const TRAPS: [&str; 5] = [
    "exceeded quota",
    "is being terminated",
    "request is too large",
    "database space exceeded",
    "Revision.revisor.dev \"x\" is invalid",
];
/// For so long a policy denies.
const DENIED: Duration = Duration::from_secs(6);
/// Four times the 35 seconds after which a denied generation holds the later ones no longer.
const ASIDE: Duration = Duration::from_secs(140);

/// Both wait for most of their time, so they wait side by side.
#[tokio::test(flavor = "multi_thread")]
async fn policies_with_any_reason_lose_nothing_and_one_denied_revision_steps_aside() {
    let (world, revisor) = stage();
    let turn = fastrand::usize(..TRAPS.len());
    let denied = REASONS.iter().enumerate().map(|(i, reason)| {
        let trap = TRAPS[(i + turn) % TRAPS.len()];
        denied_for_a_while(world, *reason, trap)
    });
    tokio::join!(join_all(denied), one_denied(world, revisor));
    assert_nothing_lost(revisor);
}

fn word() -> String {
    (0..fastrand::usize(3..9))
        .map(|_| fastrand::lowercase())
        .collect()
}

/// One namespace in which nothing may be created for a while.
async fn denied_for_a_while(world: &World, reason: Option<&str>, trap: &str) {
    let history = History::recorded(world, "denied").await;
    let like = history.revisions().await.remove(0);
    let message = format!("{} {trap} {}", word(), word());
    let validation = Validation {
        expression: "false",
        reason,
        message: &message,
    };
    let denial = Denial::begin(world, &history.namespace, &validation, &like).await;
    history.edit("w0", 0..5).await;
    history.create("w1").await;
    let last = history.edit("w1", 0..2).await;
    sleep(DENIED).await;
    let stored = history.revisions().await.len();
    assert_eq!(stored, 1, "{reason:?} {message:?} denied nothing");
    denial.end().await;
    let recorded = history.assert_complete(&last, AFTER_A_HOLD).await;
    assert_eq!(recorded, 1 + 5 + 3, "{reason:?} {message:?}");
}

/// One generation of one workload is denied. After half a minute it waits alone, and the hold is
/// shown until it ends.
async fn one_denied(world: &World, revisor: &Revisor) {
    let history = History::recorded(world, "aside").await;
    history.create("w1").await;
    let mut like = history.revisions().await.remove(0);
    like["spec"]["generation"] = 3.into();
    let validation = Validation {
        expression: "object.spec.generation != 3 || object.spec.workload.name != 'w0'",
        reason: Some("Forbidden"),
        message: "generation 3 is not wanted",
    };
    let denial = Denial::begin(world, &history.namespace, &validation, &like).await;
    history.edit("w1", 0..5).await;
    let last = history.edit("w0", 0..6).await;
    assert_shown(revisor, &history).await;
    let denied = (last.uid.clone(), 3);
    history.wait(&last, ASIDE, |key| *key == denied).await;
    let stored = history.revisions().await;
    let is_denied = |r: &&serde_json::Value| {
        r["spec"]["workload"]["uid"] == denied.0.as_str() && r["spec"]["generation"] == denied.1
    };
    assert_eq!(stored.iter().filter(is_denied).count(), 0);
    denial.end().await;
    let recorded = history.assert_complete(&last, AFTER_A_HOLD).await;
    assert_eq!(recorded, 7 + 6);
    let hidden = async || !is_shown(revisor, &history, &last.uid);
    until(AFTER_A_HOLD, "the hold is shown no more", hidden).await;
}
