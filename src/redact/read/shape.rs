//! Tokens of vendors, which are told by their beginnings (`data/shapes.txt`). Pure.

use crate::redact::lex::{byte, byte_before, skip_while};
use crate::redact::scan::Scan;
use crate::redact::words::lines;
use std::ops::Range;
use std::sync::LazyLock;

/// Behind an access key of AWS and a colon its secret is at least so long.
const AWS_SECRET: usize = 20;

/// So much of a token is looked at to tell it from a name.
const MAX_NAME: usize = 512;

/// One form of tokens.
struct Shape {
    begin: &'static str,
    letters: Letters,
    /// So many letters are behind the beginning at least.
    least: usize,
}

/// The letters of a token behind its beginning.
#[derive(Clone, Copy)]
enum Letters {
    Digits,
    Hex,
    Upper,
    Alnum,
    Base64,
    Base64Url,
}

impl Letters {
    fn read(name: &str) -> Self {
        match name {
            "digits" => Self::Digits,
            "hex" => Self::Hex,
            "upper" => Self::Upper,
            "base64" => Self::Base64,
            "base64url" => Self::Base64Url,
            _ => Self::Alnum,
        }
    }

    fn has(self, byte: u8) -> bool {
        match self {
            Self::Digits => byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Base64 => byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte),
            Self::Base64Url => byte.is_ascii_alphanumeric() || b"_-".contains(&byte),
        }
    }
}

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let shapes = lines(include_str!("../data/shapes.txt"));
    shapes.filter_map(Shape::read).collect()
});

/// Whether some shape begins with a byte.
static BEGINS: LazyLock<[bool; 256]> = LazyLock::new(|| {
    let mut begins = [false; 256];
    for shape in SHAPES.iter() {
        begins[usize::from(byte(shape.begin, 0))] = true;
    }
    begins
});

impl Shape {
    fn read(line: &'static str) -> Option<Self> {
        let mut columns = line.split_whitespace();
        Some(Self {
            begin: columns.next()?,
            letters: Letters::read(columns.next()?),
            least: columns.next()?.parse().ok()?,
        })
    }

    /// The end of a token of this shape that begins here.
    fn end(&self, text: &str, at: usize) -> Option<usize> {
        if !text.as_bytes()[at..].starts_with(self.begin.as_bytes()) {
            return None;
        }
        let start = at + self.begin.len();
        let limit = text.floor_char_boundary(start + MAX_NAME);
        let end = skip_while(&text[..limit], start, |byte| self.letters.has(byte));
        let tail = &text.as_bytes()[start..end];
        // Words that are joined by dashes are a name.
        let is_name = tail.iter().any(|byte| b"-_".contains(byte))
            && !tail
                .iter()
                .any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        (tail.len() >= self.least && !is_name).then(|| self.whole(text, end))
    }

    /// The end of the token with its further parts: a signature, a check sum, the secret of a key.
    fn whole(&self, text: &str, end: usize) -> usize {
        let mut end = end;
        loop {
            let next = skip_while(text, end, |byte| {
                byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || self.letters.has(byte)
            });
            let further = byte(text, next + 1);
            let joined = byte(text, next) == b'.'
                && (further.is_ascii_alphanumeric() || b"_-".contains(&further));
            if !joined {
                end = next;
                break;
            }
            end = next + 1;
        }
        if matches!(self.letters, Letters::Upper) && byte(text, end) == b':' {
            let secret = skip_while(text, end + 1, |byte| Letters::Base64.has(byte));
            if secret - end > AWS_SECRET {
                return secret;
            }
        }
        end
    }
}

pub(in crate::redact) fn read(scan: Scan<'_>, found: &mut Vec<Range<usize>>) {
    let text = scan.text;
    let mut at = 0;
    while at < text.len() {
        if !BEGINS[usize::from(byte(text, at))] || !is_boundary(text, at) {
            at += 1;
            continue;
        }
        match SHAPES.iter().find_map(|shape| shape.end(text, at)) {
            Some(end) => {
                found.push(start_of(text, at)..end);
                at = end;
            }
            None => at += 1,
        }
    }
}

/// Whether a token may begin here: no letter is before it, unless that is of an escape.
fn is_boundary(text: &str, at: usize) -> bool {
    let before = byte_before(text, at);
    if !before.is_ascii_alphanumeric() && before != b'_' {
        return true;
    }
    let escape = |back: usize, sign: u8| at >= back && byte(text, at - back) == sign;
    escape(2, b'\\') || escape(3, b'%')
}

/// The start of a token that has a part before its shape: an id and a dot.
fn start_of(text: &str, at: usize) -> usize {
    if byte_before(text, at) != b'.' {
        return at;
    }
    let before = &text.as_bytes()[..at - 1];
    let id = before.iter().rev();
    at - 1 - id.take_while(|byte| byte.is_ascii_alphanumeric()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_shape() {
        let all = lines(include_str!("../data/shapes.txt")).count();
        assert_eq!(SHAPES.len(), all);
        assert!(
            SHAPES
                .iter()
                .all(|shape| shape.least + shape.begin.len() >= 10)
        );
    }
}
