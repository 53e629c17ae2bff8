//! Patterns of names, as the configuration has them. Pure.

use std::str::FromStr;

/// A name with `*` for any text; letter case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.chars().any(|c| c != '*') && !text.contains(char::is_whitespace);
        if named {
            Ok(Self(text.to_lowercase()))
        } else {
            Err(format!("{text:?} is not a name or a pattern such as *_PIN"))
        }
    }
}

impl Pattern {
    /// Whether one of these matches the name.
    pub(super) fn any(patterns: &[Self], name: &str) -> bool {
        patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// A step of a path, which may be any.
    pub(super) fn step(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self(text.to_owned()));
        }
        text.parse()
    }

    /// Whether this matches the name.
    pub(super) fn matches(&self, name: &str) -> bool {
        let name = name.trim_start_matches('-').to_lowercase();
        let mut parts = self.0.split('*').peekable();
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            let Some(at) = rest.find(part) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        true
    }
}
