//! Settings that are followed by their value without a sign between: `requirepass secret`, and `password secret` of
//! netrc and in prose. Pure.

use super::tools::TOOLS;
use crate::redact::lex::{byte, byte_before, closing, next_name, skip, skip_while};
use crate::redact::name::NameClass;
use crate::redact::scan::Scan;
use crate::redact::words::VALUES;
use std::ops::Range;

pub(in crate::redact) fn read(scan: Scan<'_>, found: &mut Vec<Range<usize>>) {
    let text = scan.text;
    let mut at = 0;
    while let Some(Range { start: name, end }) = next_name(text, at) {
        let start = skip(text, end, b" \t");
        if start > end && is_setting(&text[name..end]) {
            value(scan, start, found);
        }
        at = end;
    }
}

fn is_setting(name: &str) -> bool {
    TOOLS
        .settings
        .iter()
        .any(|setting| name.eq_ignore_ascii_case(setting))
}

fn value(scan: Scan<'_>, start: usize, found: &mut Vec<Range<usize>>) {
    let text = scan.text;
    let quote = byte(text, start);
    let part = if matches!(quote, b'"' | b'\'') {
        let end = closing(text, start + 1, quote, 0);
        start + 1..end.map_or(text.len(), |end| end.start)
    } else {
        let end = skip_while(text, start, |byte| {
            !byte.is_ascii_whitespace() && !b"\"'`<>;".contains(&byte)
        });
        // A sentence ends behind it.
        let is_stop = b".,:)".contains(&byte_before(text, end));
        start..if is_stop { end - 1 } else { end }
    };
    let Some(word) = text.get(part.clone()) else {
        return;
    };
    let is_sign = !word.starts_with(|c: char| c.is_alphanumeric() || "$!%^*_+.~/#@".contains(c));
    if !is_sign && !VALUES.prose.contains(&*word.to_ascii_lowercase()) {
        scan.judge(NameClass::Secret, part, found);
    }
}
