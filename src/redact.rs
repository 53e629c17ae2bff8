//! Judges which parts of a text or an object are secrets, and hides them. Pure.
//!
//! A text is read as every format that it may have: lines of commands, JSON, YAML, headers, URLs, PEM, assignments. Each
//! name with its value is judged by its words, then by the form of the value; tokens of vendors are told by their shape. All
//! of a text that is no secret stays byte for byte as it is. The lists of words and shapes stand in `data/`.
//!
//! It protects what people see at a glance; who may read a Revision at all is decided by RBAC.

mod change;
mod hidden;
mod lex;
mod name;
mod path;
mod pattern;
mod read;
mod scan;
mod structure;
mod value;
mod words;

pub use path::PlainPaths;
pub use pattern::Pattern;

pub(crate) use hidden::Hidden;
pub(crate) use structure::{
    NameContext, Scalar, Siblings, Structure, arguments, scalar_hidden, unknown,
};

use change::HiddenLeaves;
use serde_json::Value;
use std::borrow::Cow;

/// Stands where a secret was. It tells neither its length nor its content.
pub const REDACTED: &str = "[redacted]";
/// Stands on the new side of a change where a secret was, and another one was on the old side.
pub const CHANGED: &str = "[redacted, changed]";

/// The names that hold secrets: those that look like it, with the additions and the exceptions of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Patterns of further names, such as `*_PIN`.
    pub secret: Vec<Pattern>,
    /// Patterns of names that look secret and are not.
    pub plain: Vec<Pattern>,
    /// Paths below which nothing is hidden.
    pub plain_paths: PlainPaths,
}

impl Names {
    /// Whether a variable, flag or key of this name holds a secret. `MAX_TOKENS` and `TOKENIZER` do not.
    pub fn secret_name(&self, name: &str) -> bool {
        self.class(name).is_secret()
    }

    /// The value of something called `name`.
    pub fn value<'a>(&self, name: &str, value: &'a str) -> Cow<'a, str> {
        if value::is_secret(self.class(name), value) {
            Cow::Borrowed(REDACTED)
        } else {
            self.text(value)
        }
    }

    /// Whether nothing is hidden at the end of these steps, which are keys of objects and names of items.
    pub(crate) fn is_plain_path(&self, steps: &[&str]) -> bool {
        let root = NameContext::default();
        let place = steps.iter().fold(root, |at, step| at.step(self, step));
        place.is_plain()
    }

    /// Free text, in any format.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        scan::text(self, text, 0).show(text)
    }

    /// A list of arguments; `before` are those that stand before it, such as the command.
    pub fn arguments<'a>(&self, before: &[&str], items: &[&'a str]) -> Vec<Cow<'a, str>> {
        let hidden = read::argv::read(self, before, items, 0);
        let shown = items.iter().zip(hidden);
        shown.map(|(item, hidden)| hidden.show(item)).collect()
    }

    /// A whole object, in place.
    pub fn object(&self, object: &mut Value) {
        HiddenLeaves::of(self, object).hide(object, None);
    }

    /// Two states of a whole object, in place. Where both have a secret, the marker in the new one tells whether it is
    /// another one.
    pub fn objects(&self, old: &mut Value, new: &mut Value) {
        let of_old = HiddenLeaves::of(self, old);
        let of_new = HiddenLeaves::of(self, new);
        let before = of_old.secrets(old);
        of_old.hide(old, None);
        of_new.hide(new, Some(&before));
    }
}

#[cfg(test)]
mod linear;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
