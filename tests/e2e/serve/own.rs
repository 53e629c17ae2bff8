//! The endpoints that are Revisor's own: workloads, histories in pages, snapshots, diffs.

use super::people::People;
use super::rest::Rest;
use super::stage::{listed, secure};
use crate::support::{DEPLOYMENT, Revisor, edit, post, send, world};
use http::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn our_own_endpoints_page_and_show_what_was() {
    let world = world();
    let server = secure();
    let namespace = world.namespace("own").await;
    let people = People::of(world, &namespace).await;
    let client = world.client().await;
    let mut manifest = DEPLOYMENT.example();
    let containers = manifest["spec"]["template"]["spec"]["containers"]
        .as_array_mut()
        .expect("containers");
    containers[0]["env"] =
        json!([{"name": "HF_TOKEN", "value": "hush-hush"}, {"name": "MODE", "value": "fast"}]);
    let made = post(&client, &DEPLOYMENT.path(&namespace), &manifest).await;
    let path = format!("{}/{}", DEPLOYMENT.path(&namespace), made.name);
    let last = edit(
        &client,
        &path,
        2,
        |i| json!({"spec": {"minReadySeconds": i + 1}}),
    )
    .await;
    server.wait_recorded(DEPLOYMENT, last.version());
    let rest = Rest::tls(server.rest).with(&people.reader);
    let revisions = listed(&rest, &made.uid, 3).await;
    let ids: Vec<_> = revisions
        .iter()
        .map(|revision| revision["id"].as_str().expect("an id"))
        .collect();
    assert_workloads(&rest, &namespace, &made.uid).await;
    assert_pages(&rest, &made.uid).await;
    assert_snapshot(&rest, ids[0]).await;
    assert_diffs(&rest, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_by_what_became_of_workloads_and_namespaces_are_those_of_the_caller() {
    let world = world();
    let server = secure();
    let namespace = world.namespace("filters").await;
    let people = People::of(world, &namespace).await;
    let client = world.client().await;
    let kept = post(&client, &DEPLOYMENT.path(&namespace), &DEPLOYMENT.example()).await;
    let mut other = DEPLOYMENT.example();
    other["metadata"]["name"] = json!("deleted");
    let deleted = post(&client, &DEPLOYMENT.path(&namespace), &other).await;
    server.wait_recorded(DEPLOYMENT, deleted.version());
    let path = format!("{}/deleted", DEPLOYMENT.path(&namespace));
    let (code, body) = send(&client, Method::DELETE, &path, "application/json", "").await;
    assert_eq!(code, 200, "{body}");
    let rest = Rest::tls(server.rest).with(&people.reader);
    let both = [kept.name.as_str(), "deleted"];
    for (filter, names) in [
        ("deleted=true", &both[1..]),
        ("deleted=false", &both[..1]),
        ("kind=Deployment.apps&deleted=true", &both[1..]),
        ("kind=Deployment.example.com", &[]),
        ("since=2020-01-01T00:00:00Z&deleted=false", &both[..1]),
        ("since=2100-01-01T00:00:00Z", &[]),
        ("until=2020-01-01T00:00:00Z", &[]),
        ("phase=Failed", &[]),
    ] {
        assert_names(&rest, &namespace, filter, names).await;
    }
    assert_namespaces(server, &people, &namespace).await;
}

/// Asks until the workloads that a filter chooses have these names.
async fn assert_names(rest: &Rest, namespace: &str, filter: &str, names: &[&str]) {
    let path = format!("/api/revisor/v1/workloads?namespace={namespace}&{filter}");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = rest.get(&path).await.json();
        let rows = answer["workloads"].as_array().expect("a list");
        let found: Vec<_> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
        if found == names {
            return;
        }
        assert!(Instant::now() < deadline, "{filter}: {answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn assert_namespaces(server: &Revisor, people: &People, namespace: &str) {
    let path = "/api/revisor/v1/namespaces";
    let own = Rest::tls(server.rest).with(&people.reader);
    let mut found = Vec::new();
    let mut next = path.to_owned();
    loop {
        let page = own.get(&next).await.json();
        found.extend(page["namespaces"].as_array().expect("a page").clone());
        let Some(cursor) = page["cursor"].as_str() else {
            break;
        };
        next = format!("{path}?cursor={cursor}");
    }
    assert_eq!(found, [json!({"name": namespace, "workloads": 2})]);
    let nothing = Rest::tls(server.rest).with(&people.nobody);
    let page = nothing.get(&format!("{path}?limit=1")).await.json();
    assert_eq!(page["namespaces"], json!([]));
    let all = Rest::tls(server.rest).with(&people.everywhere);
    let first = all.get(&format!("{path}?limit=1")).await.json();
    assert_eq!(first["namespaces"].as_array().map(Vec::len), Some(1));
}

async fn assert_workloads(rest: &Rest, namespace: &str, uid: &str) {
    let workloads = rest
        .get(&format!("/api/revisor/v1/workloads?namespace={namespace}"))
        .await
        .json();
    let row = &workloads["workloads"][0];
    assert_eq!(
        (&row["id"], &row["revisions"], &row["deleted"]),
        (&json!(uid), &json!(3), &json!(false))
    );
    rest.get("/api/revisor/v1/workloads")
        .await
        .assert_error(403, "all namespaces");
}

async fn assert_pages(rest: &Rest, uid: &str) {
    let mut generations = Vec::new();
    let mut next = String::new();
    while generations.len() < 9 {
        let path = format!("/api/revisor/v1/workloads/{uid}/revisions?limit=2{next}");
        let page = rest.get(&path).await.json();
        generations.extend(
            page["revisions"]
                .as_array()
                .expect("a page")
                .iter()
                .map(|r| r["additionalFields"]["generation"].clone()),
        );
        let Some(cursor) = page["cursor"].as_str() else {
            break;
        };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(generations, [3, 2, 1]);
}

async fn assert_snapshot(rest: &Rest, id: &str) {
    let snapshot = format!("/api/revisor/v1/revisions/{id}/snapshot");
    let json = rest.get(&snapshot).await;
    let env = &json.json()["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(
        (&env[0]["value"], &env[1]["value"]),
        (&json!("[redacted]"), &json!("fast"))
    );
    let yaml = rest
        .get_with(&snapshot, &[("Accept", "application/yaml")])
        .await;
    assert_eq!(yaml.header("content-type"), "application/yaml");
    assert_eq!(yaml.header("x-revisor-redacted"), "1");
    let read: Value = serde_saphyr::from_str(&yaml.text()).expect("YAML");
    let mut fields = json.json();
    let redacted = fields
        .as_object_mut()
        .and_then(|fields| fields.remove("redacted"));
    assert_eq!(redacted.expect("a hidden value")["kind"], "Deployment");
    assert_eq!(read, fields);
}

/// The ids of three Revisions, newest first.
async fn assert_diffs(rest: &Rest, ids: &[&str]) {
    let diff = format!("/api/revisor/v1/revisions/{}/diff", ids[0]);
    let patch = rest.get(&diff).await.json();
    assert_eq!(
        patch,
        json!([{"op": "replace", "path": "/spec/minReadySeconds", "value": 2}])
    );
    let text = rest
        .get_with(&diff, &[("Accept", "text/plain")])
        .await
        .text();
    assert!(
        text.contains("-  minReadySeconds: 1\n+  minReadySeconds: 2\n"),
        "{text}"
    );
    let wider = rest.get(&format!("{diff}?from={}", ids[2])).await.json();
    assert_eq!(wider[0]["op"], "add", "{wider}");
    rest.get(&format!("/api/revisor/v1/revisions/{}/diff", ids[2]))
        .await
        .assert_error(404, "before");
}
