//! Fills placeholders such as `{alnum:20}` with secrets that are made up from a seed, and remembers them.

use super::corpus::Token;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use std::fmt::Write;
use std::iter;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";

/// How a private key begins and ends. Whole, these lines would be taken for a leak by scanners.
const KEYS: &[(&str, &str)] = &[
    ("pem_rsa", "RSA "),
    ("pem_ec", "EC "),
    ("pem_pkcs8", ""),
    ("pem_encrypted", "ENCRYPTED "),
    ("pem_openssh", "OPENSSH "),
    ("pem_pgp", "PGP "),
];

/// Makes up secrets.
pub struct Filler<'t> {
    tokens: &'t [Token],
    random: fastrand::Rng,
    /// The secrets so far: each piece of them that nobody may read.
    pub planted: Vec<String>,
}

/// A made-up text, and the pieces of it that nobody may read.
type Made = (String, Vec<String>);

impl<'t> Filler<'t> {
    /// The same seed makes up the same secrets.
    pub fn new(tokens: &'t [Token], seed: &str) -> Self {
        // FNV-1a.
        let hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            tokens,
            random: fastrand::Rng::with_seed(hash),
            planted: Vec::new(),
        }
    }

    /// The structure with every text of it filled in. A text that is a number's placeholder becomes a number.
    pub fn value(&mut self, template: &Value) -> Value {
        match template {
            Value::String(text) => self.scalar(text),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(key, field)| (key.clone(), self.value(field)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    fn scalar(&mut self, template: &str) -> Value {
        let text = self.text(template);
        match text.parse::<u64>() {
            Ok(number) if template.starts_with("{number:") => number.into(),
            _ => text.into(),
        }
    }

    /// The text with every placeholder filled in. The lines of what fills one keep its indentation.
    pub fn text(&mut self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, kind, length, after)) = next_placeholder(rest) {
            out.push_str(before);
            match self.make(kind, length) {
                Some((text, pieces)) => {
                    let line = &out[out.rfind('\n').map_or(0, |end| end + 1)..];
                    let indent = if line.trim().is_empty() { line } else { "" };
                    let text = text.replace('\n', &format!("\n{indent}"));
                    out.push_str(&text);
                    self.planted.extend(pieces);
                }
                None => {
                    let _ = write!(out, "{{{kind}:{length}}}");
                }
            }
            rest = after;
        }
        out + rest
    }

    /// Something of a kind; none when there is no such kind.
    fn make(&mut self, kind: &str, length: usize) -> Option<Made> {
        if let Some(letters) = alphabet(kind) {
            let text = self.letters(&letters, length);
            return Some((text.clone(), vec![text]));
        }
        if let Some(token) = self.tokens.iter().find(|token| token.name == kind) {
            let letters = alphabet(&token.alphabet).expect("a known alphabet");
            let tail = self.letters(&letters, length);
            return Some((token.begins.concat() + &tail, vec![tail]));
        }
        match kind {
            "number" => {
                let text = self.letters(&DIGITS[1..], length);
                Some((text.clone(), vec![text]))
            }
            "word" => {
                let words: Vec<_> = (0..length).map(|_| self.word()).collect();
                Some((words.join(" "), words))
            }
            "uuid" => {
                let parts = [8, 4, 4, 4, 12].map(|length| self.letters("0123456789abcdef", length));
                let text = parts.join("-");
                Some((text.clone(), vec![text]))
            }
            "basic" => Some(self.basic(length)),
            "jwt" => Some(self.jwt(length)),
            _ => self.private_key(kind, length),
        }
    }

    fn letters(&mut self, of: &str, length: usize) -> String {
        let of = of.as_bytes();
        iter::repeat_with(|| char::from(of[self.random.usize(..of.len())]))
            .take(length)
            .collect()
    }

    /// A word that stands in no dictionary, and looks as if it did.
    fn word(&mut self) -> String {
        (0..4)
            .map(|_| self.letters("bdfgklmnprstvz", 1) + &self.letters("aeiou", 1))
            .collect()
    }

    /// `user:password` in base64. The first letters encode the user.
    fn basic(&mut self, length: usize) -> Made {
        let password = self.letters(&alphabet("alnum").expect("known"), length);
        let text = BASE64_STANDARD.encode(format!("svc:{password}"));
        let tail = text[6..].to_owned();
        (text, vec![tail, password])
    }

    fn jwt(&mut self, length: usize) -> Made {
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
        let letters = alphabet("base64url").expect("known");
        let claims = BASE64_URL_SAFE_NO_PAD
            .encode(format!("{{\"sub\":\"{}\"}}", self.letters(LOWER, length)));
        let signature = self.letters(&letters, 43);
        let text = format!("{header}.{claims}.{signature}");
        (text, vec![claims[10..].to_owned(), signature])
    }

    /// So many lines of a private key; with `_escaped` behind its name, in one line.
    fn private_key(&mut self, kind: &str, lines: usize) -> Option<Made> {
        let name = kind.strip_suffix("_escaped");
        let (_, label) = KEYS
            .iter()
            .find(|(known, _)| *known == name.unwrap_or(kind))?;
        let block = if *label == "PGP " { " BLOCK" } else { "" };
        let letters = alphabet("base64").expect("known");
        let body: Vec<_> = (0..lines).map(|_| self.letters(&letters, 64)).collect();
        let edge = |word: &str| format!("-----{word} {label}{} KEY{block}-----", "PRIVATE");
        let all = [vec![edge("BEGIN")], body.clone(), vec![edge("END")]].concat();
        let newline = if name.is_some() { "\\n" } else { "\n" };
        Some((all.join(newline), body))
    }
}

