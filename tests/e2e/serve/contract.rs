//! Every endpoint, status and header of the contract.

use super::people::People;
use super::rest::{Answer, Rest};
use super::stage::{ORIGIN, UNKNOWN, list, listed, one, secure, workload};
use crate::support::{DEPLOYMENT, World, patch, revisor, world};
use flate2::read::GzDecoder;
use http::Method;
use serde_json::{Value, json};
use std::io::Read;
use std::time::{Duration, Instant};

/// An endpoint: its path, the same of something that is not there, and whether that is a 404.
type Endpoint = (String, String, bool);

fn endpoints(uid: &str, id: &str) -> [Endpoint; 6] {
    let own = "/api/revisor/v1";
    let both = |path: &dyn Fn(&str) -> String, of: &str| (path(of), path(UNKNOWN));
    let endpoint = |(path, unknown): (String, String), known_only| (path, unknown, known_only);
    [
        endpoint(both(&list, uid), true),
        endpoint(both(&|uid| format!("{}/count", list(uid)), uid), false),
        endpoint(both(&one, id), true),
        endpoint(
            both(&|uid| format!("{own}/workloads/{uid}/revisions"), uid),
            true,
        ),
        endpoint(
            both(&|id| format!("{own}/revisions/{id}/snapshot"), id),
            true,
        ),
        endpoint(both(&|id| format!("{own}/revisions/{id}/diff"), id), true),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_answers_each_caller_as_the_contract_says() {
    let world = world();
    let server = secure();
    let namespace = world.namespace("contract").await;
    let people = People::of(world, &namespace).await;
    let made = workload(world, server, &namespace).await;
    let anybody = Rest::tls(server.rest);
    let reader = anybody.with(&people.reader);
    let revisions = listed(&reader, &made.uid, 3).await;
    let id = revisions[0]["id"].as_str().expect("an id").to_owned();
    for endpoint in endpoints(&made.uid, &id) {
        assert_callers(&anybody, &people, &endpoint).await;
        assert_good(&reader, &endpoint.0).await;
        assert_requests(&reader, &endpoint.0).await;
    }
}

/// Who may read and who may not, and what each learns of what is not there.
async fn assert_callers(anybody: &Rest, people: &People, endpoint: &Endpoint) {
    let (path, unknown, known_only) = endpoint;
    anybody.get(path).await.assert_error(401, "no token");
    anybody
        .with("garbage")
        .get(path)
        .await
        .assert_error(401, "not valid");
    anybody
        .with(&people.nobody)
        .get(path)
        .await
        .assert_error(403, "is not known");
    // Nobody finds out which ids exist: the refusals differ in the id alone.
    let refusal = async |path: &str| {
        let answer = anybody.with(&people.elsewhere).get(path).await;
        assert_eq!(answer.status, 403);
        let mut parts = path.split(['/', '?']);
        let id = parts.find(|part| uuid::Uuid::try_parse(part).is_ok());
        answer.text().replace(id.expect("an id"), "ID")
    };
    assert_eq!(refusal(path).await, refusal(unknown).await);
    anybody
        .with(&people.reader)
        .get(unknown)
        .await
        .assert_error(403, "is not known");
    let everywhere = anybody.with(&people.everywhere);
    assert_eq!(everywhere.get(path).await.status, 200);
    let missing = everywhere.get(unknown).await;
    if *known_only {
        missing.assert_error(404, UNKNOWN);
    } else {
        assert_eq!((missing.status, missing.json()), (200, json!({"count": 0})));
    }
}

/// Headers, methods and spellings that are refused.
async fn assert_requests(reader: &Rest, path: &str) {
    for header in ["Impersonate-User", "X-Remote-User"] {
        reader
            .get_with(path, &[(header, "admin")])
            .await
            .assert_error(403, &header.to_lowercase());
    }
    for method in [
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ] {
        let refused = reader.ask(method.clone(), path, &[], "{}").await;
        refused.assert_error(405, method.as_str());
        assert_eq!(refused.header("allow"), "GET, HEAD");
    }
    let upper = path.to_uppercase().replace("/API/V1", "/api/v1");
    assert_eq!(reader.get(&upper).await.status, 404);
}

/// 200, its headers, 304, HEAD, gzip and CORS.
async fn assert_good(rest: &Rest, path: &str) {
    let good = rest.get(path).await;
    assert_eq!(
        (good.status, good.header("content-type")),
        (200, "application/json"),
        "{path}: {good:?}"
    );
    assert_eq!(good.header("cache-control"), "no-cache, private");
    assert_eq!(good.header("x-content-type-options"), "nosniff");
    assert!(!good.headers.contains_key("access-control-allow-origin"));
    let tag = good.header("etag");
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    let same = rest.get_with(path, &[("If-None-Match", tag)]).await;
    assert_eq!(
        (same.status, same.body.len(), same.header("etag")),
        (304, 0, tag)
    );
    let other = rest
        .get_with(
            path,
            &[("If-None-Match", "\"x\""), ("X-Request-Id", "mine-1")],
        )
        .await;
    assert_eq!(
        (other.status, &other.body, other.header("x-request-id")),
        (200, &good.body, "mine-1")
    );
    let head = rest.ask(Method::HEAD, path, &[], "").await;
    assert_eq!(
        (head.status, head.body.len(), head.header("etag")),
        (200, 0, tag)
    );
    assert_eq!(head.header("content-length"), good.body.len().to_string());
    assert_packed(rest, path, &good).await;
    assert_cors(rest, path).await;
}

/// The same, compressed when it is long.
async fn assert_packed(rest: &Rest, path: &str, good: &Answer) {
    let tag = good.header("etag");
    let packed = rest.get_with(path, &[("Accept-Encoding", "gzip")]).await;
    if packed.header("content-encoding") == "gzip" {
        let mut text = Vec::new();
        GzDecoder::new(packed.body.as_slice())
            .read_to_end(&mut text)
            .expect("gzip");
        assert_eq!(text, good.body);
        assert_eq!(packed.header("etag"), format!("W/{tag}"));
    } else {
        assert!(
            good.body.len() < 1_400,
            "{path} is long and was not compressed"
        );
    }
}

/// Pages of one origin may read, others may not.
async fn assert_cors(rest: &Rest, path: &str) {
    let page = rest.get_with(path, &[("Origin", ORIGIN)]).await;
    assert_eq!(page.header("access-control-allow-origin"), ORIGIN);
    let stranger = rest
        .get_with(path, &[("Origin", "https://evil.example")])
        .await;
    assert!(!stranger.headers.contains_key("access-control-allow-origin"));
    let asked = [("Origin", ORIGIN), ("Access-Control-Request-Method", "GET")];
    for foreign in [
        vec![("Origin", "https://evil.example"), asked[1]],
        vec![asked[0]],
    ] {
        rest.ask(Method::OPTIONS, path, &foreign, "")
            .await
            .assert_error(405, "OPTIONS");
    }
    let preflight = rest.ask(Method::OPTIONS, path, &asked, "").await;
    assert_eq!(
        (
            preflight.status,
            preflight.header("access-control-allow-methods")
        ),
        (204, "GET, HEAD")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named_and_nothing_is_learnt_without_a_token() {
    let world = world();
    let server = secure();
    let namespace = world.namespace("wrong").await;
    let people = People::of(world, &namespace).await;
    let anybody = Rest::tls(server.rest);
    let reader = anybody.with(&people.reader);
    for (path, status, named) in [
        (
            list("nonsense"),
            400,
            "workloadId: \"nonsense\" is not a UUID",
        ),
        (one("6f9619ff8b86d011b42d00cf4fc964ff"), 400, "revisionId"),
        (
            format!("{}?deleted=maybe", list(UNKNOWN)),
            400,
            "deleted: \"maybe\" is not true or false",
        ),
        (format!("{}/count?deleted=", list(UNKNOWN)), 400, "deleted"),
        (
            "/api/revisor/v1/workloads?namespace=a_b".to_owned(),
            400,
            "namespace: \"a_b\" is not a DNS label",
        ),
        (
            format!("/api/revisor/v1/workloads?namespace={}", "a".repeat(30_000)),
            400,
            "namespace",
        ),
        ("/api/revisor/v1/workloads?limit=0".to_owned(), 400, "limit"),
        (
            "/api/revisor/v1/workloads?cursor=x".to_owned(),
            403,
            "all namespaces",
        ),
        (
            format!("/api/revisor/v1/workloads?cursor=x&namespace={namespace}"),
            400,
            "cursor: \"x\"",
        ),
        ("/".to_owned(), 404, "path \"/\""),
        ("/api/v1/workloads".to_owned(), 404, "/api/v1/workloads"),
    ] {
        anybody.get(&path).await.assert_error(401, "no token");
        reader.get(&path).await.assert_error(status, named);
    }
    let described = reader.get("/openapi.json").await;
    assert_eq!(
        (described.status, &described.json()["openapi"]),
        (200, &json!("3.1.0"))
    );
    anybody
        .get("/openapi.json")
        .await
        .assert_error(401, "no token");
}

/// The fields that every Revision of the contract has.
const REQUIRED: &[&str] = &[
    "type",
    "name",
    "id",
    "workloadId",
    "tenantId",
    "clusterId",
    "departmentId",
    "projectId",
    "createdAt",
    "phase",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_has_the_fields_of_the_contract() {
    let world = world();
    let server = secure();
    let namespace = world.namespace("fields").await;
    let client = world.client().await;
    let labels = json!({"metadata": {"labels": {"runai/queue": "team-red"}}});
    patch(&client, &format!("/api/v1/namespaces/{namespace}"), &labels).await;
    let people = People::of(world, &namespace).await;
    let made = workload(world, server, &namespace).await;
    let rest = Rest::tls(server.rest).with(&people.reader);
    let revisions = listed(&rest, &made.uid.to_uppercase(), 3).await;
    let uid: Value = client_uid(world).into();
    for (i, revision) in revisions.iter().enumerate() {
        let missing: Vec<_> = REQUIRED
            .iter()
            .filter(|name| revision.get(**name).is_none())
            .collect();
        assert!(missing.is_empty(), "{missing:?} in {revision}");
        let more = &revision["additionalFields"];
        assert_eq!(more["generation"], 3 - i, "newest first");
        assert_eq!(
            (&more["latest"], &more["kind"]),
            (&json!(i == 0), &json!("Deployment"))
        );
        assert_eq!(
            (&revision["workloadId"], &revision["projectId"]),
            (&json!(made.uid), &json!("team-red"))
        );
        assert_eq!(
            (&revision["clusterId"], &revision["tenantId"]),
            (&uid, &json!(1001))
        );
        let alone = rest
            .get(&one(revision["id"].as_str().expect("an id")))
            .await;
        assert_eq!(&alone.json(), revision);
    }
    // The SDK ends its URLs with a bare question mark.
    assert_eq!(
        rest.get(&format!("{}/count?", list(&made.uid)))
            .await
            .json(),
        json!({"count": 3})
    );
    assert_eq!(
        rest.get(&format!("{}?deleted=true", list(&made.uid)))
            .await
            .json(),
        json!({"revisions": []})
    );
}

fn client_uid(world: &World) -> String {
    world.kubectl(&[
        "get",
        "namespace",
        "kube-system",
        "-o",
        "jsonpath={.metadata.uid}",
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_agree_on_tags_and_a_new_revision_changes_that_of_the_one_before() {
    let world = world();
    let first = secure();
    let second = revisor();
    let namespace = world.namespace("replicas").await;
    let people = People::of(world, &namespace).await;
    let made = workload(world, first, &namespace).await;
    let a = Rest::tls(first.rest).with(&people.reader);
    let b = Rest::at(&format!("http://127.0.0.1:{}", second.rest));
    let revisions = listed(&a, &made.uid, 3).await;
    assert_eq!(listed(&b, &made.uid, 3).await, revisions);
    let newest = one(revisions[0]["id"].as_str().expect("an id"));
    let tag = |answer: &Answer| answer.header("etag").to_owned();
    let before = a.get(&newest).await;
    assert_eq!(tag(&b.get(&newest).await), tag(&before));
    assert_eq!(
        tag(&a.get(&list(&made.uid)).await),
        tag(&b.get(&list(&made.uid)).await)
    );
    let path = format!("{}/{}", DEPLOYMENT.path(&namespace), made.name);
    patch(
        &world.client().await,
        &path,
        &json!({"spec": {"minReadySeconds": 77}}),
    )
    .await;
    listed(&a, &made.uid, 4).await;
    listed(&b, &made.uid, 4).await;
    let after = a.get(&newest).await;
    assert_eq!(after.json()["additionalFields"]["latest"], false);
    assert_ne!(tag(&after), tag(&before));
    assert_eq!(tag(&b.get(&newest).await), tag(&after));
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_workloads_are_listed_only_when_asked_for() {
    let world = world();
    let server = secure();
    let namespace = world.namespace("gone").await;
    let people = People::of(world, &namespace).await;
    let made = workload(world, server, &namespace).await;
    let rest = Rest::tls(server.rest).with(&people.reader);
    listed(&rest, &made.uid, 3).await;
    world.kubectl(&[
        "-n",
        &namespace,
        "delete",
        "deployment",
        &made.name,
        "--wait=true",
    ]);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut deleted = rest
        .get(&format!("{}?deleted=true", list(&made.uid)))
        .await
        .json();
    while deleted["revisions"]
        .as_array()
        .is_none_or(|all| all.len() < 3)
    {
        assert!(Instant::now() < deadline, "{deleted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        deleted = rest
            .get(&format!("{}?deleted=true", list(&made.uid)))
            .await
            .json();
    }
    assert!(
        deleted["revisions"][0]["deletedAt"].is_string(),
        "{deleted}"
    );
    assert_eq!(
        rest.get(&list(&made.uid)).await.json(),
        json!({"revisions": []})
    );
    assert_eq!(
        rest.get(&format!("{}/count?deleted=true", list(&made.uid)))
            .await
            .json(),
        json!({"count": 3})
    );
    assert_eq!(
        rest.get(&format!("{}/count?deleted=false", list(&made.uid)))
            .await
            .json(),
        json!({"count": 0})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_gets_its_token_and_works() {
    let world = world();
    let server = secure();
    let namespace = world.namespace("sdk").await;
    let people = People::of(world, &namespace).await;
    let made = workload(world, server, &namespace).await;
    let rest = Rest::tls(server.rest);
    let ask = async |id: &str, secret: &str| {
        let body = json!({"grantType": "app_token", "AppId": id, "AppSecret": secret});
        rest.ask(
            Method::POST,
            "/api/v1/token",
            &[("Content-Type", "application/json")],
            &body.to_string(),
        )
        .await
    };
    let account = format!("{namespace}/reader");
    let granted = ask(&account, &people.reader).await;
    assert_eq!(
        (granted.status, granted.json()),
        (200, json!({"accessToken": people.reader})),
        "{granted:?}"
    );
    assert_eq!(
        listed(&rest.with(&people.reader), &made.uid, 3).await.len(),
        3
    );
    ask(&account, &people.nobody)
        .await
        .assert_error(401, "AppId");
    ask(&account, "garbage")
        .await
        .assert_error(401, "not valid");
    ask(&account, "").await.assert_error(401, "not valid");
    let options = rest.ask(Method::OPTIONS, "/api/v1/token", &[], "").await;
    options.assert_error(405, "OPTIONS");
    assert_eq!(options.header("allow"), "POST");
    for header in ["Impersonate-User", "X-Remote-User"] {
        let lent = rest
            .ask(Method::POST, "/api/v1/token", &[(header, "admin")], "{}")
            .await;
        lent.assert_error(403, &header.to_lowercase());
    }
    ask("reader", &people.reader)
        .await
        .assert_error(400, "AppId");
    rest.ask(Method::POST, "/api/v1/token", &[], "{")
        .await
        .assert_error(400, "line 1");
    rest.get("/api/v1/token").await.assert_error(405, "GET");
}
