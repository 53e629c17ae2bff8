//! Definitions that change, autoscalers that never rest, an etcd that is full, and more than memory holds.

use crate::oracle::Oracle;
use crate::support::{
    DEPLOYMENT, INFERENCE_SERVICE, Kind, Meta, Revisor, World, edit, eventually, patch, post, read,
    recorded, revisions, send,
};
use crate::traffic::{create, path, uri};
use devcluster::{Component, Options};
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const LATE: Kind = Kind {
    kind: "Late",
    api: "apis/e2e.example.com/v1",
    plural: "lates",
    registry: "e2e.example.com/lates",
};
const LATE_FILE: &str = "kinds:\n- {kind: Late, group: e2e.example.com, versions: [v1, v2], plural: lates, select: always}\n";

/// Its definition: which versions are served, which is stored, a column, a default.
fn late(served: [bool; 2], stored: usize, column: bool, default: bool) -> String {
    let mut spec = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    if default {
        spec["properties"] = json!({"mode": {"type": "string", "default": "fast"}});
    }
    let columns = if column {
        json!([{"name": "N", "type": "integer", "jsonPath": ".spec.n"}])
    } else {
        json!([])
    };
    let version = |i: usize| {
        json!({
            "name": format!("v{}", i + 1), "served": served[i], "storage": stored == i, "subresources": {"status": {}},
            "additionalPrinterColumns": columns,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "lates.e2e.example.com"},
        "spec": {"group": "e2e.example.com", "scope": "Namespaced", "names": {"kind": "Late", "plural": "lates", "singular": "late"},
            "versions": [version(0), version(1)]},
    })
    .to_string()
}

/// What is stored of an object, without what the definition fills in when it is read.
fn without_default(spec: &crate::oracle::Spec) -> Value {
    let mut value = spec.value();
    value.as_object_mut().map(|fields| fields.remove("mode"));
    value
}

async fn assert_late_complete(
    world: &World,
    oracle: &Oracle,
    revisor: &Revisor,
    namespace: &str,
    last: &Meta,
) -> usize {
    oracle.wait_for(LATE.registry, &last.uid, last.generation);
    revisor.wait_recorded(LATE, last.version());
    let expected = oracle.expected(LATE.registry, namespace);
    let recorded = recorded(&world.client().await, namespace).await;
    let keys = |set: &crate::oracle::Expected| set.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&expected), keys(&recorded));
    for (key, spec) in &expected {
        assert_eq!(
            without_default(spec),
            without_default(&recorded[key]),
            "{key:?}"
        );
    }
    assert!(
        revisor.metric("revisor_generations_lost_total", "").abs() < 0.5,
        "{}",
        revisor.log()
    );
    expected.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_changes_under_load_and_its_version_goes() {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let mut config = tempfile::NamedTempFile::new().expect("a file");
    config.write_all(LATE_FILE.as_bytes()).expect("written");
    own.cluster
        .apply(&late([true, false], 0, false, false))
        .expect("a definition");
    own.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/lates.e2e.example.com",
        "--timeout=20s",
    ]);
    let oracle = Oracle::start(&own.cluster.etcd_endpoint(), &[LATE.registry]);
    let namespace = own.namespace("definition").await;
    let file = config.path().display().to_string();
    let revisor = Revisor::start(own.cluster.kubeconfig(), &["--config", &file]);
    let object = json!({"apiVersion": "e2e.example.com/v1", "kind": "Late", "metadata": {"name": "w"}, "spec": {"n": 0}});
    post(&client, &LATE.path(&namespace), &object).await;
    let in_v1 = format!("{}/w", LATE.path(&namespace));
    let in_v2 = in_v1.replace("/v1/", "/v2/");
    let number = |i: usize| json!({"spec": {"n": i, "mode": null}});
    let mut n = 1;
    let changes = [
        late([true, false], 0, true, false),
        late([true, false], 0, true, true),
        late([true, true], 0, true, true),
        late([true, true], 1, true, true),
        late([false, true], 1, true, true),
    ];
    for (i, change) in changes.iter().enumerate() {
        let edits = async {
            for _ in 0..100 {
                n += 1;
                let uri = format!("{}?fieldManager=e2e", if i < 4 { &in_v1 } else { &in_v2 });
                // While the definition changes some are refused.
                let _ = send(
                    &client,
                    Method::PATCH,
                    &uri,
                    "application/merge-patch+json",
                    &number(n).to_string(),
                )
                .await;
                sleep(Duration::from_millis(20)).await;
            }
        };
        let apply = async {
            sleep(Duration::from_millis(600)).await;
            own.cluster.apply(change).expect("a definition");
        };
        tokio::join!(edits, apply);
    }
    let last = patch(&client, &in_v2, &number(10_000)).await;
    let before = assert_late_complete(&own, &oracle, &revisor, &namespace, &last).await;
    assert!(before > 300, "{before}");
    let all = revisions(&client, &namespace).await;
    let newest = all
        .iter()
        .find(|r| r["spec"]["generation"] == last.generation)
        .expect("recorded");
    assert_eq!(
        newest["spec"]["workload"]["apiVersion"],
        "e2e.example.com/v2"
    );
    assert_eq!(
        newest["spec"]["view"]["changes"].as_array().map(Vec::len),
        Some(1),
        "compared in one version: {newest}"
    );
    install_again(&own, &client, &namespace).await;
    let last = edit(&client, &in_v2, 10, |i| number(i + 1)).await;
    assert_eq!(
        assert_late_complete(&own, &oracle, &revisor, &namespace, &last).await,
        before + 11
    );
}

