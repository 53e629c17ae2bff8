//! Hides the secrets of whole objects, and tells those that changed. Pure.

use super::Names;
use super::hidden::Hidden;
use super::structure::{Judge, MAX_LEVELS, NameContext};
use serde_json::Value;
use std::collections::HashMap;

/// The secrets of an object, by the path of the text that holds them.
pub(crate) type Secrets = HashMap<String, Vec<String>>;

/// The secrets of every text and number of an object, in its order.
pub(crate) struct HiddenLeaves(Vec<Hidden>);

impl HiddenLeaves {
    pub(crate) fn of(names: &Names, object: &Value) -> Self {
        let mut all = Vec::new();
        let mut judge = Judge::new(names, 0, |_: &Value, hidden| all.push(hidden));
        judge.judge(object, NameContext::default(), &[]);
        Self(all)
    }

    /// The secrets of the object that this was made of.
    pub(crate) fn secrets(&self, object: &Value) -> Secrets {
        let mut secrets = Secrets::new();
        let mut walk = Walk {
            hidden: self.0.iter(),
            path: String::new(),
            levels: 0,
        };
        walk.collect(object, &mut secrets);
        secrets
    }

    /// Hides the secrets of the object that this was made of; `before` are those of its state before.
    pub(crate) fn hide(&self, object: &mut Value, before: Option<&Secrets>) {
        let mut walk = Walk {
            hidden: self.0.iter(),
            path: String::new(),
            levels: 0,
        };
        walk.hide(object, before);
    }
}

/// A way through an object in the order in which it was judged.
struct Walk<'h> {
    hidden: std::slice::Iter<'h, Hidden>,
    path: String,
    levels: usize,
}

impl Walk<'_> {
    fn collect(&mut self, value: &Value, secrets: &mut Secrets) {
        match value {
            Value::Object(fields) if self.levels < MAX_LEVELS => {
                for (key, field) in fields {
                    self.below(key, |walk| walk.collect(field, secrets));
                }
            }
            Value::Array(items) if self.levels < MAX_LEVELS => {
                let steps = steps(items);
                for (item, step) in items.iter().zip(steps) {
                    self.below(&step, |walk| walk.collect(item, secrets));
                }
            }
            leaf => {
                let Some(hidden) = self.hidden.next().filter(|it| **it != Hidden::Nothing) else {
                    return;
                };
                let text = text(leaf);
                let found = hidden.secrets(&text).map(str::to_owned);
                secrets.entry(self.path.clone()).or_default().extend(found);
            }
        }
    }

    fn hide(&mut self, value: &mut Value, before: Option<&Secrets>) {
        match value {
            Value::Object(fields) if self.levels < MAX_LEVELS => {
                for (key, field) in fields {
                    self.below(key, |walk| walk.hide(field, before));
                }
            }
            Value::Array(items) if self.levels < MAX_LEVELS => {
                let steps = steps(items);
                for (item, step) in items.iter_mut().zip(steps) {
                    self.below(&step, |walk| walk.hide(item, before));
                }
            }
            leaf => {
                let Some(hidden) = self.hidden.next().filter(|it| **it != Hidden::Nothing) else {
                    return;
                };
                let known = before.and_then(|before| before.get(&self.path));
                let text = text(leaf);
                let shown = hidden.show_after(&text, known.map_or(&[], Vec::as_slice));
                *leaf = Value::String(shown.into_owned());
            }
        }
    }

    fn below(&mut self, step: &str, go: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push('\u{0}');
        self.path.push_str(step);
        self.levels += 1;
        go(self);
        self.levels -= 1;
        self.path.truncate(length);
    }
}

/// The text of a value without parts.
fn text(leaf: &Value) -> String {
    match leaf {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The steps to the items of a list: their names, or the flags before them, or their numbers, so that a secret is found
/// again when something is put before it.
fn steps(items: &[Value]) -> Vec<String> {
    let mut flag = None;
    let mut steps = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let text = item.as_str().unwrap_or_default();
        let name = item.get("name").and_then(Value::as_str);
        let assigned = text.split_once('=').map(|(name, _)| name);
        let step = name.or(flag).or(assigned);
        steps.push(step.map_or_else(|| at.to_string(), str::to_owned));
        flag = text.starts_with('-').then_some(text);
    }
    steps
}
