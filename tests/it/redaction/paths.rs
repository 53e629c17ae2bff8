//! Paths below which the configuration switches redaction off.

use super::manifest;
use super::record::{Workload, record_by, reindexed_by};
use revisor::kinds::Catalogue;
use revisor::redact::{Names, PlainPaths};
use revisor::revision::View;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// Stand where secrets would, below names of secrets.
const VALUES: [&str; 2] = ["zq7Old4Leak9", "zq7New4Leak9"];

fn names() -> Names {
    let paths = [
        "containers[main].args",
        "env[HF_TOKEN].value",
        "metadata.annotations[example.com/api-key]",
        "volumes[*].secretInline",
    ];
    Names {
        plain_paths: PlainPaths::parse(&paths.map(str::to_owned)).expect("paths"),
        ..Names::default()
    }
}

/// A Deployment with `shown` below the paths, and `hidden` beside them.
fn deployment(step: i64, shown: &str, hidden: &str) -> Value {
    let kind = manifest::named(&Catalogue::built_in(), "Deployment");
    let mut object = manifest::plain(&kind, step);
    object["spec"]["template"]["metadata"]["annotations"] =
        json!({"example.com/api-key": shown, "example.com/password": hidden});
    let pod = &mut object["spec"]["template"]["spec"];
    let image = pod["containers"][0]["image"].clone();
    pod["containers"] = json!([
        {"name": "main", "image": image, "command": ["serve", "--password", hidden], "args": ["--api-key", shown],
            "env": [{"name": "HF_TOKEN", "value": shown}, {"name": "PASSWORD", "value": hidden}],
            "resources": {"limits": {"nvidia.com/gpu": "1"}}},
        {"name": "other", "image": "o", "args": ["--api-key", hidden]},
    ]);
    pod["volumes"] = json!([{"name": "v", "secretInline": {"password": shown}}, {"name": "w", "password": hidden}]);
    object
}

const SHOWN: [&str; 2] = ["plain7Old4Value9", "plain7New4Value9"];

fn states() -> [Value; 2] {
    [(1, 0), (2, 1)].map(|(step, at)| deployment(step, SHOWN[at], VALUES[at]))
}

fn assert_view(view: &View) {
    assert_eq!(view.args, ["--api-key", SHOWN[1]]);
    let token = format!("HF_TOKEN={}", SHOWN[1]);
    assert_eq!(view.env, [&*token, "PASSWORD=[redacted]"]);
    let text = serde_json::to_string(view).expect("JSON");
    assert!(VALUES.iter().all(|value| !text.contains(value)), "{text}");
    let change = |path: &str| {
        let mut changes = view.changes.iter();
        let change = changes.find(|change| change.path.ends_with(path));
        let change = change.unwrap_or_else(|| panic!("{path}: {:?}", view.changes));
        [change.from.clone(), change.to.clone()].map(Option::unwrap_or_default)
    };
    for path in [
        "env[HF_TOKEN].value",
        "example.com/api-key",
        "secretInline.password",
    ] {
        assert_eq!(change(path)[1], SHOWN[1], "{path}");
    }
    for path in [
        "env[PASSWORD].value",
        "example.com/password",
        "[w].password",
    ] {
        assert_eq!(change(path)[1], "[redacted, changed]", "{path}");
    }
}

#[tokio::test]
async fn nothing_is_hidden_below_a_plain_path_and_everything_beside_it() {
    let catalogue = Arc::new(Catalogue::built_in());
    let workload = Workload {
        uid: Uuid::from_u128(7),
        kind: manifest::named(&catalogue, "Deployment"),
        steps: ["before", "changed"].into_iter().zip(states()).collect(),
    };
    let revisions = record_by(&names(), &catalogue, &[workload]).await;
    let view = revisions.last().and_then(|last| last.spec.view.as_ref());
    assert_view(view.expect("a view"));
}

#[test]
fn whole_objects_are_shown_below_plain_paths() {
    let [mut before, mut after] = states();
    names().objects(&mut before, &mut after);
    let [old, new] = [before, after].map(|object| object.to_string());
    assert_eq!(old.matches(SHOWN[0]).count(), 4, "{old}");
    assert_eq!(new.matches(SHOWN[1]).count(), 4, "{new}");
    assert!(
        !old.contains(VALUES[0]) && !new.contains(VALUES[1]),
        "{old}\n{new}"
    );
}

/// The old sides stand in the stored view only, and are judged by their paths.
#[test]
fn a_view_that_is_made_anew_goes_by_the_paths() {
    let kind = manifest::named(&Catalogue::built_in(), "Deployment");
    let [before, after] = states();
    let view = reindexed_by(&names(), &kind, &before, &after);
    let text = serde_json::to_string(&view.changes).expect("JSON");
    assert!(VALUES.iter().all(|value| !text.contains(value)), "{text}");
    let token = view
        .changes
        .iter()
        .find(|change| change.path.ends_with("env[HF_TOKEN].value"));
    let token = token.expect("a change");
    assert_eq!(token.from.as_deref(), Some(SHOWN[0]));
    assert_eq!(token.to.as_deref(), Some(SHOWN[1]));
}
