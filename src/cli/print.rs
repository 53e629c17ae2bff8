//! Revisions and manifests in the formats that people ask for. Pure.

use crate::manifest::{hide_revision, visible_yaml};
use crate::redact::Names;
use crate::revision::Revision;
use crate::text::{cut, visible_json, visible_line};
use crate::view::judged;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;

/// How lists are printed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum ListFormat {
    /// Columns
    #[default]
    Table,
    /// More columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Names only, one a line
    Name,
}

/// How manifests are printed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum ManifestFormat {
    /// YAML, whose apiVersion and kind are comments when values are hidden
    #[default]
    Yaml,
    /// JSON in one line, without apiVersion and kind when values are hidden
    Json,
    /// The name only
    Name,
}

/// Revisions as JSON, without secrets unless there are no names.
pub(super) fn objects(
    history: &[Revision],
    names: Option<&Names>,
) -> Result<Vec<Value>, serde_json::Error> {
    let object = |revision| match names {
        Some(names) => hide_revision(revision, names),
        None => serde_json::to_value(revision),
    };
    history.iter().map(object).collect()
}

/// Revisors that knew fewer secrets may have written the texts of a Revision.
pub(super) fn judged_by<'r>(revision: &'r Revision, names: Option<&Names>) -> Cow<'r, Revision> {
    names.map_or(Cow::Borrowed(revision), |names| judged(revision, names))
}

/// Data as indented JSON.
pub(super) fn json(data: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(data)?;
    Ok(visible_json(&text).into_owned() + "\n")
}

/// Data as YAML.
pub(super) fn yaml(data: &impl Serialize) -> anyhow::Result<String> {
    Ok(visible_yaml(&serde_json::to_value(data)?)?)
}

/// Text of a workload, which must not control a terminal.
pub(super) fn printable(text: &str) -> String {
    visible_line(text).into_owned()
}

/// Texts as lines.
pub(super) fn lines(all: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for line in all {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// A column that is cut first where a terminal is narrow, and how much of it is always shown.
const SHORTEST: usize = 12;

/// Rows as columns of a terminal. Where they are wider than that, the cells of column `flexible` are cut, and then whole
/// lines.
pub(super) fn columns(mut rows: Vec<Vec<String>>, flexible: usize, width: Option<usize>) -> String {
    let text = crate::table::columns(&rows);
    let Some(width) = width else {
        return text;
    };
    let widest = text
        .lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or_default();
    if widest <= width {
        return text;
    }
    let cells = rows.iter().filter_map(|row| row.get(flexible));
    let longest = cells
        .map(|cell| cell.chars().count())
        .max()
        .unwrap_or_default();
    let room = longest.saturating_sub(widest - width).max(SHORTEST);
    for cell in rows.iter_mut().filter_map(|row| row.get_mut(flexible)) {
        *cell = cut(cell, room).into_owned();
    }
    let text = crate::table::columns(&rows);
    lines(
        text.lines()
            .map(|line| cut(line, width.max(1)).into_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_cuts_the_flexible_column_first_and_no_line_is_wider() {
        let rows = || {
            [
                ["REV", "CHANGE", "VIA"],
                ["1", "model.storageUri, args +2, env A", "kubectl"],
            ]
            .map(|row| row.map(str::to_owned).to_vec())
            .to_vec()
        };
        let whole = "REV   CHANGE                             VIA\n1     model.storageUri, args +2, env A   kubectl\n";
        assert_eq!(columns(rows(), 1, None), whole);
        assert_eq!(columns(rows(), 1, Some(200)), whole);
        let narrow =
            "REV   CHANGE                     VIA\n1     model.storageUri, args …   kubectl\n";
        assert_eq!(columns(rows(), 1, Some(40)), narrow);
        for width in [0, 1, 8, 30] {
            let narrow = columns(rows(), 1, Some(width));
            assert!(
                narrow
                    .lines()
                    .all(|line| line.chars().count() <= width.max(1)),
                "{narrow}"
            );
        }
    }
}
