//! The part of a kind file that is about what lives: pods and phases. Pure.

use super::names::is_label_key;
use super::{PhaseRule, PodLabel, PodsFile, Program};
use crate::revision::Phase;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Stands for the name of the workload.
const NAME: &str = "{name}";
/// Stands for any value.
const ANY: &str = "*";
/// What tells the pods of one generation from those of another where a kind file does not say: the labels of what
/// workloads are made of in the end, from the outermost to the innermost.
const REVISION_KEYS: &[&str] = &[
    "serving.knative.dev/revision",
    "leaderworkerset.sigs.k8s.io/template-revision-hash",
    "rollouts-pod-template-hash",
    "pod-template-hash",
    "controller-revision-hash",
];

/// `pods` as it is written.
#[derive(Deserialize, JsonSchema, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct PodsYaml {
    /// Labels that the pods of a workload have, all of them: `{name}` stands for the name of the workload, `*` for any value.
    #[schemars(example = json!({"serving.example.com/server": "{name}"}))]
    labels: BTreeMap<String, String>,
    /// Labels whose value differs between generations; the first that a pod has counts.
    #[schemars(example = json!(["pod-template-hash"]))]
    revision_key: Vec<String>,
    /// Label that names the component of a pod.
    #[schemars(example = json!("serving.example.com/role"))]
    component: Option<String>,
    /// Names of components, by values of that label which are no names of components themselves.
    #[schemars(example = json!({"role-server": "server"}))]
    component_names: BTreeMap<String, String>,
    /// A jq program over the whole object: the value of `revisionKey` that the newest generation has.
    #[schemars(example = json!(".status.currentHash"))]
    current: Option<String>,
    /// A jq program over the whole object: the values of `revisionKey` whose pods serve, whatever is newer.
    #[schemars(example = json!(".status.traffic[]?.hash"))]
    serving: Option<String>,
}

/// One of `phases` as it is written.
#[derive(Deserialize, JsonSchema, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct PhaseYaml {
    /// The phase that a Revision has when the program agrees; the first that agrees counts.
    #[schemars(example = json!("Stopped"))]
    phase: String,
    /// A jq program over the whole object: `true`, or the condition that says so.
    #[schemars(example = json!(".spec.stopped == true"))]
    when: String,
}

impl PodsYaml {
    pub(super) fn validate(&self) -> Result<PodsFile, String> {
        let given: Vec<&str> = self.revision_key.iter().map(String::as_str).collect();
        let revision_key = if given.is_empty() {
            REVISION_KEYS
        } else {
            &given
        };
        Ok(PodsFile {
            labels: self
                .labels
                .iter()
                .map(|(key, value)| Ok((label_key("pods.labels", key)?, pod_label(value)?)))
                .collect::<Result<_, String>>()?,
            revision_key: revision_key
                .iter()
                .map(|key| label_key("pods.revisionKey", key))
                .collect::<Result<_, _>>()?,
            component: self
                .component
                .as_deref()
                .map(|key| label_key("pods.component", key))
                .transpose()?,
            component_names: self.component_names.clone(),
            current: self.current.as_deref().map(Program::new),
            serving: self.serving.as_deref().map(Program::new),
        })
    }
}

fn pod_label(value: &str) -> Result<PodLabel, String> {
    match value {
        NAME => Ok(PodLabel::Name),
        ANY => Ok(PodLabel::Any),
        value if value.contains(['{', '}']) => Err(format!(
            "pods.labels: {value:?} is neither a value, \"{NAME}\" nor \"{ANY}\""
        )),
        value => Ok(PodLabel::Is(value.to_owned())),
    }
}

impl PhaseYaml {
    pub(super) fn validate(&self) -> Result<PhaseRule, String> {
        let phase = Phase::named(&self.phase).ok_or_else(|| {
            let known = Phase::ALL.map(Phase::as_str).join(", ");
            format!("phases: {:?} is not a phase (known: {known})", self.phase)
        })?;
        Ok(PhaseRule {
            phase,
            when: Program::new(&self.when),
        })
    }
}

fn label_key(field: &str, key: &str) -> Result<String, String> {
    if is_label_key(key) {
        Ok(key.to_owned())
    } else {
        Err(format!("{field}: {key:?} is not a label key"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    const GOOD: &str = "kind: Thing\ngroup: a.b\nversions: [v1]\nplural: things\nselect: always\n";

    fn parse(more: &str) -> Result<Kind, String> {
        Kind::parse("thing.yaml", &format!("{GOOD}{more}")).map_err(|error| error.to_string())
    }

    #[test]
    fn pods_and_phases_are_read() {
        let kind = parse(
            "pods:\n  labels: {a.b/name: \"{name}\", a.b/part: thing, hash: \"*\"}\n  revisionKey: [a.b/hash]\n  \
             component: a.b/component\n  componentNames: {x: y}\n  current: .status.hash\n  serving: .status.old\n\
             progressDeadlineSeconds: 60\nobservedGeneration: status.observedGeneration\n\
             phases:\n- {phase: Running, when: '.status.ready == true'}\n",
        )
        .expect("valid");
        assert_eq!(kind.pods.selector(), "a.b/name,a.b/part=thing,hash");
        assert_eq!(kind.pods.revision_key, ["a.b/hash"]);
        assert_eq!(
            (kind.phases.len(), kind.phases[0].phase),
            (1, Phase::Running)
        );
        assert!(kind.pods.serving.is_some() && kind.pods.component_names["x"] == "y");
        assert_eq!(kind.progress_deadline.map(|it| it.as_secs()), Some(60));
        assert_eq!(
            parse("").expect("valid").pods.revision_key.len(),
            REVISION_KEYS.len()
        );
    }

    #[test]
    fn mistakes_name_the_field_and_the_value() {
        for (yaml, expected) in [
            ("pods: {labels: {'a b': x}}", "pods.labels: \"a b\""),
            (
                "pods: {labels: {a: 'x-{name}'}}",
                "pods.labels: \"x-{name}\"",
            ),
            ("pods: {revisionKey: ['/']}", "pods.revisionKey: \"/\""),
            ("pods: {component: ''}", "pods.component: \"\""),
            ("pods: {current: '.a['}", "pods.current: 1:"),
            ("pods: {serving: '.a['}", "pods.serving: 1:"),
            ("progressDeadlineSeconds: -1", "progressDeadlineSeconds"),
            ("pods: {label: {}}", "label"),
            (
                "observedGeneration: spec.x",
                "observedGeneration: \"spec.x\" does not start with status",
            ),
            (
                "phases: [{phase: Napping, when: 'true'}]",
                "phases: \"Napping\" is not a phase",
            ),
            (
                "phases: [{phase: Running, when: 'halt'}]",
                "phases (Running): 1:1",
            ),
            ("phases: [{phase: Running}]", "when"),
        ] {
            let error = parse(&format!("{yaml}\n")).expect_err(yaml);
            assert!(
                error.starts_with("thing.yaml: ") && error.contains(expected),
                "{yaml}: {error}"
            );
        }
    }
}
