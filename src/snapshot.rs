//! A workload as canonical JSON, its digest, and the compressed form that is kept and stored. Pure.

mod sound;

pub use sound::is_sound;

use crate::content;
use crate::gzip;
use crate::json::{Value, write_string};
use crate::revision::identity::ContentDigest;
use crate::revision::{Snapshot, SnapshotEncoding};
use crate::workload::Resource;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::io;
use std::sync::Arc;

/// kubectl's copy of the whole manifest: it doubles every snapshot and outlives rotated secrets.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What a stored snapshot may unpack to. The API server takes objects of 3 MiB, so that no workload is larger; a
/// snapshot that is was forged, to fill the memory of its readers.
const UNPACK_LIMIT: usize = 4 << 20;

/// A workload as it was.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The canonical JSON, compressed by gzip.
    pub gzip: Arc<[u8]>,
    /// Length of the canonical JSON in bytes.
    pub size: usize,
    /// Digest of the canonical content.
    pub digest: ContentDigest,
}

/// Packs one whole object of `resource`.
///
/// # Errors
/// Never in practice: compression writes to memory.
pub fn pack(resource: &Resource, object: Value<'_>) -> io::Result<Packed> {
    let content: Vec<_> = content::fields(object)
        .into_iter()
        .map(|(name, value)| (name, text(value)))
        .collect();
    let json = canonical(resource, object, &content);
    let gzip = gzip::compress(&json)?.into();
    Ok(Packed {
        gzip,
        size: json.len(),
        digest: digest(&content),
    })
}

/// The canonical JSON that [`pack`] compressed.
///
/// # Errors
/// When the data is damaged or unpacks to more than 4 MiB.
pub fn unpack(gzip: &[u8]) -> io::Result<String> {
    String::from_utf8(gzip::decompress(gzip, UNPACK_LIMIT)?).map_err(io::Error::other)
}

/// The form that is stored: without data, and marked as oversize, where it would not be read again.
///
/// # Errors
/// When `packed` is damaged.
pub fn stored(packed: &Packed, encoding: SnapshotEncoding) -> io::Result<Snapshot> {
    let is_oversize = packed.size > UNPACK_LIMIT;
    let data = match encoding {
        _ if is_oversize => None,
        SnapshotEncoding::GzipBase64 => Some(BASE64_STANDARD.encode(&packed.gzip)),
        SnapshotEncoding::Json => Some(unpack(&packed.gzip)?),
    };
    let size = i64::try_from(packed.size).unwrap_or(i64::MAX);
    Ok(Snapshot {
        encoding,
        size,
        data,
        oversize: is_oversize,
    })
}

/// The compressed form of a stored snapshot; none when its data was left out.
///
/// # Errors
/// When the data is not base64.
pub fn compressed(stored: &Snapshot) -> io::Result<Option<Arc<[u8]>>> {
    let Some(data) = &stored.data else {
        return Ok(None);
    };
    let gzip = match stored.encoding {
        SnapshotEncoding::GzipBase64 => BASE64_STANDARD.decode(data).map_err(io::Error::other)?,
        SnapshotEncoding::Json => gzip::compress(data.as_bytes())?,
    };
    Ok(Some(gzip.into()))
}

/// The workload as canonical JSON, from a stored snapshot.
///
/// # Errors
/// When the data is damaged.
pub fn read(stored: &Snapshot) -> io::Result<Option<String>> {
    match (&stored.data, stored.encoding) {
        (Some(data), SnapshotEncoding::Json) => Ok(Some(data.clone())),
        _ => compressed(stored)?.map(|gzip| unpack(&gzip)).transpose(),
    }
}

/// A field of the content, and its canonical JSON.
type ContentField<'d> = (&'d str, Vec<u8>);

fn text(value: Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value.write_canonical(&mut out);
    out
}

fn digest(content: &[ContentField<'_>]) -> ContentDigest {
    match content {
        [] => ContentDigest::of_canonical_spec(b"null"),
        [(name, text)] if *name == "spec" => ContentDigest::of_canonical_spec(text),
        fields => {
            let mut json = Vec::new();
            let fields = fields.iter().map(|(name, text)| (*name, text.as_slice()));
            write_object(fields, &mut json);
            ContentDigest::of_canonical_fields(&json)
        }
    }
}

/// apiVersion, kind, name, namespace, labels, annotations and the content: what its user wrote, keys in canonical
/// order.
fn canonical(resource: &Resource, object: Value<'_>, content: &[ContentField<'_>]) -> Vec<u8> {
    let mut api_version = Vec::new();
    write_string(&resource.api_version(), &mut api_version);
    let mut kind = Vec::new();
    write_string(&resource.kind, &mut kind);
    let metadata = metadata(object);
    let mut fields = vec![
        ("apiVersion", api_version.as_slice()),
        ("kind", kind.as_slice()),
        ("metadata", metadata.as_slice()),
    ];
    fields.extend(content.iter().map(|(name, text)| (*name, text.as_slice())));
    fields.sort_unstable_by_key(|(name, _)| *name);
    let size: usize = fields
        .iter()
        .map(|(name, text)| name.len() + text.len())
        .sum();
    let mut out = Vec::with_capacity(size + 8 * fields.len());
    write_object(fields, &mut out);
    out
}

/// Name, namespace, labels and annotations.
fn metadata(object: Value<'_>) -> Vec<u8> {
    let mut out = vec![b'{'];
    let mut comma = false;
    if let Some(annotations) = object.at(&["metadata", "annotations"]) {
        comma = write_annotations(annotations, &mut out);
    }
    for name in ["labels", "name", "namespace"] {
        if let Some(value) = object.at(&["metadata", name]) {
            write_field(comma, name, value, &mut out);
            comma = true;
        }
    }
    out.push(b'}');
    out
}

