//! Which Revisions hold the same: their contents in one normal form, which leaves out what takes no effect. Pure.
//!
//! In the normal form there are no nulls and no empty maps and lists below an object, resource quantities are
//! canonical, and the replicas stand apart: an autoscaler or a person may have changed them since.

use crate::content;
use crate::json::{Document, Value, write_string};
use crate::kinds::{Kind, Path};
use crate::quantity::Quantity;
use crate::revision::Revision;
use crate::snapshot;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Below this depth values are compared as they were served.
const MAX_DEPTH: usize = 96;
/// The keys whose values are maps of quantities.
const QUANTITIES: [&str; 2] = ["limits", "requests"];

/// The content of a workload in its normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normal {
    /// SHA-256 of the normal form without replicas.
    pub digest: [u8; 32],
    /// The replicas, in the order of the kind file.
    pub replicas: String,
}

/// The normal form of a whole object.
pub fn normal(kind: Option<&Kind>, object: Value<'_>) -> Normal {
    let mut form = NormalForm {
        skipped: kind.map_or_else(Vec::new, |kind| skipped(kind, object)),
        path: Vec::new(),
        out: Vec::new(),
    };
    for (name, field) in content::fields(object) {
        form.field(name, field, false);
    }
    let replicas = kind.map_or(&[][..], |kind| &kind.replicas);
    let replicas: Vec<_> = replicas
        .iter()
        .map(|path| path.find(object).map_or_else(String::new, Value::canonical))
        .collect();
    Normal {
        digest: Sha256::digest(&form.out).into(),
        replicas: replicas.join(","),
    }
}

/// The paths of replicas, and of values that mean the same as none.
fn skipped<'k>(kind: &'k Kind, object: Value<'_>) -> Vec<&'k Path> {
    let absent = kind.absent.iter().filter(|absent| {
        let value = absent.path.find(object);
        value.is_some_and(|value| value.canonical() == absent.when)
    });
    let absent = absent.map(|absent| &absent.path);
    kind.replicas.iter().chain(absent).collect()
}

struct NormalForm<'k, 'd> {
    skipped: Vec<&'k Path>,
    path: Vec<&'d str>,
    out: Vec<u8>,
}

impl<'d> NormalForm<'_, 'd> {
    /// Writes a field, unless it is empty.
    fn field(&mut self, name: &'d str, value: Value<'d>, is_quantity: bool) {
        self.path.push(name);
        let is_skipped = self.skipped.iter().any(|path| path.keys() == self.path);
        if !is_skipped {
            let start = self.out.len();
            write_string(name, &mut self.out);
            self.out.push(b':');
            if !self.value(value, is_quantity) {
                self.out.truncate(start);
            }
        }
        self.path.pop();
    }

    /// Writes a value; whether it is more than nothing.
    fn value(&mut self, value: Value<'d>, is_quantity: bool) -> bool {
        if value.is_null() {
            return false;
        }
        if value.is_scalar() || self.path.len() >= MAX_DEPTH {
            self.leaf(value, is_quantity);
            return true;
        }
        if value.is_array() {
            self.out.push(b'[');
            for item in value.items() {
                self.path.push("[]");
                self.value(item, false);
                self.path.pop();
                self.out.push(b',');
            }
            self.out.push(b']');
            return !value.is_empty();
        }
        let holds = self.path.last().is_some_and(|key| QUANTITIES.contains(key));
        self.out.push(b'{');
        let start = self.out.len();
        for (name, field) in value.entries() {
            self.field(name, field, holds);
        }
        let is_more = self.out.len() > start;
        self.out.push(b'}');
        is_more
    }

    fn leaf(&mut self, value: Value<'_>, is_quantity: bool) {
        let text = value.as_str().or_else(|| value.as_number());
        match text.filter(|_| is_quantity).and_then(Quantity::parse) {
            Some(quantity) => write_string(&quantity.to_string(), &mut self.out),
            None => value.write_canonical(&mut self.out),
        }
    }
}

/// Whether two quantities, as texts or numbers, are the same amount.
pub fn same_amount(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    let amount = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Quantity::parse(text),
        serde_json::Value::Number(number) => Quantity::parse(&number.to_string()),
        _ => None,
    };
    let [a, b] = [a, b].map(amount);
    a.is_some() && a.map(|it| it.to_string()) == b.map(|it| it.to_string())
}

/// The relation of a Revision to older ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Relation {
    /// It differs from the one before in words only.
    pub no_effect: bool,
    /// The newest older generation with the same content, apart from replicas, when that is not the one before.
    pub same_as: Option<i64>,
}

