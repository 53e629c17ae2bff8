//! Whether the objects that an old content names are still there.

use super::super::connection::Session;
use super::super::live::{Place, send};
use crate::history::references::{Reference, references};
use crate::workload::Resource;
use http::Method;
use serde_json::Value;

/// So many are looked at; a workload that names more is a rare one.
const MAX_LOOKS: usize = 40;

/// What is missing, and what could not be looked at, in words. Only names are asked for.
pub(super) async fn missing(
    session: &Session,
    namespace: &str,
    old: &Value,
) -> anyhow::Result<Vec<String>> {
    let mut told = Vec::new();
    let mut unseen = Vec::new();
    for reference in references(old).into_iter().take(MAX_LOOKS) {
        match look(session, namespace, &reference).await? {
            Look::There if reference.kind == "ServingRuntime" => told.push(format!(
                "the runtime {} is used as it is now, not as it was then",
                reference.name
            )),
            Look::There => {}
            Look::Missing => told.push(format!(
                "{} {} is missing in namespace {namespace}, and the revision needs it",
                reference.kind, reference.name
            )),
            Look::Refused => unseen.push(format!("{} {}", reference.kind, reference.name)),
        }
    }
    if !unseen.is_empty() {
        told.push(format!(
            "not known to be there, as you may not see them: {}",
            unseen.join(", ")
        ));
    }
    Ok(told)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    There,
    Missing,
    Refused,
}

async fn look(session: &Session, namespace: &str, reference: &Reference) -> anyhow::Result<Look> {
    let own = place(namespace, reference, resource(reference.kind));
    let found = ask(session, &own.path()).await?;
    if found != Look::Missing || reference.kind != "ServingRuntime" {
        return Ok(found);
    }
    // One of the whole cluster serves as well.
    let of_cluster = kserve(
        "v1alpha1",
        "ClusterServingRuntime",
        "clusterservingruntimes",
    );
    ask(
        session,
        &format!("{}/{}", of_cluster.path(None), reference.name),
    )
    .await
}

async fn ask(session: &Session, path: &str) -> anyhow::Result<Look> {
    let answer = send(session, Method::GET, path, None, &Value::Null).await?;
    Ok(match answer.code {
        404 => Look::Missing,
        _ if answer.is_success() => Look::There,
        _ => Look::Refused,
    })
}

fn place(namespace: &str, reference: &Reference, resource: Resource) -> Place {
    Place {
        resource,
        namespace: namespace.to_owned(),
        name: reference.name.clone(),
    }
}

fn resource(kind: &'static str) -> Resource {
    match kind {
        "ServingRuntime" => kserve("v1alpha1", kind, "servingruntimes"),
        _ => Resource {
            group: String::new(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: format!("{}s", kind.to_lowercase()),
        },
    }
}

fn kserve(version: &str, kind: &str, plural: &str) -> Resource {
    Resource {
        group: "serving.kserve.io".to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}