/// Writes an object whose fields are given as JSON, in canonical order.
fn write_object<'a>(fields: impl IntoIterator<Item = (&'a str, &'a [u8])>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, (name, text)) in fields.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        out.extend_from_slice(text);
    }
    out.push(b'}');
}

/// Writes the annotations but [`LAST_APPLIED`]; false when there are none.
fn write_annotations(annotations: Value<'_>, out: &mut Vec<u8>) -> bool {
    let mut kept = annotations
        .entries()
        .filter(|(key, _)| *key != LAST_APPLIED)
        .peekable();
    if kept.peek().is_none() {
        return false;
    }
    out.extend_from_slice(b"\"annotations\":{");
    for (i, (key, value)) in kept.enumerate() {
        write_field(i > 0, key, value, out);
    }
    out.push(b'}');
    true
}

fn write_field(comma: bool, key: &str, value: Value<'_>, out: &mut Vec<u8>) {
    if comma {
        out.push(b',');
    }
    write_string(key, out);
    out.push(b':');
    value.write_canonical(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;

    fn resource() -> Resource {
        Resource {
            group: "g.h".into(),
            version: "v1".into(),
            kind: "Thing".into(),
            plural: "things".into(),
        }
    }

    fn packed(json: &str) -> Packed {
        pack(&resource(), Document::parse(json).expect("valid").root()).expect("packs")
    }

    #[test]
    fn a_snapshot_is_what_the_user_wrote() {
        let packed = packed(
            r#"{"metadata":{"uid":"u","name":"n","namespace":"ns","labels":{"b":"2","a":"1"},"managedFields":[],
            "annotations":{"z":"1","kubectl.kubernetes.io/last-applied-configuration":"{}"}},"spec":{"b":1.0,"a":[]},"status":{}}"#,
        );
        let expected = r#"{"apiVersion":"g.h/v1","kind":"Thing","metadata":{"annotations":{"z":"1"},"labels":{"a":"1","b":"2"},"name":"n","namespace":"ns"},"spec":{"a":[],"b":1.0}}"#;
        assert_eq!(unpack(&packed.gzip).expect("unpacks"), expected);
        assert_eq!(packed.size, expected.len());
        assert_eq!(
            packed.digest,
            ContentDigest::of_canonical_spec(br#"{"a":[],"b":1.0}"#)
        );
    }

    #[test]
    fn without_a_spec_everything_else_that_its_user_wrote_is_kept() {
        let packed = packed(
            r#"{"type":"t","apiVersion":"g.h/v0","kind":"Thing","metadata":{"uid":"u","name":"n"},"data":{"b":1.0,"a":null},"aaa":1,"status":{"c":2}}"#,
        );
        let expected = r#"{"aaa":1,"apiVersion":"g.h/v1","data":{"a":null,"b":1.0},"kind":"Thing","metadata":{"name":"n"},"type":"t"}"#;
        assert_eq!(unpack(&packed.gzip).expect("unpacks"), expected);
        assert_eq!(
            packed.digest,
            ContentDigest::of_canonical_fields(
                br#"{"aaa":1,"data":{"a":null,"b":1.0},"type":"t"}"#
            )
        );
    }

    #[test]
    fn every_content_has_a_digest_of_its_own() {
        let all = [
            r#"{"spec":{"data":1}}"#,
            r#"{"data":1}"#,
            r#"{"data":2}"#,
            r#"{"data":1,"other":1}"#,
            r#"{"spec":null}"#,
        ];
        for (i, one) in all.iter().enumerate() {
            for other in &all[i + 1..] {
                let digests = [packed(one).digest, packed(other).digest];
                assert_ne!(digests[0], digests[1], "{one} {other}");
            }
        }
    }

    #[test]
    fn both_encodings_read_back() {
        let packed = packed(r#"{"spec":"not an object"}"#);
        for encoding in [SnapshotEncoding::GzipBase64, SnapshotEncoding::Json] {
            let stored = stored(&packed, encoding).expect("stored");
            let text =
                r#"{"apiVersion":"g.h/v1","kind":"Thing","metadata":{},"spec":"not an object"}"#;
            assert_eq!(read(&stored).expect("reads").as_deref(), Some(text));
            let gzip = compressed(&stored).expect("compresses").expect("has data");
            assert_eq!(unpack(&gzip).expect("unpacks"), text);
        }
    }

    #[test]
    fn a_missing_spec_and_damage_are_no_panic() {
        assert_eq!(
            packed("{}").digest,
            ContentDigest::of_canonical_spec(b"null")
        );
        assert!(unpack(b"junk").is_err());
        let bad = Snapshot {
            encoding: SnapshotEncoding::GzipBase64,
            size: 1,
            data: Some("!".into()),
            oversize: false,
        };
        assert!(read(&bad).is_err());
    }

    #[test]
    fn a_forged_snapshot_does_not_fill_the_memory_of_its_reader() {
        let text = "[],".repeat(UNPACK_LIMIT / 3 + 1);
        let bomb = gzip::compress(text.as_bytes()).expect("compresses");
        assert!(bomb.len() < 20_000, "{}", bomb.len());
        let error = unpack(&bomb).expect_err("too large");
        assert!(error.to_string().contains("at most"), "{error}");
    }

    #[test]
    fn a_workload_that_would_not_be_read_again_is_stored_without_data() {
        let long = format!(r#"{{"spec":"{}"}}"#, "x".repeat(UNPACK_LIMIT));
        let stored = stored(&packed(&long), SnapshotEncoding::GzipBase64).expect("stored");
        assert!(stored.oversize && stored.data.is_none());
        assert!(stored.size > i64::try_from(UNPACK_LIMIT).expect("small"));
    }
}
