//! Which version of a kind the API server offers, and waiting for one that is not installed yet.

use crate::kinds::Kind;
use crate::workload::Resource;
use kube::Client;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A kind is picked up within 10 s of its definition appearing; asking is one small request per missing kind.
const EVERY: Duration = Duration::from_secs(4);
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct ResourceList {
    resources: Vec<ApiResource>,
}

#[derive(Deserialize)]
struct ApiResource {
    name: String,
    kind: String,
    namespaced: bool,
    verbs: Vec<String>,
}

/// What the API server says of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// It offers this version.
    Offered(Arc<Resource>),
    /// It does not know the kind.
    Absent,
    /// It knows the kind, but that cannot be watched by namespace.
    Unsuitable,
}

/// Waits until the API server offers `kind`. `absent` is told once when it does not.
pub(super) async fn wait(client: &Client, kind: &Kind, mut absent: impl FnMut()) -> Arc<Resource> {
    let mut told = false;
    loop {
        match timeout(DEADLINE, resource(client, kind)).await {
            Ok(Ok(Discovery::Offered(resource))) => return resource,
            Ok(Ok(other)) => {
                if !told {
                    tracing::info!(kind = %kind.group_kind(), found = ?other, "this kind cannot be watched now; waiting for it");
                    absent();
                    told = true;
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(kind = %kind.group_kind(), %error, "asking for this kind failed");
            }
            Err(_) => {
                tracing::warn!(kind = %kind.group_kind(), "asking for this kind took too long");
            }
        }
        sleep(EVERY.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
    }
}

/// Asks once.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn resource(client: &Client, kind: &Kind) -> kube::Result<Discovery> {
    let mut found = Discovery::Absent;
    for version in &kind.versions {
        let resource = Resource {
            group: kind.group.clone(),
            version: version.clone(),
            kind: kind.kind.clone(),
            plural: kind.plural.clone(),
        };
        let Some(list) = list(client, &resource).await? else {
            continue;
        };
        let same = |r: &&ApiResource| r.name == kind.plural && r.kind == kind.kind;
        let Some(served) = list.resources.iter().find(same) else {
            continue;
        };
        if served.namespaced
            && ["list", "watch"]
                .iter()
                .all(|verb| served.verbs.iter().any(|v| v == verb))
        {
            return Ok(Discovery::Offered(Arc::new(resource)));
        }
        found = Discovery::Unsuitable;
    }
    Ok(found)
}

/// The resources of a version; none when the API server does not serve it.
async fn list(client: &Client, resource: &Resource) -> kube::Result<Option<ResourceList>> {
    let root = if resource.group.is_empty() {
        "/api"
    } else {
        "/apis"
    };
    let request = http::Request::get(format!("{root}/{}", resource.api_version())).body(Vec::new());
    match client
        .request_text(request.map_err(kube::Error::HttpError)?)
        .await
    {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(kube::Error::SerdeError),
        // A version that is not served answers with a plain text, so only the code can be trusted.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
