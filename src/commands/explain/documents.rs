//! The manifests in what people have: files and folders, several documents, lists, the output of Helm.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Endings of files with manifests in a folder.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// One document, and where it stands.
pub(super) struct Found {
    /// The file, and the number of the document.
    pub(super) place: String,
    /// The manifest, or why there is none.
    pub(super) manifest: Result<Value, String>,
}

/// Every document of these files; of a folder those of its files, with `recursive` also below it. `-` is standard input.
pub(super) fn documents(paths: &[PathBuf], recursive: bool) -> anyhow::Result<Vec<Found>> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            let files = files(path, recursive)?;
            ensure!(!files.is_empty(), "{}: holds no manifest", path.display());
            for file in files {
                all.extend(of_text(&file.display().to_string(), &read(&file)?));
            }
        } else {
            let name = path.display().to_string();
            let found = of_text(&name, &read(path)?);
            ensure!(!found.is_empty(), "{name}: holds no manifest");
            all.extend(found);
        }
    }
    Ok(all)
}

/// The files with manifests of a folder, by name.
fn files(folder: &Path, recursive: bool) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = || folder.display().to_string();
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_dir() && recursive {
            files.extend(self::files(&path, recursive)?);
        } else if path.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).context("standard input")
    } else {
        fs::read_to_string(file).with_context(|| file.display().to_string())
    }
}

/// The documents of a text, without empty ones; the items of a list are documents of their own.
fn of_text(name: &str, text: &str) -> Vec<Found> {
    let mut all = Vec::new();
    for (number, part) in (1..).zip(parts(text)) {
        let place = format!("{name}: document {number}");
        match parse(&part) {
            Ok(Value::Null) => {}
            Ok(document) => all.extend(items(&place, document)),
            Err(error) => all.push(Found {
                place,
                manifest: Err(format!("is not YAML: {error}")),
            }),
        }
    }
    all
}

/// Each is read by itself, so that one that is none does not hide the others. Those with nothing but comments are left out,
/// and have no number.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.lines() {
        let is_end = line == "..." || line.starts_with("... ");
        if line == "---" || line.starts_with("--- ") || is_end {
            parts.push(String::new());
            continue;
        }
        if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    let is_empty = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    parts.retain(|part| !part.lines().all(is_empty));
    parts
}

fn parse(text: &str) -> Result<Value, String> {
    // Lines of a manifest may hold secrets, so the error does not show them.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

/// The items of a list; anything else is one document. An item of a typed list may leave out its own type.
fn items(place: &str, document: Value) -> Vec<Found> {
    let kind = document["kind"].as_str().unwrap_or_default();
    let listed = document["items"].as_array();
    let (Some(of), Some(items)) = (kind.strip_suffix("List"), listed) else {
        return vec![Found {
            place: place.to_owned(),
            manifest: Ok(document),
        }];
    };
    let item = |(number, item): (usize, &Value)| {
        let mut item = item.clone();
        if let (Some(fields), false) = (item.as_object_mut(), of.is_empty()) {
            let of_list = [
                ("apiVersion", document["apiVersion"].clone()),
                ("kind", of.into()),
            ];
            for (key, value) in of_list {
                fields.entry(key).or_insert(value);
            }
        }
        Found {
            place: format!("{place}, item {number}"),
            manifest: Ok(item),
        }
    };
    (1..).zip(items).map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let shown = |found: Found| match found.manifest {
            Ok(manifest) => format!(
                "{}: {}",
                found.place,
                manifest["kind"].as_str().unwrap_or("-")
            ),
            Err(error) => format!(
                "{}: {}",
                found.place,
                error.split(':').next().unwrap_or_default()
            ),
        };
        of_text("f", text).into_iter().map(shown).collect()
    }

    #[test]
    fn documents_lists_and_the_output_of_helm_are_taken_apart() {
        for (text, expected) in [
            (
                "kind: A\n---\n# Source: x\n---\nkind: B\n",
                &["f: document 1: A", "f: document 2: B"][..],
            ),
            ("---\nkind: A\n...\n", &["f: document 1: A"]),
            (
                "kind: List\nitems:\n- kind: A\n- kind: B\n",
                &["f: document 1, item 1: A", "f: document 1, item 2: B"],
            ),
            (
                "apiVersion: v1\nkind: ThingList\nitems: [{a: 1}]\n",
                &["f: document 1, item 1: Thing"],
            ),
            (
                "NAME: x\nSTATUS: y\nHOOKS:\nMANIFEST:\n---\n# Source: x\nkind: A\n",
                &["f: document 1: -", "f: document 2: A"],
            ),
            (
                "kind: A\n---\n{{ broken\n---\nkind: B\n",
                &[
                    "f: document 1: A",
                    "f: document 2: is not YAML",
                    "f: document 3: B",
                ],
            ),
            ("kind: A\ndata: |\n  ---\n  b\n", &["f: document 1: A"]),
            ("{\"kind\": \"A\"}", &["f: document 1: A"]),
            ("# nothing\n---\n", &[]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn an_error_shows_no_line_of_a_manifest() {
        for text in [
            "env:\n  DB_PASSWORD: \"hunter2",
            "a: 1\n DB_PASSWORD: hunter2\n",
            "DB_PASSWORD: hunter2: x",
            "DB_PASSWORD: *hunter2",
        ] {
            let mut found = of_text("m.yaml", text);
            let error = found.remove(0).manifest.expect_err(text);
            assert!(error.starts_with("is not YAML"), "{error}");
            assert!(!error.contains("DB_PASSWORD"), "{error}");
        }
    }

    #[test]
    fn a_folder_is_read_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("below")).expect("a folder");
        for file in ["b.yaml", "a.json", "notes.txt", "below/c.yml"] {
            fs::write(folder.path().join(file), "{\"kind\": \"A\"}").expect("written");
        }
        let names = |recursive| {
            let found = documents(&[folder.path().to_owned()], recursive).expect("files");
            let name = |found: Found| found.place.rsplit('/').next().map(str::to_owned);
            found.into_iter().filter_map(name).collect::<Vec<_>>()
        };
        assert_eq!(names(false), ["a.json: document 1", "b.yaml: document 1"]);
        assert_eq!(names(true).len(), 3);
        let empty = tempfile::tempdir().expect("a folder");
        let none = documents(&[empty.path().to_owned()], true)
            .err()
            .expect("nothing");
        assert!(none.to_string().ends_with("holds no manifest"), "{none}");
    }
}
