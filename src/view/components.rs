//! The components of a workload, as its kind file's jq finds them, as parts of a view. Pure.

use super::keep::Keep;
use super::model;
use super::pod::{self, PodTemplate, Variable, environment};
use super::resources::{Amounts, add_one};
use crate::kinds::{Hardware, Shape, ViewFile};
use crate::redact::Names;
use crate::revision::limits::{MAX_IMAGE, MAX_IMAGES, MAX_ITEM, MAX_ITEMS, MAX_NAMES};
use crate::revision::{Pods, View};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

/// All that is read of a component.
pub const SHAPE: Shape = Shape::Fields(&[
    ("name", Shape::Whole),
    ("group", Shape::Whole),
    ("pod", pod::SHAPE),
    ("replicas", Shape::Whole),
    ("size", Shape::Whole),
    ("min", Shape::Whole),
    ("max", Shape::Whole),
    ("pods", Shape::Whole),
    ("model", Shape::Whole),
    ("nodePools", Shape::Whole),
    ("unresolved", Shape::Whole),
]);

/// The mark of a component whose number of pods is not known.
const PODS: &str = "pods";

/// One component: a pod template and its scale.
struct Component<'a> {
    name: &'a str,
    /// Components of one group scale together: a leader and its workers.
    group: &'a str,
    pod: PodTemplate<'a>,
    replicas: Option<i64>,
    /// Pods of each replica.
    size: Option<i64>,
    min: Option<i64>,
    max: Option<i64>,
    pods: Option<i64>,
    model: Option<&'a str>,
    node_pools: Vec<String>,
    unresolved: Vec<&'a str>,
}

impl<'a> Component<'a> {
    /// Anything but an object is none.
    fn read(output: &'a Value, hardware: &'a Hardware) -> Option<Self> {
        output.as_object()?;
        Some(Self {
            name: output["name"].as_str().unwrap_or_default(),
            group: output["group"].as_str().unwrap_or_default(),
            pod: PodTemplate::new(&output["pod"], hardware),
            replicas: number(&output["replicas"]),
            size: number(&output["size"]),
            min: number(&output["min"]),
            // 0 is how operators write that there is no limit.
            max: number(&output["max"]).filter(|max| *max > 0),
            pods: number(&output["pods"]),
            model: output["model"].as_str().filter(|model| !model.is_empty()),
            node_pools: strings(&output["nodePools"]).map(str::to_owned).collect(),
            unresolved: strings(&output["unresolved"]).collect(),
        })
    }

    /// How many pods there are at least.
    fn count(&self) -> i64 {
        let replicas = || self.replicas.or(self.min).unwrap_or(1);
        self.pods
            .unwrap_or_else(|| replicas().saturating_mul(self.size.unwrap_or(1)))
            .clamp(0, i64::from(i32::MAX))
    }

    /// How many pods each replica has.
    fn size(&self) -> i64 {
        let derived = || match (self.pods, self.replicas.or(self.min)) {
            (Some(pods), Some(replicas)) if replicas > 0 => pods / replicas,
            _ => 1,
        };
        self.size.unwrap_or_else(derived).max(0)
    }

    /// Whether the number of its pods is known.
    fn is_counted(&self) -> bool {
        !self.unresolved.contains(&PODS)
    }

    fn is_of(&self, group: &Self) -> bool {
        std::ptr::eq(self, group) || (!group.group.is_empty() && self.group == group.group)
    }

    fn node_pools(&self) -> Vec<String> {
        if self.node_pools.is_empty() {
            self.pod.node_pools()
        } else {
            self.node_pools.clone()
        }
    }
}

/// The texts of a list.
fn strings(list: &Value) -> impl Iterator<Item = &str> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str)
}

/// How many pods a component has at least; none when any number is right: it scales to zero, or does not say.
pub(super) fn pods(output: &Value) -> Option<i64> {
    let hardware = Hardware::default();
    let component = Component::read(output, &hardware)?;
    let said = component
        .pods
        .or(component.replicas)
        .or(component.min)
        .is_some();
    (said && component.min != Some(0)).then(|| component.count())
}

