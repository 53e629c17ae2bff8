//! The write that brings a workload back: one JSON Patch, which is carried out only on the state that it was made for.
//! Pure.

use crate::history::delta::{Change, Step, changes};
use crate::history::kept::{Kept, content, keep_replicas};
use crate::history::last_applied::{self, Copied};
use crate::history::noise::LAST_APPLIED;
use crate::kinds::Kind;
use serde_json::{Map, Value, json};

const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// A rollback of one state of a workload to an earlier one.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The workload as it is to become.
    pub(super) desired: Value,
    /// The changes of its content.
    pub(super) changes: Vec<Change>,
    /// Fields that keep their present value.
    pub(super) kept: Vec<Kept>,
    /// What becomes of kubectl's copy of the manifest.
    pub(super) copied: Copied,
    live: Value,
}

impl Plan {
    /// Plans the way from the live object to the content of an older one.
    pub(super) fn new(kind: Option<&Kind>, live: &Value, old: &Value, keeps: bool) -> Self {
        let mut old = old.clone();
        let kept = match kind.filter(|_| keeps) {
            Some(kind) => keep_replicas(kind, live, &mut old),
            None => Vec::new(),
        };
        let mut desired = live.clone();
        let after = content(&old);
        if let Some(fields) = desired.as_object_mut() {
            let before = content(live);
            fields.retain(|name, _| !before.contains_key(name));
            fields.extend(after.clone());
        }
        let changes = changes(&Value::Object(content(live)), &Value::Object(after));
        Self {
            copied: last_applied::after(live, &changes),
            desired,
            changes,
            kept,
            live: live.clone(),
        }
    }

    /// Whether the content is the wanted one already.
    pub(super) fn is_done(&self) -> bool {
        content(&self.live) == content(&self.desired)
    }

    /// Whether all that changes is that a restart is undone: then pods start again, and nothing else comes of it.
    pub(super) fn is_restart_only(&self) -> bool {
        let is_restart = |change: &Change| {
            let in_path = matches!(change.path.last(), Some(Step::Key(key)) if key == RESTARTED_AT);
            let alone = |value: &Option<Value>| match value {
                None => true,
                Some(Value::Object(fields)) => fields.keys().all(|key| key == RESTARTED_AT),
                Some(_) => false,
            };
            let is_annotations =
                matches!(change.path.last(), Some(Step::Key(key)) if key == "annotations");
            in_path || (is_annotations && alone(&change.from) && alone(&change.to))
        };
        !self.changes.is_empty() && self.changes.iter().all(is_restart)
    }

    /// The JSON Patch. Its tests refuse it on another object, after another edit, and where kubectl's copy was written
    /// since.
    pub(super) fn patch(&self) -> Value {
        let mut operations = vec![test("/metadata/uid", &self.live["metadata"]["uid"])];
        let generation = &self.live["metadata"]["generation"];
        if !generation.is_null() {
            operations.push(test("/metadata/generation", generation));
        }
        operations.extend(replaced(&content(&self.live), &content(&self.desired)));
        if let Copied::Changed(text) = &self.copied {
            let path = format!("/metadata/annotations/{}", escaped(LAST_APPLIED));
            operations.push(test(
                &path,
                &self.live["metadata"]["annotations"][LAST_APPLIED],
            ));
            operations.push(json!({"op": "replace", "path": path, "value": text}));
        }
        Value::Array(operations)
    }
}

fn test(path: &str, value: &Value) -> Value {
    json!({"op": "test", "path": path, "value": value})
}

