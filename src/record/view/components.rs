//! The components of a workload, as its kind file's jq finds them, as parts of a view. Pure.

use super::cut;
use super::pod::{self, Amounts, Pod, Variable, environment};
use super::redact::Names;
use crate::kinds::{Shape, ViewFile};
use crate::quantity::Quantity;
use crate::revision::{Pods, Requested, View};
use serde_json::Value;
use std::collections::BTreeMap;

const MAX_IMAGES: usize = 32;
const MAX_IMAGE: usize = 512;
const MAX_ITEMS: usize = 256;
const MAX_ITEM: usize = 512;

/// All that is read of a component.
pub const SHAPE: Shape = Shape::Fields(&[
    ("name", Shape::Whole),
    ("pod", pod::SHAPE),
    ("replicas", Shape::Whole),
    ("min", Shape::Whole),
    ("max", Shape::Whole),
    ("pods", Shape::Whole),
    ("nodePools", Shape::Whole),
    ("unresolved", Shape::Whole),
]);

/// One component: a pod template and its scale.
struct Component<'a> {
    name: &'a str,
    pod: Pod<'a>,
    replicas: Option<i64>,
    min: Option<i64>,
    max: Option<i64>,
    pods: Option<i64>,
    node_pools: Vec<String>,
    unresolved: Vec<&'a str>,
}

impl<'a> Component<'a> {
    /// Anything but an object is none.
    fn read(output: &'a Value) -> Option<Self> {
        output.as_object()?;
        let texts = |field: &str| output[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        Some(Self {
            name: output["name"].as_str().unwrap_or_default(),
            pod: Pod::new(&output["pod"]),
            replicas: number(&output["replicas"]),
            min: number(&output["min"]),
            max: number(&output["max"]),
            pods: number(&output["pods"]),
            node_pools: texts("nodePools").map(str::to_owned).collect(),
            unresolved: texts("unresolved").collect(),
        })
    }

    /// How many pods there are at least.
    fn count(&self) -> i64 {
        self.pods.or(self.replicas).or(self.min).unwrap_or(1).clamp(0, i64::from(i32::MAX))
    }
}

/// How many pods a component has at least; none when any number is right: it scales to zero, or does not say.
pub(super) fn pods(output: &Value) -> Option<i64> {
    let component = Component::read(output)?;
    let said = component.pods.or(component.replicas).or(component.min).is_some();
    (said && component.min != Some(0)).then(|| component.count())
}

/// A number, also one in a text, as annotations hold it.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn whole(number: f64) -> Option<i64> {
    let fits = number.is_finite() && number.abs() < 9e15;
    // Checked above.
    #[allow(clippy::cast_possible_truncation)]
    fits.then_some(number as i64)
}

/// Fills in what the components say.
pub(super) fn fill(view: &mut View, file: &ViewFile, outputs: &[Value], names: &Names) {
    let mut all: Vec<_> = outputs.iter().filter_map(Component::read).collect();
    let main =
        all.iter().position(|component| Some(component.name) == file.main.as_deref()).unwrap_or_default();
    if all.is_empty() {
        view.unresolved.push("components".to_owned());
        return;
    }
    all[..=main].rotate_right(1);
    let containers = all[0].pod.containers(&file.container);
    if let Some(main) = containers.first() {
        view.command = texts(&main["command"], names);
        view.args = texts(&main["args"], names);
        view.env = environment(main, names).iter().take(MAX_ITEMS).map(short).collect();
    }
    view.images = images(&all, &file.container, names);
    if containers.first().is_none_or(|main| main["image"].as_str().is_none_or(str::is_empty)) {
        view.unresolved.push("images".to_owned());
    }
    let marks = all.iter().flat_map(|component| &component.unresolved);
    view.unresolved.extend(marks.map(|mark| cut(mark, MAX_ITEM)));
    let requested = requested(&all);
    view.requested = (requested != Requested::default()).then_some(requested);
}

fn requested(all: &[Component<'_>]) -> Requested {
    let main = &all[0];
    let int = |number: Option<i64>| number.and_then(|number| i32::try_from(number).ok());
    let scaled = main.min.is_some() || main.max.is_some();
    let pods =
        Pods { number: int(main.replicas).filter(|_| !scaled), min: int(main.min), max: int(main.max) };
    let mut total: BTreeMap<String, Quantity> = BTreeMap::new();
    for component in all {
        for (name, amount) in component.pod.requests() {
            let sum = total.remove(&name).unwrap_or_default() + amount * component.count();
            total.insert(name, sum);
        }
    }
    let pools = if main.node_pools.is_empty() { main.pod.node_pools() } else { main.node_pools.clone() };
    Requested {
        node_pools: pools.iter().take(MAX_IMAGES).map(|pool| cut(pool, MAX_ITEM)).collect(),
        pods: (pods != Pods::default()).then_some(pods),
        per_pod: shown(&main.pod.requests()),
        total: shown(&total),
    }
}

fn shown(amounts: &Amounts) -> BTreeMap<String, String> {
    let kept = amounts.iter().filter(|(_, amount)| !amount.is_zero()).take(MAX_ITEMS);
    kept.map(|(name, amount)| (cut(name, MAX_ITEM), amount.to_string())).collect()
}

/// Images of all containers, the main one first, init containers last, each once.
fn images(all: &[Component<'_>], main: &[String], names: &Names) -> Vec<String> {
    let running = all.iter().flat_map(|component| component.pod.containers(main));
    let starting = all.iter().flat_map(|component| component.pod.init_containers());
    let mut images: Vec<String> = Vec::new();
    for image in running.chain(starting).filter_map(|container| container["image"].as_str()) {
        let image = cut(&names.text(image), MAX_IMAGE);
        if !image.is_empty() && images.len() < MAX_IMAGES && !images.contains(&image) {
            images.push(image);
        }
    }
    images
}

/// A list of arguments, or a single one.
fn texts(value: &Value, names: &Names) -> Vec<String> {
    let items: Vec<&str> = match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).take(MAX_ITEMS).collect(),
        Value::String(text) => vec![text],
        _ => Vec::new(),
    };
    let before = [None].into_iter().chain(items.iter().map(|item| Some(*item)));
    items.iter().zip(before).map(|(item, before)| cut(&names.argument(before, item), MAX_ITEM)).collect()
}

/// `NAME=value`; a name with the sign in it would be read wrongly.
fn short(variable: &Variable<'_>) -> String {
    let name = cut(&variable.name, MAX_ITEM).replace('=', "_");
    format!("{name}={}", cut(&variable.value, MAX_ITEM))
}
