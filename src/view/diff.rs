//! The differences between two contents, field by field. Pure, and bounded in depth and number.

use crate::content;
use crate::json::Value;
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
    /// A list item by its `name`.
    Name(&'d str),
    /// A list item by its place.
    Index(usize),
}

impl<'d> Segment<'d> {
    /// The key, when this is a step into an object.
    pub fn key(self) -> Option<&'d str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Name(_) | Self::Index(_) => None,
        }
    }
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
    match (names(from), names(to)) {
        (Some(before), Some(after)) => named(path, &before, &after),
        _ => placed(path, from, to),
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
    keys.into_iter()
        .filter_map(|key| {
            let old = from.get(key);
            let new = to.get(key);
            changed(old, new).then(|| child(path, Segment::Key(key), old, new))
        })
        .collect()
}

/// The items of a list by name, when every one has a name of its own.
fn names(list: Value<'_>) -> Option<Vec<(&str, Value<'_>)>> {
    let named: Option<Vec<_>> = list
        .items()
        .map(|item| Some((item.get("name")?.as_str()?, item)))
        .collect();
    let named = named?;
    let mut unique: Vec<_> = named.iter().map(|(name, _)| *name).collect();
    unique.sort_unstable();
    unique.dedup();
    (unique.len() == named.len()).then_some(named)
}

/// Items matched by name. Empty when only their order changed, so that the list is shown as a whole.
fn named<'d>(
    path: &[Segment<'d>],
    from: &[(&'d str, Value<'d>)],
    to: &[(&'d str, Value<'d>)],
) -> Vec<Delta<'d>> {
    let before: HashMap<_, _> = from.iter().copied().collect();
    let after: HashMap<_, _> = to.iter().copied().collect();
    let gone = from
        .iter()
        .filter(|(name, _)| !after.contains_key(name))
        .map(|(name, item)| child(path, Segment::Name(name), Some(*item), None));
    let stayed_or_came = to.iter().filter_map(|(name, item)| {
        let old = before.get(name).copied();
        changed(old, Some(*item)).then(|| child(path, Segment::Name(name), old, Some(*item)))
    });
    gone.chain(stayed_or_came).collect()
}

/// Items matched by place, after what is equal at both ends.
fn placed<'d>(path: &[Segment<'d>], from: Value<'d>, to: Value<'d>) -> Vec<Delta<'d>> {
    let old: Vec<_> = from.items().collect();
    let new: Vec<_> = to.items().collect();
    let start = old
        .iter()
        .zip(&new)
        .take_while(|(a, b)| a.same(**b))
        .count();
    let end = old[start..]
        .iter()
        .rev()
        .zip(new[start..].iter().rev())
        .take_while(|(a, b)| a.same(**b))
        .count();
    let old = &old[..old.len() - end];
    let new = &new[..new.len() - end];
    (start..old.len().max(new.len()))
        .map(|at| {
            let [old, new] = [old, new].map(|list| list.get(at).copied());
            child(path, Segment::Index(at), old, new)
        })
        .filter(|d| changed(d.from, d.to))
        .collect()
}

/// The keys of a path through objects; none when it leads through a list.
pub fn keys<'d>(path: &[Segment<'d>]) -> Option<Vec<&'d str>> {
    path.iter().map(|segment| segment.key()).collect()
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
            Segment::Index(at) => {
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
        ] {
            assert_eq!(paths(from, to), expected, "{from} {to}");
        }
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
