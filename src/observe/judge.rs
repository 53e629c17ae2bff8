//! Runs the programs of a kind file on a workload: its templates, its phase, the keys of its newest pods and of those
//! that serve.

use super::attribute::Templates;
use super::live::Live;
use super::phase::{Ruling, Words};
use super::pod::{hashed, one_line};
use crate::json::{Document, Value as Json};
use crate::kinds::runner::{Part, Runner};
use crate::kinds::{JqFailure, JqObject, Kind, PhaseRule, PodsFile, Program, Shape, ViewFile};
use crate::redact::Names;
use crate::revision::Phase;
use crate::snapshot::unpack;
use serde_json::Value;
use std::sync::Arc;

/// The templates of a Revision, from its compressed snapshot; none when they cannot be made.
pub(super) async fn templates(
    runner: &Runner,
    kind: &Arc<Kind>,
    gzip: Arc<[u8]>,
) -> Option<Templates> {
    let of = kind.clone();
    runner
        .run(kind, "view.components", move || {
            let text = unpack(&gzip).map_err(|_| JqFailure::Input)?;
            let view = of.view.as_ref();
            view.map(|file| read_templates(&of, file, &text))
                .transpose()
        })
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

/// All replicas that a workload asks for; none where it asks for none by number.
fn replicas(kind: &Kind, text: &str) -> Option<i64> {
    let document = Document::parse(text).ok()?;
    kind.replicas
        .iter()
        .filter_map(|path| path.find(document.root())?.as_number()?.parse().ok())
        .reduce(i64::saturating_add)
}

/// What the programs of a kind file say of a workload.
#[derive(Debug)]
pub(super) struct Judgement {
    /// The phase of its newest generation.
    pub(super) ruling: Ruling,
    /// Why it is not ready, in its own words.
    pub(super) words: Option<Words>,
    /// The key of the newest generation's pods.
    pub(super) current: Option<String>,
    /// The keys of the pods that serve, whatever is newer.
    pub(super) serving: Vec<String>,
}

impl Judgement {
    /// Of a workload of which nothing is known.
    pub(super) fn silent() -> Self {
        Self {
            ruling: Ruling::Silent,
            words: None,
            current: None,
            serving: Vec::new(),
        }
    }
}

/// What a workload's status says.
pub(super) async fn judge(
    runner: &Runner,
    kind: &Arc<Kind>,
    live: &Live,
    names: &Names,
) -> Judgement {
    if let Some(odd) = live.odd {
        return Judgement {
            ruling: Ruling::Unreadable(odd.to_owned()),
            ..Judgement::silent()
        };
    }
    let PodsFile {
        current, serving, ..
    } = &kind.pods;
    let current = keys(runner, kind, "pods.current", current.as_ref(), live).await;
    Judgement {
        ruling: shown(ruling(runner, kind, live).await, names),
        words: words(live, names),
        current: current.into_iter().next(),
        serving: keys(runner, kind, "pods.serving", serving.as_ref(), live).await,
    }
}

/// What the condition Ready says when it is False.
fn words(live: &Live, names: &Names) -> Option<Words> {
    if !live.is_current() {
        return None;
    }
    let document = Document::parse(&live.text).ok()?;
    let conditions = document.root().get("status")?.get("conditions")?;
    let says = |condition: Json<'_>, field: &str, value: &str| {
        condition.get(field).and_then(Json::as_str) == Some(value)
    };
    let condition = conditions
        .items()
        .find(|it| says(*it, "type", "Ready") && says(*it, "status", "False"))?;
    let field = |name| condition.get(name).and_then(Json::as_str);
    let shown = |text: &str| one_line(text, names).into_string();
    Some(Words {
        reason: field("reason").filter(|it| !it.is_empty()).map(shown)?,
        message: field("message").filter(|it| !it.is_empty()).map(shown),
        since: field("lastTransitionTime").and_then(|time| time.parse().ok()),
    })
}

async fn ruling(runner: &Runner, kind: &Arc<Kind>, live: &Live) -> Ruling {
    if !live.is_current() || kind.phases.is_empty() {
        return Ruling::Silent;
    }
    let of = kind.clone();
    let text = live.text.clone();
    let ruled = runner
        .run(kind, "phases", move || {
            Ok(first_match(&of.phases, &JqObject::parse(&text)?))
        })
        .await;
    match ruled {
        Ok(Ok(ruling)) => ruling,
        Ok(Err(failure)) | Err(failure) => {
            Ruling::Unreadable(format!("the status cannot be read: {}", failure.reason()))
        }
    }
}

/// The texts that a program gives.
async fn keys(
    runner: &Runner,
    kind: &Arc<Kind>,
    part: Part,
    program: Option<&Program>,
    live: &Live,
) -> Vec<String> {
    let Some(program) = program.cloned() else {
        return Vec::new();
    };
    let text = live.text.clone();
    runner
        .run(kind, part, move || {
            Ok(texts(&program, &JqObject::parse(&text)?))
        })
        .await
        .unwrap_or_default()
}

/// The ruling of the first rule that matches. A rule that fails says that the status is not what was expected: that is
/// no defect of the program, so it is not counted as one.
fn first_match(rules: &[PhaseRule], object: &JqObject) -> Result<Ruling, JqFailure> {
    for rule in rules {
        let outputs = rule.when.run(object, &Shape::Whole)?;
        let said = outputs
            .iter()
            .find(|output| !matches!(output, Value::Null | Value::Bool(false)));
        if let Some(condition) = said {
            return Ok(matched(rule.phase, condition));
        }
    }
    Ok(Ruling::Silent)
}

fn matched(phase: Phase, condition: &Value) -> Ruling {
    let since = ["lastTransitionTime", "time"]
        .iter()
        .find_map(|field| condition[*field].as_str())
        .and_then(|time| time.parse().ok());
    Ruling::Match {
        phase,
        reason: text(condition, "reason"),
        message: text(condition, "message"),
        since,
    }
}

fn text(condition: &Value, field: &str) -> Option<String> {
    let text = condition[field].as_str().filter(|text| !text.is_empty())?;
    Some(text.to_owned())
}

/// A ruling with short texts without secrets.
fn shown(ruling: Ruling, names: &Names) -> Ruling {
    let short = |text: Option<String>| text.map(|text| one_line(&text, names).into());
    match ruling {
        Ruling::Match {
            phase,
            reason,
            message,
            since,
        } => Ruling::Match {
            phase,
            reason: short(reason),
            message: short(message),
            since,
        },
        other => other,
    }
}

fn texts(program: &Program, object: &JqObject) -> Vec<String> {
    let outputs = program.run(object, &Shape::Whole).unwrap_or_default();
    let texts = outputs.iter().filter_map(Value::as_str);
    texts
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
