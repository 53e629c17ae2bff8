//! The rules of the definition of Revisions, as the real API server enforces them: `src/revision/schema/rules.rs`.
//!
//! In: a Revision that is created, or one before and after a change. Out: the rule that it breaks.

use serde_json::Value;

/// Parts of spec that may go when the content does.
const EXPUNGED_TOO: [&str; 2] = ["changeCause", "source"];

/// The rule that a Revision breaks that is created.
pub(super) fn misfit(object: &Value) -> Option<&'static str> {
    let spec = &object["spec"];
    let gap = spec.get("gap");
    let number = |value: &Value| value.as_i64().unwrap_or_default();
    let generation = number(&spec["generation"]);
    let is_gap = spec["type"] == "Gap";
    if generation < 1 {
        Some("spec.generation: Invalid value: should be greater than or equal to 1")
    } else if is_gap != gap.is_some() {
        Some("spec: Invalid value: spec.gap is of type Gap only, and a Gap has one")
    } else if is_gap && spec.get("snapshot").is_some() {
        Some("spec: Invalid value: a Gap has no spec.snapshot")
    } else if gap.is_some_and(|gap| {
        let (from, to) = (number(&gap["from"]), number(&gap["to"]));
        from < 1 || from > to || to != generation
    }) {
        Some(
            "spec: Invalid value: spec.gap.from is not above spec.gap.to, which is spec.generation",
        )
    } else if is_half_expunged(spec) {
        Some("spec: Invalid value: spec.expunged is set only where spec.snapshot.data is taken out")
    } else {
        None
    }
}

/// Whether a change of a Revision touches nothing but its view and its status, or takes its content out.
pub(super) fn is_allowed(old: &Value, new: &Value) -> bool {
    let expunges = old["spec"].get("expunged").is_none() && new["spec"].get("expunged").is_some();
    let rest = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(spec) = spec.as_object_mut() {
            spec.remove("view");
            if expunges {
                spec.remove("expunged");
            }
        }
        spec
    };
    let (mut before, after) = (rest(old), rest(new));
    if expunges {
        take_out(&mut before, &after);
    }
    before == after && !is_half_expunged(&new["spec"])
}

/// Takes out of `before` whatever may be, and is, not in `after`.
fn take_out(before: &mut Value, after: &Value) {
    for field in EXPUNGED_TOO {
        if after.get(field).is_none() {
            before.as_object_mut().map(|spec| spec.remove(field));
        }
    }
    if after["snapshot"].get("data").is_none() {
        before["snapshot"]
            .as_object_mut()
            .map(|snapshot| snapshot.remove("data"));
    }
}

fn is_half_expunged(spec: &Value) -> bool {
    spec.get("expunged").is_some() && spec["snapshot"].get("data").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn change() -> Value {
        json!({"spec": {"type": "Change", "generation": 2, "changeCause": "why", "view": {"summary": "s"},
            "snapshot": {"size": 2, "data": "{}"}}})
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut object = change();
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        let parent = object.pointer_mut(parent).expect("a parent");
        let fields = parent.as_object_mut().expect("an object");
        if value.is_null() {
            fields.remove(field);
        } else {
            fields.insert(field.to_owned(), value);
        }
        object
    }

    #[test]
    fn a_create_has_to_fit() {
        assert_eq!(misfit(&change()), None);
        for (pointer, value) in [
            ("/spec/generation", json!(0)),
            ("/spec/type", json!("Gap")),
            ("/spec/gap", json!({"from": 1, "to": 2})),
            ("/spec/expunged", json!({})),
        ] {
            assert!(misfit(&with(pointer, value)).is_some(), "{pointer}");
        }
        let gap = |from: i64, to: i64| json!({"spec": {"type": "Gap", "generation": 4, "gap": {"from": from, "to": to}}});
        assert_eq!(misfit(&gap(4, 4)), None);
        assert!(
            [gap(5, 4), gap(0, 4), gap(3, 3)]
                .iter()
                .all(|gap| misfit(gap).is_some())
        );
    }

    #[test]
    fn the_view_changes_and_the_content_goes() {
        let old = change();
        assert!(is_allowed(&old, &with("/spec/view", Value::Null)));
        assert!(!is_allowed(&old, &with("/spec/snapshot/data", Value::Null)));
        assert!(!is_allowed(&old, &with("/spec/changeCause", Value::Null)));
        let mut expunged = with("/spec/snapshot/data", Value::Null);
        expunged["spec"]["expunged"] = json!({"by": "u"});
        assert!(is_allowed(&old, &expunged));
        assert!(!is_allowed(&expunged, &old));
        let mut more = expunged.clone();
        more["spec"]["snapshot"]["size"] = 3.into();
        assert!(!is_allowed(&old, &more));
        assert!(!is_allowed(
            &old,
            &with("/spec/expunged", json!({"by": "u"}))
        ));
    }
}
