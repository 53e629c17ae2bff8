//! One history: a plan is carried out, and judged.

use crate::controllers;
use crate::damage;
use crate::editor::Editor;
use crate::etcd::Key;
use crate::fault::{Fault, HOSTILE, Injection, Strikes};
use crate::hostile;
use crate::oracle::{Promise, Violation, statuses};
use crate::os;
use crate::plan::{Change, Plan, Planned, slots};
use crate::replica;
use crate::world::World;
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
/// A Revision that was refused has to be stored so long after the last fault: a minute after the
/// last request that was under way then, which has 35 s.
const HELD: Duration = Duration::from_secs(95);
/// Nothing may come after it was complete.
const REST: Duration = Duration::from_secs(30);
/// A place moves within a minute, by a bookmark; the checkpoint follows within ten seconds.
const LATE_CHECKPOINTS: u32 = 4;
/// A replica that is started again leads and has decided all statuses.
const AFTER_RESTART: Duration = Duration::from_secs(90);
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
        replicas.spawn(replica::live(world.clone(), replica, plan.installed));
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
    let mut editor = Editor::new(plan.seed, slots(&plan.changes));
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
        Fault::Denied | Fault::DeniedObject | Fault::QuotaExceeded | Fault::CreateHangs => {
            world.state.lock().stand(injection);
        }
        Fault::CheckpointUnreadable => {
            world.state.lock().stand(injection);
            world.kill(replica, injection.millis(3_000));
        }
        Fault::FirstStart => kill_before_checkpoint(world, injection),
        Fault::DefinitionGone => {
            world.state.lock().servers.undefine(long);
            damage::delete_all(world);
            restart(world, 0);
            restart(world, 1);
        }
        _ => damage_objects(world, injection),
    }
}

fn damage_objects(world: &Arc<World>, injection: &Injection) {
    match injection.fault {
        Fault::CheckpointDeleted | Fault::CheckpointTruncated | Fault::CheckpointForeign => {
            damage::checkpoint(world, injection);
        }
        Fault::RevisionDeleted => damage::delete_revision(world, injection),
        Fault::RevisionsDeleted => damage::delete_revisions(world, injection),
        Fault::RevisionForged => damage::forge(world, injection),
        fault if HOSTILE.contains(&fault) => hostile::strike(world, injection),
        _ => {}
    }
}

/// A replica is killed, unless there is a checkpoint already.
fn kill_before_checkpoint(world: &World, injection: &Injection) {
    let is_early = !world.state.lock().has_checkpoint();
    if is_early {
        world.kill(injection.replica, injection.millis(5_000));
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

/// Nothing is in the way any more: everything has to be recorded in time, and nothing else after it.
async fn recover(world: &World) {
    world.state.lock().calm();
    world.changed.notify_waiters();
    let calm = Instant::now();
    let mut is_held_judged = false;
    loop {
        sleep(LOOK).await;
        let mut state = world.state.lock();
        if calm.elapsed() > HELD && !is_held_judged {
            is_held_judged = true;
            let held = state.oracle.held();
            state.oracle.violated_all(Promise::Liveness, &held);
        }
        let missing = state.oracle.missing();
        let differing = if world.is_observed {
            statuses::differing(&state.servers.etcd, &state.oracle.hostile)
        } else {
            Vec::new()
        };
        if missing.is_empty() && differing.is_empty() {
            break;
        }
        if calm.elapsed() > RECOVERY {
            state.oracle.violated_all(Promise::NoneMissing, &missing);
            state
                .oracle
                .violated_all(Promise::StatusesAtRest, &differing);
            return;
        }
    }
    sleep(REST).await;
    // A checkpoint that was written late over a newer one is written again when the place moves.
    for _ in 0..LATE_CHECKPOINTS {
        if world.state.lock().oracle.left().is_empty() {
            break;
        }
        sleep(REST).await;
    }
    judge_rest(world);
    if world.is_observed {
        start_again(world).await;
    }
}

/// Replicas that are started again at rest decide the same statuses as before.
async fn start_again(world: &World) {
    let before = {
        let mut state = world.state.lock();
        if !state.oracle.violations.is_empty() {
            return;
        }
        state.trace.note("all replicas are started again");
        state.servers.etcd.revision()
    };
    for kill in &world.kills {
        kill.notify_one();
    }
    sleep(AFTER_RESTART).await;
    let mut state = world.state.lock();
    let changed = statuses::changed(&state.servers.etcd, before);
    state.oracle.violated_all(Promise::StatusesAtRest, &changed);
}

/// Everything that had to be said was said, and nothing is left to be done.
fn judge_rest(world: &World) {
    let mut state = world.state.lock();
    state.oracle.judge_suspects();
    let untold = state.oracle.untold();
    state.oracle.violated_all(Promise::Told, &untold);
    let left = state.oracle.left();
    state.oracle.violated_all(Promise::Liveness, &left);
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