/// The main component: that of the kind file, or the first, unless it asks for no accelerator and another one does. One
/// whose container is known to its operator only may ask for some.
fn main_of(all: &[Component<'_>], file: &ViewFile) -> usize {
    let named = all
        .iter()
        .position(|component| Some(component.name) == file.main.as_deref());
    let first = named.unwrap_or_default();
    let Some(component) = all.get(first) else {
        return first;
    };
    let is_known = !image_of(component, &file.container).is_empty();
    if component.pod.has_accelerators() || (named.is_some() && !is_known) {
        return first;
    }
    let accelerated = all.iter().position(|one| one.pod.has_accelerators());
    accelerated.unwrap_or(first)
}

/// The image of the main container; empty when it is not named.
fn image_of<'a>(component: &Component<'a>, main: &[String]) -> &'a str {
    let containers = component.pod.containers(main);
    let image = containers.first().map(|container| &container["image"]);
    image.and_then(Value::as_str).unwrap_or_default()
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
    let mut keep = Keep::default();
    let hardware = &file.hardware;
    let read = |output| Component::read(output, hardware);
    let mut all: Vec<_> = outputs.iter().filter_map(read).collect();
    if all.is_empty() {
        view.unresolved.push("components".to_owned());
        return;
    }
    let main = main_of(&all, file);
    all[..=main].rotate_right(1);
    if let Some(main) = all[0].pod.containers(&file.container).first() {
        container(view, main, names, &mut keep);
    }
    view.images = images(&all, &file.container, names, &mut keep);
    view.model = model_of(&all, &file.container)
        .map(|model| keep.text(&names.text(&model), MAX_ITEM))
        .unwrap_or_default();
    view.unresolved = unresolved(&all, &file.container, &mut keep);
    request(view, &all, &mut keep);
    view.truncated |= keep.less;
}

/// Fills in what the main container says.
fn container(view: &mut View, main: &Value, names: &Names, keep: &mut Keep) {
    let command = texts(&main["command"], keep);
    let args = texts(&main["args"], keep);
    let is_plain = |field| names.is_plain_path(&pod::path(main, &[field]));
    let judges = |field| Some(names).filter(|_| !is_plain(field));
    view.command = shown_texts(&[], &command, judges("command"), keep);
    view.args = shown_texts(&command, &args, judges("args"), keep);
    let variables = keep.first(MAX_ITEMS, environment(main, names));
    view.env = variables
        .iter()
        .map(|variable| short(variable, keep))
        .collect();
}

