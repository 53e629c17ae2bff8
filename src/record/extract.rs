//! Completes views with the components that the jq of kind files finds, off the path of recording.
//!
//! When it fails, a Revision is recorded without that part of its view.

use super::write::{Unviewed, Viewing};
use crate::kinds::runner::Runner;
use crate::kinds::{JqFailure, ViewFile};
use crate::metrics::Metrics;
use crate::redact::Names;
use crate::revision::View;
use crate::snapshot::unpack;
use crate::view::{SHAPE, complete};
use serde_json::Value;
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

/// The part of a kind file that this runs, as errors name it.
pub const PART: &str = "view.components";

/// Completes views. Cloning shares it.
#[derive(Clone)]
pub struct Extractor {
    runner: Runner,
    names: Arc<Names>,
}

impl Extractor {
    /// Runs programs on a thread of their own. `names` hold secrets.
    pub fn new(names: Names, metrics: &Metrics) -> Self {
        Self::with(Runner::new(metrics), names)
    }

    /// Runs programs by `runner`. `names` hold secrets.
    pub fn with(runner: Runner, names: Names) -> Self {
        Self {
            runner,
            names: Arc::new(names),
        }
    }

    /// The runner of the programs.
    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Completes a view in the background.
    pub fn begin(&self, mut view: View, unviewed: Unviewed) -> Viewing {
        let this = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            // Counted and said already; the view stays as it is.
            let _ = this.complete(&mut view, &unviewed).await;
            view
        }))
    }

    /// Adds to a view the components that the kind file's jq finds in the workload.
    ///
    /// # Errors
    /// Why the view stays as it is; see [`Runner::run`].
    pub async fn complete(&self, view: &mut View, unviewed: &Unviewed) -> Result<(), JqFailure> {
        let kind = unviewed.kind.clone();
        let Some(file) = &kind.view else {
            return Ok(());
        };
        let source = unviewed.clone();
        let outputs = self
            .runner
            .run(&kind, PART, move || outputs(&source))
            .await?;
        complete(view, file, &outputs, &self.names);
        Ok(())
    }
}

fn outputs(unviewed: &Unviewed) -> Result<Vec<Value>, JqFailure> {
    let Some(file) = &unviewed.kind.view else {
        return Ok(Vec::new());
    };
    let text = unpack(&unviewed.gzip).map_err(|_| JqFailure::Input)?;
    components(file, &text)
}

/// The components of one workload, from its JSON, each cut to the fields that a view reads.
///
/// # Errors
/// Without any value of the object.
pub fn components(file: &ViewFile, object: &str) -> Result<Vec<Value>, JqFailure> {
    file.components(object, &SHAPE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kind;
    use crate::metrics::{kind as labels, kind_reason};

    fn unviewed(program: &str, object: &str) -> Unviewed {
        let yaml = format!(
            "kind: Thing\ngroup: a.b\nversions: [v1]\nplural: things\nselect: always\nview:\n  components: |\n    {program}\n"
        );
        let gzip = crate::gzip::compress(object.as_bytes()).expect("memory");
        let kind = Arc::new(Kind::parse("thing.yaml", &yaml).expect("valid"));
        Unviewed {
            kind,
            gzip: gzip.into(),
        }
    }

    const OBJECT: &str = r#"{"spec":{"image":"i","s":"secret-value"}}"#;
    const GOOD: &str = r#"{name: "main", pod: {spec: {containers: [{image: .spec.image}]}}}"#;

    #[tokio::test]
    async fn a_view_is_completed_and_a_failure_leaves_it_as_it_is() {
        let metrics = Metrics::new();
        let extractor = Extractor::new(Names::default(), &metrics);
        let mut view = View::default();
        assert_eq!(
            extractor.complete(&mut view, &unviewed(GOOD, OBJECT)).await,
            Ok(())
        );
        assert_eq!(view.images, ["i"]);
        let mut untouched = View {
            images: vec!["before".into()],
            ..View::default()
        };
        assert_eq!(
            extractor
                .complete(&mut untouched, &unviewed(".spec.s.x", OBJECT))
                .await,
            Err(JqFailure::Run)
        );
        assert_eq!(
            extractor
                .complete(&mut untouched, &unviewed(GOOD, "no json"))
                .await,
            Err(JqFailure::Input)
        );
        assert_eq!(untouched.images, ["before"]);
        for reason in ["Run", "Input"] {
            assert_eq!(
                metrics
                    .view_failures
                    .get_or_create(&kind_reason("Thing", reason))
                    .get(),
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
        let slow = unviewed(
            "[.a[] as $a | .a[] as $b | .a[] as $c | $a + $b + $c] | length",
            &many,
        );
        let mut view = View::default();
        assert_eq!(
            extractor.complete(&mut view, &slow).await,
            Err(JqFailure::TooSlow)
        );
        assert_eq!(
            extractor.complete(&mut view, &slow).await,
            Err(JqFailure::Disabled)
        );
        // Another kind, on a new thread.
        let mut other = unviewed(GOOD, OBJECT);
        other.kind = Arc::new(Kind {
            kind: "Other".into(),
            ..(*other.kind).clone()
        });
        assert_eq!(extractor.complete(&mut view, &other).await, Ok(()));
        assert_eq!(view.images, ["i"]);
    }
}
