//! The differences between two contents, field by field. Pure, and bounded in depth and number.

mod list;
mod words;

pub(crate) use list::{find, place, position};

use crate::content;
use crate::json::Value;
use list::{in_another_order, key_of, named, placed};
use std::collections::HashMap;
use std::fmt::Write;

/// Below this depth a difference is shown as one.
const MAX_DEPTH: usize = 64;
/// More differences than this are not told apart.
const MAX_DELTAS: usize = 2048;

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'d> {
    /// A key of an object.
    Key(&'d str),
    /// A list item by the field that tells the items apart, mostly its `name`.
    Name(&'d str),
    /// A list item by its place.
    Index(usize),
    /// A list item by its place before and after.
    Moved {
        /// In the list before.
        from: usize,
        /// In the list after.
        to: usize,
    },
}

impl<'d> Segment<'d> {
    /// The key, when this is a step into an object.
    pub fn key(self) -> Option<&'d str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Name(_) | Self::Index(_) | Self::Moved { .. } => None,
        }
    }
}

/// What a difference means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meaning {
    /// Another value.
    #[default]
    Value,
    /// The items of a list in another order.
    Order,
    /// Nothing: other words for the same, or a default of the API that is written out.
    Nothing,
}

/// One difference.
#[derive(Clone, Debug)]
pub struct Delta<'d> {
    /// Where.
    pub path: Vec<Segment<'d>>,
    /// The value before; none when it was added.
    pub from: Option<Value<'d>>,
    /// The value after; none when it was removed.
    pub to: Option<Value<'d>>,
    /// What it means.
    pub meaning: Meaning,
}

/// All differences, in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Deltas<'d> {
    /// The differences.
    pub list: Vec<Delta<'d>>,
    /// Whether there are more.
    pub truncated: bool,
    /// The whole objects, before and after, in which the paths begin: names around a value tell whether it is a secret.
    pub objects: [Option<Value<'d>>; 2],
}

/// Compares two values that both stand at the key `root`.
pub fn diff<'d>(root: &'d str, from: Value<'d>, to: Value<'d>) -> Deltas<'d> {
    let first = child(&[], Segment::Key(root), Some(from), Some(to));
    differences(vec![first])
}

/// Compares the contents of two whole objects (see [`content::fields`]).
pub fn objects<'d>(from: Value<'d>, to: Value<'d>) -> Deltas<'d> {
    let old = content::fields(from);
    let new = content::fields(to);
    let mut names: Vec<_> = old.iter().chain(&new).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    let roots = names
        .into_iter()
        .rev()
        .map(|name| {
            child(
                &[],
                Segment::Key(name),
                field(&old, name),
                field(&new, name),
            )
        })
        .filter(|delta| changed(delta.from, delta.to));
    Deltas {
        objects: [Some(from), Some(to)],
        ..differences(roots.collect())
    }
}

/// The value of one of these fields, which are in canonical order.
fn field<'d>(fields: &[(&'d str, Value<'d>)], name: &str) -> Option<Value<'d>> {
    let at = fields.binary_search_by(|(known, _)| (*known).cmp(name));
    at.ok().map(|at| fields[at].1)
}

/// The smallest differences within the `open` ones, of which the last comes first.
fn differences(mut open: Vec<Delta<'_>>) -> Deltas<'_> {
    let mut deltas = Deltas::default();
    while let Some(delta) = open.pop() {
        if deltas.list.len() == MAX_DELTAS {
            deltas.truncated = true;
            break;
        }
        let (Some(from), Some(to)) = (delta.from, delta.to) else {
            deltas.list.push(delta);
            continue;
        };
        if delta.meaning == Meaning::Order {
            deltas.list.push(delta);
            continue;
        }
        if from.same(to) {
            continue;
        }
        let children = if delta.path.len() >= MAX_DEPTH {
            Vec::new()
        } else {
            children(&delta.path, from, to)
        };
        if children.is_empty() {
            deltas.list.push(delta);
        }
        open.extend(children.into_iter().rev());
    }
    deltas
}

/// The parts of two different values that differ; empty when they can only be told apart as a whole.
fn children<'d>(path: &[Segment<'d>], from: Value<'d>, to: Value<'d>) -> Vec<Delta<'d>> {
    if from.is_object() && to.is_object() && !from.is_empty() && !to.is_empty() {
        return fields(path, from, to);
    }
    if !(from.is_array() && to.is_array()) || from.is_empty() || to.is_empty() {
        return Vec::new();
    }
    match key_of(from).filter(|key| key_of(to) == Some(*key)) {
        Some(key) => items(path, key, from, to),
        None if in_another_order(from, to) => vec![order(path, from, to)],
        None => placed(path, from, to),
    }
}