/// Deleted and installed again: other workloads of the same name.
async fn install_again(world: &World, client: &kube::Client, namespace: &str) {
    world.kubectl(&["delete", "crd", "lates.e2e.example.com"]);
    world
        .cluster
        .apply(&late([false, true], 1, false, false))
        .expect("a definition");
    world.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/lates.e2e.example.com",
        "--timeout=20s",
    ]);
    let object = json!({"apiVersion": "e2e.example.com/v2", "kind": "Late", "metadata": {"name": "w"}, "spec": {"n": 0}});
    post(
        client,
        &LATE.path(namespace).replace("/v1/", "/v2/"),
        &object,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_writes_of_an_autoscaler_and_a_restart_are_no_gap() {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("scale").await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let deployment = format!("{}/llama-8b", DEPLOYMENT.path(&namespace));
    post(&client, &DEPLOYMENT.path(&namespace), &DEPLOYMENT.example()).await;
    let scale = format!("{deployment}/scale?fieldManager=kube-controller-manager");
    let scaled = |i: usize| json!({"spec": {"replicas": 2 + i % 50}}).to_string();
    for i in 0..1000 {
        let (code, body) = send(
            &client,
            Method::PATCH,
            &scale,
            "application/merge-patch+json",
            &scaled(i),
        )
        .await;
        assert_eq!(code, 200, "{body}");
    }
    let present: Meta =
        serde_json::from_value(read(&client, &deployment).await["metadata"].clone())
            .expect("metadata");
    assert!(present.generation > 900, "{}", present.generation);
    revisor.wait_recorded(DEPLOYMENT, present.version());
    let all = revisions(&client, &namespace).await;
    assert_eq!(all.len(), 1);
    assert_eq!(
        all[0]["status"]["observedThrough"]["generation"],
        present.generation
    );
    drop(revisor);
    own.cluster
        .restart(Component::ApiServer(0))
        .expect("an API server");
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let image = json!({"spec": {"template": {"metadata": {"annotations": {"touched": "yes"}}}}});
    let last = patch(&client, &deployment, &image).await;
    own.oracle
        .wait_for(DEPLOYMENT.registry, &last.uid, last.generation);
    revisor.wait_recorded(DEPLOYMENT, last.version());
    let all = revisions(&client, &namespace).await;
    assert_eq!(all.len(), 2, "{all:?}");
    let changes = all[1]["spec"]["view"]["changes"]
        .as_array()
        .expect("changes");
    assert_eq!(
        changes.len(),
        1,
        "the autoscaler's work is none of it: {changes:?}"
    );
    own.assert_recorded(&namespace, &[DEPLOYMENT]).await;
    for metric in [
        "revisor_generations_lost_total",
        "revisor_gap_generations_total",
        "revisor_generation_holes_total",
    ] {
        assert!(revisor.metric(metric, "").abs() < 0.5, "{metric}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_a_workload_was_not_selected_is_named_and_not_lost() {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("selected").await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let deployment = format!("{}/llama-8b", DEPLOYMENT.path(&namespace));
    post(&client, &DEPLOYMENT.path(&namespace), &DEPLOYMENT.example()).await;
    let label = |value: &str| json!({"metadata": {"labels": {"revisor.dev/record": value}}});
    let touch = |i: usize| json!({"spec": {"template": {"metadata": {"annotations": {"touched": i.to_string()}}}}});
    edit(&client, &deployment, 2, touch).await;
    patch(&client, &deployment, &label("false")).await;
    edit(&client, &deployment, 3, |i| touch(10 + i)).await;
    patch(&client, &deployment, &label("true")).await;
    let last = edit(&client, &deployment, 2, |i| touch(20 + i)).await;
    revisor.wait_recorded(DEPLOYMENT, last.version());
    let all = revisions(&client, &namespace).await;
    let gaps: Vec<_> = all.iter().filter(|r| r["spec"]["type"] == "Gap").collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    // Selected again in generation 6, which is recorded as it was then.
    assert_eq!(
        gaps[0]["spec"]["gap"],
        json!({"from": 4, "to": 5, "reason": "NotSelected"})
    );
    let generations: Vec<_> = all
        .iter()
        .filter_map(|r| r["spec"]["generation"].as_i64())
        .collect();
    assert_eq!(generations.len(), 7, "{generations:?}");
    assert!(revisor.metric("revisor_generations_lost_total", "").abs() < 0.5);
    assert!((revisor.metric("revisor_gap_generations_total", "NotSelected") - 2.0).abs() < 0.5);
}

/// POST to etcd's HTTP gateway.
fn etcd(world: &World, path: &str, body: &Value) -> String {
    let address = world
        .cluster
        .etcd_endpoint()
        .trim_start_matches("http://")
        .to_owned();
    let mut stream = TcpStream::connect(address).expect("etcd");
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains(" 200 "), "{path}: {answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_etcd_holds_recording_and_loses_nothing() {
    let own = World::start(&Options {
        quota_backend_bytes: Some(24 << 20),
        ..Options::minimal()
    });
    let client = own.client().await;
    let namespace = own.namespace("full").await;
    create(&client, &namespace, 2).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let last = edit(&client, &path(&namespace, "w0"), 5, uri).await;
    revisor.wait_recorded(INFERENCE_SERVICE, last.version());
    revisor.signal("STOP");
    let last = edit(&client, &path(&namespace, "w0"), 40, |i| uri(100 + i)).await;
    let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
    let mut full = false;
    for i in 0..40 {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("filler-{i}")}, "data": {"x": "x".repeat(1_000_000)}});
        let (code, body) = send(
            &client,
            Method::POST,
            &maps,
            "application/json",
            &map.to_string(),
        )
        .await;
        full = code == 500 && body.contains("database space exceeded");
        if full {
            break;
        }
    }
    assert!(full, "etcd did not fill up");
    revisor.signal("CONT");
    let held = || revisor.metric("revisor_write_held", "EtcdFull") > 0.5;
    assert!(
        eventually(Duration::from_secs(20), held),
        "{}",
        revisor.log()
    );
    assert!(
        revisor.metric("revisor_checkpoint_resource_version", "InferenceService")
            < revisor.metric("revisor_watch_resource_version", "InferenceService")
    );
    let (code, _) = send(&client, Method::DELETE, &maps, "application/json", "").await;
    assert_eq!(code, 200);
    let header = etcd(&own, "/v3/kv/range", &json!({"key": "YQ=="}));
    let revision: String = header
        .split("\"revision\":\"")
        .nth(1)
        .and_then(|t| t.split('"').next())
        .expect("a revision")
        .to_owned();
    etcd(
        &own,
        "/v3/kv/compaction",
        &json!({"revision": revision, "physical": true}),
    );
    etcd(&own, "/v3/maintenance/defragment", &json!({}));
    let alarms = etcd(&own, "/v3/maintenance/alarm", &json!({"action": "GET"}));
    let member = alarms
        .split("\"memberID\":\"")
        .nth(1)
        .and_then(|t| t.split('"').next())
        .expect("an alarm")
        .to_owned();
    let disarm = json!({"action": "DEACTIVATE", "memberID": member, "alarm": "NOSPACE"});
    etcd(&own, "/v3/maintenance/alarm", &disarm);
    own.oracle
        .wait_for(INFERENCE_SERVICE.registry, &last.uid, last.generation);
    revisor.wait_recorded(INFERENCE_SERVICE, last.version());
    assert_eq!(
        own.assert_recorded(&namespace, &[INFERENCE_SERVICE]).await,
        2 + 45
    );
    assert!(!held() && revisor.metric("revisor_generations_lost_total", "").abs() < 0.5);
}

