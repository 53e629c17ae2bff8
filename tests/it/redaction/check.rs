//! The corpus itself: how much of it there is, and that it holds no secret.

use super::corpus::{Place, forms, groups, texts, tokens};
use super::fill::{Shown, alphabet};
use super::{manifest, secrets};
use revisor::kinds::Catalogue;
use std::collections::BTreeSet;

/// Entries of one form, at most.
const OF_A_FORM: usize = 6;
/// A secret that is shorter cannot be told from other text.
const SHORTEST: usize = 6;
/// A run of letters of all sorts that is longer may be a secret.
const RUN: usize = 20;

#[test]
fn the_corpus_is_large_and_many_sided() {
    let forms = forms();
    let names: BTreeSet<_> = forms.iter().map(|form| &form.form).collect();
    assert_eq!(names.len(), forms.len(), "a form stands twice");
    let entries: usize = forms.iter().map(|form| form.entries.len()).sum();
    assert!(
        forms.len() >= 66 && entries >= 330,
        "{} forms, {entries} secrets",
        forms.len()
    );
    for form in &forms {
        let name = &form.form;
        assert!((1..=OF_A_FORM).contains(&form.entries.len()), "{name}");
        assert!(
            form.source.starts_with("https://"),
            "{name}: {}",
            form.source
        );
    }
    for token in tokens() {
        assert!(token.source.starts_with("https://"), "{}", token.name);
        assert!(alphabet(&token.alphabet).is_some(), "{}", token.name);
    }
}

#[test]
fn enough_harmless_values_stand_beside_words_of_secrets() {
    let groups = groups();
    let all: Vec<_> = groups.iter().flat_map(|group| &group.entries).collect();
    let beside = groups.iter().filter(|group| group.beside.is_some());
    let beside: usize = beside.map(|group| group.entries.len()).sum();
    assert!(
        all.len() >= 330 && beside >= 110,
        "{} values, {beside} beside",
        all.len()
    );
    let different: BTreeSet<_> = all.iter().map(ToString::to_string).collect();
    assert_eq!(different.len(), all.len(), "a value stands twice");
    for group in &groups {
        for entry in &group.entries {
            assert!(Place::read(entry).is_ok(), "{}: {entry}", group.about);
        }
        if let Some(word) = group.beside.as_deref() {
            let has_word = |text: &str| text.to_lowercase().contains(word);
            for entry in &group.entries {
                assert!(has_word(&entry.to_string()), "{}: {entry}", group.about);
            }
        }
    }
}

#[test]
fn every_secret_is_made_up_and_recognisable() {
    let mut seen = BTreeSet::new();
    for secret in secrets() {
        let name = format!("{} {}", secret.form, secret.entry);
        assert!(secret.planted.len() >= 2, "{name} has no placeholder");
        for piece in secret.planted {
            assert!(
                piece.len() >= SHORTEST && piece.is_ascii(),
                "{name}: {piece}"
            );
            assert!(seen.insert(piece), "{name}: not unique");
        }
        for place in [secret.first, secret.second] {
            let text = format!("{place:?}");
            assert!(
                !has_placeholder(&text),
                "{name}: unknown placeholder in {text}"
            );
        }
    }
}

#[test]
fn a_secret_that_is_not_hidden_is_found() {
    let catalogue = Catalogue::built_in();
    for secret in secrets() {
        let shown = [&secret.first, &secret.second].map(|place| {
            let kind = manifest::kind(&catalogue, place);
            let text = match place {
                Place::Message { message } => message.clone(),
                _ => manifest::with(&kind, 1, place, true).to_string(),
            };
            Shown::new(text)
        });
        // The password within `user:password` in base64 is found only where something decodes it.
        let is_encoded = secret.template.to_string().contains("{basic:");
        for piece in &secret.planted {
            let is_found = is_encoded || shown.iter().any(|text| text.reveals(piece));
            assert!(is_found, "{} {}: {piece}", secret.form, secret.entry);
        }
    }
}

#[test]
fn every_form_of_tokens_is_used() {
    let texts: String = texts().into_iter().map(|(_, text)| text).collect();
    for token in tokens() {
        let placeholder = format!("{{{}:", token.name);
        assert!(texts.contains(&placeholder), "{}", token.name);
    }
}

/// Whether `{kind:20}` is left.
fn has_placeholder(text: &str) -> bool {
    text.split('{').skip(1).any(|rest| {
        let inside = rest.split('}').next().unwrap_or_default();
        let (kind, length) = inside.split_once(':').unwrap_or_default();
        let is_kind = |c: char| c.is_ascii_lowercase() || c == '_';
        !kind.is_empty() && kind.chars().all(is_kind) && length.parse::<usize>().is_ok()
    })
}

#[test]
fn no_file_of_the_corpus_holds_what_looks_like_a_secret() {
    let begins: Vec<_> = tokens().iter().map(|token| token.begins.concat()).collect();
    for (file, text) in texts() {
        let file = file.display();
        assert!(!text.contains("PRIVATE KEY"), "{file}: a private key");
        let is_of_run = |c: char| c.is_ascii_alphanumeric() || "+/_".contains(c);
        for run in text.split(|c| !is_of_run(c)).filter(|run| run.len() >= RUN) {
            assert!(!is_mixed(run), "{file}: {run}");
        }
        for begin in &begins {
            assert!(
                !has_token(&text, begin),
                "{file}: a token that begins with {begin}"
            );
        }
    }
}

/// Capital and small letters and many digits, and no path.
fn is_mixed(run: &str) -> bool {
    let count = |is: fn(char) -> bool| run.chars().filter(|c| is(*c)).count();
    let digits = count(|c| c.is_ascii_digit());
    let capitals = count(|c| c.is_ascii_uppercase());
    let small = count(|c| c.is_ascii_lowercase());
    digits >= 3 && capitals >= 3 && small >= 3 && count(|c| "/_".contains(c)) < 3
}

/// Whether a token stands in a text: its beginning, and then more letters than a word has.
fn has_token(text: &str, begin: &str) -> bool {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    text.match_indices(begin).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let tail = &text[at + begin.len()..];
        let tail = &tail[..tail.find(|c| !is_of_token(c)).unwrap_or(tail.len())];
        let has_digit = tail.chars().any(|c| c.is_ascii_digit());
        !before.is_some_and(is_of_token) && tail.len() >= 16 && has_digit
    })
}
