//! Every route before a cache and an API server that do as they are told.

mod lists;
mod moves;
mod snapshots;

use super::*;
use crate::cache::{HistoryItem, Of, ServedList, ServedRevision, Summary};
use crate::revision::identity;
use crate::serve::auth::Reviews;
use http_body_util::{BodyExt, Full};
use kube::client::Body as Sent;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::watch;
use tower::service_fn;
use uuid::Uuid;

const WORKLOAD: Uuid = Uuid::from_u128(7);

/// Some workloads; what a list asks fails as badly as can be.
#[derive(Default)]
struct Fixed {
    generations: BTreeMap<Uuid, i64>,
    workloads: Vec<Arc<WorkloadRef>>,
}

fn workload(namespace: &str, kind: &str, uid: Uuid) -> Arc<WorkloadRef> {
    Arc::new(WorkloadRef {
        namespace: namespace.into(),
        name: "w".to_owned(),
        uid,
        api_version: "apps/v1".to_owned(),
        kind: kind.to_owned(),
    })
}

impl RevisionLister for Fixed {
    fn workload(&self, of: Of) -> Option<Arc<WorkloadRef>> {
        match of {
            Of::Workload(_) => None,
            Of::Revision(id) => self.get(&Scope::All, id).map(|found| found.workload),
        }
    }
    fn namespace(&self, of: Of) -> Option<Arc<str>> {
        self.workload(of).map(|found| found.namespace.clone())
    }
    fn list(&self, _: &Scope, _: Uuid, _: bool) -> Option<ServedList> {
        panic!("broken on purpose")
    }
    fn count(&self, _: &Scope, _: Uuid, _: bool) -> Option<usize> {
        None
    }
    fn get(&self, _: &Scope, id: Uuid) -> Option<ServedRevision> {
        let generation = *self.generations.get(&id)?;
        Some(ServedRevision {
            workload: workload("team-a", "Deployment", WORKLOAD),
            generation,
            before: Some(identity::id(WORKLOAD, generation - 1)),
            json: Bytes::new(),
            etag: [0; 16],
            has_long_name: false,
        })
    }
    fn workloads(&self, wanted: &dyn Fn(&WorkloadRef) -> bool) -> Vec<Arc<WorkloadRef>> {
        self.workloads
            .iter()
            .filter(|workload| wanted(workload))
            .cloned()
            .collect()
    }
    fn summary(&self, _: &Scope, _: Uuid) -> Option<Summary> {
        Some(Summary {
            deleted_at: None,
            revisions: 1,
            phase: None,
            changed: None,
        })
    }
    fn history(&self, _: &Scope, _: Uuid, _: Option<(i64, Uuid)>) -> Option<Vec<HistoryItem>> {
        None
    }
}

/// What the API server answers to a path and a body.
type Server = dyn Fn(&str, &Value) -> Option<Value> + Send + Sync;

/// Everybody is `ann`; `rights` says what she may in a namespace.
fn lets_in(rights: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Arc<Server> {
    Arc::new(move |path, body| match path.rsplit('/').next() {
        Some("tokenreviews") => Some(
            json!({"spec": {}, "status": {"authenticated": true, "user": {"username": "ann"}}}),
        ),
        Some("subjectaccessreviews") => Some(
            json!({"spec": {}, "status": {"allowed": rights(&body["spec"]["resourceAttributes"])}}),
        ),
        _ => None,
    })
}

fn client(server: Arc<Server>) -> Client {
    let service = service_fn(move |request: Request<Sent>| {
        let server = server.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let answer =
                server(parts.uri.path(), &body).ok_or_else(|| std::io::Error::other("down"))?;
            Ok::<_, std::io::Error>(Response::new(Sent::from(answer.to_string().into_bytes())))
        }
    });
    Client::new(service, "default")
}

/// An API and what opens it.
fn api(cache: Fixed, server: Option<Arc<Server>>, gated: bool) -> (Api, watch::Sender<bool>) {
    let client = client(server.unwrap_or_else(|| Arc::new(|_, _| None)));
    let metrics = Metrics::new();
    let ready = Readiness::default();
    let opened = ready.gate("cache");
    opened.send_replace(true);
    let authenticator =
        Authenticator::new(Reviews::new(client.clone(), Vec::new()), None, &metrics)
            .expect("randomness");
    let api = Api {
        cache: Arc::new(cache),
        ready,
        authenticator: gated.then_some(authenticator),
        client,
        catalogue: Arc::new(
            crate::config::Config::load(None)
                .expect("defaults")
                .catalogue,
        ),
        names: Arc::default(),
        options: Options {
            sdk_token: true,
            origins: vec![HeaderValue::from_static("https://ui.example")],
            ..Options::default()
        },
        metrics,
        fetches: Api::fetches(),
    };
    (api, opened)
}

