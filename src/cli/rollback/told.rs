//! What a person is told before a rollback: which fields keep their values, what the API server makes of the old content,
//! and what lingers. Pure.

use super::plan::Plan;
use crate::history::delta::{Change, changes};
use crate::history::kept::content;
use crate::history::last_applied::Copied;
use crate::history::managed::MANAGER;
use serde_json::Value;

/// More fields are not named one by one.
const MAX_NAMED: usize = 8;

/// What a plan means beside its difference.
pub(super) fn of_plan(plan: &Plan, live: &Value) -> Vec<String> {
    let mut told = Vec::new();
    for kept in &plan.kept {
        let owners = if kept.owners.is_empty() {
            String::new()
        } else {
            format!(", owned by {}", kept.owners.join(" and "))
        };
        told.push(format!(
            "{} stays {} (the revision has {}{owners}); --restore-replicas takes the old value",
            kept.path,
            kept.live,
            if kept.old.is_null() {
                "none".to_owned()
            } else {
                kept.old.to_string()
            },
        ));
    }
    if plan.is_restart_only() {
        told.push(
            "this only undoes a restart: all pods start once more, and nothing else changes"
                .to_owned(),
        );
    }
    if let Copied::Left(why) = plan.copied {
        told.push(format!(
            "the last-applied-configuration stays as it is ({why}): the next `kubectl apply` keeps what this rollback brings back"
        ));
    }
    told.extend(lingering(&plan.desired));
    told.extend(appliers(live));
    told
}

/// Parts of the old content that hold a rollout back, or send traffic elsewhere.
fn lingering(desired: &Value) -> Vec<String> {
    let at = |pointer: &str| desired.pointer(pointer).filter(|value| !value.is_null());
    let number = |pointer: &str| {
        at(pointer)
            .and_then(Value::as_i64)
            .filter(|number| *number > 0)
    };
    let mut told = Vec::new();
    for component in ["predictor", "transformer", "explainer"] {
        let pointer = format!("/spec/{component}/canaryTrafficPercent");
        if let Some(percent) = at(&pointer) {
            told.push(format!(
                "spec.{component}.canaryTrafficPercent is {percent} in the revision: only that part of the traffic goes to it"
            ));
        }
    }
    for pointer in [
        "/spec/updateStrategy/rollingUpdate/partition",
        "/spec/rolloutStrategy/rollingUpdateConfiguration/partition",
    ] {
        if let Some(partition) = number(pointer) {
            let path = pointer.trim_start_matches('/').replace('/', ".");
            told.push(format!(
                "{path} is {partition} in the revision: replicas below it are not updated"
            ));
        }
    }
    if at("/spec/paused").is_some_and(|paused| *paused == Value::Bool(true)) {
        told.push(
            "spec.paused is true in the revision: nothing is rolled out until it is resumed"
                .to_owned(),
        );
    }
    let pinned = at("/spec/traffic")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for name in pinned.filter_map(|it| it["revisionName"].as_str()) {
        told.push(format!(
            "spec.traffic of the revision is pinned to {name}, which may be gone"
        ));
    }
    if at("/spec/template/metadata/name").is_some() {
        told.push("spec.template.metadata.name is set in the revision: Knative refuses another content under a name that exists".to_owned());
    }
    told
}

/// Tools that apply the workload on the server and are no delivery tool with marks.
fn appliers(live: &Value) -> Vec<String> {
    let entries = live
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let applies = entries
        .into_iter()
        .flatten()
        .filter(|it| it["operation"] == "Apply");
    let names = applies
        .filter_map(|it| it["manager"].as_str())
        .filter(|it| *it != MANAGER);
    let told = |name: &str| {
        let tool = if name == "helm" {
            "`helm upgrade`".to_owned()
        } else {
            format!("apply of {name}")
        };
        format!(
            "the next {tool} conflicts on the fields that this rollback changes, or takes them back when it forces"
        )
    };
    names.map(told).collect()
}

