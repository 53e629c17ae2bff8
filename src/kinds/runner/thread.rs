//! A thread that does one piece of work at a time, within a time limit.
//!
//! A thread that exceeds the limit cannot be stopped: it is left behind, and the next piece of work starts another.

use super::caught;
use crate::clock;
use crate::kinds::JqFailure;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Work that takes longer is given up.
pub(super) const LIMIT: Duration = Duration::from_millis(500);
/// Running recurses with the depth of the object.
const STACK: usize = 16 << 20;

struct Job {
    number: u64,
    work: Box<dyn FnOnce() + Send>,
}

/// A running thread.
struct Worker {
    jobs: mpsc::Sender<Job>,
    progress: Arc<JobProgress>,
}

#[derive(Default)]
struct JobProgress {
    /// The number of the job that runs, and when it began.
    running: Mutex<Option<(u64, Instant)>>,
    /// The thread is in a job that takes too long; another thread takes the jobs behind it.
    left_behind: AtomicBool,
}

/// The result of one attempt.
pub(super) enum Attempt<T> {
    Done(Result<T, JqFailure>),
    /// The thread ended, or was left behind, before it came to this job.
    Again,
    TooSlow,
}

/// The thread that takes jobs now; it starts with the first one. Cloning shares it.
#[derive(Clone, Default)]
pub(super) struct JobThread {
    worker: Arc<Mutex<Option<Arc<Worker>>>>,
    jobs: Arc<AtomicU64>,
}

impl JobThread {
    pub(super) async fn attempt<T, W>(&self, work: Arc<W>) -> Attempt<T>
    where
        T: Send + 'static,
        W: Fn() -> Result<T, JqFailure> + Send + Sync + 'static,
    {
        let Some(worker) = self.worker() else {
            return Attempt::Done(Err(JqFailure::Run));
        };
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        let (reply, mut answer) = oneshot::channel();
        let work = Box::new(move || {
            // The caller may have gone away.
            let _ = reply.send(caught(&*work));
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
            let Some((at, since)) = *worker.progress.running.lock() else {
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

    fn worker(&self) -> Option<Arc<Worker>> {
        let mut present = self.worker.lock();
        if present.is_none() {
            *present = start().map(Arc::new);
        }
        present.clone()
    }

    fn leave_behind(&self, worker: &Arc<Worker>) {
        worker.progress.left_behind.store(true, Ordering::Relaxed);
        let mut present = self.worker.lock();
        if present
            .as_ref()
            .is_some_and(|present| Arc::ptr_eq(present, worker))
        {
            *present = None;
        }
    }
}

/// Starts a thread. It ends when its sender is dropped, or after the job that it was left behind with.
fn start() -> Option<Worker> {
    let (jobs, received) = mpsc::channel();
    let progress = Arc::<JobProgress>::default();
    let worker = Worker {
        jobs,
        progress: progress.clone(),
    };
    std::thread::Builder::new()
        .name("jq".to_owned())
        .stack_size(STACK)
        .spawn(move || work(received, &progress))
        .ok()?;
    Some(worker)
}

fn work(jobs: mpsc::Receiver<Job>, progress: &JobProgress) {
    for Job { number, work } in jobs {
        if progress.left_behind.load(Ordering::Relaxed) {
            return;
        }
        *progress.running.lock() = Some((number, clock::monotonic()));
        work();
        *progress.running.lock() = None;
    }
}
