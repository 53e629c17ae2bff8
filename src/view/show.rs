//! The two sides of a change as short texts without secrets. Pure, and bounded in depth and length.
//!
//! Each side is judged in the object that it stands in: the flag before an argument, the name beside a value and the names
//! above it are those of its own side.

use super::diff::{Delta, Meaning, Segment, place};
use crate::json::{Value, write_string};
use crate::redact::{
    Hidden, NameContext, Names, Scalar, Siblings, Structure, arguments, scalar_hidden,
};
use crate::text::prefix;
use std::borrow::Cow;

/// More is cut later anyway.
const ENOUGH: usize = 512;
/// So many bytes of a text are judged: far more than are shown, and a text of megabytes costs no more.
const JUDGED: usize = 4 * ENOUGH;
/// The same of a text that changed, as the change may be anywhere in it.
const COMPARED: usize = 64 << 10;
const MAX_DEPTH: usize = 16;

/// Shows changes between two objects.
pub(super) struct ChangeRenderer<'n, 'd> {
    names: &'n Names,
    objects: [Option<Value<'d>>; 2],
    /// The list on each side that was judged last: a list that changes has many changes in it.
    lists: [Option<JudgedList<'d>>; 2],
    /// How much of a text is judged.
    judged: usize,
}

/// The secrets in a list, which stands at a path.
struct JudgedList<'d> {
    path: Vec<Segment<'d>>,
    items: Vec<Option<Hidden>>,
}

/// The context of a value at the place where it stands.
#[derive(Default)]
struct ValueContext<'d> {
    context: NameContext,
    /// The items that stand before it, when it is a list.
    before: Vec<&'d str>,
    /// Its secrets, when it is an argument in a list.
    argument: Option<Hidden>,
}

/// One side of a change, and its secrets.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) text: String,
    pub(super) secrets: Vec<String>,
}

impl<'n, 'd> ChangeRenderer<'n, 'd> {
    /// Shows changes between these objects, in which the context of each value is read.
    pub(super) fn new(names: &'n Names, objects: [Option<Value<'d>>; 2]) -> Self {
        Self {
            names,
            objects,
            lists: [None, None],
            judged: JUDGED,
        }
    }

    /// Both sides of a change, as far as they are there.
    pub(super) fn sides(&mut self, delta: &Delta<'d>) -> [Option<String>; 2] {
        if delta.meaning == Meaning::Order {
            let names = [delta.from, delta.to].map(|list| list.and_then(item_names));
            if names.iter().all(Option::is_some) {
                return names;
            }
        }
        let is_changed = delta.from.is_some() && delta.to.is_some();
        self.judged = if is_changed { COMPARED } else { JUDGED };
        let from = delta
            .from
            .map(|value| self.side(0, &delta.path, value, &[]));
        let before = from.as_ref().map_or(&[][..], |from| &from.secrets);
        let to = delta
            .to
            .map(|value| self.side(1, &delta.path, value, before));
        self.judged = JUDGED;
        [from, to].map(|side| side.map(|side| side.text))
    }

    /// The value at a path on one side; `before` are the secrets on the other side.
    pub(super) fn side(
        &mut self,
        side: usize,
        path: &[Segment<'d>],
        value: Value<'d>,
        before: &[String],
    ) -> Side {
        let value_context = self.value_context(side, path);
        let mut writer = Writer {
            names: self.names,
            before,
            out: Vec::new(),
            secrets: Vec::new(),
        };
        match (value.scalar(), value_context.argument) {
            (Some(_), Some(hidden)) => writer.bare(&whole(value), &hidden),
            (Some(scalar), None) => {
                let scalar = beginning(scalar, self.judged);
                let hidden = scalar_hidden(self.names, scalar, value_context.context, 0);
                writer.bare(&judged(value, self.judged), &hidden);
            }
            (None, _) => writer.value(value, value_context.context, &value_context.before, 0),
        }
        Side {
            text: String::from_utf8_lossy(&writer.out).into_owned(),
            secrets: writer.secrets,
        }
    }

    /// The context of the value at a path, as far as the object is there.
    fn value_context(&mut self, side: usize, path: &[Segment<'d>]) -> ValueContext<'d> {
        let mut found = ValueContext::default();
        let mut object = self.objects[side];
        for (at, segment) in path.iter().enumerate() {
            let is_last = at + 1 == path.len();
            match segment {
                Segment::Key(key) => {
                    let above = path[..at].last();
                    let siblings = siblings(self.names, object, above.copied());
                    found.context = found.context.of_field(self.names, key, &siblings);
                    found.before = siblings.before(key).to_vec();
                    object = object.and_then(|object| object.get(key));
                }
                Segment::Name(_) | Segment::Index(_) | Segment::Moved { .. } => {
                    let list = object;
                    let place = list.and_then(|list| place(list, *segment, side));
                    object = place.and_then(|place| list?.items().nth(place));
                    if let (true, Some(list), Some(place)) = (is_last, list, place) {
                        found.argument = self.argument(side, &path[..at], list, place, &found);
                    }
                    if let Segment::Name(name) = segment {
                        found.context = found.context.step(self.names, name);
                    }
                    found.before.clear();
                }
            }
        }
        found
    }

    /// The secrets of an item of the list at a path.
    fn argument(
        &mut self,
        side: usize,
        path: &[Segment<'d>],
        list: Value<'d>,
        place: usize,
        found: &ValueContext<'d>,
    ) -> Option<Hidden> {
        let is_known = self.lists[side]
            .as_ref()
            .is_some_and(|known| known.path == path);
        if !is_known {
            let items = list.list();
            self.lists[side] = Some(JudgedList {
                path: path.to_vec(),
                items: arguments(self.names, &items, found.context, &found.before, 0),
            });
        }
        self.lists[side].as_ref()?.items.get(place)?.clone()
    }
}

/// The fields beside one of an object; where it is not there, its name in the path is one.
fn siblings<'d>(
    names: &Names,
    object: Option<Value<'d>>,
    above: Option<Segment<'d>>,
) -> Siblings<'d> {
    match (object, above) {
        (Some(object), _) => Siblings::of(names, object),
        (None, Some(Segment::Name(name))) => Siblings::named(names, name),
        (None, _) => Siblings::named(names, ""),
    }
}

/// The names of the items of a list, in their order; none where they have none.
fn item_names(list: Value<'_>) -> Option<String> {
    let name = |item: Value<'_>| Some(item.get("name")?.as_str()?.to_owned());
    let names: Option<Vec<_>> = list.items().map(name).collect();
    names.map(|names| names.join(", "))
}

/// Writes a value: a text as it is, anything else as JSON.
struct Writer<'n> {
    names: &'n Names,
    before: &'n [String],
    out: Vec<u8>,
    secrets: Vec<String>,
}

