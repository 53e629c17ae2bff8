//! The components of a workload, as its kind file's jq finds them, as parts of a view. Pure.

use super::pod::{self, Amounts, PodTemplate, Variable, environment};
use crate::kinds::{Shape, ViewFile};
use crate::quantity::Quantity;
use crate::redact::Names;
use crate::revision::limits::{MAX_IMAGE, MAX_IMAGES, MAX_ITEM, MAX_ITEMS, MAX_NAMES};
use crate::revision::{Pods, View};
use crate::text::{cut, visible};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

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
    pod: PodTemplate<'a>,
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
        Some(Self {
            name: output["name"].as_str().unwrap_or_default(),
            pod: PodTemplate::new(&output["pod"]),
            replicas: number(&output["replicas"]),
            min: number(&output["min"]),
            max: number(&output["max"]),
            pods: number(&output["pods"]),
            node_pools: strings(&output["nodePools"]).map(str::to_owned).collect(),
            unresolved: strings(&output["unresolved"]).collect(),
        })
    }

    /// How many pods there are at least.
    fn count(&self) -> i64 {
        self.pods
            .or(self.replicas)
            .or(self.min)
            .unwrap_or(1)
            .clamp(0, i64::from(i32::MAX))
    }
}

/// The texts of a list.
fn strings(list: &Value) -> impl Iterator<Item = &str> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str)
}

/// How many pods a component has at least; none when any number is right: it scales to zero, or does not say.
pub(super) fn pods(output: &Value) -> Option<i64> {
    let component = Component::read(output)?;
    let said = component
        .pods
        .or(component.replicas)
        .or(component.min)
        .is_some();
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

/// Keeps parts of a view small, and remembers whether anything was left out.
#[derive(Default)]
struct Keep {
    less: bool,
}

impl Keep {
    /// At most so many of a list.
    fn first<T>(&mut self, most: usize, items: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut items = items.into_iter();
        let kept = items.by_ref().take(most).collect();
        self.less |= items.next().is_some();
        kept
    }

    /// At most so long a text.
    fn text(&mut self, text: &str, most: usize) -> String {
        let visible = visible(text);
        let kept = cut(&visible, most);
        self.less |= matches!(kept, Cow::Owned(_));
        kept.into_owned()
    }
}

/// Fills in what the components say.
pub(super) fn fill(view: &mut View, file: &ViewFile, outputs: &[Value], names: &Names) {
    let mut keep = Keep::default();
    let mut all: Vec<_> = outputs.iter().filter_map(Component::read).collect();
    let main = all
        .iter()
        .position(|component| Some(component.name) == file.main.as_deref())
        .unwrap_or_default();
    if all.is_empty() {
        view.unresolved.push("components".to_owned());
        return;
    }
    all[..=main].rotate_right(1);
    let containers = all[0].pod.containers(&file.container);
    if let Some(main) = containers.first() {
        let command = texts(&main["command"], &mut keep);
        let args = texts(&main["args"], &mut keep);
        let is_plain = |field| names.is_plain_path(&pod::path(main, &[field]));
        let judges = |field| Some(names).filter(|_| !is_plain(field));
        view.command = shown_texts(&[], &command, judges("command"), &mut keep);
        view.args = shown_texts(&command, &args, judges("args"), &mut keep);
        let variables = keep.first(MAX_ITEMS, environment(main, names));
        view.env = variables
            .iter()
            .map(|variable| short(variable, &mut keep))
            .collect();
    }
    view.images = images(&all, &file.container, names, &mut keep);
    view.unresolved = unresolved(&all, &file.container, &mut keep);
    request(view, &all, &mut keep);
    view.truncated |= keep.less;
}

/// What the components do not name: the image of a main container, the devices behind resource claims, and what the
/// kind file says.
fn unresolved(all: &[Component<'_>], main: &[String], keep: &mut Keep) -> Vec<String> {
    let mut marks: Vec<String> = Vec::new();
    for (i, component) in all.iter().enumerate() {
        let containers = component.pod.containers(main);
        let image = containers
            .first()
            .and_then(|container| container["image"].as_str());
        if image.is_none_or(str::is_empty) {
            marks.push(if i == 0 || component.name.is_empty() {
                "images".to_owned()
            } else {
                format!("images of {}", component.name)
            });
        }
    }
    if all.iter().any(|component| component.pod.has_claims()) {
        marks.push("resourceClaims".to_owned());
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
    let scaled = main.min.is_some() || main.max.is_some();
    let pods = Pods {
        number: int(main.replicas).filter(|_| !scaled),
        min: int(main.min),
        max: int(main.max),
    };
    let mut total: BTreeMap<String, Quantity> = BTreeMap::new();
    for component in all {
        for (name, amount) in component.pod.requests() {
            let sum = total.remove(&name).unwrap_or_default() + amount * component.count();
            total.insert(name, sum);
        }
    }
    let pools = if main.node_pools.is_empty() {
        main.pod.node_pools()
    } else {
        main.node_pools.clone()
    };
    let kept = keep.first(MAX_NAMES, pools);
    view.node_pools = kept.iter().map(|pool| keep.text(pool, MAX_ITEM)).collect();
    view.pods = (pods != Pods::default()).then_some(pods);
    view.requests_per_pod = shown(&main.pod.requests(), keep);
    view.requests_total = shown(&total, keep);
}

fn int(number: Option<i64>) -> Option<i32> {
    number.and_then(|number| i32::try_from(number).ok())
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

/// Images of all containers, the main one first, init containers last, each once.
fn images(all: &[Component<'_>], main: &[String], names: &Names, keep: &mut Keep) -> Vec<String> {
    let running = all
        .iter()
        .flat_map(|component| component.pod.containers(main));
    let starting = all
        .iter()
        .flat_map(|component| component.pod.init_containers());
    let mut seen = HashSet::new();
    let named = running
        .chain(starting)
        .filter_map(|container| container["image"].as_str());
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
    shown.iter().map(|item| keep.text(item, MAX_ITEM)).collect()
}

/// `NAME=value`; a name with the sign in it would be read wrongly.
fn short(variable: &Variable<'_>, keep: &mut Keep) -> String {
    let name = keep.text(&variable.name, MAX_ITEM).replace('=', "_");
    format!("{name}={}", keep.text(&variable.value, MAX_ITEM))
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
                container("args", json!([text(512)])),
                container("args", json!([text(513)])),
            ),
            (container("image", text(512)), container("image", text(513))),
            (
                container("env", json!([{"name": "A", "value": text(512)}])),
                container("env", json!([{"name": "A", "value": text(513)}])),
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
                ["resourceClaims", "more"]
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
