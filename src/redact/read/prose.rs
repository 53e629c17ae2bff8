//! Sentences that tell a secret: `the password is hunter2`, `invalid API key '…'`. In prose most words behind `password`
//! and `token` are no secrets, so a value is hidden only where it looks like no word. Pure, and one pass over the text.

use crate::redact::lex::{byte, next_name, skip, skip_while};
use crate::redact::scan::Scan;
use crate::redact::value::looks_random;
use crate::redact::words::{NAMES, VALUES};
use std::ops::Range;

/// A shorter password is not told from other text.
const SHORTEST: usize = 6;
/// A shorter token is not told from a name.
const TOKEN: usize = 16;
/// Words and signs that may stand between the name and the value.
const BETWEEN: usize = 2;

/// A longer word is left to the other readers.
const MAX_WORD: usize = 512;
/// Signs that may stand before a value.
const LEADING: &[u8] = b" \t:=\"'`(";
/// Ends of words that speak of passwords.
const PASSWORDS: &[&str] = &["password", "passphrase", "passwd"];

/// The kind of secret that a word speaks of.
#[derive(Clone, Copy)]
enum Spoken {
    Password,
    /// A token or a key: made by a machine.
    Token,
    /// `user:password`.
    Account,
}

pub(in crate::redact) fn read(scan: Scan<'_>, found: &mut Vec<Range<usize>>) {
    let text = scan.text;
    let mut before = "";
    let mut at = 0;
    while let Some(Range { start: name, end }) = next_name(text, at) {
        let word = &text[name..end];
        if LEADING.contains(&byte(text, end))
            && let Some(spoken) = spoken(scan, word, before)
            && let Some(value) = value(text, end)
            && let Some(secret) = secret(spoken, &text[value.clone()])
        {
            found.push(value.start + secret.start..value.start + secret.end);
        }
        before = word;
        at = end;
    }
}

/// The secret that a word speaks of, given the word before it: a key may also be that of a map.
fn spoken(scan: Scan<'_>, word: &str, before: &str) -> Option<Spoken> {
    let is = |name: &str| word.eq_ignore_ascii_case(name);
    if is("auth") {
        return Some(Spoken::Account);
    }
    if is("token") || is("apikey") {
        return Some(Spoken::Token);
    }
    if is("key") {
        let is_secret = NAMES.key_of.contains(&*before.to_ascii_lowercase());
        return is_secret.then_some(Spoken::Token);
    }
    if PASSWORDS.iter().any(|end| ends_with(word, end)) {
        return Some(Spoken::Password);
    }
    // The name of a header or a setting, as in `proxy_set_header X-Api-Key …`.
    let is_name = word.contains(['-', '_']) && scan.names.class(word).is_secret();
    is_name.then_some(Spoken::Token)
}

fn ends_with(word: &str, end: &str) -> bool {
    let start = word.len().checked_sub(end.len());
    let tail = start.and_then(|start| word.get(start..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

/// The place of the word that is told, behind the words that lead to it.
fn value(text: &str, name: usize) -> Option<Range<usize>> {
    let mut at = name;
    for _ in 0..=BETWEEN {
        let start = skip(text, at, LEADING);
        if start == at {
            return None;
        }
        let limit = text.floor_char_boundary(start + MAX_WORD);
        let end = skip_while(&text[..limit], start, |byte| {
            !byte.is_ascii_whitespace() && !b"\"'`<>()".contains(&byte)
        });
        if end == start + MAX_WORD {
            return None;
        }
        let word = text[start..end].trim_end_matches(['.', ',', ';', ':', '!', '?']);
        if !VALUES.leading.contains(&*word.to_ascii_lowercase()) {
            return Some(start..start + word.len());
        }
        at = end;
    }
    None
}

/// The part of a word that is the secret.
fn secret(spoken: Spoken, value: &str) -> Option<Range<usize>> {
    let is_password = |text: &str| text.len() >= SHORTEST && is_no_word(text);
    match spoken {
        Spoken::Password => is_password(value).then_some(0..value.len()),
        Spoken::Token => {
            let is_token = value.len() >= TOKEN && is_of_token(value) && looks_random(value);
            is_token.then_some(0..value.len())
        }
        Spoken::Account => {
            let colon = value.find(':')?;
            is_password(&value[colon + 1..]).then_some(colon + 1..value.len())
        }
    }
}

/// Whether a digit, or a capital behind its beginning, stands in a value without signs of paths, flags and references.
fn is_no_word(value: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_!%^*+~#@?-".contains(&byte);
    let is_odd = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let is_name = value.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    value.bytes().all(is_letter) && value.bytes().skip(1).any(is_odd) && !is_name
}

/// Names of objects have dashes and dots in them, and hashes at their ends.
fn is_of_token(value: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_+/=".contains(&byte);
    value.bytes().all(is_letter)
}
