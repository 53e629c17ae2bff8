//! Where values are hidden, and how an output says so. Pure.

use super::{Manifest, REDACTED_FIELD};
use crate::redact::Names;
use crate::revision::Revision;
use crate::text::visible_line;
use crate::view::judged;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// How every marker of a hidden value begins.
const MARK: &str = "[redacted";
/// The fields by which Kubernetes knows the type of an object.
const TYPE: [&str; 2] = ["apiVersion", "kind"];
/// Where the snapshot of a Revision stands.
const SNAPSHOT: &str = "/spec/snapshot";

/// The notice that values are hidden, and the command that shows them.
pub(super) struct Notice {
    values: usize,
    command: String,
}

impl Notice {
    /// None when nothing is hidden. `command` is one of the plugin, which shows the same.
    pub(super) fn new(values: usize, command: &str) -> Option<Self> {
        (values > 0).then(|| Self {
            values,
            command: format!("kubectl revisor {command} --show-secrets"),
        })
    }

    fn message(&self) -> String {
        let Self { values, command } = self;
        let hidden = match values {
            1 => "1 value that looks secret is hidden".to_owned(),
            _ => format!("{values} values that look secret are hidden"),
        };
        format!("{hidden}; to show secrets: {command}")
    }

    /// A comment of YAML, and a line that programs skip before a diff.
    pub(super) fn comment(&self) -> String {
        comment(&self.message())
    }

    /// A field of JSON.
    pub(super) fn field(&self) -> Value {
        json!({ "values": self.values, "message": self.message() })
    }

    /// An object of Kubernetes without its type, which stands in the field that tells of hidden values.
    pub(super) fn object(&self, object: &Value) -> Value {
        let (mut fields, named) = without_type(object);
        let mut redacted = self.field();
        for (name, value) in named {
            redacted[name] = json!(value);
        }
        fields[REDACTED_FIELD] = redacted;
        fields
    }
}

/// The fields of an object without its type, and its type.
pub(super) fn without_type(object: &Value) -> (Value, Vec<(&'static str, &str)>) {
    let named = TYPE
        .into_iter()
        .filter_map(|name| Some((name, object.get(name)?.as_str()?)))
        .collect();
    let fields: Map<_, _> = object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !TYPE.contains(&name.as_str()))
        .map(|(name, field)| (name.clone(), field.clone()))
        .collect();
    (Value::Object(fields), named)
}

/// A text as one line of a comment.
pub(super) fn comment(text: &str) -> String {
    format!("# {}\n", visible_line(text))
}

/// Whether a text has the marker of a hidden value in it.
pub(super) fn is_marked(text: &str) -> bool {
    text.contains(MARK)
}

/// The workload of a Revision, as arguments of the plugin. The uid tells it from others that had its name.
pub(super) fn target(revision: &Revision) -> String {
    let workload = &revision.spec.workload;
    let mut target = format!("{}/{}", workload.kind.to_lowercase(), workload.name);
    if let Some(namespace) = &revision.metadata.namespace {
        target.push_str(" --namespace=");
        target.push_str(namespace);
    }
    format!("{target} --uid={}", workload.uid)
}

/// Where values of the whole object are hidden, as JSON pointers.
pub(super) fn paths(whole: &Value, shown: &Value) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    collect(whole, shown, &mut String::new(), &mut paths);
    paths
}

fn collect(whole: &Value, shown: &Value, path: &mut String, paths: &mut BTreeSet<String>) {
    let length = path.len();
    match (whole, shown) {
        (Value::Object(whole), Value::Object(shown)) => {
            for (key, shown) in shown {
                if let Some(whole) = whole.get(key) {
                    path.push('/');
                    path.push_str(key);
                    collect(whole, shown, path, paths);
                    path.truncate(length);
                }
            }
        }
        (Value::Array(whole), Value::Array(shown)) => {
            for (at, (whole, shown)) in whole.iter().zip(shown).enumerate() {
                path.push('/');
                path.push_str(&at.to_string());
                collect(whole, shown, path, paths);
                path.truncate(length);
            }
        }
        (whole, Value::String(text)) if whole != shown && is_marked(text) => {
            paths.insert(path.clone());
        }
        _ => {}
    }
}

/// A Revision as JSON without secrets. A snapshot that holds one, or that cannot be read, is left out.
pub(super) fn revision(revision: &Revision, names: &Names) -> Result<Value, serde_json::Error> {
    let (whole, data) = without_data(revision)?;
    let (mut shown, _) = without_data(&judged(revision, names))?;
    names.object(&mut shown);
    let in_snapshot = secrets_of_snapshot(revision, names);
    if let (0, Some(data), Some(snapshot)) = (in_snapshot, data, shown.pointer_mut(SNAPSHOT)) {
        snapshot["data"] = data;
    }
    let values = in_snapshot + paths(&whole, &shown).len();
    let command = format!("history {} --output=json", target(revision));
    match Notice::new(values, &command) {
        Some(notice) => Ok(notice.object(&shown)),
        None => Ok(shown),
    }
}

/// A Revision as JSON without the data of its snapshot, and these. They are judged as an object, not as a text.
fn without_data(revision: &Revision) -> Result<(Value, Option<Value>), serde_json::Error> {
    let mut object = serde_json::to_value(revision)?;
    let snapshot = object.pointer_mut(SNAPSHOT).and_then(Value::as_object_mut);
    let data = snapshot.and_then(|snapshot| snapshot.remove("data"));
    Ok((object, data))
}

fn secrets_of_snapshot(revision: &Revision, names: &Names) -> usize {
    let is_stored = (revision.spec.snapshot.as_ref()).is_some_and(|stored| stored.data.is_some());
    match Manifest::read(revision) {
        _ if !is_stored => 0,
        Ok(mut manifest) => {
            manifest.hide(names);
            manifest.hidden()
        }
        Err(_) => 1,
    }
}
