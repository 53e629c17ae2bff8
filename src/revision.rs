//! The `Revision` custom resource: its types, its names and its schema. Pure.
//!
//! One Revision is one generation of one workload. Its identity is (workload uid, generation) and nothing else, so
//! that retries, restarts and two writers at once all produce the same object (see [`identity`]). Everything in
//! `spec` except `spec.view` is immutable on the API server itself (see [`schema`]).

pub mod identity;
pub mod limits;
mod outcome;
mod phase;
pub mod resource;
pub mod schema;
mod view;
pub mod words;

pub use outcome::Outcome;
pub use phase::Phase;
pub use resource::{
    Allocated, Condition, Expunged, Gap, Observed, ObservedThrough, Previous, Revision,
    RevisionSpec, RevisionStatus, RevisionType, Snapshot, SnapshotEncoding, Source, TimeSource,
    Via, Workload,
};
pub use view::{FieldChange, Pods, View};

/// The API group of [`Revision`].
pub const GROUP: &str = "revisor.dev";
/// The version of the API.
pub const VERSION: &str = "v1alpha1";
/// The plural name of the resource.
pub const PLURAL: &str = "revisions";

/// Label on every Revision: the uid of its workload.
pub const LABEL_WORKLOAD_UID: &str = "revisor.dev/workload-uid";
/// Label on every Revision: the kind of its workload.
pub const LABEL_WORKLOAD_KIND: &str = "revisor.dev/workload-kind";
/// Label on a workload that overrules the selection of its kind: `true` records it, `false` never does.
pub const LABEL_RECORD: &str = "revisor.dev/record";

/// The field manager of everything Revisor writes.
pub const FIELD_MANAGER: &str = "revisor";
