//! Headers of HTTP that authenticate a request: `Authorization: scheme credential`, and a scheme with its credential
//! alone. Pure.

use crate::redact::lex::{
    byte, byte_before, closing, escapes, line_end, next_name, skip, skip_while,
};
use crate::redact::name::NameClass;
use crate::redact::scan::Scan;
use crate::redact::words::VALUES;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use std::ops::Range;

/// A word behind Bearer is a credential when it is so long.
const SHORTEST: usize = 8;
/// A space in a URL.
const SPACE: &str = "%20";

pub(in crate::redact) fn read(scan: Scan<'_>, found: &mut Vec<Range<usize>>) {
    let text = scan.text;
    let mut at = 0;
    while let Some(Range { start: name, end }) = next_name(text, at) {
        let word = &text[name..end];
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        let hidden = if is("authorization") || is("proxy-authorization") {
            authorization(scan, end, found)
        } else if is("bearer") || is("basic") {
            alone(scan, is("basic"), end, found)
        } else {
            None
        };
        at = hidden.unwrap_or(end);
    }
}

/// The credential behind the name of the header, and the place behind it.
fn authorization(scan: Scan<'_>, name: usize, found: &mut Vec<Range<usize>>) -> Option<usize> {
    let text = scan.text;
    let sign = skip(text, name, b"\\\"'] \t");
    if !matches!(byte(text, sign), b':' | b'=') {
        return None;
    }
    let start = skip(text, sign, b":=> \t");
    let escapes = escapes(text, start);
    let quote = byte(text, start + escapes);
    let is_quoted = matches!(quote, b'"' | b'\'');
    let (start, end) = if is_quoted {
        let start = start + escapes + 1;
        let end = closing(text, start, quote, escapes);
        (start, end.map_or(text.len(), |end| end.start))
    } else {
        let line = line_end(text, start);
        let is_list = byte(text, sign) == b'=';
        let end = text[start..line].find(|c| "\"'\\\r".contains(c) || (is_list && c == ','));
        (start, end.map_or(line, |end| start + end))
    };
    let credential = start + scheme(&text[start..end]);
    scan.judge(NameClass::Counted, credential..end, found);
    Some(end.max(name))
}

/// The length of a scheme and the space behind it.
fn scheme(value: &str) -> usize {
    let word = value.len()
        - value
            .trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '-')
            .len();
    // The 20 of `%20` is no part of it.
    let rest = &value[word..];
    let space = rest.len() - rest.trim_start_matches([' ', '\t', '+']).len();
    if rest.starts_with(SPACE) {
        word + SPACE.len()
    } else if space > 0 && space < rest.len() {
        word + space
    } else {
        0
    }
}

/// The credential behind `Bearer` or `Basic` that stands without its header.
fn alone(
    scan: Scan<'_>,
    is_basic: bool,
    end: usize,
    found: &mut Vec<Range<usize>>,
) -> Option<usize> {
    let text = scan.text;
    let start = if text[end..].starts_with(SPACE) {
        end + SPACE.len()
    } else {
        skip(text, end, b" ")
    };
    if start == end || byte_before(text, start) == b'\n' {
        return None;
    }
    let is_of_credential = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    let stop = skip_while(text, start, is_of_credential);
    let credential = &text[start..stop];
    let is_one = if is_basic {
        is_account(credential)
    } else {
        let lower = credential.to_ascii_lowercase();
        credential.len() >= SHORTEST && !VALUES.prose.contains(&*lower)
    };
    if is_one {
        found.push(start..stop);
    }
    is_one.then_some(stop)
}

/// Whether this is `user:password` in base64.
fn is_account(credential: &str) -> bool {
    credential.len() >= SHORTEST
        && BASE64_STANDARD_NO_PAD
            .decode(credential.trim_end_matches('='))
            .is_ok_and(|account| account.contains(&b':'))
}
