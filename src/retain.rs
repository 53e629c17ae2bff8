//! Retention: which Revisions of a workload are kept, and which are swept.

pub mod policy;
