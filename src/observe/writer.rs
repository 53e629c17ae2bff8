//! Brings statuses up to date: a kube-rs `Controller` over workloads, and the only PATCH of what observing owns.
//!
//! It has the lowest priority there is: it waits while there is something to be recorded, writes little at a time, and
//! merges whatever happens to a workload within a second. What rollouts only pass through, and numbers, wait longer.

use super::judge::{judge, templates};
use super::live::Live;
use super::phase::Ruling;
use super::status::Urgency;
use super::subjects::{Decision, Judgement, Unread};
use super::{ObserverDeps, ObserverState};
use crate::clock;
use crate::kinds::Kind;
use crate::kinds::runner::Runner;
use crate::metrics::{Metrics, kind as labels};
use crate::record::queue::Queue;
use crate::revision::{FIELD_MANAGER, Phase, Revision};
use crate::snapshot;
use futures::channel::mpsc;
use futures::stream::BoxStream;
use futures::{StreamExt, future};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

/// What happens to a workload within this time is written at once.
const TOGETHER: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);
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

/// A workload as the controller knows it: only by name, which is its uid.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct WorkloadKey {
    metadata: ObjectMeta,
}

impl Resource for WorkloadKey {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Workload".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        crate::revision::GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        crate::revision::VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "workloads".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl WorkloadKey {
    fn new(uid: Uuid) -> Self {
        Self {
            metadata: ObjectMeta {
                name: Some(uid.to_string()),
                ..ObjectMeta::default()
            },
        }
    }
}

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Refused(#[from] kube::Error),
    #[error("no answer within {} s", DEADLINE.as_secs())]
    NoAnswer,
}

/// A phase, and since when it is that.
type Passing = (Option<Phase>, Instant);

struct Context {
    shared: Arc<ObserverState>,
    client: Client,
    runner: Runner,
    queue: Queue,
    metrics: Metrics,
    /// When something was last written, by workload and generation.
    written: Mutex<HashMap<(Uuid, i64), Instant>>,
    /// Phases that are not written yet, and since when they are so.
    passing: Mutex<HashMap<(Uuid, i64), Passing>>,
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

type Moves = mpsc::UnboundedSender<Result<watcher::Event<WorkloadKey>, watcher::Error>>;

/// The workloads that something happened to, each once it has had time for more to happen.
fn due(shared: Arc<ObserverState>, moves: Moves) -> BoxStream<'static, ObjectRef<WorkloadKey>> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = (ticks, shared, moves, HashMap::<Uuid, Instant>::new());
    let batches = futures::stream::unfold(
        state,
        |(mut ticks, shared, moves, mut waiting)| async move {
            let now = ticks.tick().await;
            {
                let mut subjects = shared.subjects.lock();
                for (uid, came) in subjects.moved.drain(..) {
                    let workload = WorkloadKey::new(uid);
                    let event = if came {
                        watcher::Event::Apply(workload)
                    } else {
                        watcher::Event::Delete(workload)
                    };
                    // Its reader ends with the controller, and this with it.
                    let _ = moves.unbounded_send(Ok(event));
                }
                for uid in subjects.dirty.drain() {
                    waiting.entry(uid).or_insert(now + TOGETHER);
                }
            }
            let due: Vec<_> = waiting
                .extract_if(|_, at| *at <= now)
                .map(|(uid, _)| uid)
                .collect();
            let due: Vec<_> = due
                .into_iter()
                .map(|uid| ObjectRef::from_obj(&WorkloadKey::new(uid)))
                .collect();
            Some((futures::stream::iter(due), (ticks, shared, moves, waiting)))
        },
    );
    batches.flatten().boxed()
}

fn refused(error: &Error, context: &Context) -> Action {
    context.metrics.observe_failures.inc();
    let mut told = context.told.lock();
    if told.is_none_or(|at| at.elapsed() > SAY) {
        *told = Some(Instant::now());
        tracing::warn!(%error, "statuses of Revisions are not up to date; they will be tried again");
    }
    Action::requeue(RETRY.mul_f64(0.5 + fastrand::f64()))
}

/// Looks at one workload, and writes what its Revisions should say.
async fn reconcile(workload: Arc<WorkloadKey>, context: Arc<Context>) -> Result<Action, Error> {
    let name = workload.metadata.name.as_deref().unwrap_or_default();
    let Ok(uid) = Uuid::try_parse(name) else {
        return Ok(Action::await_change());
    };
    let Some((kind, namespace, live, unread)) = context.seen(uid) else {
        return Ok(Action::await_change());
    };
    for unread in unread {
        context.learn(uid, &kind, &namespace, unread).await?;
    }
    let (ruling, current) = match &live {
        Some(live) => judge(&context.runner, &kind, live).await,
        None => (Ruling::Silent, None),
    };
    let decisions = context.decide(uid, &Judgement { ruling, current });
    // A phase that was passed through is not waited for any more.
    let decided = |generation: i64| {
        decisions
            .iter()
            .any(|decision| decision.generation == generation)
    };
    context
        .passing
        .lock()
        .retain(|(workload, generation), _| *workload != uid || decided(*generation));
    let (mut again, mut open) = (None, false);
    for decision in decisions {
        open |= decision.status.first_ready_time.is_none() && decision.status.outcome.is_none();
        match context.must_wait(uid, &decision) {
            Some(wait) => again = Some(again.map_or(wait, |again: Duration| again.min(wait))),
            None => context.write(uid, &kind, &namespace, decision).await?,
        }
    }
    Ok(again
        .or_else(|| open.then_some(AGAIN))
        .map_or_else(Action::await_change, Action::requeue))
}

/// What is known of a workload before it is looked at.
type Seen = (Arc<Kind>, String, Option<Live>, Vec<Unread>);

impl Context {
    fn seen(&self, uid: Uuid) -> Option<Seen> {
        let subjects = self.shared.subjects.lock();
        let subject = subjects.get(uid)?;
        Some((
            subject.kind.clone(),
            subject.namespace.clone(),
            subject.live.clone(),
            subject.unread(),
        ))
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

    /// How long a status has to wait that nobody waits for.
    fn must_wait(&self, uid: Uuid, decision: &Decision) -> Option<Duration> {
        let (key, now) = ((uid, decision.generation), Instant::now());
        let mut passing = self.passing.lock();
        let left = match decision.urgency {
            Urgency::Now => Duration::ZERO,
            Urgency::IfItLasts => {
                let (phase, since) = passing.entry(key).or_insert((decision.status.phase, now));
                if *phase != decision.status.phase {
                    (*phase, *since) = (decision.status.phase, now);
                }
                LASTS.saturating_sub(now.duration_since(*since))
            }
            Urgency::Whenever => {
                let rest = NUMBERS[usize::from(!decision.newest)];
                let last = self.written.lock().get(&key).copied();
                last.map_or(Duration::ZERO, |at| {
                    rest.saturating_sub(now.duration_since(at))
                })
            }
        };
        if decision.urgency != Urgency::IfItLasts || left.is_zero() {
            passing.remove(&key);
        }
        (!left.is_zero()).then_some(left)
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
                let (mut written, now) = (self.written.lock(), Instant::now());
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
            let (quiet, waited) = (self.queue.quiet(), started.elapsed());
            let patience = if quiet.is_zero() {
                PATIENCE
            } else {
                QUIET_PATIENCE
            };
            if quiet >= QUIET || waited >= patience {
                return;
            }
            sleep(TICK / 4).await;
        }
    }
}
