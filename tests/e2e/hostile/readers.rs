//! Readers of one namespace ask for everything of another.

use super::forge;
use super::stage::{SAID, start};
use crate::serve::people::{account, grant, read_revisions, token};
use crate::serve::rest::{Answer, Rest};
use crate::settled::{History, until};
use crate::support::{Revisor, World};
use http::Method;
use serde_json::Value;
use uuid::Uuid;

/// A namespace with a history, and the token of a subject that may read there and nowhere else.
struct Side {
    history: History,
    reader: Rest,
    uid: String,
    ids: Vec<String>,
    etag: String,
}

impl Side {
    async fn of(world: &World, revisor: &Revisor, purpose: &str) -> Self {
        let history = History::recorded(world, purpose).await;
        let last = history.edit("w0", 0..2).await;
        history.assert_complete(&last, SAID).await;
        let (client, namespace) = (&history.client, &history.namespace);
        account(client, namespace, "reader").await;
        let who = (namespace.as_str(), "reader");
        grant(client, who, Some(namespace), &read_revisions()).await;
        let token = token(client, namespace, "reader", &[]).await;
        let reader = Rest::tls(revisor.rest).with(&token);
        let path = format!("/api/v1/workloads/inferences/{}/revisions", last.uid);
        let is_served = async || {
            let answer = reader.get(&path).await;
            answer.status == 200 && answer.json()["revisions"].as_array().map(Vec::len) == Some(3)
        };
        until(SAID, "the reader's own history", is_served).await;
        let answer = reader.get(&path).await;
        let list = answer.json();
        let ids = list["revisions"].as_array().expect("a list").iter();
        Self {
            uid: last.uid.clone(),
            ids: ids
                .filter_map(|one| one["id"].as_str().map(str::to_owned))
                .collect(),
            etag: answer.header("etag").to_owned(),
            reader,
            history,
        }
    }

    /// Every question about one workload and one Revision of it.
    fn questions(uid: &str, id: &str, other: &str) -> Vec<String> {
        let contract = "/api/v1/workloads/inferences";
        let own = "/api/revisor/v1";
        vec![
            format!("{contract}/{uid}/revisions"),
            format!("{contract}/{uid}/revisions?deleted=true"),
            format!("{contract}/{uid}/revisions/count"),
            format!("{contract}/revisions/{id}"),
            format!("{own}/workloads/{uid}/revisions"),
            format!("{own}/workloads/{uid}/revisions?limit=1"),
            format!("{own}/revisions/{id}/snapshot"),
            format!("{own}/revisions/{id}/diff"),
            format!("{own}/revisions/{id}/diff?from={other}"),
            format!("{own}/revisions/{other}/diff?from={id}"),
        ]
    }
}

/// What an answer may not carry.
fn secrets(side: &Side) -> Vec<String> {
    let mut all = vec![side.history.namespace.clone(), side.etag.clone()];
    all.extend(side.ids.iter().cloned());
    all.retain(|secret| !secret.is_empty());
    all
}

fn assert_carries_nothing(answer: &Answer, asked: &str, side: &Side) {
    let told = format!("{} {:?}", answer.text(), answer.headers);
    for secret in secrets(side) {
        let is_asked_for = asked.contains(&secret);
        assert!(
            is_asked_for || !told.contains(&secret),
            "{asked}: {secret} in {told}"
        );
    }
    // The reader's own history names its own content.
    let is_own = answer.status == 200;
    assert!(is_own || !told.contains("storageUri"), "{asked}: {told}");
}

