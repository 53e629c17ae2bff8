//! A secret stays hidden when the text around it is written in another way, and all else stays as it is.

use super::*;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

/// So many letters of a secret in a row are a leak.
const LEAK: usize = 5;

/// A secret of no known shape. It is neither a word nor a number.
fn secret() -> impl Strategy<Value = String> {
    "[A-Za-z][0-9][A-Za-z0-9]{8,30}"
}

/// A password with signs in it that mean nothing to the formats it is put in.
fn password() -> impl Strategy<Value = String> {
    "[A-Za-z][0-9][A-Za-z0-9!%^*_+.~-]{8,30}[A-Za-z0-9]"
}

fn name() -> impl Strategy<Value = &'static str> {
    select(vec![
        "password",
        "DB_PASSWORD",
        "HF_TOKEN",
        "api_key",
        "api-key2",
        "clientSecret",
        "OPENAI_API_KEY",
        "spring.datasource.password",
        "AWS_SECRET_ACCESS_KEY",
    ])
}

/// Spaces between words, also those of a line that goes on.
fn gap() -> impl Strategy<Value = &'static str> {
    select(vec![" ", "  ", "\t", " \\\n", " \\\n    "])
}

fn quote() -> impl Strategy<Value = &'static str> {
    select(vec!["", "'", "\""])
}

fn assert_hidden(shown: &str, secret: &str) -> Result<(), TestCaseError> {
    let windows = secret.as_bytes().windows(LEAK);
    for window in windows {
        let window = std::str::from_utf8(window).unwrap_or_default();
        prop_assert!(!shown.contains(window), "{} in {}", window, shown);
    }
    Ok(())
}

/// Harmless text that may stand before or behind.
fn around() -> impl Strategy<Value = &'static str> {
    select(vec![
        "",
        "x",
        "mode=fast",
        "port: 80",
        "# note",
        "--port 80",
        "it's",
        "a \"b\" c",
        "{",
        "[",
    ])
}

