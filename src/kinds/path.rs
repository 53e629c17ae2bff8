//! Plain paths of a kind file: `spec.template.spec`, with quotes around a key that has a dot in it, and `[]` behind the key
//! of a list for every item of it. Pure.

use crate::json::Value;

/// The step to every item of a list.
const ITEMS: &str = "[]";

/// A chain of keys from the root of an object; `[]` behind a key stands for every item of the list there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path(Vec<String>);

impl Path {
    /// Reads `a.b."c.d/e"`.
    ///
    /// # Errors
    /// A text that says what is wrong, for a message that names the field.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        let mut rest = text;
        loop {
            let (key, after) = if let Some(quoted) = rest.strip_prefix('"') {
                quoted.split_once('"').ok_or("a quote is not closed")?
            } else {
                let end = rest.find('.').unwrap_or(rest.len());
                let key = &rest[..end];
                rest.split_at(key.strip_suffix(ITEMS).unwrap_or(key).len())
            };
            if key.is_empty() {
                return Err("a key is empty".to_owned());
            }
            if key.contains(['[', ']', '*', '"', ' ']) {
                return Err(format!(
                    "{key:?} is not a plain key (quote it if it has a dot in it)"
                ));
            }
            keys.push(key.to_owned());
            let after = match after.strip_prefix(ITEMS) {
                Some(after) => {
                    keys.push(ITEMS.to_owned());
                    after
                }
                None => after,
            };
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None if after.is_empty() => return Ok(Self(keys)),
                None => return Err(format!("a dot is missing before {after:?}")),
            }
        }
    }

    /// The keys.
    pub fn keys(&self) -> &[String] {
        &self.0
    }

    /// Whether it leads through a list.
    pub fn is_of_items(&self) -> bool {
        self.0.iter().any(|key| key == ITEMS)
    }

    /// The value at this path below `object`; none where it leads through a list.
    pub fn find<'d>(&self, object: Value<'d>) -> Option<Value<'d>> {
        object.at(&self.0)
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, key) in self.0.iter().enumerate() {
            let dot = if i == 0 || key == ITEMS { "" } else { "." };
            if key.contains('.') {
                write!(f, "{dot}\"{key}\"")?;
            } else {
                write!(f, "{dot}{key}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back() {
        for text in [
            "spec",
            "spec.replicas",
            "metadata.annotations.\"a.b/c\".d",
            "spec.groups[].\"a.b\"[].c",
        ] {
            assert_eq!(Path::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_bad_path_says_why() {
        for (text, why) in [
            ("", "empty"),
            ("a..b", "empty"),
            ("a.", "empty"),
            ("a.\"b", "not closed"),
            ("\"a\"b", "dot is missing"),
            ("a[0]", "plain key"),
        ] {
            let error = Path::parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
