//! The Revisions of a namespace as the API server holds them.

use super::read;
use crate::oracle::{Expected, Spec};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use kube::Client;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// All Revisions of a namespace.
pub async fn revisions(client: &Client, namespace: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!(
            "/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions?limit=500&continue={token}"
        );
        let page = read(client, &path).await;
        all.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["metadata"]["continue"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut token),
            _ => return all,
        }
    }
}

/// What is recorded in a namespace.
pub async fn recorded(client: &Client, namespace: &str) -> Expected {
    let all = revisions(client, namespace).await;
    let one = |revision: &Value| {
        let spec = &revision["spec"];
        let uid = spec["workload"]["uid"].as_str().expect("a uid").to_owned();
        let text = snapshot(revision).unwrap_or_default();
        (
            (uid, spec["generation"].as_i64().expect("a number")),
            Spec::new(&spec_of(&text)),
        )
    };
    let all: Vec<_> = all
        .iter()
        .filter(|revision| revision["spec"]["type"] != "Gap")
        .collect();
    let set: BTreeMap<_, _> = all.iter().map(|revision| one(revision)).collect();
    assert_eq!(set.len(), all.len(), "one generation is recorded twice");
    set
}

/// The generations that Gaps of a namespace stand for.
pub async fn gaps(client: &Client, namespace: &str) -> BTreeSet<(String, i64)> {
    let all = revisions(client, namespace).await;
    let one = |revision: &Value| {
        let spec = &revision["spec"];
        let uid = spec["workload"]["uid"].as_str().expect("a uid").to_owned();
        let end = |name: &str| spec["gap"][name].as_i64();
        let from = end("from").unwrap_or(1);
        let to = end("to").unwrap_or(0);
        (from..=to)
            .map(move |generation| (uid.clone(), generation))
            .collect::<Vec<_>>()
    };
    all.iter().flat_map(one).collect()
}

fn spec_of(snapshot: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        spec: Option<&'a RawValue>,
    }
    let object: Option<Object<'_>> = serde_json::from_str(snapshot).ok();
    object
        .and_then(|o| o.spec)
        .map_or("null", RawValue::get)
        .to_owned()
}

/// The text of a Revision's snapshot, when it has one.
pub fn snapshot(revision: &Value) -> Option<String> {
    let data = revision["spec"]["snapshot"]["data"].as_str()?;
    let mut text = String::new();
    let gzip = BASE64_STANDARD.decode(data).expect("base64");
    GzDecoder::new(gzip.as_slice())
        .read_to_string(&mut text)
        .expect("gzip");
    Some(text)
}
