//! A cluster, and what has to be recorded in it.
//!
//! In: the options of a cluster. Out: requests to it, and the comparison of what was recorded with what etcd stored.

use super::{KINDS, Kind, Meta, Revisor, client, command, fixtures, gaps, post, recorded};
use crate::oracle::{Expected, Oracle};
use devcluster::{Cluster, Options};
use kube::Client;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

/// A cluster with the CRDs, and a witness of all that etcd stores.
pub struct World {
    pub cluster: Cluster,
    pub oracle: Oracle,
}

impl World {
    pub fn start(options: &Options) -> Self {
        let cluster = Cluster::start(options).expect("a cluster");
        let kinds: Vec<_> = KINDS.iter().map(|kind| kind.registry).collect();
        let oracle = Oracle::start(&cluster.etcd_endpoint(), &kinds);
        let world = Self { cluster, oracle };
        world.define(&crds());
        world
    }

    /// Applies definitions, and waits until all that there are can be used.
    pub fn define(&self, manifests: &str) {
        self.cluster.apply(manifests).expect("definitions");
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=20s",
        ]);
    }

    pub async fn client(&self) -> Client {
        client(self.cluster.kubeconfig()).await
    }

    /// A fresh namespace.
    pub async fn namespace(&self, purpose: &str) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{purpose}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        post(&self.client().await, "/api/v1/namespaces", &body).await;
        name
    }

    /// Runs kubectl and returns what it prints.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let out = self
            .cluster
            .kubectl()
            .args(arguments)
            .output()
            .expect("kubectl");
        assert!(
            out.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).expect("text")
    }

    /// Waits until the witness has seen an edit and `revisor` has recorded everything up to it.
    pub fn wait_recorded(&self, revisor: &Revisor, kind: Kind, edit: &Meta) {
        self.oracle
            .wait_for(kind.registry, &edit.uid, edit.generation);
        revisor.wait_recorded(kind, edit.version());
    }

    /// Everything that has to be recorded of `kinds` is, equal to what etcd stored, and nothing else.
    pub async fn assert_recorded(&self, namespace: &str, kinds: &[Kind]) -> usize {
        let (recorded, gaps) = self.compare(namespace, kinds, &BTreeSet::new(), None).await;
        assert_eq!(gaps, 0, "generations are lost");
        recorded
    }

    /// The same, when one is stored without its content.
    pub async fn assert_recorded_but(
        &self,
        namespace: &str,
        kinds: &[Kind],
        without: &(String, i64),
    ) -> usize {
        let (all, _) = self
            .compare(namespace, kinds, &BTreeSet::new(), Some(without))
            .await;
        all - 1
    }

    /// The same, when generations may be lost: each that is not recorded is in a Gap, none is in both, and Gaps hold
    /// nothing that never was. How many are recorded, and how many are in Gaps.
    pub async fn assert_recorded_or_gap(&self, namespace: &str, kind: Kind) -> (usize, usize) {
        let gaps = gaps(&self.client().await, namespace).await;
        let all = self.oracle.generations(kind.registry, namespace);
        let never: Vec<_> = gaps.difference(&all).collect();
        assert!(
            never.is_empty(),
            "Gaps hold generations that never were: {never:?}"
        );
        self.compare(namespace, &[kind], &gaps, None).await
    }

    async fn compare(
        &self,
        namespace: &str,
        kinds: &[Kind],
        gaps: &BTreeSet<(String, i64)>,
        without: Option<&(String, i64)>,
    ) -> (usize, usize) {
        let mut expected = Expected::new();
        for kind in kinds {
            expected.extend(self.oracle.expected(kind.registry, namespace));
        }
        let recorded = recorded(&self.client().await, namespace).await;
        let both: Vec<_> = recorded.keys().filter(|key| gaps.contains(key)).collect();
        assert!(both.is_empty(), "recorded, and in a Gap: {both:?}");
        expected.retain(|key, _| !gaps.contains(key));
        let keys = |set: &Expected| {
            set.keys()
                .cloned()
                .collect::<std::collections::BTreeSet<_>>()
        };
        let want = keys(&expected);
        let have = keys(&recorded);
        let missing: Vec<_> = want.difference(&have).collect();
        let extra: Vec<_> = have.difference(&want).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "missing {missing:?}, extra {extra:?}"
        );
        for (key, spec) in expected.iter().filter(|(key, _)| Some(*key) != without) {
            assert!(
                recorded[key] == *spec,
                "content of {key:?} differs: {spec:?} and {:?}",
                recorded[key]
            );
        }
        (expected.len(), gaps.len())
    }
}

fn crds() -> String {
    let mut text = run_revisor(&["crds"]);
    for file in ["inferenceservices", "leaderworkersets"] {
        text += "---\n";
        text += &std::fs::read_to_string(fixtures().join(format!("crds/{file}.yaml")))
            .expect("a fixture");
    }
    text
}

fn run_revisor(arguments: &[&str]) -> String {
    let out = command(arguments);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).expect("text")
}
