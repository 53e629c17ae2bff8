//! Names and values with `=` or `:` between: dotenv, INI, TOML, properties, headers, queries of URLs, connection strings,
//! programs, and single lines of YAML and JSON. Pure, and one pass over the text.

use super::flow::TRIES;
use super::node::read_below;
use crate::redact::lex::{
    byte, byte_before, closing, escapes, is_of_name, line_end, skip, skip_while,
};
use crate::redact::name::{NameClass, is_about};
use crate::redact::scan::Scan;
use crate::redact::value::expansion;
use crate::redact::words::URLS;
use std::ops::Range;

/// Signs that close a name: quotes, perhaps escaped, and brackets, as in `environ["NAME"] = "value"`.
const CLOSING: &[u8] = b"\\\"'])";

/// So much is read of a value that only may be a secret.
const MAX_EITHER: usize = 1024;

/// A longer line is no header of a section.
const MAX_HEADER: usize = 128;

/// A name, and the sign behind it.
struct Assignment {
    name: Range<usize>,
    /// Where the name is closed, be it by quotes.
    closed: usize,
    /// The place of `=` or `:`.
    sign: usize,
    /// The first place behind the sign and spaces.
    value: usize,
    /// The quote that is open where the name begins.
    quote: Option<u8>,
    /// The class of the section that it stands in.
    section: NameClass,
}

pub(in crate::redact) fn read(scan: Scan<'_>, found: &mut Vec<Range<usize>>) {
    let text = scan.text;
    let mut quote = None;
    // Brackets below secret names that were not closed.
    let mut unclosed = 0;
    // The class of the section that the line stands in.
    let mut section = NameClass::Plain;
    let mut at = 0;
    while at < text.len() {
        let end = skip_while(text, at, is_of_name);
        if end == at {
            if byte(text, at) == b'[' {
                section = section_class(scan, at).unwrap_or(section);
            }
            quote = open_quote(text, at, quote);
            at += 1;
            continue;
        }
        let assignment = Assignment::read(text, at..end, quote, section);
        at = end;
        if let Some(assignment) = assignment
            && let Some(behind) = assignment.judge(scan, &mut unclosed, found)
        {
            quote = assignment.quote;
            at = behind_quote(text, behind.max(end), quote);
        }
    }
}

/// The class of the section of INI or TOML whose header begins here: what stands in `[credentials]` is a secret, and what
/// stands in `[auth]` may be anything. None when there is no header.
fn section_class(scan: Scan<'_>, at: usize) -> Option<NameClass> {
    let text = scan.text;
    if !matches!(byte_before(text, at), 0 | b'\n' | b'\r') {
        return None;
    }
    let limit = text.floor_char_boundary(at + MAX_HEADER);
    let line = text[at..limit].split('\n').next()?;
    let name = line.split(['#', ';']).next()?.trim_end();
    let name = name.trim_start_matches('[').strip_suffix(']')?;
    let name = name.trim_end_matches(']').trim();
    let last = name.rsplit('.').next().unwrap_or(name);
    let class = scan.names.class(last.trim_matches(['"', '\'']));
    let is_only_secret = matches!(class, NameClass::Secret | NameClass::Counted);
    Some(if is_only_secret {
        class
    } else {
        NameClass::Plain
    })
}

/// The place behind the quote that closes a value, unless that quote was open before its name.
fn behind_quote(text: &str, at: usize, open: Option<u8>) -> usize {
    let escapes = escapes(text, at);
    match byte(text, at + escapes) {
        quote @ (b'"' | b'\'') if Some(quote) != open => at + escapes + 1,
        _ => at,
    }
}

/// The quote that is open behind a byte. Quotations end with their lines here, as apostrophes begin none.
fn open_quote(text: &str, at: usize, quote: Option<u8>) -> Option<u8> {
    match (byte(text, at), quote) {
        (b'\n', _) => None,
        (found @ (b'"' | b'\''), None) => Some(found),
        (found, Some(open)) if found == open => None,
        _ => quote,
    }
}