/// An answer without what differs from request to request, and without what was asked for.
fn said(answer: &Answer, asked: &[&str]) -> (u16, String) {
    let mut text = answer.text();
    for word in asked {
        text = text.replace(word, "ASKED");
    }
    let mut body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if let Some(body) = body.as_object_mut() {
        body.remove("requestId");
    }
    (answer.status, body.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_carry_nothing_of_another_namespace() {
    let world = start();
    let revisor = Revisor::start_secure(world.cluster.kubeconfig(), &[]);
    let ours = Side::of(&world, &revisor, "ours").await;
    let theirs = Side::of(&world, &revisor, "theirs").await;
    let unknown = Uuid::from_u128(0x1234).to_string();
    let known = Side::questions(&theirs.uid, &theirs.ids[0], &ours.ids[0]);
    let nothing = Side::questions(&unknown, &unknown, &ours.ids[0]);
    for (asked, instead) in known.iter().zip(&nothing) {
        for method in [Method::GET, Method::HEAD] {
            for tag in ["", theirs.etag.as_str(), "*"] {
                let headers: &[(&str, &str)] = if tag.is_empty() {
                    &[]
                } else {
                    &[("if-none-match", tag)]
                };
                let answer = ours.reader.ask(method.clone(), asked, headers, "").await;
                let other = ours.reader.ask(method.clone(), instead, headers, "").await;
                assert!([403, 404].contains(&answer.status), "{asked}: {answer:?}");
                assert_carries_nothing(&answer, asked, &theirs);
                assert_eq!(
                    said(&answer, &[&theirs.uid, &theirs.ids[0]]),
                    said(&other, &[&unknown]),
                    "{asked}: what is there and what is not is told apart"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_cursors_of_another_namespace_lead_nowhere() {
    let world = start();
    let revisor = Revisor::start_secure(world.cluster.kubeconfig(), &[]);
    let ours = Side::of(&world, &revisor, "ours").await;
    let theirs = Side::of(&world, &revisor, "theirs").await;
    let page = format!(
        "/api/revisor/v1/workloads?namespace={}&limit=1",
        theirs.history.namespace
    );
    let history = format!("/api/revisor/v1/workloads/{}/revisions?limit=1", theirs.uid);
    let cursors: Vec<_> = [
        theirs.reader.get(&page).await,
        theirs.reader.get(&history).await,
    ]
    .iter()
    .filter_map(|answer| answer.json()["cursor"].as_str().map(str::to_owned))
    .collect();
    assert!(!cursors.is_empty(), "a page leads to the next");
    let namespace = &theirs.history.namespace;
    let mut asked = vec![
        "/api/revisor/v1/workloads".to_owned(),
        format!("/api/revisor/v1/workloads?namespace={namespace}"),
        format!(
            "/api/revisor/v1/workloads?namespace={}%2C{namespace}",
            ours.history.namespace
        ),
        format!(
            "/api/revisor/v1/workloads?namespace={}&namespace={namespace}",
            ours.history.namespace
        ),
        format!("/api/revisor/v1/workloads?name=w0&kind=InferenceService&namespace={namespace}"),
    ];
    for cursor in &cursors {
        let own = &ours.history.namespace;
        asked.push(format!(
            "/api/revisor/v1/workloads?namespace={own}&limit=1&cursor={cursor}"
        ));
        asked.push(format!(
            "/api/revisor/v1/workloads?namespace={namespace}&cursor={cursor}"
        ));
        asked.push(format!(
            "/api/revisor/v1/workloads/{}/revisions?cursor={cursor}",
            ours.uid
        ));
        asked.push(format!(
            "/api/revisor/v1/workloads/{}/revisions?cursor={cursor}",
            theirs.uid
        ));
    }
    for asked in &asked {
        let answer = ours.reader.get(asked).await;
        assert!(
            [200, 400, 403, 404].contains(&answer.status),
            "{asked}: {answer:?}"
        );
        assert_carries_nothing(&answer, asked, &theirs);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_reads_no_more_by_forging() {
    let world = start();
    let revisor = Revisor::start_secure(world.cluster.kubeconfig(), &[]);
    let ours = Side::of(&world, &revisor, "ours").await;
    let theirs = Side::of(&world, &revisor, "theirs").await;
    let tenant = super::stage::Tenant::of(&world, &ours.history.namespace).await;
    let model = theirs.history.revisions().await.remove(0);
    tenant.store(&forge::generation(&model, 1)).await;
    tenant.store(&forge::generation(&model, 50)).await;
    let id = revisor::revision::identity::id(theirs.uid.parse().expect("a uid"), 50);
    for asked in Side::questions(&theirs.uid, &theirs.ids[2], &id.to_string()) {
        let answer = ours.reader.get(&asked).await;
        assert!([403, 404].contains(&answer.status), "{asked}: {answer:?}");
        assert_carries_nothing(&answer, &asked, &theirs);
    }
    let owner = theirs
        .reader
        .get(&Side::questions(&theirs.uid, "", "")[0])
        .await;
    assert_eq!(owner.json()["revisions"].as_array().map(Vec::len), Some(3));
}
