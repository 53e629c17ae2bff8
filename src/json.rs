//! JSON text as a flat tree: parse, look up, compare, write canonically. Pure.
//!
//! Recording must not lose a digit, and must survive any object the API server accepts. So numbers keep their
//! text, and nothing here recurses: 10,000 levels of nesting (the API server's own limit) cost heap, not stack.

use std::borrow::Cow;

mod error;
mod parse;
mod write;

pub use error::without_value;
pub use parse::ParseError;

/// One parsed JSON text. Nodes live in one vector and name their children by index.
#[derive(Debug)]
pub struct Document<'a> {
    nodes: Vec<Node<'a>>,
    root: u32,
}

/// One JSON value inside a [`Document`].
#[derive(Debug)]
enum Node<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    String(Cow<'a, str>),
    Array(Box<[u32]>),
    /// Sorted by the UTF-8 bytes of the key; of equal keys the last one given stays.
    Object(Box<[(Cow<'a, str>, u32)]>),
}

/// A place in a [`Document`]; cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Value<'d> {
    document: &'d Document<'d>,
    index: u32,
}

impl<'a> Document<'a> {
    /// Parses one JSON text.
    ///
    /// # Errors
    /// When `text` is not exactly one JSON value.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        parse::parse(text)
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        Value {
            document: self,
            index: self.root,
        }
    }
}

impl<'d> Value<'d> {
    fn node(self) -> &'d Node<'d> {
        &self.document.nodes[self.index as usize]
    }

    fn with(self, index: u32) -> Self {
        Self { index, ..self }
    }

    /// The value under `key`, when this is an object that has it.
    pub fn get(self, key: &str) -> Option<Self> {
        let Node::Object(entries) = self.node() else {
            return None;
        };
        let at = entries
            .binary_search_by(|(k, _)| k.as_bytes().cmp(key.as_bytes()))
            .ok()?;
        Some(self.with(entries[at].1))
    }

    /// The value at the end of a chain of keys.
    pub fn at<S: AsRef<str>>(self, path: &[S]) -> Option<Self> {
        path.iter()
            .try_fold(self, |value, key| value.get(key.as_ref()))
    }

    /// The text, when this is a string.
    pub fn as_str(self) -> Option<&'d str> {
        if let Node::String(s) = self.node() {
            Some(s)
        } else {
            None
        }
    }

    /// The text of the number, as it was written.
    pub fn as_number(self) -> Option<&'d str> {
        if let Node::Number(n) = self.node() {
            Some(n)
        } else {
            None
        }
    }

    /// The truth value, when this is one.
    pub fn as_bool(self) -> Option<bool> {
        if let Node::Bool(b) = self.node() {
            Some(*b)
        } else {
            None
        }
    }

    /// Whether this is `null`.
    pub fn is_null(self) -> bool {
        matches!(self.node(), Node::Null)
    }

    /// Whether this is an object.
    pub fn is_object(self) -> bool {
        matches!(self.node(), Node::Object(_))
    }

    /// Whether this is an array.
    pub fn is_array(self) -> bool {
        matches!(self.node(), Node::Array(_))
    }

    /// Whether this is neither object nor array.
    pub fn is_scalar(self) -> bool {
        !self.is_object() && !self.is_array()
    }

    /// The number of entries of an object or array, 0 for anything else.
    pub fn len(self) -> usize {
        match self.node() {
            Node::Object(entries) => entries.len(),
            Node::Array(items) => items.len(),
            _ => 0,
        }
    }

    /// Whether [`Value::len`] is 0.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Keys and values of an object in canonical order; nothing for anything else.
    pub fn entries(self) -> impl DoubleEndedIterator<Item = (&'d str, Value<'d>)> {
        let entries: &'d [(Cow<'d, str>, u32)] = match self.node() {
            Node::Object(entries) => entries,
            _ => &[],
        };
        entries
            .iter()
            .map(move |(key, index)| (key.as_ref(), self.with(*index)))
    }

    /// The items of an array; nothing for anything else.
    pub fn items(self) -> impl ExactSizeIterator<Item = Value<'d>> + DoubleEndedIterator {
        let items: &'d [u32] = match self.node() {
            Node::Array(items) => items,
            _ => &[],
        };
        items.iter().map(move |index| self.with(*index))
    }

    /// Whether both say exactly the same: equal texts of numbers, equal keys, equal order in arrays.
    pub fn same(self, other: Value<'_>) -> bool {
        let mut pairs = vec![(self.index, other.index)];
        while let Some((left, right)) = pairs.pop() {
            match (
                &self.document.nodes[left as usize],
                &other.document.nodes[right as usize],
            ) {
                (Node::Null, Node::Null) => {}
                (Node::Bool(a), Node::Bool(b)) if a == b => {}
                (Node::Number(a), Node::Number(b)) if a == b => {}
                (Node::String(a), Node::String(b)) if a == b => {}
                (Node::Array(a), Node::Array(b)) if a.len() == b.len() => {
                    pairs.extend(a.iter().copied().zip(b.iter().copied()));
                }
                (Node::Object(a), Node::Object(b)) if a.len() == b.len() => {
                    if a.iter().zip(b).any(|((x, _), (y, _))| x != y) {
                        return false;
                    }
                    pairs.extend(a.iter().zip(b).map(|((_, x), (_, y))| (*x, *y)));
                }
                _ => return false,
            }
        }
        true
    }

    /// Appends the canonical text: keys sorted, strings minimally escaped, numbers as they were written.
    pub fn write_canonical(self, out: &mut Vec<u8>) {
        write::canonical(self, out);
    }

    /// The canonical text (see [`Value::write_canonical`]).
    pub fn canonical(self) -> String {
        let mut out = Vec::new();
        self.write_canonical(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Appends one JSON string, minimally escaped.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    write::string(text, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Document::parse(text).expect("valid").root().canonical()
    }

    #[test]
    fn keys_are_sorted_and_numbers_keep_their_text() {
        assert_eq!(
            canonical(r#" {"b": 1.50, "a": [9007199254740993, -0, 1e400], "\u0061b": null} "#),
            r#"{"a":[9007199254740993,-0,1e400],"ab":null,"b":1.50}"#
        );
    }

    #[test]
    fn strings_are_minimally_escaped() {
        assert_eq!(
            canonical(r#""\u003c\u0026\/\"\\\u0001\n\u00e9\ud83d\ude00""#),
            "\"<&/\\\"\\\\\\u0001\\n\u{e9}\u{1f600}\""
        );
    }

    #[test]
    fn the_last_of_equal_keys_stays() {
        assert_eq!(canonical(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn anything_but_one_value_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{,}",
            "1 2",
            "tru",
            "\"a",
            "\"\\x\"",
            "01",
            "1.",
            "-",
            "+1",
            "1e",
            "[1 2]",
            "{1:2}",
            "\"\u{1}\"",
            "]",
            "\"\\ud800\"",
        ] {
            assert!(Document::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn ten_thousand_levels_cost_no_stack() {
        let text = format!("{}1{}", "[{\"a\":".repeat(10_000), "}]".repeat(10_000));
        let document = Document::parse(&text).expect("valid");
        assert_eq!(document.root().canonical(), text);
        assert!(
            document
                .root()
                .same(Document::parse(&text).expect("valid").root())
        );
    }

    #[test]
    fn same_is_exact() {
        let same = |a, b| {
            Document::parse(a)
                .expect("valid")
                .root()
                .same(Document::parse(b).expect("valid").root())
        };
        assert!(same(
            r#"{"a":[1,{"b":null}]}"#,
            r#"{ "a" : [ 1 , { "b" : null } ] }"#
        ));
        for (a, b) in [
            ("1", "1.0"),
            ("[1,2]", "[2,1]"),
            ("{}", "[]"),
            (r#"{"a":1}"#, r#"{"b":1}"#),
            ("null", "false"),
        ] {
            assert!(!same(a, b), "{a} and {b}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_agrees_with_serde_json(text in "[\\[\\]{}\",:a-c0-9 .eE+\\\\untrlfs-]{0,24}") {
            let ours = Document::parse(&text);
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text);
            proptest::prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}", text);
            if let Ok(document) = ours {
                let once = document.root().canonical();
                proptest::prop_assert_eq!(&canonical(&once), &once);
            }
        }
    }
}
