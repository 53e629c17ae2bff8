//! YAML in lines: fields and items by indentation, block scalars, quotations over several lines. Pure; each line is read
//! once, and values nested deeper than [`MAX_LEVELS`] are left to the other readers.

use super::flow::{Flow, TRIES};
use super::node::{MAX_LEVELS, Node, judge};
use crate::redact::lex::{Piece, byte, closing, json_string, skip};
use crate::redact::scan::Scan;
use std::ops::Range;

pub(in crate::redact) fn read(scan: Scan<'_>, found: &mut Vec<Range<usize>>) {
    let mut block = Block::new(scan.text);
    while block.line < block.lines.len() {
        let before = block.line;
        let start = block.lines[before].start;
        let node = block.node(0);
        judge(scan, &node, found);
        // Something else than YAML stands on the line.
        if block.line == before && block.lines[before].start == start {
            block.line += 1;
        }
    }
}

/// A line that is not empty.
#[derive(Clone, Copy)]
struct Line {
    /// The column of its first sign.
    column: usize,
    /// The place of its first sign.
    start: usize,
    /// The place behind its last sign.
    end: usize,
}

/// A reader at a line.
struct Block<'t> {
    text: &'t str,
    lines: Vec<Line>,
    line: usize,
    /// The brackets so far that were not closed.
    unclosed: usize,
}

impl<'t> Block<'t> {
    fn new(text: &'t str) -> Self {
        let mut lines = Vec::new();
        let mut at = 0;
        for line in text.split('\n') {
            let indent = skip(line, 0, b" \t");
            let content = line[indent..].trim_end();
            if !content.is_empty() {
                lines.push(Line {
                    column: indent,
                    start: at + indent,
                    end: at + indent + content.len(),
                });
            }
            at += line.len() + 1;
        }
        Self {
            text,
            lines,
            line: 0,
            unclosed: 0,
        }
    }

    fn current(&self) -> Option<Line> {
        self.lines.get(self.line).copied()
    }

