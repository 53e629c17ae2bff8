//! The evidence of one attempt to write about other writes: the cause of a failure, or the proof of a settled write.

/// The writes that a failure delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The workload whose write failed.
    Workload,
    /// Its namespace.
    Namespace,
    /// Everything, unless Revisions of other namespaces were created since the last such failure: then the namespace.
    All,
}

/// The meaning of a failure for other writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cause {
    /// The writes that it delays.
    pub scope: Scope,
    /// Whether the failure is transient: any answer shows that it is over. Otherwise only a Revision that is created
    /// does.
    pub passing: bool,
}

/// The evidence of a settled write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Revisions can be created in its namespace: one was created, or one was found to exist.
    Created,
    /// The API server answers, no more: the write was none of a Revision.
    Answered,
    /// Its namespace is gone.
    NamespaceGone,
}
