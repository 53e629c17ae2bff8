//! The parts of a text that are hidden, and the text that is shown. Pure.

use super::{CHANGED, REDACTED};
use std::borrow::Cow;
use std::ops::Range;

/// The secrets of one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// There is none.
    #[default]
    Nothing,
    /// The whole text is one.
    Whole,
    /// These parts are: in order, none of them empty, with something between each two.
    Parts(Vec<Range<usize>>),
}

impl Hidden {
    /// These parts of a text, in any order.
    pub(super) fn parts(mut parts: Vec<Range<usize>>) -> Self {
        parts.retain(|part| !part.is_empty());
        parts.sort_unstable_by_key(|part| part.start);
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(parts.len());
        for part in parts {
            match merged.last_mut() {
                Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
                _ => merged.push(part),
            }
        }
        if merged.is_empty() {
            Self::Nothing
        } else {
            Self::Parts(merged)
        }
    }

    /// Those of the part of the text that begins at `start` and is so long.
    pub(crate) fn behind(&self, start: usize, length: usize) -> Self {
        match self {
            Self::Parts(parts) => {
                let within = |at: usize| at.saturating_sub(start).min(length);
                let parts = parts.iter();
                Self::parts(
                    parts
                        .map(|part| within(part.start)..within(part.end))
                        .collect(),
                )
            }
            whole => whole.clone(),
        }
    }

    /// The hidden parts of the text.
    pub(crate) fn ranges(&self, text: &str) -> Vec<Range<usize>> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Whole => std::iter::once(0..text.len()).collect(),
            Self::Parts(parts) => parts.clone(),
        }
    }

    /// The hidden parts, as they are read in the text.
    pub(crate) fn secrets<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        self.ranges(text)
            .into_iter()
            .filter_map(move |part| text.get(part))
    }

    /// The text with [`REDACTED`] in place of each secret.
    pub(crate) fn show<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.show_with(text, |_| REDACTED)
    }

    /// The text with a marker in place of each secret that tells whether it is another one than `before`, where there
    /// was any.
    pub(crate) fn show_after<'t>(&self, text: &'t str, before: &[String]) -> Cow<'t, str> {
        self.show_with(text, |secret| {
            let is_same = before.iter().any(|other| other == secret);
            if is_same || before.is_empty() {
                REDACTED
            } else {
                CHANGED
            }
        })
    }

    fn show_with<'t>(
        &self,
        text: &'t str,
        marker: impl Fn(&'t str) -> &'static str,
    ) -> Cow<'t, str> {
        if *self == Self::Nothing {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        for part in self.ranges(text) {
            // A part that is not within the text cannot be shown either.
            out.push_str(text.get(copied..part.start).unwrap_or_default());
            out.push_str(marker(text.get(part.clone()).unwrap_or_default()));
            copied = part.end;
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_put_in_order_and_joined() {
        let hidden = Hidden::parts(vec![6..8, 0..0, 2..4, 3..5]);
        assert_eq!(hidden, Hidden::Parts(vec![2..5, 6..8]));
        assert_eq!(hidden.show("abcdefghij"), "ab[redacted]f[redacted]ij");
        assert_eq!(Hidden::parts(Vec::new()), Hidden::Nothing);
        assert_eq!(Hidden::Whole.show("abc"), REDACTED);
    }

    #[test]
    fn a_changed_secret_is_told_from_an_unchanged_one() {
        let shown = |text: &str, before: &[&str]| {
            let before: Vec<_> = before.iter().map(|text| (*text).to_owned()).collect();
            Hidden::Whole.show_after(text, &before).into_owned()
        };
        assert_eq!(shown("a", &[]), REDACTED);
        assert_eq!(shown("a", &["a"]), REDACTED);
        assert_eq!(shown("b", &["a"]), CHANGED);
    }
}
