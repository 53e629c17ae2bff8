//! The format of a kind file, and its validation. Every error names the file, the field and the value. Pure.

use super::live::{PhaseYaml, PodsYaml};
use super::names::{is_dns_label, is_dns_name, is_kind, is_label_key};
use super::{Absent, Code, GroupKind, Hardware, Kind, Path, PhaseRule, Program, Select, ViewFile};
use crate::json::Document;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// What is wrong with a kind file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{file}: {message}")]
pub struct KindError {
    /// The file, and the kind within it where it holds several.
    pub file: String,
    /// Field, value and what was expected.
    pub message: String,
}

/// A kind file as it is written.
#[derive(Deserialize, JsonSchema, Clone, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KindFile {
    /// The kind of the objects.
    #[schemars(example = json!("ModelServer"))]
    pub(crate) kind: String,
    /// Its API group; without it the core group.
    #[serde(default)]
    #[schemars(example = json!("serving.example.com"))]
    pub(crate) group: String,
    /// Versions of the group, by preference: the first that the server offers is watched.
    #[schemars(example = json!(["v1", "v1beta1"]))]
    versions: Vec<String>,
    /// The name under which the API server serves the objects.
    #[schemars(example = json!("modelservers"))]
    plural: String,
    /// `Kind.group` of controllers whose objects of this kind are parts of a recorded workload, or `{kind, partOf}`.
    #[serde(default)]
    #[schemars(example = json!(["NIMService.apps.nvidia.com"]))]
    owned_by: Vec<Value>,
    /// Which objects are recorded: `always`, or any of labels, GPUs and fields that are there.
    #[schemars(example = json!({"gpu": true, "labels": ["team=ml"]}))]
    select: Value,
    /// Paths to which autoscalers write.
    #[serde(default)]
    #[schemars(example = json!(["spec.replicas"]))]
    replicas: Vec<String>,
    #[serde(default)]
    absent: Vec<AbsentFile>,
    /// Paths of pod specs, to find GPUs and images in.
    #[serde(default)]
    #[schemars(example = json!(["spec.template.spec"]))]
    pod_specs: Vec<String>,
    /// Paths of single containers, to find GPUs and images in.
    #[serde(default)]
    #[schemars(example = json!(["spec.server"]))]
    containers: Vec<String>,
    view: Option<ViewYaml>,
    /// A named piece of code that prepares the object before the view is made: `runai`.
    #[schemars(example = json!("runai"))]
    code: Option<String>,
    #[serde(default)]
    pods: PodsYaml,
    /// Path of the generation that the status speaks of.
    #[schemars(example = json!("status.observedGeneration"))]
    observed_generation: Option<String>,
    #[serde(default)]
    phases: Vec<PhaseYaml>,
    /// A rollout whose pods make no progress for so many seconds has failed; for kinds whose controller has no such
    /// deadline of its own.
    #[schemars(example = json!(600))]
    progress_deadline_seconds: Option<u32>,
}

#[derive(Deserialize, JsonSchema, Clone, Debug)]
#[serde(deny_unknown_fields)]
struct ViewYaml {
    /// A jq program over the whole object; one output for each component.
    #[schemars(example = json!("{name: \"server\", pod: .spec.template, replicas: .spec.replicas}"))]
    components: String,
    /// Name of the main component; without it the first.
    #[schemars(example = json!("server"))]
    main: Option<String>,
    /// Names of the main container, by preference; without them the one that kubectl would take.
    #[serde(default)]
    #[schemars(example = json!(["server"]))]
    container: Vec<String>,
}

