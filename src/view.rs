//! What people and the REST API see of a Revision: a function of two states of a workload. Pure.
//!
//! The view is at most [`MAX_BYTES`] long and holds no value that looks secret.

pub mod absent;
mod again;
mod components;
pub mod diff;
mod excerpt;
mod keep;
mod model;
pub mod normal;
mod pod;
mod resources;
mod show;
mod stored;
mod summary;

pub use again::again;
pub use components::SHAPE;
pub use stored::{judged, older_view};

pub use crate::revision::limits::{MAX_IMAGES, MAX_VIEW as MAX_BYTES};

use crate::content;
use crate::json::{Document, Value};
use crate::kinds::{Hardware, Kind, ViewFile, select};
use crate::quantity::Quantity;
use crate::redact::Names;
use crate::revision::limits::{MAX_CHANGES, MAX_IMAGE, MAX_PATH, MAX_VALUE};
use crate::revision::{FieldChange, View};
use crate::text::{cut, visible, visible_line};
use diff::{Delta, Deltas, Meaning, display};
use excerpt::excerpts;
use show::ChangeRenderer;
use std::collections::BTreeMap;
use std::mem::take;
use summary::ShownDelta;

pub use summary::NO_EFFECT;

/// One text is shown by so many of its differences.
const MAX_EXCERPTS: usize = 4;

/// Version of this extractor, kept in every view.
pub const VERSION: i32 = 7;

/// What a view says of the history before it.
#[derive(Clone, Copy, Debug)]
pub enum History<'a> {
    /// The first sight of the workload, at this generation.
    First {
        /// metadata.generation.
        generation: i64,
    },
    /// The differences against the generation before.
    Changed(&'a Deltas<'a>),
    /// The generation before is not known.
    Unknown,
}

/// The view of one whole object of `kind`; none when its spec is not an object, or when it has no content and never had
/// any. What the kind file's jq finds is added by [`complete`].
pub fn view(kind: &Kind, object: Value<'_>, history: History<'_>, names: &Names) -> Option<View> {
    if !is_viewed(object, history) {
        return None;
    }
    let Told {
        summary,
        changes,
        truncated,
    } = told_by(history, names);
    let (images, all_images) = images(kind, object, names);
    let mut view = View {
        version: VERSION,
        summary,
        changes,
        images,
        normal_digest: normal::normal(Some(kind), object).text(),
        truncated: truncated || !all_images,
        ..View::default()
    };
    view.fit();
    Some(view)
}

fn is_viewed(object: Value<'_>, history: History<'_>) -> bool {
    match object.get("spec") {
        Some(spec) => spec.is_object(),
        None => matches!(history, History::Changed(_)) || !content::fields(object).is_empty(),
    }
}

/// Adds what the kind file's jq found in the object.
pub fn complete(view: &mut View, file: &ViewFile, outputs: &[serde_json::Value], names: &Names) {
    *view = View {
        version: VERSION,
        summary: take(&mut view.summary),
        changes: take(&mut view.changes),
        normal_digest: take(&mut view.normal_digest),
        same_as: view.same_as,
        truncated: view.truncated,
        ..View::default()
    };
    components::fill(view, file, outputs, names);
    view.fit();
}

/// A difference in words.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The change in a few words.
    pub summary: String,
    /// The fields that differ, without secrets; at most [`MAX_CHANGES`].
    pub changes: Vec<FieldChange>,
    /// Whether there are more.
    pub truncated: bool,
}

/// Tells how the contents of two whole objects differ, both given as JSON; none when one of them is not JSON.
pub fn told(objects: [&str; 2], names: &Names) -> Option<Told> {
    let [from, to] = objects.map(Document::parse);
    let from = from.ok()?;
    let to = to.ok()?;
    let deltas = diff::objects(from.root(), to.root());
    let told = told_by(History::Changed(&deltas), names);
    Some(Told {
        truncated: told.truncated || deltas.truncated,
        ..told
    })
}

