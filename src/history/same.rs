//! Which Revisions hold the same: their contents in one normal form, which leaves out what takes no effect. Pure.

pub use crate::view::normal::{Normal, normal, same_amount};

use crate::json::Document;
use crate::kinds::Kind;
use crate::revision::Revision;
use crate::snapshot;
use std::collections::HashMap;

/// The relation of a Revision to older ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Relation {
    /// It differs from the one before in words only. A view that stores the digest says so in its summary already.
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
            no_effect: normal.replicas.is_some() && before == Some(normal),
            same_as: older.filter(|_| !is_like_before),
        });
        before = Some(normal);
    }
    all
}

/// The normal form of the content of a Revision, by the digest in its view, or of the snapshot, which takes the time to
/// unpack it; none when the view has no digest and the snapshot cannot be read.
pub fn known_normal_of(kind: Option<&Kind>, revision: &Revision) -> Option<Normal> {
    let stored = revision.spec.view.as_ref().and_then(Normal::stored);
    stored.or_else(|| normal_of(kind, revision))
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
            (scaled.digest, scaled.replicas.as_deref()),
            (plain.digest, Some("7"))
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
                    replicas: Some(replicas.to_owned()),
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

    #[test]
    fn a_stored_digest_is_taken_and_an_older_view_leads_to_the_snapshot() {
        let spec = json!({"replicas": 2, "template": {"spec": {"containers": [{"name": "m", "image": "m:1"}]}}});
        let mut revision = of(1, &spec);
        let read = normal_of(None, &revision).expect("content");
        assert_eq!(known_normal_of(None, &revision).as_ref(), Some(&read));
        let view = |digest: &str| json!({"version": 1, "summary": "", "normalDigest": digest});
        revision.spec.view = serde_json::from_value(view(&read.text())).expect("a view");
        revision.spec.snapshot = None;
        let stored = known_normal_of(None, &revision).expect("a digest");
        assert_eq!((stored.digest, stored.replicas), (read.digest, None));
        for damaged in ["", "sha256:", "sha256:00", "md5:00"] {
            revision.spec.view = serde_json::from_value(view(damaged)).expect("a view");
            assert_eq!(known_normal_of(None, &revision), None, "{damaged}");
        }
    }
}