impl Assignment {
    fn read(text: &str, name: Range<usize>, quote: Option<u8>, section: NameClass) -> Option<Self> {
        let closed = skip(text, name.end, CLOSING);
        let sign = skip(text, closed, b" \t");
        if !matches!(byte(text, sign), b'=' | b':') {
            return None;
        }
        let behind = skip(text, sign, b"=:>");
        let value = skip(text, behind, b" \t");
        let closing = &text.as_bytes()[name.end..closed];
        let assignment = Self {
            closed,
            sign,
            value,
            quote: quote.filter(|quote| !closing.contains(quote)),
            section,
            name,
        };
        (!assignment.is_url(text, behind) && !assignment.is_empty(text, behind))
            .then_some(assignment)
    }

    fn is_colon(&self, text: &str) -> bool {
        byte(text, self.sign) == b':'
    }

    /// Whether the colon is that of a URL, or of a path or an image with a tag.
    fn is_url(&self, text: &str, behind: usize) -> bool {
        self.is_colon(text)
            && (text[behind..].starts_with("//") || byte_before(text, self.name.start) == b'/')
            && self.closed == self.name.end
    }

    /// Whether nothing is assigned: in a shell `NAME= x` gives nothing to NAME.
    fn is_empty(&self, text: &str, behind: usize) -> bool {
        let is_near = self.closed == self.sign;
        let is_single = behind == self.sign + 1;
        !self.is_colon(text) && is_near && is_single && byte(text, behind).is_ascii_whitespace()
    }

    /// Whether the name stands in the query of a URL, or in a list of parameters like one.
    fn is_parameter(&self, text: &str) -> bool {
        !self.is_colon(text) && b"?&".contains(&byte_before(text, self.name.start))
    }

    /// Whether nothing but spaces, a dash or a quote stands before the name on its line.
    fn begins_line(&self, text: &str) -> bool {
        let before = text.as_bytes()[..self.name.start].iter().rev();
        let mut before = before.skip_while(|byte| b" \t\"'-".contains(byte));
        before.next().is_none_or(|byte| b"\n\r".contains(byte))
    }

    /// Whether a parser complains of a token: `unexpected token: identifier`.
    fn is_of_grammar(&self, text: &str) -> bool {
        let before = text[..self.name.start].trim_end_matches(' ');
        ["unexpected", "Unexpected"]
            .iter()
            .any(|word| before.ends_with(word))
    }

    fn class(&self, scan: Scan<'_>) -> NameClass {
        let name = &scan.text[self.name.clone()];
        let class = scan.names.class(name);
        let lower = name.to_ascii_lowercase();
        if !class.is_secret() && self.section.is_secret() && self.begins_line(scan.text) {
            return if is_about(name) { class } else { self.section };
        }
        if lower == "token" && self.is_of_grammar(scan.text) {
            return NameClass::Plain;
        }
        if class.is_secret() || !URLS.query.contains(&*lower) {
            return class;
        }
        match &*lower {
            "code" | "key" | "signature" if !self.is_parameter(scan.text) => class,
            "code" | "key" => NameClass::Either,
            _ => NameClass::Secret,
        }
    }

    /// Adds the value when it is a secret, and returns the place behind it.
    fn judge(
        &self,
        scan: Scan<'_>,
        unclosed: &mut usize,
        found: &mut Vec<Range<usize>>,
    ) -> Option<usize> {
        let text = scan.text;
        let class = self.class(scan);
        let name = &text[self.name.clone()];
        if !class.is_secret() || name.to_ascii_lowercase().ends_with("authorization") {
            return None;
        }
        let is_bracket = matches!(byte(text, self.value), b'{' | b'[');
        if is_bracket && scan.may_nest() && *unclosed < TRIES {
            let end = read_below(scan, class, self.value, found);
            *unclosed += usize::from(end.is_none());
            return end;
        }
        // A value that may be judged as none is not read to its end: the assignments in it are read as well.
        let text = match class {
            NameClass::Either => &text[..text.floor_char_boundary(self.value + MAX_EITHER)],
            _ => text,
        };
        let value = self.value(text)?;
        let end = value.end;
        scan.judge(class, value, found).then_some(end)
    }

