//! Who is let in, who is not any more, and what happens when nobody can tell.

use super::people::{People, account, grant, read_revisions, token};
use super::rest::{Answer, Rest};
use super::stage::{secure, workload};
use crate::support::{Revisor, World, world};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use devcluster::{Component, Options};
use http::Method;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Answers are kept for 10 s here and for 10 s in the API server.
const FORGOTTEN: Duration = Duration::from_secs(21);

async fn until(limit: Duration, ask: impl AsyncFn() -> Answer, status: u16) -> Answer {
    let deadline = Instant::now() + limit;
    loop {
        let answer = ask().await;
        if answer.status == status {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "not {status} within {limit:?}: {answer:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The three endpoints of the contract for a workload with revisions.
async fn endpoints(reader: &Rest, uid: &str) -> [String; 3] {
    let list = format!("/api/v1/workloads/inferences/{uid}/revisions");
    let listed = until(
        Duration::from_secs(20),
        async || reader.get(&list).await,
        200,
    )
    .await;
    let id = listed.json()["revisions"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    [
        format!("{list}/count"),
        format!("/api/v1/workloads/inferences/revisions/{id}"),
        list,
    ]
}

/// The claims of a token, signed anew with the cluster's own key.
fn signed(world: &World, like: &str, change: impl Fn(&mut Value)) -> String {
    let parts: Vec<_> = like.split('.').collect();
    let mut claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).expect("base64")).expect("claims");
    change(&mut claims);
    let pem = std::fs::read(world.cluster.service_account_key()).expect("a key");
    let PrivateKeyDer::Pkcs8(der) = PrivateKeyDer::from_pem_slice(&pem).expect("PEM") else {
        panic!("not PKCS#8")
    };
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der(), &random).expect("a key");
    let text = format!(
        "{}.{}",
        parts[0],
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = key.sign(&random, text.as_bytes()).expect("signed");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_over_or_for_somebody_else_are_refused() {
    let world = world();
    let server = secure();
    let namespace = world.namespace("tokens").await;
    let people = People::of(world, &namespace).await;
    let made = workload(world, server, &namespace).await;
    let client = world.client().await;
    let rest = Rest::tls(server.rest);
    let paths = endpoints(&rest.with(&people.reader), &made.uid).await;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time")
        .as_secs();
    let fresh = signed(world, &people.reader, |claims| {
        claims["exp"] = json!(now + 600);
    });
    let expired = signed(world, &people.reader, |claims| {
        claims["exp"] = json!(now - 120);
    });
    let other = token(&client, &namespace, "reader", &["elsewhere"]).await;
    for path in &paths {
        assert_eq!(
            rest.with(&fresh).get(path).await.status,
            200,
            "signed here, and as good as any other"
        );
        rest.with(&expired)
            .get(path)
            .await
            .assert_error(401, "not valid");
        rest.with(&other)
            .get(path)
            .await
            .assert_error(401, "not valid");
    }
    // One that demands an audience takes it, and the API server's own no more.
    let own = Revisor::start_secure(
        world.cluster.kubeconfig(),
        &["--audience", "revisor", "--audience", "history"],
    );
    let demanding = Rest::tls(own.rest);
    let history = token(&client, &namespace, "reader", &["history"]).await;
    for path in &paths {
        assert_eq!(demanding.with(&history).get(path).await.status, 200);
        demanding
            .with(&people.reader)
            .get(path)
            .await
            .assert_error(401, "not valid");
        demanding
            .with(&other)
            .get(path)
            .await
            .assert_error(401, "not valid");
    }
    assert!(
        !own.log().contains(&history) && !server.log().contains(&people.reader),
        "a token was logged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_an_account_or_a_right_is_refused_soon() {
    let world = world();
    let server = secure();
    let namespace = world.namespace("lost").await;
    let people = People::of(world, &namespace).await;
    let made = workload(world, server, &namespace).await;
    let client = world.client().await;
    account(&client, &namespace, "second").await;
    grant(
        &client,
        (&namespace, "second"),
        Some(&namespace),
        &read_revisions(),
    )
    .await;
    let second = Rest::tls(server.rest).with(&token(&client, &namespace, "second", &[]).await);
    let reader = Rest::tls(server.rest).with(&people.reader);
    let path = format!("/api/v1/workloads/inferences/{}/revisions", made.uid);
    assert_eq!(
        (
            second.get(&path).await.status,
            reader.get(&path).await.status
        ),
        (200, 200)
    );
    world.kubectl(&["-n", &namespace, "delete", "serviceaccount", "second"]);
    world.kubectl(&[
        "-n",
        &namespace,
        "delete",
        "rolebinding",
        &format!("{namespace}-reader"),
    ]);
    let (gone, refused) = tokio::join!(
        until(FORGOTTEN, async || second.get(&path).await, 401),
        until(FORGOTTEN, async || reader.get(&path).await, 403)
    );
    gone.assert_error(401, "not valid");
    refused.assert_error(403, &namespace);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_while_nobody_can_tell_who_it_is() {
    let own = World::start(&Options::minimal());
    let namespace = own.namespace("down").await;
    let server = Revisor::start_secure(own.cluster.kubeconfig(), &[]);
    let people = People::of(&own, &namespace).await;
    let made = workload(&own, &server, &namespace).await;
    let reader = Rest::tls(server.rest).with(&people.reader);
    let paths = endpoints(&reader, &made.uid).await;
    for path in &paths {
        assert_eq!(reader.get(path).await.status, 200);
    }
    own.cluster.kill(Component::ApiServer(0)).expect("killed");
    let down = Instant::now();
    let unseen = Rest::tls(server.rest).with(&people.everywhere);
    for path in &paths {
        unseen.get(path).await.assert_error(503, "cannot be asked");
        assert_eq!(
            reader.get(path).await.status,
            200,
            "what was reviewed just now still counts"
        );
    }
    assert_reviews_run_out(&reader, &paths, down).await;
    let path = &paths[2];
    assert!(
        server.metric("revisor_served_age_seconds", "") > 0.0,
        "{}",
        server.log()
    );
    assert!(server.metric("revisor_reviews_total", "outcome=\"Failed\"") > 0.0);
    own.cluster
        .restart(Component::ApiServer(0))
        .expect("restarted");
    until(
        Duration::from_secs(30),
        async || reader.get(path).await,
        200,
    )
    .await;
    assert_shut_before_the_first_list(&own, &people, &paths).await;
}

/// What was reviewed before the API server went down counts for ten seconds, and then no more.
async fn assert_reviews_run_out(reader: &Rest, paths: &[String], down: Instant) {
    let mut last = Duration::ZERO;
    while down.elapsed() < Duration::from_secs(14) {
        for path in paths {
            let asked = down.elapsed();
            let answer = reader.get(path).await;
            match answer.status {
                200 => last = asked,
                _ => answer.assert_error(503, "cannot be asked"),
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        last > Duration::from_secs(5) && last < Duration::from_secs(11),
        "the last 200 after {last:?}"
    );
}

/// One that cannot have its first list, because there is nothing to be listed.
async fn assert_shut_before_the_first_list(own: &World, people: &People, paths: &[String]) {
    own.kubectl(&["delete", "crd", "revisions.revisor.dev", "--wait=true"]);
    let early = Revisor::launch_secure(own.cluster.kubeconfig(), &[]);
    let rest = Rest::tls(early.rest);
    let deadline = Instant::now() + Duration::from_secs(20);
    while rest.try_ask(Method::GET, &paths[2], &[], "").await.is_err() {
        assert!(Instant::now() < deadline, "{}", early.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for path in paths {
        rest.get(path).await.assert_error(401, "no token");
        for token in [&people.reader, &people.everywhere, &people.nobody] {
            rest.with(token)
                .get(path)
                .await
                .assert_error(503, "first list of Revisions");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_access_log_nor_a_trace_holds_a_token() {
    let world = world();
    let namespace = world.namespace("logs").await;
    let flags = ["--access-log", "--sdk-token-endpoint", "--log", "trace"];
    let server = Revisor::start_secure(world.cluster.kubeconfig(), &flags);
    let people = People::of(world, &namespace).await;
    let made = workload(world, &server, &namespace).await;
    let rest = Rest::tls(server.rest);
    let garbage = "garbage-that-nobody-may-see";
    let id = format!("{namespace}/reader");
    for token in [people.reader.as_str(), &people.nobody, garbage] {
        for path in endpoints(&rest.with(&people.reader), &made.uid).await {
            rest.with(token).get(&path).await;
        }
        let body = json!({"grantType": "app_token", "AppId": id, "AppSecret": token}).to_string();
        rest.ask(Method::POST, "/api/v1/token", &[], &body).await;
        rest.ask(Method::POST, "/api/v1/token", &[], &body[..body.len() - 1])
            .await
            .assert_error(400, "JSON");
    }
    let log = server.log();
    for line in [
        "TRACE",
        "\"GET\"",
        "status=403",
        "status=401",
        &format!("serviceaccount:{namespace}:reader"),
    ] {
        assert!(log.contains(line), "no {line} in {log}");
    }
    for token in [people.reader.as_str(), &people.nobody, garbage] {
        // A part would be enough to sign in with some tokens, and the last part is all there is to guard.
        let secret = token.rsplit('.').next().expect("a part");
        assert!(!log.contains(secret), "a token was logged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_to_get_the_workload_itself_can_be_demanded() {
    let world = world();
    let namespace = world.namespace("both").await;
    let server = Revisor::start_secure(world.cluster.kubeconfig(), &["--check-workload-access"]);
    let people = People::of(world, &namespace).await;
    let made = workload(world, &server, &namespace).await;
    let client = world.client().await;
    account(&client, &namespace, "both").await;
    let rules = json!([
        {"apiGroups": ["revisor.dev"], "resources": ["revisions"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"], "resourceNames": [made.name]},
    ]);
    grant(&client, (&namespace, "both"), Some(&namespace), &rules).await;
    let both = token(&client, &namespace, "both", &[]).await;
    let rest = Rest::tls(server.rest);
    let path = format!("/api/v1/workloads/inferences/{}/revisions", made.uid);
    assert_eq!(rest.with(&both).get(&path).await.status, 200);
    rest.with(&people.reader)
        .get(&path)
        .await
        .assert_error(403, "cannot get deployments.apps");
    // A list holds what the caller may list itself.
    account(&client, &namespace, "lists").await;
    let rules = json!([
        {"apiGroups": ["revisor.dev"], "resources": ["revisions"], "verbs": ["list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
    ]);
    grant(&client, (&namespace, "lists"), Some(&namespace), &rules).await;
    let lists = token(&client, &namespace, "lists", &[]).await;
    let rows = format!("/api/revisor/v1/workloads?namespace={namespace}");
    for (token, expected) in [(&both, 0), (&people.reader, 0), (&lists, 1)] {
        let answer = rest.with(token).get(&rows).await;
        assert_eq!(
            answer.json()["workloads"].as_array().map(Vec::len),
            Some(expected),
            "{answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_to_list_is_not_the_right_to_get() {
    let world = world();
    let server = secure();
    let namespace = world.namespace("verbs").await;
    let made = workload(world, server, &namespace).await;
    let client = world.client().await;
    account(&client, &namespace, "lister").await;
    let rules =
        json!([{"apiGroups": ["revisor.dev"], "resources": ["revisions"], "verbs": ["list"]}]);
    grant(&client, (&namespace, "lister"), Some(&namespace), &rules).await;
    let rest = Rest::tls(server.rest).with(&token(&client, &namespace, "lister", &[]).await);
    let path = format!("/api/v1/workloads/inferences/{}/revisions", made.uid);
    let listed = until(Duration::from_secs(20), async || rest.get(&path).await, 200).await;
    let id = listed.json()["revisions"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    rest.get(&format!("/api/v1/workloads/inferences/revisions/{id}"))
        .await
        .assert_error(403, "cannot get");
}
