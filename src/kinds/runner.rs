//! Runs the jq of kind files: on a thread of its own with a time limit, or inline in the calling task.
//!
//! A program that exceeds the time limit is reported and not run again; its thread is left behind. Every failure is
//! counted, and logged once per kind and part; never with a value of the object.

mod thread;

use super::{GroupKind, JqFailure, Kind};
use crate::metrics::{Metrics, kind_reason};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use thread::{Attempt, JobThread};

/// Part of a kind file that holds a program, as its errors name it.
pub type Part = &'static str;

/// A failure that was logged: of which program, and why.
type Logged = (GroupKind, Part, JqFailure);

/// Runs programs, one at a time. Cloning shares it.
#[derive(Clone)]
pub struct Runner {
    /// Without a thread, programs run in the calling task.
    thread: Option<JobThread>,
    disabled: Arc<Mutex<HashSet<(GroupKind, Part)>>>,
    logged: Arc<Mutex<HashSet<Logged>>>,
    metrics: Metrics,
}

impl Runner {
    /// A runner with a thread of its own, which has a large stack and a time limit, and starts with the first program.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            thread: Some(JobThread::default()),
            ..Self::inline(metrics)
        }
    }

    /// A runner for deterministic simulation. It runs programs in the calling task: without another thread, without
    /// reading a clock, and so without a time limit, on the stack of the caller.
    pub fn inline(metrics: &Metrics) -> Self {
        Self {
            thread: None,
            disabled: Arc::default(),
            logged: Arc::default(),
            metrics: metrics.clone(),
        }
    }

    /// Does `work`, which runs programs of `part` of the kind file.
    ///
    /// # Errors
    /// Why there is no result; it is counted and logged already.
    pub async fn run<T, W>(&self, kind: &Kind, part: Part, work: W) -> Result<T, JqFailure>
    where
        T: Send + 'static,
        W: Fn() -> Result<T, JqFailure> + Send + Sync + 'static,
    {
        let result = match &self.thread {
            Some(thread) => self.threaded(thread, kind, part, work).await,
            None => caught(&work),
        };
        result.inspect_err(|failure| self.failed(kind, part, *failure))
    }

    async fn threaded<T, W>(
        &self,
        thread: &JobThread,
        kind: &Kind,
        part: Part,
        work: W,
    ) -> Result<T, JqFailure>
    where
        T: Send + 'static,
        W: Fn() -> Result<T, JqFailure> + Send + Sync + 'static,
    {
        let program = (kind.group_kind(), part);
        let work = Arc::new(work);
        loop {
            if self.disabled.lock().contains(&program) {
                return Err(JqFailure::Disabled);
            }
            match thread.attempt(work.clone()).await {
                Attempt::Done(result) => return result,
                Attempt::Again => {}
                Attempt::TooSlow => {
                    self.disabled.lock().insert(program);
                    return Err(JqFailure::TooSlow);
                }
            }
        }
    }

    fn failed(&self, kind: &Kind, part: Part, failure: JqFailure) {
        let reason = failure.reason();
        self.metrics
            .view_failures
            .get_or_create(&kind_reason(&kind.kind, reason))
            .inc();
        if self
            .logged
            .lock()
            .insert((kind.group_kind(), part, failure))
        {
            tracing::error!(
                kind = %kind.group_kind(), part, reason,
                "a program of this kind file failed; Revisions are recorded without what it should have found"
            );
        }
    }
}

/// The result of `work`. A defect of the interpreter is a failure of one program, not of all that come after it.
fn caught<T>(work: &impl Fn() -> Result<T, JqFailure>) -> Result<T, JqFailure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(JqFailure::Run))
}

#[cfg(test)]
mod tests {
    use super::thread::LIMIT;
    use super::*;
    use crate::kinds::{Catalogue, JqObject, Shape};
    use futures::future::{FutureExt, join_all};
    use serde_json::Value;
    use std::panic::resume_unwind;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread::{current, sleep};

    fn kind(name: &str) -> Kind {
        let yaml =
            format!("kind: {name}\ngroup: a.b\nversions: [v1]\nplural: things\nselect: always\n");
        Kind::parse("thing.yaml", &yaml).expect("valid")
    }

    #[tokio::test]
    async fn of_many_slow_jobs_one_is_run_and_the_others_see_it_disabled() {
        let metrics = Metrics::new();
        let runner = Runner::new(&metrics);
        let slow = kind("Slow");
        let fast = kind("Fast");
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
        let of = |failure| {
            results
                .iter()
                .filter(|result| **result == Err(failure))
                .count()
        };
        assert_eq!((of(JqFailure::TooSlow), of(JqFailure::Disabled)), (1, 19));
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
        let metrics = Metrics::new();
        for runner in [Runner::new(&metrics), Runner::inline(&metrics)] {
            let kind = kind("Thing");
            // Unlike `panic!`, it prints no backtrace, which may take longer than the limit.
            let panics = || -> Result<(), JqFailure> { resume_unwind(Box::new("a defect")) };
            assert_eq!(
                runner.run(&kind, "phases", panics).await,
                Err(JqFailure::Run)
            );
            assert_eq!(runner.run(&kind, "phases", || Ok(2)).await, Ok(2));
        }
    }

    #[test]
    fn an_inline_runner_needs_no_thread_and_no_runtime() {
        let runner = Runner::inline(&Metrics::new());
        let kind = kind("Thing");
        let ran = runner.run(&kind, "phases", || Ok(current().id()));
        assert_eq!(ran.now_or_never(), Some(Ok(current().id())));
    }

    /// Of one workload all that the programs of its kind file give.
    async fn outputs(
        runner: &Runner,
        kind: &Arc<Kind>,
        text: &str,
    ) -> Vec<Result<Vec<Value>, JqFailure>> {
        let mut all = Vec::new();
        let object = text.to_owned();
        let of = kind.clone();
        let components = move || {
            of.view.as_ref().map_or(Ok(Vec::new()), |file| {
                file.components(&object, &Shape::Whole)
            })
        };
        all.push(runner.run(kind, "view.components", components).await);
        let phases = kind.phases.iter().map(|rule| (&rule.when, "phases"));
        let pods = [
            (&kind.pods.current, "pods.current"),
            (&kind.pods.serving, "pods.serving"),
        ];
        let keys = pods
            .into_iter()
            .filter_map(|(program, part)| Some((program.as_ref()?, part)));
        for (program, part) in phases.chain(keys) {
            let object = text.to_owned();
            let program = program.clone();
            let work = move || program.run(&JqObject::parse(&object)?, &Shape::Whole);
            all.push(runner.run(kind, part, work).await);
        }
        all
    }

    #[tokio::test]
    async fn inline_and_threaded_give_the_same_for_every_built_in_kind() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kinds.yaml");
        let cases = std::fs::read_to_string(path).expect("a file");
        let cases: Vec<Value> = serde_saphyr::from_str(&cases).expect("YAML");
        let metrics = Metrics::new();
        let threaded = Runner::new(&metrics);
        let inline = Runner::inline(&metrics);
        for kind in Catalogue::built_in().kinds() {
            let mut manifests = cases
                .iter()
                .map(|case| &case["manifest"])
                .filter(|manifest| manifest["kind"] == kind.kind.as_str())
                .peekable();
            assert!(manifests.peek().is_some(), "{} has an example", kind.kind);
            for manifest in manifests {
                let text = manifest.to_string();
                let expected = outputs(&threaded, kind, &text).await;
                assert!(expected[0].is_ok(), "{}: {expected:?}", kind.kind);
                assert_eq!(outputs(&inline, kind, &text).await, expected);
            }
        }
    }
}
