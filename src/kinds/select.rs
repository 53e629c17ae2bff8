//! Which objects are recorded: a function of the object alone. Pure.

use super::{Catalogue, GroupKind, Kind, Path, Select};
use crate::json::Value;
use crate::revision::LABEL_RECORD;
use std::sync::Arc;

/// Whether an object is recorded, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// It is recorded.
    Selected,
    /// Its label `revisor.dev/record` says `false`.
    Refused,
    /// It is a part of something else that is recorded.
    Owned(GroupKind),
    /// The configuration or a label of its namespace, which this is, keeps it out.
    Excluded(String),
    /// No rule of its kind matches.
    Unmatched,
}

/// Annotations of a pod template that ask for a part of a GPU (KAI scheduler, Run:ai).
pub(crate) const GPU_FRACTIONS: [&str; 2] = ["gpu-fraction", "gpu-memory"];

/// Which objects are recorded, beside what the files of their kinds say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Whether an accelerator is enough, where the kind file says so.
    pub by_gpu: bool,
    /// Namespaces of which only objects are recorded that say so themselves; a trailing `*` stands for any ending.
    pub excluded_namespaces: Arc<[String]>,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            by_gpu: true,
            excluded_namespaces: Arc::default(),
        }
    }
}

impl Scope {
    fn excludes(&self, namespace: &str) -> bool {
        let is_named = |name: &String| match name.strip_suffix('*') {
            Some(beginning) => namespace.starts_with(beginning),
            None => namespace == name,
        };
        self.excluded_namespaces.iter().any(is_named)
    }
}

/// Decides for one whole object of `kind`. `is_refused` says of its namespace whether its label refuses recording.
pub fn select(
    catalogue: &Catalogue,
    kind: &Kind,
    object: Value<'_>,
    is_refused: impl Fn(&str) -> bool,
) -> Selection {
    let labels = object.at(&["metadata", "labels"]);
    let record = text_of(labels, LABEL_RECORD);
    if record == Some("false") {
        return Selection::Refused;
    }
    if let Some(owner) = recorded_owner(catalogue, kind, object) {
        return Selection::Owned(owner);
    }
    if record == Some("true") {
        return Selection::Selected;
    }
    let namespace = object.at(&["metadata", "namespace"]);
    let namespace = namespace.and_then(Value::as_str).unwrap_or_default();
    if catalogue.scope().excludes(namespace) || is_refused(namespace) {
        return Selection::Excluded(namespace.to_owned());
    }
    let matched = match &kind.select {
        Select::Always => true,
        Select::Any {
            labels: wanted,
            gpu,
            present,
        } => {
            let is_wanted = |labels| wanted.iter().any(|label| has_label(Some(labels), label));
            labels.is_some_and(is_wanted)
                || templates(kind, object)
                    .filter_map(|template| template.at(&["metadata", "labels"]))
                    .any(is_wanted)
                || (*gpu && catalogue.scope().by_gpu && wants_gpu(kind, object))
                || present.iter().any(|path| path.find(object).is_some())
        }
    };
    if matched {
        Selection::Selected
    } else {
        Selection::Unmatched
    }
}

/// The pod templates that the kind file points at: those whose pod spec is one's `spec`.
fn templates<'d>(kind: &'d Kind, object: Value<'d>) -> impl Iterator<Item = Value<'d>> {
    let above = move |path: &'d Path| match path.keys() {
        [above @ .., last] if last == "spec" => object.at(above),
        _ => None,
    };
    kind.pod_specs.iter().filter_map(above)
}

fn text_of<'d>(labels: Option<Value<'d>>, key: &str) -> Option<&'d str> {
    labels?.get(key)?.as_str()
}

/// Whether an object has a label, of that value where one is given.
fn has_label(labels: Option<Value<'_>>, (key, value): &(String, Option<String>)) -> bool {
    let has = text_of(labels, key);
    match value {
        Some(wanted) => has == Some(wanted),
        None => has.is_some(),
    }
}

/// The controller of the object, when that is recorded itself or is a part of what is.
fn recorded_owner(catalogue: &Catalogue, kind: &Kind, object: Value<'_>) -> Option<GroupKind> {
    let owners = object.at(&["metadata", "ownerReferences"])?;
    let controller = owners
        .items()
        .find(|o| o.get("controller").and_then(Value::as_bool) == Some(true))?;
    let api_version = controller.get("apiVersion").and_then(Value::as_str)?;
    let owner = GroupKind {
        kind: controller.get("kind").and_then(Value::as_str)?.to_owned(),
        group: api_version
            .rsplit_once('/')
            .map_or("", |(group, _)| group)
            .to_owned(),
    };
    (kind.owned_by.contains(&owner) || catalogue.has(&owner)).then_some(owner)
}