/// The relations of the Revisions of one workload, which are sorted from the oldest to the newest. One whose content is
/// not stored has none.
pub fn relations(normals: &[(i64, Option<Normal>)]) -> Vec<Relation> {
    let mut newest: HashMap<[u8; 32], i64> = HashMap::new();
    let mut before: Option<&Normal> = None;
    let mut all = Vec::with_capacity(normals.len());
    for (generation, normal) in normals {
        let Some(normal) = normal else {
            all.push(Relation::default());
            before = None;
            continue;
        };
        let is_like_before = before.is_some_and(|before| before.digest == normal.digest);
        let older = newest.insert(normal.digest, *generation);
        all.push(Relation {
            no_effect: before == Some(normal),
            same_as: older.filter(|_| !is_like_before),
        });
        before = Some(normal);
    }
    all
}

/// The normal form of the content that a Revision stores; none when it stores none that can be read.
pub fn normal_of(kind: Option<&Kind>, revision: &Revision) -> Option<Normal> {
    let text = snapshot::read(revision.spec.snapshot.as_ref()?).ok()??;
    let document = Document::parse(&text).ok()?;
    Some(normal(kind, document.root()))
}

#[cfg(test)]
mod tests {
    use super::super::sample::of;
    use super::*;
    use crate::kinds::Catalogue;
    use serde_json::json;

    fn normal_form(kind: &str, spec: &serde_json::Value) -> Normal {
        let catalogue = Catalogue::built_in();
        let kind = catalogue.kinds().iter().find(|it| it.kind == kind);
        normal_of(kind.map(AsRef::as_ref), &of(1, spec)).expect("content")
    }

    #[test]
    fn other_words_for_the_same_are_the_same() {
        let pod = |cpu: serde_json::Value, more: serde_json::Value| {
            let mut spec = json!({"replicas": 2, "template": {"spec": {"containers": [{"name": "m", "resources": {"requests": {"cpu": cpu}}}]}}});
            json_patch::merge(&mut spec, &more);
            normal_form("Deployment", &spec)
        };
        let plain = pod(json!("1000m"), json!({}));
        for other in [
            pod(json!("1"), json!({})),
            pod(
                json!(1),
                json!({"template": {"metadata": {"annotations": {}}}}),
            ),
            pod(
                json!("1000m"),
                json!({"template": {"spec": {"volumes": []}}}),
            ),
        ] {
            assert_eq!(plain, other);
        }
        let timed = json!({"template": {"metadata": {"creationTimestamp": null}, "spec": {"nodeSelector": {}}}});
        let bare = json!({"template": {"spec": {}}});
        assert_eq!(
            normal_form("Deployment", &timed),
            normal_form("Deployment", &bare)
        );
        assert_ne!(plain, pod(json!("1001m"), json!({})));
        let scaled = pod(json!("1"), json!({"replicas": 7}));
        assert_eq!(
            (scaled.digest, scaled.replicas.as_str()),
            (plain.digest, "7")
        );
        let named = |name: &str| normal_form("Deployment", &json!({"a": {"name": name}}));
        assert_ne!(named("1"), named("1.0"), "only amounts are amounts");
    }

    #[test]
    fn places_in_a_list_count_and_absent_rules_of_the_kind_do_too() {
        let list = |items: serde_json::Value| normal_form("Deployment", &json!({"l": items}));
        assert_ne!(list(json!(["a", null])), list(json!([null, "a"])));
        assert_ne!(list(json!([["a"], "b"])), list(json!([["a", "b"]])));
        let filled = json!({"image": {"tag": "1"}, "scale": {"hpa": {"maxReplicas": 0, "minReplicas": 1}}, "expose": {"ingress": {"spec": {}}}});
        let written = json!({"image": {"tag": "1"}});
        assert_eq!(
            normal_form("NIMService", &filled),
            normal_form("NIMService", &written)
        );
    }

    #[test]
    fn the_newest_older_one_with_the_same_content_is_named_but_not_the_one_before() {
        let normals = |texts: &[&str]| -> Vec<_> {
            let one = |(at, text): (usize, &&str)| {
                let (image, replicas) = text.split_once('*').unwrap_or((text, "1"));
                let normal = Normal {
                    digest: [u8::try_from(image.len()).expect("short"); 32],
                    replicas: replicas.to_owned(),
                };
                (
                    i64::try_from(at).expect("few") + 1,
                    (!image.is_empty()).then_some(normal),
                )
            };
            texts.iter().enumerate().map(one).collect()
        };
        let same = |texts: &[&str]| -> Vec<_> {
            relations(&normals(texts))
                .iter()
                .map(|it| (it.no_effect, it.same_as))
                .collect()
        };
        let nothing = (false, None);
        assert_eq!(
            same(&["a", "aa", "a"]),
            [nothing, nothing, (false, Some(1))]
        );
        assert_eq!(same(&["a*2", "a*5", "a*2"]), [nothing; 3]);
        assert_eq!(same(&["a", "a"]), [nothing, (true, None)]);
        assert_eq!(same(&["a", "aa", "a*7", "aa", "a"])[4], (false, Some(3)));
        assert_eq!(same(&["a", "", "a"]), [nothing, nothing, (false, Some(1))]);
    }
}