/// The text before the next placeholder, its kind and length, and the text behind it.
fn next_placeholder(text: &str) -> Option<(&str, &str, usize, &str)> {
    for (start, _) in text.match_indices('{') {
        let Some((inside, after)) = text[start + 1..].split_once('}') else {
            continue;
        };
        let Some((kind, length)) = inside.split_once(':') else {
            continue;
        };
        let is_kind = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if let (true, Ok(length)) = (kind.chars().all(is_kind), length.parse()) {
            return Some((&text[..start], kind, length, after));
        }
    }
    None
}

/// The letters of an alphabet; none when there is no such.
pub fn alphabet(name: &str) -> Option<String> {
    Some(match name {
        "alnum" => [LOWER, UPPER, DIGITS].concat(),
        "alpha" => [LOWER, UPPER].concat(),
        "lower" => [LOWER, DIGITS].concat(),
        "upper" => [UPPER, DIGITS].concat(),
        "digits" => DIGITS.to_owned(),
        "hex" => "0123456789abcdef".to_owned(),
        "base32" => [UPPER, "234567"].concat(),
        "base64" => [LOWER, UPPER, DIGITS, "+/"].concat(),
        "base64url" => [LOWER, UPPER, DIGITS, "-_"].concat(),
        "pass" => [LOWER, UPPER, DIGITS, "!%^*_+.~-"].concat(),
        "quoted" => [LOWER, DIGITS, "\"\\$`"].concat(),
        _ => return None,
    })
}

/// Letters of a secret that are read in one piece are a leak when they are so many.
const WINDOW: usize = 8;
/// Windows begin so far from each other, which is enough for a leak of three letters more.
const STEP: usize = 4;

/// So many letters before and behind a leak are told.
const EXCERPT: usize = 40;

/// A text that is shown: as it is, without the escapes of JSON and YAML, and without those of JSON within JSON.
pub struct Shown([String; 3]);

impl Shown {
    pub fn new(text: String) -> Self {
        let once = unescaped(&text);
        let twice = unescaped(&once);
        Self([text, once, twice])
    }

    /// Whether a piece of a secret can be read in it, be it in part.
    pub fn reveals(&self, piece: &str) -> bool {
        self.excerpt(piece).is_some()
    }

    /// The text around a piece of a secret that can be read in it, be it in part.
    pub fn excerpt(&self, piece: &str) -> Option<&str> {
        let last = piece.len().saturating_sub(WINDOW);
        let starts = (0..last).step_by(STEP).chain([last]);
        let mut parts = starts.map(|start| &piece[start..piece.len().min(start + WINDOW)]);
        parts.find_map(|part| self.0.iter().find_map(|text| around(text, part)))
    }

    /// Whether anything in it is hidden.
    pub fn hides(&self) -> bool {
        self.text().contains("[redact")
    }

    pub fn text(&self) -> &str {
        &self.0[0]
    }
}

/// The first place where `part` stands in a text, with some of what is before and behind it.
fn around<'t>(text: &'t str, part: &str) -> Option<&'t str> {
    let at = text.find(part)?;
    let start = text.floor_char_boundary(at.saturating_sub(EXCERPT));
    let end = text.ceil_char_boundary(text.len().min(at + part.len() + EXCERPT));
    Some(&text[start..end])
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}
