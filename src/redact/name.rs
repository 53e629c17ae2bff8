//! Judges names of variables, flags, fields and headers by the words in them. Pure.

use super::Names;
use super::pattern::Pattern;
use super::words::{HINTS, NAMES, Words};

/// How a name tells that its value is a secret. The later ones weigh more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NameClass {
    /// It does not.
    #[default]
    Plain,
    /// The value is a secret, or the name of something: `session-key`.
    Either,
    /// The value is a credential, or the name of a method of authentication: `auth`.
    Login,
    /// The value is a secret, or a number that counts: `token`.
    Counted,
    /// The value is a secret, numbers included: `password`.
    Secret,
}

impl NameClass {
    /// Whether the value may be a secret.
    pub(super) fn is_secret(self) -> bool {
        self != Self::Plain
    }
}

/// Longer names are not judged by their words: no person and no tool wrote them as a name.
const MAX_NAME: usize = 256;

impl Names {
    /// How this name tells that its value is a secret.
    pub(super) fn class(&self, name: &str) -> NameClass {
        if name.is_empty() || name.len() > MAX_NAME {
            return NameClass::Plain;
        }
        if Pattern::any(&self.secret, name) {
            return NameClass::Secret;
        }
        let class = class(name);
        let is_plain = || Pattern::any(&self.plain, name) || Pattern::any(&NAMES.plain, name);
        if class.is_secret() && is_plain() {
            NameClass::Plain
        } else {
            class
        }
    }
}

/// Whether a value of this name tells where a secret is: `valueFrom`, `secretName`.
pub(super) fn is_place(name: &str) -> bool {
    words(last_part(name))
        .last()
        .is_some_and(|last| NAMES.place.contains(&**last))
}

/// Whether a value of this name describes a secret: its owner's address, its length, its place.
pub(super) fn is_about(name: &str) -> bool {
    words(last_part(name))
        .last()
        .is_some_and(|last| NAMES.about.contains(&**last))
}

/// Whether a flag of this name switches something and takes no value.
pub(super) fn is_switch(flag: &str) -> bool {
    words(flag)
        .first()
        .is_some_and(|first| NAMES.switch.contains(&**first))
}

fn class(name: &str) -> NameClass {
    let name = last_part(name);
    if !is_hinted(name) {
        return NameClass::Plain;
    }
    if NAMES.whole.contains(&*name.to_lowercase()) {
        return NameClass::Secret;
    }
    let words = words(name);
    let is_about = words
        .last()
        .is_some_and(|last| NAMES.about.contains(&**last));
    if is_about {
        return NameClass::Plain;
    }
    // `CACHE_KEY` in capitals is a variable; `cacheKey` is a field of something.
    let is_variable = words.len() > 1 && !name.chars().any(char::is_lowercase);
    (0..words.len())
        .map(|at| word_class(&words, at, is_variable))
        .max()
        .unwrap_or_default()
}

/// The name of an annotation without its domain.
fn last_part(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, last)| last)
}

/// Whether a hint stands in a name or a text. Most names have none, and are not taken apart.
pub(super) fn is_hinted(name: &str) -> bool {
    // Without the hints every name is taken apart.
    HINTS.as_ref().is_none_or(|hints| hints.is_match(name))
}

/// The words of `HF_TOKEN2`, `--api-key` or `secretKey` in lower case and without numbers at their ends.
fn words(name: &str) -> Vec<String> {
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
    for word in &mut words {
        word.truncate(word.trim_end_matches(|c: char| c.is_ascii_digit()).len());
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The class that the word at `at`, with the words beside it, gives the name.
fn word_class(words: &[String], at: usize, is_variable: bool) -> NameClass {
    let is_last = at + 1 == words.len();
    let is_after = |list: &Words| at > 0 && list.contains(&*words[at - 1]);
    let is_before = |list: &Words| words.get(at + 1).is_some_and(|next| list.contains(&**next));
    let when = |holds: bool, class| if holds { class } else { NameClass::Plain };
    match &*words[at] {
        "token" => when(
            !is_after(&NAMES.text) && !is_before(&NAMES.text),
            NameClass::Counted,
        ),
        "tokens" => when(
            at > 0 && !is_after(&NAMES.text) && !is_before(&NAMES.text),
            NameClass::Counted,
        ),
        "key" | "keys" => {
            let is_known = is_after(&NAMES.key_of) || is_after(&NAMES.services);
            let is_variable = is_last && is_variable && !is_after(&NAMES.keys_that_find);
            if is_after(&NAMES.key_of_either) {
                NameClass::Either
            } else {
                when(is_known || is_variable, NameClass::Counted)
            }
        }
        "pass" => when(is_last && !is_after(&NAMES.pass_of_data), NameClass::Secret),
        "auth" | "auths" | "authorization" => when(is_last, NameClass::Login),
        word if NAMES.secret.contains(word) => NameClass::Secret,
        word if is_last && NAMES.secret_at_the_end.contains(word) => NameClass::Secret,
        word if NAMES.counted.contains(word) => NameClass::Counted,
        word => fused_class(word),
    }
}

/// The class of words that are written without anything between: `pgpassword`, `hftoken`, `openaikey`; but not
/// `maxtoken`.
fn fused_class(word: &str) -> NameClass {
    if NAMES.fused.iter().any(|end| word.ends_with(end)) {
        return NameClass::Secret;
    }
    let of_token = word.strip_suffix("token");
    let of_key = word.strip_suffix("key");
    let is_token = of_token.is_some_and(|of| !of.is_empty() && !NAMES.text.contains(of));
    let is_key = of_key.is_some_and(|of| {
        NAMES.key_of.contains(of)
            || NAMES.services.contains(of)
            || NAMES.key_of.iter().any(|end| of.ends_with(end))
    });
    if is_token || is_key {
        NameClass::Counted
    } else {
        NameClass::Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(name: &str) -> NameClass {
        Names::default().class(name)
    }

    #[test]
    fn names_tell_how_far_their_values_are_secret() {
        for (name, expected) in [
            ("DB_PASSWORD", NameClass::Secret),
            ("DOOR_PIN", NameClass::Secret),
            ("--api-key2", NameClass::Counted),
            ("HF_TOKENS", NameClass::Counted),
            ("OPENAI_API_KEY", NameClass::Counted),
            ("auth", NameClass::Login),
            ("--basic-auth", NameClass::Login),
            ("--session-key", NameClass::Either),
            ("TOKEN_BUCKET_SIZE", NameClass::Plain),
            ("PASSWORD_MIN_LENGTH", NameClass::Plain),
            ("checksum/secret", NameClass::Plain),
            ("imagePullSecrets", NameClass::Plain),
            ("token.example.com/mode", NameClass::Plain),
            ("example.com/deploy-token", NameClass::Counted),
        ] {
            assert_eq!(class_of(name), expected, "{name}");
        }
    }

    #[test]
    fn switches_and_places_are_known() {
        assert!(is_switch("--enable-auth") && !is_switch("--auth"));
        assert!(is_place("valueFrom") && is_place("TOKEN_FILE") && !is_place("TOKEN"));
    }

    proptest::proptest! {
        #[test]
        fn any_name_is_taken(name in ".{0,80}") {
            let _ = class_of(&name);
        }
    }
}
