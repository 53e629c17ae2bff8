//! Manifests with hidden values, and without.

use super::*;
use crate::clock;
use json_patch::Patch;
use serde_json::json;

const SECRET: &str = "hunter2-is-no-secret";

fn revision(generation: i64, object: &Value) -> Revision {
    let text = object.to_string();
    serde_json::from_value(json!({
        "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision", "metadata": {"name": "x", "namespace": "team-a"},
        "spec": {
            "id": uuid::Uuid::nil(), "type": "Change", "generation": generation, "resourceVersion": "1", "observedVia": "Watch",
            "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama", "uid": uuid::Uuid::nil()},
            "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed",
            "snapshot": {"encoding": "json", "size": text.len(), "data": text},
        },
    }))
    .expect("a Revision")
}

fn deployment(password: &str, image: &str) -> Value {
    let env =
        json!([{"name": "DB_PASSWORD", "value": password}, {"name": "MODE", "value": "fast"}]);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "llama"},
        "spec": {"containers": [{"env": env, "image": image, "name": "vllm"}]},
    })
}

fn read(generation: i64, object: &Value) -> Manifest {
    Manifest::read(&revision(generation, object)).expect("a manifest")
}

fn hidden(generation: i64, object: &Value) -> Manifest {
    let mut manifest = read(generation, object);
    manifest.hide(&Names::default());
    manifest
}

fn pair(old: &Value, new: &Value) -> (Manifest, Manifest) {
    let mut before = read(1, old);
    let mut after = read(2, new);
    Manifest::hide_both(&mut before, &mut after, &Names::default());
    (before, after)
}

const TITLES: [&str; 2] = ["revision 1", "revision 2"];
const COMMAND: &str =
    "deployment/llama --namespace=team-a --uid=00000000-0000-0000-0000-000000000000";

#[test]
fn hidden_yaml_has_its_type_in_comments_and_says_how_to_get_the_values() {
    let manifest = hidden(7, &deployment(SECRET, "i:1"));
    let yaml = manifest.yaml().expect("YAML");
    let header = format!(
        "# 1 value that looks secret is hidden; to show secrets: kubectl revisor show {COMMAND} --revision=7 --show-secrets\n\
         # apiVersion: apps/v1\n# kind: Deployment\nmetadata:\n"
    );
    assert!(yaml.starts_with(&header), "{yaml}");
    assert!(!yaml.contains(SECRET) && yaml.contains("fast"), "{yaml}");
    let fields: Value = serde_saphyr::from_str(&yaml).expect("YAML");
    assert!(fields.get("kind").is_none() && fields.get("apiVersion").is_none());
    assert_eq!(manifest.hidden(), 1);
}

#[test]
fn hidden_json_has_its_type_in_the_field_that_says_so() {
    let manifest = hidden(7, &deployment(SECRET, "i:1"));
    let json: Value = serde_json::from_str(&manifest.json().expect("JSON")).expect("JSON");
    assert!(json.get("kind").is_none() && json.get("apiVersion").is_none());
    let redacted = &json[REDACTED_FIELD];
    assert_eq!(redacted["values"], 1);
    assert_eq!(redacted["apiVersion"], "apps/v1");
    assert_eq!(redacted["kind"], "Deployment");
    let message = redacted["message"].as_str().expect("a text");
    assert!(
        message.ends_with("--revision=7 --show-secrets"),
        "{message}"
    );
    assert_eq!(
        json["spec"]["containers"][0]["env"][0]["value"],
        "[redacted]"
    );
}

#[test]
fn a_manifest_with_nothing_hidden_stays_as_it_is() {
    let object = deployment("", "i:1");
    for manifest in [hidden(1, &object), read(1, &object)] {
        assert_eq!(manifest.hidden(), 0);
        let yaml: Value = serde_saphyr::from_str(&manifest.yaml().expect("YAML")).expect("YAML");
        let json: Value = serde_json::from_str(&manifest.json().expect("JSON")).expect("JSON");
        assert_eq!((&yaml, &json), (&object, &object));
    }
    let whole = read(1, &deployment(SECRET, "i:1"));
    assert!(whole.yaml().expect("YAML").contains(SECRET));
}

#[test]
fn a_diff_shows_both_sides() {
    let object =
        |image: &str| json!({"kind": "Deployment", "spec": {"image": image, "replicas": 1}});
    let unified = |old: &Value, new: &Value| {
        let (before, after) = pair(old, new);
        Manifest::unified(&before, &after, TITLES).expect("a diff")
    };
    let expected = "--- revision 1\n+++ revision 2\n@@ -1,4 +1,4 @@\n kind: Deployment\n spec:\n-  image: a\n+  image: b\n   replicas: 1\n";
    assert_eq!(unified(&object("a"), &object("b")), expected);
    assert_eq!(unified(&object("a"), &object("a")), "");
}

