//! Runs before API servers of a few lines.

use super::*;
use crate::revision::identity;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A Revision of a Deployment with one variable.
fn revision(generation: i64, pin: &str, version: &str) -> Value {
    let uid = "0b8e9f7e-0c52-4d41-8b9b-0a5d7a1b3c4d";
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "i", "env": [{"name": "DOOR_CODE", "value": pin}]}]}}}});
    json!({"apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
        "metadata": {"name": identity::name("d", uid.parse().expect("a uid"), generation), "namespace": "n", "resourceVersion": version},
        "spec": {"id": uid, "type": "Change", "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": uid},
            "generation": generation, "resourceVersion": "1", "observedVia": "Watch", "changeTime": "2026-01-01T00:00:00Z", "changeTimeSource": "Observed",
            "snapshot": {"encoding": "json", "size": 1, "data": object.to_string()},
            "view": {"version": 1, "summary": "env DOOR_CODE", "truncated": true,
                "changes": [{"path": "spec.template.spec.containers[a].env[DOOR_CODE].value", "from": "1111", "to": pin}]}}})
}

/// An API server with two Revisions, of which it lists both or the newer one; the first PUT of each comes too late.
async fn run(listed: usize, before: bool) -> (String, Vec<Value>) {
    let puts: Arc<Mutex<Vec<Value>>> = Arc::default();
    let written = puts.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let written = written.clone();
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await?.to_bytes();
            let all = [revision(1, "1111", "1"), revision(2, "2222", "1")];
            let at = usize::from(parts.uri.path().ends_with("-00002"));
            let (code, answer) = match (parts.method, parts.uri.path().ends_with("/revisions")) {
                (Method::GET, true) => (200, json!({"metadata": {}, "items": all[2 - listed..]})),
                (Method::GET, false) if at == 0 && !before => {
                    (404, json!({"code": 404, "reason": "NotFound"}))
                }
                (Method::GET, false) => (200, revision([1, 2][at], ["1111", "2222"][at], "2")),
                _ => {
                    let put: Value = serde_json::from_slice(&bytes)?;
                    let late = put["metadata"]["resourceVersion"] == "1";
                    written.lock().push(put.clone());
                    if late {
                        (409, json!({"code": 409, "reason": "Conflict"}))
                    } else {
                        (200, put)
                    }
                }
            };
            let body = Body::from(answer.to_string().into_bytes());
            Ok::<_, tower::BoxError>(Response::builder().status(code).body(body)?)
        }
    });
    let names = Names {
        secret: vec!["*_CODE".parse().expect("a pattern")],
        ..Names::default()
    };
    let extractor = Extractor::new(names.clone(), &Metrics::new());
    let client = Client::new(service, "default");
    let all = Reindex {
        client,
        catalogue: Catalogue::built_in(),
        names,
        extractor,
        dry_run: false,
    };
    let said = Arc::new(all).run(None).await.expect("a result");
    let puts = puts.lock().clone();
    (said, puts)
}

#[tokio::test]
async fn what_is_a_secret_now_goes_from_the_changes_too_whoever_writes_meanwhile() {
    for (listed, before) in [(2, true), (1, true), (1, false)] {
        let (said, puts) = run(listed, before).await;
        assert!(
            said.starts_with(&format!("{listed} Revisions: {listed} rewritten")),
            "{said}"
        );
        assert_eq!(puts.len(), 2 * listed, "each was tried twice");
        for put in &puts {
            let view = put["spec"]["view"].to_string();
            assert!(!view.contains("1111") && !view.contains("2222"), "{view}");
        }
        let newest = puts.iter().rfind(|put| put["spec"]["generation"] == 2);
        let newest = &newest.expect("a put")["spec"]["view"];
        let path = "spec.template.spec.containers[a].env[DOOR_CODE].value";
        assert_eq!(
            newest["changes"],
            json!([{"path": path, "from": "[redacted]", "to": "[redacted, changed]"}])
        );
        assert_eq!(
            (&newest["summary"], &newest["env"]),
            (&json!("env DOOR_CODE"), &json!("DOOR_CODE='[redacted]'"))
        );
        assert_eq!(
            newest["truncated"],
            if before { Value::Null } else { json!(true) }
        );
    }
}

/// An API server that keeps what it is sent: Revisions by their names.
#[derive(Default)]
struct Store {
    revisions: BTreeMap<String, Value>,
    puts: usize,
    /// From this PUT on nothing is answered.
    silent_from: Option<usize>,
    /// The next list that goes on finds that its token is too old.
    is_expired: bool,
}

/// So many Revisions make two pages.
const MANY: i64 = 250;

impl Store {
    fn full() -> Arc<Mutex<Self>> {
        let all = (1..=MANY).map(|generation| {
            let stored = revision(generation, &format!("pin-{generation}"), "1");
            let name = stored["metadata"]["name"]
                .as_str()
                .expect("a name")
                .to_owned();
            (name, stored)
        });
        Arc::new(Mutex::new(Self {
            revisions: all.collect(),
            ..Self::default()
        }))
    }

