//! The first release and the present one, one after the other and side by side, on one cluster.
//!
//! `REVISOR_FIRST_RELEASE` is the path of its program; `tests/long.sh` has it built. With `REVISOR_GENERATE` its
//! checkpoint and its Revisions become the fixtures in `tests/fixtures/first-release`.

use super::checkpoint::CHECKPOINT;
use super::history::History;
use super::quotas::{lift, limit};
use super::stage::{AFTER_A_HOLD, AFTER_A_START, until};
use crate::support::{Binary, Meta, Revisor, World, send};
use devcluster::Options;
use http::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

const CRD: &str = include_str!("../../../crds/revisions.yaml");
const FIRST_CRD: &str = include_str!("../../fixtures/first-release/revisions-crd.yaml");
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/first-release");

/// One cluster, and the histories that are edited there.
struct Stage {
    own: World,
    first: Binary,
    /// Edited under every release.
    edited: History,
    /// Held by a quota while the present release runs.
    held: History,
}

impl Stage {
    async fn begin() -> Self {
        let program = std::env::var_os("REVISOR_FIRST_RELEASE")
            .expect("REVISOR_FIRST_RELEASE: the program of the first release, see tests/long.sh");
        let own = World::start(&Options::minimal());
        own.cluster.apply(FIRST_CRD).expect("its definition");
        Self {
            first: Binary::from(PathBuf::from(program)),
            edited: History::begin(&own, "edited").await,
            held: History::begin(&own, "held").await,
            own,
        }
    }

    fn kubeconfig(&self) -> &Path {
        self.own.cluster.kubeconfig()
    }

    /// A workload with a few edits, another that comes and goes.
    async fn edit(&self, round: usize) -> Meta {
        let name = format!("w{round}");
        self.edited.create(&name).await;
        self.edited.edit(&name, 0..20).await;
        self.edited.delete(&name).await;
        self.edited.create("kept").await;
        let last = self
            .edited
            .edit("kept", 100 * round..100 * round + 20)
            .await;
        self.edited.delete("kept").await;
        last
    }
}

/// Upgrade, downgrade, upgrade, both at once: nothing is missing, extra, or in a Gap.
pub async fn up_and_down() {
    let stage = Stage::begin().await;
    let kubeconfig = stage.kubeconfig();

    let first = stage.first.start(kubeconfig, &[]);
    let last = stage.edit(1).await;
    let waiting = stage.held.create("w").await;
    stage.edited.assert_complete(&last, AFTER_A_START).await;
    stage.held.assert_complete(&waiting, AFTER_A_START).await;
    wait_for_checkpoint(&stage).await;
    keep_as_fixtures(&stage).await;
    drop(first);

    let away = stage.edit(2).await;
    stage.own.cluster.apply(CRD).expect("the definition");
    let present = Revisor::start(kubeconfig, &[]);
    stage.edited.assert_complete(&away, AFTER_A_START).await;
    limit(&stage.held, 1).await;
    let waiting = stage.held.edit("w", 0..3).await;
    until(AFTER_A_HOLD, "exceptions", async || {
        entries(&stage).await.to_string().contains("exceptions")
    })
    .await;
    present.assert_nothing_lost();
    drop(present);

    let away = stage.edit(3).await;
    let first = stage.first.start(kubeconfig, &[]);
    lift(&stage.held).await;
    stage.held.assert_complete(&waiting, AFTER_A_HOLD).await;
    let last = stage.edit(4).await;
    stage.edited.assert_complete(&away, AFTER_A_START).await;
    stage.edited.assert_complete(&last, AFTER_A_START).await;
    wait_for_checkpoint(&stage).await;
    drop(first);

    let away = stage.edit(5).await;
    let present = Revisor::start(kubeconfig, &[]);
    stage.edited.assert_complete(&away, AFTER_A_START).await;
    let first = stage.first.start(kubeconfig, &[]);
    let last = stage.edit(6).await;
    stage.edited.assert_complete(&last, AFTER_A_START).await;
    stage.held.assert_complete(&waiting, AFTER_A_START).await;
    present.assert_nothing_lost();
    first.assert_nothing_lost();
}

/// The entries of the checkpoint; null before it was written for the first time.
async fn entries(stage: &Stage) -> Value {
    let client = &stage.edited.client;
    let (_, body) = send(client, Method::GET, CHECKPOINT, "application/json", "").await;
    let mut map: Value = serde_json::from_str(&body).expect("JSON");
    map["data"].take()
}

/// Waits until the checkpoint, which is written every ten seconds, was written once more.
async fn wait_for_checkpoint(stage: &Stage) {
    let before = entries(stage).await;
    until(Duration::from_secs(60), "a checkpoint", async || {
        entries(stage).await != before
    })
    .await;
}

async fn keep_as_fixtures(stage: &Stage) {
    if std::env::var_os("REVISOR_GENERATE").is_none() {
        return;
    }
    let checkpoint = json!({"data": entries(stage).await});
    let mut revisions = stage.edited.revisions().await;
    revisions.truncate(3);
    for (name, value) in [
        ("checkpoint.json", checkpoint),
        ("revisions.json", revisions.into()),
    ] {
        let text = serde_json::to_string_pretty(&value).expect("JSON");
        std::fs::write(Path::new(FIXTURES).join(name), text + "\n").expect("written");
    }
}
