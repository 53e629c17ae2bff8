//! The rollback as a patch for the place that a delivery tool takes the workload from. Pure.

use super::plan::Plan;
use crate::history::delta::make;
use crate::history::kept::content;
use crate::manifest::visible_yaml;
use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use similar::TextDiff;

/// A JSON merge patch, as YAML, that `kubectl patch --type=merge --patch-file` takes.
pub(super) fn merge_patch(plan: &Plan, live: &Value) -> anyhow::Result<String> {
    let [before, after] = [live, &plan.desired].map(|it| Value::Object(content(it)));
    Ok(visible_yaml(&merged(&before, &after))?)
}

/// The merge patch from one value to another (RFC 7386): lists whole, null for what goes.
fn merged(before: &Value, after: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return after.clone();
    };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        match old.get(key) {
            Some(same) if same == value => {}
            Some(other) => {
                patch.insert(key.clone(), merged(other, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

/// A unified diff of a file of manifests, which `git apply` takes: the changes of the rollback in the manifest of the
/// workload. That manifest is written anew, without its comments; others stay as they are.
pub(super) fn file_patch(path: &str, text: &str, plan: &Plan) -> anyhow::Result<String> {
    let documents = split(text);
    let at = documents
        .iter()
        .position(|document| is_meant(document, &plan.desired));
    let at = at.with_context(|| format!("{path}: has no manifest of this workload"))?;
    let mut manifest: Value =
        serde_saphyr::from_str(documents[at]).with_context(|| path.to_owned())?;
    let made = plan
        .changes
        .iter()
        .filter(|change| make(change, &mut manifest))
        .count();
    if made == 0 {
        bail!("{path}: holds none of the fields that the rollback changes");
    }
    let written = visible_yaml(&manifest)?;
    let mut all: Vec<&str> = documents.clone();
    all[at] = &written;
    let after = all.join("---\n");
    let path = path.trim_start_matches("./");
    let diff = TextDiff::from_lines(text, &after);
    let titles = [format!("a/{path}"), format!("b/{path}")];
    Ok(diff
        .unified_diff()
        .context_radius(3)
        .header(&titles[0], &titles[1])
        .to_string())
}

/// The documents of a YAML file.
fn split(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("\n---\n") {
        documents.push(&rest[..=at]);
        rest = &rest[at + 5..];
    }
    documents.push(rest);
    documents
}

fn is_meant(document: &str, workload: &Value) -> bool {
    let Ok(manifest) = serde_saphyr::from_str::<Value>(document) else {
        return false;
    };
    let namespace = manifest["metadata"].get("namespace").cloned();
    manifest["kind"] == workload["kind"]
        && manifest["metadata"]["name"] == workload["metadata"]["name"]
        && namespace.is_none_or(|it| it == workload["metadata"]["namespace"] || it == json!(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn objects(before: &Value, after: &Value) -> (Value, Plan) {
        let live = json!({"kind": "Deployment", "metadata": {"name": "x", "namespace": "n", "uid": "u"}, "spec": before});
        let plan = Plan::new(None, &live, &json!({"spec": after}), true);
        (live, plan)
    }

    #[test]
    fn the_merge_patch_makes_the_live_content_the_old_one() {
        let (live, plan) = objects(
            &json!({"a": 1, "m": {"x": 1, "y": [1]}, "gone": {}}),
            &json!({"a": 1, "m": {"x": 2, "y": [2, 3]}, "new": "1"}),
        );
        let patch: Value =
            serde_saphyr::from_str(&merge_patch(&plan, &live).expect("YAML")).expect("YAML");
        assert_eq!(
            patch,
            json!({"spec": {"m": {"x": 2, "y": [2, 3]}, "gone": null, "new": "1"}})
        );
        let mut merged = live;
        json_patch::merge(&mut merged, &patch);
        assert_eq!(merged, plan.desired);
    }

    #[test]
    fn the_diff_of_a_file_changes_the_manifest_of_the_workload_only() {
        let (_, plan) = objects(
            &json!({"image": "2", "replicas": 7, "server": 1}),
            &json!({"image": "1", "replicas": 7}),
        );
        let text = "# first\nkind: Service\nmetadata: {name: x}\n---\nkind: Deployment\nmetadata:\n  name: x\nspec:\n  image: \"2\"\n";
        let patch = file_patch("apps/x.yaml", text, &plan).expect("a diff");
        assert_eq!(
            patch,
            "--- a/apps/x.yaml\n+++ b/apps/x.yaml\n@@ -6,4 +6,4 @@\n metadata:\n   name: x\n spec:\n-  image: \"2\"\n+  image: \"1\"\n"
        );
        let error = file_patch("f", "kind: Service\n", &plan).expect_err("none");
        assert!(
            error.to_string().contains("no manifest of this workload"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn merge_patches_of_maps_give_the_wanted_content(before in "[a-d]{0,4}", after in "[a-d]{0,4}") {
            let spec = |keys: &str| Value::Object(keys.chars().enumerate().map(|(at, key)| (key.to_string(), json!({"v": at}))).collect());
            let (live, plan) = objects(&spec(&before), &spec(&after));
            let mut written = live.clone();
            let patch: Value = serde_saphyr::from_str(&merge_patch(&plan, &live).expect("YAML")).expect("YAML");
            json_patch::merge(&mut written, &patch);
            prop_assert_eq!(written, plan.desired);
        }
    }
}
