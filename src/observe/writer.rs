//! Brings statuses up to date: a kube-rs `Controller` over workloads, and the only PATCH of what observing owns.
//!
//! It has the lowest priority there is: it waits while there is something to be recorded, writes little at a time, and
//! merges whatever happens to a workload within a second. What rollouts only pass through, and numbers, wait longer
//! ([`super::round`]).

mod schedule;

use super::judge::{Judgement, judge, templates};
use super::live::Live;
use super::round::{Plan, Rounds, Write};
use super::subjects::{Decision, Unread};
use super::{ObserverDeps, ObserverState};
use crate::clock;
use crate::json::without_value;
use crate::kinds::Kind;
use crate::kinds::runner::Runner;
use crate::metrics::{Metrics, kind as labels};
use crate::record::queue::Queue;
use crate::redact::Names;
use crate::revision::{FIELD_MANAGER, Revision};
use crate::snapshot;
use futures::channel::mpsc;
use futures::{StreamExt, future};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use parking_lot::Mutex;
use schedule::{WorkloadKey, due};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// So often it is looked whether recording is quiet.
const QUIET_TICK: Duration = Duration::from_millis(25);
/// What time alone changes is looked at again after this at the earliest.
const SOON: Duration = Duration::from_secs(1);
/// One read may tell that another one is needed, so many times.
const MAX_READS: usize = 8;
/// Among so many workloads that wait for a write it is looked whether some went.
const MANY: usize = 1_000;
/// So many workloads are written at the same time.
const CONCURRENCY: u16 = 2;
/// How long recording is let go first.
const PATIENCE: Duration = Duration::from_secs(15);
/// The API server answers one client at a time: between two edits of many there is no room for a status.
const QUIET: Duration = Duration::from_millis(100);
/// How long such a pause is waited for.
const QUIET_PATIENCE: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(10);
/// Failures are said at most so often; a metric counts each.
const SAY: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(5);

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Refused(#[from] kube::Error),
    #[error("no answer within {} s", DEADLINE.as_secs())]
    NoAnswer,
}

struct Context {
    shared: Arc<ObserverState>,
    client: Client,
    runner: Runner,
    queue: Queue,
    names: Names,
    metrics: Metrics,
    /// What is not written yet.
    rounds: Mutex<Rounds>,
    /// When a failure was last said.
    told: Mutex<Option<Instant>>,
}

/// Until it is dropped.
pub(super) async fn run(shared: Arc<ObserverState>, deps: &ObserverDeps) {
    let (moves, moved) = mpsc::unbounded();
    let (reader, writer) = reflector::store();
    // The controller waits for a first list; those that are there come as if they were made just now.
    for event in [watcher::Event::Init, watcher::Event::InitDone] {
        let _ = moves.unbounded_send(Ok(event));
    }
    // It only fills the store: what is to be looked at, and when, is said below.
    let known = reflector::reflector(writer, moved)
        .applied_objects()
        .filter(|_| future::ready(false));
    let context = Context {
        shared: shared.clone(),
        client: deps.call.clone(),
        runner: deps.runner.clone(),
        queue: deps.queue.clone(),
        names: deps.names.clone(),
        metrics: deps.metrics.clone(),
        rounds: Mutex::default(),
        told: Mutex::default(),
    };
    Controller::for_stream(known, reader)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .reconcile_on(due(shared, moves))
        .run(
            reconcile,
            |_, error, context: Arc<Context>| refused(error, &context),
            Arc::new(context),
        )
        .for_each(|_| future::ready(()))
        .await;
}

fn refused(error: &Error, context: &Context) -> Action {
    context.metrics.observe_failures.inc();
    let mut told = context.told.lock();
    if told.is_none_or(|at| at.elapsed() > SAY) {
        *told = Some(Instant::now());
        let error = without_value(error);
        tracing::warn!(
            error,
            "statuses of Revisions are not up to date; they will be tried again"
        );
    }
    Action::requeue(RETRY.mul_f64(0.5 + fastrand::f64()))
}

