//! metadata.managedFields: the owners of a field, and the time at which it was last written.
//!
//! An entry names a program (its field manager), never a person. Its `time` has whole seconds and moves when the
//! entry's set of fields or one of their values changes; entries of the subresource `scale` have none. The format of
//! `fieldsV1` is that of Kubernetes' structured-merge-diff: `f:` a field, `k:` a list item by its keys, `v:` by its
//! value, `i:` by its index.

use crate::json::Value;
use crate::revision::Via;
use crate::view::diff::Segment;
use chrono::{DateTime, Utc};
use std::hash::{DefaultHasher, Hash, Hasher};

/// One entry of metadata.managedFields.
#[derive(Clone, Copy, Debug)]
pub struct ManagedFieldsEntry<'d> {
    manager: &'d str,
    operation: &'d str,
    subresource: &'d str,
    time: Option<DateTime<Utc>>,
    fields: Option<Value<'d>>,
}

/// The owner of an entry and the time at which it was last written, to find later the entries that were written since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    owner: u64,
    time: Option<DateTime<Utc>>,
}

/// The entries of one object, without those that only own status.
pub fn entries(object: Value<'_>) -> Vec<ManagedFieldsEntry<'_>> {
    let Some(list) = object.at(&["metadata", "managedFields"]) else {
        return Vec::new();
    };
    list.items()
        .map(ManagedFieldsEntry::read)
        .filter(|entry| entry.subresource != "status")
        .collect()
}

/// Fingerprints of all entries, for the decision about the next generation.
pub fn fingerprints(entries: &[ManagedFieldsEntry<'_>]) -> Vec<Fingerprint> {
    entries
        .iter()
        .map(ManagedFieldsEntry::fingerprint)
        .collect()
}

/// Whether every owner of `path` is a known autoscaler that wrote through the subresource `scale`.
pub fn autoscaled(
    entries: &[ManagedFieldsEntry<'_>],
    path: &[Segment<'_>],
    autoscalers: &[String],
) -> bool {
    let mut owners = entries
        .iter()
        .filter(|entry| entry.owns(path) == Some(path.len()))
        .peekable();
    owners.peek().is_some()
        && owners.all(|entry| {
            entry.subresource == "scale" && autoscalers.iter().any(|a| a == entry.manager)
        })
}

/// The field manager through which a change was made, and the time of its last write.
#[derive(Clone, Debug, PartialEq)]
pub struct Author {
    /// The field manager.
    pub via: Via,
    /// The time of its last write, if its entry has one.
    pub time: Option<DateTime<Utc>>,
}

/// The author of a change: the newest entry that owns one of the `present` paths, or, for a removal, the newest entry
/// that was written since `before`. A removal within the second of the last write has no known author: an entry that
/// only lost a field belongs to the program from which it was taken.
pub fn author(
    entries: &[ManagedFieldsEntry<'_>],
    before: &[Fingerprint],
    present: &[&[Segment<'_>]],
    removed: bool,
) -> Option<Author> {
    let mut authors: Vec<&ManagedFieldsEntry<'_>> = present
        .iter()
        .flat_map(|path| owners(entries, path))
        .collect();
    if removed && !before.is_empty() {
        authors.extend(
            entries
                .iter()
                .filter(|entry| !before.contains(&entry.fingerprint())),
        );
    }
    authors
        .into_iter()
        .map(ManagedFieldsEntry::author)
        .max_by_key(|author| author.time)
}

/// The entries that own `path` most exactly. The owner of only the map around a field has the same empty set there as
/// the owner of a whole list, so that counts only when no entry owns the field itself.
fn owners<'a, 'd>(
    entries: &'a [ManagedFieldsEntry<'d>],
    path: &[Segment<'_>],
) -> Vec<&'a ManagedFieldsEntry<'d>> {
    let Some(deepest) = entries.iter().filter_map(|entry| entry.owns(path)).max() else {
        return Vec::new();
    };
    entries
        .iter()
        .filter(|entry| entry.owns(path) == Some(deepest))
        .collect()
}

impl<'d> ManagedFieldsEntry<'d> {
    fn read(entry: Value<'d>) -> Self {
        Self {
            manager: text(entry, "manager"),
            operation: text(entry, "operation"),
            subresource: text(entry, "subresource"),
            time: DateTime::parse_from_rfc3339(text(entry, "time"))
                .ok()
                .map(|time| time.to_utc()),
            fields: entry.get("fieldsV1"),
        }
    }

    fn author(&self) -> Author {
        Author {
            via: Via {
                manager: self.manager.to_owned(),
                operation: self.operation.to_owned(),
                subresource: self.subresource.to_owned(),
            },
            time: self.time,
        }
    }

    fn fingerprint(&self) -> Fingerprint {
        let mut owner = DefaultHasher::new();
        (self.manager, self.operation, self.subresource).hash(&mut owner);
        Fingerprint {
            owner: owner.finish(),
            time: self.time,
        }
    }

    /// The number of segments of `path` that this entry names, when it owns the field there, a part of it, or a parent.
    fn owns(&self, path: &[Segment<'_>]) -> Option<usize> {
        let mut at = self.fields.filter(|fields| fields.is_object())?;
        for (depth, segment) in path.iter().enumerate() {
            if at.is_empty() {
                return Some(depth);
            }
            at = match segment {
                Segment::Key(key) => at.get(&format!("f:{key}")),
                Segment::Name(name) => item_named(at, name),
                Segment::Index(_) | Segment::Moved { .. } => at
                    .entries()
                    .find(|(key, _)| is_item(key))
                    .map(|(_, item)| item),
            }?;
        }
        Some(path.len())
    }
}

/// A text of an entry; empty when there is none.
fn text<'d>(entry: Value<'d>, key: &str) -> &'d str {
    entry.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is_item(key: &str) -> bool {
    ["k:", "v:", "i:"]
        .iter()
        .any(|prefix| key.starts_with(prefix))
}

fn item_named<'d>(items: Value<'d>, name: &str) -> Option<Value<'d>> {
    items
        .entries()
        .find(|(key, _)| names(key, name))
        .map(|(_, item)| item)
}

/// Whether `key` selects the list item that one of its keys calls `name`.
fn names(key: &str, name: &str) -> bool {
    key.strip_prefix("k:")
        .and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok())
        .as_ref()
        .and_then(serde_json::Value::as_object)
        .is_some_and(|keys| keys.values().any(|key| is_name(key, name)))
}

fn is_name(key: &serde_json::Value, name: &str) -> bool {
    match key {
        serde_json::Value::String(text) => text == name,
        serde_json::Value::Number(number) => number.to_string() == name,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use Segment::{Index, Key, Name};

    const OBJECT: &str = r#"{"metadata":{"managedFields":[
        {"manager":"kubectl","operation":"Apply","time":"2026-01-01T00:00:01Z","fieldsV1":{"f:spec":{"f:replicas":{},"f:template":{"f:spec":{"f:containers":{
            "k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:args":{}},"k:{\"name\":\"b\"}":{}}}}}}},
        {"manager":"kube-controller-manager","operation":"Update","subresource":"scale","time":"2026-01-01T00:00:03Z","fieldsV1":{"f:spec":{"f:replicas":{}}}},
        {"manager":"edit","operation":"Update","time":"2026-01-01T00:00:02Z","fieldsV1":{"f:spec":{"f:other":{}}}},
        {"manager":"kube-controller-manager","operation":"Update","subresource":"status","time":"2026-01-01T00:00:09Z","fieldsV1":{"f:status":{}}}]}}"#;

    fn with<T>(json: &str, f: impl FnOnce(&[ManagedFieldsEntry<'_>]) -> T) -> T {
        let document = Document::parse(json).expect("valid");
        f(&entries(document.root()))
    }

    fn manager(path: &[Segment<'_>], removed: bool, before: &[Fingerprint]) -> Option<String> {
        with(OBJECT, |entries| {
            author(entries, before, &[path], removed).map(|author| author.via.manager)
        })
    }

    #[test]
    fn the_newest_owner_of_a_changed_field_is_the_author() {
        let container = [Key("spec"), Key("template"), Key("spec"), Key("containers")];
        let within = |rest: &[Segment<'static>]| [container.as_slice(), rest].concat();
        assert_eq!(
            manager(&[Key("spec"), Key("other")], false, &[]).as_deref(),
            Some("edit")
        );
        assert_eq!(
            manager(&[Key("spec"), Key("replicas")], false, &[]).as_deref(),
            Some("kube-controller-manager")
        );
        assert_eq!(
            manager(&within(&[Name("a"), Key("args"), Index(3)]), false, &[]).as_deref(),
            Some("kubectl")
        );
        assert_eq!(
            manager(&within(&[Name("b"), Key("image")]), false, &[]).as_deref(),
            Some("kubectl")
        );
        assert_eq!(
            manager(&within(&[Name("c"), Key("image")]), false, &[]),
            None
        );
        assert_eq!(manager(&[Key("spec"), Key("unknown")], false, &[]), None);
    }

    #[test]
    fn the_owner_of_the_map_around_a_field_is_not_its_author() {
        let object = r#"{"metadata":{"managedFields":[
            {"manager":"apply","operation":"Update","time":"2026-01-01T00:00:01Z","fieldsV1":{"f:spec":{"f:limits":{}}}},
            {"manager":"edit","operation":"Update","time":"2026-01-01T00:00:01Z","fieldsV1":{"f:spec":{"f:limits":{"f:gpu":{}}}}}]}}"#;
        for (field, manager) in [("gpu", "edit"), ("cpu", "apply")] {
            let path = [Key("spec"), Key("limits"), Key(field)];
            let author = with(object, |entries| author(entries, &[], &[&path], false));
            assert_eq!(author.expect("an owner").via.manager, manager, "{field}");
        }
    }

    #[test]
    fn a_removal_was_made_by_whoever_wrote_since() {
        let changed = OBJECT.replace("00:00:02Z", "00:00:01Z");
        let before = with(&changed, fingerprints);
        assert_eq!(
            manager(&[Key("spec"), Key("gone")], true, &before).as_deref(),
            Some("edit")
        );
        let same_second = with(OBJECT, fingerprints);
        assert_eq!(
            manager(&[Key("spec"), Key("gone")], true, &same_second),
            None,
            "nobody can say"
        );
        assert_eq!(
            manager(&[Key("spec"), Key("gone")], true, &[]),
            None,
            "nothing to compare with"
        );
    }

    #[test]
    fn an_owner_without_a_time_is_named_too() {
        let untimed = OBJECT.replace(r#","time":"2026-01-01T00:00:02Z""#, "");
        let found = with(&untimed, |e| {
            author(e, &[], &[&[Key("spec"), Key("other")]], false)
        })
        .expect("an owner");
        assert_eq!((found.via.manager.as_str(), found.time), ("edit", None));
    }

    /// Whether the replicas of an object belong to an autoscaler alone.
    fn are_autoscaled(object: &str) -> bool {
        let autoscalers = ["kube-controller-manager".to_owned()];
        with(object, |entries| {
            autoscaled(entries, &[Key("spec"), Key("replicas")], &autoscalers)
        })
    }

    #[test]
    fn only_a_sole_autoscaler_counts() {
        assert!(!are_autoscaled(OBJECT), "shared with kubectl");
        let sole = OBJECT.replace(r#""f:replicas":{},"f:template""#, r#""f:template""#);
        assert!(are_autoscaled(&sole));
        assert!(!are_autoscaled(
            &sole.replace(r#""subresource":"scale","#, "")
        ));
        assert!(!are_autoscaled(
            &sole.replace("kube-controller-manager", "kubectl")
        ));
    }

    #[test]
    fn odd_shapes_own_nothing() {
        for json in [
            "{}",
            r#"{"metadata":{"managedFields":[1,{"fieldsV1":"x","time":"x"}]}}"#,
        ] {
            with(json, |entries| {
                assert!(author(entries, &[], &[&[Key("spec")]], true).is_none());
            });
        }
    }
}
