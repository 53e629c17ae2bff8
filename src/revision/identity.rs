//! Names, ids and digests of Revisions. These formats never change: stored history depends on them.

use super::{Gap, Revision};
use crate::text::prefix;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The namespace of all Revision ids (a random UUID, drawn once).
const NAMESPACE: Uuid = Uuid::from_u128(0x9f3c_1e6a_52d7_4b0e_8a41_c07d_25be_7713);

/// A workload's name is cut to this many characters in the names of its Revisions.
const NAME_CUT: usize = 40;

/// Bytes of the hash of a uid in a name.
const SHORT: usize = 4;

/// Bytes of it in the name of a Revision whose short name is taken.
const LONG: usize = 8;

/// The id of the Revision of one generation: UUIDv5 of `<uid>/<generation>`.
pub fn id(workload: Uuid, generation: i64) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{workload}/{generation}").as_bytes())
}

/// The id of the Gap that stands for generations `from` to `to`: UUIDv5 of `<uid>/<from>-<to>`.
pub fn gap_id(workload: Uuid, from: i64, to: i64) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{workload}/{from}-{to}").as_bytes())
}

/// `<name cut to 40>-<8 hex of sha256(uid)>-<generation, at least 5 digits>`.
pub fn name(workload_name: &str, workload: Uuid, generation: i64) -> String {
    format!("{}-{generation:05}", base(workload_name, workload, SHORT))
}

/// `<base>-gap-<from>-<to>`, with the base of [`name`].
pub fn gap_name(workload_name: &str, workload: Uuid, from: i64, to: i64) -> String {
    let base = base(workload_name, workload, SHORT);
    format!("{base}-gap-{from:05}-{to:05}")
}

/// [`name`] with 16 hex digits: the name of a Revision when another workload's Revision has the short one.
pub fn long_name(workload_name: &str, workload: Uuid, generation: i64) -> String {
    format!("{}-{generation:05}", base(workload_name, workload, LONG))
}

/// [`gap_name`] with 16 hex digits.
pub fn long_gap_name(workload_name: &str, workload: Uuid, from: i64, to: i64) -> String {
    let base = base(workload_name, workload, LONG);
    format!("{base}-gap-{from:05}-{to:05}")
}

/// The name with 16 hex digits in place of one with 8, of a Revision or a Gap of `workload`; none when it has not 8.
pub fn lengthened(name: &str, workload: Uuid) -> Option<String> {
    let short = format!("-{}-", hash(workload, SHORT));
    let at = name.rfind(&short)?;
    let rest = &name[at + short.len()..];
    let long = hash(workload, LONG);
    Some(format!("{}-{long}-{rest}", &name[..at]))
}

/// Whether `revision` is the name of that Revision, in the short form or the long one.
pub fn is_name_of(revision: &str, workload_name: &str, workload: Uuid, generation: i64) -> bool {
    revision == name(workload_name, workload, generation)
        || revision == long_name(workload_name, workload, generation)
}

/// Whether `revision` is the name of that Gap, in the short form or the long one.
pub fn is_name_of_gap(
    revision: &str,
    workload_name: &str,
    workload: Uuid,
    (from, to): (i64, i64),
) -> bool {
    revision == gap_name(workload_name, workload, from, to)
        || revision == long_gap_name(workload_name, workload, from, to)
}

/// Whether name and id follow from the workload and the generation; otherwise it is none of the workload's Revisions.
pub fn is_named_after_workload(revision: &Revision) -> bool {
    let spec = &revision.spec;
    let uid = spec.workload.uid;
    let workload = spec.workload.name.as_str();
    let name = revision.metadata.name.as_deref().unwrap_or_default();
    match spec.gap {
        Some(Gap { from, to, .. }) => {
            spec.id == gap_id(uid, from, to) && is_name_of_gap(name, workload, uid, (from, to))
        }
        None => {
            spec.id == id(uid, spec.generation) && is_name_of(name, workload, uid, spec.generation)
        }
    }
}

fn base(workload_name: &str, workload: Uuid, bytes: usize) -> String {
    let kept = prefix(workload_name, NAME_CUT).trim_matches(['.', '-']);
    format!("{kept}-{}", hash(workload, bytes))
}

