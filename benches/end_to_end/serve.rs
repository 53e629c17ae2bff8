//! How fast answers are, against a bare handler and against the API server; what a cached Revision takes; how long the
//! start takes with many of them.

use crate::drain::{edit, path, workload};
use crate::load::{self, Request};
use crate::people::{account, grant, read_revisions, token};
use crate::support::{INFERENCE_SERVICE, Revisor, World, eventually, free_port, patch, post, revisions};
use crate::{floor, median};
use axum::Router;
use axum::routing::get;
use devcluster::Options;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Revisions of one workload, and so in one answer.
const EACH: usize = 10;
const BARE: f64 = 0.7;
const TIMES_API_SERVER: f64 = 50.0;
const START: f64 = 1.3;
/// Memory of a Revision may be so many times its JSON, and so many bytes.
const MEMORY: (f64, f64) = (1.5, 256.0);
/// Makes this program a bare server: `port:size`.
pub(crate) const STATIC: &str = "REVISOR_BENCH_STATIC";

/// A bare axum handler with a body of `size` bytes, until it is killed.
pub(crate) async fn serve_static(setting: &str) {
    let (port, size) = setting.split_once(':').expect("port:size");
    let body = bytes::Bytes::from(vec![b'x'; size.parse().expect("a size")]);
    let handler = get(move || {
        let body = body.clone();
        async move { ([("content-type", "application/json")], body) }
    });
    let address = format!("127.0.0.1:{port}");
    let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
    axum::serve(listener, Router::new().route("/", handler)).await.expect("served");
}

/// The bare server as a process of its own, as Revisor is one.
struct Bare {
    child: Child,
    port: u16,
}

