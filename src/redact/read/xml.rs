//! XML: `<name>value</name>`, and a name beside a value, in elements (`<name>`, `<value>`) or in attributes. Pure, and one
//! pass over the text.

use crate::redact::lex::{byte, closing, is_of_name, skip, skip_while};
use crate::redact::name::NameClass;
use crate::redact::scan::Scan;
use crate::redact::words::NAMES;
use std::ops::Range;

/// More of a tag is not read.
const MAX_TAG: usize = 4096;

/// A tag that was opened.
struct Tag<'t> {
    name: &'t str,
    attributes: Range<usize>,
    /// The place behind it.
    end: usize,
}

pub(in crate::redact) fn read(scan: Scan<'_>, found: &mut Vec<Range<usize>>) {
    let text = scan.text;
    let mut label = NameClass::Plain;
    let mut at = 0;
    while let Some(open) = text[at..].find('<').map(|open| at + open) {
        at = open + 1;
        let Some(tag) = tag(text, open) else { continue };
        attributes(scan, &tag, found);
        at = tag.end;
        let content = content(text, tag.end);
        let lower = tag.name.to_ascii_lowercase();
        if NAMES.value.contains(&*lower) && label.is_secret() {
            scan.judge(label, content, found);
            label = NameClass::Plain;
        } else if NAMES.label.contains(&*lower) {
            label = scan.names.class(&text[content]);
        } else {
            scan.judge(scan.names.class(tag.name), content, found);
        }
    }
}

/// The tag that is opened here.
fn tag(text: &str, open: usize) -> Option<Tag<'_>> {
    let start = open + 1;
    let name_end = skip_while(text, start, is_of_name);
    let is_tag =
        byte(text, start).is_ascii_alphabetic() && b"> \t\r\n/".contains(&byte(text, name_end));
    if !is_tag {
        return None;
    }
    let limit = text.floor_char_boundary(text.len().min(name_end + MAX_TAG));
    let length = text[name_end..limit].find('>')?;
    Some(Tag {
        name: &text[start..name_end],
        attributes: name_end..name_end + length,
        end: name_end + length + 1,
    })
}

/// The text up to the next tag, without the spaces around it.
fn content(text: &str, start: usize) -> Range<usize> {
    let start = skip(text, start, b" \t\r\n");
    let end = skip_while(text, start, |byte| byte != b'<');
    let content = &text[start..end];
    start..start + content.trim_end().len()
}

/// Judges `value="…"` by `name="…"` in the same tag.
fn attributes(scan: Scan<'_>, tag: &Tag<'_>, found: &mut Vec<Range<usize>>) {
    let text = scan.text;
    let mut label = NameClass::Plain;
    let mut values = Vec::new();
    let mut at = tag.attributes.start;
    while at < tag.attributes.end {
        let start = skip(text, at, b" \t\r\n");
        let end = skip_while(text, start, is_of_name);
        let quote = byte(text, end + 1);
        let is_quoted = byte(text, end) == b'=' && matches!(quote, b'"' | b'\'');
        let inside = if is_quoted && end > start {
            text.get(..tag.attributes.end)
        } else {
            None
        };
        let Some(close) = inside.and_then(|tag| closing(tag, end + 2, quote, 0)) else {
            at = end.max(start) + 1;
            continue;
        };
        let name = text[start..end].to_ascii_lowercase();
        let value = end + 2..close.start;
        if NAMES.label.contains(&*name) {
            label = label.max(scan.names.class(&text[value]));
        } else if NAMES.value.contains(&*name) {
            values.push(value);
        }
        at = close.end;
    }
    for value in values {
        scan.judge(label, value, found);
    }
}
