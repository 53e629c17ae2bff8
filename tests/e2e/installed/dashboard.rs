//! From `kubectl apply` to a dashboard: what docs/api.md shows, asked of every replica, before and after the certificate
//! is renewed.

use super::stage::{Stage, stage};
use crate::serve::docs::{bash, script};
use crate::serve::people::{account, token};
use crate::serve::rest::Rest;
use crate::support::{DEPLOYMENT, Meta, edit, post, revisions};
use http::Method;
use serde_json::json;
use std::time::{Duration, Instant};

const ORIGIN: &str = "https://dashboard.example";

/// The list of the contract for a workload.
fn list(made: &Meta) -> String {
    format!("/api/v1/workloads/inferences/{}/revisions", made.uid)
}

/// A Deployment with three revisions, once they are stored.
async fn workload(stage: &Stage, namespace: &str) -> Meta {
    let client = stage.client().await;
    let made = post(&client, &DEPLOYMENT.path(namespace), &DEPLOYMENT.example()).await;
    let path = format!("{}/{}", DEPLOYMENT.path(namespace), made.name);
    edit(&client, &path, 2, |i| {
        let template = json!({"spec": {"terminationGracePeriodSeconds": 30 + i}});
        json!({"spec": {"minReadySeconds": i + 1, "template": template}})
    })
    .await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while revisions(&client, namespace).await.len() < 3 {
        assert!(
            Instant::now() < deadline,
            "{}",
            stage.replicas[0].process.log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    made
}

/// What a page in a browser does first, and what it gets then.
async fn assert_browser(rest: &Rest, made: &Meta) {
    let preflight = [
        ("origin", ORIGIN),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    let answer = rest.ask(Method::OPTIONS, &list(made), &preflight, "").await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
    let answer = rest.get_with(&list(made), &[("origin", ORIGIN)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
}

/// Workloads of the caller's own namespace, a page at a time, and no others.
async fn assert_pages(rest: &Rest, namespace: &str, names: &[&str]) {
    let mut seen = Vec::new();
    let mut path = format!("/api/revisor/v1/workloads?namespace={namespace}&limit=1");
    loop {
        let answer = rest.get(&path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        for row in body["workloads"].as_array().expect("rows") {
            seen.push(row["name"].as_str().expect("a name").to_owned());
        }
        let Some(cursor) = body["cursor"].as_str() else {
            break;
        };
        path = format!("/api/revisor/v1/workloads?namespace={namespace}&limit=1&cursor={cursor}");
    }
    seen.sort();
    assert_eq!(seen, names);
    rest.get("/api/revisor/v1/workloads")
        .await
        .assert_error(403, "in all namespaces");
}

/// The three endpoints of the contract, and a second time by tag.
async fn assert_contract(rest: &Rest, made: &Meta) {
    let answer = rest.get(&list(made)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let all = answer.json()["revisions"]
        .as_array()
        .expect("a list")
        .clone();
    assert_eq!(all.len(), 3, "{all:?}");
    let count = rest.get(&format!("{}/count", list(made))).await;
    assert_eq!(count.json()["count"], 3, "{count:?}");
    let id = all[0]["id"].as_str().expect("an id");
    let one = rest
        .get(&format!("/api/v1/workloads/inferences/revisions/{id}"))
        .await;
    assert_eq!(one.json()["id"], id, "{one:?}");
    assert_answered_by_tag(rest, &list(made)).await;
}

/// The same by its tag is empty. A status may be written between the two requests, and is a new answer.
async fn assert_answered_by_tag(rest: &Rest, path: &str) {
    for _ in 0..5 {
        let answer = rest.get(path).await;
        let tag = answer.header("etag");
        let again = rest.get_with(path, &[("if-none-match", tag)]).await;
        if again.status != 200 {
            assert_eq!((again.status, again.body.len()), (304, 0), "{again:?}");
            return;
        }
        assert_ne!(again.text(), answer.text(), "the same, with another tag");
    }
    panic!("five answers differ from those before");
}

/// Callers with a token for somebody else, and without rights, are told so in clear words.
async fn assert_refused(rest: &Rest, made: &Meta, others: [&str; 2]) {
    let [for_api_server, elsewhere] = others;
    rest.with(for_api_server)
        .get(&list(made))
        .await
        .assert_error(401, "the token is not valid");
    rest.with(elsewhere)
        .get(&list(made))
        .await
        .assert_error(403, "cannot list revisions.revisor.dev");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_reads_its_own_namespace_from_every_replica() {
    let stage = stage().await;
    let reader = stage.team("team-a").await;
    let elsewhere = stage.team("team-b").await;
    let made = workload(stage, "team-a").await;
    workload(stage, "team-b").await;
    let client = stage.client().await;
    account(&client, "team-a", "careless").await;
    let for_api_server = token(&client, "team-a", "dashboard", &[]).await;
    let authority = stage.authorities().await.remove(0);
    for round in ["before a renewal", "after a renewal"] {
        for replica in &stage.replicas {
            eprintln!("{round}, replica {}", replica.name);
            let rest = Rest::trusting(replica.process.rest, &authority).with(&reader);
            wait_cached(&rest, &made).await;
            assert_browser(&rest, &made).await;
            assert_pages(&rest, "team-a", &["llama-8b"]).await;
            assert_contract(&rest, &made).await;
            let nobody = Rest::trusting(replica.process.rest, &authority);
            nobody.get(&list(&made)).await.assert_error(401, "token");
            assert_refused(&nobody, &made, [&for_api_server, &elsewhere]).await;
        }
        if round.starts_with("before") {
            let _mine = stage.certificate.lock().await;
            renew(stage).await;
        }
    }
    document(stage);
}

/// A replica may hear of a Revision a moment after it is stored.
async fn wait_cached(rest: &Rest, made: &Meta) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = rest.get(&list(made)).await;
        if answer.status == 200 && answer.json()["revisions"].as_array().map(Vec::len) == Some(3) {
            return;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Takes the certificate away, and waits for the next.
async fn renew(stage: &Stage) {
    let client = stage.client().await;
    let path = "/api/v1/namespaces/revisor/secrets/revisor-tls";
    let before = crate::support::read(&client, path).await["data"]["tls.crt"].clone();
    let taken = json!({"data": {"tls.crt": null, "tls.key": null}});
    crate::support::patch(&client, path, &taken).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let now = crate::support::read(&client, path).await["data"]["tls.crt"].clone();
        if now.is_string() && now != before {
            break;
        }
        assert!(Instant::now() < deadline, "it is not made again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Every replica has looked at the Secret by then.
    tokio::time::sleep(Duration::from_secs(4)).await;
}

/// Everything that docs/api.md shows, as it stands there.
fn document(stage: &Stage) {
    let script = script("docs/api.md");
    for replica in &stage.replicas {
        let address = format!("https://localhost:{}", replica.process.rest);
        let folder = tempfile::tempdir().expect("a folder");
        let out = bash(&script, &address, &stage.cluster, folder.path());
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(
            out.status.success(),
            "{text}\n{}",
            String::from_utf8_lossy(&out.stderr)
        );
        for part in [
            "{\"revisions\":[",
            "{\"count\":3}",
            "kind: Deployment",
            "\"op\":\"",
            "@@ ",
            "304\n",
            "\"cursor\":",
            "{\"accessToken\":\"",
        ] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
    }
}