/// Whether an object asks for accelerators: by resource, by claim, or for a part of one by annotation.
fn wants_gpu(kind: &Kind, object: Value<'_>) -> bool {
    let has_items =
        |list: Option<Value<'_>>| list.is_some_and(|it| it.is_array() && !it.is_empty());
    let claims = |pod: Value<'_>| has_items(pod.get("resourceClaims"));
    let is_shared = |template: Value<'_>| {
        let annotations = template.at(&["metadata", "annotations"]);
        annotations.is_some_and(|all| GPU_FRACTIONS.iter().any(|key| all.get(key).is_some()))
    };
    let mut pods = kind.pod_specs.iter().filter_map(|path| path.find(object));
    containers(kind, object).any(|container| {
        has_items(container.at(&["resources", "claims"])) || is_accelerated(kind, container)
    }) || pods.any(claims)
        || templates(kind, object).any(is_shared)
}

fn is_accelerated(kind: &Kind, container: Value<'_>) -> bool {
    let parts = ["requests", "limits"].into_iter();
    let mut amounts = parts
        .filter_map(|part| container.at(&["resources", part]))
        .flat_map(Value::entries);
    amounts.any(|(name, amount)| {
        kind.hardware.is_accelerator(name)
            && amount.as_str() != Some("0")
            && amount.as_number() != Some("0")
    })
}

