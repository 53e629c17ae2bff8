//! The manifest of a workload as it was: as JSON and as YAML, and how two of them differ; with its secrets, or without
//! them. Pure.
//!
//! A manifest without its secrets would overwrite them when it is applied. It is written so that no client of Kubernetes
//! takes it: its apiVersion and kind are no fields of it, and it tells how many values are hidden. Likewise, a JSON Patch
//! with a hidden value begins with a test that fails.

mod hidden;
mod yaml;

pub(crate) use yaml::text as visible_yaml;

use crate::history::noise;
use crate::redact::Names;
use crate::revision::Revision;
use crate::snapshot;
use crate::text::visible_json;
use hidden::Notice;
use json_patch::{PatchOperation, TestOperation};
use serde_json::Value;
use similar::TextDiff;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The field of JSON that stands for the hidden values.
pub const REDACTED_FIELD: &str = "redacted";

/// A manifest of 1.5 MB, the most that etcd stores, has 30,000 objects where each takes 50 bytes: 870,000 parts with three
/// fields in each.
const MAX_PARTS: usize = 1_000_000;
/// An object takes so much more memory than a number in a list, without its fields.
const PARTS_OF_OBJECT: usize = 17;
/// The name of a field, and its place.
const PARTS_OF_FIELD: usize = 3;

/// After so long the rest of two texts is compared more coarsely.
const COMPARING: Duration = Duration::from_secs(2);

/// Why there is no manifest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ManifestError {
    /// It is not stored.
    #[error("the content of revision {0} is not stored: {1}")]
    NotStored(i64, &'static str),
    /// The stored snapshot cannot be read.
    #[error("the content of revision {0} cannot be read: {1}")]
    Damaged(i64, String),
    /// An object that cannot be walked cannot be cleared of its secrets.
    #[error(
        "the content of revision {0} is nested too deeply for its secrets to be found; \
         only `show --output=json --show-secrets` prints it"
    )]
    TooDeep(i64),
    /// So many parts would fill the memory of their reader.
    #[error(
        "the content of revision {0} has {1} parts, more than the {MAX_PARTS} that are read; \
         only `show --output=json --show-secrets` prints it"
    )]
    TooWide(i64, usize),
    /// It cannot be written in this format.
    #[error("the content of revision {0} cannot be written: {1}")]
    Unwritable(i64, String),
}

/// The workload as it was, as the JSON that was stored.
///
/// # Errors
/// When the content is not stored, or damaged.
pub fn stored(revision: &Revision) -> Result<String, ManifestError> {
    let generation = revision.spec.generation;
    let Some(stored) = &revision.spec.snapshot else {
        return Err(ManifestError::NotStored(
            generation,
            "it stands for generations that were not seen",
        ));
    };
    match snapshot::read(stored) {
        Ok(Some(text)) => Ok(text),
        Ok(None) if revision.spec.expunged.is_some() => Err(ManifestError::NotStored(
            generation,
            "its content was expunged",
        )),
        Ok(None) => Err(ManifestError::NotStored(
            generation,
            "the workload was larger than the API server stores twice",
        )),
        Err(error) => Err(ManifestError::Damaged(generation, error.to_string())),
    }
}

/// How many values a JSON text has about, without reading it; an object and a field count as several. In memory a small value is up
/// to a hundred times as large as its text.
fn parts(text: &str) -> usize {
    let mut parts = 1;
    let mut is_within_string = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_within_string = !is_within_string,
            b'\\' if is_within_string => drop(bytes.next()),
            b'{' if !is_within_string => parts += PARTS_OF_OBJECT,
            b':' if !is_within_string => parts += PARTS_OF_FIELD,
            b',' | b'[' if !is_within_string => parts += 1,
            _ => {}
        }
    }
    parts
}

/// The manifest of a workload as it was.
#[derive(Clone, Debug)]
pub struct Manifest {
    object: Value,
    generation: i64,
    /// The workload, as arguments of the plugin.
    target: String,
    /// Where values are hidden, as JSON pointers.
    hidden: BTreeSet<String>,
}

impl Manifest {
    /// Reads the manifest that a Revision stores, with its secrets.
    ///
    /// # Errors
    /// When there is none that can be read.
    pub fn read(revision: &Revision) -> Result<Self, ManifestError> {
        let generation = revision.spec.generation;
        let text = stored(revision)?;
        let parts = parts(&text);
        if parts > MAX_PARTS {
            return Err(ManifestError::TooWide(generation, parts));
        }
        let object = serde_json::from_str(&text).map_err(|error| {
            if is_too_deep(&error) {
                ManifestError::TooDeep(generation)
            } else {
                ManifestError::Damaged(generation, error.to_string())
            }
        })?;
        Ok(Self {
            object,
            generation,
            target: hidden::target(revision),
            hidden: BTreeSet::new(),
        })
    }

    /// The manifest of a workload as it is now, of which this is a Revision.
    pub fn live(object: Value, revision: &Revision) -> Self {
        Self {
            generation: object["metadata"]["generation"]
                .as_i64()
                .unwrap_or_default(),
            object,
            target: hidden::target(revision),
            hidden: BTreeSet::new(),
        }
    }

    /// The workload.
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// The workload, to be changed.
    pub fn into_object(self) -> Value {
        self.object
    }

