//! Whether the content of a stored Revision is the one that its digest names. Pure.
//!
//! In: a Revision that anybody may have written. Nothing is read into a tree, so that a forged one of a few kilobytes costs
//! its reader no more than the bytes that it unpacks to.

use super::{ContentField, read};
use crate::content::NO_CONTENT;
use crate::revision::RevisionSpec;
use crate::revision::identity::ContentDigest;
use serde::Deserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// An object with more fields was forged.
const MOST_FIELDS: usize = 4096;

/// Whether a Revision says which content it has, and the data that it has is of that size and content. One without data is
/// sound: a later release may have left it out for reasons that are not known here.
pub fn is_sound(spec: &RevisionSpec) -> bool {
    let Some(snapshot) = &spec.snapshot else {
        return spec.gap.is_some() || digest_of(spec).is_some();
    };
    let Some(digest) = digest_of(spec) else {
        return false;
    };
    match read(snapshot) {
        Ok(Some(text)) => {
            i64::try_from(text.len()).is_ok_and(|size| size == snapshot.size)
                && digest_of_text(&text) == Some(digest)
        }
        Ok(None) => true,
        Err(_) => false,
    }
}

fn digest_of(spec: &RevisionSpec) -> Option<ContentDigest> {
    spec.content_digest
        .as_deref()
        .and_then(ContentDigest::parse)
}

/// The digest of the content of a snapshot's text; none when the text is no snapshot.
pub(super) fn digest_of_text(text: &str) -> Option<ContentDigest> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let Fields(fields) = deserializer.deserialize_map(FieldsVisitor).ok()?;
    deserializer.end().ok()?;
    if let Some((_, spec)) = fields.iter().find(|(name, _)| name == "spec") {
        return Some(ContentDigest::of_canonical_spec(spec.get().as_bytes()));
    }
    let content: Vec<ContentField<'_>> = fields
        .iter()
        .filter(|(name, _)| !NO_CONTENT.contains(&&**name))
        .map(|(name, value)| (&**name, value.get().as_bytes().to_vec()))
        .collect();
    Some(super::digest(&content))
}

/// The fields of an object, each once.
struct Fields<'t>(Vec<(Cow<'t, str>, &'t RawValue)>);

struct FieldsVisitor;

impl<'t> Visitor<'t> for FieldsVisitor {
    type Value = Fields<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(Cow<'t, str>, &'t RawValue)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<Name<'t>, _>()? {
            // Canonical JSON has its keys in order, so none twice.
            let is_next = fields.last().is_none_or(|(last, _)| *last < name.0);
            if !is_next || fields.len() == MOST_FIELDS {
                return Err(A::Error::custom("not canonical"));
            }
            fields.push((name.0, value));
        }
        Ok(Fields(fields))
    }
}

/// A key, which is borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gzip;
    use crate::json::Document;
    use crate::revision::{Snapshot, SnapshotEncoding};
    use crate::snapshot::{Packed, UNPACK_LIMIT, pack, stored, unpack};
    use crate::workload::Resource;
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    fn packed(json: &str) -> Packed {
        let resource = Resource {
            group: "g".into(),
            version: "v1".into(),
            kind: "Thing".into(),
            plural: "things".into(),
        };
        pack(&resource, Document::parse(json).expect("valid").root()).expect("packs")
    }

    fn spec(packed: &Packed, encoding: SnapshotEncoding) -> RevisionSpec {
        let mut spec = crate::cache::fixture(1).spec;
        spec.content_digest = Some(packed.digest.to_string());
        spec.snapshot = Some(stored(packed, encoding).expect("stored"));
        spec
    }

    fn forged(text: &str) -> Snapshot {
        let gzip = gzip::compress(text.as_bytes()).expect("compresses");
        Snapshot {
            encoding: SnapshotEncoding::GzipBase64,
            size: i64::try_from(text.len()).expect("small"),
            data: Some(BASE64_STANDARD.encode(gzip)),
            oversize: false,
        }
    }

    #[test]
    fn whatever_is_packed_is_sound() {
        for object in [
            r#"{"metadata":{"name":"n","labels":{"spec":"x"}},"spec":{"b":1.0,"a":[{"spec":1}]},"status":{}}"#,
            r#"{"metadata":{"name":"n"},"data":{"b":1},"type":"t"}"#,
            r#"{"metadata":{"name":"n"}}"#,
            r#"{"spec":null}"#,
            r#"{"spec":"text","x\u0022":1}"#,
        ] {
            for encoding in [SnapshotEncoding::GzipBase64, SnapshotEncoding::Json] {
                assert!(is_sound(&spec(&packed(object), encoding)), "{object}");
            }
        }
    }

    #[test]
    fn another_content_size_or_text_is_not() {
        let genuine = packed(r#"{"metadata":{"name":"n"},"spec":{"a":1}}"#);
        let text = unpack(&genuine.gzip).expect("unpacks");
        let spec = spec(&genuine, SnapshotEncoding::GzipBase64);
        let with = |snapshot: Snapshot| RevisionSpec {
            snapshot: Some(snapshot),
            ..spec.clone()
        };
        assert!(is_sound(&with(forged(&text))));
        for other in [
            text.replace("\"a\":1", "\"a\":2"),
            text.replace(
                "\"spec\":{\"a\":1}",
                "\"spec\":{\"a\":1},\"spec\":{\"a\":2}",
            ),
            text.replace("\"spec\":{\"a\":1}", "\"a\":1"),
            format!("{text}{text}"),
            "[]".to_owned(),
            String::new(),
        ] {
            assert!(!is_sound(&with(forged(&other))), "{other}");
        }
        let longer = Snapshot {
            size: spec.snapshot.as_ref().expect("one").size + 1,
            ..forged(&text)
        };
        assert!(!is_sound(&with(longer)));
        let digest = |digest: Option<&str>| RevisionSpec {
            content_digest: digest.map(str::to_owned),
            ..spec.clone()
        };
        assert!(!is_sound(&digest(None)) && !is_sound(&digest(Some("sha256:00"))));
        let without = Snapshot {
            data: None,
            ..forged(&text)
        };
        assert!(is_sound(&with(without)), "it may have been left out");
    }

    #[test]
    fn bombs_of_every_kind_are_looked_through() {
        let half = UNPACK_LIMIT / 2 - 100;
        let deep = format!("{{\"spec\":{}{}}}", "[".repeat(half), "]".repeat(half));
        let wide = format!("{{\"spec\":[{}0]}}", "0,".repeat(half));
        let long = format!("{{\"spec\":\"{}\"}}", "x".repeat(2 * half));
        let many = (0..100_000).map(|i| format!("\"{i:06}\":0"));
        let many = format!("{{{}}}", many.collect::<Vec<_>>().join(","));
        for bomb in [&deep, &wide, &long] {
            assert!(digest_of_text(bomb).is_some());
        }
        assert!(digest_of_text(&many).is_none());
    }

    proptest! {
        #[test]
        fn a_text_of_any_shape_is_no_panic(text in "[{}\\[\\]\",:a-z0-9\\\\]{0,60}") {
            let _ = digest_of_text(&text);
        }
    }
}
