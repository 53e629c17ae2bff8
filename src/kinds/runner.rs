//! Runs the jq of kind files: on a thread of its own, with a time limit.
//!
//! A program that takes longer is reported and not run again; its thread is left behind. What fails is counted, and said
//! once per kind and part; never with a value of the object.

use super::{Failure, GroupKind, Kind};
use crate::clock;
use crate::metrics::{Metrics, kind_reason};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A program that takes longer is not run again.
const LIMIT: Duration = Duration::from_millis(500);
/// Running recurses with the depth of the object.
const STACK: usize = 16 << 20;

/// Part of a kind file that holds a program, as its errors name it.
pub type Part = &'static str;

struct Job {
    number: u64,
    work: Box<dyn FnOnce() + Send>,
}

/// A thread, and what it is at: the number of the job, and since when.
struct Worker {
    jobs: mpsc::Sender<Job>,
    running: Arc<Mutex<Option<(u64, Instant)>>>,
    /// It is at something that took too long; what waits behind that is for another.
    left_behind: Arc<AtomicBool>,
}

/// What was said already: what failed, and why.
type Told = (GroupKind, Part, &'static str);

/// Runs programs, one at a time. Cloning shares it.
#[derive(Clone)]
pub struct Runner {
    worker: Arc<Mutex<Option<Arc<Worker>>>>,
    jobs: Arc<AtomicU64>,
    disabled: Arc<Mutex<HashSet<(GroupKind, Part)>>>,
    told: Arc<Mutex<HashSet<Told>>>,
    metrics: Metrics,
}

/// What came of one attempt.
enum Attempt<T> {
    Done(Result<T, Failure>),
    /// The thread ended, or was left behind, before it came to this.
    Again,
    TooSlow,
}

impl Runner {
    /// Nothing runs yet.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            worker: Arc::default(),
            jobs: Arc::default(),
            disabled: Arc::default(),
            told: Arc::default(),
            metrics: metrics.clone(),
        }
    }

    /// Does `work`, which runs programs of `part` of the kind file; why there is nothing, when there is nothing.
    ///
    /// # Errors
    /// One CamelCase word: Disabled, Input, Run, TooMuch or TooSlow. It is counted and said already.
    pub async fn run<T, W>(&self, kind: &Kind, part: Part, work: W) -> Result<T, &'static str>
    where
        T: Send + 'static,
        W: Fn() -> Result<T, Failure> + Send + Sync + 'static,
    {
        let result = self.tried(kind, part, Arc::new(work)).await;
        result.inspect_err(|reason| self.failed(kind, part, reason))
    }

    async fn tried<T, W>(&self, kind: &Kind, part: Part, work: Arc<W>) -> Result<T, &'static str>
    where
        T: Send + 'static,
        W: Fn() -> Result<T, Failure> + Send + Sync + 'static,
    {
        let program = (kind.group_kind(), part);
        loop {
            if lock(&self.disabled).contains(&program) {
                return Err("Disabled");
            }
            match self.attempt(work.clone()).await {
                Attempt::Done(Ok(result)) => return Ok(result),
                Attempt::Done(Err(failure)) => return Err(failure.reason()),
                Attempt::Again => {}
                Attempt::TooSlow => {
                    lock(&self.disabled).insert(program);
                    return Err("TooSlow");
                }
            }
        }
    }

    async fn attempt<T, W>(&self, work: Arc<W>) -> Attempt<T>
    where
        T: Send + 'static,
        W: Fn() -> Result<T, Failure> + Send + Sync + 'static,
    {
        let Some(worker) = self.worker() else {
            return Attempt::Done(Err(Failure::Run));
        };
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        let (reply, mut answer) = oneshot::channel();
        let work = Box::new(move || {
            // A defect of the interpreter is a failure of one program, not of all that come after it.
            let done = catch_unwind(AssertUnwindSafe(|| work())).unwrap_or(Err(Failure::Run));
            // Nobody may be waiting any more.
            let _ = reply.send(done);
        });
        if worker.jobs.send(Job { number, work }).is_err() {
            self.leave_behind(&worker);
            return Attempt::Again;
        }
        loop {
            let asked = clock::monotonic();
            if let Ok(answered) = timeout(LIMIT, &mut answer).await {
                return answered.map_or(Attempt::Again, Attempt::Done);
            }
            let Some((at, since)) = *lock(&worker.running) else {
                continue;
            };
            // A process that was stopped for a while finds every limit passed.
            let was_stopped = asked.elapsed() > LIMIT + LIMIT / 2;
            // Others may be before this one: the limit is for the job that runs.
            if !was_stopped && since.elapsed() >= LIMIT {
                self.leave_behind(&worker);
                if at == number {
                    return Attempt::TooSlow;
                }
                return Attempt::Again;
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

    fn leave_behind(&self, worker: &Arc<Worker>) {
        worker.left_behind.store(true, Ordering::Relaxed);
        let mut present = lock(&self.worker);
        if present
            .as_ref()
            .is_some_and(|present| Arc::ptr_eq(present, worker))
        {
            *present = None;
        }
    }

    fn failed(&self, kind: &Kind, part: Part, reason: &'static str) {
        self.metrics
            .view_failures
            .get_or_create(&kind_reason(&kind.kind, reason))
            .inc();
        if lock(&self.told).insert((kind.group_kind(), part, reason)) {
            tracing::error!(
                kind = %kind.group_kind(), part, reason,
                "a program of this kind file failed; Revisions are recorded without what it should have found"
            );
        }
    }
}

impl Failure {
    /// One CamelCase word.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Input => "Input",
            Self::Run => "Run",
            Self::TooMuch => "TooMuch",
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that ends with its sender, or after what it was left behind with.
fn start() -> Option<Worker> {
    let (jobs, received) = mpsc::channel::<Job>();
    let (running, left_behind) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
    let (at, left) = (running.clone(), left_behind.clone());
    let work = move || {
        for Job { number, work } in received {
            if left.load(Ordering::Relaxed) {
                return;
            }
            *lock(&at) = Some((number, clock::monotonic()));
            work();
            *lock(&at) = None;
        }
    };
    let thread = std::thread::Builder::new()
        .name("jq".to_owned())
        .stack_size(STACK);
    thread.spawn(work).ok().map(|_| Worker {
        jobs,
        running,
        left_behind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::sync::atomic::AtomicUsize;
    use std::thread::sleep;

    fn kind(name: &str) -> Kind {
        let yaml =
            format!("kind: {name}\ngroup: a.b\nversions: [v1]\nplural: things\nselect: always\n");
        Kind::parse("thing.yaml", &yaml).expect("valid")
    }

    #[tokio::test]
    async fn of_many_slow_jobs_one_is_run_and_the_others_see_it_disabled() {
        let metrics = Metrics::new();
        let runner = Runner::new(&metrics);
        let (slow, fast) = (kind("Slow"), kind("Fast"));
        let started = Arc::new(AtomicUsize::new(0));
        let jobs = (0..20).map(|_| {
            let started = started.clone();
            runner.run(&slow, "view.components", move || {
                started.fetch_add(1, Ordering::Relaxed);
                sleep(LIMIT * 3);
                Ok(())
            })
        });
        let behind = async {
            tokio::task::yield_now().await;
            runner.run(&fast, "view.components", || Ok(7)).await
        };
        let (results, behind) = tokio::join!(join_all(jobs), behind);
        assert_eq!(
            behind,
            Ok(7),
            "it waited behind the slow ones, and came through"
        );
        assert_eq!(started.load(Ordering::Relaxed), 1);
        let of = |reason| {
            results
                .iter()
                .filter(|result| **result == Err(reason))
                .count()
        };
        assert_eq!((of("TooSlow"), of("Disabled")), (1, 19));
        assert_eq!(
            runner.run(&slow, "phases", || Ok(1)).await,
            Ok(1),
            "other parts go on"
        );
        assert_eq!(
            metrics
                .view_failures
                .get_or_create(&kind_reason("Slow", "Disabled"))
                .get(),
            19
        );
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_of_one_program() {
        let runner = Runner::new(&Metrics::new());
        let kind = kind("Thing");
        let panics = || -> Result<(), Failure> { panic!("a defect of the interpreter") };
        assert_eq!(runner.run(&kind, "phases", panics).await, Err("Run"));
        assert_eq!(runner.run(&kind, "phases", || Ok(2)).await, Ok(2));
    }
}
