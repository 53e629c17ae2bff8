//! Judges a value, given how its name tells that it is a secret. Pure.

use super::name::NameClass;
use super::words::VALUES;
use super::{CHANGED, REDACTED};

/// A longer value is not looked at: no reference and no path is so long.
const MAX_SHOWN: usize = 512;
/// Values that are taken for paths have no longer parts.
const MAX_PATH_PART: usize = 64;
/// A shorter run of letters is not taken for one that was made by chance.
const RANDOM: usize = 12;
/// A run of letters of one sort is as long as this on average where words make it.
const WORD: usize = 6;

/// Whether a value below a name of this class is a secret.
pub(super) fn is_secret(class: NameClass, value: &str) -> bool {
    let value = unquoted(value.trim());
    if !class.is_secret() || value.is_empty() || is_shown_below_any_name(value) {
        return false;
    }
    match class {
        NameClass::Either => looks_random(value),
        NameClass::Counted => !is_number(value),
        NameClass::Login => {
            let lower = value.to_ascii_lowercase();
            !is_number(value) && !VALUES.ways_of_authentication.contains(&*lower)
        }
        NameClass::Plain | NameClass::Secret => class.is_secret(),
    }
}

/// Whether `user:password` has a password in it that is none of a user's id.
pub(super) fn has_password(account: &str) -> bool {
    let Some((user, password)) = account.split_once(':') else {
        return false;
    };
    let is_id = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    !is_id(password) && user != password && is_secret(NameClass::Secret, password)
}

/// References, switches, durations and paths are no secrets, under any name.
fn is_shown_below_any_name(value: &str) -> bool {
    if value.len() > MAX_SHOWN {
        return false;
    }
    value == REDACTED
        || value == CHANGED
        || VALUES.switches.contains(&*value.to_ascii_lowercase())
        || is_reference(value)
        || is_duration(value)
        || is_path(value)
}

/// Whether the value says where a secret is: `$(X)`, `${X}`, `$(cat file)`, `os.environ/X`, `{{ x }}`.
pub(super) fn is_reference(value: &str) -> bool {
    let value = without_scheme(value);
    if VALUES
        .references
        .iter()
        .any(|begin| value.starts_with(begin))
    {
        return !value.contains(char::is_whitespace);
    }
    if value.starts_with("{{") && value.ends_with("}}") {
        return true;
    }
    if !value.starts_with('$') {
        return false;
    }
    let mut rest = value;
    while let Some(length) = variable(rest) {
        rest = rest[length..].trim_start_matches([':', ',', '@', '/', '.', '-']);
    }
    rest.is_empty()
}

/// Whether the value names where a secret is, in the way of a tool: `os.environ/X`, `vault:path#key`, `SECRET:name,key`.
pub(super) fn is_named_reference(value: &str) -> bool {
    let mut begins = VALUES.references.iter();
    let Some(rest) = begins.find_map(|begin| value.strip_prefix(begin)) else {
        return false;
    };
    let is_variable = rest
        .bytes()
        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let is_of_path = |b: u8| b.is_ascii_alphanumeric() || b"_-./,#:".contains(&b);
    is_variable || (rest.contains(['/', ',', '#']) && rest.bytes().all(is_of_path))
}

/// The credential of `Bearer credential`.
fn without_scheme(value: &str) -> &str {
    match value.split_once(' ') {
        Some((scheme, credential)) if VALUES.schemes.contains(&*scheme.to_ascii_lowercase()) => {
            credential.trim_start()
        }
        _ => value,
    }
}

/// The length of the `$X`, `${X}` or `$(command)` at the beginning. A command that prints its arguments may hold the
/// secret itself, and so may the default of `${X:-default}`.
fn variable(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('$')?;
    if let Some(inside) = inside.strip_prefix('{') {
        let end = inside.find('}')?;
        return is_name(&inside[..end]).then_some(end + 3);
    }
    if let Some(inside) = inside.strip_prefix('(') {
        let end = closing_parenthesis(inside)?;
        let prints = ["echo", "printf", "<<<"].iter();
        let prints = prints.into_iter().any(|word| inside[..end].contains(word));
        return (!prints).then_some(end + 3);
    }
    let length = inside.len() - inside.trim_start_matches(is_of_name).len();
    (length > 0).then_some(length + 1)
}

