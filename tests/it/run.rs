//! A replica as a value: run on a scripted API server, stopped, and killed.

use crate::script::{Answer, Log, client};
use clap::Parser;
use kube::Client;
use revisor::client::Clients;
use revisor::config::Config;
use revisor::kinds::Catalogue;
use revisor::run::{self, RunArgs};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    run: RunArgs,
}

/// The flags of a replica that stands for election and observes.
fn args(more: &[&str]) -> RunArgs {
    let flags = ["run", "--namespace", "revisor", "--identity", "a"];
    Flags::parse_from(flags.iter().chain(more)).run
}

/// One kind, without a program that needs a thread of its own.
fn config() -> Config {
    let disabled: Vec<_> = Catalogue::built_in()
        .kinds()
        .iter()
        .map(|kind| kind.group_kind().to_string())
        .collect();
    let kind = "{kind: Thing, group: a.b, versions: [v1], plural: things, select: always}";
    Config::parse(&format!("kinds: [{kind}]\ndisabledKinds: {disabled:?}\n")).expect("valid")
}

fn list(items: &[Value]) -> Answer {
    let list = json!({"metadata": {"resourceVersion": "7"}, "items": items});
    Answer::Body(200, list.to_string())
}

/// What is created or replaced, as the API server sends it back.
fn stored(code: u16, body: &str) -> Answer {
    let mut object: Value = serde_json::from_str(body).expect("JSON");
    object["metadata"]["resourceVersion"] = "8".into();
    Answer::Body(code, object.to_string())
}

/// A cluster that holds one Thing and changes no more.
fn answer(line: &str, body: &str) -> Answer {
    let (method, uri) = line.split_once(' ').expect("a method");
    let path = uri.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET", _) if uri.contains("watch=true") => Answer::Stalls(String::new()),
        ("GET", "/apis/a.b/v1") => {
            let things = json!({"name": "things", "kind": "Thing", "namespaced": true, "verbs": ["list", "watch"]});
            Answer::Body(200, json!({"resources": [things]}).to_string())
        }
        ("GET", "/apis/a.b/v1/things") => list(&[json!({
            "apiVersion": "a.b/v1", "kind": "Thing",
            "metadata": {"name": "w", "namespace": "n", "uid": Uuid::from_u128(1), "generation": 1, "resourceVersion": "5"},
        })]),
        (
            "GET",
            "/api/v1/namespaces"
            | "/apis/revisor.dev/v1alpha1/revisions"
            | "/apis/a.b/v1/namespaces/default/things",
        ) => list(&[]),
        ("POST", _) => stored(201, body),
        ("PUT" | "PATCH", _) => stored(200, body),
        _ => Answer::status(404, "NotFound", "it is not there"),
    }
}

fn clients() -> (Clients, Log) {
    let (client, log): (Client, Log) = client(|line, body, _| answer(line, body));
    let clients = Clients::new(client.clone(), client, "default".to_owned());
    (clients, log)
}

fn asked(log: &Log) -> Vec<String> {
    let log = log.lock().expect("no panic");
    log.iter().map(|(line, _)| line.clone()).collect()
}

