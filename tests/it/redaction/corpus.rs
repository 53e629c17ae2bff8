//! The corpus as it stands in `tests/redaction/`: forms of secrets, and values that are none.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// One way in which secrets stand in manifests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    pub form: String,
    /// The page that shows the form.
    pub source: String,
    /// Each is a [`Place`] whose secrets are placeholders.
    pub entries: Vec<Value>,
}

/// Values of one sort that are no secrets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub about: String,
    /// The word beside them, or in them, that names secrets elsewhere.
    pub beside: Option<String>,
    /// Each is a [`Place`].
    pub entries: Vec<Value>,
}

/// A text or a structure, and its place in a manifest.
#[derive(Deserialize, Clone, Debug)]
#[serde(untagged, deny_unknown_fields)]
pub enum Place {
    /// A variable of the main container.
    Env { env: String, value: Value },
    /// A variable of an init container.
    Init { init: String, value: Value },
    /// The command of the main container, and its arguments.
    Command {
        command: Vec<String>,
        #[serde(default)]
        args: Vec<String>,
    },
    /// The arguments of the main container.
    Args { args: Vec<String> },
    /// A script for `sh -c`.
    Shell { shell: String },
    /// An annotation of the workload.
    Annotation { annotation: String, value: String },
    /// An annotation of its pods.
    PodAnnotation { template: String, value: String },
    /// A field of a kind, by its JSON pointer.
    Field {
        of: String,
        field: String,
        value: Value,
    },
    /// Fields of the main container.
    Container { container: Value },
    /// Fields of the pod.
    Pod { pod: Value },
    /// The change cause.
    Cause { cause: String },
    /// A message of a pod or of a condition.
    Message { message: String },
}

impl Place {
    /// An entry whose placeholders are filled in.
    pub fn read(entry: &Value) -> Result<Self, String> {
        serde_json::from_value(entry.clone()).map_err(|_| format!("{entry} is in no known place"))
    }
}

/// A form of tokens: how they begin, and of which letters they are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    pub name: String,
    /// In two halves, so that no scanner takes the corpus for a leak.
    pub begins: [String; 2],
    pub alphabet: String,
    pub source: String,
}

/// The folder of the corpus.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/redaction")
}

pub fn forms() -> Vec<Form> {
    read_all("secrets")
}

pub fn groups() -> Vec<Group> {
    read_all("harmless")
}

pub fn tokens() -> Vec<Token> {
    read(&folder().join("tokens.yaml"))
}

/// Every file of the corpus, with its text.
pub fn texts() -> Vec<(PathBuf, String)> {
    let mut files = vec![folder().join("tokens.yaml")];
    for sub in ["secrets", "harmless", "cases"] {
        files.extend(listed(sub));
    }
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).expect("a file");
            (file, text)
        })
        .collect()
}

/// The files of a folder of the corpus, by name.
fn listed(sub: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join(sub)).expect("a folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

fn read_all<T: DeserializeOwned>(sub: &str) -> Vec<T> {
    listed(sub).iter().flat_map(|file| read(file)).collect()
}

fn read<T: DeserializeOwned>(file: &Path) -> Vec<T> {
    let text = fs::read_to_string(file).expect("a file");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
