//! Views of stored Revisions, made anew.

use super::*;
use crate::json::Document;
use crate::kinds::Catalogue;

fn names() -> Names {
    Names {
        secret: vec!["*_CODE".parse().expect("a pattern")],
        ..Names::default()
    }
}

fn deployment(pin: &str) -> String {
    format!(
        r#"{{"spec":{{"replicas":1,"scale_code":{pin},"template":{{"spec":{{"containers":[{{"name":"a",
        "args":["--door_code","{pin}"],"env":[{{"name":"DOOR_CODE","value":"{pin}"}}]}}]}}}}}}}}"#
    )
}

/// The view of the change from one to the other, made with `first`, made anew with `second`.
fn made_anew(from: Option<&str>, first: &Names, second: &Names) -> View {
    let catalogue = Catalogue::built_in();
    let kind = catalogue
        .kinds()
        .iter()
        .find(|kind| kind.kind == "Deployment")
        .expect("built in");
    let old = deployment("1234");
    let new = deployment("5678");
    let before = Document::parse(&old).expect("JSON");
    let after = Document::parse(&new).expect("JSON");
    let deltas = diff::objects(before.root(), after.root());
    let shown = view(kind, after.root(), History::Changed(&deltas), first).expect("a view");
    let from = from.map(|text| Document::parse(text).expect("JSON"));
    again(
        kind,
        after.root(),
        from.as_ref().map(Document::root),
        &shown,
        second,
    )
    .expect("a view")
}

#[test]
fn further_secrets_go_with_and_without_the_generation_before() {
    let none = Names::default();
    let before = deployment("1234");
    let shown = made_anew(None, &none, &none);
    assert_eq!(
        shown.summary,
        "scale_code 1234→5678, args --door_code 1234→5678, env DOOR_CODE 1234→5678"
    );
    assert!(
        shown
            .changes
            .iter()
            .all(|change| change.to.as_deref() == Some("5678")),
        "{shown:?}"
    );
    for from in [None, Some(&*before)] {
        let view = made_anew(from, &none, &names());
        assert_eq!(view.summary, "scale_code, args --door_code, env DOOR_CODE");
        let all = serde_json::to_string(&view).expect("JSON");
        assert!(!all.contains("1234") && !all.contains("5678"), "{all}");
        assert_eq!(view.changes.len(), 3);
    }
    // With the generation before, hidden values can be shown again.
    let again = made_anew(Some(&before), &names(), &none);
    assert_eq!(again, made_anew(Some(&before), &none, &none));
}

#[test]
fn whole_parts_are_gone_through() {
    let change = |path: &str, text: &str| {
        let object = Document::parse("{}").expect("JSON");
        let names = names();
        ChangeRedactor::new(object.root(), &[], &names)
            .shown_alone(text, path, old_side)
            .text
    };
    for (path, text, expected) in [
        (
            "spec.env",
            r#"[{"name":"A_CODE","value":"1"},{"name":"B","value":"2"}]"#,
            r#"[{"name":"A_CODE","value":"[redacted]"},{"name":"B","value":"2"}]"#,
        ),
        (
            "spec.env",
            r#"[{"name":"A_CODE","value":"12…"#,
            r#"[{"name":"A_CODE","value":"[redacted]"#,
        ),
        (
            "spec.env",
            r#"[{"name":"B","value":"12…"#,
            r#"[{"name":"B","value":"12…"#,
        ),
        (
            "spec.env",
            r#"[{"name":"API_KEY","value":"[redacted]"},{"name":"B","val…"#,
            r#"[{"name":"API_KEY","value":"[redacted]"},{"name":"B","val…"#,
        ),
        ("spec.a.door_code", "[1,2]", REDACTED),
        ("spec.environment.items.A_CODE.value", "1", REDACTED),
        ("spec.env[A_CODE].value", "1", REDACTED),
        ("spec.some_code[0]", "1", REDACTED),
        ("spec.env[3].value", "hunter2", REDACTED),
        ("spec.args[1]", "hunter2", REDACTED),
        ("spec.args[1]", "--port=80", "--port=80"),
        ("spec.args[1]", "-phunter2", REDACTED),
        ("spec.args[1]", "8", "8"),
        ("spec.args[1]", "12345678", REDACTED),
        ("spec.credentials.basic.p", "hunter2", REDACTED),
        ("spec.replicas", "3", "3"),
    ] {
        assert_eq!(change(path, text), expected, "{path} {text}");
    }
}

#[test]
fn what_was_left_out_is_said_only_where_it_still_is() {
    let catalogue = Catalogue::built_in();
    let kind = catalogue
        .kinds()
        .iter()
        .find(|kind| kind.kind == "Deployment")
        .expect("built in");
    let document = Document::parse(r#"{"spec":{}}"#).expect("JSON");
    let made =
        |old: View| again(kind, document.root(), None, &old, &Names::default()).expect("a view");
    let old = View {
        summary: "created".into(),
        truncated: true,
        ..View::default()
    };
    assert!(!made(old.clone()).truncated);
    assert_eq!(made(old.clone()).summary, "created");
    assert!(
        made(View {
            changes: vec![FieldChange::default()],
            ..old
        })
        .truncated
    );
}