fn child<'d>(
    path: &[Segment<'d>],
    segment: Segment<'d>,
    from: Option<Value<'d>>,
    to: Option<Value<'d>>,
) -> Delta<'d> {
    let mut longer = Vec::with_capacity(path.len() + 1);
    longer.extend_from_slice(path);
    longer.push(segment);
    Delta {
        path: longer,
        from,
        to,
        meaning: Meaning::Value,
    }
}

fn order<'d>(path: &[Segment<'d>], from: Value<'d>, to: Value<'d>) -> Delta<'d> {
    Delta {
        path: path.to_vec(),
        from: Some(from),
        to: Some(to),
        meaning: Meaning::Order,
    }
}

fn changed(from: Option<Value<'_>>, to: Option<Value<'_>>) -> bool {
    match (from, to) {
        (Some(a), Some(b)) => !a.same(b),
        _ => true,
    }
}

fn fields<'d>(path: &[Segment<'d>], from: Value<'d>, to: Value<'d>) -> Vec<Delta<'d>> {
    let mut keys: Vec<_> = from
        .entries()
        .chain(to.entries())
        .map(|(key, _)| key)
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let above = path.iter().rev().find_map(|segment| segment.key());
    keys.into_iter()
        .filter_map(|key| {
            let old = from.get(key);
            let new = to.get(key);
            changed(old, new).then(|| Delta {
                meaning: words::meaning(above, [from, to], key, [old, new]),
                ..child(path, Segment::Key(key), old, new)
            })
        })
        .collect()
}

/// Items matched by name, and their order.
fn items<'d>(path: &[Segment<'d>], key: &str, from: Value<'d>, to: Value<'d>) -> Vec<Delta<'d>> {
    let [before, after] = [from, to].map(|list| {
        let named = list
            .items()
            .filter_map(|item| Some((named(item, key)?, item)));
        named.collect::<Vec<_>>()
    });
    let old: HashMap<_, _> = before.iter().copied().collect();
    let new: HashMap<_, _> = after.iter().copied().collect();
    let gone = before
        .iter()
        .filter(|(name, _)| !new.contains_key(name))
        .map(|(name, item)| child(path, Segment::Name(name), Some(*item), None));
    let stayed_or_came = after.iter().filter_map(|(name, item)| {
        let old = old.get(name).copied();
        changed(old, Some(*item)).then(|| child(path, Segment::Name(name), old, Some(*item)))
    });
    let stayed = before.iter().filter(|(name, _)| new.contains_key(name));
    let stays = after.iter().filter(|(name, _)| old.contains_key(name));
    let is_moved = stayed.zip(stays).any(|((a, _), (b, _))| a != b);
    let order = is_moved.then(|| order(path, from, to));
    gone.chain(stayed_or_came).chain(order).collect()
}

/// The keys of a path through objects; none when it leads through a list.
pub fn keys<'d>(path: &[Segment<'d>]) -> Option<Vec<&'d str>> {
    path.iter().map(|segment| segment.key()).collect()
}

/// The keys of a path, with `[]` for the items of lists.
pub fn pattern<'d>(path: &[Segment<'d>]) -> Vec<&'d str> {
    let step = |segment: &Segment<'d>| segment.key().unwrap_or("[]");
    path.iter().map(step).collect()
}

