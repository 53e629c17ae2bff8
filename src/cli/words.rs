//! Workloads and revisions as people write them: `isvc/llama`, `isvc llama 7`, `llama -1`, `-f FILE`. Pure.

use crate::history::Which;
use anyhow::{Context, bail};
use serde::Deserialize;

/// A workload that was named, and revisions of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spoken {
    /// The type, in any of its names; none when only a name was given.
    pub(super) kind: Option<String>,
    /// metadata.name.
    pub(super) name: String,
    /// The namespace, where a file gives one.
    pub(super) namespace: Option<String>,
    /// The revisions, in the order in which they were named.
    pub(super) revisions: Vec<Which>,
}

/// The word that may be a type or the name of a workload: only a look into the cluster tells.
pub(super) fn unclear(words: &[String]) -> Option<&str> {
    let [first, second, ..] = words else {
        return None;
    };
    let is_open = !first.contains('/') && !second.contains('/') && !Which::is_certain(second);
    (is_open && !Which::is_certain(first)).then_some(first)
}

/// The workloads and revisions among the words. `first_is_type` says what the unclear word is.
pub(super) fn read(words: &[String], first_is_type: bool) -> anyhow::Result<Vec<Spoken>> {
    let mut all: Vec<Spoken> = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if let Some((kind, name)) = word.split_once('/') {
            if kind.is_empty() || name.is_empty() || name.contains('/') {
                bail!("{word:?} is not TYPE/NAME, such as inferenceservice/llama-70b");
            }
            all.push(spoken(Some(kind), name));
        } else if all.is_empty() && first_is_type {
            let name = rest.next().context("a name is missing after the type")?;
            all.push(spoken(Some(word), name));
        } else if let Some(last) = all.last_mut() {
            let which = word
                .parse()
                .map_err(|error: String| anyhow::anyhow!(error))?;
            last.revisions.push(which);
        } else {
            all.push(spoken(None, word));
        }
    }
    Ok(all)
}

fn spoken(kind: Option<&str>, name: &str) -> Spoken {
    Spoken {
        kind: kind.map(str::to_owned),
        name: name.to_owned(),
        namespace: None,
        revisions: Vec::new(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    api_version: String,
    kind: String,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
}

/// The workload of a manifest, which stands in a file alone.
pub(super) fn of_manifest(file: &str, text: &str) -> anyhow::Result<Spoken> {
    let all: Vec<Manifest> = serde_saphyr::from_multiple(text).map_err(|error| {
        anyhow::anyhow!(
            "{file}: holds no manifest with kind and metadata.name: {}",
            crate::json::without_value(&error)
        )
    })?;
    let [one] = all.as_slice() else {
        bail!(
            "{file}: holds {} manifests, and one is needed: name the workload as TYPE/NAME",
            all.len()
        );
    };
    let group = one
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    let dot = if group.is_empty() { "" } else { "." };
    Ok(Spoken {
        kind: Some(format!("{}{dot}{group}", one.kind.to_lowercase())),
        name: one.metadata.name.clone(),
        namespace: one.metadata.namespace.clone(),
        revisions: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn shown(text: &str, first_is_type: bool) -> Result<String, String> {
        let all = read(&words(text), first_is_type).map_err(|error| error.to_string())?;
        let one = |it: &Spoken| {
            let revisions: Vec<_> = it.revisions.iter().map(ToString::to_string).collect();
            format!(
                "{}|{}|{}",
                it.kind.as_deref().unwrap_or("-"),
                it.name,
                revisions.join(" ")
            )
        };
        Ok(all.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn every_way_to_name_a_workload_is_understood() {
        for (text, first_is_type, expected) in [
            ("isvc/llama", false, "isvc|llama|"),
            ("isvc/llama 7 -1", false, "isvc|llama|7 -1"),
            ("isvc llama", true, "isvc|llama|"),
            ("isvc llama 7", true, "isvc|llama|7"),
            ("llama", false, "-|llama|"),
            ("llama last-good", false, "-|llama|last-good"),
            ("llama @2h abcd", false, "-|llama|@2h abcd"),
            ("deploy/a 3 deploy/b", false, "deploy|a|3, deploy|b|"),
        ] {
            assert_eq!(
                shown(text, first_is_type).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
        for (text, why) in [
            ("isvc/", "is not TYPE/NAME"),
            ("/x", "is not TYPE/NAME"),
            ("a/b/c", "is not TYPE/NAME"),
            ("llama wrong!", "is no revision"),
        ] {
            let error = shown(text, false).expect_err(text);
            assert!(error.contains(why), "{error}");
        }
        assert!(
            shown("isvc", true)
                .expect_err("no name")
                .contains("name is missing")
        );
    }

    #[test]
    fn only_two_bare_words_are_unclear() {
        for (text, expected) in [
            ("isvc llama", Some("isvc")),
            ("llama abcd", Some("llama")),
            ("llama", None),
            ("llama 7", None),
            ("llama @2h", None),
            ("isvc/llama abcd", None),
            ("a isvc/b", None),
        ] {
            assert_eq!(unclear(&words(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_manifest_names_its_workload() {
        let text =
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, namespace: n}\nspec: {}\n";
        let found = of_manifest("f", text).expect("one");
        assert_eq!(
            (found.kind.as_deref(), found.namespace.as_deref()),
            (Some("deployment.apps"), Some("n"))
        );
        for (text, why) in [
            ("kind: X\n", "no manifest"),
            (
                "---\nkind: A\nmetadata: {name: a}\n---\nkind: B\nmetadata: {name: b}\n",
                "holds 2 manifests",
            ),
        ] {
            let error = of_manifest("f", text).expect_err(text).to_string();
            assert!(error.starts_with("f: ") && error.contains(why), "{error}");
        }
    }
}