/// The model that is served: as the kind's own field names it, else as a container takes it, else the image volume.
fn model_of(all: &[Component<'_>], main: &[String]) -> Option<String> {
    if let Some(named) = all.iter().find_map(|component| component.model) {
        return Some(named.to_owned());
    }
    let mut containers = all
        .iter()
        .flat_map(|component| component.pod.containers(main));
    let served = containers.find_map(model::of_container);
    let is_remote = served.as_ref().is_some_and(|model| !model.starts_with('/'));
    let mounted = || {
        let mut images = all
            .iter()
            .flat_map(|component| component.pod.image_volumes());
        Some(format!("oci://{}", images.next()?))
    };
    if is_remote {
        served
    } else {
        mounted().or(served)
    }
}

/// What the components do not name: the image of a main container, the devices behind resource claims, and what the
/// kind file says.
fn unresolved(all: &[Component<'_>], main: &[String], keep: &mut Keep) -> Vec<String> {
    let mut marks: Vec<String> = Vec::new();
    for (i, component) in all.iter().enumerate() {
        if image_of(component, main).is_empty() {
            marks.push(if i == 0 || component.name.is_empty() {
                "images".to_owned()
            } else {
                format!("images of {}", component.name)
            });
        }
    }
    for component in all {
        let claims = component.pod.claims();
        if !claims.is_empty() {
            let mark = format!("resourceClaims {}", claims.join(" "));
            marks.push(mark.trim_end().to_owned());
        }
    }
    marks.extend(
        all.iter()
            .flat_map(|component| &component.unresolved)
            .map(|mark| (*mark).to_owned()),
    );
    let mut seen = HashSet::new();
    marks.retain(|mark| seen.insert(mark.clone()));
    keep.first(MAX_NAMES, marks)
        .iter()
        .map(|mark| keep.text(mark, MAX_ITEM))
        .collect()
}

/// What the workload asks for.
fn request(view: &mut View, all: &[Component<'_>], keep: &mut Keep) {
    let main = &all[0];
    let mut pools: Vec<String> = Vec::new();
    for pool in all.iter().flat_map(Component::node_pools) {
        if !pools.contains(&pool) {
            pools.push(pool);
        }
    }
    let kept = keep.first(MAX_NAMES, pools);
    view.node_pools = kept.iter().map(|pool| keep.text(pool, MAX_ITEM)).collect();
    view.pods = Some(pods_of(all)).filter(|pods| *pods != Pods::default());
    view.requests_per_pod = shown(&main.pod.requests(), keep);
    view.requests_total = shown(&total(all, PodTemplate::requests), keep);
    view.limits_per_pod = shown(&main.pod.limits(), keep);
    view.limits_total = shown(&total(all, PodTemplate::limits), keep);
}

/// The pods of the main component and of those that scale together with it.
fn pods_of(all: &[Component<'_>]) -> Pods {
    let main = &all[0];
    let group = || all.iter().filter(|component| component.is_of(main));
    let size: i64 = group().map(Component::size).sum();
    let pods = |replicas: i64| i32::try_from(replicas.saturating_mul(size)).ok();
    if main.min.is_some() || main.max.is_some() {
        return Pods {
            number: None,
            min: main.min.and_then(pods),
            max: main.max.and_then(pods),
        };
    }
    let count = || i32::try_from(group().map(Component::count).sum::<i64>()).ok();
    Pods {
        number: main.pods.or(main.replicas).and_then(|_| count()),
        ..Pods::default()
    }
}

/// The amounts of all pods together.
fn total<'a>(all: &[Component<'a>], of: impl Fn(PodTemplate<'a>) -> Amounts) -> Amounts {
    let mut total = Amounts::new();
    for component in all.iter().filter(|component| component.is_counted()) {
        for (name, amount) in of(component.pod) {
            add_one(&mut total, &name, amount * component.count());
        }
    }
    total
}

fn shown(amounts: &Amounts, keep: &mut Keep) -> BTreeMap<String, String> {
    // No resource has such a name; in the text of all of them it would look like two.
    let sound = |name: &str| !name.contains([',', '=']);
    let some = amounts
        .iter()
        .filter(|(name, amount)| !amount.is_zero() && sound(name));
    let kept = keep.first(MAX_ITEMS, some);
    kept.into_iter()
        .map(|(name, amount)| (keep.text(name, MAX_ITEM), amount.to_string()))
        .collect()
}

/// Images of all containers, the main one first, those of init containers and volumes last, each once.
fn images(all: &[Component<'_>], main: &[String], names: &Names, keep: &mut Keep) -> Vec<String> {
    let running = all
        .iter()
        .flat_map(|component| component.pod.containers(main));
    let starting = all
        .iter()
        .flat_map(|component| component.pod.init_containers());
    let mut seen = HashSet::new();
    let mounted = all
        .iter()
        .flat_map(|component| component.pod.image_volumes());
    let named = running
        .chain(starting)
        .filter_map(|container| container["image"].as_str())
        .chain(mounted);
    let images: Vec<_> = named
        .filter(|image| !image.is_empty() && seen.insert(*image))
        .collect();
    let kept = keep.first(MAX_IMAGES, images);
    kept.into_iter()
        .map(|image| keep.text(&names.text(image), MAX_IMAGE))
        .collect()
}

/// A list of arguments, or a single one.
fn texts<'v>(value: &'v Value, keep: &mut Keep) -> Vec<&'v str> {
    match value {
        Value::Array(items) => keep.first(MAX_ITEMS, items.iter().filter_map(Value::as_str)),
        Value::String(text) => vec![text],
        _ => Vec::new(),
    }
}

/// Arguments without secrets, given those before them; all as they are when there are no `names` to judge them by.
fn shown_texts(
    before: &[&str],
    items: &[&str],
    names: Option<&Names>,
    keep: &mut Keep,
) -> Vec<String> {
    let shown = names.map(|names| names.arguments(before, items));
    let shown = shown.unwrap_or_else(|| items.iter().copied().map(Cow::Borrowed).collect());
    shown.iter().map(|item| keep.argument(item)).collect()
}

/// `NAME=value`; a name with the sign in it would be read wrongly.
fn short(variable: &Variable<'_>, keep: &mut Keep) -> String {
    let name = keep.text(&variable.name, MAX_ITEM).replace('=', "_");
    format!("{name}={}", keep.argument(&variable.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{Catalogue, Kind};
    use serde_json::json;
    use std::sync::Arc;

    fn filled(outputs: &[Value]) -> View {
        let catalogue = Catalogue::built_in();
        let kind: &Arc<Kind> = catalogue
            .kinds()
            .iter()
            .find(|kind| kind.kind == "Deployment")
            .expect("built in");
        let mut view = View::default();
        fill(
            &mut view,
            kind.view.as_ref().expect("a view"),
            outputs,
            &Names::default(),
        );
        view
    }

    #[test]
    fn whatever_is_left_out_is_said() {
        let many = |count: usize, item: fn(usize) -> Value| (0..count).map(item).collect::<Value>();
        let container = |field: &str, value: Value| json!({"pod": {"spec": {"containers": [{"image": "i", field: value}]}}});
        let text = |length: usize| json!("x".repeat(length));
        let images = |i: usize| json!({"image": format!("i{i}")});
        let amounts = |count: usize| {
            let entries = (0..count).map(|i| (format!("x.y/r{i}"), json!(1)));
            json!({"requests": entries.collect::<serde_json::Map<_, _>>()})
        };
        for (fits, more) in [
            (
                container("args", many(256, |i| json!(i.to_string()))),
                container("args", many(257, |i| json!(i.to_string()))),
            ),
            (
                container("command", many(256, |_| json!("x"))),
                container("command", many(257, |_| json!("x"))),
            ),
            (
                container("env", many(256, |i| json!({"name": i.to_string()}))),
                container("env", many(257, |i| json!({"name": i.to_string()}))),
            ),
            (
                container("args", json!([text(4096)])),
                container("args", json!([text(4097)])),
            ),
            (container("image", text(512)), container("image", text(513))),
            (
                container("env", json!([{"name": "A", "value": text(4096)}])),
                container("env", json!([{"name": "A", "value": text(4097)}])),
            ),
            (
                container("resources", amounts(256)),
                container("resources", amounts(257)),
            ),
            (
                json!({"pod": {"spec": {"containers": many(32, images)}}}),
                json!({"pod": {"spec": {"containers": many(33, images)}}}),
            ),
            (
                json!({"nodePools": many(32, |i| json!(i.to_string()))}),
                json!({"nodePools": many(33, |i| json!(i.to_string()))}),
            ),
            (
                json!({"unresolved": many(31, |i| json!(i.to_string()))}),
                json!({"unresolved": many(32, |i| json!(i.to_string()))}),
            ),
        ] {
            assert!(!filled(&[fits]).truncated, "just before: {more}");
            assert!(filled(std::slice::from_ref(&more)).truncated, "{more}");
        }
    }

    #[test]
    fn what_is_not_named_is_marked_for_every_component() {
        let part = |name: &str, image: Value| json!({"name": name, "pod": {"spec": {"containers": [{"image": image}, {"image": "side"}]}}});
        let view = filled(&[
            part("main", json!("i")),
            part("worker", json!("")),
            part("x", Value::Null),
            json!({"name": "none"}),
        ]);
        assert_eq!(
            view.unresolved,
            ["images of worker", "images of x", "images of none"]
        );
        assert_eq!(
            filled(&[part("main", Value::Null), part("b", json!("i"))]).unresolved,
            ["images"]
        );
        let pod = |spec: Value| json!({"pod": {"spec": spec}, "unresolved": ["more"]});
        let claims = [
            json!({"containers": [{"image": "i"}], "resourceClaims": [{"name": "gpu"}]}),
            json!({"containers": [{"image": "i", "resources": {"claims": [{"name": "gpu"}]}}]}),
        ];
        for claims in claims {
            assert_eq!(
                filled(&[pod(claims)]).unresolved,
                ["resourceClaims gpu", "more"]
            );
        }
        assert_eq!(
            filled(&[pod(
                json!({"containers": [{"image": "i"}], "resourceClaims": []})
            )])
            .unresolved,
            ["more"]
        );
    }
}
