//! From a pod to the workload that it is a part of, along its controllers. Reads metadata only, each object once.

use crate::client::page::has_status;
use crate::client::path::segment;
use crate::kinds::Kind;
use crate::metrics::Metrics;
use http::{Request, header};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use kube::api::ObjectMeta;
use moka::future::Cache;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

/// A chain that is longer is none: the longest known has eight (Dynamo on LeaderWorkerSets).
const MAX_HOPS: usize = 16;
const MAX_KEPT: u64 = 50_000;
/// An object that was not there may be there later.
const KEPT_FOR: Duration = Duration::from_secs(600);
const DEADLINE: Duration = Duration::from_secs(10);
const ACCEPT: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// Kinds that stand between pods and workloads, beside those that are recorded.
const BETWEEN: &[(&str, &str, &str)] = &[
    ("", "Pod", "pods"),
    ("apps", "ReplicaSet", "replicasets"),
    ("apps", "StatefulSet", "statefulsets"),
    ("apps", "Deployment", "deployments"),
    ("ray.io", "RayCluster", "rayclusters"),
    ("serving.knative.dev", "Revision", "revisions"),
    ("serving.knative.dev", "Configuration", "configurations"),
    (
        "nvidia.com",
        "DynamoComponentDeployment",
        "dynamocomponentdeployments",
    ),
    ("grove.io", "PodClique", "podcliques"),
    (
        "grove.io",
        "PodCliqueScalingGroup",
        "podcliquescalinggroups",
    ),
    ("grove.io", "PodCliqueSet", "podcliquesets"),
];

/// Finds workloads. Cloning shares what is kept.
#[derive(Clone)]
pub(super) struct Owners {
    client: Client,
    plurals: Arc<[Plural]>,
    /// The controller of an object, by the uid of that object; none when it has none, or cannot be read.
    parents: Cache<Uuid, Option<OwnerReference>>,
    metrics: Metrics,
}

/// The name under which the API server serves the objects of a kind.
struct Plural {
    group: String,
    kind: String,
    plural: String,
}

impl Plural {
    fn new(group: &str, kind: &str, plural: &str) -> Self {
        Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }
}

#[derive(Deserialize)]
struct OwnerMetadata {
    metadata: ObjectMeta,
}

impl Owners {
    pub(super) fn new(client: Client, kinds: &[Arc<Kind>], metrics: &Metrics) -> Self {
        let recorded = kinds
            .iter()
            .map(|kind| Plural::new(&kind.group, &kind.kind, &kind.plural));
        let between = BETWEEN
            .iter()
            .map(|(group, kind, plural)| Plural::new(group, kind, plural));
        Self {
            client,
            plurals: recorded.chain(between).collect(),
            parents: Cache::builder()
                .max_capacity(MAX_KEPT)
                .time_to_live(KEPT_FOR)
                .build(),
            metrics: metrics.clone(),
        }
    }

    /// The first workload above `owner` that is `known`: nothing that is a part of another is.
    pub(super) async fn workload(
        &self,
        namespace: &str,
        owner: OwnerReference,
        known: impl Fn(Uuid) -> bool,
    ) -> anyhow::Result<Option<Uuid>> {
        let mut next = Some(owner);
        for _ in 0..MAX_HOPS {
            let Some(owner) = next else { return Ok(None) };
            let Ok(uid) = Uuid::try_parse(&owner.uid) else {
                return Ok(None);
            };
            if known(uid) {
                return Ok(Some(uid));
            }
            next = if let Some(parent) = self.parents.get(&uid).await {
                parent
            } else {
                let parent = self.read(namespace, &owner).await?;
                self.parents.insert(uid, parent.clone()).await;
                parent
            };
        }
        Ok(None)
    }

    /// The controller of an object.
    async fn read(
        &self,
        namespace: &str,
        of: &OwnerReference,
    ) -> anyhow::Result<Option<OwnerReference>> {
        let Some(path) = path(&self.plurals, namespace, of) else {
            return Ok(None);
        };
        self.metrics.owner_reads.inc();
        let request = Request::get(path)
            .header(header::ACCEPT, ACCEPT)
            .body(Vec::new())?;
        let answer = timeout(DEADLINE, self.client.request::<OwnerMetadata>(request))
            .await?
            .map_err(anyhow::Error::from);
        match answer {
            // Another object of that name says nothing of this one.
            Ok(OwnerMetadata { metadata }) if metadata.uid.as_deref() == Some(&of.uid) => {
                Ok(metadata
                    .owner_references
                    .into_iter()
                    .flatten()
                    .find(|owner| owner.controller == Some(true)))
            }
            Ok(_) => Ok(None),
            Err(error) if has_status(&error, 404) || has_status(&error, 403) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The path of an object; none where its kind is not one that stands between pods and workloads, or no object can
/// have such a name.
fn path(plurals: &[Plural], namespace: &str, of: &OwnerReference) -> Option<String> {
    let (group, version) = match of.api_version.split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", &*of.api_version),
    };
    let known = plurals
        .iter()
        .find(|known| known.group == group && known.kind == of.kind)?;
    let version = segment(version)?;
    let name = segment(&of.name)?;
    let root = if group.is_empty() {
        "/api".to_owned()
    } else {
        format!("/apis/{group}")
    };
    Some(format!(
        "{root}/{version}/namespaces/{namespace}/{}/{name}",
        known.plural
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(api_version: &str, kind: &str, name: &str) -> Option<String> {
        let plurals: Vec<_> = BETWEEN
            .iter()
            .map(|(group, kind, plural)| Plural::new(group, kind, plural))
            .collect();
        let owner = OwnerReference {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..OwnerReference::default()
        };
        path(&plurals, "team-a", &owner)
    }

    #[test]
    fn an_owner_is_read_at_its_own_path() {
        let replica_set = of("apps/v1", "ReplicaSet", "llama-5d9c");
        let expected = "/apis/apps/v1/namespaces/team-a/replicasets/llama-5d9c";
        assert_eq!(replica_set.as_deref(), Some(expected));
        let pod = of("v1", "Pod", "llama-0");
        assert_eq!(
            pod.as_deref(),
            Some("/api/v1/namespaces/team-a/pods/llama-0")
        );
        assert_eq!(of("example.com/v1", "Thing", "t"), None);
    }

    #[test]
    fn an_owner_that_is_no_object_is_not_read() {
        for name in [
            "",
            "..",
            "../../../../../../api/v1/namespaces/kube-system/secrets",
            "a/status",
            "%2e%2e",
        ] {
            assert_eq!(of("apps/v1", "ReplicaSet", name), None, "{name}");
        }
        for version in ["apps/", "apps/..", "apps/v1/namespaces/other", "apps/v1%2F"] {
            assert_eq!(of(version, "ReplicaSet", "a"), None, "{version}");
        }
        let asking = of("apps/v1?x=1", "Deployment", "a?watch=true&x=2").unwrap_or_default();
        assert!(!asking.contains(['?', '&', '#']), "{asking}");
    }
}