/// The differences in words: first those that have an effect, then those that have none.
fn told_by(history: History<'_>, names: &Names) -> Told {
    let (deltas, objects) = match history {
        History::Changed(deltas) => (deltas.list.as_slice(), deltas.objects),
        _ => (&[][..], [None, None]),
    };
    let mut ordered: Vec<_> = deltas.iter().collect();
    ordered.sort_by_key(|delta| delta.meaning == Meaning::Nothing);
    let mut renderer = ChangeRenderer::new(names, objects);
    let mut changes = Vec::new();
    let mut shown = Vec::with_capacity(ordered.len());
    for delta in ordered {
        let sides = (changes.len() < MAX_CHANGES).then(|| {
            let sides = renderer.sides(delta);
            sides.map(|side| side.map(|text| visible(&text).into_owned()))
        });
        if let Some(sides) = &sides {
            changes.extend(field_changes(delta, sides));
        }
        shown.push(ShownDelta { delta, sides });
    }
    let truncated = changes.len() > MAX_CHANGES || shown.iter().any(|delta| delta.sides.is_none());
    changes.truncate(MAX_CHANGES);
    let summary = summary::summary(history, &shown, objects);
    Told {
        summary: visible_line(&summary).into_owned(),
        changes,
        truncated,
    }
}

/// One difference; of a long text each part that differs is one.
fn field_changes(delta: &Delta<'_>, sides: &[Option<String>; 2]) -> Vec<FieldChange> {
    let parts = match sides {
        [Some(old), Some(new)] => excerpts([old, new], MAX_VALUE, MAX_EXCERPTS)
            .into_iter()
            .map(|sides| sides.map(Some))
            .collect(),
        sides => vec![sides.clone()],
    };
    let path = cut(&visible_line(&display(&delta.path)), MAX_PATH).into_owned();
    let change = |[from, to]: [Option<String>; 2]| {
        let [from, to] = [from, to].map(|side| Some(cut(&side?, MAX_VALUE).into_owned()));
        FieldChange {
            path: path.clone(),
            from,
            to,
            no_effect: delta.meaning == Meaning::Nothing,
        }
    };
    parts.into_iter().map(change).collect()
}

/// What the scheduler reserves for a pod of this template, by resource name; parts of GPUs by annotation included.
pub fn requests(template: &serde_json::Value) -> BTreeMap<String, Quantity> {
    pod::PodTemplate::new(template, &Hardware::default()).requests()
}

/// How many pods a component has at least; none when any number is right.
pub fn pods(component: &serde_json::Value) -> Option<i64> {
    components::pods(component)
}