/// What the API server makes of the wanted content, by its answer to the dry run.
pub(super) fn of_answer(desired: &Value, answer: &Value) -> Vec<String> {
    let [wanted, stored] = [desired, answer].map(|it| Value::Object(content(it)));
    let all = changes(&wanted, &stored);
    let named = |verb: &str, paths: Vec<String>| {
        if paths.is_empty() {
            return None;
        }
        let more = paths.len().saturating_sub(MAX_NAMED);
        let shown = paths[..paths.len() - more].join(", ");
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        Some(format!("{verb}: {shown}{more}"))
    };
    let dropped = all
        .iter()
        .filter(|it| it.to.is_none())
        .map(Change::place)
        .collect();
    let added = all
        .iter()
        .filter(|it| it.from.is_none())
        .map(Change::place)
        .collect();
    let changed = all.iter().filter(|it| it.from.is_some() && it.to.is_some());
    let changed = changed.map(Change::place).collect();
    [
        named(
            "the API server drops fields that the definition does not have any more",
            dropped,
        ),
        named("the definition or a webhook fills in", added),
        named("the definition or a webhook changes", changed),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Why the API server refuses the write, from the fields that it names.
pub(super) fn refusal(message: &str, causes: &[(String, String)]) -> String {
    if causes.is_empty() {
        return crate::text::cut(message, 1000).into_owned();
    }
    let explained = |(field, why): &(String, String)| {
        let fixed = ["immutable", "may not change", "updates to"];
        // The API server prints whole objects in some of its reasons.
        let why = if fixed.iter().any(|words| why.contains(words)) {
            "cannot be changed; it takes a deletion and `kubectl revisor rollback` of the deleted workload, and pods stop"
        } else {
            crate::text::prefix(why, 300)
        };
        format!("\n  {field}: {why}")
    };
    causes.iter().map(explained).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Catalogue;
    use serde_json::json;

    #[test]
    fn kept_fields_are_named_with_their_owners_and_lingering_ones_are_warned_of() {
        let live = json!({"kind": "StatefulSet", "spec": {"replicas": 7, "image": "2"}, "metadata": {"uid": "u", "managedFields": [
            {"manager": "hpa", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "helm", "operation": "Apply", "fieldsV1": {}}]}});
        let old = json!({"spec": {"replicas": 3, "paused": true, "updateStrategy": {"rollingUpdate": {"partition": 2}}}});
        let catalogue = Catalogue::built_in();
        let kind = catalogue.kinds().iter().find(|it| it.kind == "StatefulSet");
        let plan = Plan::new(kind.map(AsRef::as_ref), &live, &old, true);
        let told = of_plan(&plan, &live);
        for (at, words) in [
            "spec.replicas stays 7 (the revision has 3, owned by hpa (/scale)); --restore-replicas takes the old value",
            "spec.updateStrategy.rollingUpdate.partition is 2",
            "spec.paused is true",
            "the next `helm upgrade` conflicts",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(told[at].starts_with(words), "{told:?}");
        }
        assert!(lingering(&json!({"spec": {"predictor": {"canaryTrafficPercent": 20}, "traffic": [{"revisionName": "x-1"}]}})).len() == 2);
        assert!(
            lingering(&json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}}))
                .is_empty()
        );
    }

    #[test]
    fn the_answer_of_the_dry_run_tells_what_is_dropped_filled_in_and_changed() {
        let told = of_answer(
            &json!({"spec": {"old": 1, "a": 1}}),
            &json!({"spec": {"a": 2, "new": 3}, "status": {}}),
        );
        assert_eq!(
            told,
            [
                "the API server drops fields that the definition does not have any more: spec.old",
                "the definition or a webhook fills in: spec.new",
                "the definition or a webhook changes: spec.a",
            ]
        );
        assert!(of_answer(&json!({"spec": {}}), &json!({"spec": {}})).is_empty());
    }

    #[test]
    fn a_refusal_names_fields_and_not_whole_objects() {
        let dump = format!(
            "Forbidden: updates to statefulset spec for fields {}",
            "x".repeat(900)
        );
        let text = refusal(
            &dump,
            &[
                ("spec.selector".to_owned(), "field is immutable".to_owned()),
                ("spec".to_owned(), dump.clone()),
                ("spec.size".to_owned(), "must be 1".to_owned()),
            ],
        );
        assert!(
            text.contains("\n  spec.selector: cannot be changed")
                && text.ends_with("\n  spec.size: must be 1"),
            "{text}"
        );
        assert!(text.len() < 500, "{text}");
        assert_eq!(refusal("a policy said no", &[]), "a policy said no");
    }
}
