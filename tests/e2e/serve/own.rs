//! The endpoints that are Revisor's own: workloads, histories in pages, snapshots, diffs.

use super::people::People;
use super::rest::Rest;
use super::stage::{listed, secure};
use crate::support::{DEPLOYMENT, edit, post, world};
use serde_json::{Value, json};

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
