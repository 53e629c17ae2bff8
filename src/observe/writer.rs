//! Brings statuses up to date: a kube-rs `Controller` over workloads, and the only PATCH of what observing owns.
//!
//! It has the lowest priority there is: it waits while there is something to be recorded, writes little at a time, and
//! merges whatever happens to a workload within a second. What rollouts only pass through, and numbers, wait longer.

mod schedule;

use super::judge::{judge, templates};
use super::live::Live;
use super::phase::Ruling;
use super::status::Urgency;
use super::subjects::{Decision, Judgement, Unread};
use super::{ObserverDeps, ObserverState};
use crate::clock;
use crate::json::without_value;
use crate::kinds::Kind;
use crate::kinds::runner::Runner;
use crate::metrics::{Metrics, kind as labels};
use crate::record::queue::Queue;
use crate::redact::Names;
use crate::revision::{FIELD_MANAGER, Phase, Revision};
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
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// So often it is looked whether recording is quiet.
const QUIET_TICK: Duration = Duration::from_millis(25);
/// Phases that rollouts pass through are written when they last so long.
const LASTS: Duration = Duration::from_secs(5);
/// Messages and numbers alone are written at most so often: of the newest Revision, and of others.
const NUMBERS: [Duration; 2] = [Duration::from_secs(15), Duration::from_secs(30)];
/// What may come true by time alone is looked at again.
const AGAIN: Duration = Duration::from_secs(35);
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

/// A phase that is not written yet, and since when it lasts.
struct PassingPhase {
    phase: Option<Phase>,
    since: Instant,
}

struct Context {
    shared: Arc<ObserverState>,
    client: Client,
    runner: Runner,
    queue: Queue,
    names: Names,
    metrics: Metrics,
    /// When something was last written, by workload and generation.
    written: Mutex<HashMap<(Uuid, i64), Instant>>,
    /// Phases that are not written yet, by workload and generation.
    passing: Mutex<HashMap<(Uuid, i64), PassingPhase>>,
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
        written: Mutex::default(),
        passing: Mutex::default(),
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
    for unread in state.unread {
        context
            .learn(uid, &state.kind, &state.namespace, unread)
            .await?;
    }
    let (ruling, current) = match &state.live {
        Some(live) => judge(&context.runner, &state.kind, live, &context.names).await,
        None => (Ruling::Silent, None),
    };
    let decisions = context.decide(uid, &Judgement { ruling, current });
    context.forget_passed(uid, &decisions);
    let mut again: Option<Duration> = None;
    let mut open = false;
    for decision in decisions {
        open |= decision.status.first_ready_time.is_none() && decision.status.outcome.is_none();
        if let Some(wait) = context.must_wait(uid, &decision) {
            again = Some(again.map_or(wait, |again| again.min(wait)));
        } else {
            context
                .write(uid, &state.kind, &state.namespace, decision)
                .await?;
        }
    }
    Ok(again
        .or_else(|| open.then_some(AGAIN))
        .map_or_else(Action::await_change, Action::requeue))
}

/// The part of a workload that is read before its statuses are decided.
struct SubjectState {
    kind: Arc<Kind>,
    namespace: String,
    live: Option<Live>,
    unread: Vec<Unread>,
}

impl Context {
    fn state(&self, uid: Uuid) -> Option<SubjectState> {
        let subjects = self.shared.subjects.lock();
        let subject = subjects.get(uid)?;
        Some(SubjectState {
            kind: subject.kind.clone(),
            namespace: subject.namespace.clone(),
            live: subject.live.clone(),
            unread: subject.unread(),
        })
    }

    fn decide(&self, uid: Uuid, judgement: &Judgement) -> Vec<Decision> {
        self.shared
            .subjects
            .lock()
            .decide(uid, judgement, clock::now())
    }

    /// Makes the templates of a Revision, from its content: what the watch has shown, or a read.
    async fn learn(
        &self,
        uid: Uuid,
        kind: &Arc<Kind>,
        namespace: &str,
        unread: Unread,
    ) -> Result<(), Error> {
        let gzip = match unread.gzip {
            Some(gzip) => Some(gzip),
            None => self.content(namespace, &unread.name).await?,
        };
        let learned = match gzip {
            Some(gzip) => templates(&self.runner, kind, gzip).await,
            None => None,
        };
        // What cannot be told is not asked for again.
        self.shared
            .subjects
            .lock()
            .learned(uid, unread.generation, learned);
        Ok(())
    }

    async fn content(&self, namespace: &str, name: &str) -> Result<Option<Arc<[u8]>>, Error> {
        let api: Api<Revision> = Api::namespaced(self.client.clone(), namespace);
        self.metrics.observe_reads.inc();
        let revision = timeout(DEADLINE, api.get_opt(name))
            .await
            .map_err(|_| Error::NoAnswer)??;
        let snapshot = revision.and_then(|revision| revision.spec.snapshot);
        Ok(snapshot.and_then(|snapshot| snapshot::compressed(&snapshot).ok().flatten()))
    }

    /// Forgets the phases of a workload that were passed through: nothing is to be written of them any more.
    fn forget_passed(&self, uid: Uuid, decisions: &[Decision]) {
        self.passing.lock().retain(|(workload, generation), _| {
            *workload != uid
                || decisions
                    .iter()
                    .any(|decision| decision.generation == *generation)
        });
    }

    /// The time that a status which is not urgent still has to wait; none when it can be written now.
    fn must_wait(&self, uid: Uuid, decision: &Decision) -> Option<Duration> {
        let key = (uid, decision.generation);
        let now = Instant::now();
        let left = match decision.urgency {
            Urgency::Now => Duration::ZERO,
            Urgency::IfItLasts => LASTS.saturating_sub(self.lasts(key, decision.status.phase, now)),
            Urgency::Whenever => {
                let rest = NUMBERS[usize::from(!decision.newest)];
                let last = self.written.lock().get(&key).copied();
                last.map_or(Duration::ZERO, |at| {
                    rest.saturating_sub(now.duration_since(at))
                })
            }
        };
        if decision.urgency != Urgency::IfItLasts || left.is_zero() {
            self.passing.lock().remove(&key);
        }
        (!left.is_zero()).then_some(left)
    }

    /// The time that a phase which is not written yet has lasted.
    fn lasts(&self, key: (Uuid, i64), phase: Option<Phase>, now: Instant) -> Duration {
        let mut all = self.passing.lock();
        let passing = all
            .entry(key)
            .and_modify(|passing| {
                if passing.phase != phase {
                    *passing = PassingPhase { phase, since: now };
                }
            })
            .or_insert(PassingPhase { phase, since: now });
        now.duration_since(passing.since)
    }

    async fn write(
        &self,
        uid: Uuid,
        kind: &Kind,
        namespace: &str,
        decision: Decision,
    ) -> Result<(), Error> {
        self.let_recording_go_first().await;
        let Decision {
            generation,
            name,
            status,
            patch,
            ..
        } = decision;
        let api: Api<Revision> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        self.metrics
            .observe_patches
            .get_or_create(&labels(&kind.kind))
            .inc();
        match timeout(DEADLINE, api.patch_status(&name, &params, &patch))
            .await
            .map_err(|_| Error::NoAnswer)?
        {
            Ok(_) => {
                self.shared.subjects.lock().written(uid, generation, status);
                let now = Instant::now();
                let mut written = self.written.lock();
                written.retain(|_, at| now.duration_since(*at) < NUMBERS[1]);
                written.insert((uid, generation), now);
            }
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
