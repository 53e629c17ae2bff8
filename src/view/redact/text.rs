//! Secrets within free text: a command line, JSON, YAML, a URL. Pure, and one pass over the text.
//!
//! A name is a run of letters, digits, `_`, `-` and `.`; what counts as its value begins behind `=` or `:`, with or
//! without spaces and quotes, or, behind a flag, after a space.

use super::{Names, REDACTED};
use std::borrow::Cow;
use std::ops::Range;

/// How well-known tokens begin.
const SHAPES: &[&str] = &[
    "hf_",
    "nvapi-",
    "sk-",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "eyJ",
];
/// A token is at least so much longer than its beginning.
const SHAPE_TAIL: usize = 12;
/// What follows the word Bearer is a token when it is so long.
const BEARER: usize = 8;

/// The text with [`REDACTED`] in place of every secret.
pub(super) fn without_secrets<'a>(names: &Names, text: &'a str) -> Cow<'a, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < text.len() {
        let end = run_end(text, at);
        if end == at {
            let userinfo = userinfo(text, at);
            at = hide(text, userinfo, &mut out, &mut copied).unwrap_or(at + width(text, at));
            continue;
        }
        let secret = value_of(names, text, at..end).or_else(|| token(text, at..end));
        at = hide(text, secret, &mut out, &mut copied).unwrap_or(end);
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// Copies what is before the secret, and where it ends.
fn hide(
    text: &str,
    secret: Option<Range<usize>>,
    out: &mut String,
    copied: &mut usize,
) -> Option<usize> {
    let secret = secret?;
    out.push_str(&text[*copied..secret.start]);
    out.push_str(REDACTED);
    *copied = secret.end;
    Some(secret.end)
}

fn width(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(1, char::len_utf8)
}

fn run_end(text: &str, from: usize) -> usize {
    let inside = |b: &u8| b.is_ascii_alphanumeric() || b"_-.".contains(b) || !b.is_ascii();
    from + text.as_bytes()[from..]
        .iter()
        .take_while(|b| inside(b))
        .count()
}

fn byte(text: &str, at: usize) -> u8 {
    text.as_bytes().get(at).copied().unwrap_or_default()
}

fn skip(text: &str, from: usize, of: &[u8]) -> usize {
    from + text.as_bytes()[from.min(text.len())..]
        .iter()
        .take_while(|b| of.contains(b))
        .count()
}

/// The value that belongs to the name at `run`, when that is a secret's.
fn value_of(names: &Names, text: &str, run: Range<usize>) -> Option<Range<usize>> {
    let name = &text[run.clone()];
    if name.eq_ignore_ascii_case("bearer") && byte(text, run.end) == b' ' {
        let value = value(text, skip(text, run.end, b" "))?;
        return (value.len() >= BEARER).then_some(value);
    }
    // A quote, perhaps escaped, may close a name.
    let closed = skip(text, run.end, b"\\\"'");
    let sign = skip(text, closed, b" \t");
    if matches!(byte(text, sign), b'=' | b':') {
        return assigned(names, text, run, closed..sign);
    }
    let is_flag = name.starts_with('-') && closed == run.end && sign > closed;
    if is_flag && !text[sign..].starts_with("--") && names.secret_name(name) {
        value(text, sign)
    } else {
        None
    }
}

/// The value behind a sign `=` or `:`, when the name at `run` is a secret's; `gap` is between the name and the sign.
fn assigned(
    names: &Names,
    text: &str,
    run: Range<usize>,
    gap: Range<usize>,
) -> Option<Range<usize>> {
    let is_colon = byte(text, gap.end) == b':';
    let behind = skip(text, gap.end, b"=:>");
    let is_url = is_colon && (text[behind..].starts_with("//") || text[..run.start].ends_with('/'));
    // In a shell `NAME= x` gives nothing to NAME.
    let is_near = gap.is_empty() && !byte(text, behind).is_ascii_whitespace();
    let is_spaced = is_colon || !gap.is_empty();
    if is_url || !(is_near || is_spaced) || !names.secret_name(&text[run]) {
        return None;
    }
    let start = skip(text, behind, b" \t");
    // An object has names of its own inside.
    if is_colon && byte(text, start) == b'{' {
        None
    } else {
        value(text, start)
    }
}

/// A value that begins at `start`: up to its closing quote, the end of a list, a space, or a semicolon.
fn value(text: &str, start: usize) -> Option<Range<usize>> {
    let escape = usize::from(byte(text, start) == b'\\');
    let open = byte(text, start + escape);
    if open == b'"' || open == b'\'' {
        let inside = start + escape + 1;
        let end = closing(text, inside, open, escape == 1);
        return (end > inside).then_some(inside..end);
    }
    let stop: &[char] = if open == b'[' {
        &[']', '\n']
    } else {
        &[' ', '\t', '\n', '\r', ';']
    };
    let length = text[start..].find(stop).unwrap_or(text.len() - start);
    (length > 0).then_some(start..start + length)
}

/// Where the quoted text ends; without a closing quote at the end of all.
fn closing(text: &str, from: usize, quote: u8, escaped: bool) -> usize {
    let mut at = from;
    while at < text.len() {
        match byte(text, at) {
            b'\\' if escaped && byte(text, at + 1) == quote => return at,
            b'\\' => at += 2,
            b if b == quote => return at,
            _ => at += 1,
        }
    }
    text.len()
}

/// A run that looks like a token of a well-known kind.
fn token(text: &str, run: Range<usize>) -> Option<Range<usize>> {
    let name = &text[run.clone()];
    let looks = SHAPES
        .iter()
        .any(|shape| name.starts_with(shape) && name.len() >= shape.len() + SHAPE_TAIL);
    // Part of a path; behind `//` it is the user of a URL.
    let path = text[..run.start].ends_with('/') && !text[..run.start].ends_with("//");
    (looks && !path).then_some(run)
}