/// Text that does not compress well.
fn noise(seed: usize, length: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut letter = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Printable ASCII without what is written in several characters.
        let symbols: &[u8] =
            b" !#$%'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~";
        char::from(symbols[usize::try_from((state >> 33) % symbols.len() as u64).expect("small")])
    };
    (0..length).map(|_| letter()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_too_large_to_be_stored_twice_among_a_thousand_edits() {
    let own = World::start(&Options::minimal());
    let client = own.client().await;
    let namespace = own.namespace("large").await;
    create(&client, &namespace, 10).await;
    let revisor = Revisor::start(own.cluster.kubeconfig(), &[]);
    let mut large = None;
    let mut last = None;
    for i in 0..1000 {
        if i == 500 {
            let blob = json!({"spec": {"blob": noise(1, 1_520_000)}});
            large = Some(patch(&client, &path(&namespace, "w3"), &blob).await);
        }
        // The large one gets no other edit: each would be as large.
        let name = format!("w{}", if i % 10 == 3 { 4 } else { i % 10 });
        last = Some(patch(&client, &path(&namespace, &name), &uri(i)).await);
    }
    let large = large.expect("an edit");
    let last = last.expect("an edit");
    own.oracle
        .wait_for(INFERENCE_SERVICE.registry, &last.uid, last.generation);
    revisor.wait_recorded(INFERENCE_SERVICE, last.version());
    let all = revisions(&client, &namespace).await;
    assert_eq!(all.len(), 10 + 1001);
    let without: Vec<_> = all
        .iter()
        .filter(|r| r["spec"]["snapshot"]["oversize"] == true)
        .collect();
    assert_eq!(without.len(), 1);
    assert_eq!(
        (
            without[0]["spec"]["generation"].as_i64(),
            without[0]["spec"]["workload"]["name"].as_str()
        ),
        (Some(large.generation), Some("w3"))
    );
    // The contents of all others are what etcd stored; of the large one that is known by its digest.
    let key = (large.uid, large.generation);
    assert_eq!(
        own.assert_recorded_but(&namespace, &[INFERENCE_SERVICE], &key)
            .await,
        10 + 1000
    );
    let stored = own.oracle.expected(INFERENCE_SERVICE.registry, &namespace)[&key].value();
    let digest = Sha256::digest(format!("v1\n{stored}"));
    let hex = digest
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    assert_eq!(without[0]["spec"]["contentDigest"], format!("sha256:{hex}"));
}

/// Resident memory in bytes.
fn resident(revisor: &Revisor) -> u64 {
    let out = Command::new("ps")
        .args(["-o", "rss=", "-p", &revisor.pid.to_string()])
        .output()
        .expect("ps");
    String::from_utf8_lossy(&out.stdout)
        .trim()
        .parse::<u64>()
        .expect("a number")
        * 1024
}

fn blob(i: usize) -> Value {
    json!({"spec": {"blob": noise(i, 50_000)}})
}

/// As many edits of 50 KB as four connections can make in a minute: the last, their number, and the most memory.
async fn edit_for_a_minute(
    world: &World,
    namespace: &str,
    revisor: &Revisor,
) -> (Meta, usize, u64) {
    let started = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4_usize {
        let client = world.client().await;
        let namespace = namespace.to_owned();
        writers.spawn(async move {
            let mut last = None;
            let mut i = writer;
            while started.elapsed() < Duration::from_secs(60) {
                last = Some(
                    patch(
                        &client,
                        &path(&namespace, &format!("w{}", i % 20)),
                        &blob(i + 100),
                    )
                    .await,
                );
                i += 4;
                sleep(Duration::from_millis(5)).await;
            }
            (last, i / 4)
        });
    }
    let mut newest = None;
    let mut edits = 0;
    let mut most = 0;
    while !writers.is_empty() {
        while let Some(done) = writers.try_join_next() {
            let (last, made) = done.expect("no panic");
            edits += made;
            newest = newest.into_iter().chain(last).max_by_key(Meta::version);
        }
        most = most.max(resident(revisor));
        sleep(Duration::from_millis(200)).await;
    }
    (newest.expect("edits"), edits, most)
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_bounded_while_nothing_can_be_written() {
    const QUEUE: u64 = 8 << 20;
    // What a cached Revision may take: 1.5 times its JSON, and 256 bytes.
    const CACHED: u64 = 3 << 10;
    // 100 a second: two slow processors make that; 200 are asked for.
    const EDITS: usize = 6000;
    let own = World::start(&Options {
        go_max_procs: None,
        ..Options::minimal()
    });
    let client = own.client().await;
    let namespace = own.namespace("memory").await;
    let kubeconfig = crate::faults::service_account(&own);
    create(&client, &namespace, 20).await;
    let revisor = Revisor::start(&kubeconfig, &["--queue-bytes=8MiB"]);
    let mut last = None;
    for i in 0..60 {
        last = Some(
            patch(
                &client,
                &path(&namespace, &format!("w{}", i % 20)),
                &blob(i),
            )
            .await,
        );
    }
    revisor.wait_recorded(INFERENCE_SERVICE, last.expect("edits").version());
    let before = resident(&revisor);
    own.cluster
        .apply(&crate::faults::role(false))
        .expect("a role");
    let (newest, edits, most) = edit_for_a_minute(&own, &namespace, &revisor).await;
    let assert_bounded = |when: &str, most: u64, bound: u64| {
        let [before, most, bound] = [before, most, bound].map(|bytes| bytes >> 20);
        eprintln!(
            "{edits} edits: {before} MiB before, {most} MiB at most {when}, {bound} MiB allowed"
        );
        assert!(most <= bound, "{most} MiB {when}");
    };
    assert_bounded("while nothing is written", most, (before + QUEUE) * 5 / 4);
    assert!(edits >= EDITS, "{edits} edits");
    assert!(
        revisor.metric("revisor_write_held", "Forbidden") > 0.5,
        "{}",
        revisor.log()
    );
    own.cluster
        .apply(&crate::faults::role(true))
        .expect("a role");
    let last = newest;
    own.oracle
        .wait_for(INFERENCE_SERVICE.registry, &last.uid, last.generation);
    let most = std::cell::Cell::new(0);
    let done = || {
        most.set(most.get().max(resident(&revisor)));
        revisor.metric("revisor_recorded_resource_version", "InferenceService")
            >= f64::from(u32::try_from(last.version()).expect("small"))
    };
    assert!(
        eventually(Duration::from_secs(300), done),
        "{}",
        revisor.log()
    );
    // What is recorded is served, so there is more to keep in the end, for each Revision what one may take.
    let recorded = own.assert_recorded(&namespace, &[INFERENCE_SERVICE]).await;
    let after = resident(&revisor);
    assert_bounded(
        "when it has caught up",
        after,
        before + u64::try_from(recorded).expect("few") * CACHED,
    );
    assert_bounded("while it catches up", most.get(), after + QUEUE * 5 / 4);
}
