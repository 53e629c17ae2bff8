//! The judge as a whole: texts, lists of arguments and objects, and how they are shown.

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
        "BYPASS",
        "single-pass",
        "ONE_PASS",
    ] {
        assert!(!Names::default().secret_name(name), "{name}");
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
        "spec": {"replicas": 2, "environment": {"items": {"HF_TOKEN": {"value": REDACTED}, "MODE": {"value": "fast"}}}, "apiKey": REDACTED, "credentials": [REDACTED, {"x": REDACTED}], "containers": [{
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
        ..Names::default()
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

#[test]
fn an_argument_is_judged_with_those_before_it() {
    for (before, items, expected) in [
        (
            vec![],
            vec!["--hf-token", "abc"],
            vec!["--hf-token", REDACTED],
        ),
        (
            vec![],
            vec!["--hf-token", "--port"],
            vec!["--hf-token", "--port"],
        ),
        (
            vec![],
            vec!["--hf-token=x", "abc"],
            vec!["--hf-token=[redacted]", "abc"],
        ),
        (
            vec![],
            vec!["--tokenizer", "abc"],
            vec!["--tokenizer", "abc"],
        ),
        (
            vec!["--api-key"],
            vec!["abc", "--port"],
            vec![REDACTED, "--port"],
        ),
        (
            vec![],
            vec!["--api-key", "abc", "def", "--port", "80"],
            vec!["--api-key", REDACTED, REDACTED, "--port", "80"],
        ),
        (
            vec!["curl"],
            vec!["-u", "bob:abc"],
            vec!["-u", "bob:[redacted]"],
        ),
        (vec!["/usr/bin/mysql"], vec!["-pabc"], vec!["-p[redacted]"]),
        (
            vec!["nice", "-n", "5", "docker"],
            vec!["login", "-p", "abc"],
            vec!["login", "-p", REDACTED],
        ),
        (
            vec!["docker"],
            vec!["run", "-p", "80:80"],
            vec!["run", "-p", "80:80"],
        ),
    ] {
        assert_eq!(
            Names::default().arguments(&before, &items),
            expected,
            "{items:?}"
        );
    }
}

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
        r#"{"credentials": ["[redacted]", "[redacted]"]}"#,
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
    (
        "curl -u bob:abc https://x.example.com",
        "curl -u bob:[redacted] https://x.example.com",
    ),
    (
        "TOKEN=$(curl -u bob:abc https://x.example.com)",
        "TOKEN=$(curl -u bob:[redacted] https://x.example.com)",
    ),
    (
        "# it's docker login -u svc -p abc\nexec app",
        "# it's docker login -u svc -p [redacted]\nexec app",
    ),
    (
        "echo hunter2 | docker login -u svc --password-stdin r",
        "echo [redacted] | docker login -u svc --password-stdin r",
    ),
    (
        "mysql -u app -phunter2 models",
        "mysql -u app -p[redacted] models",
    ),
    (
        "password: |\n  hunter2\nport: 80",
        "password: |\n  [redacted]\nport: 80",
    ),
    (
        "credentials:\n  basic:\n    p: hunter2\nport: 80",
        "credentials:\n  basic:\n    p: [redacted]\nport: 80",
    ),
    (
        r#"[{"value":"abc","name":"HF_TOKEN"}]"#,
        r#"[{"value":"[redacted]","name":"HF_TOKEN"}]"#,
    ),
    (
        "<password>hunter2</password>",
        "<password>[redacted]</password>",
    ),
    (
        "https://abc@git.example.com/x",
        "https://[redacted]@git.example.com/x",
    ),
    (
        "app:hunter2@tcp(db:3306)/m",
        "app:[redacted]@tcp(db:3306)/m",
    ),
    (
        "Server=db;Password=two words;Encrypt=True",
        "Server=db;Password=[redacted];Encrypt=True",
    ),
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
