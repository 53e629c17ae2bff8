//! Conversations with the simulated API server and with a real one: where the answers differ, the simulated one is
//! wrong.
//!
//! A seed makes a sequence of [`Step`](step::Step)s in a namespace of its own. Each side is told the same, with the
//! resourceVersions that it gave itself, and [`Look`](look::Look) is everything of an answer that has to be equal:
//! codes, reasons, generations, and whether a resourceVersion moved. Afterwards the events of the watches are compared.

mod look;
mod step;

use crate::call::Call;
use crate::etcd::{Entry, Op};
use crate::kinds::{CONFIG_MAP, DEPLOYMENT, INFERENCE_SERVICE, REVISION};
use crate::server::{Answer, Servers};
use anyhow::Context;
use futures::StreamExt;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::api::WatchEvent;
use kube::client::Body;
use kube::config::KubeConfigOptions;
use look::Look;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use step::{Memory, Step};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The kinds that are talked about.
const KINDS: [&crate::etcd::Kind; 4] = [&DEPLOYMENT, &INFERENCE_SERVICE, &CONFIG_MAP, &REVISION];
/// Steps of a sequence.
const STEPS: usize = 14;
/// The last events of the real watches have arrived so long after the last step.
const EVENTS: Duration = Duration::from_secs(3);

/// The events of a namespace, by plural: type, name and generation of each.
type Told = BTreeMap<(String, &'static str), Vec<String>>;

/// Compares `sequences` conversations. Returns the differences, each as text.
///
/// # Errors
/// When the real API server cannot be reached.
pub async fn compare(kubeconfig: &Path, seed: u64, sequences: u64) -> anyhow::Result<Vec<String>> {
    let config = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let mut config =
        kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    // Every answer counts, a 504 too.
    config.default_retry = false;
    let client = Client::try_from(config)?;
    let told: Arc<Mutex<Told>> = Arc::default();
    let mut watches = JoinSet::new();
    for kind in KINDS {
        watches.spawn(listen(client.clone(), kind, told.clone()));
    }
    let mut servers = Servers::new(seed, &[]);
    sleep(EVENTS).await;
    let mut differences = Vec::new();
    for number in seed..seed + sequences {
        let found = converse(&client, &mut servers, number).await?;
        differences.extend(
            found
                .into_iter()
                .map(|text| format!("sequence {number}: {text}")),
        );
    }
    sleep(EVENTS).await;
    watches.shutdown().await;
    let simulated = simulated_events(&servers);
    let real = std::mem::take(&mut *told.lock());
    for (key, events) in &simulated {
        let really = real.get(key).cloned().unwrap_or_default();
        if really != *events {
            differences.push(format!(
                "events of {key:?}: {really:?} really, {events:?} simulated"
            ));
        }
    }
    Ok(differences)
}

/// One sequence. Returns the first difference.
async fn converse(
    client: &Client,
    servers: &mut Servers,
    number: u64,
) -> anyhow::Result<Option<String>> {
    let mut rng = fastrand::Rng::with_seed(number);
    let namespace = format!("talk-{number}");
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    let create = || Request::post("/api/v1/namespaces").body(body.to_string().into_bytes());
    really(client, create()?).await?;
    simulate(servers, create()?);
    let mut real = Memory::new(&namespace);
    let mut simulated = Memory::new(&namespace);
    for i in 0..STEPS {
        let step = Step::draw(&mut rng, &KINDS, real.places());
        let request = step.request(&real)?;
        let shown = format!("{} {}", request.method(), request.uri());
        let answer = really(client, request).await?;
        let look = Look::at(&answer, &real);
        let simulated_answer = simulate(servers, step.request(&simulated)?);
        let simulated_look = Look::at(&simulated_answer, &simulated);
        if look != simulated_look {
            return Ok(Some(format!(
                "step {i}: {step:?}, {shown}\n  really    {look:?}\n  simulated {simulated_look:?}\n  {}",
                answer.1
            )));
        }
        real.remember(&step, &answer.1);
        simulated.remember(&step, &simulated_answer.1);
    }
    Ok(None)
}

/// The answer of the real API server.
async fn really(client: &Client, request: Request<Vec<u8>>) -> anyhow::Result<(StatusCode, Value)> {
    let answer = client.send(request.map(Body::from)).await?;
    let code = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    let value = serde_json::from_slice(&body).context("an answer that is not JSON")?;
    Ok((code, value))
}

/// The answer of the simulated API server.
fn simulate(servers: &mut Servers, request: Request<Vec<u8>>) -> (StatusCode, Value) {
    let (parts, body) = request.into_parts();
    match servers.answer(0, &Call::read(&parts, body)) {
        Answer::Whole { code, body, .. } => (code, serde_json::from_str(&body).unwrap_or_default()),
        Answer::Watch(_) => (StatusCode::OK, Value::Null),
    }
}

/// Takes down the events of a kind in the real API server, until it is dropped.
async fn listen(client: Client, kind: &'static crate::etcd::Kind, told: Arc<Mutex<Told>>) {
    let root = if kind.group.is_empty() {
        "/api"
    } else {
        "/apis"
    };
    let uri = format!("{root}/{}/{}", kind.api_version(), kind.plural);
    // A kind that was defined just now is not served at once.
    let list = loop {
        let Ok(request) = Request::get(&uri).body(Vec::new()) else {
            return;
        };
        match client.request::<Value>(request).await {
            Ok(list) => break list,
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    };
    let at = list["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default();
    let uri = format!("{uri}?watch=true&timeoutSeconds=3000&resourceVersion={at}");
    let Ok(request) = Request::get(uri).body(Vec::new()) else {
        return;
    };
    let Ok(events) = client.request_events::<Value>(request).await else {
        return;
    };
    let mut events = std::pin::pin!(events);
    while let Some(Ok(event)) = events.next().await {
        let (name, object) = match event {
            WatchEvent::Added(object) => ("ADDED", object),
            WatchEvent::Modified(object) => ("MODIFIED", object),
            WatchEvent::Deleted(object) => ("DELETED", object),
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => continue,
        };
        note(&mut told.lock(), kind.plural, name, &object);
    }
}

fn simulated_events(servers: &Servers) -> Told {
    let mut told = Told::new();
    for Entry {
        key, op, object, ..
    } in servers.etcd.since(0)
    {
        let name = match op {
            Op::Created => "ADDED",
            Op::Updated => "MODIFIED",
            Op::Deleted => "DELETED",
        };
        if key.kind.namespaced {
            note(&mut told, key.kind.plural, name, &object.value);
        }
    }
    told
}

fn note(told: &mut Told, plural: &'static str, event: &str, object: &Value) {
    let metadata = &object["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    let text = format!("{event} {} {}", metadata["name"], metadata["generation"]);
    told.entry((namespace.to_owned(), plural))
        .or_default()
        .push(text);
}
