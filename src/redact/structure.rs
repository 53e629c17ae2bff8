//! Structured values: objects, lists and texts, be they JSON, YAML or a part of a text. Each text is judged by the names
//! above and beside it, and in a list by the items before it. Pure; recursion ends at [`MAX_LEVELS`].

use super::Names;
use super::hidden::Hidden;
use super::name::{NameClass, is_place};
use super::path::Progress;
use super::read::argv;
use super::scan;
use super::value;
use super::words::NAMES;

/// A value that is nested deeper is hidden; neither JSON nor YAML is read so deep.
pub(super) const MAX_LEVELS: usize = 256;

/// The digits of a number that is no secret.
const SHORT_NUMBER: usize = 3;

/// A value of a library for JSON or YAML.
pub(crate) trait Structure<'t>: Copy {
    /// The value, when it is neither an object nor a list.
    fn scalar(self) -> Option<Scalar<'t>>;
    /// Whether it is a list.
    fn is_list(self) -> bool;
    /// The fields of an object; nothing for anything else.
    fn fields(self) -> Vec<(&'t str, Self)>;
    /// The items of a list; nothing for anything else.
    fn list(self) -> Vec<Self>;
    /// The field of an object.
    fn field(self, key: &str) -> Option<Self>;
}

/// A value without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar<'t> {
    /// A text.
    Text(&'t str),
    /// A number.
    Number,
    /// A truth value, or nothing.
    Other,
}

/// The judgement on a value that follows from the names above it and beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameContext {
    class: NameClass,
    /// Whether it stands in a reference to a Secret.
    is_reference: bool,
    /// How far the paths of the configuration lead to it.
    progress: Progress,
    /// Whether one of these paths ends at it or above it: then nothing of it is hidden.
    is_plain: bool,
}

/// The fields of an object that tell how its other fields are judged.
pub(crate) struct Siblings<'t> {
    /// The class of the name that stands in a field of its own.
    label: NameClass,
    command: Vec<&'t str>,
}

impl<'t> Siblings<'t> {
    pub(crate) fn of<T: Structure<'t>>(names: &Names, object: T) -> Self {
        let text = |key: &str| match object.field(key)?.scalar()? {
            Scalar::Text(text) => Some(text),
            _ => None,
        };
        let has_value = NAMES.value.iter().any(|key| object.field(key).is_some());
        let labels = NAMES.label.iter().filter(|_| has_value);
        let label = labels
            .filter_map(|key| text(key))
            .map(|name| names.class(name));
        let command = match (object.field("command"), object.field("args")) {
            (Some(command), Some(_)) => texts(&command.list()).unwrap_or_default(),
            _ => Vec::new(),
        };
        Self {
            label: label.max().unwrap_or_default(),
            command,
        }
    }

    /// The siblings of an object of which only the name is known.
    pub(crate) fn named(names: &Names, name: &str) -> Self {
        Self {
            label: names.class(name),
            command: Vec::new(),
        }
    }

    /// The items that stand before the list in a field.
    pub(crate) fn before(&self, key: &str) -> &[&'t str] {
        if key == "args" { &self.command } else { &[] }
    }
}

impl NameContext {
    /// Below a name of a class.
    pub(super) fn below(class: NameClass) -> Self {
        Self {
            class,
            ..Self::default()
        }
    }

    /// Whether the names tell that the value may be a secret.
    pub(crate) fn is_secret(self) -> bool {
        self.class.is_secret() && !self.is_plain
    }

    /// Whether the configuration has everything shown that stands here.
    pub(crate) fn is_plain(self) -> bool {
        self.is_plain
    }

    /// The same names, one step further along the paths of the configuration.
    pub(crate) fn step(self, names: &Names, step: &str) -> Self {
        if self.is_plain || names.plain_paths.is_empty() {
            return self;
        }
        let (progress, is_plain) = names.plain_paths.step(self.progress, step);
        Self {
            progress,
            is_plain,
            ..self
        }
    }

    /// The context of an item of a list that has this context.
    pub(crate) fn of_item<'t, T: Structure<'t>>(self, names: &Names, item: T) -> Self {
        match item.field("name").and_then(T::scalar) {
            Some(Scalar::Text(name)) => self.step(names, name),
            _ => self.step(names, ""),
        }
    }

    /// The context of the field `key` of an object that has this context.
    pub(crate) fn of_field(self, names: &Names, key: &str, siblings: &Siblings<'_>) -> Self {
        let here = self.step(names, key);
        if self.class.is_secret() && is_place(key) && !names.class(key).is_secret() {
            return Self {
                class: NameClass::default(),
                is_reference: false,
                ..here
            };
        }
        if self.is_reference && NAMES.reference.contains(key) {
            // The key of a reference is a name, and no name looks random.
            return Self {
                class: NameClass::Either,
                ..here
            };
        }
        let own = names.class(key);
        let label = if NAMES.value.contains(key) {
            siblings.label
        } else {
            NameClass::Plain
        };
        let ends = |word: &str| key.to_ascii_lowercase().ends_with(word);
        Self {
            class: own.max(label).max(self.class),
            is_reference: self.is_reference || ends("secret") || ends("secrets"),
            ..here
        }
    }
}

/// Judges every text and number of a structure, in order.
pub(crate) struct Judge<'n, F> {
    names: &'n Names,
    depth: usize,
    levels: usize,
    each: F,
}

impl<'n, F> Judge<'n, F> {
    pub(crate) fn new(names: &'n Names, depth: usize, each: F) -> Self {
        Self {
            names,
            depth,
            levels: 0,
            each,
        }
    }

