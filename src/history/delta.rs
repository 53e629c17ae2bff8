//! Changes between two values by name: a field by its keys, an item of a list by its own name, so that they can be made
//! in another copy of the object too. Pure.
//!
//! [`crate::view::diff`] finds the changes that a Revision tells; these hold whole values, and can be carried out.

use serde_json::{Map, Value};
use std::fmt;

/// The fields by which items of a list are told apart, by preference.
const KEYS: [&str; 2] = ["name", "mountPath"];

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key of an object.
    Key(String),
    /// An item of a list, by a field and its value.
    Item(&'static str, String),
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Where.
    pub path: Vec<Step>,
    /// The value before; none when the field was added.
    pub from: Option<Value>,
    /// The value after; none when the field was removed.
    pub to: Option<Value>,
}

impl Change {
    /// The path as people write it: `spec.template.spec.containers[vllm].image`.
    pub fn place(&self) -> String {
        place(&self.path)
    }
}

/// A path as people write it.
pub fn place(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            Step::Item(_, name) => {
                text.push('[');
                text.push_str(name);
                text.push(']');
            }
        }
    }
    text
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match (&self.from, &self.to) {
            (None, _) => "+",
            (_, None) => "-",
            _ => "",
        };
        write!(f, "{mark}{}", self.place())
    }
}

/// The changes from one value to another, both at the root of an object. The order of a list whose items have names is
/// no change.
pub fn changes(from: &Value, to: &Value) -> Vec<Change> {
    let mut all = Vec::new();
    collect(&mut Vec::new(), from, to, &mut all);
    all
}

fn collect(path: &mut Vec<Step>, from: &Value, to: &Value, all: &mut Vec<Change>) {
    if from == to {
        return;
    }
    match (from, to) {
        (Value::Object(old), Value::Object(new)) => fields(path, old, new, all),
        (Value::Array(old), Value::Array(new)) => {
            match key_of(old).filter(|key| key_of(new) == Some(*key)) {
                Some(key) if !old.is_empty() && !new.is_empty() => {
                    items(path, key, [old, new], all);
                }
                _ => all.push(change(path, Some(from), Some(to))),
            }
        }
        _ => all.push(change(path, Some(from), Some(to))),
    }
}

fn change(path: &[Step], from: Option<&Value>, to: Option<&Value>) -> Change {
    Change {
        path: path.to_vec(),
        from: from.cloned(),
        to: to.cloned(),
    }
}

fn fields(
    path: &mut Vec<Step>,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    all: &mut Vec<Change>,
) {
    let mut keys: Vec<_> = old.keys().chain(new.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        path.push(Step::Key(key.clone()));
        side_by_side(path, old.get(key), new.get(key), all);
        path.pop();
    }
}

fn items(
    path: &mut Vec<Step>,
    key: &'static str,
    [old, new]: [&[Value]; 2],
    all: &mut Vec<Change>,
) {
    let mut names: Vec<_> = old.iter().filter_map(|item| name(item, key)).collect();
    for item in new.iter().filter_map(|item| name(item, key)) {
        if !names.contains(&item) {
            names.push(item);
        }
    }
    for item in names {
        path.push(Step::Item(key, item.to_owned()));
        side_by_side(
            path,
            item_named(old, key, item),
            item_named(new, key, item),
            all,
        );
        path.pop();
    }
}

fn side_by_side(
    path: &mut Vec<Step>,
    old: Option<&Value>,
    new: Option<&Value>,
    all: &mut Vec<Change>,
) {
    match (old, new) {
        (Some(old), Some(new)) => collect(path, old, new, all),
        (old, new) => all.push(change(path, old, new)),
    }
}

/// The field that tells the items of a list apart; none when there is none.
pub(crate) fn key_of(list: &[Value]) -> Option<&'static str> {
    KEYS.into_iter().find(|key| {
        let mut names: Vec<_> = list.iter().filter_map(|item| name(item, key)).collect();
        let all = names.len() == list.len();
        names.sort_unstable();
        names.dedup();
        all && names.len() == list.len()
    })
}

pub(crate) fn name<'v>(item: &'v Value, key: &str) -> Option<&'v str> {
    item.get(key)?.as_str()
}

pub(crate) fn item_named<'v>(list: &'v [Value], key: &str, wanted: &str) -> Option<&'v Value> {
    list.iter().find(|item| name(item, key) == Some(wanted))
}

/// Makes a change in another copy of the object, as far as that has the field: what is not there is neither changed nor
/// removed, and nothing is added to an item that is not there. Whether the copy changed.
pub fn make(change: &Change, copy: &mut Value) -> bool {
    let Some((last, parents)) = change.path.split_last() else {
        return false;
    };
    let Some(parent) = walk(copy, parents, last, change.is_added()) else {
        return false;
    };
    match (last, parent) {
        (Step::Key(key), Value::Object(fields)) => put_field(change, fields, key),
        (Step::Item(key, name), Value::Array(list)) => put_item(change, list, key, name),
        _ => false,
    }
}

impl Change {
    fn is_added(&self) -> bool {
        self.from.is_none()
    }
}