/// Looks at one workload, and writes what its Revisions should say.
async fn reconcile(workload: Arc<WorkloadKey>, context: Arc<Context>) -> Result<Action, Error> {
    let name = workload.metadata.name.as_deref().unwrap_or_default();
    let Ok(uid) = Uuid::try_parse(name) else {
        return Ok(Action::await_change());
    };
    let Some(state) = context.state(uid) else {
        return Ok(Action::await_change());
    };
    let judgement = match &state.live {
        Some(live) => judge(&context.runner, &state.kind, live, &context.names).await,
        None => Judgement::silent(),
    };
    context.learn_all(uid, &state, &judgement).await?;
    let decisions = context.decide(uid, &judgement);
    let plan = context.plan(uid, decisions);
    for write in plan.writes {
        context.write(uid, &state, write).await?;
    }
    let again = plan.again.or_else(|| context.time_tells(uid));
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// The part of a workload that is read before its statuses are decided.
struct SubjectState {
    kind: Arc<Kind>,
    namespace: String,
    live: Option<Live>,
}

impl Context {
    /// None where there is no such workload any more, or not everything is known of it: then it is looked at later.
    fn state(&self, uid: Uuid) -> Option<SubjectState> {
        let mut subjects = self.shared.subjects.lock();
        if !subjects.is_known(uid) {
            if subjects.has(uid) {
                subjects.dirty.insert(uid);
            }
            return None;
        }
        let subject = subjects.get(uid)?;
        Some(SubjectState {
            kind: subject.kind.clone(),
            namespace: subject.namespace.clone(),
            live: subject.live.clone(),
        })
    }

    fn decide(&self, uid: Uuid, judgement: &Judgement) -> Vec<Decision> {
        self.shared
            .subjects
            .lock()
            .decide(uid, judgement, clock::now())
    }

    /// When time alone may change what is decided.
    fn time_tells(&self, uid: Uuid) -> Option<Duration> {
        let subjects = self.shared.subjects.lock();
        let at = subjects.get(uid)?.time_tells(clock::now())?;
        let left = (at - clock::now()).to_std().unwrap_or_default();
        Some(left.max(SOON))
    }

    /// What to write now. From time to time, workloads that went are forgotten.
    fn plan(&self, uid: Uuid, decisions: Vec<Decision>) -> Plan {
        let mut rounds = self.rounds.lock();
        if rounds.len() >= MANY {
            let subjects = self.shared.subjects.lock();
            if rounds.len() > subjects.len() {
                rounds.retain(|uid| subjects.has(uid));
            }
        }
        rounds.plan(uid, decisions, Instant::now())
    }

    /// Reads what is needed to decide. What was read may tell of which Revisions more is needed.
    async fn learn_all(
        &self,
        uid: Uuid,
        state: &SubjectState,
        judgement: &Judgement,
    ) -> Result<(), Error> {
        for _ in 0..MAX_READS {
            let now = clock::now();
            let unread = self.shared.subjects.lock().unread(uid, judgement, now);
            if unread.is_empty() {
                break;
            }
            for unread in unread {
                self.learn(uid, state, unread).await?;
            }
        }
        Ok(())
    }

    /// Makes the templates of a Revision, from its content: what the watch has shown, or a read.
    async fn learn(&self, uid: Uuid, state: &SubjectState, unread: Unread) -> Result<(), Error> {
        let Unread {
            generation,
            name,
            gzip,
        } = unread;
        let mut stored = None;
        let gzip = if gzip.is_some() {
            gzip
        } else if let Some(revision) = self.read(&state.namespace, &name).await? {
            stored = Some(revision.status.unwrap_or_default());
            let snapshot = revision.spec.snapshot;
            snapshot.and_then(|snapshot| snapshot::compressed(&snapshot).ok().flatten())
        } else {
            self.shared.subjects.lock().missing(uid, generation);
            return Ok(());
        };
        let learned = match gzip {
            Some(gzip) => templates(&self.runner, &state.kind, gzip).await,
            None => None,
        };
        // What cannot be told is not asked for again.
        let mut subjects = self.shared.subjects.lock();
        subjects.learned(uid, generation, learned, stored.as_ref());
        Ok(())
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Option<Revision>, Error> {
        let api: Api<Revision> = Api::namespaced(self.client.clone(), namespace);
        self.metrics.observe_reads.inc();
        let revision = timeout(DEADLINE, api.get_opt(name))
            .await
            .map_err(|_| Error::NoAnswer)??;
        Ok(revision)
    }

    async fn write(&self, uid: Uuid, state: &SubjectState, write: Write) -> Result<(), Error> {
        self.let_recording_go_first().await;
        let Write {
            generation,
            name,
            status,
            patch,
        } = write;
        let api: Api<Revision> = Api::namespaced(self.client.clone(), &state.namespace);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        self.metrics
            .observe_patches
            .get_or_create(&labels(&state.kind.kind))
            .inc();
        match timeout(DEADLINE, api.patch_status(&name, &params, &patch))
            .await
            .map_err(|_| Error::NoAnswer)?
        {
            Ok(_) => self.shared.subjects.lock().written(uid, generation, status),
            // Deleted meanwhile: its watch will say so.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn let_recording_go_first(&self) {
        let started = Instant::now();
        loop {
            let quiet = self.queue.quiet();
            let waited = started.elapsed();
            let patience = if quiet.is_zero() {
                PATIENCE
            } else {
                QUIET_PATIENCE
            };
            if quiet >= QUIET || waited >= patience {
                return;
            }
            sleep(QUIET_TICK).await;
        }
    }
}
