//! Whether a name looks as if it held a secret, by the words in it. Pure.

use super::words::{
    FUSED, HARMLESS, HINTS, KEY_OF, PASS_OF, POINTER, SECRET, SERVICES, TEXT, TOKENS_OF,
};

/// Whether a name looks as if it held a secret.
pub(super) fn looks_secret(name: &str) -> bool {
    let lower = name.to_lowercase();
    if !HINTS.iter().any(|hint| lower.contains(hint)) {
        return false;
    }
    let words = NameWords::of(name);
    // `CACHE_KEY` in capitals is a variable; `cacheKey` is a field of something.
    let is_variable = words.0.len() > 1 && !name.chars().any(char::is_lowercase);
    !words.ends_in(POINTER) && (0..words.0.len()).any(|at| words.is_secret(at, is_variable))
}

/// The lower-case words of `HF_TOKEN`, `--api-key` or `secretKey`.
struct NameWords(Vec<String>);

impl NameWords {
    fn of(name: &str) -> Self {
        let mut words = vec![String::new()];
        let mut lower_before = false;
        for c in name.chars() {
            if !c.is_alphanumeric() || (c.is_uppercase() && lower_before) {
                words.push(String::new());
            }
            if let Some(last) = words.last_mut().filter(|_| c.is_alphanumeric()) {
                last.extend(c.to_lowercase());
            }
            lower_before = c.is_lowercase() || c.is_ascii_digit();
        }
        words.retain(|word| !word.is_empty());
        Self(words)
    }

    fn ends_in(&self, words: &[&str]) -> bool {
        self.0
            .last()
            .is_some_and(|last| words.contains(&last.as_str()))
    }

    /// Whether the word at `at`, with the words beside it, makes the name that of a secret.
    fn is_secret(&self, at: usize, is_variable: bool) -> bool {
        let is_last = at + 1 == self.0.len();
        match self.0[at].as_str() {
            "token" => !self.is_beside(at, TEXT),
            "tokens" => self.is_after(at, TOKENS_OF),
            "key" | "keys" => {
                self.is_after(at, KEY_OF)
                    || self.is_after(at, SERVICES)
                    || (is_last && is_variable && !self.is_after(at, HARMLESS))
            }
            "pass" => is_last && self.is_after(at, PASS_OF),
            "auth" => is_last && at > 0,
            other => SECRET.contains(&other) || is_fused(other),
        }
    }

    fn is_after(&self, at: usize, words: &[&str]) -> bool {
        at > 0 && words.contains(&self.0[at - 1].as_str())
    }

    fn is_beside(&self, at: usize, words: &[&str]) -> bool {
        let next = self.0.get(at + 1);
        self.is_after(at, words) || next.is_some_and(|next| words.contains(&next.as_str()))
    }
}

/// Words that are written without anything between: `pgpassword`, `hftoken`, `openaikey`; but not `maxtoken`.
fn is_fused(word: &str) -> bool {
    let token = word
        .strip_suffix("token")
        .is_some_and(|of| !TEXT.contains(&of));
    let key = word
        .strip_suffix("key")
        .is_some_and(|of| KEY_OF.contains(&of) || SERVICES.contains(&of));
    token || key || FUSED.iter().any(|end| word.ends_with(end))
}
