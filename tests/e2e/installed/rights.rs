//! The rights of each account: what the API server was asked for, by its own audit log, is what the manifests grant.
//! A right that is not used is missing from the situations here, or superfluous in its role.

use super::kubectl::{at, kubectl};
use super::owners;
use super::pod::Replica;
use super::stage::{MANIFESTS, Stage, stage};
use super::status::operator_status;
use crate::serve::people::token;
use crate::support::{
    DEPLOYMENT, INFERENCE_SERVICE, client_as, command, eventually, patch, post, read, revisions,
};
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const NAMESPACE: &str = "audited";
const MAINTENANCE: &str = "system:serviceaccount:revisor:revisor-maintenance";

/// An image that no workload has.
const STALE: &str = "out.of.date/image:0";

/// A verb on a resource; with a name where the right is limited to it.
type Right = (String, String, String);

#[tokio::test(flavor = "multi_thread")]
async fn every_right_that_is_granted_is_used_and_no_other_is_asked_for() {
    let stage = stage().await;
    let client = stage.client().await;
    stage.team(NAMESPACE).await;
    record(&client).await;
    owners::pods_below_all(&client, NAMESPACE).await;
    deny_one_workload(stage, &client).await;
    read_a_snapshot(stage, &client).await;
    reindex(stage, &client).await;
    let operator = operator_status(stage).await;
    assert!(operator.code <= 1, "{operator:?}");
    // The operator asks once before the role is bound.
    for (account, roles, refusals) in [
        ("system:serviceaccount:revisor:revisor", "revisor", 0),
        (MAINTENANCE, "revisor-maintenance", 0),
        (
            "system:serviceaccount:operators:operator",
            "revisor-status",
            1,
        ),
    ] {
        assert_used(stage, account, roles, refusals);
    }
    assert_pinned(stage);
}

/// Two workloads that are recorded, one of them with a generation that brings no change.
async fn record(client: &Client) {
    for kind in [DEPLOYMENT, INFERENCE_SERVICE] {
        let made = post(client, &kind.path(NAMESPACE), &kind.example()).await;
        let path = format!("{}/{}", kind.path(NAMESPACE), made.name);
        patch(
            client,
            &path,
            &json!({"metadata": {"annotations": {"a": "b"}}}),
        )
        .await;
        let args = json!({"spec": {"minReadySeconds": 7, "predictor": {"minReplicas": 2}}});
        patch(client, &path, &args).await;
    }
}

/// One workload is refused and tried again after each success of another, so that its Event comes twice.
async fn deny_one_workload(stage: &Stage, client: &Client) {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "denied"},
        "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": ["revisor.dev"], "apiVersions": ["*"],
                "operations": ["CREATE"], "resources": ["revisions"]}]},
            "validations": [{"expression": "!object.metadata.name.startsWith('denied-')", "message": "not this one"}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "denied"},
        "spec": {"policyName": "denied", "validationActions": ["Deny"]},
    });
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic";
    post(client, &format!("{policies}ies"), &policy).await;
    post(client, &format!("{policies}ybindings"), &binding).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut denied = DEPLOYMENT.example();
    denied["metadata"]["name"] = "denied".into();
    post(client, &DEPLOYMENT.path(NAMESPACE), &denied).await;
    let other = format!("{}/{}", INFERENCE_SERVICE.path(NAMESPACE), "llama-70b");
    let user = "system:serviceaccount:revisor:revisor";
    let event = (user.to_owned(), "events.events.k8s.io", "patch");
    for number in 3..30 {
        patch(
            client,
            &other,
            &json!({"spec": {"predictor": {"minReplicas": number}}}),
        )
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let is_patched = audit(stage).iter().any(|(who, (resource, verb, _))| {
            (who, &**resource, &**verb) == (&event.0, event.1, event.2)
        });
        if is_patched {
            break;
        }
    }
    let delete = ["delete", "validatingadmissionpolicybinding", "denied"];
    kubectl(&stage.cluster, &delete);
}

