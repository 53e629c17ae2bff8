//! The content that a rollback writes: the old one, with the replicas that the workload has now. Pure.

use super::delta::Step;
use super::managed;
use crate::kinds::{Kind, Path};
use serde_json::{Map, Value};

/// A field that keeps its present value.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Where.
    pub path: String,
    /// The value that stays.
    pub live: Value,
    /// The value in the old content.
    pub old: Value,
    /// The field managers that own it.
    pub owners: Vec<String>,
}

const NO_CONTENT: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// The fields that are the content of an object: `spec`, or, of an object without one, every field but its names and
/// its status.
pub fn content(object: &Value) -> Map<String, Value> {
    let fields = object.as_object().into_iter().flatten();
    let has_spec = object.get("spec").is_some();
    fields
        .filter(|(name, _)| {
            if has_spec {
                *name == "spec"
            } else {
                !NO_CONTENT.contains(&name.as_str())
            }
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Puts the live replicas into the old content of a workload of `kind`. The fields that differ, and so are kept. A
/// field that the live object does not have is not kept, and none is put where the old content has no place for it.
pub fn keep_replicas(kind: &Kind, live: &Value, old: &mut Value) -> Vec<Kept> {
    kind.replicas
        .iter()
        .filter_map(|path| keep(path, live, old))
        .collect()
}

fn keep(path: &Path, live: &Value, old: &mut Value) -> Option<Kept> {
    let now = at(path.keys(), live)?.clone();
    let (last, parents) = path.keys().split_last()?;
    let parent = parents
        .iter()
        .try_fold(&mut *old, |value, key| value.get_mut(key))?;
    let then = parent.as_object_mut()?.insert(last.clone(), now.clone());
    if then.as_ref() == Some(&now) {
        return None;
    }
    Some(Kept {
        path: path.to_string(),
        owners: managed::owners(live, &steps(path)),
        live: now,
        old: then.unwrap_or_default(),
    })
}

fn steps(path: &Path) -> Vec<Step> {
    path.keys().iter().cloned().map(Step::Key).collect()
}

fn at<'v>(keys: &[String], object: &'v Value) -> Option<&'v Value> {
    keys.iter().try_fold(object, |value, key| value.get(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Catalogue;
    use serde_json::json;

    fn kept(kind: &str, live: &Value, old: &mut Value) -> Vec<(String, Value, Value)> {
        let catalogue = Catalogue::built_in();
        let kind = catalogue
            .kinds()
            .iter()
            .find(|it| it.kind == kind)
            .expect("built in");
        let kept = keep_replicas(kind, live, old);
        kept.into_iter()
            .map(|it| (it.path, it.live, it.old))
            .collect()
    }

    #[test]
    fn replicas_stay_as_they_are_also_at_zero_and_never_go() {
        for (live, old, expected, value) in [
            (
                json!(7),
                json!({"replicas": 3}),
                vec![(json!(7), json!(3))],
                json!(7),
            ),
            (
                json!(0),
                json!({"replicas": 3}),
                vec![(json!(0), json!(3))],
                json!(0),
            ),
            (json!(7), json!({}), vec![(json!(7), Value::Null)], json!(7)),
            (json!(3), json!({"replicas": 3}), vec![], json!(3)),
        ] {
            let mut old = json!({"spec": old});
            let found = kept("Deployment", &json!({"spec": {"replicas": live}}), &mut old);
            let named: Vec<_> = expected
                .into_iter()
                .map(|(now, then)| ("spec.replicas".to_owned(), now, then))
                .collect();
            assert_eq!(found, named);
            assert_eq!(old["spec"]["replicas"], value);
        }
    }

    #[test]
    fn a_part_that_the_old_content_does_not_have_gets_no_replicas() {
        let live = json!({"spec": {"replicas": 2, "prefill": {"replicas": 4}}});
        let mut old = json!({"spec": {"replicas": 2}});
        assert_eq!(kept("LLMInferenceService", &live, &mut old), []);
        assert_eq!(old, json!({"spec": {"replicas": 2}}));
        let mut has = json!({"spec": {"replicas": 1}});
        assert_eq!(kept("Deployment", &json!({"spec": {}}), &mut has), []);
        assert_eq!(has, json!({"spec": {"replicas": 1}}));
    }

    #[test]
    fn the_content_is_the_spec_or_what_else_there_is() {
        let names = |object: Value| {
            content(&object)
                .into_iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(json!({"kind": "K", "metadata": {}, "spec": {}, "data": 1})),
            ["spec"]
        );
        assert_eq!(
            names(json!({"kind": "K", "metadata": {}, "data": 1, "status": 1})),
            ["data"]
        );
    }
}