/// `user:password` of `scheme://user:password@host`, when `at` is its `://`.
fn userinfo(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = text[at..].strip_prefix("://")?;
    let end = rest
        .find(|c: char| c.is_whitespace() || "/?#".contains(c))
        .unwrap_or(rest.len());
    let (user, _) = rest[..end].rsplit_once('@')?;
    user.contains(':').then_some(at + 3..at + 3 + user.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts, and how they are shown.
    const CASES: &[(&str, &str)] = &[
        (
            "--model=llama --max-tokens 4096",
            "--model=llama --max-tokens 4096",
        ),
        ("--api-key=abc", "--api-key=[redacted]"),
        (
            "vllm serve --api-key abc --port 80",
            "vllm serve --api-key [redacted] --port 80",
        ),
        (
            "export HF_TOKEN=abc; vllm serve x",
            "export HF_TOKEN=[redacted]; vllm serve x",
        ),
        (
            "curl https://u:p@host/x?y",
            "curl https://[redacted]@host/x?y",
        ),
        ("https://host:8080/a:b@c", "https://host:8080/a:b@c"),
        ("s3://bucket/token/x", "s3://bucket/token/x"),
        ("hf_abcdefghijklmnop", "[redacted]"),
        ("--x=nvapi-abcdefghijklmnop", "--x=[redacted]"),
        ("password:", "password:"),
        ("sk-learn", "sk-learn"),
        ("", ""),
        ("é=ü TOKEN=ö", "é=ü TOKEN=[redacted]"),
        ("password: hunter2", "password: [redacted]"),
        (
            "user: x\npassword: hunter2\nmax_tokens: 5",
            "user: x\npassword: [redacted]\nmax_tokens: 5",
        ),
        (
            r#"{"api_key": "x", "max_tokens": 5}"#,
            r#"{"api_key": "[redacted]", "max_tokens": 5}"#,
        ),
        (
            r#"{"model":"m","api_key":"x y","n":1}"#,
            r#"{"model":"m","api_key":"[redacted]","n":1}"#,
        ),
        (
            r#"{\"api_key\": \"x\", \"n\": 1}"#,
            r#"{\"api_key\": \"[redacted]\", \"n\": 1}"#,
        ),
        (
            r#"{"password": "a\"b", "n": 1}"#,
            r#"{"password": "[redacted]", "n": 1}"#,
        ),
        (
            r#"{"auth_token": {"file": "x"}}"#,
            r#"{"auth_token": {"file": "x"}}"#,
        ),
        (
            r#"{"credentials": ["a", "b"]}"#,
            r#"{"credentials": [redacted]]}"#,
        ),
        (
            "--password \"two words\" --x",
            "--password \"[redacted]\" --x",
        ),
        ("api_key = 'x'", "api_key = '[redacted]'"),
        ("TOKEN= serve", "TOKEN= serve"),
        (
            "https://host/x?api_key=abc",
            "https://host/x?api_key=[redacted]",
        ),
        (
            "registry.example.com/hf-token:1.2",
            "registry.example.com/hf-token:1.2",
        ),
        (
            "Authorization: Bearer abcdefgh",
            "Authorization: Bearer [redacted]",
        ),
        ("secret://vault/x", "secret://vault/x"),
        (r#"{"x":"hf_abcdefghijklmnop"}"#, r#"{"x":"[redacted]"}"#),
        (
            "models/sk-learn-something-else",
            "models/sk-learn-something-else",
        ),
        (
            "git clone https://ghp_abcdefghijklmnop@github.com/a",
            "git clone https://[redacted]@github.com/a",
        ),
        (
            "--tokenizer x --tokenizer-mode=auto",
            "--tokenizer x --tokenizer-mode=auto",
        ),
        ("name: a\nsecret:\n  name: b", "name: a\nsecret:\n  name: b"),
    ];

    #[test]
    fn text_loses_its_secrets_and_nothing_else() {
        for (before, after) in CASES {
            assert_eq!(Names::default().text(before), *after);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_named_secret_never_survives(secret in "[A-Za-z0-9]{6,20}", head in "[a-z ]{0,10}", name in "(PG|REDIS|MY_)?PASSWORD|HF_?TOKEN|OPENAI_(API_)?KEY|api[-_]key|clientSecret") {
            for form in [
                format!("{head} --{name}={secret}"),
                format!("{head} --{name} {secret}"),
                format!("{head} {name}={secret} x"),
                format!("{head} {name}: {secret}"),
                format!("{head} {name}: '{secret}'"),
                format!("{{\"a\": \"b\", \"{name}\": \"{secret}\"}}"),
                format!("{{\"a\":\"b\",\"{name}\":\"{secret}\",\"c\":1}}"),
            ] {
                let shown = Names::default().text(&form).into_owned();
                proptest::prop_assert!(!shown.contains(&secret) || head.contains(&secret), "{} {}", form, shown);
            }
        }

        #[test]
        fn what_is_no_secret_stays(name in "MAX_TOKENS|TOKENIZER|max-num-batched-tokens|EOS_TOKEN|MODEL|TOKENIZERS_PARALLELISM|cacheKey|CACHE_KEY", value in "[a-z0-9]{1,8}") {
            for form in [format!("{name}={value}"), format!("--{name} {value}"), format!("{{\"{name}\": \"{value}\"}}"), format!("{name}: {value}")] {
                proptest::prop_assert_eq!(Names::default().text(&form), form.as_str());
            }
        }

        #[test]
        fn any_text_is_taken(text in "([a-z:=\"'\\\\ {}\\[\\]@/;-]|token|é|\\PC){0,40}") {
            let _ = Names::default().text(&text).len();
        }
    }
}