#[test]
fn a_diff_with_a_hidden_value_says_so_before_its_header() {
    let (before, after) = pair(
        &deployment(SECRET, "i:1"),
        &deployment("another-one", "i:1"),
    );
    let text = Manifest::unified(&before, &after, TITLES).expect("a diff");
    let first = format!(
        "# 1 value that looks secret is hidden; to show secrets: kubectl revisor diff {COMMAND} --from=1 --to=2 --show-secrets\n--- revision 1\n"
    );
    assert!(text.starts_with(&first), "{text}");
    assert!(text.contains("[redacted, changed]"), "{text}");
    assert!(
        !text.contains(SECRET) && !text.contains("another-one"),
        "{text}"
    );
    assert_eq!(Manifest::hidden_in_both(&before, &after), 1);
}

#[test]
fn a_patch_with_a_hidden_value_cannot_be_applied() {
    let old = deployment(SECRET, "i:1");
    let (before, after) = pair(&old, &deployment("another-one", "i:1"));
    let text = Manifest::patch(&before, &after).expect("a patch");
    assert!(
        !text.contains(SECRET) && !text.contains("another-one"),
        "{text}"
    );
    let patch: Patch = serde_json::from_str(&text).expect("a patch");
    assert_eq!(patch.0.len(), 2);
    for mut object in [old.clone(), before.object.clone()] {
        assert!(json_patch::patch(&mut object, &patch).is_err());
    }
    let (before, after) = pair(&old, &deployment(SECRET, "i:2"));
    let text = Manifest::patch(&before, &after).expect("a patch");
    let patch: Patch = serde_json::from_str(&text).expect("a patch");
    let mut patched = old;
    json_patch::patch(&mut patched, &patch).expect("it shows no secret");
    assert_eq!(patched, deployment(SECRET, "i:2"));
}

#[test]
fn characters_that_cannot_be_seen_are_escaped_and_stay_the_same() {
    for mode in [
        "a\u{202e}b: #c",
        "\u{1b}[31m\u{2066}",
        "x\n\u{200f}y\n",
        "\u{2028}",
    ] {
        let mut object = deployment("", "i:1");
        object["spec"]["containers"][0]["env"][1]["value"] = json!(mode);
        let manifest = hidden(1, &object);
        let yaml = manifest.yaml().expect("YAML");
        let json = manifest.json().expect("JSON");
        for text in [&yaml, &json] {
            let seen = |c: char| {
                c == '\n' || (!c.is_control() && !crate::text::has_direction(&c.to_string()))
            };
            assert!(text.chars().all(seen), "{text:?}");
        }
        assert_eq!(
            serde_saphyr::from_str::<Value>(&yaml).expect("YAML"),
            object
        );
        assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON"), object);
    }
}

#[test]
fn a_revision_is_shown_without_its_secrets() {
    let mut with = revision(7, &deployment(SECRET, "i:1"));
    with.spec.change_cause = Some(format!(
        "kubectl set env deployment/llama DB_PASSWORD={SECRET}"
    ));
    let shown = hide_revision(&with, &Names::default()).expect("JSON");
    assert!(!shown.to_string().contains(SECRET), "{shown}");
    assert!(shown.get("kind").is_none(), "{shown}");
    assert_eq!(shown[REDACTED_FIELD]["values"], 2);
    assert_eq!(shown["spec"]["snapshot"]["encoding"], "json");
    assert!(shown["spec"]["snapshot"].get("data").is_none());

    let without = revision(7, &deployment("", "i:1"));
    let shown = hide_revision(&without, &Names::default()).expect("JSON");
    assert_eq!(shown, serde_json::to_value(&without).expect("JSON"));
}

#[test]
fn a_snapshot_that_cannot_be_read_is_left_out() {
    let mut damaged = revision(7, &deployment(SECRET, "i:1"));
    let snapshot = damaged.spec.snapshot.as_mut().expect("a snapshot");
    snapshot.data = Some(format!("{{\"password\": \"{SECRET}\""));
    let shown = hide_revision(&damaged, &Names::default()).expect("JSON");
    assert!(!shown.to_string().contains(SECRET), "{shown}");
    let error = Manifest::read(&damaged).expect_err("damaged").to_string();
    assert!(!error.contains(SECRET), "{error}");
}

#[test]
fn what_is_not_stored_is_said() {
    let mut revision = revision(1, &deployment("", "i:1"));
    let reason = |revision: &Revision| Manifest::read(revision).expect_err("nothing").to_string();
    revision.spec.snapshot.as_mut().expect("a snapshot").data = None;
    assert!(reason(&revision).contains("larger than the API server"));
    revision.spec.snapshot = None;
    assert!(reason(&revision).contains("not seen"));
}