impl Writer<'_> {
    /// A value without parts, without quotes.
    fn bare(&mut self, text: &str, hidden: &Hidden) {
        self.secrets.extend(hidden.secrets(text).map(str::to_owned));
        let shown = hidden.show_after(text, self.before);
        self.out.extend_from_slice(shown.as_bytes());
    }

    /// Recursion ends at [`MAX_DEPTH`], output soon after [`ENOUGH`] bytes.
    fn value(&mut self, value: Value<'_>, context: NameContext, before: &[&str], depth: usize) {
        if self.out.len() > ENOUGH {
            return;
        }
        if depth == MAX_DEPTH {
            self.out.extend_from_slice("…".as_bytes());
        } else if value.is_object() {
            self.object(value, context, depth);
        } else if value.is_array() {
            self.list(value, context, before, depth);
        } else if let Some(scalar) = value.scalar() {
            let hidden = scalar_hidden(self.names, beginning(scalar, JUDGED), context, 0);
            self.scalar(value, &judged(value, JUDGED), &hidden);
        }
    }

    fn scalar(&mut self, value: Value<'_>, text: &str, hidden: &Hidden) {
        if *hidden == Hidden::Nothing {
            value.write_canonical(&mut self.out);
            return;
        }
        self.secrets.extend(hidden.secrets(text).map(str::to_owned));
        write_string(&hidden.show_after(text, self.before), &mut self.out);
    }

    fn object(&mut self, value: Value<'_>, context: NameContext, depth: usize) {
        let siblings = Siblings::of(self.names, value);
        self.out.push(b'{');
        let fields = value.entries().enumerate();
        for (at, (key, field)) in fields.take_while(|(at, _)| *at < ENOUGH) {
            if at > 0 {
                self.out.push(b',');
            }
            write_string(key, &mut self.out);
            self.out.push(b':');
            let context = context.of_field(self.names, key, &siblings);
            self.value(field, context, siblings.before(key), depth + 1);
        }
        self.out.push(b'}');
    }

    fn list(&mut self, value: Value<'_>, context: NameContext, before: &[&str], depth: usize) {
        let items: Vec<_> = value.items().take(ENOUGH).collect();
        let secrets = arguments(self.names, &items, context, before, 0);
        self.out.push(b'[');
        for (at, (item, hidden)) in items.iter().zip(secrets).enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            match hidden {
                Some(hidden) => self.scalar(*item, &whole(*item), &hidden),
                None => self.value(*item, context.of_item(self.names, *item), &[], depth + 1),
            }
        }
        self.out.push(b']');
    }
}

/// The part of a scalar that is judged.
fn beginning(scalar: Scalar<'_>, most: usize) -> Scalar<'_> {
    match scalar {
        Scalar::Text(text) => Scalar::Text(prefix(text, most)),
        other => other,
    }
}

/// The judged part of a value without parts, without quotes.
fn judged(value: Value<'_>, most: usize) -> Cow<'_, str> {
    match value.as_str() {
        Some(text) => Cow::Borrowed(prefix(text, most)),
        None => Cow::Owned(value.canonical()),
    }
}

/// A value without parts, without quotes.
fn whole(value: Value<'_>) -> Cow<'_, str> {
    let text = value.as_str().map(Cow::Borrowed);
    text.unwrap_or_else(|| Cow::Owned(value.canonical()))
}
