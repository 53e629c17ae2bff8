//! The body of `/status` on the admin port: the state of one replica. It names namespaces, so
//! reading it is a right.
//!
//! In: the queue of a replica, through [`Backlog`]. Out: a plain value that serializes to one JSON
//! object.

use super::tls::CertificateStatus;
use crate::record::queue::Held;
use serde::Serialize;

/// The writes that a replica has still to do.
pub trait Backlog: Send + Sync {
    /// The number of writes that wait or are under way.
    fn writes(&self) -> usize;
    /// The reasons for which writes are held now, and the writes that each of them holds.
    fn holds(&self) -> Vec<Held>;
}

/// The state of one replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// The version of the program.
    pub version: &'static str,
    /// The name under which the replica stands for election; none without an election.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Whether the replica holds the Lease, or needs none.
    pub leads: bool,
    /// Whether every gate of readiness is open.
    pub ready: bool,
    /// The names of the gates that are closed.
    pub waiting_for: Vec<String>,
    /// The size of the queue.
    pub queue: QueueSize,
    /// The holds, in the order of the queue.
    pub holds: Vec<Held>,
    /// The number of Revisions that are stored and forged.
    pub forged: i64,
    /// The certificate that the ports show; none without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
}

/// The size of the queue of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueSize {
    /// The number of writes.
    pub writes: usize,
    /// The memory that they take, in bytes.
    pub bytes: i64,
}