/// Images of all containers, each once; and whether they are all there, at full length.
fn images(kind: &Kind, object: Value<'_>, names: &Names) -> (Vec<String>, bool) {
    let mut images: Vec<String> = Vec::new();
    let mut all = true;
    for container in select::containers(kind, object) {
        let Some(image) = container.get("image").and_then(Value::as_str) else {
            continue;
        };
        let shown = names.text(image);
        let whole = visible_line(&shown);
        let image = cut(&whole, MAX_IMAGE);
        if image.is_empty() || images.iter().any(|known| *known == image) {
            continue;
        }
        let fits = images.len() < MAX_IMAGES;
        all &= fits && image == whole;
        if fits {
            images.push(image.into_owned());
        }
    }
    (images, all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Catalogue;

    fn deployment(spec: &str) -> String {
        format!(r#"{{"spec":{spec}}}"#)
    }

    fn view_of(from: Option<&str>, to: &str) -> Option<View> {
        let catalogue = Catalogue::built_in();
        let kind = catalogue
            .kinds()
            .iter()
            .find(|k| k.kind == "Deployment")
            .expect("built in");
        let from = from.map(deployment);
        let to = deployment(to);
        let after = Document::parse(&to).expect("valid");
        let Some(from) = from else {
            return view(
                kind,
                after.root(),
                History::First { generation: 1 },
                &Names::default(),
            );
        };
        let before = Document::parse(&from).expect("valid");
        let deltas = diff::objects(before.root(), after.root());
        view(
            kind,
            after.root(),
            History::Changed(&deltas),
            &Names::default(),
        )
    }

    fn template(container: &str) -> String {
        format!(
            r#"{{"replicas":1,"template":{{"spec":{{"containers":[{{"name":"a",{container}}}]}}}}}}"#
        )
    }

    fn changes(from: &str, to: &str) -> (String, Vec<(String, String, String)>) {
        let view = view_of(Some(&template(from)), &template(to)).expect("a view");
        let text = |v: Option<String>| v.unwrap_or_else(|| "-".into());
        (
            view.summary,
            view.changes
                .into_iter()
                .map(|c| (c.path, text(c.from), text(c.to)))
                .collect(),
        )
    }

    #[test]
    fn a_change_of_environment_hides_secrets_only() {
        let env = |token: &str, tokens: &str| {
            format!(
                r#""env":[{{"name":"HF_TOKEN","value":"{token}"}},{{"name":"MAX_TOKENS","value":"{tokens}"}}]"#
            )
        };
        let (summary, changes) = changes(&env("hf_old", "1"), &env("hf_new", "2"));
        assert_eq!(summary, "env HF_TOKEN, env MAX_TOKENS 1→2");
        let path = "spec.template.spec.containers[a].env";
        assert_eq!(
            changes[0],
            (
                format!("{path}[HF_TOKEN].value"),
                "[redacted]".into(),
                "[redacted, changed]".into()
            )
        );
        assert_eq!(
            changes[1],
            (format!("{path}[MAX_TOKENS].value"), "1".into(), "2".into())
        );
    }

    #[test]
    fn a_variable_that_is_given_twice_is_still_redacted() {
        let env = |value: &str| {
            format!(
                r#""env":[{{"name":"API_KEY","value":"a"}},{{"name":"API_KEY","value":"{value}"}}]"#
            )
        };
        let (_, changes) = changes(&env("s3cret"), &env("s3cret2"));
        let path = "spec.template.spec.containers[a].env[1].value".to_owned();
        let [old, new] = ["[redacted]", "[redacted, changed]"].map(str::to_owned);
        assert_eq!(changes, [(path, old, new)]);
    }

    #[test]
    fn added_parts_are_redacted_inside() {
        let (summary, changes) = changes(
            r#""image":"i""#,
            r#""image":"i","env":[{"name":"API_KEY","value":"s3cret"},{"name":"A","value":"b"}],"args":["--api-key","s3cret","--x=1"]"#,
        );
        assert_eq!(summary, "+args, +env");
        assert_eq!(changes[0].2, r#"["--api-key","[redacted]","--x=1"]"#);
        assert_eq!(
            changes[1].2,
            r#"[{"name":"API_KEY","value":"[redacted]"},{"name":"A","value":"b"}]"#
        );
    }

    #[test]
    fn wrapped_values_and_lists_of_secrets_are_redacted() {
        let wrap = |token: &str| {
            format!(
                r#""env":{{"items":{{"HF_TOKEN":{{"value":"{token}"}}}}}},"credentials":["{token}"]"#
            )
        };
        let (_, changed) = changes(&wrap("old-one"), &wrap("new-one"));
        let (_, added) = changes("\"x\":1", &wrap("new-one"));
        assert_eq!((changed.len(), added.len()), (2, 3));
        let all = format!("{changed:?} {added:?}");
        assert!(!all.contains("-one"), "{all}");
    }

    #[test]
    fn a_changed_argument_after_a_secret_flag_is_redacted() {
        let (summary, changes) = changes(
            r#""args":["--hf-token","old","--p","1"]"#,
            r#""args":["--hf-token","new","--p","2"]"#,
        );
        assert_eq!(summary, "args --hf-token, args --p 1→2");
        assert_eq!(changes[0].1, "[redacted]");
        assert_eq!(changes.last().expect("changes").2, "2");
    }

    #[test]
    fn summaries_are_short() {
        assert_eq!(
            changes(r#""image":"i:1""#, r#""image":"i:2""#).0,
            "image i:1→i:2"
        );
        assert_eq!(
            changes(r#""args":["a"]"#, r#""args":["a","b","c"]"#).0,
            "args +2"
        );
        assert_eq!(
            changes(r#""args":["a","b"]"#, r#""args":["a"]"#).0,
            "args -1"
        );
        let limits = |n| format!(r#""resources":{{"limits":{{"nvidia.com/gpu":"{n}"}}}}"#);
        assert_eq!(
            changes(&limits(1), &limits(2)).0,
            "limits.nvidia.com/gpu 1→2"
        );
        let scaled = view_of(Some(r#"{"replicas":1}"#), r#"{"replicas":3}"#).expect("a view");
        assert_eq!(scaled.summary, "replicas 1→3");
        assert_eq!(view_of(None, "{}").expect("a view").summary, "created");
    }

    #[test]
    fn a_view_stays_small() {
        let big = |c: char| {
            let item = |i: usize| {
                format!(
                    r#""{}{i}":"{}""#,
                    c.to_string().repeat(300),
                    "\\u0001".repeat(200)
                )
            };
            format!("{{{}}}", (0..2000).map(item).collect::<Vec<_>>().join(","))
        };
        let view = view_of(Some(&big('a')), &big('b')).expect("a view");
        assert!(view.truncated && view.changes.len() <= MAX_CHANGES);
        assert!(serde_json::to_vec(&view).expect("json").len() <= MAX_BYTES);
        assert!(view.summary.chars().count() <= 120, "{}", view.summary);
    }

    #[test]
    fn images_come_from_all_containers_without_duplicates() {
        let spec = r#"{"template":{"spec":{"initContainers":[{"name":"i","image":"init"}],
            "containers":[{"name":"a","image":"main"},{"name":"b"},{"name":"c","image":"side"},{"name":"d","image":"main"}]}}}"#;
        assert_eq!(
            view_of(None, spec).expect("a view").images,
            ["main", "side", "init"]
        );
    }

    #[test]
    fn images_that_are_left_out_are_said() {
        let images = |count: usize, length: usize| {
            let one = |i: usize| format!(r#"{{"name":"{i}","image":"{i:0>length$}"}}"#);
            let all = (0..count).map(one).collect::<Vec<_>>().join(",");
            view_of(
                None,
                &format!(r#"{{"template":{{"spec":{{"containers":[{all}]}}}}}}"#),
            )
            .expect("a view")
        };
        assert!(!images(32, 5).truncated && !images(1, 512).truncated);
        assert!(images(33, 5).truncated && images(1, 513).truncated);
    }

    #[test]
    fn a_spec_that_is_no_object_has_no_view() {
        for spec in ["1", "\"x\"", "null", "[]"] {
            assert_eq!(view_of(None, spec), None, "{spec}");
        }
    }

    #[test]
    fn an_object_without_a_spec_has_a_view_of_its_other_fields() {
        let of = |from: Option<&str>, to: &str| {
            let catalogue = Catalogue::built_in();
            let before = from.map(|from| Document::parse(from).expect("valid"));
            let after = Document::parse(to).expect("valid");
            let deltas = before
                .as_ref()
                .map(|before| diff::objects(before.root(), after.root()));
            let history = match &deltas {
                Some(deltas) => History::Changed(deltas),
                None => History::First { generation: 1 },
            };
            view(
                &catalogue.kinds()[0],
                after.root(),
                history,
                &Names::default(),
            )
        };
        let changed = of(
            Some(r#"{"data":{"a":"1","password":"x"},"status":1}"#),
            r#"{"data":{"a":"2","password":"y"},"status":2}"#,
        )
        .expect("a view");
        let changes: Vec<_> = changed
            .changes
            .iter()
            .map(|change| (change.path.as_str(), change.to.as_deref()))
            .collect();
        assert_eq!(
            changes,
            [
                ("data.a", Some("2")),
                ("data.password", Some("[redacted, changed]"))
            ]
        );
        let first = of(None, r#"{"data":{}}"#).expect("a view");
        assert_eq!(first.summary, "created");
        assert!(of(Some(r#"{"data":{}}"#), "{}").is_some());
        assert_eq!(of(None, r#"{"metadata":{},"status":{}}"#), None);
    }

    proptest::proptest! {
        #[test]
        fn any_two_specs_make_a_view(a in proptest::string::string_regex(SPEC).expect("regex"), b in proptest::string::string_regex(SPEC).expect("regex")) {
            let once = view_of(Some(&template(&a)), &template(&b));
            proptest::prop_assert!(once.is_some());
            proptest::prop_assert_eq!(once, view_of(Some(&template(&a)), &template(&b)));
        }
    }

    const SPEC: &str = r#""(image|args|env|x)":("[a-z:é]{0,6}"|\["[-a-z=]{0,6}"(,"[a-z]{0,4}"){0,2}\]|\[\{"name":"(A|TOKEN)","value":("x"|1|null|\[\])\}\]|null|[1-9][0-9]{0,2}|\{\})"#;
}