/// `spec.template.spec.containers[vllm].args[2]`.
pub fn display(path: &[Segment<'_>]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Key(key) if text.is_empty() => text.push_str(key),
            Segment::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            Segment::Name(name) => {
                // Writing to a String cannot fail.
                let _ = write!(text, "[{name}]");
            }
            Segment::Index(at) | Segment::Moved { to: at, .. } => {
                let _ = write!(text, "[{at}]");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;

    fn paths(from: &str, to: &str) -> Vec<String> {
        let from = Document::parse(from).expect("valid");
        let to = Document::parse(to).expect("valid");
        let deltas = diff("spec", from.root(), to.root());
        deltas.list.iter().map(shown).collect()
    }

    fn shown(delta: &Delta<'_>) -> String {
        let mark = match (delta.from, delta.to) {
            (None, _) => "+",
            (_, None) => "-",
            _ => "",
        };
        format!("{mark}{}", display(&delta.path))
    }

    #[test]
    fn differences_are_told_apart() {
        for (from, to, expected) in [
            (r#"{"a":1}"#, r#"{"a":1}"#, vec![]),
            (
                r#"{"a":1,"b":2}"#,
                r#"{"b":3,"c":4}"#,
                vec!["-spec.a", "spec.b", "+spec.c"],
            ),
            (
                r#"{"a":{"b":[1,2,3]}}"#,
                r#"{"a":{"b":[1,5,2,3]}}"#,
                vec!["+spec.a.b[1]"],
            ),
            (r#"{"a":[1,2,3]}"#, r#"{"a":[1,3]}"#, vec!["-spec.a[1]"]),
            (
                r#"[{"name":"x","v":1},{"name":"y"}]"#,
                r#"[{"name":"z"},{"name":"x","v":2}]"#,
                vec!["-spec[y]", "+spec[z]", "spec[x].v"],
            ),
            (
                r#"[{"name":"x"},{"name":"y"}]"#,
                r#"[{"name":"y"},{"name":"x"}]"#,
                vec!["spec"],
            ),
            (
                r#"[{"name":"x"},{"name":"x"}]"#,
                r#"[{"name":"x"},{"name":"w"}]"#,
                vec!["spec[1].name"],
            ),
            (r#"{"a":{}}"#, r#"{"a":{"b":1}}"#, vec!["spec.a"]),
            (r#"{"a":[]}"#, r#"{"a":{}}"#, vec!["spec.a"]),
            ("1", "\"x\"", vec!["spec"]),
            (
                r#"["--a","1","--b=2"]"#,
                r#"["--c","--a","3","--b=4"]"#,
                vec!["+spec[0]", "spec[2]", "spec[3]"],
            ),
            (
                r#"[{"groupName":"g","replicas":1},{"groupName":"h"}]"#,
                r#"[{"groupName":"h"},{"groupName":"g","replicas":2}]"#,
                vec!["spec[g].replicas", "spec"],
            ),
            (
                r#"[{"containerPort":1},{"containerPort":2,"name":"x"}]"#,
                r#"[{"containerPort":1,"hostPort":1},{"containerPort":2,"name":"x"}]"#,
                vec!["+spec[1].hostPort"],
            ),
        ] {
            assert_eq!(paths(from, to), expected, "{from} {to}");
        }
    }

    fn meanings(from: &str, to: &str) -> Vec<Meaning> {
        let from = Document::parse(from).expect("valid");
        let to = Document::parse(to).expect("valid");
        let deltas = diff("spec", from.root(), to.root());
        deltas.list.iter().map(|delta| delta.meaning).collect()
    }

    /// Two values, and what the one difference between them means.
    const MEANINGS: &[(&str, &str, Meaning)] = &[
        ("[1,2,3]", "[3,2,1]", Meaning::Order),
        (
            r#"["--a","1","--b","2"]"#,
            r#"["--b","2","--a","1"]"#,
            Meaning::Order,
        ),
        (
            r#"[{"x":1},{"y":1}]"#,
            r#"[{"y":1},{"x":1}]"#,
            Meaning::Order,
        ),
        (
            r#"[{"name":"x"},{"name":"y"}]"#,
            r#"[{"name":"y"},{"name":"x"}]"#,
            Meaning::Order,
        ),
        (
            r#"{"limits":{"cpu":"1000m"}}"#,
            r#"{"limits":{"cpu":1}}"#,
            Meaning::Nothing,
        ),
        (
            r#"{"limits":{"memory":"1Gi"}}"#,
            r#"{"limits":{"memory":"1073741824"}}"#,
            Meaning::Nothing,
        ),
        (
            r#"{"limits":{"cpu":"1000m"}}"#,
            r#"{"limits":{"cpu":2}}"#,
            Meaning::Value,
        ),
        (
            r#"{"other":{"cpu":"1000m"}}"#,
            r#"{"other":{"cpu":"1"}}"#,
            Meaning::Value,
        ),
        (
            r#"{"a":1}"#,
            r#"{"a":1,"b":{"c":null,"d":[]}}"#,
            Meaning::Nothing,
        ),
        (r#"{"a":1,"b":null}"#, r#"{"a":1,"b":{}}"#, Meaning::Nothing),
        (r#"{"a":1}"#, r#"{"a":1,"b":false}"#, Meaning::Value),
        (
            r#"{"a":1}"#,
            r#"{"a":1,"imagePullPolicy":"IfNotPresent"}"#,
            Meaning::Value,
        ),
        (
            r#"{"image":"i:1"}"#,
            r#"{"image":"i:1","imagePullPolicy":"IfNotPresent"}"#,
            Meaning::Nothing,
        ),
        (
            r#"{"image":"i:1"}"#,
            r#"{"image":"i:1","imagePullPolicy":"Always"}"#,
            Meaning::Value,
        ),
        (
            r#"{"image":"h:5/i"}"#,
            r#"{"image":"h:5/i","imagePullPolicy":"Always"}"#,
            Meaning::Nothing,
        ),
        (
            r#"{"containers":[]}"#,
            r#"{"containers":[],"dnsPolicy":"ClusterFirst"}"#,
            Meaning::Nothing,
        ),
        (
            r#"{"name":"init"}"#,
            r#"{"name":"init","restartPolicy":"Always"}"#,
            Meaning::Value,
        ),
    ];

    #[test]
    fn order_and_other_words_are_told_from_other_values() {
        for (from, to, expected) in MEANINGS {
            assert_eq!(meanings(from, to), [*expected], "{from} {to}");
        }
        assert_eq!(
            meanings(r#"["--a","1","--b","2"]"#, r#"["--a","2","--b","1"]"#).len(),
            2
        );
    }

    #[test]
    fn whole_objects_differ_in_their_content_only() {
        for (from, to, expected) in [
            (
                r#"{"metadata":{"a":1},"spec":{"a":1},"data":1}"#,
                r#"{"metadata":{"a":2},"spec":{"a":2},"data":2}"#,
                vec!["spec.a"],
            ),
            (
                r#"{"metadata":{"a":1},"data":{"a":1,"b":1},"gone":1,"status":1}"#,
                r#"{"metadata":{"a":2},"data":{"a":1,"b":2},"new":1,"status":2}"#,
                vec!["data.b", "-gone", "+new"],
            ),
            (
                r#"{"data":1}"#,
                r#"{"spec":{},"data":1}"#,
                vec!["-data", "+spec"],
            ),
            ("{}", r#"{"status":1}"#, vec![]),
        ] {
            let from = Document::parse(from).expect("valid");
            let to = Document::parse(to).expect("valid");
            let deltas = objects(from.root(), to.root());
            let found: Vec<_> = deltas.list.iter().map(shown).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = |leaf: u8| format!("{}{leaf}{}", "{\"a\":".repeat(5000), "}".repeat(5000));
        assert_eq!(paths(&deep(1), &deep(2)).len(), 1);
        let wide = |leaf: u8| format!("[{}]", vec![leaf.to_string(); 100_000].join(","));
        assert_eq!(paths(&wide(1), &wide(2)).len(), MAX_DELTAS);
    }

    proptest::proptest! {
        #[test]
        fn no_difference_means_the_same(a in "[0-2]{1,3}", b in "[0-2]{1,3}") {
            let list = |s: &str| format!("[{}]", s.chars().map(|c| format!("{{\"name\":\"{c}\"}}")).collect::<Vec<_>>().join(","));
            proptest::prop_assert_eq!(paths(&list(&a), &list(&b)).is_empty(), a == b);
        }
    }
}