/// All containers that the kind file points at, main ones before init containers.
pub fn containers<'d>(kind: &'d Kind, object: Value<'d>) -> impl Iterator<Item = Value<'d>> {
    let single = kind
        .containers
        .iter()
        .filter_map(move |path| path.find(object));
    let listed = ["containers", "initContainers"]
        .into_iter()
        .flat_map(move |list| {
            let pods = kind
                .pod_specs
                .iter()
                .filter_map(move |path| path.find(object));
            pods.filter_map(move |pod| pod.get(list))
                .flat_map(Value::items)
        });
    single.chain(listed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;

    fn decide(kind: &str, json: &str) -> Selection {
        let catalogue = Catalogue::built_in();
        let kind = catalogue
            .kinds()
            .iter()
            .find(|k| k.kind == kind)
            .expect("built in");
        select(
            &catalogue,
            kind,
            Document::parse(json).expect("valid").root(),
            |namespace| namespace == "refused",
        )
    }

    fn deployment(metadata: &str, resources: &str) -> Selection {
        decide(
            "Deployment",
            &format!(
                r#"{{"metadata":{{{metadata}}},"spec":{{"template":{{"spec":{{"containers":[{{"name":"a"}},{{"resources":{resources}}}]}}}}}}}}"#
            ),
        )
    }

    #[test]
    fn deployments_are_selected_by_label_or_gpu() {
        for (labels, resources, expected) in [
            ("{}", "{}", Selection::Unmatched),
            (
                r#"{"revisor.dev/record":"true"}"#,
                "{}",
                Selection::Selected,
            ),
            (
                r#"{"revisor.dev/record":"yes"}"#,
                "{}",
                Selection::Unmatched,
            ),
            (
                r#"{"llm-d.ai/inference-serving":"true"}"#,
                "{}",
                Selection::Selected,
            ),
            (
                r#"{"llm-d.ai/inference-serving":"false"}"#,
                "{}",
                Selection::Unmatched,
            ),
            (r#"{"model.aibrix.ai/name":"x"}"#, "{}", Selection::Selected),
            (
                "{}",
                r#"{"limits":{"nvidia.com/gpu":"1"}}"#,
                Selection::Selected,
            ),
            (
                "{}",
                r#"{"requests":{"nvidia.com/mig-1g.5gb":1}}"#,
                Selection::Selected,
            ),
            (
                "{}",
                r#"{"limits":{"nvidia.com/gpu":"0"}}"#,
                Selection::Unmatched,
            ),
            ("{}", r#"{"limits":{"cpu":"1"}}"#, Selection::Unmatched),
            (
                r#"{"revisor.dev/record":"false"}"#,
                r#"{"limits":{"nvidia.com/gpu":1}}"#,
                Selection::Refused,
            ),
        ] {
            assert_eq!(
                deployment(&format!(r#""labels":{labels}"#), resources),
                expected,
                "{labels} {resources}"
            );
        }
    }

    #[test]
    fn parts_of_what_is_recorded_are_not_recorded_themselves() {
        let owned = |controller: bool, api_version: &str, kind: &str| {
            deployment(
                &format!(
                    r#""labels":{{"revisor.dev/record":"true"}},"ownerReferences":[{{"controller":{controller},"apiVersion":"{api_version}","kind":"{kind}"}}]"#
                ),
                "{}",
            )
        };
        let service = GroupKind {
            kind: "InferenceService".into(),
            group: "serving.kserve.io".into(),
        };
        assert_eq!(
            owned(true, "serving.kserve.io/v1beta1", "InferenceService"),
            Selection::Owned(service)
        );
        assert_eq!(
            owned(false, "serving.kserve.io/v1beta1", "InferenceService"),
            Selection::Selected
        );
        assert_eq!(
            owned(true, "example.com/v1", "InferenceService"),
            Selection::Selected
        );
    }

    #[test]
    fn templates_with_a_label_a_claim_or_a_part_of_a_gpu_are_selected() {
        for (template, expected) in [
            (
                r#""metadata":{"labels":{"llm-d.ai/inference-serving":"true"}},"spec":{}"#,
                true,
            ),
            (
                r#""metadata":{"labels":{"llm-d.ai/role":"decode"}},"spec":{}"#,
                false,
            ),
            (r#""metadata":{"annotations":{"gpu-fraction":"0.5"}}"#, true),
            (r#""metadata":{"annotations":{"gpu-memory":"2048"}}"#, true),
            (r#""metadata":{"annotations":{"other":"1"}}"#, false),
            (r#""spec":{"resourceClaims":[{"name":"gpus"}]}"#, true),
            (r#""spec":{"resourceClaims":[]}"#, false),
            (
                r#""spec":{"containers":[{"resources":{"claims":[{"name":"g"}]}}]}"#,
                true,
            ),
            (
                r#""spec":{"containers":[{"resources":{"limits":{"cambricon.com/vmlu":"1"}}}]}"#,
                true,
            ),
            (
                r#""spec":{"containers":[{"resources":{"limits":{"nvidia.com/gpumem":"1"}}}]}"#,
                false,
            ),
        ] {
            for kind in ["Deployment", "StatefulSet"] {
                let json = format!(r#"{{"metadata":{{}},"spec":{{"template":{{{template}}}}}}}"#);
                assert_eq!(
                    decide(kind, &json) == Selection::Selected,
                    expected,
                    "{template}"
                );
            }
        }
    }

    #[test]
    fn less_is_recorded_where_somebody_wants_less() {
        let scope = Scope {
            by_gpu: false,
            excluded_namespaces: Arc::new(["kube-*".to_owned(), "sandbox".to_owned()]),
        };
        let catalogue = Catalogue::built_in().within(scope);
        let selection = |kind: &str, namespace: &str, labels: &str| {
            let kinds = catalogue.kinds();
            let kind = kinds.iter().find(|it| it.kind == kind).expect("built in");
            let json = format!(
                r#"{{"metadata":{{"namespace":"{namespace}","labels":{{{labels}}}}},"spec":{{"template":{{"spec":{{"containers":[{{"resources":{{"limits":{{"nvidia.com/gpu":1}}}}}}]}}}}}}}}"#
            );
            let document = Document::parse(&json).expect("valid");
            select(&catalogue, kind, document.root(), |namespace| {
                namespace == "refused"
            })
        };
        let excluded = |namespace: &str| Selection::Excluded(namespace.to_owned());
        for (kind, namespace, labels, expected) in [
            ("Deployment", "team", "", Selection::Unmatched),
            (
                "Deployment",
                "team",
                r#""llm-d.ai/inference-serving":"true""#,
                Selection::Selected,
            ),
            ("Service", "team", "", Selection::Selected),
            ("Service", "kube-system", "", excluded("kube-system")),
            ("Service", "sandbox", "", excluded("sandbox")),
            ("Service", "sandbox-2", "", Selection::Selected),
            ("Service", "refused", "", excluded("refused")),
            (
                "Service",
                "refused",
                r#""revisor.dev/record":"true""#,
                Selection::Selected,
            ),
            (
                "Service",
                "sandbox",
                r#""revisor.dev/record":"true""#,
                Selection::Selected,
            ),
            (
                "Service",
                "team",
                r#""revisor.dev/record":"false""#,
                Selection::Refused,
            ),
        ] {
            assert_eq!(
                selection(kind, namespace, labels),
                expected,
                "{kind} {namespace} {labels}"
            );
        }
    }

    #[test]
    fn odd_shapes_are_unmatched() {
        for json in [
            "{}",
            "[]",
            r#"{"metadata":1,"spec":"x"}"#,
            r#"{"spec":{"template":{"spec":{"containers":{"a":1}}}}}"#,
        ] {
            assert_eq!(decide("Deployment", json), Selection::Unmatched, "{json}");
        }
    }
}