    /// metadata.labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.object["metadata"]["labels"]
            .as_object()
            .into_iter()
            .flatten();
        let text =
            |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        labels.filter_map(text).collect()
    }

    /// Takes out what controllers note in the metadata, and the status.
    pub fn remove_notes(&mut self) {
        noise::remove_notes(&mut self.object);
    }

    /// Takes out the names, by which two workloads always differ.
    pub fn remove_names(&mut self) {
        if let Some(metadata) = self.object["metadata"].as_object_mut() {
            metadata.remove("name");
            metadata.remove("namespace");
        }
    }

    /// Writes the later state in the words of the earlier one, where both mean the same. The lists of which only the
    /// order differs.
    pub fn align(before: &Self, after: &mut Self) -> Vec<String> {
        noise::align(&before.object, &mut after.object)
    }

    /// Hides its secrets.
    pub fn hide(&mut self, names: &Names) {
        let whole = self.object.clone();
        names.object(&mut self.object);
        self.hidden = hidden::paths(&whole, &self.object);
    }

    /// Hides the secrets of two states of a workload. The later one tells which of them changed.
    pub fn hide_both(before: &mut Self, after: &mut Self, names: &Names) {
        let old = before.object.clone();
        let new = after.object.clone();
        names.objects(&mut before.object, &mut after.object);
        before.hidden = hidden::paths(&old, &before.object);
        after.hidden = hidden::paths(&new, &after.object);
    }

    /// The number of its values that are hidden.
    pub fn hidden(&self) -> usize {
        self.hidden.len()
    }

    /// The number of values that are hidden in one or in both of two states.
    pub fn hidden_in_both(before: &Self, after: &Self) -> usize {
        before.hidden.union(&after.hidden).count()
    }

    /// YAML. It can be applied, unless a value is hidden.
    ///
    /// # Errors
    /// When it is nested too deeply for YAML.
    pub fn yaml(&self) -> Result<String, ManifestError> {
        let Some(notice) = self.notice() else {
            return self.yaml_of(&self.object);
        };
        let (fields, named) = hidden::without_type(&self.object);
        let mut text = notice.comment();
        for (name, value) in named {
            text.push_str(&hidden::comment(&format!("{name}: {value}")));
        }
        text.push_str(&self.yaml_of(&fields)?);
        Ok(text)
    }

    /// JSON in one line. It can be applied, unless a value is hidden.
    ///
    /// # Errors
    /// Never in practice: it is plain data.
    pub fn json(&self) -> Result<String, ManifestError> {
        match self.notice() {
            None => self.json_of(&self.object),
            Some(notice) => self.json_of(&notice.object(&self.object)),
        }
    }

    /// The differences of two manifests as a unified diff of their YAML under these titles; empty when they are equal.
    ///
    /// # Errors
    /// When one of them is nested too deeply for YAML.
    pub fn unified(
        before: &Self,
        after: &Self,
        titles: [&str; 2],
    ) -> Result<String, ManifestError> {
        let old = before.yaml_of(&before.object)?;
        let new = after.yaml_of(&after.object)?;
        let diff = TextDiff::configure()
            .timeout(COMPARING)
            .diff_lines(&old, &new);
        let text = diff
            .unified_diff()
            .context_radius(3)
            .header(titles[0], titles[1])
            .to_string();
        // Programs that apply a diff skip lines before its header.
        Ok(match Self::notice_of_both(before, after) {
            Some(notice) if hidden::is_marked(&text) => notice.comment() + &text,
            _ => text,
        })
    }

    /// The differences of two manifests as a JSON Patch (RFC 6902).
    ///
    /// # Errors
    /// Never in practice: it is plain data.
    pub fn patch(before: &Self, after: &Self) -> Result<String, ManifestError> {
        let mut patch = json_patch::diff(&before.object, &after.object);
        let text = after.json_of(&patch)?;
        match Self::notice_of_both(before, after) {
            Some(notice) if hidden::is_marked(&text) => {
                patch.0.insert(0, refusal(&notice));
                after.json_of(&patch)
            }
            _ => Ok(text),
        }
    }

    fn notice(&self) -> Option<Notice> {
        let show = format!("show {} --revision={}", self.target, self.generation);
        Notice::new(self.hidden(), &show)
    }

    fn notice_of_both(before: &Self, after: &Self) -> Option<Notice> {
        let [from, to] = [before.generation, after.generation];
        let diff = format!("diff {} --from={from} --to={to}", after.target);
        Notice::new(Self::hidden_in_both(before, after), &diff)
    }

    fn yaml_of(&self, value: &Value) -> Result<String, ManifestError> {
        visible_yaml(value)
            .map_err(|error| ManifestError::Unwritable(self.generation, error.to_string()))
    }

    fn json_of(&self, value: &impl serde::Serialize) -> Result<String, ManifestError> {
        match serde_json::to_string(value) {
            Ok(json) => Ok(visible_json(&json).into_owned()),
            Err(error) => Err(ManifestError::Unwritable(
                self.generation,
                error.to_string(),
            )),
        }
    }
}

/// An operation that no workload passes, so that no operation after it is carried out.
fn refusal(notice: &Notice) -> PatchOperation {
    PatchOperation::Test(TestOperation {
        path: json_patch::jsonptr::PointerBuf::from_tokens([REDACTED_FIELD]),
        value: notice.field(),
    })
}

/// `serde_json` reads 127 levels, and tells in words only that there are more.
fn is_too_deep(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("recursion limit exceeded")
}

/// Hides the secrets of a Revision as JSON: those of its snapshot with the whole snapshot. Programs read what is left as
/// before.
pub fn hide_revision(revision: &Revision, names: &Names) -> Result<Value, serde_json::Error> {
    hidden::revision(revision, names)
}

#[cfg(test)]
mod tests;
