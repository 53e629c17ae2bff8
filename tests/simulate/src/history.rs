//! One history: a plan is carried out, and judged.

use crate::controllers;
use crate::editor::Editor;
use crate::etcd::Key;
use crate::fault::{Fault, Injection, Strikes};
use crate::kinds::{CONFIG_MAP, REVISION};
use crate::oracle::{Promise, Violation, statuses};
use crate::os;
use crate::plan::{Change, Plan, Planned};
use crate::replica;
use crate::world::{INSTALLATION, World};
use revisor::mutant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Recording has to be complete so long after the last fault and the last change. A watch that stalls is given up
/// after 55 s, and what it has missed is found by the next audit, which is every 300 s.
const RECOVERY: Duration = Duration::from_secs(900);
/// Nothing may come after it was complete.
const REST: Duration = Duration::from_secs(30);
/// A history is judged so often while it recovers.
const LOOK: Duration = Duration::from_secs(2);
/// The first checkpoint is written after ten seconds.
const FIRST_CHECKPOINT: Duration = Duration::from_secs(120);
/// Most memory of a history, in KiB.
const MEMORY: i64 = 512 << 10;

/// The outcome of a history.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    pub violations: Vec<Violation>,
    /// A digest of everything that crossed the network.
    pub digest: u64,
    /// A digest of what the replicas asked for.
    pub asked: u64,
    pub requests: u64,
    pub simulated_seconds: u64,
    pub changes: usize,
    pub revisions: usize,
    pub gaps: usize,
    pub struck: BTreeMap<Fault, u32>,
}

/// Carries out a plan, on a thread that nothing else was done on. `verbose` prints the timeline.
///
/// # Panics
/// When there is no runtime.
pub fn run(plan: &Plan, verbose: bool) -> Outcome {
    // A plan from a file was checked when it was read.
    mutant::set(plan.mutant().ok().flatten());
    os::begin(plan.seed);
    fastrand::seed(plan.seed);
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(carry_out(plan, verbose))
}

async fn carry_out(plan: &Plan, verbose: bool) -> Outcome {
    os::start_clock();
    let start = Instant::now();
    let world = World::new(plan, verbose);
    let mut replicas = JoinSet::new();
    for replica in 0..plan.replicas {
        replicas.spawn(replica::live(world.clone(), replica));
    }
    let mut controllers = JoinSet::new();
    if plan.observed {
        controllers.spawn(controllers::run(world.clone(), plan.seed));
    }
    begin(plan, &world).await;
    let zero = Instant::now();
    let mut making = JoinSet::new();
    making.spawn(edit(world.clone(), plan.clone(), zero));
    making.spawn(strike(world.clone(), plan.clone(), zero));
    making.join_all().await;
    recover(&world).await;
    replicas.shutdown().await;
    let mut state = world.state.lock();
    if os::peak_memory() > MEMORY {
        let text = format!("{} KiB", os::peak_memory());
        state.oracle.violated(Promise::Memory, text);
    }
    let (revisions, gaps) = state.oracle.stored.counts();
    Outcome {
        violations: std::mem::take(&mut state.oracle.violations),
        digest: state.trace.digest(),
        asked: state.trace.asked(),
        requests: state.trace.requests,
        simulated_seconds: start.elapsed().as_secs(),
        changes: plan.changes.len(),
        revisions,
        gaps,
        struck: std::mem::take(&mut state.struck),
    }
}

