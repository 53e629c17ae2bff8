//! Runs the jq of kind files for views: on a thread of its own, with a time limit, off the path of recording.
//!
//! When it fails, a Revision is recorded without that part of its view. It is counted, and said once per kind; never
//! with a value of the object.

use super::snapshot::unpack;
use super::view::redact::Names;
use super::view::{SHAPE, complete};
use super::write::{Unviewed, Viewing};
use crate::kinds::{Failure, GroupKind, Kind, ViewFile};
use crate::metrics::{Metrics, kind_reason};
use crate::revision::View;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A program that takes longer is not run again.
const LIMIT: Duration = Duration::from_millis(500);
/// Running recurses with the depth of the object.
const STACK: usize = 16 << 20;

/// What one run gives.
type Outputs = Result<Vec<Value>, Failure>;

struct Job {
    number: u64,
    unviewed: Unviewed,
    reply: oneshot::Sender<Outputs>,
}

/// A thread, and what it is at: the number of the job, and since when.
struct Worker {
    jobs: mpsc::Sender<Job>,
    running: Arc<Mutex<Option<(u64, Instant)>>>,
}

/// Completes views. Cloning shares it.
#[derive(Clone)]
pub struct Extractor {
    worker: Arc<Mutex<Option<Arc<Worker>>>>,
    jobs: Arc<AtomicU64>,
    disabled: Arc<Mutex<HashSet<GroupKind>>>,
    told: Arc<Mutex<HashSet<(GroupKind, &'static str)>>>,
    names: Arc<Names>,
    metrics: Metrics,
}

impl Extractor {
    /// None is running yet. `names` hold secrets.
    pub fn new(names: Names, metrics: &Metrics) -> Self {
        Self {
            worker: Arc::default(),
            jobs: Arc::default(),
            disabled: Arc::default(),
            told: Arc::default(),
            names: Arc::new(names),
            metrics: metrics.clone(),
        }
    }

    /// Completes a view in the background.
    pub fn begin(&self, mut view: View, unviewed: Unviewed) -> Viewing {
        let this = self.clone();
        tokio::spawn(async move {
            this.complete(&mut view, &unviewed).await;
            view
        })
    }

    /// Adds to a view what the kind file's jq finds in the workload.
    pub async fn complete(&self, view: &mut View, unviewed: &Unviewed) {
        let kind = &unviewed.kind;
        let Some(file) = &kind.view else { return };
        if lock(&self.disabled).contains(&kind.group_kind()) {
            self.failed(kind, "Disabled");
            return;
        }
        match self.run(unviewed.clone()).await {
            Some(Ok(outputs)) => complete(view, file, &outputs, &self.names),
            Some(Err(Failure::Input)) => self.failed(kind, "Input"),
            Some(Err(Failure::Run)) => self.failed(kind, "Run"),
            Some(Err(Failure::TooMuch)) => self.failed(kind, "TooMuch"),
            None => {
                lock(&self.disabled).insert(kind.group_kind());
                self.failed(kind, "TooSlow");
            }
        }
    }

    /// None when it took too long; the thread that still works on it is left behind.
    async fn run(&self, unviewed: Unviewed) -> Option<Outputs> {
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        loop {
            let worker = self.worker()?;
            let (reply, mut answer) = oneshot::channel();
            worker.jobs.send(Job { number, unviewed: unviewed.clone(), reply }).ok()?;
            // Others may be before this one: the limit is for the job that runs.
            while !self.is_left_behind(&worker) {
                if let Ok(answered) = timeout(LIMIT, &mut answer).await {
                    return answered.ok();
                }
                if let Some((at, since)) = *lock(&worker.running)
                    && since.elapsed() >= LIMIT
                {
                    self.leave_behind(&worker);
                    if at == number {
                        return None;
                    }
                }
            }
            if lock(&worker.running).is_some_and(|(at, _)| at == number) {
                return None;
            }
        }
    }

    /// The thread that takes jobs now.
    fn worker(&self) -> Option<Arc<Worker>> {
        let mut present = lock(&self.worker);
        if present.is_none() {
            *present = start().map(Arc::new);
        }
        present.clone()
    }

    fn is_left_behind(&self, worker: &Arc<Worker>) -> bool {
        lock(&self.worker).as_ref().is_none_or(|present| !Arc::ptr_eq(present, worker))
    }

    fn leave_behind(&self, worker: &Arc<Worker>) {
        let mut present = lock(&self.worker);
        if present.as_ref().is_some_and(|present| Arc::ptr_eq(present, worker)) {
            *present = None;
        }
    }

