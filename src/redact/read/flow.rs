//! Objects and lists in brackets: JSON, YAML in one line, tables of TOML. Pure; of brackets that are not closed only
//! [`TRIES`] are read, and one within a nested text.

use super::node::{MAX_LEVELS, Node, judge};
use crate::redact::lex::{
    Piece, byte, byte_before, closing, escapes, json_string, skip, skip_while,
};
use crate::redact::scan::Scan;
use std::ops::Range;

/// So many brackets that are not closed are read to the end of the text.
pub(super) const TRIES: usize = 8;

pub(in crate::redact) fn read(scan: Scan<'_>, found: &mut Vec<Range<usize>>) {
    let text = scan.text;
    // A bracket within a text within another one would be read to the end by each of those before it.
    let most = if scan.depth == 0 { TRIES } else { 1 };
    let mut tries = 0;
    let mut at = 0;
    while at < text.len() && tries < most {
        if !begins(text, at) {
            at += 1;
            continue;
        }
        let mut flow = Flow::new(text, at);
        let node = flow.value();
        judge(scan, &node, found);
        if flow.is_closed {
            at = flow.at.max(at + 1);
        } else {
            tries += 1;
            at += 1;
        }
    }
}

/// Whether an object or a list may begin here, and not an expression or an index.
fn begins(text: &str, at: usize) -> bool {
    let before = byte_before(text, at);
    let next = byte(text, at + 1);
    match byte(text, at) {
        b'{' => before != b'$' && before != b'{' && !b"{%#".contains(&next),
        b'[' => !before.is_ascii_alphanumeric() && before != b'[' && before != b'$' || before == 0,
        _ => false,
    }
}

/// A reader at a place in a text.
pub(super) struct Flow<'t> {
    text: &'t str,
    /// The next place.
    pub(super) at: usize,
    levels: usize,
    /// Whether every bracket so far was closed.
    pub(super) is_closed: bool,
}

impl<'t> Flow<'t> {
    pub(super) fn new(text: &'t str, at: usize) -> Self {
        Self {
            text,
            at,
            levels: 0,
            is_closed: true,
        }
    }

    /// The value that begins here.
    pub(super) fn value(&mut self) -> Node<'t> {
        let is_deep = self.levels == MAX_LEVELS;
        match byte(self.text, self.at) {
            b'{' if !is_deep => self.object(),
            b'[' if !is_deep => self.list(),
            _ => Node::Text(self.scalar(false)),
        }
    }

    fn object(&mut self) -> Node<'t> {
        let mut fields = Vec::new();
        self.open();
        while let Some(next) = self.next() {
            if next == b'}' || next == b']' {
                self.close();
                return Node::Object(fields);
            }
            let key = self.scalar(true).text.into_owned();
            self.skip_spaces();
            if matches!(byte(self.text, self.at), b':' | b'=') {
                self.at = skip(self.text, self.at, b":=>");
                self.skip_spaces();
                fields.push((key, self.value_or_nothing()));
            }
        }
        self.is_closed = false;
        Node::Object(fields)
    }

    /// The value of a field, which may be left out.
    fn value_or_nothing(&mut self) -> Node<'t> {
        match byte(self.text, self.at) {
            b',' | b'}' => Node::Text(Piece::plain(self.text, self.at..self.at)),
            _ => self.value(),
        }
    }

    fn list(&mut self) -> Node<'t> {
        let mut items = Vec::new();
        self.open();
        while let Some(next) = self.next() {
            if next == b']' || next == b'}' {
                self.close();
                return Node::List(items);
            }
            items.push(self.value());
            self.skip_spaces();
            // A field without braces is a text here.
            if byte(self.text, self.at) == b':' {
                self.at += 1;
            }
        }
        self.is_closed = false;
        Node::List(items)
    }

    fn open(&mut self) {
        self.levels += 1;
        self.at += 1;
    }

    fn close(&mut self) {
        self.levels = self.levels.saturating_sub(1);
        self.at += 1;
    }

    /// The byte that the next field or item begins with; none at the end of the text.
    fn next(&mut self) -> Option<u8> {
        self.at = skip(self.text, self.at, b" \t\r\n,;");
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        self.at = skip(self.text, self.at, b" \t\r\n");
    }

    /// A text in quotes, or up to the next sign. It is never empty before the end of the text.
    fn scalar(&mut self, is_key: bool) -> Piece<'t> {
        let quote = byte(self.text, self.at);
        if matches!(quote, b'"' | b'\'') {
            return self.quoted(quote);
        }
        let escapes = escapes(self.text, self.at);
        if escapes > 0 {
            return self.escaped(escapes);
        }
        let start = self.at;
        let end = self.plain_end(start, is_key);
        self.at = end;
        let length = self.text[start..end].trim_end().len();
        Piece::plain(self.text, start..start + length)
    }

    /// The end of a text without quotes.
    fn plain_end(&self, start: usize, is_key: bool) -> usize {
        let mut end = start;
        while end < self.text.len() {
            let next = byte(self.text, end + 1);
            let ends = match byte(self.text, end) {
                b',' | b'}' | b']' | b'\n' => true,
                b'{' | b'[' => is_key && end > start,
                b':' => {
                    next.is_ascii_whitespace() || next == 0 || (is_key && b"\"'{[".contains(&next))
                }
                b'=' => is_key,
                _ => false,
            };
            if ends && end > start {
                break;
            }
            end += 1;
        }
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        end.min(self.text.len())
    }

    /// A text whose quotes are escaped, as in JSON that is a text of JSON.
    fn escaped(&mut self, escapes: usize) -> Piece<'t> {
        let quote = byte(self.text, self.at + escapes);
        let start = self.at + escapes + 1;
        let end = closing(self.text, start, quote, escapes);
        let end = end.unwrap_or(self.text.len()..self.text.len());
        self.is_closed &= !end.is_empty();
        self.at = end.end;
        Piece::plain(self.text, start..end.start)
    }

    fn quoted(&mut self, quote: u8) -> Piece<'t> {
        let start = self.at + 1;
        let Some(end) = closing(self.text, start, quote, 0) else {
            self.is_closed = false;
            self.at = self.text.len();
            return json_string(self.text, start..self.text.len());
        };
        self.at = skip_while(self.text, end.end, |byte| byte == b' ');
        json_string(self.text, start..end.start)
    }
}
