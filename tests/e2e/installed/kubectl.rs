//! kubectl, with all that it prints.

use devcluster::Cluster;
use std::path::{Path, PathBuf};
use std::process::Output;

/// The result of one call.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub errors: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal"),
            out: String::from_utf8(output.stdout).expect("text"),
            errors: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Said {
    /// It succeeded and had nothing to complain about.
    pub fn quietly(self) -> String {
        assert!(self.code == 0 && self.errors.is_empty(), "{self:?}");
        self.out
    }
}

/// A path below the root of the project.
pub fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs kubectl as an administrator.
pub fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Said {
    let out = cluster.kubectl().args(arguments).output();
    out.expect("kubectl").into()
}

/// `kubectl apply --server-side -k`, as README has it.
pub fn apply(cluster: &Cluster, folder: &str) -> Said {
    let folder = at(folder).display().to_string();
    kubectl(cluster, &["apply", "--server-side", "-k", &folder])
}

/// What applying the folder would change.
pub fn diff(cluster: &Cluster, folder: &str) -> Said {
    let folder = at(folder).display().to_string();
    kubectl(cluster, &["diff", "--server-side", "-k", &folder])
}

/// `kubectl delete -k`.
pub fn delete(cluster: &Cluster, folder: &str) -> Said {
    let folder = at(folder).display().to_string();
    kubectl(cluster, &["delete", "--timeout=60s", "-k", &folder])
}