/// Waits until the requests so far are `enough`.
async fn until(log: &Log, enough: impl Fn(&[String]) -> bool) {
    let asking = async {
        while !enough(&asked(log)) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let in_time = timeout(Duration::from_secs(600), asking).await;
    assert!(in_time.is_ok(), "{:#?}", asked(log));
}

fn is_recorded(asked: &[String]) -> bool {
    asked
        .iter()
        .any(|line| line.starts_with("POST") && line.contains("/namespaces/n/revisions"))
}

#[tokio::test(start_paused = true)]
async fn a_replica_without_ports_records_and_stops_and_takes_no_socket() {
    // A replica that wanted these could not have them.
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let [rest, admin] = taken
        .each_ref()
        .map(|port| port.local_addr().expect("an address").to_string());
    let args = args(&["--listen", &rest, "--admin-listen", &admin]);
    let (clients, log) = clients();
    let stop = CancellationToken::new();
    let replica = tokio::spawn(run::with(args, config(), clients, stop.clone(), None));
    until(&log, is_recorded).await;
    stop.cancel();
    let ended = timeout(Duration::from_secs(60), replica).await;
    ended
        .expect("in time")
        .expect("no panic")
        .expect("everything is written");
    let asked = asked(&log);
    let lease = "/apis/coordination.k8s.io/v1/namespaces/revisor/leases";
    assert!(
        asked
            .iter()
            .any(|line| line.starts_with(&format!("POST {lease}"))),
        "it stood for election: {asked:#?}"
    );
    assert!(
        asked
            .iter()
            .any(|line| line.contains("/namespaces/revisor/configmaps/")),
        "the checkpoint is where the flag says: {asked:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn recording_does_not_wait_for_the_labels_of_namespaces() {
    let (client, log) = client(|line, body, _| {
        if line.starts_with("GET /api/v1/namespaces?") {
            Answer::Stalls(String::new())
        } else {
            answer(line, body)
        }
    });
    let clients = Clients::new(client.clone(), client, "default".to_owned());
    let stop = CancellationToken::new();
    let replica = tokio::spawn(run::with(args(&[]), config(), clients, stop, None));
    let recorded = timeout(Duration::from_secs(20), until(&log, is_recorded)).await;
    assert!(recorded.is_ok(), "{:#?}", asked(&log));
    // The request that hangs is given up, and made again.
    let is_again = |asked: &[String]| {
        let again = |line: &&String| line.starts_with("GET /api/v1/namespaces?");
        asked.iter().filter(again).count() > 1
    };
    until(&log, is_again).await;
    replica.abort();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_under_an_older_definition_of_revisions() {
    const OLDER: &str = "Revision in version \"v1alpha1\" cannot be handled as a Revision: strict decoding error: unknown field \"spec.previous\"";
    let probes = AtomicUsize::new(0);
    let (client, log) = client(move |line, body, _| {
        let is_older = line.contains("dryRun=All") && probes.fetch_add(1, Ordering::Relaxed) < 5;
        if is_older {
            Answer::status(400, "BadRequest", OLDER)
        } else {
            answer(line, body)
        }
    });
    let clients = Clients::new(client.clone(), client, "default".to_owned());
    let stop = CancellationToken::new();
    let replica = tokio::spawn(run::with(args(&[]), config(), clients, stop, None));
    until(&log, is_recorded).await;
    replica.abort();
    let asked = asked(&log);
    let writes = asked.iter().filter(|line| !line.starts_with("GET"));
    let begins: Vec<_> = writes.map(|line| line.contains("dryRun=All")).collect();
    assert_eq!(begins[..7], [true, true, true, true, true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_waits_for_the_definition_of_revisions_can_be_stopped() {
    let (client, _) = client(|line, body, _| {
        if line.contains("dryRun=All") {
            Answer::status(404, "NotFound", "it is not there")
        } else {
            answer(line, body)
        }
    });
    let clients = Clients::new(client.clone(), client, "default".to_owned());
    let stop = CancellationToken::new();
    let replica = tokio::spawn(run::with(args(&[]), config(), clients, stop.clone(), None));
    sleep(Duration::from_secs(60)).await;
    stop.cancel();
    let ended = timeout(Duration::from_secs(60), replica).await;
    ended
        .expect("in time")
        .expect("no panic")
        .expect("nothing waits to be written");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_dropped_asks_nothing_any_more() {
    for requests in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89] {
        let (clients, log) = clients();
        let stop = CancellationToken::new();
        let mut replica = Box::pin(run::with(args(&[]), config(), clients, stop, None));
        tokio::select! {
            ended = &mut replica => panic!("it ended: {ended:?}"),
            () = until(&log, |asked| asked.len() >= requests) => {}
        }
        drop(replica);
        let before = asked(&log);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(asked(&log), before, "dropped after {requests} requests");
    }
}