#[test]
fn what_takes_too_long_to_compare_is_compared_coarsely() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut text = || -> Vec<_> { (0..120_000).map(|_| random.u32(..50)).collect() };
    let old = read(1, &json!(text()));
    let new = read(2, &json!(text()));
    let started = clock::monotonic();
    let diff = Manifest::unified(&old, &new, TITLES).expect("a diff");
    assert!(started.elapsed() < COMPARING * 5, "{:?}", started.elapsed());
    assert!(diff.starts_with("--- revision 1\n+++ revision 2\n"));
}

#[test]
fn a_manifest_of_too_many_parts_is_not_read() {
    let object =
        |parts: usize| json!({"a": "{[,", "s\"": "[[[\\\"{", "spec": vec![json!({"a": 0}); parts]});
    let refused = Manifest::read(&revision(3, &object(MAX_PARTS / 20))).expect_err("too many");
    assert!(matches!(refused, ManifestError::TooWide(3, _)), "{refused}");
    assert!(Manifest::read(&revision(3, &object(MAX_PARTS / 22))).is_ok());
    let fields = |parts: usize| {
        let fields = (0..parts).map(|i| (format!("{i}:{{"), json!(0)));
        json!({"spec": fields.collect::<serde_json::Map<_, _>>()})
    };
    let refused = Manifest::read(&revision(3, &fields(MAX_PARTS / 4))).expect_err("too many");
    assert!(matches!(refused, ManifestError::TooWide(3, _)), "{refused}");
    assert!(Manifest::read(&revision(3, &fields(MAX_PARTS / 5))).is_ok());
}

mod differences {
    use super::super::Manifest;
    use crate::history::same::normal;
    use crate::history::sample::revision;
    use crate::json::Document;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3).prop_map(Value::from),
            "(1000m|1|yes|- a|# b|x: y|[a-c]{0,3}\n?)".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let item = ("[a-c]", inner.clone());
            let item = item.prop_map(|(name, value)| json!({"name": name, "value": value}));
            let keys = "(limits|requests|env|[a-c])";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(item, 0..4).prop_map(Value::from),
                prop::collection::btree_map(keys, inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn manifest(spec: &Value) -> Manifest {
        let object = json!({"kind": "Deployment", "metadata": {"name": "x"}, "spec": {"a": spec}});
        Manifest::live(object, &revision(1, "a"))
    }

    /// Applies a unified diff, as `patch` does.
    fn applied(diff: &str, text: &str) -> String {
        let old: Vec<_> = text.split_inclusive('\n').collect();
        let mut new = String::new();
        let mut next = 0;
        for line in diff.split_inclusive('\n').skip(2) {
            if let Some(hunk) = line.strip_prefix("@@ -") {
                let place = hunk.split(' ').next().expect("a place");
                let (first, count) = place.split_once(',').unwrap_or((place, "1"));
                let first: usize = first.parse().expect("a number");
                let begins = if count == "0" { first } else { first - 1 };
                new.extend(old[next..begins].iter().copied());
                next = begins;
            } else if let Some(added) = line.strip_prefix('+') {
                new.push_str(added);
            } else {
                assert_eq!(old[next], &line[1..], "{diff}");
                if line.starts_with(' ') {
                    new.push_str(old[next]);
                }
                next += 1;
            }
        }
        new.extend(old[next..].iter().copied());
        new
    }

    proptest! {
        #[test]
        fn a_unified_diff_applied_to_the_old_text_gives_the_new_one(old in value(), new in value()) {
            let [before, after] = [manifest(&old), manifest(&new)];
            let diff = Manifest::unified(&before, &after, ["a", "b"]).expect("YAML");
            let [old, new] = [&before, &after].map(|it| it.yaml().expect("YAML"));
            prop_assert_eq!(applied(&diff, &old), new);
        }

        #[test]
        fn a_json_patch_applied_to_the_old_object_gives_the_new_one(old in value(), new in value()) {
            let [before, after] = [manifest(&old), manifest(&new)];
            let text = Manifest::patch(&before, &after).expect("JSON");
            let patch: json_patch::Patch = serde_json::from_str(&text).expect("a patch");
            let mut object = before.into_object();
            json_patch::patch(&mut object, &patch).expect("fits");
            prop_assert_eq!(&object, after.object());
        }

        #[test]
        fn what_is_left_out_of_a_difference_takes_no_effect(old in value(), new in value()) {
            let [before, after] = [manifest(&old), manifest(&new)];
            let mut aligned = after.clone();
            let reordered = Manifest::align(&before, &mut aligned);
            let form = |it: &Manifest| {
                let text = it.object().to_string();
                normal(None, Document::parse(&text).expect("JSON").root())
            };
            if reordered.is_empty() {
                prop_assert_eq!(form(&aligned), form(&after));
            }
            let mut again = before.clone();
            prop_assert!(Manifest::align(&before, &mut again).is_empty());
            prop_assert_eq!(again.object(), before.object());
        }
    }
}
