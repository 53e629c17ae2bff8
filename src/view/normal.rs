//! The normal form of a content, in which other words for the same are the same. Pure.
//!
//! In the normal form there are no nulls and no empty maps and lists below an object, resource quantities are
//! canonical, and the replicas stand apart: an autoscaler or a person may have changed them since.

use crate::content;
use crate::json::{Value, write_string};
use crate::kinds::{Absent, Kind, Path};
use crate::quantity::Quantity;
use crate::revision::View;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write;

/// Below this depth values are compared as they were served.
const MAX_DEPTH: usize = 96;
/// The keys whose values are maps of quantities.
const QUANTITIES: [&str; 3] = ["limits", "requests", "overhead"];
/// The step of a path to an item of a list.
const ITEM: &str = "[]";

/// The content of a workload in its normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normal {
    /// SHA-256 of the normal form without replicas.
    pub digest: [u8; 32],
    /// The replicas, in the order of the kind file; none where only the digest is stored.
    pub replicas: Option<String>,
}

impl Normal {
    /// The normal form of the content of a view; none for views of versions that store no digest.
    pub fn stored(view: &View) -> Option<Self> {
        Some(Self {
            digest: bytes(&view.normal_digest)?,
            replicas: None,
        })
    }

    /// The digest as a view has it: `sha256:…`.
    pub fn text(&self) -> String {
        let mut text = "sha256:".to_owned();
        for byte in self.digest {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

/// The beginning of a digest: enough to tell the contents of one workload apart.
pub type NormalKey = [u8; 16];

/// The beginning of a digest that a view has.
pub fn key(text: &str) -> Option<NormalKey> {
    bytes(text)
}

/// The first bytes of a digest that a view has.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.strip_prefix("sha256:")?;
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The newest generation of each content of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewestSame(HashMap<NormalKey, i64>);

impl NewestSame {
    /// The newest older generation with the content of a view; the view's own becomes the newest. Generations come in
    /// ascending order.
    pub fn note(&mut self, generation: i64, view: &View) -> Option<i64> {
        self.0.insert(key(&view.normal_digest)?, generation)
    }
}

impl FromIterator<(i64, NormalKey)> for NewestSame {
    fn from_iter<I: IntoIterator<Item = (i64, NormalKey)>>(all: I) -> Self {
        let mut newest = HashMap::new();
        for (generation, key) in all {
            let known = newest.entry(key).or_insert(generation);
            *known = generation.max(*known);
        }
        Self(newest)
    }
}

/// The normal form of a whole object.
pub fn normal(kind: Option<&Kind>, object: Value<'_>) -> Normal {
    let replicas = kind.map_or(&[][..], |kind| &kind.replicas);
    let mut form = NormalForm {
        replicas,
        absent: kind.map_or(&[][..], |kind| &kind.absent),
        path: Vec::new(),
        out: Vec::new(),
    };
    for (name, field) in content::fields(object) {
        form.field(name, field, false);
    }
    let replicas: Vec<_> = replicas
        .iter()
        .map(|path| path.find(object).map_or_else(String::new, Value::canonical))
        .collect();
    Normal {
        digest: Sha256::digest(&form.out).into(),
        replicas: Some(replicas.join(",")),
    }
}

struct NormalForm<'k, 'd> {
    replicas: &'k [Path],
    /// Values that mean the same as none.
    absent: &'k [Absent],
    path: Vec<&'d str>,
    out: Vec<u8>,
}

impl<'d> NormalForm<'_, 'd> {
    /// Writes a field, unless it is empty.
    fn field(&mut self, name: &'d str, value: Value<'d>, is_quantity: bool) {
        self.path.push(name);
        if !self.is_skipped(value) {
            let start = self.out.len();
            write_string(name, &mut self.out);
            self.out.push(b':');
            if !self.value(value, is_quantity) {
                self.out.truncate(start);
            }
        }
        self.path.pop();
    }

    fn is_skipped(&self, value: Value<'d>) -> bool {
        let is_here = |path: &Path| path.keys() == self.path;
        let means_nothing =
            |absent: &Absent| is_here(&absent.path) && value.canonical() == absent.when;
        self.replicas.iter().any(is_here) || self.absent.iter().any(means_nothing)
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
                self.path.push(ITEM);
                self.value(item, false);
                self.path.pop();
                self.out.push(b',');
            }
            self.out.push(b']');
            return !value.is_empty();
        }
        let holds = self.path.last().is_some_and(|key| holds_quantities(key));
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
        match quantity(value).filter(|_| is_quantity) {
            Some(quantity) => write_string(&quantity.canonical(), &mut self.out),
            None => value.write_canonical(&mut self.out),
        }
    }
}

/// Whether the values below this key are quantities.
pub(super) fn holds_quantities(key: &str) -> bool {
    QUANTITIES.contains(&key)
}

/// The quantity in a text or a number.
pub(super) fn quantity(value: Value<'_>) -> Option<Quantity> {
    Quantity::parse(value.as_str().or_else(|| value.as_number())?)
}

/// Whether a field with this value means the same as no field.
pub(super) fn is_nothing(value: Value<'_>) -> bool {
    is_nothing_within(value, MAX_DEPTH)
}

fn is_nothing_within(value: Value<'_>, depth: usize) -> bool {
    if value.is_array() {
        return value.is_empty();
    }
    if value.is_object() && depth > 0 {
        return value
            .entries()
            .all(|(_, field)| is_nothing_within(field, depth - 1));
    }
    value.is_null()
}

/// Whether two quantities, as texts or numbers, are the same amount.
pub fn same_amount(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    let amount = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Quantity::parse(text),
        serde_json::Value::Number(number) => Quantity::parse(&number.to_string()),
        _ => None,
    };
    let [a, b] = [a, b].map(|value| amount(value).map(Quantity::canonical));
    a.is_some() && a == b
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_key_is_the_beginning_of_the_digest() {
        let normal = Normal {
            digest: [0xab; 32],
            replicas: None,
        };
        assert_eq!(normal.text(), format!("sha256:{}", "ab".repeat(32)));
        assert_eq!(key(&normal.text()), Some([0xab; 16]));
        for text in [
            "",
            "sha256:",
            "sha256:ab",
            &format!("sha256:{}", "x".repeat(64)),
        ] {
            assert_eq!(key(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_newest_older_generation_with_the_same_content_is_named(contents in proptest::collection::vec(0_u8..4, 0..40), split in 0_usize..40) {
            let view = |content: u8| View {
                normal_digest: if content == 0 { String::new() } else { format!("sha256:{}", format!("{content:02x}").repeat(32)) },
                ..View::default()
            };
            let generations = (1_i64..).zip(&contents);
            let naive = |until: i64, content: u8| {
                let older = generations.clone().filter(|(generation, other)| *generation < until && **other == content && content != 0);
                older.map(|(generation, _)| generation).max()
            };
            // A restart in between begins with what is stored.
            let stored = generations.clone().take(split).filter_map(|(generation, content)| Some((generation, key(&view(*content).normal_digest)?)));
            let mut again: NewestSame = stored.collect();
            let mut newest = NewestSame::default();
            for (generation, content) in generations.clone() {
                let found = newest.note(generation, &view(*content));
                prop_assert_eq!(found, naive(generation, *content));
                if generation > i64::try_from(split).expect("few") {
                    prop_assert_eq!(again.note(generation, &view(*content)), found);
                }
            }
        }
    }
}
