//! Private keys between `-----BEGIN` and `-----END` (RFC 7468), with any text before their lines. Pure.

use crate::redact::scan::Scan;
use std::ops::Range;

const BEGIN: &str = "-----BEGIN";
const END: &str = "-----END";
const LABEL: &str = "PRIVATE KEY";
/// The longest beginning: `-----BEGIN ENCRYPTED `.
const MAX_BEGIN: usize = 40;

pub(in crate::redact) fn read(scan: Scan<'_>, found: &mut Vec<Range<usize>>) {
    let text = scan.text;
    let mut at = 0;
    while let Some(label) = text[at..].find(LABEL).map(|found| at + found) {
        let near = text.floor_char_boundary(label.saturating_sub(MAX_BEGIN).max(at));
        at = label + LABEL.len();
        let Some(begin) = text[near..label].rfind(BEGIN) else {
            continue;
        };
        let end = text[at..].find(END).map(|end| at + end + END.len());
        let end = end.map_or(text.len(), |end| end_line(text, end));
        found.push(near + begin..end);
        at = end;
    }
}

/// The end of the dashes behind the label that begins here.
fn end_line(text: &str, label: usize) -> usize {
    let rest = &text[label..];
    let line = rest.find(['\n', '\\']).unwrap_or(rest.len());
    match rest[..line].find("-----") {
        Some(dashes) => label + dashes + "-----".len(),
        None => label + line,
    }
}