impl Bare {
    fn start(size: usize) -> Self {
        let port = free_port();
        let program = std::env::current_exe().expect("this program");
        let child = Command::new(program).env(STATIC, format!("{port}:{size}")).stdin(Stdio::null()).spawn();
        let bare = Self { child: child.expect("started"), port };
        let up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(eventually(Duration::from_secs(10), up), "the bare server does not answer");
        bare
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures and prints.
pub(crate) async fn run(sizes: &[usize], rounds: usize, met: &mut bool) {
    let stage = Stage::new().await;
    let mut made = 0;
    let mut rows = Vec::new();
    for size in sizes {
        stage.fill(made, *size).await;
        made = *size;
        rows.push(stage.measure(*size, rounds).await);
        eprintln!("serve: {size} Revisions measured");
    }
    print(&rows, met);
}

struct Stage {
    world: World,
    namespace: String,
    template: Value,
    token: String,
    idle: f64,
}

/// What was measured with so many Revisions. Rates are answers a second.
struct Row {
    size: usize,
    list: Sides,
    get: Sides,
    api_server: f64,
    ready: f64,
    bare_list: f64,
    memory: f64,
    json: f64,
}

/// The product and the bare handler, and the ratio of each round.
struct Sides {
    ours: f64,
    bare: f64,
    ratio: f64,
    p99: Duration,
}

impl Stage {
    async fn new() -> Self {
        let world =
            tokio::task::spawn_blocking(|| World::start(&Options::minimal())).await.expect("a cluster");
        let client = world.client().await;
        let namespace = world.namespace("serve").await;
        let revisor = Revisor::start(world.cluster.kubeconfig(), &[]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let idle = resident(revisor.pid);
        post(&client, &INFERENCE_SERVICE.path(&namespace), &workload("w")).await;
        let last = patch(&client, &path(&namespace, "w"), &edit(1)).await;
        revisor.wait_recorded(INFERENCE_SERVICE, last.version());
        let template = revisions(&client, &namespace).await.remove(1);
        account(&client, &namespace, "reader").await;
        grant(&client, (&namespace, "reader"), None, &read_revisions()).await;
        let token = token(&client, &namespace, "reader", &[]).await;
        Self { world, namespace, template, token, idle }
    }

    /// Makes Revisions of workloads of a kind that nobody watches, so that they stay as they are.
    async fn fill(&self, from: usize, to: usize) {
        let client = self.world.client().await;
        for start in (from..to).step_by(5_000) {
            let bodies = (start..to.min(start + 5_000)).map(|i| self.revision(i).to_string()).collect();
            floor::creates(&client, &self.namespace, bodies).await;
        }
    }

    fn revision(&self, i: usize) -> Value {
        let (uid, generation) = (uid(i / EACH), i % EACH + 1);
        let mut labels = self.template["metadata"]["labels"].clone();
        labels["revisor.dev/workload-uid"] = json!(uid);
        labels["revisor.dev/workload-kind"] = json!("Thing");
        let mut spec = self.template["spec"].clone();
        spec["id"] = json!(Uuid::from_u128(u128::from(u32::MAX) + i as u128 + 1));
        spec["generation"] = json!(generation);
        spec["workload"] = json!({"apiVersion": "example.com/v1", "kind": "Thing", "name": format!("thing-{}", i / EACH), "uid": uid});
        json!({
            "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
            "metadata": {"name": format!("thing-{i:06}"), "labels": labels}, "spec": spec,
        })
    }

    async fn measure(&self, size: usize, rounds: usize) -> Row {
        let client = self.world.client().await;
        let collection = format!("/apis/revisor.dev/v1alpha1/namespaces/{}/revisions", self.namespace);
        // Half of the floor before and half after, as the server's memory of what was listed grows.
        let before = seconds(floor::list(&client, &collection)).await;
        let started = Instant::now();
        let revisor = Revisor::launch_secure(self.world.cluster.kubeconfig(), &["--plain-http"]);
        revisor.wait_ready_within(Duration::from_secs(600));
        let ready = started.elapsed().as_secs_f64();
        let bare_list = f64::midpoint(before, seconds(floor::list(&client, &collection)).await);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let heads = count(size / EACH);
        let snapshot = self.template["spec"]["snapshot"]["data"].as_str().map_or(0, str::len);
        // Kept as bytes, and only of the newest of each workload.
        let snapshots = heads * count(snapshot) * 0.75;
        let memory = ((resident(revisor.pid) - self.idle) * 1024.0 - snapshots) / count(size);
        let lists: Vec<_> = (0..size / EACH).map(|i| list_of(&uid(i))).collect();
        let body = load::once(revisor.rest, &Request::new(&lists[0], &self.token)).await;
        let all: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(all["revisions"].as_array().map(Vec::len), Some(EACH), "{all}");
        let ids: Vec<_> =
            (0..size).step_by(7).map(|i| Uuid::from_u128(u128::from(u32::MAX) + i as u128 + 1)).collect();
        let gets: Vec<_> =
            ids.iter().map(|id| format!("/api/v1/workloads/inferences/revisions/{id}")).collect();
        let one = load::once(revisor.rest, &Request::new(&gets[0], &self.token)).await;
        let list = self.sides(&revisor, &lists, body.len(), rounds).await;
        let get = self.sides(&revisor, &gets, one.len(), rounds).await;
        let api_server = self.api_server(size).await;
        let json = count(body.len()) / count(EACH);
        Row { size, list, get, api_server, ready, bare_list, memory, json }
    }

    async fn sides(&self, revisor: &Revisor, paths: &[String], size: usize, rounds: usize) -> Sides {
        let bare = Bare::start(size);
        let ours: Vec<_> = paths.iter().map(|path| Request::new(path, &self.token)).collect();
        // The same request line and headers, so that reading them costs the same.
        let theirs = [Request::new("/", &self.token)];
        let (mut a, mut b, mut ratios, mut slowest) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (rate, times) = load::run(revisor.rest, &ours).await;
            let (floor, _) = load::run(bare.port, &theirs).await;
            a.push(rate);
            b.push(floor);
            ratios.push(rate / floor);
            slowest.push(crate::percentile(&times, 0.99));
        }
        Sides {
            ours: median(&a),
            bare: median(&b),
            ratio: median(&ratios),
            p99: Duration::from_secs_f64(median(&slowest)),
        }
    }

    /// The API server's own list of the same Revisions, by label.
    async fn api_server(&self, size: usize) -> f64 {
        let collection = format!("/apis/revisor.dev/v1alpha1/namespaces/{}/revisions", self.namespace);
        let paths = (0..size / EACH)
            .map(|i| format!("{collection}?labelSelector=revisor.dev/workload-uid={}", uid(i)));
        let paths: std::sync::Arc<Vec<_>> = std::sync::Arc::new(paths.collect());
        let (until, mut tasks) = (Instant::now() + Duration::from_secs(5), tokio::task::JoinSet::new());
        for task in 0..crate::CONNECTIONS {
            let (client, paths) = (self.world.client().await, paths.clone());
            tasks.spawn(async move {
                let mut done = 0;
                while Instant::now() < until {
                    let path = &paths[(task * 101 + done) % paths.len()];
                    let request = http::Request::get(path).body(Vec::new()).expect("a request");
                    let text = client.request_text(request).await.expect("an answer");
                    assert!(done > 0 || text.matches("\"kind\":\"Revision\"").count() == EACH, "{text}");
                    done += 1;
                }
                done
            });
        }
        count(tasks.join_all().await.into_iter().sum()) / 5.0
    }
}

fn print(rows: &[Row], met: &mut bool) {
    println!(
        "\n| answers a second, {EACH} revisions in a list | Revisor | bare handler, same size | ratio (target ≥ {BARE}) | p99 | API server, by label | times that (target ≥ {TIMES_API_SERVER}) |\n|---|---|---|---|---|---|---|"
    );
    for row in rows {
        for (name, side) in [("list", &row.list), ("get", &row.get)] {
            *met &= side.ratio >= BARE;
            let p99 = side.p99.as_secs_f64() * 1e3;
            print!(
                "| {name}, {} cached | {:.0} | {:.0} | **{:.2}** | {p99:.1} ms |",
                row.size, side.ours, side.bare, side.ratio
            );
            if name == "list" {
                let times = side.ours / row.api_server;
                *met &= row.size > 10_000 || times >= TIMES_API_SERVER;
                println!(" {:.0} | **{times:.0}** |", row.api_server);
            } else {
                println!(" | |");
            }
        }
    }
    println!(
        "\n| Revisions | start to ready | bare paged LIST | ratio (target ≤ {START}) | bytes each | its JSON | at most {} × JSON + {} |\n|---|---|---|---|---|---|---|",
        MEMORY.0, MEMORY.1
    );
    for row in rows {
        let (ratio, most) = (row.ready / row.bare_list, MEMORY.0 * row.json + MEMORY.1);
        // At few the start itself is most of it.
        *met &= row.size < 100_000 || (ratio <= START && row.memory <= most);
        println!(
            "| {} | {:.1} s | {:.1} s | **{ratio:.2}** | **{:.0}** | {:.0} | {most:.0} |",
            row.size, row.ready, row.bare_list, row.memory, row.json
        );
    }
}

async fn seconds(work: impl Future<Output = ()>) -> f64 {
    let started = Instant::now();
    work.await;
    started.elapsed().as_secs_f64()
}

fn uid(workload: usize) -> String {
    Uuid::from_u128(workload as u128 + 1).to_string()
}

fn list_of(uid: &str) -> String {
    format!("/api/v1/workloads/inferences/{uid}/revisions")
}

/// KiB.
fn resident(pid: u32) -> f64 {
    let out = Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().expect("ps");
    String::from_utf8_lossy(&out.stdout).trim().parse().expect("a number")
}

#[allow(clippy::cast_precision_loss)]
fn count(n: usize) -> f64 {
    n as f64
}