    fn content(&self, line: Line) -> &'t str {
        &self.text[line.start..line.end]
    }

    /// The node that begins on the current line.
    fn node(&mut self, level: usize) -> Node<'t> {
        let Some(line) = self.current() else {
            return Node::List(Vec::new());
        };
        let content = self.content(line);
        if level < MAX_LEVELS && is_item(content) {
            self.list(line.column, level)
        } else if level < MAX_LEVELS && key(content).is_some() {
            self.object(line.column, level)
        } else {
            self.value(line.start, line.column, level)
        }
    }

    fn list(&mut self, column: usize, level: usize) -> Node<'t> {
        let mut items = Vec::new();
        while let Some(line) = self.current() {
            let content = self.content(line);
            if line.column != column || !is_item(content) {
                break;
            }
            let spaces = skip(content, 1, b" \t");
            if spaces == content.len() {
                self.line += 1;
                items.push(self.child(column, level));
            } else {
                // The item is read as if it began a line.
                self.lines[self.line].column = column + spaces;
                self.lines[self.line].start = line.start + spaces;
                items.push(self.node(level + 1));
            }
        }
        Node::List(items)
    }

    fn object(&mut self, column: usize, level: usize) -> Node<'t> {
        let mut fields = Vec::new();
        while let Some(line) = self.current() {
            let content = self.content(line);
            let Some((key, length)) = key(content).filter(|_| line.column == column) else {
                break;
            };
            let spaces = skip(content, length, b" \t");
            let is_empty = spaces == content.len() || content[spaces..].starts_with('#');
            let field = if is_empty {
                self.line += 1;
                self.child_of_field(column, level)
            } else {
                self.value(line.start + spaces, column, level)
            };
            fields.push((key.to_owned(), field));
        }
        Node::Object(fields)
    }

    /// The value below a line that ends with its key: deeper lines, or items of the same column.
    fn child_of_field(&mut self, column: usize, level: usize) -> Node<'t> {
        match self.current() {
            Some(line) if line.column == column && is_item(self.content(line)) => {
                self.list(column, level + 1)
            }
            _ => self.child(column, level),
        }
    }

    fn child(&mut self, column: usize, level: usize) -> Node<'t> {
        match self.current() {
            Some(line) if line.column > column => {
                let before = self.line;
                let node = self.node(level + 1);
                if self.line == before {
                    self.line += 1;
                }
                node
            }
            _ => Node::List(Vec::new()),
        }
    }

    /// The value that begins at a place of the current line; deeper lines go on with it.
    fn value(&mut self, start: usize, column: usize, level: usize) -> Node<'t> {
        match byte(self.text, start) {
            b'|' | b'>' => self.scalar_block(column),
            b'{' | b'[' if level < MAX_LEVELS && self.unclosed < TRIES => self.flow(start),
            quote @ (b'"' | b'\'') => self.quotation(start, quote),
            _ => self.plain(start, column),
        }
    }

    fn scalar_block(&mut self, column: usize) -> Node<'t> {
        self.line += 1;
        let first = self.current();
        let mut place = 0..0;
        if let Some(first) = first.filter(|first| first.column > column) {
            place = first.start..first.end;
            self.take_deeper(column, &mut place);
        }
        Node::Text(Piece::plain(self.text, place))
    }

    fn plain(&mut self, start: usize, column: usize) -> Node<'t> {
        let end = self.current().map_or(start, |line| line.end);
        let value = self.text[start..end].split(" #").next().unwrap_or_default();
        let mut place = start..start + value.trim_end().len();
        self.line += 1;
        // The lines below go on with it only where they are no fields of their own.
        let goes_on = self
            .current()
            .is_some_and(|next| next.column > column && key(self.content(next)).is_none());
        if goes_on {
            self.take_deeper(column, &mut place);
        }
        Node::Text(Piece::plain(self.text, place))
    }

    /// Takes the lines that are deeper than a column.
    fn take_deeper(&mut self, column: usize, place: &mut Range<usize>) {
        while let Some(line) = self.current().filter(|line| line.column > column) {
            place.end = line.end;
            self.line += 1;
        }
    }

    fn quotation(&mut self, start: usize, quote: u8) -> Node<'t> {
        let inside = start + 1;
        let end = self.current().map_or(inside, |line| line.end);
        let line = self.text.get(..end).unwrap_or(self.text);
        let close =
            closing(line, inside, quote, 0).or_else(|| closing(self.text, inside, quote, 0));
        let place = inside..close.map_or(end.max(inside), |close| close.start);
        self.pass(place.end);
        Node::Text(json_string(self.text, place))
    }

    fn flow(&mut self, start: usize) -> Node<'t> {
        let mut flow = Flow::new(self.text, start);
        let node = flow.value();
        self.unclosed += usize::from(!flow.is_closed);
        self.pass(if flow.is_closed { flow.at } else { start });
        node
    }

    /// Goes to the first line that begins behind a place.
    fn pass(&mut self, place: usize) {
        self.line += 1;
        while self.current().is_some_and(|line| line.start < place) {
            self.line += 1;
        }
    }
}

fn is_item(content: &str) -> bool {
    content == "-" || content.starts_with("- ")
}

/// The key that a line begins with, and the length of it and its colon.
fn key(content: &str) -> Option<(&str, usize)> {
    let quote = byte(content, 0);
    let (name, end) = if matches!(quote, b'"' | b'\'') {
        let close = closing(content, 1, quote, 0)?;
        (&content[1..close.start], close.end)
    } else {
        let sign = content
            .find(|c: char| c.is_whitespace())
            .unwrap_or(content.len());
        let name = content[..sign].strip_suffix(':')?;
        (name, name.len())
    };
    let is_key = !name.is_empty() && !name.starts_with(['{', '[', '#', '&', '*', '|', '>']);
    let has_colon =
        byte(content, end) == b':' && matches!(byte(content, end + 1), 0 | b' ' | b'\t');
    (is_key && has_colon).then_some((name, end + 1))
}
