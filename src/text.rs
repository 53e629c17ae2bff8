//! Texts of a bounded length, and texts whose every character can be seen. Lengths are in characters. Pure.

use std::borrow::Cow;

/// The first `max` characters of a text.
pub fn prefix(text: &str, max: usize) -> &str {
    match text.char_indices().nth(max) {
        None => text,
        Some((end, _)) => &text[..end],
    }
}

/// A text in at most `max` characters: where something was cut off, the last one is an ellipsis.
pub fn cut(text: &str, max: usize) -> Cow<'_, str> {
    if text.char_indices().nth(max).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", prefix(text, max.saturating_sub(1))))
}

/// A text in at most `max` characters: where it is longer, an ellipsis stands for its middle, and twice as much is left of
/// its end as of its beginning.
pub fn cut_middle(text: &str, max: usize) -> Cow<'_, str> {
    if text.char_indices().nth(max).is_none() {
        return Cow::Borrowed(text);
    }
    let kept = max.saturating_sub(1);
    let start = prefix(text, kept / 3);
    Cow::Owned(format!("{start}…{}", suffix(text, kept - kept / 3)))
}

/// The last `max` characters of a text.
pub fn suffix(text: &str, max: usize) -> &str {
    let Some(last) = max.checked_sub(1) else {
        return "";
    };
    match text.char_indices().nth_back(last) {
        None => text,
        Some((start, _)) => &text[start..],
    }
}

/// A text in which control characters, and those that change the direction of writing, are written as `\u{202e}`, so that
/// people read what is there. Lines and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_invisible(c) && !matches!(c, '\n' | '\t'))
}

/// Like [`visible`], in one line.
pub fn visible_line(text: &str) -> Cow<'_, str> {
    escape(text, is_invisible)
}

/// Whether a text has characters that change the direction of writing.
pub fn has_direction(text: &str) -> bool {
    text.contains(is_direction)
}

/// JSON in which such characters are escaped. It says the same as before: they stand in its strings only. YAML knows the
/// same escapes in double quotes.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    replace(json, is_direction, |c| format!("\\u{:04x}", u32::from(c)))
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    replace(text, is_escaped, |c| c.escape_unicode().to_string())
}

fn replace(
    text: &str,
    is_replaced: impl Fn(char) -> bool,
    with: impl Fn(char) -> String,
) -> Cow<'_, str> {
    if !text.contains(&is_replaced) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_replaced(c) {
            out.push_str(&with(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn is_invisible(c: char) -> bool {
    c.is_control() || is_direction(c)
}

/// Whether a character changes the direction of writing (Unicode Standard Annex 9), or ends a line or a paragraph.
fn is_direction(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_cannot_be_seen_are_made_visible() {
        for (text, visible_text, line) in [
            ("a b", "a b", "a b"),
            ("a\n\tb", "a\n\tb", "a\\u{a}\\u{9}b"),
            ("\u{1b}[31m", "\\u{1b}[31m", "\\u{1b}[31m"),
            (
                "x\u{202e}y\u{2066}é",
                "x\\u{202e}y\\u{2066}é",
                "x\\u{202e}y\\u{2066}é",
            ),
        ] {
            assert_eq!(visible(text), visible_text);
            assert_eq!(visible_line(text), line);
        }
        let json = "\"a\u{202e}b\"";
        assert_eq!(visible_json(json), "\"a\\u202eb\"");
        let same: String = serde_json::from_str(&visible_json(json)).expect("JSON");
        assert_eq!(same, "a\u{202e}b");
    }

    #[test]
    fn the_end_of_a_long_text_stays() {
        for (text, max, short) in [
            ("abcdef", 6, "abcdef"),
            ("abcdefgh", 7, "ab…efgh"),
            ("éüöäab", 4, "é…ab"),
            ("abc", 1, "…"),
            ("", 0, ""),
        ] {
            assert_eq!(cut_middle(text, max), short, "{text} in {max}");
        }
        assert_eq!(
            (suffix("éü", 1), suffix("éü", 9), suffix("é", 0)),
            ("ü", "éü", "")
        );
    }

    #[test]
    fn characters_are_counted_and_the_ellipsis_is_one_of_them() {
        for (text, max, begins, short) in [
            ("", 0, "", ""),
            ("", 2, "", ""),
            ("ab", 2, "ab", "ab"),
            ("abc", 2, "ab", "a…"),
            ("éüö", 3, "éüö", "éüö"),
            ("éüöä", 3, "éüö", "éü…"),
            ("ab", 1, "a", "…"),
        ] {
            assert_eq!(prefix(text, max), begins, "{text} in {max}");
            assert_eq!(cut(text, max), short, "{text} in {max}");
        }
    }
}
