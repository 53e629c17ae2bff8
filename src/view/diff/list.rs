//! Which items of two lists belong together. Pure.

use super::{Delta, Segment, changed, child};
use crate::json::Value;
use std::collections::HashMap;

/// The fields by which items of a list are told apart, by preference.
const KEYS: [&str; 8] = [
    "name",
    "mountPath",
    "devicePath",
    "containerPort",
    "groupName",
    "topologyKey",
    "ip",
    "key",
];
/// Lists with more items between the first difference and the last one are compared by place.
const MAX_ITEMS: usize = 400;

/// The field by which all items of a list are told apart.
pub(super) fn key_of(list: Value<'_>) -> Option<&'static str> {
    KEYS.into_iter().find(|key| {
        let mut names: Vec<_> = list.items().filter_map(|item| named(item, key)).collect();
        let all = names.len() == list.len();
        names.sort_unstable();
        names.dedup();
        all && names.len() == list.len()
    })
}

/// The text of the field that names an item.
pub(crate) fn named<'d>(item: Value<'d>, key: &str) -> Option<&'d str> {
    let name = item.get(key)?;
    name.as_str().or_else(|| name.as_number())
}

/// The place of the item of that name.
pub(crate) fn position(list: Value<'_>, name: &str) -> Option<usize> {
    let by = |key: &&str| list.items().position(|item| named(item, key) == Some(name));
    KEYS.iter().find_map(by)
}

/// The value at a path in the object before (`side` 0) or after (1).
pub(crate) fn find<'d>(object: Value<'d>, path: &[Segment<'_>], side: usize) -> Option<Value<'d>> {
    path.iter().try_fold(object, |at, segment| match segment {
        Segment::Key(key) => at.get(key),
        _ => at.items().nth(place(at, *segment, side)?),
    })
}

/// The number of an item of a list, before or after.
pub(crate) fn place(list: Value<'_>, segment: Segment<'_>, side: usize) -> Option<usize> {
    match segment {
        Segment::Index(place) => Some(place),
        Segment::Moved { from, to } => Some(if side == 0 { from } else { to }),
        Segment::Name(name) => position(list, name),
        Segment::Key(_) => None,
    }
}

/// Whether two lists hold the same, in another order. A flag and the values behind it stay together.
pub(super) fn in_another_order(from: Value<'_>, to: Value<'_>) -> bool {
    if from.len() != to.len() || from.len() > MAX_ITEMS {
        return false;
    }
    let [mut from, mut to] = [from, to].map(units);
    from.sort_unstable();
    to.sort_unstable();
    from == to
}

fn units(list: Value<'_>) -> Vec<String> {
    let mut units: Vec<String> = Vec::new();
    for item in list.items() {
        let is_value = item.as_str().is_some_and(|text| !is_flag(text));
        let text = item.canonical();
        match units.last_mut() {
            Some(flag) if is_value && flag.starts_with("\"-") => flag.push_str(&text),
            _ => units.push(text),
        }
    }
    units
}

fn is_flag(text: &str) -> bool {
    text.starts_with('-') && text.parse::<f64>().is_err()
}

/// Items that are equal belong together, in order; between them those with the same flag, and then those that stand in
/// the same place.
pub(super) fn placed<'d>(path: &[Segment<'d>], from: Value<'d>, to: Value<'d>) -> Vec<Delta<'d>> {
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
    let mut pairs = Pairs {
        old: &old[..old.len() - end],
        new: &new[..new.len() - end],
        found: Vec::new(),
    };
    pairs.find(start);
    pairs
        .found
        .into_iter()
        .map(|(from, to)| {
            let values = [from.map(|at| old[at]), to.map(|at| new[at])];
            let segment = match (from, to) {
                (Some(from), Some(to)) if from != to => Segment::Moved { from, to },
                (Some(at), _) | (None, Some(at)) => Segment::Index(at),
                (None, None) => Segment::Index(0),
            };
            child(path, segment, values[0], values[1])
        })
        .filter(|delta| changed(delta.from, delta.to))
        .collect()
}

/// Places of items that belong together; one that is alone came or went.
struct Pairs<'l, 'd> {
    old: &'l [Value<'d>],
    new: &'l [Value<'d>],
    found: Vec<(Option<usize>, Option<usize>)>,
}

impl Pairs<'_, '_> {
    fn find(&mut self, start: usize) {
        let [mut a, mut b] = [start, start];
        let is_long = self.old.len().max(self.new.len()) - start > MAX_ITEMS;
        let equal = if is_long {
            Vec::new()
        } else {
            self.equal(start)
        };
        for (old, new) in equal {
            self.block(a, old, b, new);
            [a, b] = [old + 1, new + 1];
        }
        self.block(a, self.old.len(), b, self.new.len());
    }

    /// The longest common subsequence of what begins at `start`; flags count more than their values, which may be the same
    /// by chance.
    fn equal(&self, start: usize) -> Vec<(usize, usize)> {
        let [old, new] = [&self.old[start..], &self.new[start..]];
        let width = new.len() + 1;
        let mut lengths = vec![0_u32; (old.len() + 1) * width];
        for i in (0..old.len()).rev() {
            for j in (0..new.len()).rev() {
                let at = i * width + j;
                lengths[at] = if old[i].same(new[j]) {
                    lengths[at + width + 1] + weight(old[i])
                } else {
                    lengths[at + width].max(lengths[at + 1])
                };
            }
        }
        let mut pairs = Vec::new();
        let [mut i, mut j] = [0, 0];
        while i < old.len() && j < new.len() {
            let at = i * width + j;
            if old[i].same(new[j]) {
                pairs.push((i + start, j + start));
                i += 1;
                j += 1;
            } else if lengths[at + width] >= lengths[at + 1] {
                i += 1;
            } else {
                j += 1;
            }
        }
        pairs
    }

    /// Items between two that are equal, or at an end. Where as many went as came, they stand for each other.
    fn block(&mut self, old: usize, old_end: usize, new: usize, new_end: usize) {
        if old_end - old == new_end - new {
            let places = (old..old_end).zip(new..new_end);
            self.found
                .extend(places.map(|(old, new)| (Some(old), Some(new))));
            return;
        }
        let mut flags: HashMap<&str, usize> = HashMap::new();
        for at in (old..old_end).rev() {
            if let Some(flag) = assigned(self.old[at]) {
                flags.insert(flag, at);
            }
        }
        let is_object = |value: Value<'_>| value.is_object();
        let mut rest: Vec<usize> = (old..old_end).collect();
        let mut pairs = Vec::new();
        for at in new..new_end {
            let value = self.new[at];
            let same_flag = assigned(value).and_then(|flag| flags.remove(flag));
            let object = || rest.iter().copied().find(|old| is_object(self.old[*old]));
            let matched = same_flag.or_else(|| is_object(value).then(object)?);
            rest.retain(|old| Some(*old) != matched);
            pairs.push((matched, Some(at)));
        }
        let gone = rest.into_iter().map(|at| (Some(at), None));
        self.found.extend(gone.chain(pairs));
    }
}

fn weight(item: Value<'_>) -> u32 {
    if item.as_str().is_some_and(is_flag) {
        4
    } else {
        1
    }
}

/// The flag of `--flag=value`.
fn assigned(value: Value<'_>) -> Option<&str> {
    let (flag, _) = value.as_str()?.split_once('=')?;
    flag.starts_with('-').then_some(flag)
}
