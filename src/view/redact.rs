//! Keeps secrets out of views. Pure.
//!
//! It goes by names (environment variables, flags, keys) and by the well-known shapes of tokens. It protects what
//! people see at a glance; who may read a Revision at all is decided by RBAC.

mod name;
mod pattern;
mod text;
mod words;

pub use pattern::Pattern;

use name::looks_secret;
use serde_json::Value;
use std::borrow::Cow;

/// Stands where a value was.
pub const REDACTED: &str = "[redacted]";

/// Which names hold secrets: those that look like it, and what the configuration adds and takes away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Patterns of further names, such as `*_PIN`.
    pub secret: Vec<Pattern>,
    /// Patterns of names that look secret and are not.
    pub plain: Vec<Pattern>,
}

impl Names {
    /// Whether a variable, flag or key of this name holds a secret. `MAX_TOKENS` and `TOKENIZER` do not.
    pub fn secret_name(&self, name: &str) -> bool {
        Pattern::any(&self.secret, name) || (looks_secret(name) && !Pattern::any(&self.plain, name))
    }

    /// The value of something called `name`.
    pub fn value<'a>(&self, name: &str, value: &'a str) -> Cow<'a, str> {
        if self.secret_name(name) && !value.is_empty() {
            Cow::Borrowed(REDACTED)
        } else {
            self.text(value)
        }
    }

    /// An item of a list of arguments, given the one before it: `--api-key`, `VALUE`.
    pub fn argument<'a>(&self, before: Option<&str>, item: &'a str) -> Cow<'a, str> {
        let flag = before.filter(|flag| flag.starts_with('-') && !flag.contains('='));
        if flag.is_some_and(|flag| self.secret_name(flag)) && !item.starts_with("--") {
            Cow::Borrowed(REDACTED)
        } else {
            self.text(item)
        }
    }

    /// Free text, perhaps a shell command, JSON or YAML: `NAME=value`, `"name": "value"`, `--flag value`, passwords in
    /// URLs, and well-known tokens.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        text::without_secrets(self, text)
    }

    /// A whole object, in place: variables by their names, fields by theirs, arguments, and free text.
    pub fn object(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let variable = fields
                    .get("name")
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                for (key, value) in fields {
                    // The name of a variable says what its value is; other fields have names of their own.
                    let name = variable
                        .as_deref()
                        .filter(|_| key == "value")
                        .unwrap_or(key);
                    self.field(name, value);
                }
            }
            Value::Array(items) => self.arguments(items),
            Value::String(text) => hide(text, |text| self.text(text)),
            _ => {}
        }
    }

    fn field(&self, name: &str, value: &mut Value) {
        match value {
            Value::String(text) => hide(text, |text| self.value(name, text)),
            Value::Array(items) if self.secret_name(name) => {
                for item in items {
                    self.field(name, item);
                }
            }
            // Some wrap every value: `{HF_TOKEN: {value: x}}`.
            Value::Object(fields)
                if fields.get("value").is_some_and(Value::is_string) && self.secret_name(name) =>
            {
                if let Some(value) = fields.get_mut("value") {
                    self.field(name, value);
                }
                self.object(value);
            }
            other => self.object(other),
        }
    }

    fn arguments(&self, items: &mut [Value]) {
        let mut before: Option<String> = None;
        for item in items {
            if let Value::String(text) = item {
                let given = text.clone();
                hide(text, |text| self.argument(before.as_deref(), text));
                before = Some(given);
            } else {
                self.object(item);
                before = None;
            }
        }
    }
}

