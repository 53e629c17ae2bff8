//! The election of the replica that does the work for which one is enough: the holder of a Lease.
//!
//! Leadership saves work; nothing is wrong when two lead for a moment. The algorithm is client-go's: a Lease is taken
//! by a PUT with its resourceVersion, it has expired when it was not seen to be renewed for its duration (by this
//! process' own clock; the times in it are never trusted), and a leader that cannot renew in time stops by itself.

mod election;
mod task;

pub use task::Elector;

/// Name of the Lease.
pub const LEASE: &str = "revisor";

/// The name of this process in the Lease: in a pod the pod's name, which is the same after a restart. Elsewhere several
/// processes may run on one host, so the process id is appended.
pub fn identity() -> String {
    let host = host().unwrap_or_else(|| "revisor".to_owned());
    let in_a_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if in_a_pod {
        host
    } else {
        format!("{host}_{}", std::process::id())
    }
}

fn host() -> Option<String> {
    std::env::var("HOSTNAME")
        .ok()
        .filter(|name| !name.is_empty())
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .map(|name| name.trim().to_owned())
}