/// The length of the `$(command)` at the beginning; 0 when there is none.
pub(super) fn expansion(text: &str) -> usize {
    let text = &text[..text.floor_char_boundary(MAX_SHOWN)];
    let inside = text.strip_prefix("$(");
    let end = inside.and_then(closing_parenthesis);
    end.map_or(0, |end| end + 3)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_name(text: &str) -> bool {
    let text = text.strip_suffix(":?").unwrap_or(text);
    let text = text.strip_suffix(":-").unwrap_or(text);
    let text = text.strip_prefix("env:").unwrap_or(text);
    !text.is_empty() && text.chars().all(|c| is_of_name(c) || c == '.')
}

/// The place of the parenthesis that closes one before the text.
fn closing_parenthesis(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => open += 1,
            b')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

/// `24h`, `500ms`.
fn is_duration(value: &str) -> bool {
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = value.len() - unit.len();
    (1..=6).contains(&digits) && matches!(unit, "ns" | "us" | "ms" | "s" | "m" | "h" | "d")
}

fn is_number(value: &str) -> bool {
    value.len() <= MAX_SHOWN && value.parse::<f64>().is_ok_and(f64::is_finite)
}

/// An absolute path, or one below the current or the home directory, whose parts look as if people named them: in base64
/// there are slashes too. A path of one part is a word.
fn is_path(value: &str) -> bool {
    let path = value.strip_prefix("file://").unwrap_or(value);
    let begins = ["/", "./", "../", "~/"];
    let rest = begins.iter().find_map(|begin| path.strip_prefix(begin));
    rest.is_some_and(|rest| {
        let is_long = rest.contains('/') || rest.bytes().all(|b| b.is_ascii_lowercase());
        !rest.is_empty() && is_long && rest.split('/').all(is_path_part)
    })
}

fn is_path_part(part: &str) -> bool {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let has = |is: fn(&char) -> bool| part.chars().any(|c| is(&c));
    let is_mixed =
        has(char::is_ascii_digit) && has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase);
    part.len() <= MAX_PATH_PART && part.chars().all(is_of_path) && !is_mixed && !looks_random(part)
}

/// Whether a text is one run of letters that change their sort as no word does.
pub(super) fn looks_random(text: &str) -> bool {
    let is_of_token = |b: u8| b.is_ascii_alphanumeric() || b"_-+/=.~%".contains(&b);
    if text.len() < RANDOM || !text.bytes().all(is_of_token) {
        return false;
    }
    let sort = |byte: u8| match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let pairs = text.as_bytes().windows(2);
    let changes = pairs.filter(|pair| {
        let [before, after] = [sort(pair[0]), sort(pair[1])];
        // `Xy` begins a word.
        before != after && before < 3 && after < 3 && !(before == 1 && after == 0)
    });
    changes.count() > text.len() / WORD
}

/// A value without the quotes around it.
pub(super) fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        let inside = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        if let Some(inside) = inside {
            return inside;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_paths_are_shown() {
        for value in [
            "",
            "true",
            "None",
            "24h",
            "500ms",
            "$(HF_TOKEN)",
            "${HF_TOKEN}",
            "$HF_TOKEN",
            "\"$HF_TOKEN\"",
            "$(cat /run/secrets/hf)",
            "Bearer $TOKEN",
            "$USER:$PASSWORD",
            "os.environ/KEY",
            "{{ .Values.key }}",
            "vault:secret/data/llm#key",
            "/run/secrets/api-key",
            "file:///keys/id_ed25519",
            "~/.ssh/id_rsa",
            "/workspace",
            "[redacted]",
        ] {
            assert!(!is_secret(NameClass::Secret, value), "{value}");
        }
    }

    #[test]
    fn secrets_are_hidden() {
        for value in [
            "hunter2",
            "12345678",
            "${X:-hunter2}",
            "$(echo hunter2)",
            "$X and hunter2",
            "/aB3dEf9hIjKlMnOp",
            "/hunter2",
            "/wJalrXUtnFEMI/K7MDENG",
            "5 minutes",
            "1234567d",
        ] {
            assert!(is_secret(NameClass::Secret, value), "{value}");
        }
    }

    #[test]
    fn classes_differ_in_numbers_and_ways() {
        assert!(!is_secret(NameClass::Counted, "32"));
        assert!(!is_secret(NameClass::Login, "oidc"));
        assert!(is_secret(NameClass::Counted, "oidc"));
        assert!(!is_secret(NameClass::Either, "x-user-id"));
        assert!(is_secret(NameClass::Either, "4f0a9c1b7e2d4f0a9c1b7e2d"));
        assert!(!is_secret(NameClass::Plain, "hunter2"));
    }

    #[test]
    fn accounts_with_a_password() {
        assert!(has_password("bob:hunter2"));
        for account in ["bob", "1000:1000", "$USER:$PASSWORD", "app:app", "bob:"] {
            assert!(!has_password(account), "{account}");
        }
    }

    #[test]
    fn runs_by_chance_are_told_from_words() {
        for text in ["a8Fj2kLq9ZxW3rT5", "4f0a9c1b7e2d4f0a9c1b7e2d"] {
            assert!(looks_random(text), "{text}");
        }
        for text in [
            "max-num-batched-tokens",
            "trustRemoteCode",
            "x-user-id",
            "short1A",
        ] {
            assert!(!looks_random(text), "{text}");
        }
    }
}
