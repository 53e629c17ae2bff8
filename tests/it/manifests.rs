//! deploy/ as text: what it is made of, and that it says what the program understands.

use clap::Parser;
use revisor::commands::RevisorArgs;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The YAML files below a folder.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("a file");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The objects of the base and the guard, by file.
fn objects() -> Vec<(PathBuf, Value)> {
    let all = files("deploy/base")
        .into_iter()
        .chain(files("deploy/guard"));
    all.map(|path| (path.clone(), read(&path)))
        .filter(|(_, object)| object["metadata"]["name"].is_string())
        .collect()
}

fn object(kind: &str, name: &str) -> Value {
    let found = objects()
        .into_iter()
        .find(|(_, object)| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}")).1
}

#[test]
fn every_file_is_one_object_that_is_listed_and_named_after_it() {
    for folder in ["deploy/base", "deploy/guard"] {
        let kustomization = read(&root().join(folder).join("kustomization.yaml"));
        let listed: BTreeSet<_> = kustomization["resources"]
            .as_array()
            .expect("resources")
            .iter()
            .map(|file| file.as_str().expect("a file").to_owned())
            .collect();
        let there: BTreeSet<_> = files(folder)
            .iter()
            .map(|path| {
                path.file_name()
                    .expect("a name")
                    .to_str()
                    .expect("text")
                    .to_owned()
            })
            .filter(|name| !["kustomization.yaml", "config.yaml"].contains(&name.as_str()))
            .collect();
        assert_eq!(listed, there, "{folder}");
    }
    for (path, object) in objects() {
        let text = std::fs::read_to_string(&path).expect("a file");
        assert!(
            !text.contains("\n---"),
            "{} holds several objects",
            path.display()
        );
        let kind = object["kind"].as_str().expect("a kind").to_lowercase();
        let name = path.file_stem().expect("a name").to_str().expect("text");
        assert!(
            name == kind || name.starts_with(&format!("{kind}-")),
            "{name} is a {kind}"
        );
    }
}

#[test]
fn the_policy_names_the_accounts_of_the_base() {
    let policy = object("ValidatingAdmissionPolicy", "revisions.revisor.dev");
    let variable = |name: &str| {
        let variables = policy["spec"]["variables"].as_array().expect("variables");
        let found = variables.iter().find(|one| one["name"] == name);
        found.expect(name)["expression"]
            .as_str()
            .expect("CEL")
            .to_owned()
    };
    let kustomization = read(&root().join("deploy/base/kustomization.yaml"));
    let namespace = kustomization["namespace"].as_str().expect("a namespace");
    let account = |name: &str| {
        assert_eq!(object("ServiceAccount", name)["kind"], "ServiceAccount");
        format!("'system:serviceaccount:{namespace}:{name}'")
    };
    let writers = [account("revisor"), account("revisor-maintenance")];
    assert_eq!(variable("writers"), format!("[{}]", writers.join(", ")));
    assert_eq!(
        variable("sweepers"),
        format!("['system:serviceaccount:{namespace}:revisor-sweep']")
    );
}

#[test]
fn policies_match_revisions_and_their_definition_and_nothing_else() {
    for (name, group, resources) in [
        (
            "revisions.revisor.dev",
            "revisor.dev",
            vec!["revisions", "revisions/status"],
        ),
        (
            "definition.revisor.dev",
            "apiextensions.k8s.io",
            vec!["customresourcedefinitions"],
        ),
    ] {
        let policy = object("ValidatingAdmissionPolicy", name);
        let rules = policy["spec"]["matchConstraints"]["resourceRules"].as_array();
        let rules = rules.expect("rules");
        assert_eq!(rules.len(), 1, "{name}");
        assert_eq!(rules[0]["apiGroups"], serde_json::json!([group]));
        assert_eq!(rules[0]["resources"], serde_json::json!(resources));
        let binding = object("ValidatingAdmissionPolicyBinding", name);
        assert_eq!(binding["spec"]["policyName"], name);
    }
}

#[test]
fn no_role_has_a_wildcard_and_no_account_reads_secrets_but_its_own() {
    for (path, object) in objects() {
        for rule in object["rules"].as_array().into_iter().flatten() {
            let text = rule.to_string();
            assert!(!text.contains('*'), "{}: {text}", path.display());
            if text.contains("\"secrets\"") {
                assert_eq!(rule["resourceNames"], serde_json::json!(["revisor-tls"]));
            }
        }
        assert_ne!(object["kind"], "PriorityClass");
    }
}

/// The container of the Deployment.
fn container() -> Value {
    let deployment = object("Deployment", "revisor");
    assert_eq!(deployment["spec"]["replicas"], 2);
    let template = &deployment["spec"]["template"]["spec"];
    assert_eq!(template["securityContext"]["runAsNonRoot"], true);
    template["containers"][0].clone()
}

fn words(list: &Value) -> Vec<String> {
    let all = list.as_array().expect("a list").iter();
    all.map(|word| word.as_str().expect("text").to_owned())
        .collect()
}

#[test]
fn the_container_is_started_and_probed_with_words_that_the_program_knows() {
    let container = container();
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    let run = [words(&container["command"]), words(&container["args"])].concat();
    RevisorArgs::try_parse_from(&run).expect("flags of run");
    for probe in ["livenessProbe", "readinessProbe"] {
        let mut probe = words(&container[probe]["exec"]["command"]);
        probe.extend([
            "--health-listen".to_owned(),
            variable(&container, "REVISOR_HEALTH_LISTEN"),
        ]);
        RevisorArgs::try_parse_from(&probe).expect("a probe");
    }
}

fn variable(container: &Value, name: &str) -> String {
    let all = container["env"].as_array().expect("variables");
    let found = all.iter().find(|one| one["name"] == name);
    found.expect(name)["value"]
        .as_str()
        .expect("a value")
        .to_owned()
}

#[test]
fn every_variable_of_the_deployment_and_of_its_overlays_is_a_flag() {
    let known: BTreeSet<_> = revisor::commands::configuration()
        .split('`')
        .filter(|word| word.starts_with("REVISOR_"))
        .map(str::to_owned)
        .collect();
    let mut checked = 0;
    for path in files("deploy") {
        let text = std::fs::read_to_string(&path).expect("a file");
        for word in text.split(|c: char| !c.is_ascii_uppercase() && c != '_') {
            if word.starts_with("REVISOR_") {
                assert!(known.contains(word), "{}: {word}", path.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 12, "{checked}");
}

#[test]
fn no_example_skips_the_verification_of_certificates() {
    let documents = [
        "README.md",
        "docs/api.md",
        "docs/operations.md",
        "docs/security.md",
    ];
    for document in documents {
        let text = std::fs::read_to_string(root().join(document)).expect("a document");
        for word in [
            "--insecure ",
            "--insecure-skip-tls-verify",
            "curl -k",
            "-kL",
        ] {
            assert!(!text.contains(word), "{document} has {word}");
        }
    }
}

#[test]
fn every_component_has_an_overlay_and_is_described() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
        entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect()
    };
    let overlays = names("deploy/overlays");
    assert_eq!(names("deploy/components"), overlays);
    let text = std::fs::read_to_string(root().join("docs/operations.md")).expect("a document");
    for overlay in overlays {
        assert!(
            text.contains(&format!("`{overlay}`")),
            "{overlay} is not in docs/operations.md"
        );
    }
}