fn paths() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    let id = Uuid::nil().to_string();
    Route::ALL.iter().map(move |(name, path)| {
        let method = if *name == "token" { "POST" } else { "GET" };
        (
            *name,
            method,
            path.replace("{workloadId}", &id)
                .replace("{revisionId}", &id),
        )
    })
}

async fn respond(
    api: &Api,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Response<Payload> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = api
        .respond(request.body(Full::<Bytes>::default()).expect("a request"))
        .await;
    assert!(
        response.headers().contains_key(answer::REQUEST_ID),
        "no request id"
    );
    response
}

async fn text(response: Response<Payload>) -> String {
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

const TOKEN: (&str, &str) = ("authorization", "Bearer x");

async fn ask(api: &Api, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let response = respond(api, method, path, headers).await;
    (
        response.status().as_u16(),
        serde_json::from_str(&text(response).await).expect("JSON"),
    )
}

#[tokio::test]
async fn every_route_wants_a_token_and_nobody_is_let_in_unasked() {
    let (api, _open) = api(Fixed::default(), None, true);
    for (name, method, path) in paths() {
        let (status, body) = ask(&api, method, &path, &[]).await;
        let expected = if name == "token" { 400 } else { 401 };
        assert_eq!(
            (status, &body["code"]),
            (expected, &json!(expected)),
            "{path}: only the token's is open"
        );
        if name != "token" {
            let (status, body) = ask(&api, method, &path, &[TOKEN]).await;
            assert_eq!((status, &body["code"]), (503, &json!(503)), "{path}");
        }
        for header in ["Impersonate-User", "X-Remote-User"] {
            let (status, body) = ask(&api, method, &path, &[TOKEN, (header, "admin")]).await;
            assert_eq!(status, 403, "{path} {header}: {body}");
        }
    }
}

#[tokio::test]
async fn a_panic_is_an_error_of_one_request() {
    let (api, _open) = api(Fixed::default(), None, false);
    let path = format!("/api/v1/workloads/inferences/{}/revisions", Uuid::nil());
    let (status, body) = ask(&api, "GET", &path, &[]).await;
    assert_eq!((status, &body["code"]), (500, &json!(500)), "{body}");
    assert_eq!(ask(&api, "GET", "/openapi.json", &[]).await.0, 200);
}

#[tokio::test]
async fn options_is_for_browsers_of_known_origins() {
    let (api, _open) = api(Fixed::default(), Some(lets_in(|_| true)), true);
    let wants = ("access-control-request-method", "GET");
    for (name, _, path) in paths() {
        let allowed = if name == "token" { "POST" } else { "GET, HEAD" };
        for more in [
            vec![],
            vec![("origin", "https://ui.example")],
            vec![("origin", "https://evil"), wants],
        ] {
            let headers = [vec![TOKEN], more].concat();
            let response = respond(&api, "OPTIONS", &path, &headers).await;
            assert_eq!(
                (response.status().as_u16(), &response.headers()["allow"]),
                (405, &HeaderValue::from_static(allowed)),
                "{path} {headers:?}"
            );
        }
        // Browsers send no token with it.
        let preflight = respond(
            &api,
            "OPTIONS",
            &path,
            &[("origin", "https://ui.example"), wants],
        )
        .await;
        let methods = preflight.headers()["access-control-allow-methods"]
            .to_str()
            .expect("text");
        assert_eq!((preflight.status().as_u16(), methods), (204, allowed));
    }
}

#[tokio::test]
async fn nothing_is_said_before_the_first_list_or_while_it_comes_in_again() {
    let began_anew = Arc::new(Mutex::new(None::<Readiness>));
    let begins = began_anew.clone();
    let server = lets_in(move |_| {
        // As when etcd is found restored while this caller's right is reviewed.
        begins.lock().iter().for_each(Readiness::reset);
        true
    });
    let (api, open) = api(Fixed::default(), Some(server), true);
    let count = format!("/api/v1/workloads/inferences/{WORKLOAD}/revisions/count");
    open.send_replace(false);
    for (name, method, path) in paths() {
        if !["token", "openapi"].contains(&name) {
            let response = respond(&api, method, &path, &[TOKEN]).await;
            assert_eq!(response.status().as_u16(), 503, "{path}");
            assert!(response.headers().contains_key("retry-after"));
            assert!(text(response).await.contains("first list"));
        }
    }
    open.send_replace(true);
    *began_anew.lock() = Some(api.ready.clone());
    assert_eq!(
        ask(&api, "GET", &count, &[TOKEN]).await.0,
        503,
        "a count of what is not there yet"
    );
}