#[derive(Deserialize, JsonSchema, Clone, Debug)]
#[serde(deny_unknown_fields)]
struct AbsentFile {
    /// Path of a field whose value may mean nothing; `[]` behind the key of a list stands for every item of it.
    #[schemars(example = json!("spec.scale.hpa"))]
    path: String,
    /// The value that means the same as no value.
    #[schemars(example = json!({"maxReplicas": 0, "minReplicas": 1}))]
    when: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PartFile {
    kind: String,
    part_of: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyFile {
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    gpu: bool,
    #[serde(default)]
    present: Vec<String>,
}

impl KindError {
    pub(super) fn new(file: &str, message: String) -> Self {
        Self {
            file: file.to_owned(),
            message,
        }
    }
}

impl Kind {
    /// Reads one kind file.
    ///
    /// # Errors
    /// Names `file`, the field and the value.
    pub fn parse(file: &str, yaml: &str) -> Result<Self, KindError> {
        let kind = Self::parse_unchecked(file, yaml)?;
        let checked = kind.check_programs();
        checked.map_err(|message| KindError::new(file, message))?;
        Ok(kind)
    }

    /// Reads one kind file without compiling its programs, which takes the most time.
    pub(super) fn parse_unchecked(file: &str, yaml: &str) -> Result<Self, KindError> {
        serde_saphyr::from_str::<KindFile>(yaml)
            .map_err(|error| error.to_string())
            .and_then(|parsed| parsed.read())
            .map_err(|message| KindError::new(file, message))
    }

    fn check_programs(&self) -> Result<(), String> {
        let view = self.view.as_ref().map(|view| &view.components);
        let pods = [
            ("pods.current", self.pods.current.as_ref()),
            ("pods.serving", self.pods.serving.as_ref()),
        ];
        for (field, program) in [("view.components", view)].into_iter().chain(pods) {
            let checked = program.map_or(Ok(()), Program::check);
            checked.map_err(|error| format!("{field}: {error}"))?;
        }
        for PhaseRule { phase, when } in &self.phases {
            let checked = when.check();
            checked.map_err(|error| format!("phases ({phase}): {error}"))?;
        }
        Ok(())
    }
}

impl KindFile {
    /// Checks every field, and compiles the programs.
    pub(crate) fn validate(&self) -> Result<Kind, String> {
        let kind = self.read()?;
        kind.check_programs()?;
        Ok(kind)
    }

    /// Checks every field but the programs, and turns it into its typed form.
    fn read(&self) -> Result<Kind, String> {
        check("kind", &self.kind, is_kind, "a CamelCase name")?;
        check("plural", &self.plural, is_dns_label, "a lower-case name")?;
        if !self.group.is_empty() {
            check("group", &self.group, is_dns_name, "a DNS name")?;
        }
        if self.versions.is_empty() {
            return Err("versions: needs at least one version".to_owned());
        }
        for version in &self.versions {
            check(
                "versions",
                version,
                is_dns_label,
                "a version such as v1beta1",
            )?;
        }
        let owners = self
            .owned_by
            .iter()
            .map(owner)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Kind {
            kind: self.kind.clone(),
            group: self.group.clone(),
            versions: self.versions.clone(),
            plural: self.plural.clone(),
            owned_by: owners.iter().map(|(owner, _)| owner.clone()).collect(),
            part_of: owners
                .into_iter()
                .filter_map(|(owner, root)| Some((owner, root?)))
                .collect(),
            select: select(&self.select)?,
            replicas: paths("replicas", &self.replicas)?,
            absent: self.absent.iter().map(absent).collect::<Result<_, _>>()?,
            pod_specs: paths("podSpecs", &self.pod_specs)?,
            containers: paths("containers", &self.containers)?,
            view: self.view()?,
            pods: self.pods.validate()?,
            observed_generation: self
                .observed_generation
                .as_deref()
                .map(|text| path_below("status", "observedGeneration", text))
                .transpose()?,
            phases: self
                .phases
                .iter()
                .map(PhaseYaml::validate)
                .collect::<Result<_, _>>()?,
            hardware: Hardware::default(),
            progress_deadline: self
                .progress_deadline_seconds
                .map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

impl KindFile {
    fn view(&self) -> Result<Option<ViewFile>, String> {
        let code = match self.code.as_deref() {
            None => None,
            Some(name) => Some(
                Code::named(name)
                    .ok_or_else(|| format!("code: {name:?} is not known (known: runai)"))?,
            ),
        };
        let Some(view) = &self.view else {
            return if code.is_some() {
                Err("code: is for a view, and there is none".to_owned())
            } else {
                Ok(None)
            };
        };
        Ok(Some(ViewFile {
            components: Program::new(&view.components),
            main: view.main.clone(),
            container: view.container.clone(),
            code,
            hardware: Hardware::default(),
        }))
    }
}

fn check(field: &str, value: &str, valid: fn(&str) -> bool, expected: &str) -> Result<(), String> {
    if valid(value) {
        Ok(())
    } else {
        Err(format!("{field}: {value:?} is not {expected}"))
    }
}

fn group_kind(text: &str) -> Result<GroupKind, String> {
    let (kind, group) = text.split_once('.').unwrap_or((text, ""));
    if !is_kind(kind) || !(group.is_empty() || is_dns_name(group)) {
        return Err(format!(
            "ownedBy: {text:?} is not Kind.group, such as NIMService.apps.nvidia.com"
        ));
    }
    Ok(GroupKind {
        kind: kind.to_owned(),
        group: group.to_owned(),
    })
}

/// `Kind.group`, or that and the recorded kind behind it.
fn owner(value: &Value) -> Result<(GroupKind, Option<GroupKind>), String> {
    if let Value::String(kind) = value {
        return Ok((group_kind(kind)?, None));
    }
    let part: PartFile = serde_json::from_value(value.clone())
        .map_err(|e| format!("ownedBy: {value} is neither Kind.group nor {{kind, partOf}}: {e}"))?;
    Ok((group_kind(&part.kind)?, Some(group_kind(&part.part_of)?)))
}

fn paths(field: &str, texts: &[String]) -> Result<Vec<Path>, String> {
    let plain = |text: &String| {
        let path = path(field, text)?;
        if path.is_of_items() {
            return Err(format!("{field}: {text:?} leads through a list"));
        }
        Ok(path)
    };
    texts.iter().map(plain).collect()
}

fn path(field: &str, text: &str) -> Result<Path, String> {
    path_below("spec", field, text)
}

fn path_below(root: &str, field: &str, text: &str) -> Result<Path, String> {
    let path = Path::parse(text).map_err(|why| format!("{field}: {text:?}: {why}"))?;
    if path.keys()[0] != root {
        return Err(format!("{field}: {text:?} does not start with {root}"));
    }
    Ok(path)
}

fn absent(file: &AbsentFile) -> Result<Absent, String> {
    let path = path("absent.path", &file.path)?;
    if path.keys().len() < 2 {
        return Err(format!("absent.path: {:?} is the whole spec", file.path));
    }
    let text = file.when.to_string();
    let document = Document::parse(&text).map_err(|e| format!("absent.when: {text}: {e}"))?;
    Ok(Absent {
        path,
        when: document.root().canonical(),
    })
}

fn select(value: &Value) -> Result<Select, String> {
    match value {
        Value::String(word) if word == "always" => Ok(Select::Always),
        Value::Object(_) => {
            let any: AnyFile =
                serde_json::from_value(value.clone()).map_err(|e| format!("select: {e}"))?;
            if any.labels.is_empty() && !any.gpu && any.present.is_empty() {
                return Err("select: names no label and no gpu, so it would never match; write `select: {gpu: true}`, \
                            a list of labels, or `always`"
                    .to_owned());
            }
            let labels = any
                .labels
                .iter()
                .map(|text| label(text))
                .collect::<Result<_, _>>()?;
            Ok(Select::Any {
                labels,
                gpu: any.gpu,
                present: paths("select.present", &any.present)?,
            })
        }
        other => Err(format!(
            "select: {other} is neither `always` nor {{labels: [...], gpu: true}}"
        )),
    }
}

fn label(text: &str) -> Result<(String, Option<String>), String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    if !is_label_key(key) {
        return Err(format!(
            "select.labels: {text:?} is not a label key, or key=value"
        ));
    }
    Ok((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "kind: Thing\ngroup: a.b\nversions: [v1]\nplural: things\nselect: always\n";

    #[test]
    fn a_whole_file_is_read() {
        let yaml = "kind: Thing\ngroup: a.b\nversions: [v1, v1beta1]\nplural: things\n\
            ownedBy: [Big.c.d, {kind: Pod, partOf: Big.c.d}]\nselect: {labels: [a.b/c=d, e], gpu: true}\nreplicas: [spec.replicas]\n\
            absent: [{path: spec.x, when: {b: 1, a: []}}]\npodSpecs: [spec.template.spec]\ncontainers: [spec.model]\n";
        let kind = Kind::parse("thing.yaml", yaml).expect("valid");
        let of = |kind: &str, group: &str| GroupKind {
            kind: kind.into(),
            group: group.into(),
        };
        assert_eq!(kind.owned_by, [of("Big", "c.d"), of("Pod", "")]);
        assert_eq!(kind.part_of, [(of("Pod", ""), of("Big", "c.d"))]);
        assert_eq!(kind.absent[0].when, r#"{"a":[],"b":1}"#);
        let labels = vec![
            ("a.b/c".to_owned(), Some("d".to_owned())),
            ("e".to_owned(), None),
        ];
        let present = Vec::new();
        let expected = Select::Any {
            labels,
            gpu: true,
            present,
        };
        assert_eq!(kind.select, expected);
    }

    /// A part of a good file, another one in its place, and the error.
    const ERRORS: &[(&str, &str, &str)] = &[
        ("kind: Thing", "kind: thing", "kind: \"thing\""),
        ("kind: Thing\n", "", "kind"),
        ("group: a.b", "group: A_b", "group: \"A_b\""),
        ("versions: [v1]", "versions: []", "versions: needs"),
        ("versions: [v1]", "versions: [V1]", "versions: \"V1\""),
        ("plural: things", "plural: Things", "plural: \"Things\""),
        ("select: always", "select: never", "select: \"never\""),
        ("select: always", "select: {}", "select: names no label"),
        (
            "select: always",
            "select: {labels: ['a b']}",
            "select.labels: \"a b\"",
        ),
        ("select: always", "select: {colour: red}", "colour"),
        (
            "select: always",
            "select: always\nreplicas: [status.replicas]",
            "replicas: \"status.replicas\"",
        ),
        (
            "select: always",
            "select: always\nreplicas: ['spec..a']",
            "replicas: \"spec..a\"",
        ),
        (
            "select: always",
            "select: always\nreplicas: ['spec.a[].b']",
            "replicas: \"spec.a[].b\" leads through a list",
        ),
        (
            "select: always",
            "select: always\nabsent: [{path: spec, when: {}}]",
            "absent.path: \"spec\"",
        ),
        (
            "select: always",
            "select: always\nownedBy: [thing.a]",
            "ownedBy: \"thing.a\"",
        ),
        (
            "select: always",
            "select: always\nownedBy: [{kind: Pod, partOf: a.b}]",
            "ownedBy: \"a.b\"",
        ),
        (
            "select: always",
            "select: always\nownedBy: [{kind: Pod}]",
            "ownedBy",
        ),
        (
            "select: always",
            "select: always\nreplica: [spec.replicas]",
            "replica",
        ),
        ("select: always", "select: [", "select"),
    ];

    #[test]
    fn every_error_names_the_file_the_field_and_the_value() {
        for (find, replace, expected) in ERRORS {
            let error = Kind::parse("thing.yaml", &GOOD.replace(find, replace))
                .expect_err(replace)
                .to_string();
            assert!(
                error.starts_with("thing.yaml: ") && error.contains(expected),
                "{replace}: {error}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}", tail in "[a-z: \\[\\]{}'\"\\n&*!|>-]{0,60}") {
            let _ = Kind::parse("f", &text);
            let _ = Kind::parse("f", &format!("{GOOD}{tail}"));
        }
    }
}
