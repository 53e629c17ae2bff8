//! What the programs of a kind file say of a workload: its templates, its phase, the key of its newest pods.

use super::attribute::Templates;
use super::live::Live;
use super::phase::Ruling;
use super::pod::{hashed, one_line};
use crate::json::{Document, Value as Json};
use crate::kinds::runner::Runner;
use crate::kinds::{JqFailure, JqObject, Kind, PhaseRule, Program, Shape, ViewFile};
use crate::snapshot::unpack;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::sync::Arc;

/// What makes the pods of a Revision, from its compressed snapshot; none when that cannot be told.
pub(super) async fn templates(
    runner: &Runner,
    kind: &Arc<Kind>,
    gzip: Arc<[u8]>,
) -> Option<Templates> {
    let of = kind.clone();
    let work = move || {
        let text = unpack(&gzip).map_err(|_| JqFailure::Input)?;
        of.view
            .as_ref()
            .map(|file| read_templates(&of, file, &text))
            .transpose()
    };
    runner
        .run(kind, "view.components", work)
        .await
        .ok()
        .flatten()
}

fn read_templates(kind: &Kind, file: &ViewFile, text: &str) -> Result<Templates, JqFailure> {
    let outputs = file.components(text, &Shape::Whole)?;
    let mut templates = Templates {
        replicas: replicas(kind, text),
        ..Templates::default()
    };
    for output in outputs.iter().filter(|output| output.is_object()) {
        let name = output["name"].as_str().unwrap_or_default();
        let made_of = (output["pod"].to_string(), output["identity"].to_string());
        // Two components of one name are told by what they are together.
        let hash = templates
            .components
            .get(name)
            .map_or_else(|| hashed(&made_of), |other| hashed(&(other, &made_of)));
        templates.components.insert(name.into(), hash);
        match crate::view::pods(output) {
            Some(pods) => templates.pods += pods,
            None => templates.elastic = true,
        }
    }
    Ok(templates)
}

fn replicas(kind: &Kind, text: &str) -> Option<i64> {
    let document = Document::parse(text).ok()?;
    let number = |value: Json<'_>| value.as_number().and_then(|text| text.parse::<i64>().ok());
    let all = kind
        .replicas
        .iter()
        .filter_map(|path| number(path.find(document.root())?));
    all.reduce(i64::saturating_add)
}

/// What a workload's status says of its newest generation, and the key of that one's pods.
pub(super) async fn judge(
    runner: &Runner,
    kind: &Arc<Kind>,
    live: &Live,
) -> (Ruling, Option<String>) {
    if let Some(odd) = live.odd {
        return (Ruling::Unreadable(odd.to_owned()), None);
    }
    let unreadable =
        |reason: &str| Ruling::Unreadable(format!("the status cannot be read: {reason}"));
    let (of, text) = (kind.clone(), live.text.clone());
    let ruled = if live.is_current() && !kind.phases.is_empty() {
        runner
            .run(kind, "phases", move || {
                Ok(ruling(&of.phases, &JqObject::parse(&text)?))
            })
            .await
    } else {
        Ok(Ok(Ruling::Silent))
    };
    let ruling = match ruled {
        Ok(Ok(ruling)) => ruling,
        Ok(Err(failure)) | Err(failure) => unreadable(failure.reason()),
    };
    let (Some(program), text) = (kind.pods.current.clone(), live.text.clone()) else {
        return (ruling, None);
    };
    let key = runner
        .run(kind, "pods.current", move || {
            Ok(current(&program, &JqObject::parse(&text)?))
        })
        .await;
    (ruling, key.ok().flatten())
}

/// The first rule that matches. One that fails says that the status is not what was expected: that is no defect of the
/// program, so it is not counted as one.
fn ruling(rules: &[PhaseRule], object: &JqObject) -> Result<Ruling, JqFailure> {
    for rule in rules {
        let outputs = rule.when.run(object, &Shape::Whole)?;
        if let Some(output) = outputs
            .iter()
            .find(|output| !matches!(output, Value::Null | Value::Bool(false)))
        {
            let text = |field: &str| {
                output[field]
                    .as_str()
                    .filter(|text| !text.is_empty())
                    .map(|text| one_line(text).into())
            };
            let since = ["lastTransitionTime", "time"]
                .iter()
                .find_map(|field| output[*field].as_str());
            return Ok(Ruling::Match {
                phase: rule.phase,
                reason: text("reason"),
                message: text("message"),
                since: since.and_then(|time| time.parse::<DateTime<Utc>>().ok()),
            });
        }
    }
    Ok(Ruling::Silent)
}

fn current(program: &Program, object: &JqObject) -> Option<String> {
    let outputs = program.run(object, &Shape::Whole).ok()?;
    outputs
        .iter()
        .find_map(Value::as_str)
        .filter(|key| !key.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