/// Snapshots are read from the API server with the account of the pods.
async fn read_a_snapshot(stage: &Stage, client: &Client) {
    let all = revisions(client, NAMESPACE).await;
    let id = all[0]["spec"]["id"].as_str().expect("an id").to_owned();
    let token = token(client, NAMESPACE, "dashboard", &["revisor.dev"]).await;
    let replica: &Replica = &stage.replicas[0];
    let rest = stage.rest(replica).await.with(&token);
    let path = format!("/api/revisor/v1/revisions/{id}/snapshot");
    let answer = rest.get(&path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// A view that is out of date is made anew by the account for it.
async fn reindex(stage: &Stage, client: &Client) {
    let maintenance = client_as(stage.cluster.kubeconfig(), MAINTENANCE).await;
    for revision in revisions(client, NAMESPACE).await {
        let mut changed = revision.clone();
        changed["spec"]["view"]["images"] = json!([STALE]);
        let name = changed["metadata"]["name"].as_str().expect("a name");
        let path = format!("/apis/revisor.dev/v1alpha1/namespaces/{NAMESPACE}/revisions/{name}");
        let body = changed.to_string();
        let put = http::Method::PUT;
        // A status that was written meanwhile is no matter: one of them is enough.
        crate::support::send(&maintenance, put, &path, "application/json", &body).await;
    }
    let kubeconfig = stage.cluster.kubeconfig().display().to_string();
    let out = command(&[
        "reindex",
        "--kubeconfig",
        &kubeconfig,
        "--namespace",
        NAMESPACE,
        "--as",
        MAINTENANCE,
    ]);
    assert!(out.status.success(), "{out:?}");
    for revision in revisions(client, NAMESPACE).await {
        assert_ne!(
            revision["spec"]["view"]["images"],
            json!([STALE]),
            "{out:?}"
        );
    }
}

/// Every use so far: the user and the right, refused ones too.
fn audit(stage: &Stage) -> Vec<(String, Right)> {
    let text = std::fs::read_to_string(stage.cluster.audit_log()).expect("an audit log");
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|event| used(&event)).collect()
}

/// The right that a request needed; none for paths that are no resources.
fn used(event: &Value) -> Option<(String, Right)> {
    let user = event["impersonatedUser"]["username"]
        .as_str()
        .or_else(|| event["user"]["username"].as_str())?;
    let of = &event["objectRef"];
    let resource = of["resource"].as_str()?;
    let sub = of["subresource"]
        .as_str()
        .map_or(String::new(), |sub| format!("/{sub}"));
    let group = of["apiGroup"]
        .as_str()
        .map_or(String::new(), |group| format!(".{group}"));
    let name = of["name"].as_str().unwrap_or_default().to_owned();
    let verb = event["verb"].as_str()?.to_owned();
    Some((
        user.to_owned(),
        (format!("{resource}{sub}{group}"), verb, name),
    ))
}

/// Requests that the API server refused for want of a right.
fn forbidden(stage: &Stage, account: &str) -> Vec<String> {
    let text = std::fs::read_to_string(stage.cluster.audit_log()).expect("an audit log");
    let is_refused = |event: &Value| {
        let of_account = event["user"]["username"] == account;
        of_account && event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    };
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(is_refused)
        .map(|event: Value| event["requestURI"].to_string())
        .collect()
}

/// The rules of all roles that are bound to an account; of the role alone where it is bound to nobody.
fn granted(stage: &Stage, account: &str) -> BTreeSet<Right> {
    let manifests = manifests(stage);
    let bound: BTreeSet<_> = manifests
        .iter()
        .filter(|one| one["subjects"][0]["name"] == account)
        .map(|one| one["roleRef"]["name"].to_string())
        .chain(
            [json!(account).to_string()]
                .into_iter()
                .filter(|_| account == "revisor-status"),
        )
        .collect();
    let roles = manifests.iter().filter(|one| {
        let kind = one["kind"].as_str().expect("a kind");
        kind.ends_with("Role") && bound.contains(&one["metadata"]["name"].to_string())
    });
    roles.flat_map(|role| rights(&role["rules"])).collect()
}

fn manifests(stage: &Stage) -> Vec<Value> {
    let folder = at(MANIFESTS).display().to_string();
    let text = kubectl(&stage.cluster, &["kustomize", &folder]).quietly();
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).expect("YAML"))
        .collect()
}

