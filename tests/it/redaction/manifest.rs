//! Workloads that an entry of the corpus stands in: before it came, with it, and without it again.

use super::corpus::Place;
use revisor::kinds::{Catalogue, Kind};
use serde_json::{Value, json};
use std::sync::Arc;

const IMAGE: &str = "registry.example.com/vllm:1";
const CAUSE: &str = "kubernetes.io/change-cause";
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// The kind of an entry's workload.
pub fn kind(catalogue: &Catalogue, place: &Place) -> Arc<Kind> {
    let name = match place {
        Place::Field { of, .. } => of,
        _ => "Deployment",
    };
    named(catalogue, name)
}

/// A kind by its name.
pub fn named(catalogue: &Catalogue, name: &str) -> Arc<Kind> {
    let mut kinds = catalogue.kinds().iter();
    let kind = kinds.find(|kind| kind.kind == name);
    kind.unwrap_or_else(|| panic!("no kind {name}")).clone()
}

/// A workload without the entry. Each step scales it, so that each is a generation.
pub fn plain(kind: &Kind, step: i64) -> Value {
    let spec = match &*kind.kind {
        "Deployment" => deployment(step),
        "InferenceService" => json!({"predictor": {"minReplicas": step, "model":
            {"modelFormat": {"name": "huggingface"}, "storageUri": "hf://org/model"}}}),
        "NIMService" => json!({"replicas": step,
            "image": {"repository": "nvcr.io/nim/org/model", "tag": "1.8"}}),
        "RayService" => {
            json!({"serviceUnhealthySecondThreshold": step, "rayClusterConfig": {"headGroupSpec": {"template":
            {"spec": {"containers": [{"name": "head", "image": IMAGE}]}}}}})
        }
        "DynamoGraphDeployment" => json!({"services": {"Frontend": {"replicas": step,
            "extraPodSpec": {"mainContainer": {"image": IMAGE}}}}}),
        "InferenceWorkload" => json!({"image": {"value": IMAGE}, "minScale": {"value": step}}),
        "LLMInferenceService" => {
            json!({"replicas": step, "model": {"uri": "hf://org/model"}, "template":
            {"containers": [{"name": "main", "image": IMAGE}]}})
        }
        other => panic!("no workload of kind {other}"),
    };
    let group = if kind.group.is_empty() {
        String::new()
    } else {
        format!("{}/", kind.group)
    };
    json!({
        "apiVersion": format!("{group}{}", kind.versions[0]),
        "kind": kind.kind,
        "metadata": {"name": "llama", "namespace": "n", "labels": {"revisor.dev/record": "true"}},
        "spec": spec,
    })
}

fn deployment(step: i64) -> Value {
    json!({
        "replicas": step,
        "selector": {"matchLabels": {"app": "llama"}},
        "template": {
            "metadata": {"labels": {"app": "llama"}},
            "spec": {"containers": [{
                "name": "vllm", "image": IMAGE,
                "env": [{"name": "HF_HOME", "value": "/models"}],
                "ports": [{"containerPort": 8000}],
                "resources": {"limits": {"nvidia.com/gpu": "1"}},
            }]},
        },
    })
}

/// A workload with the entry. When it is `moved`, something stands before it that was not there before.
pub fn with(kind: &Kind, step: i64, place: &Place, moved: bool) -> Value {
    let mut object = plain(kind, step);
    match place {
        Place::Env { env, value } => variable(at(&mut object, CONTAINER), env, value, moved),
        Place::Init { init, value } => {
            let list = json!([{"name": "fetch", "image": IMAGE, "env": []}]);
            set(&mut object, "/spec/template/spec/initContainers", &list);
            let container = at(&mut object, "/spec/template/spec/initContainers/0");
            variable(container, init, value, moved);
        }
        Place::Command { .. } | Place::Args { .. } | Place::Shell { .. } => {
            let (command, args) = words(place, moved);
            let container = at(&mut object, CONTAINER);
            if !command.is_empty() {
                container["command"] = json!(command);
            }
            container["args"] = json!(args);
        }
        Place::Annotation { annotation, value } => {
            object["metadata"]["annotations"][annotation] = json!(value);
        }
        Place::PodAnnotation { template, value } => {
            object["spec"]["template"]["metadata"]["annotations"][template] = json!(value);
        }
        Place::Field { field, value, .. } => set(&mut object, field, value),
        Place::Container { container } => merge(at(&mut object, CONTAINER), container),
        Place::Pod { pod } => merge(at(&mut object, "/spec/template/spec"), pod),
        Place::Cause { cause } => object["metadata"]["annotations"][CAUSE] = json!(cause),
        Place::Message { .. } => {}
    }
    object
}

/// Adds a variable, behind those that are there.
fn variable(container: &mut Value, name: &str, value: &Value, moved: bool) {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let list = container["env"].as_array_mut().expect("a list");
    if moved {
        list.insert(0, json!({"name": "VLLM_LOGGING_LEVEL", "value": "INFO"}));
    }
    list.push(json!({"name": name, "value": text}));
}

/// Command and arguments. Moved, they have something new before them, and behind them where that is possible.
fn words(place: &Place, moved: bool) -> (Vec<String>, Vec<String>) {
    let only_moved = |words: &[&str]| -> Vec<String> {
        let words = words.iter().filter(|_| moved);
        words.map(|word| (*word).to_owned()).collect()
    };
    match place {
        Place::Command { command, args } => {
            let command = [only_moved(&["nice", "-n", "5"]), command.clone()].concat();
            (command, args.clone())
        }
        Place::Args { args } => {
            let before = only_moved(&["--model", "org/model"]);
            let behind = only_moved(&["--seed", "42"]);
            (Vec::new(), [before, args.clone(), behind].concat())
        }
        Place::Shell { shell } => {
            let first = if moved { "set -eu\n" } else { "" };
            let command = ["/bin/sh", "-c"].map(str::to_owned).to_vec();
            (command, vec![format!("{first}{shell}")])
        }
        _ => unreachable!("not a command"),
    }
}

fn at<'v>(object: &'v mut Value, pointer: &str) -> &'v mut Value {
    object.pointer_mut(pointer).expect("a field")
}

/// Sets what is at a pointer; objects on the way are made.
fn set(object: &mut Value, pointer: &str, value: &Value) {
    let mut at = object;
    for key in pointer.split('/').skip(1) {
        at = match key.parse::<usize>() {
            Ok(number) if at.is_array() => &mut at[number],
            _ => &mut at[key],
        };
    }
    *at = value.clone();
}

/// Adds the fields of an object to another one; those of objects within as well.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