/// Waits for the first checkpoint, unless workloads change before it.
async fn begin(plan: &Plan, world: &World) {
    if plan.first_start {
        return;
    }
    let limit = Instant::now() + FIRST_CHECKPOINT;
    while !world.state.lock().has_checkpoint() {
        if Instant::now() > limit {
            let text = "there is no first checkpoint".to_owned();
            world.state.lock().oracle.violated(Promise::Liveness, text);
            return;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Changes workloads as planned.
async fn edit(world: Arc<World>, plan: Plan, zero: Instant) {
    let slots = plan
        .changes
        .iter()
        .map(|planned| planned.slot)
        .max()
        .unwrap_or_default()
        + 1;
    let mut editor = Editor::new(plan.seed, slots);
    let mut releases: JoinSet<()> = JoinSet::new();
    for Planned { at, slot, change } in plan.changes {
        sleep_until(zero + Duration::from_millis(at)).await;
        let autoscaled =
            change == Change::Autoscaled && editor.is_scalable(&world.state.lock().servers, slot);
        let held = world.write(autoscaled, |servers| editor.change(servers, slot, change));
        if let Some(key) = held {
            releases.spawn(release(world.clone(), key, at % 15_000));
        }
    }
    while releases.join_next().await.is_some() {}
}

async fn release(world: Arc<World>, key: Key, after: u64) {
    sleep(Duration::from_millis(after)).await;
    world.write(false, |servers| Editor::release(servers, &key));
}

/// Lets faults strike as planned.
async fn strike(world: Arc<World>, plan: Plan, zero: Instant) {
    for injection in plan.injections {
        sleep_until(zero + Duration::from_millis(injection.at)).await;
        match injection.fault.strikes() {
            Strikes::Request | Strikes::Event => world.state.lock().arm(injection),
            Strikes::World => {
                world.state.lock().struck(&injection);
                strike_world(&world, &injection);
            }
        }
    }
}

fn strike_world(world: &Arc<World>, injection: &Injection) {
    let long = Duration::from_millis(injection.millis(120_000));
    let replica = injection.replica;
    match injection.fault {
        Fault::Compaction => world.compact(injection),
        Fault::ServerRestarts => restart(world, injection.size as usize % 2),
        Fault::Blackout => {
            world.compact(injection);
            restart(world, 0);
            restart(world, 1);
        }
        Fault::CacheStale => {
            let mut state = world.state.lock();
            let at = state.servers.etcd.revision();
            let until = Instant::now() + long / 2;
            state.servers.servers[injection.size as usize % 2].frozen = Some((at, until));
            drop(state);
            wake(world.clone(), until);
        }
        Fault::Outage => world.state.lock().build_wall(Fault::Outage, None, long),
        Fault::Partition | Fault::Freeze => {
            world
                .state
                .lock()
                .build_wall(injection.fault, Some(replica), long);
        }
        Fault::Kill => world.kill(replica, injection.millis(30_000)),
        Fault::AwayOverCompaction => {
            let away = injection.millis(60_000);
            world.kill(replica, away);
            let (world, injection) = (world.clone(), *injection);
            tokio::spawn(async move {
                sleep(Duration::from_millis(away / 2)).await;
                restart(&world, 0);
                restart(&world, 1);
                sleep(Duration::from_millis(away / 3)).await;
                world.compact(&injection);
            });
        }
        Fault::EtcdRestored | Fault::EtcdRestoredBumped => {
            let bumped = injection.fault == Fault::EtcdRestoredBumped;
            world.state.lock().restore(1 + injection.millis(60), bumped);
            world.changed.notify_waiters();
        }
        Fault::CheckpointDeleted => delete_checkpoint(world),
        Fault::RevisionDeleted => delete_revision(world, injection),
        Fault::RevisionForged => forge(world, injection),
        _ => {}
    }
}

/// A cache hears again of what happens.
fn wake(world: Arc<World>, at: Instant) {
    tokio::spawn(async move {
        sleep_until(at).await;
        world.changed.notify_waiters();
    });
}

fn restart(world: &World, server: usize) {
    let mut state = world.state.lock();
    let since = state.servers.etcd.revision();
    state.servers.servers[server].since = since;
    state.servers.servers[server].frozen = None;
    state
        .trace
        .note(&format!("server {server} restarts at {since}"));
    drop(state);
    world.changed.notify_waiters();
}

fn delete_checkpoint(world: &World) {
    let key = Key {
        kind: &CONFIG_MAP,
        namespace: INSTALLATION.to_owned(),
        name: "revisor-checkpoint".to_owned(),
    };
    world.write(false, |servers| {
        if let Some(before) = servers.etcd.get(&key).cloned() {
            servers.remove(&key, &before);
        }
    });
}

fn delete_revision(world: &World, injection: &Injection) {
    world.write(false, |servers| {
        let now = servers.etcd.revision();
        let all: Vec<_> = servers.etcd.range(&REVISION, None, now).cloned().collect();
        if let Some(chosen) = all.get(injection.size as usize * all.len() / 1000) {
            servers.remove(&chosen.key, chosen);
        }
    });
}

/// Another writer stores a Revision under the name of the next generation of a workload, with a content of its own.
fn forge(world: &World, injection: &Injection) {
    let mut state = world.state.lock();
    let now = state.servers.etcd.revision();
    let all: Vec<_> = state
        .servers
        .etcd
        .range(&REVISION, None, now)
        .cloned()
        .collect();
    let Some(model) = all.get(injection.size as usize * all.len() / 1000) else {
        return;
    };
    let mut object = model.object.value.clone();
    let Some((workload, next)) = state.oracle.truth.next(&object["spec"]["workload"]["uid"]) else {
        return;
    };
    let base = model.key.name.rsplit_once('-').map_or("", |(base, _)| base);
    let name = format!("{base}-{next:05}");
    object["spec"]["generation"] = next.into();
    // The content of no generation.
    object["spec"]["contentDigest"] = format!("sha256:{}", "0".repeat(64)).into();
    let key = Key {
        name: name.clone(),
        ..(*model.key).clone()
    };
    if state.servers.etcd.get(&key).is_none() {
        state.oracle.forged.insert((workload, next), name);
        drop(state);
        world.write(false, |servers| servers.create(&key, object));
    }
}

/// Nothing is in the way any more: everything has to be recorded in time, and nothing else after it.
async fn recover(world: &World) {
    world.state.lock().calm();
    world.changed.notify_waiters();
    let limit = Instant::now() + RECOVERY;
    loop {
        sleep(LOOK).await;
        let mut state = world.state.lock();
        let missing = state.oracle.missing();
        let differing = if world.is_observed {
            statuses::differing(&state.servers.etcd)
        } else {
            Vec::new()
        };
        if missing.is_empty() && differing.is_empty() {
            break;
        }
        if Instant::now() > limit {
            state.oracle.violated_all(Promise::NoneMissing, &missing);
            state
                .oracle
                .violated_all(Promise::StatusesAtRest, &differing);
            return;
        }
    }
    sleep(REST).await;
    let mut state = world.state.lock();
    let untold = state.oracle.untold();
    state.oracle.violated_all(Promise::Told, &untold);
}

/// A violation of a history that panicked.
pub fn panicked() -> Outcome {
    Outcome {
        violations: vec![Violation {
            promise: Promise::NoEnd,
            text: "the history panicked".to_owned(),
        }],
        ..Outcome::default()
    }
}