fn hide(text: &mut String, how: impl for<'a> FnOnce(&'a str) -> Cow<'a, str>) {
    let hidden = how(text).into_owned();
    *text = hidden;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_that_look_secret() {
        for name in [
            "HF_TOKEN",
            "HUGGING_FACE_HUB_TOKEN",
            "TOKEN",
            "OPENAI_API_KEY",
            "apiKey",
            "--api-key",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_ACCESS_KEY_ID",
            "DB_PASSWORD",
            "db-passwd",
            "PGPASSWORD_PWD",
            "clientSecret",
            "NGC_API_KEY",
            "ACCESS_TOKENS",
            "GITHUB_TOKEN_VALUE",
            "BASIC_AUTH",
            "credentials",
            "SESSION_COOKIE",
            "APIKEY",
            "privateKey",
            "PGPASSWORD",
            "REDISPASSWORD",
            "REDISCLI_AUTH",
            "HFTOKEN",
            "hfToken",
            "GITHUBTOKEN",
            "MYSQL_ROOTPASSWORD",
            "CLIENTSECRET",
            "OPENAI_KEY",
            "OPENAIKEY",
            "openai-key",
            "wandbKey",
            "ACME_KEY",
            "OPENAIAPIKEY",
            "DB_PASS",
        ] {
            assert!(Names::default().secret_name(name), "{name}");
        }
    }

    #[test]
    fn names_that_do_not() {
        for name in [
            "MAX_TOKENS",
            "TOKENIZER",
            "TOKENIZERS_PARALLELISM",
            "EOS_TOKEN",
            "PAD_TOKEN_ID",
            "MAX_TOKEN_LENGTH",
            "KEY",
            "MONKEY",
            "--max-num-batched-tokens",
            "SECRET_NAME",
            "secretKeyRef",
            "TOKEN_FILE",
            "AUTH_MODE",
            "MODEL",
            "KEYS",
            "keyName",
            "",
            "storageUri",
            "PASSWORD_FILE",
            "imagePullSecretsName",
            "MAXTOKEN",
            "EOSTOKEN",
            "tokens",
            "DETOKENIZE",
            "CACHE_KEY",
            "PARTITION_KEY",
            "PUBLIC_KEY",
            "cacheKey",
            "topologyKey",
            "matchLabelKeys",
            "routing-key",
            "BYPASS",
            "single-pass",
            "ONE_PASS",
        ] {
            assert!(!Names::default().secret_name(name), "{name}");
        }
    }

    #[test]
    fn an_argument_after_its_flag() {
        assert_eq!(
            Names::default().argument(Some("--hf-token"), "abc"),
            REDACTED
        );
        assert_eq!(
            Names::default().argument(Some("--hf-token"), "--port"),
            "--port"
        );
        assert_eq!(
            Names::default().argument(Some("--hf-token=x"), "abc"),
            "abc"
        );
        assert_eq!(Names::default().argument(Some("--tokenizer"), "abc"), "abc");
        assert_eq!(Names::default().argument(None, "abc"), "abc");
    }

    proptest::proptest! {
        #[test]
        fn any_name_is_taken(name in ".{0,80}") {
            let _ = Names::default().secret_name(&name);
        }
    }

    #[test]
    fn a_whole_object_keeps_its_shape_and_loses_its_secrets() {
        let mut object = json!({
            "kind": "Deployment",
            "metadata": {"annotations": {"api-token": "a1", "note": "see --password b2 there"}},
            "spec": {"replicas": 2, "environment": {"items": {"HF_TOKEN": {"value": "i8"}, "MODE": {"value": "fast"}}}, "apiKey": "c3", "credentials": ["d4", {"x": "e"}], "containers": [{
                "name": "main", "args": ["--api-key", "f5", "--hf-token=g6", "--max-tokens", "9"],
                "env": [
                    {"name": "HF_TOKEN", "value": "h7"},
                    {"name": "MAX_TOKENS", "value": "10"},
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
            }]},
        });
        Names::default().object(&mut object);
        let expected = json!({
            "kind": "Deployment",
            "metadata": {"annotations": {"api-token": REDACTED, "note": "see --password [redacted] there"}},
            "spec": {"replicas": 2, "environment": {"items": {"HF_TOKEN": {"value": REDACTED}, "MODE": {"value": "fast"}}}, "apiKey": REDACTED, "credentials": [REDACTED, {"x": "e"}], "containers": [{
                "name": "main", "args": ["--api-key", REDACTED, "--hf-token=[redacted]", "--max-tokens", "9"],
                "env": [
                    {"name": "HF_TOKEN", "value": REDACTED},
                    {"name": "MAX_TOKENS", "value": "10"},
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
            }]},
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn patterns_add_and_take_away() {
        let pattern = |text: &str| text.parse::<Pattern>().expect("a pattern");
        let names = Names {
            secret: vec![pattern("*_PIN"), pattern("corp*id*x")],
            plain: vec![pattern("MY_TOKEN")],
        };
        for secret in ["DOOR_PIN", "door_pin", "CORP-IDENTITY-X", "HF_TOKEN"] {
            assert!(names.secret_name(secret), "{secret}");
        }
        for plain in ["PIN_DOOR", "corpx", "MY_TOKEN", "PATH"] {
            assert!(!names.secret_name(plain), "{plain}");
        }
        assert_eq!(names.text("--door_pin 1234 x"), "--door_pin [redacted] x");
        assert!("**".parse::<Pattern>().is_err() && "a b".parse::<Pattern>().is_err());
    }
}