    /// The value; none when something with names of its own is assigned.
    fn value(&self, text: &str) -> Option<Range<usize>> {
        let mut start = self.value;
        let is_quoted_name = self.closed > self.name.end && self.is_colon(text);
        if is_quoted_name {
            start = skip(text, start, b" \t\r\n");
        }
        // `$'…'` of a shell.
        start += usize::from(text[start..].starts_with("$'"));
        let escapes = escapes(text, start);
        match byte(text, start + escapes) {
            quote @ (b'"' | b'\'') if Some(quote) != self.quote || escapes > 0 => {
                Some(self.quoted(text, start, escapes, quote))
            }
            b'|' | b'>' if self.is_colon(text) => None,
            b'{' | b'[' | b'\n' | b'\r' | 0 => None,
            _ => Some(start..self.end(text, start)),
        }
    }

    fn quoted(&self, text: &str, start: usize, escapes: usize, quote: u8) -> Range<usize> {
        let inside = start + escapes + 1;
        let triple = [quote; 2];
        if escapes == 0 && text.as_bytes()[inside..].starts_with(&triple) {
            return triple_quoted(text, inside + triple.len(), quote);
        }
        let end = closing(text, inside, quote, escapes);
        let Some(end) = end else {
            return inside..text.len();
        };
        // A shell joins the text behind the quotation.
        let is_joined = !self.is_colon(text)
            && self.closed == self.sign
            && (byte(text, end.end).is_ascii_alphanumeric()
                || b"\"'$".contains(&byte(text, end.end)));
        if is_joined && escapes == 0 && self.quote.is_none() {
            start..self.word_end(text, end.end)
        } else {
            inside..end.start
        }
    }

    /// The end of a value without quotes.
    fn end(&self, text: &str, start: usize) -> usize {
        if self.is_parameter(text) {
            return skip_while(text, start, |byte| {
                !byte.is_ascii_whitespace() && !b"&#\"'`<>".contains(&byte)
            });
        }
        let is_near = self.value == self.sign + 1;
        let is_line = self.begins_line(text) && self.quote.is_none();
        let is_property = is_line && text[self.name.clone()].contains('.');
        if is_line && (!is_near || is_property) {
            return without_comment(text, start..line_end(text, start));
        }
        if !is_near && self.is_colon(text) {
            let end = skip_while(text, start, |byte| !b"\n\r,;}]".contains(&byte));
            return self.before_quote(text, start..end);
        }
        if !self.is_colon(text) && byte_before(text, self.name.start) == b';' {
            let end = skip_while(text, start, |byte| !b"\n\r;".contains(&byte));
            return self.before_quote(text, start..end);
        }
        self.word_end(text, start)
    }

    /// The end of a word: a space, or the quote that was open before it. Semicolons end commands at the end of a word; within
    /// it they are of the password.
    fn word_end(&self, text: &str, start: usize) -> usize {
        let start = start + expansion(&text[start..]);
        let end = skip_while(text, start, |byte| !byte.is_ascii_whitespace());
        let word = text[start..end].trim_end_matches(';');
        self.before_quote(text, start..start + word.len())
    }

    /// The end of a part, or the quote in it that closes an earlier one.
    fn before_quote(&self, text: &str, part: Range<usize>) -> usize {
        let quote = self.quote.map(char::from);
        let closes = text[part.clone()].find(|c| Some(c) == quote);
        closes.map_or(part.end, |length| part.start + length)
    }
}

/// The inside of `"""…"""`.
fn triple_quoted(text: &str, start: usize, quote: u8) -> Range<usize> {
    let quotes = [quote; 3];
    let rest = &text.as_bytes()[start..];
    let length = rest.windows(3).position(|three| three == quotes);
    start..length.map_or(text.len(), |length| start + length)
}

/// The end of a line without the spaces and the comment at its end.
fn without_comment(text: &str, line: Range<usize>) -> usize {
    let value = &text[line.clone()];
    let value = value.split(" #").next().unwrap_or(value);
    line.start + value.trim_end().len()
}
