//! Places in a text, and pieces of it that are read without their escapes. Pure.

use std::borrow::Cow;
use std::ops::Range;

/// The byte at a place; 0 behind the end.
pub(super) fn byte(text: &str, at: usize) -> u8 {
    text.as_bytes().get(at).copied().unwrap_or_default()
}

/// The byte before a place; 0 at the beginning.
pub(super) fn byte_before(text: &str, at: usize) -> u8 {
    at.checked_sub(1).map_or(0, |before| byte(text, before))
}

/// The first place from `from` on whose byte is not one of these.
pub(super) fn skip(text: &str, from: usize, of: &[u8]) -> usize {
    skip_while(text, from, |byte| of.contains(&byte))
}

/// The first place from `from` on whose byte is not of these.
pub(super) fn skip_while(text: &str, from: usize, is: impl Fn(u8) -> bool) -> usize {
    let from = from.min(text.len());
    let rest = &text.as_bytes()[from..];
    from + rest.iter().take_while(|byte| is(**byte)).count()
}

/// The next word from `from` on that may be a name.
pub(super) fn next_name(text: &str, from: usize) -> Option<Range<usize>> {
    let start = skip_while(text, from, |byte| !is_of_name(byte));
    let end = skip_while(text, start, is_of_name);
    (end > start).then_some(start..end)
}

/// The end of the line that `from` stands in.
pub(super) fn line_end(text: &str, from: usize) -> usize {
    skip_while(text, from, |byte| byte != b'\n')
}

/// Whether letters of a name may be of this byte.
pub(super) fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) || !byte.is_ascii()
}

/// The quote that closes what is inside from `from` on, with the backslashes before it; none when it is not closed. Quotes
/// of JSON within JSON have backslashes before them, at the beginning as at the end: `escapes` is their number.
pub(super) fn closing(text: &str, from: usize, quote: u8, escapes: usize) -> Option<Range<usize>> {
    let mut at = from;
    while at < text.len() {
        let end = skip(text, at, b"\\");
        let backslashes = end - at;
        let closes = if escapes == 0 {
            backslashes.is_multiple_of(2)
        } else {
            backslashes <= escapes
        };
        if byte(text, end) == quote && end < text.len() && closes {
            let start = if escapes == 0 { end } else { at };
            return Some(start..end + 1);
        }
        at = end + 1;
    }
    None
}

/// The number of backslashes before the quote at a place.
pub(super) fn escapes(text: &str, at: usize) -> usize {
    let end = skip(text, at, b"\\");
    let is_quote = matches!(byte(text, end), b'"' | b'\'');
    if is_quote { end - at } else { 0 }
}

/// Text within another text, without its quotes and escapes.
#[derive(Clone, Debug)]
pub(super) struct Piece<'t> {
    /// The text as it is meant.
    pub(super) text: Cow<'t, str>,
    /// Its place in the other text.
    pub(super) place: Range<usize>,
    /// The place in the other text of each byte, where they are not one behind the other.
    places: Option<Vec<usize>>,
}

impl<'t> Piece<'t> {
    /// A part that has no escapes.
    pub(super) fn plain(whole: &'t str, place: Range<usize>) -> Self {
        Self {
            text: Cow::Borrowed(whole.get(place.clone()).unwrap_or_default()),
            place,
            places: None,
        }
    }

    /// The place in the other text of a part of the piece.
    pub(super) fn place_of(&self, part: &Range<usize>) -> Range<usize> {
        match &self.places {
            None => self.place.start + part.start..self.place.start + part.end,
            Some(places) => {
                let of = |at: usize| places.get(at).copied().unwrap_or(self.place.end);
                of(part.start)..of(part.end)
            }
        }
    }
}

/// Builds a piece, letter by letter.
pub(super) struct PieceBuilder {
    text: String,
    places: Vec<usize>,
    /// The place behind the last letter, where it was copied.
    end: Option<usize>,
}

impl PieceBuilder {
    pub(super) fn new() -> Self {
        Self {
            text: String::new(),
            places: Vec::new(),
            end: None,
        }
    }

    /// Adds a letter that stands at a place in the other text.
    pub(super) fn push(&mut self, letter: char, place: usize) {
        self.text.push(letter);
        self.places.resize(self.text.len(), place);
        self.end = None;
    }

    /// Adds the letter at a place of the other text as it is, and returns the place behind it.
    pub(super) fn copy(&mut self, whole: &str, place: usize) -> usize {
        let Some(letter) = whole.get(place..).and_then(|rest| rest.chars().next()) else {
            return place + 1;
        };
        for (at, byte_place) in (place..place + letter.len_utf8()).enumerate() {
            if at == 0 {
                self.text.push(letter);
            }
            self.places.push(byte_place);
        }
        let end = place + letter.len_utf8();
        self.end = Some(end);
        end
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The piece, which stands at this place.
    pub(super) fn build<'t>(mut self, place: Range<usize>) -> Piece<'t> {
        self.places.push(self.end.unwrap_or(place.end));
        Piece {
            text: Cow::Owned(self.text),
            place,
            places: Some(self.places),
        }
    }
}

/// The text of a JSON string whose quotes stand around `place`.
pub(super) fn json_string(whole: &str, place: Range<usize>) -> Piece<'_> {
    let inside = whole.get(place.clone()).unwrap_or_default();
    if !inside.contains('\\') {
        return Piece::plain(whole, place);
    }
    let mut built = PieceBuilder::new();
    let mut at = place.start;
    while at < place.end {
        if byte(whole, at) != b'\\' {
            at = built.copy(whole, at);
            continue;
        }
        match byte(whole, at + 1) {
            b'n' => built.push('\n', at),
            b't' => built.push('\t', at),
            b'r' => built.push('\r', at),
            b'u' => {
                let code = whole.get(at + 2..at + 6);
                let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
                if let Some(letter) = code.and_then(char::from_u32) {
                    built.push(letter, at);
                    at += 6;
                    continue;
                }
            }
            b if b.is_ascii() && at + 1 < place.end => built.push(char::from(b), at),
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    built.build(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_piece_are_found_in_the_whole() {
        let whole = r#"x "a\n\"b\u0041é" y"#;
        let end = whole.rfind('"').expect("a quote");
        let piece = json_string(whole, 3..end);
        assert_eq!(piece.text, "a\n\"bAé");
        assert_eq!(&whole[piece.place_of(&(1..3))], r#"\n\""#);
        assert_eq!(&whole[piece.place_of(&(4..5))], "\\u0041");
        assert_eq!(&whole[piece.place_of(&(5..7))], "é");
    }

    #[test]
    fn quotations_end_at_their_quotes() {
        assert_eq!(closing(r#"a\"b" c"#, 0, b'"', 0), Some(4..5));
        assert_eq!(closing(r#"a\\" c"#, 0, b'"', 0), Some(3..4));
        assert_eq!(closing(r#"a\" c"#, 0, b'"', 1), Some(1..3));
        assert_eq!(closing(r#"a\\\"b\" c"#, 0, b'"', 1), Some(6..8));
        assert_eq!(closing("a\\", 0, b'"', 0), None);
        assert_eq!(escapes(r#"\\\"a"#, 0), 3);
    }

    proptest::proptest! {
        #[test]
        fn any_string_is_a_piece(text in "([\\\\\"nu0é]|\\PC){0,30}") {
            let piece = json_string(&text, 0..text.len());
            let whole = piece.place_of(&(0..piece.text.len()));
            proptest::prop_assert!(text.get(whole).is_some());
        }
    }
}
