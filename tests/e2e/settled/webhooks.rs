//! Webhooks that refuse Revisions with every code, or never answer: others go on, nothing is lost.

use super::arrivals::Arrivals;
use super::denial::wait_refused;
use super::history::History;
use super::hook::{Hooks, Refusal};
use super::stage::{AFTER_A_HOLD, UNHELD, assert_nothing_lost, stage};
use crate::support::Meta;
use crate::traffic::create;
use futures::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

/// Workloads that are refused at the same time.
const REFUSED: usize = 100;
/// Edits of others before and meanwhile.
const EDITS: usize = 200;
/// Other tests share the processors: a p90 below it tells nothing.
const NOISE: Duration = Duration::from_millis(500);

/// Refusals with every code, and such as look like those of the API server itself.
fn statuses() -> Vec<Value> {
    let plain = [400, 403, 404, 409, 429, 500].map(|code| json!({"code": code, "message": word()}));
    let terminating = json!([{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]);
    let forged = [
        json!({
            "code": 403, "reason": "Forbidden", "message": "x is being terminated",
            "details": {"kind": "revisions", "group": "revisor.dev", "causes": terminating},
        }),
        json!({"code": 403, "reason": "Forbidden", "message": "exceeded quota: q"}),
        json!({
            "code": 404, "reason": "NotFound", "message": "namespaces \"x\" not found",
            "details": {"kind": "namespaces", "name": "x"},
        }),
        json!({
            "code": 409, "reason": "AlreadyExists", "message": "\"x\" already exists",
            "details": {"kind": "revisions", "group": "revisor.dev", "name": "x"},
        }),
        json!({
            "code": 429, "reason": "TooManyRequests", "message": word(),
            "details": {"retryAfterSeconds": 2},
        }),
        json!({"code": 500, "message": "etcdserver: mvcc: database space exceeded"}),
        json!({"code": 500, "message": "etcdserver: request is too large"}),
    ];
    plain.into_iter().chain(forged).collect()
}

fn word() -> String {
    (0..12).map(|_| fastrand::lowercase()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_refuse_with_any_code_or_hang_hold_no_other_namespace_and_lose_nothing() {
    refused_for(5, Duration::from_secs(6)).await;
}

/// Webhooks refuse for `time`; one never answers, and the API server waits so many seconds for it.
pub async fn refused_for(timeout: u32, time: Duration) {
    let (world, revisor) = stage();
    let refusals: Vec<_> = statuses()
        .into_iter()
        .map(Refusal::Status)
        .chain([Refusal::Silence])
        .collect();
    let histories = join_all(refusals.iter().map(|_| History::recorded(world, "hook"))).await;
    let healthy = History::recorded(world, "healthy").await;
    let like = healthy.revisions().await.remove(0);
    let cases: Vec<_> = histories
        .iter()
        .zip(refusals)
        .map(|(history, refusal)| (history.namespace.clone(), refusal))
        .collect();
    let hooks = Hooks::install(world, &cases, timeout).await;
    let waiting = cases
        .iter()
        .map(|(namespace, _)| wait_refused(world, namespace, &like));
    join_all(waiting).await;
    let last = join_all(histories.iter().map(edited)).await;
    assert_unheld(&healthy).await;
    sleep(time).await;
    for history in &histories {
        assert_eq!(history.revisions().await.len(), 1, "{}", history.namespace);
    }
    assert_unheld(&healthy).await;
    hooks.remove().await;
    for (history, last) in histories.iter().zip(&last) {
        assert_eq!(history.assert_complete(last, AFTER_A_HOLD).await, 1 + 4 + 2);
    }
    assert_nothing_lost(revisor);
}

/// Edits of one workload and a new one.
async fn edited(history: &History) -> Meta {
    history.edit("w0", 0..4).await;
    history.create("w1").await;
    history.edit("w1", 0..1).await
}

/// Fifty edits are recorded within the bound, each.
async fn assert_unheld(history: &History) {
    let first = fastrand::usize(1_000..1_000_000);
    let arrivals = Arrivals::watch(history).await;
    let times = arrivals.of_edits(1, first..first + 50, 3 * UNHELD).await;
    let slowest = times[times.len() - 1];
    assert!(slowest <= UNHELD, "{slowest:?} until an edit was recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_workloads_that_are_refused_slow_no_others_down() {
    let (world, revisor) = stage();
    let healthy = History::begin(world, "swift").await;
    create(&healthy.client, &healthy.namespace, 20).await;
    let refused = History::recorded(world, "slow").await;
    let like = refused.revisions().await.remove(0);
    let arrivals = Arrivals::watch(&healthy).await;
    let before = p90(&arrivals.of_edits(20, 0..EDITS, 3 * UNHELD).await);
    let status = json!({"code": 500, "message": "no answer today"});
    let cases = [(refused.namespace.clone(), Refusal::Status(status))];
    let hooks = Hooks::install(world, &cases, 5).await;
    wait_refused(world, &refused.namespace, &like).await;
    let last = create_refused(&refused).await;
    let times = arrivals.of_edits(20, EDITS..2 * EDITS, 3 * UNHELD).await;
    let meanwhile = p90(&times);
    let slowest = times[times.len() - 1];
    assert!(
        meanwhile <= (4 * before).max(NOISE) && slowest <= UNHELD,
        "p90 {before:?} before, {meanwhile:?} meanwhile, {slowest:?} at most"
    );
    assert_eq!(refused.revisions().await.len(), 1, "nothing was refused");
    hooks.remove().await;
    let recorded = refused.assert_complete(&last, AFTER_A_HOLD).await;
    assert_eq!(recorded, 1 + REFUSED);
    assert_nothing_lost(revisor);
}

fn p90(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 9 / 10]
}

/// New workloads in a namespace in which nothing can be stored; the last of them.
async fn create_refused(history: &History) -> Meta {
    let mut last = None;
    for number in 0..REFUSED {
        last = Some(history.create(&format!("refused{number}")).await);
    }
    last.expect("at least one")
}