/// A key in a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Whole fields, so that nothing that was added since stays.
fn replaced(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Value> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let gone = gone.map(|name| json!({"op": "remove", "path": format!("/{}", escaped(name))}));
    let set = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(*value));
    let set = set.map(|(name, value)| {
        let op = if before.contains_key(name) {
            "replace"
        } else {
            "add"
        };
        json!({"op": op, "path": format!("/{}", escaped(name)), "value": value})
    });
    gone.chain(set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Catalogue;

    fn live(spec: &Value, copy: Option<&Value>) -> Value {
        let annotations =
            copy.map_or_else(|| json!({}), |copy| json!({LAST_APPLIED: copy.to_string()}));
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec, "status": {"x": 1},
            "metadata": {"name": "x", "uid": "u", "generation": 4, "annotations": annotations}})
    }

    fn plan(live: &Value, old: &Value) -> Plan {
        let catalogue = Catalogue::built_in();
        let kind = catalogue.kinds().iter().find(|it| it.kind == "Deployment");
        Plan::new(kind.map(AsRef::as_ref), live, old, true)
    }

    #[test]
    fn the_patch_is_carried_out_only_on_the_state_that_it_was_made_for() {
        let copy = json!({"spec": {"image": "2"}});
        let live = live(
            &json!({"replicas": 7, "image": "2", "added": 1}),
            Some(&copy),
        );
        let plan = plan(&live, &json!({"spec": {"replicas": 3, "image": "1"}}));
        assert_eq!(plan.desired["spec"], json!({"replicas": 7, "image": "1"}));
        let patch: json_patch::Patch = serde_json::from_value(plan.patch()).expect("a patch");
        let mut written = live.clone();
        json_patch::patch(&mut written, &patch).expect("fits");
        assert_eq!(written["spec"], plan.desired["spec"]);
        assert_eq!(
            written["metadata"]["annotations"][LAST_APPLIED],
            "{\"spec\":{\"image\":\"1\"}}\n"
        );
        for path in [
            "/metadata/uid",
            "/metadata/generation",
            "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
        ] {
            let mut other = live.clone();
            *other.pointer_mut(path).expect("there") = json!("other");
            json_patch::patch(&mut other, &patch).expect_err(path);
        }
    }

    #[test]
    fn a_state_that_is_live_already_needs_no_write_and_one_without_spec_is_replaced_by_its_fields()
    {
        let spec = json!({"replicas": 7, "image": "1"});
        assert!(
            plan(
                &live(&spec, None),
                &json!({"spec": {"replicas": 1, "image": "1"}})
            )
            .is_done()
        );
        let fields = json!({"metadata": {"uid": "u"}, "data": {"a": 1}, "gone": 1});
        let plan = Plan::new(
            None,
            &fields,
            &json!({"data": {"a": 2}, "new": 1, "metadata": {"name": "no"}}),
            true,
        );
        let paths: Vec<_> = plan
            .patch()
            .as_array()
            .expect("operations")
            .iter()
            .map(|it| {
                format!(
                    "{} {}",
                    it["op"].as_str().unwrap_or_default(),
                    it["path"].as_str().unwrap_or_default()
                )
            })
            .collect();
        assert_eq!(
            paths,
            [
                "test /metadata/uid",
                "remove /gone",
                "replace /data",
                "add /new"
            ]
        );
        assert_eq!(plan.desired["metadata"], json!({"uid": "u"}));
    }

    #[test]
    fn a_restart_alone_is_told() {
        let pod = |annotations: Value| json!({"template": {"metadata": {"annotations": annotations}}, "replicas": 1});
        let restarted = live(&pod(json!({RESTARTED_AT: "2026", "a": "1"})), None);
        assert!(plan(&restarted, &json!({"spec": pod(json!({"a": "1"}))})).is_restart_only());
        assert!(!plan(&restarted, &json!({"spec": pod(json!({}))})).is_restart_only());
        let only = live(
            &json!({"template": {"metadata": {"annotations": {RESTARTED_AT: "2026"}}}}),
            None,
        );
        assert!(plan(&only, &json!({"spec": {"template": {"metadata": {}}}})).is_restart_only());
        assert!(
            !plan(
                &only,
                &json!({"spec": {"template": {"metadata": {}}, "x": 1}})
            )
            .is_restart_only()
        );
    }
}
