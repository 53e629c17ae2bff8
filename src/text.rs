//! Texts of a bounded length. Lengths are in characters. Pure.

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

#[cfg(test)]
mod tests {
    use super::*;

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
