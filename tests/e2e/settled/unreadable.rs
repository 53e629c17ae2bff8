//! A checkpoint that cannot be read for a while: recording waits for it and does not overwrite it.

use super::checkpoint::{CHECKPOINT, edited_while_away, is_told, version};
use super::history::History;
use super::proxy::Proxy;
use super::stage::{AFTER_A_START, assert_nothing_lost, plain_client, until};
use crate::faults::{role, service_account};
use crate::support::{Revisor, World, get, send};
use devcluster::Options;
use http::Method;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// The checkpoint cannot be read for this time, for each of two reasons.
const UNREADABLE: Duration = Duration::from_secs(9);

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_cannot_be_read_is_waited_for_and_not_overwritten() {
    let own = World::start(&Options::minimal());
    let account = service_account(&own);
    let proxy = Proxy::start(&own, &account).await;
    let first = Revisor::start(proxy.kubeconfig(), &[]);
    let history = History::recorded(&own, "unreadable").await;
    drop(first);
    let last = edited_while_away(&history, 0).await;
    let written = version(&history.client).await;
    own.cluster.apply(&blind_role()).expect("a role");
    wait_answer(&account, 403).await;
    let second = Revisor::launch(proxy.kubeconfig(), &[]);
    assert_unready(&second, UNREADABLE).await;
    proxy.set_busy(true);
    own.cluster.apply(&role(true)).expect("a role");
    wait_answer(&account, 200).await;
    assert_unready(&second, UNREADABLE).await;
    assert_eq!(
        version(&history.client).await,
        written,
        "it was overwritten"
    );
    proxy.set_busy(false);
    second.wait_ready_within(AFTER_A_START);
    let recorded = history.assert_complete(&last, AFTER_A_START).await;
    assert_eq!(recorded, 1 + 3 + 4);
    assert_nothing_lost(&second);
    assert!(!is_told(&history.client).await, "it was not lost");
}

/// The role without the right to read ConfigMaps.
fn blind_role() -> String {
    let all = role(true);
    let blind = all.replace("[create, get, patch]", "[create, patch]");
    assert_ne!(blind, all, "the role names its rights in other words");
    blind
}

/// Waits until the API server itself answers so to a read of the checkpoint.
async fn wait_answer(kubeconfig: &Path, wanted: u16) {
    let client = plain_client(kubeconfig).await;
    let answered = async || {
        let (code, _) = send(&client, Method::GET, CHECKPOINT, "application/json", "").await;
        code == wanted
    };
    let limit = Duration::from_secs(20);
    until(limit, &format!("the answer {wanted}"), answered).await;
}

/// A replica runs, and is not ready all the time.
async fn assert_unready(revisor: &Revisor, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if let Some((code, body)) = get(revisor.admin, "/readyz") {
            assert_eq!(code, 503, "{body}");
        }
        sleep(Duration::from_millis(300)).await;
    }
    assert!(revisor.is_alive(), "{}", revisor.log());
}
