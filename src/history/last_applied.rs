//! kubectl's copy of the last manifest that was applied, after a rollback. Pure.
//!
//! The next `kubectl apply` compares its file with this copy, and with the object. Untouched, the copy makes it keep what
//! the rollback brought back. As a whole old snapshot, it makes it remove what the file never had, replicas among it. So
//! the changes of the rollback are made in the copy too, by name.

use super::delta::{Change, make};
use super::noise::LAST_APPLIED;
use serde_json::Value;

/// The API server takes so many bytes of annotations, keys and values.
const MAX_ANNOTATIONS: usize = 262_144;

/// What becomes of the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The object has none: it was not written by client-side apply.
    None,
    /// It says the same afterwards.
    Same,
    /// The new text.
    Changed(String),
    /// It cannot be changed, for this reason, and `kubectl apply` will go by the old one.
    Left(&'static str),
}

/// The copy after these changes of the live object.
pub fn after(live: &Value, changes: &[Change]) -> Copied {
    let annotations = live["metadata"]["annotations"].as_object();
    let Some(text) = annotations.and_then(|all| all.get(LAST_APPLIED)?.as_str()) else {
        return Copied::None;
    };
    let Ok(mut copy) = serde_json::from_str::<Value>(text) else {
        return Copied::Left("it is not JSON");
    };
    // Every change is made, also after one that the copy already has.
    let made = changes
        .iter()
        .filter(|change| make(change, &mut copy))
        .count();
    if made == 0 {
        return Copied::Same;
    }
    let changed = format!("{copy}\n");
    let others = annotations
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != LAST_APPLIED);
    let size: usize = others
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if size + LAST_APPLIED.len() + changed.len() > MAX_ANNOTATIONS {
        return Copied::Left("annotations would be longer than 262144 bytes");
    }
    Copied::Changed(changed)
}

#[cfg(test)]
mod tests {
    use super::super::delta::changes;
    use super::*;
    use serde_json::json;

    fn live(copy: &Value, more: usize) -> Value {
        json!({"metadata": {"annotations": {LAST_APPLIED: copy.to_string(), "more": "x".repeat(more)}}})
    }

    #[test]
    fn the_copy_gets_the_changes_of_the_rollback_and_nothing_else() {
        let spec = |image: &str, env: &str, more: Value| json!({"spec": {"replicas": 7, "template": {"containers": [{"name": "m", "image": image, "policy": "Always", "env": [{"name": env}]}, more]}}});
        let now = spec("m:2", "B", json!({"name": "new"}));
        let then = spec("m:1", "A", json!({"name": "old", "policy": "Always"}));
        let copy = json!({"kind": "Deployment", "spec": {"template": {"containers": [{"name": "m", "image": "m:2", "env": [{"name": "B"}]}, {"name": "new"}]}}});
        let expected = json!({"kind": "Deployment", "spec": {"template": {"containers": [{"name": "m", "image": "m:1", "env": [{"name": "A"}]}, {"name": "old", "policy": "Always"}]}}});
        let Copied::Changed(text) = after(&live(&copy, 0), &changes(&now, &then)) else {
            panic!("changed");
        };
        assert_eq!(
            serde_json::from_str::<Value>(&text).expect("JSON"),
            expected
        );
    }

    #[test]
    fn a_copy_that_is_missing_equal_damaged_or_too_long_stays() {
        let one = changes(&json!({"spec": {"a": 1}}), &json!({"spec": {"a": 2}}));
        assert_eq!(after(&json!({"metadata": {}}), &one), Copied::None);
        assert_eq!(
            after(&live(&json!({"spec": {"b": 1}}), 0), &one),
            Copied::Same
        );
        let damaged = json!({"metadata": {"annotations": {LAST_APPLIED: "{"}}});
        assert_eq!(after(&damaged, &one), Copied::Left("it is not JSON"));
        let has = json!({"spec": {"a": 1}});
        assert!(matches!(after(&live(&has, 1000), &one), Copied::Changed(_)));
        assert!(matches!(
            after(&live(&has, MAX_ANNOTATIONS), &one),
            Copied::Left(_)
        ));
    }
}
