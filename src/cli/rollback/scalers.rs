//! The autoscalers that have a workload as their target. A rollback keeps the replicas of now, and whoever asks
//! for those of the revision should know that they will be overwritten.

use super::super::connection::Session;
use super::super::live::{Place, send};
use crate::workload::Resource;
use http::Method;
use serde_json::Value;

/// The annotation by which KEDA is told to keep a number of replicas.
const PAUSED_AT: &str = "autoscaling.keda.sh/paused-replicas";
/// The annotation by which KEDA is told to leave the replicas alone.
const PAUSED: &str = "autoscaling.keda.sh/paused";

/// The autoscalers of a workload, one sentence for each. A paused ScaledObject has no HorizontalPodAutoscaler, so both
/// are looked at.
pub(super) async fn scalers(session: &Session, workload: &Place) -> anyhow::Result<Vec<String>> {
    let mut told = Vec::new();
    for resource in [horizontal(), scaled_object()] {
        let path = resource.path(Some(&workload.namespace));
        let answer = send(session, Method::GET, &path, None, &Value::Null).await?;
        match answer.code {
            // Neither is a part of every cluster.
            404 => {}
            200 => told.extend(of_list(&resource.kind, &answer.body, workload)),
            _ => told.push(format!(
                "not known to be there, as you may not list them: a {} of this workload",
                resource.kind
            )),
        }
    }
    Ok(told)
}

/// Those of a list that scale the workload.
fn of_list(kind: &str, list: &Value, workload: &Place) -> Vec<String> {
    let items = list["items"].as_array().into_iter().flatten();
    let own = items.filter(|it| is_target(&it["spec"]["scaleTargetRef"], workload));
    own.map(|it| {
        let name = it["metadata"]["name"].as_str().unwrap_or_default();
        format!("{kind} {name} scales this workload{}", paused(it))
    })
    .collect()
}

/// Whether a reference names the workload. KEDA takes a Deployment for granted; a version may be an older one.
fn is_target(reference: &Value, workload: &Place) -> bool {
    let text = |key: &str, unset: &'static str| reference[key].as_str().unwrap_or(unset).to_owned();
    let api_version = text("apiVersion", "apps/v1");
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let resource = &workload.resource;
    text("name", "") == workload.name
        && text("kind", "Deployment") == resource.kind
        && group == resource.group
}

fn paused(scaler: &Value) -> String {
    let note = |key: &str| scaler["metadata"]["annotations"][key].as_str();
    match (note(PAUSED_AT), note(PAUSED)) {
        (Some(replicas), _) => format!(", and is paused at {replicas} replicas"),
        (None, Some("true")) => ", and is paused".to_owned(),
        _ => String::new(),
    }
}

fn horizontal() -> Resource {
    resource(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    )
}

fn scaled_object() -> Resource {
    resource("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects")
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> Resource {
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_those_of_the_workload_are_named_and_paused_ones_say_so() {
        let workload = Place {
            resource: resource("apps", "v1", "Deployment", "deployments"),
            namespace: "n".to_owned(),
            name: "w".to_owned(),
        };
        let scaler = |name: &str, annotations: Value, target: Value| json!({"metadata": {"name": name, "annotations": annotations}, "spec": {"scaleTargetRef": target}});
        let list = json!({"items": [
            scaler("a", Value::Null, json!({"name": "w"})),
            scaler("b", json!({PAUSED_AT: "0"}), json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "w"})),
            scaler("c", json!({PAUSED: "true"}), json!({"kind": "Deployment", "name": "w"})),
            scaler("other", Value::Null, json!({"name": "x"})),
            scaler("kind", Value::Null, json!({"kind": "StatefulSet", "name": "w"})),
            scaler("group", Value::Null, json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Deployment", "name": "w"})),
        ]});
        assert_eq!(
            of_list("ScaledObject", &list, &workload),
            [
                "ScaledObject a scales this workload",
                "ScaledObject b scales this workload, and is paused at 0 replicas",
                "ScaledObject c scales this workload, and is paused",
            ]
        );
    }
}