    fn failed(&self, kind: &Kind, reason: &'static str) {
        self.metrics.view_failures.get_or_create(&kind_reason(&kind.kind, reason)).inc();
        if lock(&self.told).insert((kind.group_kind(), reason)) {
            tracing::error!(
                kind = %kind.group_kind(), reason,
                "view.components of this kind file failed; Revisions are recorded without that part of their views"
            );
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that ends with its sender.
fn start() -> Option<Worker> {
    let (jobs, received) = mpsc::channel::<Job>();
    let running = Arc::new(Mutex::new(None));
    let at = running.clone();
    let work = move || {
        for Job { number, unviewed, reply } in received {
            *lock(&at) = Some((number, Instant::now()));
            let outputs = outputs(&unviewed);
            *lock(&at) = None;
            // Nobody may be waiting any more.
            let _ = reply.send(outputs);
        }
    };
    let thread = std::thread::Builder::new().name("jq".to_owned()).stack_size(STACK);
    thread.spawn(work).ok().map(|_| Worker { jobs, running })
}

fn outputs(unviewed: &Unviewed) -> Outputs {
    let Some(file) = &unviewed.kind.view else { return Ok(Vec::new()) };
    let text = unpack(&unviewed.gzip).map_err(|_| Failure::Input)?;
    components(file, &text)
}

/// The components of one workload, from its JSON.
///
/// # Errors
/// Without any value of the object.
pub fn components(file: &ViewFile, object: &str) -> Outputs {
    match file.code {
        None => file.components.run(object, &SHAPE),
        Some(code) => {
            let object = serde_json::from_str(object).map_err(|_| Failure::Input)?;
            file.components.run(&code.prepare(object).to_string(), &SHAPE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::kind as labels;

    fn unviewed(program: &str, object: &str) -> Unviewed {
        let yaml = format!(
            "kind: Thing\ngroup: a.b\nversions: [v1]\nplural: things\nselect: always\nview:\n  components: |\n    {program}\n"
        );
        let gzip = crate::gzip::compress(object.as_bytes()).expect("memory");
        let kind = Arc::new(Kind::parse("thing.yaml", &yaml).expect("valid"));
        Unviewed { kind, gzip: gzip.into() }
    }

    const OBJECT: &str = r#"{"spec":{"image":"i","s":"secret-value"}}"#;
    const GOOD: &str = r#"{name: "main", pod: {spec: {containers: [{image: .spec.image}]}}}"#;

    #[tokio::test]
    async fn a_view_is_completed_and_a_failure_leaves_it_as_it_is() {
        let metrics = Metrics::new();
        let extractor = Extractor::new(Names::default(), &metrics);
        let mut view = View::default();
        extractor.complete(&mut view, &unviewed(GOOD, OBJECT)).await;
        assert_eq!(view.images, ["i"]);
        let mut untouched = View { images: vec!["before".into()], ..View::default() };
        extractor.complete(&mut untouched, &unviewed(".spec.s.x", OBJECT)).await;
        extractor.complete(&mut untouched, &unviewed(GOOD, "no json")).await;
        assert_eq!(untouched.images, ["before"]);
        for reason in ["Run", "Input"] {
            assert_eq!(
                metrics.view_failures.get_or_create(&kind_reason("Thing", reason)).get(),
                1,
                "{reason}"
            );
        }
        assert_eq!(metrics.undecodable.get_or_create(&labels("Thing")).get(), 0);
    }

    #[tokio::test]
    async fn a_program_that_is_too_slow_is_disabled_and_others_go_on() {
        let metrics = Metrics::new();
        let extractor = Extractor::new(Names::default(), &metrics);
        // Polynomial in the size of the object: what the fence cannot keep out.
        let many = format!("{{\"a\":[{}1]}}", "1,".repeat(2000));
        let slow = unviewed("[.a[] as $a | .a[] as $b | .a[] as $c | $a + $b + $c] | length", &many);
        let mut view = View::default();
        let mut waiting = View::default();
        let behind = unviewed(GOOD, OBJECT);
        tokio::join!(extractor.complete(&mut view, &slow), extractor.complete(&mut waiting, &behind));
        assert_eq!(waiting.images, ["i"], "it waited behind the slow one, and came through");
        extractor.complete(&mut view, &slow).await;
        for (reason, count) in [("TooSlow", 1), ("Disabled", 1)] {
            assert_eq!(
                metrics.view_failures.get_or_create(&kind_reason("Thing", reason)).get(),
                count,
                "{reason}"
            );
        }
        // Another kind, on a new thread.
        let mut other = unviewed(GOOD, OBJECT);
        other.kind = Arc::new(Kind { kind: "Other".into(), ..(*other.kind).clone() });
        extractor.complete(&mut view, &other).await;
        assert_eq!(view.images, ["i"]);
    }
}
