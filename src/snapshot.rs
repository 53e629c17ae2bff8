//! A workload as canonical JSON, its digest, and the compressed form that is kept and stored. Pure.

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

/// What a stored snapshot may unpack to; the API server takes 3 MiB.
const UNPACK_LIMIT: usize = 64 << 20;

/// A workload as it was.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The canonical JSON, compressed by gzip.
    pub gzip: Arc<[u8]>,
    /// Length of the canonical JSON in bytes.
    pub size: usize,
    /// Digest of the canonical spec.
    pub digest: ContentDigest,
}

/// Packs one whole object of `resource`.
///
/// # Errors
/// Never in practice: compression writes to memory.
pub fn pack(resource: &Resource, object: Value<'_>) -> io::Result<Packed> {
    let mut spec = Vec::new();
    match object.get("spec") {
        Some(value) => value.write_canonical(&mut spec),
        None => spec.extend_from_slice(b"null"),
    }
    let json = canonical(resource, object, &spec);
    let gzip = gzip::compress(&json)?.into();
    Ok(Packed {
        gzip,
        size: json.len(),
        digest: ContentDigest::of_canonical_spec(&spec),
    })
}

/// The canonical JSON that [`pack`] compressed.
///
/// # Errors
/// When the data is damaged or unpacks to more than 64 MiB.
pub fn unpack(gzip: &[u8]) -> io::Result<String> {
    String::from_utf8(gzip::decompress(gzip, UNPACK_LIMIT)?).map_err(io::Error::other)
}

/// The form that is stored.
///
/// # Errors
/// When `packed` is damaged.
pub fn stored(packed: &Packed, encoding: SnapshotEncoding) -> io::Result<Snapshot> {
    let data = match encoding {
        SnapshotEncoding::GzipBase64 => BASE64_STANDARD.encode(&packed.gzip),
        SnapshotEncoding::Json => unpack(&packed.gzip)?,
    };
    let size = i64::try_from(packed.size).unwrap_or(i64::MAX);
    Ok(Snapshot {
        encoding,
        size,
        data: Some(data),
        oversize: false,
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

/// apiVersion, kind, name, namespace, labels, annotations and spec: what its user wrote, keys in canonical order.
fn canonical(resource: &Resource, object: Value<'_>, spec: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(spec.len() + 1024);
    out.extend_from_slice(b"{\"apiVersion\":");
    write_string(&resource.api_version(), &mut out);
    out.extend_from_slice(b",\"kind\":");
    write_string(&resource.kind, &mut out);
    out.extend_from_slice(b",\"metadata\":{");
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
    if object.get("spec").is_some() {
        out.extend_from_slice(b",\"spec\":");
        out.extend_from_slice(spec);
    }
    out.push(b'}');
    out
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
}
