//! Label selectors as kubectl takes them: `app=x,tier!=y,env in (a,b),!gone`. Pure.

use std::collections::BTreeMap;
use std::str::FromStr;

/// Terms that labels have to meet, all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Is(String, Vec<String>),
    IsNot(String, Vec<String>),
    Has(String),
    HasNot(String),
}

impl Selector {
    /// Whether labels meet all terms.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|term| match term {
            Term::Is(key, values) => labels.get(key).is_some_and(|it| values.contains(it)),
            Term::IsNot(key, values) => labels.get(key).is_none_or(|it| !values.contains(it)),
            Term::Has(key) => labels.contains_key(key),
            Term::HasNot(key) => !labels.contains_key(key),
        })
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let terms: Option<Vec<_>> = parts(text).into_iter().map(term).collect();
        match terms.filter(|terms| !terms.is_empty()) {
            Some(terms) => Ok(Self(terms)),
            None => Err(format!(
                "{text:?} is no label selector, such as app=llama,tier!=test,env in (a,b),!gone"
            )),
        }
    }
}

/// The texts between commas outside of brackets.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut inside = false;
    for (at, c) in text.char_indices() {
        match c {
            '(' => inside = true,
            ')' => inside = false,
            ',' if !inside => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

fn term(text: &str) -> Option<Term> {
    for (sign, is) in [(" notin ", false), (" in ", true)] {
        if let Some((key, set)) = text.split_once(sign) {
            let set = set.trim().strip_prefix('(')?.strip_suffix(')')?;
            let values = set.split(',').map(|it| it.trim().to_owned()).collect();
            let key = key_of(key)?;
            return Some(if is {
                Term::Is(key, values)
            } else {
                Term::IsNot(key, values)
            });
        }
    }
    for (sign, is) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((key, value)) = text.split_once(sign) {
            let values = vec![value.trim().to_owned()];
            let key = key_of(key)?;
            return Some(if is {
                Term::Is(key, values)
            } else {
                Term::IsNot(key, values)
            });
        }
    }
    match text.strip_prefix('!') {
        Some(key) => key_of(key).map(Term::HasNot),
        None => key_of(text).map(Term::Has),
    }
}

fn key_of(text: &str) -> Option<String> {
    let key = text.trim();
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    (!key.is_empty() && key.chars().all(is_key)).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_as_kubectl_reads_them() {
        let labels = [("app", "x"), ("a.b/tier", "y")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let labels = BTreeMap::from(labels);
        for (text, expected) in [
            ("app=x", true),
            ("app==x, a.b/tier!=z", true),
            ("app in (w, x)", true),
            ("app notin (w,x)", false),
            ("app,!gone", true),
            ("gone", false),
            ("gone!=1", true),
        ] {
            let selector: Selector = text.parse().expect(text);
            assert_eq!(selector.matches(&labels), expected, "{text}");
        }
        for wrong in ["", "a b", "app in x", "=x", "a,,b"] {
            let error = wrong.parse::<Selector>().expect_err(wrong);
            assert!(error.contains("is no label selector"), "{error}");
        }
    }
}