    /// Judges a value in its context; `before` are the items that stand before it when it is a list.
    pub(crate) fn judge<'t, T>(&mut self, value: T, context: NameContext, before: &[&'t str])
    where
        T: Structure<'t>,
        F: FnMut(T, Hidden),
    {
        if let Some(scalar) = value.scalar() {
            let hidden = scalar_hidden(self.names, scalar, context, self.depth);
            (self.each)(value, hidden);
            return;
        }
        if self.levels == MAX_LEVELS {
            (self.each)(value, Hidden::Whole);
            return;
        }
        self.levels += 1;
        if value.is_list() {
            self.list(&value.list(), context, before);
        } else {
            let siblings = Siblings::of(self.names, value);
            for (key, field) in value.fields() {
                let context = context.of_field(self.names, key, &siblings);
                self.judge(field, context, siblings.before(key));
            }
        }
        self.levels -= 1;
    }

    fn list<'t, T>(&mut self, items: &[T], context: NameContext, before: &[&'t str])
    where
        T: Structure<'t>,
        F: FnMut(T, Hidden),
    {
        let arguments = arguments(self.names, items, context, before, self.depth);
        for (item, hidden) in items.iter().zip(arguments) {
            match hidden {
                Some(hidden) => (self.each)(*item, hidden),
                None => self.judge(*item, context.of_item(self.names, *item), &[]),
            }
        }
    }
}

/// The secrets of the texts of a list, as arguments; none for an item that is no text, and for all where the names around
/// the list, or its path, tell how they are judged.
pub(crate) fn arguments<'t, T: Structure<'t>>(
    names: &Names,
    items: &[T],
    context: NameContext,
    before: &[&'t str],
    depth: usize,
) -> Vec<Option<Hidden>> {
    if context.is_plain || context.class.is_secret() {
        return vec![None; items.len()];
    }
    let text = |item: &T| match item.scalar() {
        Some(Scalar::Text(text)) => Some(text),
        _ => None,
    };
    let texts: Vec<_> = items.iter().filter_map(text).collect();
    let mut hidden = argv::read(names, before, &texts, depth).into_iter();
    items
        .iter()
        .map(|item| text(item).and_then(|_| hidden.next()))
        .collect()
}

/// The secrets of one value.
pub(crate) fn scalar_hidden(
    names: &Names,
    scalar: Scalar<'_>,
    context: NameContext,
    depth: usize,
) -> Hidden {
    match scalar {
        _ if context.is_plain => Hidden::Nothing,
        Scalar::Text(text) if value::is_secret(context.class, text) => Hidden::Whole,
        Scalar::Text(text) => scan::text(names, text, depth),
        Scalar::Number if context.class == NameClass::Secret => Hidden::Whole,
        Scalar::Number | Scalar::Other => Hidden::Nothing,
    }
}

/// The secrets of an argument of which nothing but its text is known: it is hidden unless it is seen to be none.
pub(crate) fn unknown(names: &Names, argument: &str) -> Hidden {
    let name = argument.trim_start_matches('-');
    let dashes = argument.len() - name.len();
    let is_shown = match dashes {
        0 => is_short_number(argument) || !value::is_secret(NameClass::Secret, argument),
        // A value may be joined to a flag of one letter.
        1 => name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
        _ => !value::looks_random(name),
    };
    if is_shown {
        let hidden = argv::read(names, &[], &[argument], 0).pop();
        hidden.unwrap_or(Hidden::Whole)
    } else {
        Hidden::Whole
    }
}

/// Whether a text is a number that is too short for a secret.
fn is_short_number(text: &str) -> bool {
    text.len() <= SHORT_NUMBER && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn texts<'t, T: Structure<'t>>(items: &[T]) -> Option<Vec<&'t str>> {
    let text = |item: &T| match item.scalar()? {
        Scalar::Text(text) => Some(text),
        _ => None,
    };
    items.iter().map(text).collect()
}

impl<'t> Structure<'t> for &'t serde_json::Value {
    fn scalar(self) -> Option<Scalar<'t>> {
        match self {
            serde_json::Value::String(text) => Some(Scalar::Text(text)),
            serde_json::Value::Number(_) => Some(Scalar::Number),
            serde_json::Value::Bool(_) | serde_json::Value::Null => Some(Scalar::Other),
            _ => None,
        }
    }

    fn is_list(self) -> bool {
        self.is_array()
    }

    fn fields(self) -> Vec<(&'t str, Self)> {
        let fields = self.as_object().into_iter().flatten();
        fields.map(|(key, field)| (key.as_str(), field)).collect()
    }

    fn list(self) -> Vec<Self> {
        self.as_array().into_iter().flatten().collect()
    }

    fn field(self, key: &str) -> Option<Self> {
        self.get(key)
    }
}

impl<'t> Structure<'t> for crate::json::Value<'t> {
    fn scalar(self) -> Option<Scalar<'t>> {
        if let Some(text) = self.as_str() {
            Some(Scalar::Text(text))
        } else if self.as_number().is_some() {
            Some(Scalar::Number)
        } else {
            self.is_scalar().then_some(Scalar::Other)
        }
    }

    fn is_list(self) -> bool {
        self.is_array()
    }

    fn fields(self) -> Vec<(&'t str, Self)> {
        self.entries().collect()
    }

    fn list(self) -> Vec<Self> {
        self.items().collect()
    }

    fn field(self, key: &str) -> Option<Self> {
        self.get(key)
    }
}