/// The first bytes of the hash of a uid, two digits each.
fn hash(workload: Uuid, bytes: usize) -> String {
    let hash = Sha256::digest(workload.to_string().as_bytes());
    hex(&hash[..bytes])
}

/// The SHA-256 of a workload's canonical content (see [`crate::content`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContentDigest([u8; 32]);

impl ContentDigest {
    /// Digest of `v1\n` followed by the canonical JSON of `.spec` as served.
    pub fn of_canonical_spec(spec: &[u8]) -> Self {
        Self::of(b"v1\n", spec)
    }

    /// Digest of `v1\nfields\n` followed by the canonical JSON of the content of an object without `.spec`. No JSON
    /// begins with `fields`, so that no spec has the digest of such an object.
    pub fn of_canonical_fields(fields: &[u8]) -> Self {
        Self::of(b"v1\nfields\n", fields)
    }

    fn of(version: &[u8], text: &[u8]) -> Self {
        Self(
            Sha256::new()
                .chain_update(version)
                .chain_update(text)
                .finalize()
                .into(),
        )
    }

    /// Reads what [`std::fmt::Display`] writes: `sha256:<64 hex>`.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text
            .strip_prefix("sha256:")
            .filter(|h| h.len() == 64 && h.is_ascii())?;
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", hex(&self.0))
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

/// Appends two lower-case digits for each byte.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    text.extend(
        bytes
            .iter()
            .flat_map(|byte| [hex_digit(byte >> 4), hex_digit(byte & 15)]),
    );
}

fn hex_digit(nibble: u8) -> char {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    char::from(DIGITS[usize::from(nibble)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UID: Uuid = Uuid::from_u128(0x1234_5678_9abc_def0_1122_3344_5566_7788);

    #[test]
    fn formats_are_pinned() {
        assert_eq!(
            id(UID, 7).to_string(),
            "64ed8fd9-624f-5d18-8b8f-1a4a44794e9e"
        );
        assert_eq!(
            gap_id(UID, 3, 4).to_string(),
            "ea65ec50-e733-56bc-a2ea-1b2022818fd9"
        );
        assert_eq!(name("llama-70b", UID, 7), "llama-70b-cce6a69c-00007");
        assert_eq!(
            gap_name("llama-70b", UID, 3, 4),
            "llama-70b-cce6a69c-gap-00003-00004"
        );
        assert_eq!(name("x", UID, 1_234_567), "x-cce6a69c-1234567");
        assert_eq!(
            long_name("llama-70b", UID, 7),
            "llama-70b-cce6a69ce8015bde-00007"
        );
        assert_eq!(
            long_gap_name("llama-70b", UID, 3, 4),
            "llama-70b-cce6a69ce8015bde-gap-00003-00004"
        );
        assert_eq!(
            ContentDigest::of_canonical_spec(b"{}").to_string(),
            "sha256:fb367f591ca61e8e67fb21c87ccaf605ab9d223d89c9e5fbfaec34fc8ab90d40"
        );
    }

    #[test]
    fn a_name_cut_at_a_dot_or_dash_is_trimmed() {
        let long = format!("{}.-{}", "a".repeat(39), "b".repeat(200));
        assert!(name(&long, UID, 1).starts_with(&format!("{}-", "a".repeat(39))));
    }

    proptest! {
        #[test]
        fn names_are_valid_and_digests_are_read_back(
            workload in "[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?){0,3}", generation in 1..i64::MAX, spec: Vec<u8>, uid: u128
        ) {
            let name = name(&workload, Uuid::from_u128(uid), generation);
            prop_assert!(name.len() <= 70 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c)));
            prop_assert!(name.split('.').all(|part| !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')), "{}", name);
            let uid = Uuid::from_u128(uid);
            prop_assert_eq!(lengthened(&name, uid), Some(long_name(&workload, uid, generation)));
            prop_assert_eq!(lengthened(&long_name(&workload, uid, generation), uid), None);
            let gap = gap_name(&workload, uid, generation, generation);
            prop_assert_eq!(lengthened(&gap, uid), Some(long_gap_name(&workload, uid, generation, generation)));
            let digest = ContentDigest::of_canonical_spec(&spec);
            prop_assert_eq!(ContentDigest::parse(&digest.to_string()), Some(digest));
        }
    }
}