fn rights(rules: &Value) -> Vec<Right> {
    let texts = |value: &Value| -> Vec<String> {
        let all = value.as_array().into_iter().flatten();
        all.map(|text| text.as_str().expect("text").to_owned())
            .collect()
    };
    let mut rights = Vec::new();
    for rule in rules.as_array().into_iter().flatten() {
        let mut names = texts(&rule["resourceNames"]);
        if names.is_empty() {
            names.push(String::new());
        }
        for group in texts(&rule["apiGroups"]) {
            let ending = if group.is_empty() {
                group
            } else {
                format!(".{group}")
            };
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    for name in &names {
                        rights.push((format!("{resource}{ending}"), verb.clone(), name.clone()));
                    }
                }
            }
        }
    }
    rights
}

/// Each right that is granted to `account` was used, and nothing was asked for that was not granted, but for so many
/// requests.
fn assert_used(stage: &Stage, account: &str, roles: &str, refusals: usize) {
    let granted = granted(stage, roles);
    assert!(!granted.is_empty(), "{account}");
    let unused = || -> Vec<Right> {
        let uses: BTreeSet<Right> = audit(stage)
            .into_iter()
            .filter(|(user, _)| user == account)
            .map(|(_, right)| right)
            .collect();
        let is_used = |right: &Right| {
            uses.iter().any(|(resource, verb, name)| {
                (resource, verb) == (&right.0, &right.1) && (right.2.is_empty() || *name == right.2)
            })
        };
        // A port-forward is a get in the log; the API server asks for create within it.
        let is_within = |right: &Right| right.0 == "pods/portforward" && right.1 == "create";
        granted
            .iter()
            .filter(|right| !is_used(right) && !is_within(right))
            .cloned()
            .collect()
    };
    let all_used = eventually(Duration::from_secs(60), || unused().is_empty());
    assert!(all_used, "{account} does not use {:?}", unused());
    let refused = forbidden(stage, account);
    assert_eq!(refused.len(), refusals, "{account}: {refused:?}");
}

/// All that the API server says the accounts may, in their own namespace and elsewhere, is what somebody looked at once.
fn assert_pinned(stage: &Stage) {
    let mut text = String::new();
    for account in ["revisor", "revisor-maintenance", "revisor-reader"] {
        for namespace in ["revisor", "default"] {
            let rights = list(stage, account, namespace);
            text.push_str(&[account, " in namespace ", namespace, ":\n", &rights, "\n"].concat());
        }
    }
    let file = at("tests/fixtures/rights.txt");
    if std::env::var_os("REVISOR_GENERATE").is_some() {
        std::fs::write(&file, &text).expect("written");
    }
    let expected = std::fs::read_to_string(&file).expect("a file");
    assert_eq!(
        text,
        expected,
        "REVISOR_GENERATE=1 writes {}; read it again before it is committed",
        file.display()
    );
}

/// The rights of one account in a namespace, without those that every account has.
fn list(stage: &Stage, account: &str, namespace: &str) -> String {
    let of = |account: &str| -> BTreeSet<String> {
        let user = format!("--as=system:serviceaccount:revisor:{account}");
        let list = [
            "auth",
            "can-i",
            "--list",
            "--no-headers",
            &user,
            "-n",
            namespace,
        ];
        let text = kubectl(&stage.cluster, &list).quietly();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines()
            .map(words)
            .filter(|line| !line.is_empty())
            .collect()
    };
    let everybody = of("nobody-at-all");
    let own: Vec<_> = of(account).difference(&everybody).cloned().collect();
    own.join("\n") + "\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rights_a_replica_stays_unready_and_names_what_it_lacks() {
    let stage = stage().await;
    let client = stage.client().await;
    crate::serve::people::account(&client, "default", "stranger").await;
    let token = token(&client, "default", "stranger", &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = super::status::kubeconfig(stage, folder.path(), &token);
    let replica = crate::support::Revisor::launch_secure(&kubeconfig, &["--namespace", "revisor"]);
    let named = || {
        let log = replica.log();
        log.contains("cannot list resource") && log.contains("revisions")
    };
    assert!(
        eventually(Duration::from_secs(20), named),
        "{}",
        replica.log()
    );
    let (code, body) = crate::support::get(replica.admin, "/readyz").expect("an answer");
    assert_eq!(code, 503, "{body}");
    assert!(replica.is_alive(), "{}", replica.log());
    let path = "/api/v1/namespaces/revisor/configmaps/revisor-ca";
    assert!(read(&client, path).await["data"].is_object());
}