/// The value at a path; maps, and the list at its end, are made where something is added.
fn walk<'v>(
    copy: &'v mut Value,
    parents: &[Step],
    last: &Step,
    makes: bool,
) -> Option<&'v mut Value> {
    let mut at = copy;
    for (number, step) in parents.iter().enumerate() {
        let next = parents.get(number + 1).unwrap_or(last);
        at = match step {
            Step::Key(key) => {
                let fields = at.as_object_mut()?;
                let is_made = makes && !fields.contains_key(key);
                if is_made && matches!(next, Step::Item(..)) && number + 1 < parents.len() {
                    return None;
                }
                if is_made {
                    fields.insert(key.clone(), empty_for(next));
                }
                fields.get_mut(key)?
            }
            Step::Item(key, wanted) => at
                .as_array_mut()?
                .iter_mut()
                .find(|item| name(item, key) == Some(wanted))?,
        };
    }
    Some(at)
}

fn empty_for(next: &Step) -> Value {
    match next {
        Step::Key(_) => Value::Object(Map::new()),
        Step::Item(..) => Value::Array(Vec::new()),
    }
}

fn put_field(change: &Change, fields: &mut Map<String, Value>, key: &str) -> bool {
    match &change.to {
        None => fields.remove(key).is_some(),
        Some(_) if !change.is_added() && !fields.contains_key(key) => false,
        Some(value) => fields.insert(key.to_owned(), value.clone()).as_ref() != Some(value),
    }
}

fn put_item(change: &Change, list: &mut Vec<Value>, key: &str, wanted: &str) -> bool {
    let at = list.iter().position(|item| name(item, key) == Some(wanted));
    match (at, &change.to) {
        (Some(at), None) => {
            list.remove(at);
            true
        }
        (Some(at), Some(value)) => std::mem::replace(&mut list[at], value.clone()) != *value,
        (None, Some(value)) if change.is_added() => {
            list.push(value.clone());
            true
        }
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn shown(from: &Value, to: &Value) -> Vec<String> {
        changes(from, to).iter().map(Change::to_string).collect()
    }

    #[test]
    fn fields_and_named_items_are_told_apart() {
        let from = json!({"a": 1, "c": [{"name": "x", "env": [{"name": "A"}]}, {"name": "y"}], "l": [1, 2]});
        let to = json!({"b": 1, "c": [{"name": "z"}, {"name": "x", "env": [{"name": "A", "value": "1"}]}], "l": [2]});
        assert_eq!(
            shown(&from, &to),
            ["-a", "+b", "+c[x].env[A].value", "-c[y]", "+c[z]", "l"]
        );
        let swapped = json!({"c": [{"name": "y"}, {"name": "x"}]});
        let plain = json!({"c": [{"name": "x"}, {"name": "y"}]});
        assert!(shown(&plain, &swapped).is_empty());
    }

    #[test]
    fn a_copy_is_changed_only_where_it_has_the_field() {
        let from = json!({"c": [{"name": "x", "image": "1"}, {"name": "side", "env": [{"name": "S", "value": "1"}]}], "n": {"foreign": "1"}});
        let to = json!({"c": [{"name": "x", "image": "2"}, {"name": "old"},
            {"name": "side", "env": [{"name": "S", "value": "1"}, {"name": "T"}]}], "n": {"foreign": "1", "pool": "a"}, "r": 3});
        let mut copy = json!({"c": [{"name": "x", "image": "1"}]});
        let made: Vec<_> = changes(&from, &to)
            .iter()
            .map(|it| make(it, &mut copy))
            .collect();
        let expected = json!({"c": [{"name": "x", "image": "2"}, {"name": "old"}], "n": {"pool": "a"}, "r": 3});
        assert_eq!(
            (copy, made.iter().filter(|made| !**made).count()),
            (expected, 1)
        );
        let back = changes(&to, &from);
        let mut without = json!({"c": [{"name": "x"}]});
        assert!(back.iter().all(|it| !make(it, &mut without)), "{back:?}");
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            (0..3).prop_map(Value::from),
            "[ab]".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let item = ("[a-c]", inner.clone())
                .prop_map(|(name, value)| json!({"name": name, "v": value}));
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::vec(item, 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// The same with every list of named items in one order.
    fn sorted(mut value: Value) -> Value {
        match &mut value {
            Value::Array(list) => {
                for item in list.iter_mut() {
                    *item = sorted(item.take());
                }
                if let Some(key) = key_of(list) {
                    list.sort_by_key(|item| name(item, key).map(str::to_owned));
                }
            }
            Value::Object(fields) => fields
                .values_mut()
                .for_each(|field| *field = sorted(field.take())),
            _ => {}
        }
        value
    }

    proptest! {
        #[test]
        fn the_changes_made_in_the_old_value_give_the_new_one(from in value(), to in value()) {
            let [from, to] = [from, to].map(|it| json!({"spec": it}));
            let mut copy = from.clone();
            for change in changes(&from, &to) {
                prop_assert!(make(&change, &mut copy), "{}", change);
            }
            prop_assert_eq!(sorted(copy), sorted(to));
        }
    }
}