proptest! {
    #[test]
    fn a_value_is_hidden_however_it_is_assigned(
        name in name(), secret in secret(), sign in select(vec!["=", ": ", " = ", " : ", ":", "=> "]),
        quote in quote(), before in around(), behind in around(), line in select(vec!["\n", "\r\n", "\n\n"]),
    ) {
        let text = format!("{before}{line}{name}{sign}{quote}{secret}{quote}{line}{behind}");
        assert_hidden(&Names::default().text(&text), &secret)?;
    }

    #[test]
    fn an_argument_is_hidden_wherever_it_stands(
        name in name(), secret in password(), is_joined: bool, place in 0_usize..4, split in 0_usize..7,
    ) {
        let mut pairs = vec![vec!["--model", "org/model"], vec!["--port", "80"], vec!["--seed=1"]];
        let flag = format!("--{name}");
        let joined = format!("--{name}={secret}");
        pairs.insert(place, if is_joined { vec![&joined] } else { vec![&flag, &secret] });
        let all = pairs.concat();
        let (command, args) = all.split_at(split.min(all.len()));
        let names = Names::default();
        let shown = [names.arguments(&[], command), names.arguments(command, args)].concat();
        assert_hidden(&shown.join("\u{0}"), &secret)?;
        for word in ["org/model", "80", "--seed=1"] {
            prop_assert!(shown.iter().any(|shown| shown == word), "{:?}", shown);
        }
        let mut object = json!({"containers": [{"name": "a", "command": command, "args": args}]});
        names.object(&mut object);
        assert_hidden(&object.to_string(), &secret)?;
    }

    #[test]
    fn a_word_of_a_command_is_hidden_however_it_is_written(
        name in name(), secret in secret(), quote in quote(), gaps in proptest::collection::vec(gap(), 4),
        before in select(vec!["", "set -eu\n", "cd /x && ", "export A=1; ", "echo \"it's\" | "]),
    ) {
        let [first, second, third, fourth] = &gaps[..] else { return Ok(()) };
        for text in [
            format!("{before}app{first}--{name}{second}{quote}{secret}{quote}{third}--port{fourth}80"),
            format!("{before}curl{first}-u{second}{quote}svc:{secret}{quote}{third}https://x.example.com"),
            format!("{before}curl{first}-fsS{second}-u{quote}svc:{secret}{quote}{third}https://x.example.com"),
            format!("{before}mysql{first}-u{second}app{third}-p{quote}{secret}{quote}{fourth}models"),
            format!("{before}docker{first}login{second}-p{third}{quote}{secret}{quote}{fourth}r.example.com"),
            format!("{before}echo{first}{quote}{secret}{quote}{second}|{third}docker{fourth}login --password-stdin"),
            format!("{before}aws{first}configure{second}set{third}aws_secret_access_key{fourth}{quote}{secret}{quote}"),
        ] {
            assert_hidden(&Names::default().text(&text), &secret)?;
        }
    }

    #[test]
    fn a_field_of_json_is_hidden_at_every_depth(
        name in name(), secret in password(), levels in 0_usize..3, is_pretty: bool, is_object: bool,
    ) {
        let value = if is_object { json!({"a": {"b": [secret]}}) } else { json!(secret) };
        let mut object = json!({"mode": "fast", name: value, "list": [1, {"x": "y"}]});
        for _ in 0..levels {
            object = json!({"nested": object.to_string()});
        }
        let text = if is_pretty { format!("{object:#}") } else { object.to_string() };
        let shown = Names::default().text(&text).into_owned();
        assert_hidden(&shown, &secret)?;
        prop_assert!(shown.contains("fast"), "{}", shown);
    }

    #[test]
    fn a_value_beside_its_name_is_hidden(
        name in name(), secret in password(), label in select(vec!["name", "key", "parameter", "header"]),
    ) {
        for object in [json!([{label: name, "value": secret}]), json!({"env": [{"value": secret, label: name}]})] {
            assert_hidden(&Names::default().text(&object.to_string()), &secret)?;
            let mut hidden = object.clone();
            Names::default().object(&mut hidden);
            assert_hidden(&hidden.to_string(), &secret)?;
        }
        let yaml = format!("- {label}: {name}\n  value: {secret}\n- name: A\n  value: b\n");
        assert_hidden(&Names::default().text(&yaml), &secret)?;
    }

    #[test]
    fn a_field_of_yaml_is_hidden_in_every_style(
        name in name(), secret in secret(), second in secret(), indent in 1_usize..8, quote in quote(),
    ) {
        let space = " ".repeat(indent);
        for text in [
            format!("a:\n{space}{name}: |\n{space}{space}{secret}\n{space}{space}{second}\n{space}b: c\n"),
            format!("a:\n{space}{name}: >-\n{space}{space}{secret} {second}\nb: c\n"),
            format!("a:\n{space}{name}:\n{space}- {quote}{secret}{quote}\n{space}- {second}\nb: c\n"),
            format!("a:\n{space}{name}:\n{space}{space}x: {secret}\n{space}{space}y:\n{space}{space}- {second}\n"),
            format!("a:\n{space}{name}: {quote}{secret} {second}{quote}\n"),
            format!("a: {{{name}: {quote}{secret}{quote}, b: c, passwords: [{second}]}}\n"),
            format!("args:\n{space}- --{name}\n{space}- {secret}\n{space}- --password={second}\n"),
        ] {
            let shown = Names::default().text(&text).into_owned();
            assert_hidden(&shown, &secret)?;
            assert_hidden(&shown, &second)?;
        }
    }

    #[test]
    fn a_credential_in_a_url_is_hidden(
        secret in password(), scheme in select(vec!["https", "postgres", "redis", "mongodb+srv", "amqp"]),
        user in "[a-z]{0,8}", before in select(vec!["", "git clone ", "--url=", "URL: ", "\"", "(see "]),
    ) {
        for text in [
            format!("{before}{scheme}://{user}:{secret}@host.example.com:80/x?y=1"),
            format!("{before}{scheme}://{secret}@host.example.com/x"),
            format!("{before}{scheme}://host.example.com/x?a=1&sig={secret}&b=2"),
            format!("{before}{scheme}://host.example.com/x?password={secret}#b"),
        ] {
            let shown = Names::default().text(&text).into_owned();
            assert_hidden(&shown, &secret)?;
            prop_assert!(shown.contains("host.example.com"), "{}", shown);
        }
    }

    #[test]
    fn a_changed_secret_is_told_and_neither_is_shown(name in name(), old in secret(), new in secret()) {
        prop_assume!(old != new);
        let state = |secret: &str| json!({"env": [{"name": name, "value": secret}], "args": [format!("--{name}"), secret]});
        let [mut before, mut after] = [state(&old), state(&new)];
        Names::default().objects(&mut before, &mut after);
        prop_assert_eq!(before, state(REDACTED));
        prop_assert_eq!(after, state(CHANGED));
        let [mut before, mut after] = [state(&old), state(&old)];
        Names::default().objects(&mut before, &mut after);
        prop_assert_eq!(before, after);
    }

    #[test]
    fn all_that_is_no_secret_stays_in_its_order(text in TEXT) {
        let shown = Names::default().text(&text).into_owned();
        let mut rest = text.as_str();
        for part in shown.split(REDACTED).flat_map(|part| part.split(CHANGED)) {
            let at = rest.find(part);
            prop_assert!(at.is_some(), "{:?} of {:?}", part, text);
            rest = at.and_then(|at| rest.get(at + part.len()..)).unwrap_or_default();
        }
    }

    #[test]
    fn any_object_is_taken(text in TEXT, key in TEXT) {
        let mut old = json!({&key: text, "args": [key, text], "command": [text], "list": [{"name": key, "value": text}]});
        let mut new = json!({&text: key, "args": [text, key]});
        Names::default().object(&mut old.clone());
        Names::default().objects(&mut old, &mut new);
    }
}

/// Words and signs of all formats, in any order.
const TEXT: &str = "([a-z:=\"'\\\\ {}\\[\\]@/;|<>&$()#%.,\r\n\t-]|--token |password|https?://|-----BEGIN PRIVATE KEY-----|<<EOF\n|\\\\u00e9|api_key: \\|\n  |curl -u a:|<name>|Bearer |hf_a1B2c3D4e5F6g7H8i9|é|\u{202e}|\\PC){0,40}";
