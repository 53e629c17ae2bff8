//! Which objects are recorded: a function of the object alone. Pure.

use super::{Catalogue, GroupKind, Kind, Select};
use crate::json::Value;
use crate::revision::LABEL_RECORD;

/// Whether an object is recorded, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// It is recorded.
    Selected,
    /// Its label `revisor.dev/record` says `false`.
    Refused,
    /// It is a part of something else that is recorded.
    Owned(GroupKind),
    /// No rule of its kind matches.
    Unmatched,
}

/// Resource names that mean a GPU or another accelerator; a trailing `*` stands for any ending.
const GPUS: &[&str] = &[
    "nvidia.com/gpu",
    "nvidia.com/gpu.shared",
    "nvidia.com/mig-*",
    "amd.com/gpu",
    "intel.com/gpu",
    "gpu.intel.com/i915",
    "gpu.intel.com/xe",
    "habana.ai/gaudi",
    "rebellions.ai/*",
    "google.com/tpu",
    "aws.amazon.com/neuron*",
    "huawei.com/Ascend*",
];

/// Decides for one whole object of `kind`.
pub fn select(catalogue: &Catalogue, kind: &Kind, object: Value<'_>) -> Selection {
    let labels = object.at(&["metadata", "labels"]);
    let record = text_of(labels, LABEL_RECORD);
    if record == Some("false") {
        return Selection::Refused;
    }
    if let Some(owner) = recorded_owner(catalogue, kind, object) {
        return Selection::Owned(owner);
    }
    let matched = match &kind.select {
        Select::Always => true,
        Select::Any {
            labels: wanted,
            gpu,
        } => {
            record == Some("true")
                || wanted.iter().any(|label| has_label(labels, label))
                || (*gpu && wants_gpu(kind, object))
        }
    };
    if matched {
        Selection::Selected
    } else {
        Selection::Unmatched
    }
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

fn wants_gpu(kind: &Kind, object: Value<'_>) -> bool {
    containers(kind, object).any(|container| {
        ["requests", "limits"]
            .iter()
            .filter_map(|part| container.at(&["resources", part]))
            .any(|resources| {
                resources.entries().any(|(name, amount)| {
                    is_gpu(name) && amount.as_str() != Some("0") && amount.as_number() != Some("0")
                })
            })
    })
}

fn is_gpu(name: &str) -> bool {
    GPUS.iter().any(|gpu| match gpu.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *gpu,
    })
}

/// What a resource name of a view or a status counts, when it is of GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuResource {
    /// Whole devices, or parts of them.
    Devices,
    /// Their memory.
    Memory,
}

/// Which resource names count as GPUs: those of whole devices. Slices of them are extended resources (contract).
pub fn gpu_resource(name: &str) -> Option<GpuResource> {
    match name {
        "gpu-memory" => Some(GpuResource::Memory),
        _ if name.starts_with("nvidia.com/mig-") => None,
        _ => is_gpu(name).then_some(GpuResource::Devices),
    }
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
    fn the_devices_of_every_vendor_are_known() {
        use GpuResource::{Devices, Memory};
        for (name, wanted, counted) in [
            ("nvidia.com/gpu", true, Some(Devices)),
            ("nvidia.com/gpu.shared", true, Some(Devices)),
            ("nvidia.com/mig-1g.5gb", true, None),
            ("amd.com/gpu", true, Some(Devices)),
            ("intel.com/gpu", true, Some(Devices)),
            ("gpu.intel.com/i915", true, Some(Devices)),
            ("gpu.intel.com/xe", true, Some(Devices)),
            ("gpu.intel.com/i915_monitoring", false, None),
            ("gpu.intel.com/xe_monitoring", false, None),
            ("gpu.intel.com/millicores", false, None),
            ("gpu.intel.com/memory.max", false, None),
            ("habana.ai/gaudi", true, Some(Devices)),
            ("rebellions.ai/ATOM", true, Some(Devices)),
            ("google.com/tpu", true, Some(Devices)),
            ("aws.amazon.com/neuroncore", true, Some(Devices)),
            ("huawei.com/Ascend910", true, Some(Devices)),
            ("gpu-memory", false, Some(Memory)),
            ("nvidia.com/gpu.memory", false, None),
            ("rdma/hca", false, None),
            ("cpu", false, None),
        ] {
            let limits = format!(r#"{{"limits":{{"{name}":1}}}}"#);
            let expected = if wanted {
                Selection::Selected
            } else {
                Selection::Unmatched
            };
            assert_eq!(deployment(r#""labels":{}"#, &limits), expected, "{name}");
            assert_eq!(gpu_resource(name), counted, "{name}");
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
