//! Which replica does the work that one is enough for: the holder of a Lease.
//!
//! Leadership saves work; nothing is wrong when two lead for a moment. The algorithm is client-go's: a Lease is taken
//! by a PUT with its resourceVersion, it has expired when nobody was seen to renew it for its duration (by this
//! process' own clock; the times in it are never trusted), and a leader that cannot renew in time stops by itself.

mod election;
mod task;

pub use task::Elector;

/// Name of the Lease.
pub const LEASE: &str = "revisor";
