//! Decides about every change of a workload and writes what is a change as a Revision.
//!
//! In: the [`Fact`](crate::watch::Fact)s of one kind, in order, from `watch`. Out: Revisions in the API server, and
//! [`Ack`](crate::workload::Ack)s. Deciding is pure and happens where the change arrives ([`KindRecorder`]); writing
//! happens behind a bounded queue, in order per workload. Nothing here may merge, skip or reorder changes: that is why
//! no kube-rs `Controller`, `reflector` or predicate stands in front of it.

pub mod decide;
mod draft;
pub mod extract;
mod fault;
mod gap;
mod kind;
pub mod ledger;
pub mod lives;
pub mod managed;
pub mod queue;
pub mod quiet;
pub mod report;
mod tracked;
mod write;
pub mod writer;

pub use kind::KindRecorder;

use crate::kinds::Catalogue;
use crate::metrics::Metrics;
use crate::observe::Observer;
use crate::redact::Names;
use crate::revision::identity::ContentDigest;
use crate::revision::{Revision, SnapshotEncoding};
use extract::Extractor;
use lives::Lives;
use queue::{Queue, StatusPatch};
use quiet::Quiet;
use report::Reporter;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The Revisions that are stored.
pub trait Archive: Send + Sync {
    /// Which of these generations of a workload are recorded or in a Gap, by any replica.
    fn recorded(&self, workload: Uuid, generations: &RangeInclusive<i64>) -> BTreeSet<i64>;

    /// Whether a Revision is stored, with the same content.
    fn holds(&self, _revision: &Revision) -> bool {
        false
    }

    /// Whether a Revision says already what a patch of its status would say, or more.
    fn says(&self, _patch: &StatusPatch) -> bool {
        false
    }

    /// For how long no new Revision was shown; none while what is shown may be behind.
    fn quiet(&self) -> Option<Duration> {
        None
    }

    /// The digest of the Revision that is stored of a generation; none where none is.
    fn digest(&self, _workload: Uuid, _generation: i64) -> Option<ContentDigest> {
        None
    }

    /// A generation has another content than the Revision that is stored of it, or has not any more.
    fn contest(&self, _workload: Uuid, _generation: i64, _is_contested: bool) {}
}

/// How recording is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Field managers whose writes through the subresource `scale` are not changes.
    pub autoscalers: Vec<String>,
    /// How snapshots are stored.
    pub encoding: SnapshotEncoding,
    /// Which names hold secrets.
    pub names: Names,
}

impl Default for Settings {
    fn default() -> Self {
        let autoscalers = ["kube-controller-manager", "keda-operator"]
            .map(str::to_owned)
            .to_vec();
        Self {
            autoscalers,
            encoding: SnapshotEncoding::default(),
            names: Names::default(),
        }
    }
}

/// What all kinds share. Cloning shares it.
#[derive(Clone)]
pub struct Recorder {
    /// The kinds that are recorded.
    pub catalogue: Arc<Catalogue>,
    /// How.
    pub settings: Arc<Settings>,
    /// The Revisions that are stored.
    pub archive: Arc<dyn Archive>,
    /// The namespaces that there are.
    pub lives: Lives,
    /// Where decided Revisions go.
    pub queue: Queue,
    /// Generations that changed nothing.
    pub quiet: Quiet,
    /// What completes views.
    pub extractor: Extractor,
    /// Who is told of what cannot be recorded.
    pub reporter: Reporter,
    /// Who is told how workloads are now.
    pub observer: Observer,
    /// What is counted.
    pub metrics: Metrics,
}