    /// A page of the list, or the message that its token is too old.
    fn list(&mut self, query: &str) -> (u16, Value) {
        let token = query.split("continue=").nth(1).unwrap_or_default();
        let token = token.split('&').next().unwrap_or_default();
        if !token.is_empty() && std::mem::take(&mut self.is_expired) {
            return (
                410,
                json!({"code": 410, "reason": "Expired", "status": "Failure"}),
            );
        }
        let rest: Vec<_> = self.revisions.range(token.to_owned()..).collect();
        let page: Vec<_> = rest
            .iter()
            .take(200)
            .map(|(_, revision)| revision)
            .collect();
        let next = rest.get(200).map(|(name, _)| *name);
        let remaining = rest.len() - page.len();
        (
            200,
            json!({"metadata": {"continue": next, "remainingItemCount": remaining}, "items": page}),
        )
    }

    fn put(&mut self, body: &[u8]) -> Option<(u16, Value)> {
        self.puts += 1;
        if self.silent_from.is_some_and(|from| self.puts > from) {
            return None;
        }
        let put: Value = serde_json::from_slice(body).expect("JSON");
        let name = put["metadata"]["name"].as_str().expect("a name");
        self.revisions.insert(name.to_owned(), put.clone());
        Some((200, put))
    }

    fn answer(&mut self, parts: &http::request::Parts, body: &[u8]) -> Option<(u16, Value)> {
        let path = parts.uri.path();
        if parts.method == Method::PUT {
            return self.put(body);
        }
        if path.ends_with("/revisions") {
            return Some(self.list(parts.uri.query().unwrap_or_default()));
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        let found = self.revisions.get(name).cloned();
        Some(found.map_or_else(
            || (404, json!({"code": 404, "reason": "NotFound"})),
            |found| (200, found),
        ))
    }
}

fn reindex_of(store: &Arc<Mutex<Store>>) -> Arc<Reindex> {
    let store = store.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let store = store.clone();
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await?.to_bytes();
            let answer = store.lock().answer(&parts, &bytes);
            let Some((code, answer)) = answer else {
                return std::future::pending().await;
            };
            let body = Body::from(answer.to_string().into_bytes());
            Ok::<_, tower::BoxError>(Response::builder().status(code).body(body)?)
        }
    });
    let names = Names::default();
    Arc::new(Reindex {
        client: Client::new(service, "default"),
        catalogue: Catalogue::built_in(),
        extractor: Extractor::new(names.clone(), &Metrics::new()),
        names,
        dry_run: false,
    })
}

#[tokio::test]
async fn a_run_that_was_killed_goes_on_where_it_was() {
    let store = Store::full();
    store.lock().silent_from = Some(120);
    let killed = tokio::time::timeout(Duration::from_secs(3), reindex_of(&store).run(None)).await;
    assert!(killed.is_err(), "it waits for the API server");
    {
        let mut store = store.lock();
        store.silent_from = None;
        store.puts = 0;
    }
    let rest = usize::try_from(MANY).expect("a number") - 120;
    let said = reindex_of(&store).run(None).await.expect("a result");
    assert_eq!(
        said,
        format!(
            "{MANY} Revisions: {rest} rewritten, 120 up to date, 0 without a kind file or content\n"
        )
    );
    assert_eq!(store.lock().puts, rest);
    let said = reindex_of(&store).run(None).await.expect("a result");
    assert!(
        said.starts_with(&format!("{MANY} Revisions: 0 rewritten")),
        "{said}"
    );
}

#[tokio::test]
async fn a_list_whose_token_is_too_old_goes_on_behind_what_was_read() {
    let store = Store::full();
    store.lock().is_expired = true;
    let said = reindex_of(&store).run(None).await.expect("a result");
    assert!(
        said.starts_with(&format!("{MANY} Revisions: {MANY} rewritten")),
        "{said}"
    );
    assert_eq!(store.lock().puts, usize::try_from(MANY).expect("a number"));
}

#[tokio::test]
async fn a_revision_without_content_is_judged_again_at_least() {
    let store = Store::full();
    for revision in store.lock().revisions.values_mut() {
        revision["spec"]["snapshot"] = Value::Null;
        revision["spec"]["view"]["env"] = json!("HF_TOKEN=hunter2x");
    }
    let said = reindex_of(&store).run(None).await.expect("a result");
    assert!(
        said.starts_with(&format!("{MANY} Revisions: {MANY} rewritten")),
        "{said}"
    );
    let all = serde_json::to_string(&store.lock().revisions).expect("JSON");
    assert!(!all.contains("hunter2x"));
    let said = reindex_of(&store).run(None).await.expect("a result");
    assert!(said.contains("0 rewritten, 0 up to date"), "{said}");
}

#[test]
fn progress_tells_how_much_is_done_of_how_much() {
    let progress = Progress::new();
    let count = Count {
        rewritten: 3,
        unchanged: 4,
        ..Count::default()
    };
    let line = progress.line(&count, Some(20));
    assert!(
        line.starts_with("7 of 20 Revisions, ") && line.ends_with("/s: 3 rewritten"),
        "{line}"
    );
    assert!(progress.line(&count, None).starts_with("7 Revisions, "));
}
