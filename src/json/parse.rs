//! Text to [`Document`], without recursion.

use super::{Document, Node};
use std::borrow::Cow;

/// What is wrong with a JSON text, and where.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not valid JSON at byte {at}: {what}")]
pub struct ParseError {
    /// Offset in bytes.
    pub at: usize,
    /// What was expected there.
    pub what: &'static str,
}

/// A container that is still open.
enum ParseFrame<'a> {
    Array(Vec<u32>),
    Object(Vec<(Cow<'a, str>, u32)>, Cow<'a, str>),
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nodes: Vec<Node<'a>>,
}

pub(super) fn parse(text: &str) -> Result<Document<'_>, ParseError> {
    let mut parser = Parser {
        text,
        at: 0,
        nodes: Vec::with_capacity(text.len() / 24 + 1),
    };
    let mut open = Vec::new();
    loop {
        let Some(mut value) = parser.value(&mut open)? else {
            continue;
        };
        loop {
            let Some(frame) = open.last_mut() else {
                return parser.end(value);
            };
            if parser.separator(frame, value)? {
                break;
            }
            value = match open.pop() {
                Some(ParseFrame::Array(items)) => parser.add(Node::Array(items.into_boxed_slice())),
                Some(ParseFrame::Object(entries, _)) => parser.object(entries),
                None => return parser.fail("a value"),
            };
        }
    }
}

impl<'a> Parser<'a> {
    fn fail<T>(&self, what: &'static str) -> Result<T, ParseError> {
        Err(ParseError { at: self.at, what })
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn add(&mut self, node: Node<'a>) -> u32 {
        self.nodes.push(node);
        // A text of 4 GiB would be needed to overflow; the API server takes 3 MiB.
        u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
    }

    fn end(mut self, root: u32) -> Result<Document<'a>, ParseError> {
        if self.peek().is_some() {
            return self.fail("the end");
        }
        Ok(Document {
            nodes: self.nodes,
            root,
        })
    }

    /// A scalar or an empty container is a finished value; a container with content is pushed onto `open`.
    fn value(&mut self, open: &mut Vec<ParseFrame<'a>>) -> Result<Option<u32>, ParseError> {
        let node = match self.peek() {
            Some(b'{') => {
                self.at += 1;
                if self.peek() != Some(b'}') {
                    let key = self.key()?;
                    open.push(ParseFrame::Object(Vec::new(), key));
                    return Ok(None);
                }
                self.at += 1;
                Node::Object(Box::default())
            }
            Some(b'[') => {
                self.at += 1;
                if self.peek() != Some(b']') {
                    open.push(ParseFrame::Array(Vec::new()));
                    return Ok(None);
                }
                self.at += 1;
                Node::Array(Box::default())
            }
            Some(b'"') => Node::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Node::Number(self.number()?),
            _ => self.literal()?,
        };
        Ok(Some(self.add(node)))
    }

    /// Stores `value` in its container; true when another one follows.
    fn separator(&mut self, frame: &mut ParseFrame<'a>, value: u32) -> Result<bool, ParseError> {
        let next = self.peek();
        self.at += 1;
        match frame {
            ParseFrame::Array(items) => {
                items.push(value);
                match next {
                    Some(b',') => Ok(true),
                    Some(b']') => Ok(false),
                    _ => self.fail("',' or ']'"),
                }
            }
            ParseFrame::Object(entries, key) => {
                entries.push((std::mem::take(key), value));
                match next {
                    Some(b',') => {
                        *key = self.key()?;
                        Ok(true)
                    }
                    Some(b'}') => Ok(false),
                    _ => self.fail("',' or '}'"),
                }
            }
        }
    }

    fn object(&mut self, mut entries: Vec<(Cow<'a, str>, u32)>) -> u32 {
        // Stable, so that of equal keys the last given comes last; that one stays, as in Go's decoder.
        entries.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
        entries.reverse();
        entries.dedup_by(|(a, _), (b, _)| a == b);
        entries.reverse();
        self.add(Node::Object(entries.into_boxed_slice()))
    }

    fn key(&mut self) -> Result<Cow<'a, str>, ParseError> {
        if self.peek() != Some(b'"') {
            return self.fail("a key");
        }
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return self.fail("':'");
        }
        self.at += 1;
        Ok(key)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, ParseError> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut escaped = false;
        let mut end = start + 1;
        loop {
            match bytes.get(end) {
                None | Some(0..0x20) => return self.fail("a closed string"),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    end += 2;
                }
                Some(_) => end += 1,
            }
        }
        self.at = end + 1;
        if !escaped {
            return Ok(Cow::Borrowed(&self.text[start + 1..end]));
        }
        match serde_json::from_str::<String>(&self.text[start..=end]) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(_) => Err(ParseError {
                at: start,
                what: "a string with valid escapes",
            }),
        }
    }

    fn number(&mut self) -> Result<&'a str, ParseError> {
        let rest = &self.text[self.at..];
        let is_part = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
        let end = rest.bytes().position(|b| !is_part(b)).unwrap_or(rest.len());
        if !valid_number(&rest.as_bytes()[..end]) {
            return self.fail("a number");
        }
        self.at += end;
        Ok(&rest[..end])
    }

    fn literal(&mut self) -> Result<Node<'a>, ParseError> {
        let rest = &self.text[self.at..];
        for (word, node) in [
            ("null", Node::Null),
            ("true", Node::Bool(true)),
            ("false", Node::Bool(false)),
        ] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(node);
            }
        }
        self.fail("a value")
    }
}

/// RFC 8259: `-? (0 | [1-9][0-9]*) (\.[0-9]+)? ([eE][+-]?[0-9]+)?`.
fn valid_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let n = digits(fraction);
        if n == 0 {
            return false;
        }
        rest = &fraction[n..];
    }
    let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) else {
        return rest.is_empty();
    };
    let exponent = exponent
        .strip_prefix(b"+")
        .or_else(|| exponent.strip_prefix(b"-"))
        .unwrap_or(exponent);
    !exponent.is_empty() && digits(exponent) == exponent.len()
}

/// How many digits a text begins with.
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}
