//! Parts of a view, kept small. Pure.

use crate::revision::limits::MAX_ARGUMENT;
use crate::text::{cut, cut_middle, visible};
use std::borrow::Cow;

/// Keeps parts of a view small, and remembers whether anything was left out.
#[derive(Default)]
pub(super) struct Keep {
    pub(super) less: bool,
}

impl Keep {
    /// At most so many of a list.
    pub(super) fn first<T>(&mut self, most: usize, items: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut items = items.into_iter();
        let kept = items.by_ref().take(most).collect();
        self.less |= items.next().is_some();
        kept
    }

    /// At most so long a text.
    pub(super) fn text(&mut self, text: &str, most: usize) -> String {
        let visible = visible(text);
        let kept = cut(&visible, most);
        self.less |= matches!(kept, Cow::Owned(_));
        kept.into_owned()
    }

    /// An argument or a value of a variable: of a long one the middle is left out, as a script often ends with the command
    /// that it is for.
    pub(super) fn argument(&mut self, text: &str) -> String {
        let visible = visible(text);
        let kept = cut_middle(&visible, MAX_ARGUMENT);
        self.less |= matches!(kept, Cow::Owned(_));
        kept.into_owned()
    }
}
