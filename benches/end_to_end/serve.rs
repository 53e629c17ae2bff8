//! How fast answers are, against a bare handler and against the API server; what a cached Revision takes; how long the
//! start takes with many of them.

mod tables;

use crate::drain::{edit, path, workload};
use crate::load::{self, Rate, Requests};
use crate::people::{account, grant, read_revisions, token};
use crate::support::{
    INFERENCE_SERVICE, Revisor, World, eventually, free_port, patch, post, revisions,
};
use crate::{floor, median};
use axum::Router;
use axum::routing::get;
use devcluster::Options;
use revisor::revision::identity;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Revisions of one workload, and so in one answer.
const EACH: usize = 10;
/// With many Revisions a start takes a while, so there are fewer of them.
const STARTS: usize = 3;
/// How often Revisor and the bare handler take turns in a round.
const TURNS: usize = 4;
/// Short, so that what else the machine does meets both sides.
const TURN: Duration = Duration::from_secs(1);
/// The API server takes seconds for an answer when there are many Revisions.
const LONG_TURN: Duration = Duration::from_secs(10);
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
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .expect("a port");
    axum::serve(listener, Router::new().route("/", handler))
        .await
        .expect("served");
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
        let child = Command::new(program)
            .env(STATIC, format!("{port}:{size}"))
            .stdin(Stdio::null())
            .spawn();
        let bare = Self {
            child: child.expect("started"),
            port,
        };
        let up = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(
            eventually(Duration::from_secs(10), up),
            "the bare server does not answer"
        );
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
    tables::print(&rows, met);
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
    /// Revisor's list and the API server's, both over TLS and with a token.
    tls: (f64, f64),
    starts: Vec<Start>,
    json: f64,
}

/// One start, with everything in memory in the end.
#[derive(Clone, Copy)]
struct Start {
    ready: f64,
    bare_list: f64,
    /// Bytes for each Revision.
    memory: f64,
    /// MiB at most, and in the end.
    peak: f64,
    resident: f64,
}

impl Row {
    fn median(&self, of: impl Fn(&Start) -> f64) -> f64 {
        median(&self.starts.iter().map(of).collect::<Vec<_>>())
    }

    /// Of each start; the median counts.
    fn start_ratio(&self) -> f64 {
        self.median(|start| start.ready / start.bare_list)
    }
}

/// The product and the bare handler, and the ratio of each turn: of all of them the median.
struct Sides {
    ours: f64,
    bare: f64,
    ratio: f64,
    p99: Duration,
}

impl Stage {
    async fn new() -> Self {
        let world = crate::world(Options::minimal()).await;
        let client = world.client().await;
        let namespace = world.namespace("serve").await;
        let revisor = Revisor::start(world.cluster.kubeconfig(), &[]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let idle = kib(revisor.resident());
        post(&client, &INFERENCE_SERVICE.path(&namespace), &workload("w")).await;
        let last = patch(&client, &path(&namespace, "w"), &edit(1)).await;
        revisor.wait_recorded(INFERENCE_SERVICE, last.version());
        let template = revisions(&client, &namespace).await.remove(1);
        account(&client, &namespace, "reader").await;
        grant(&client, (&namespace, "reader"), None, &read_revisions()).await;
        let token = token(&client, &namespace, "reader", &[]).await;
        Self {
            world,
            namespace,
            template,
            token,
            idle,
        }
    }

    /// Makes Revisions of workloads of a kind that nobody watches, so that they stay as they are.
    async fn fill(&self, from: usize, to: usize) {
        let client = self.world.client().await;
        for start in (from..to).step_by(5_000) {
            let bodies = (start..to.min(start + 5_000))
                .map(|i| self.revision(i).to_string())
                .collect();
            floor::creates(&client, &self.namespace, bodies).await;
        }
    }

    fn revision(&self, i: usize) -> Value {
        let workload = uuid(i / EACH);
        let generation = generation(i);
        let name = format!("thing-{}", i / EACH);
        let uid = workload.to_string();
        let mut labels = self.template["metadata"]["labels"].clone();
        labels["revisor.dev/workload-uid"] = json!(uid);
        labels["revisor.dev/workload-kind"] = json!("Thing");
        let mut spec = self.template["spec"].clone();
        spec["id"] = json!(id(i));
        spec["generation"] = json!(generation);
        spec["workload"] =
            json!({"apiVersion": "example.com/v1", "kind": "Thing", "name": name, "uid": uid});
        json!({
            "apiVersion": "revisor.dev/v1alpha1", "kind": "Revision",
            "metadata": {"name": identity::name(&name, workload, generation), "labels": labels}, "spec": spec,
        })
    }

    async fn measure(&self, size: usize, rounds: usize) -> Row {
        let mut starts = Vec::new();
        for _ in 1..if size > 10_000 {
            rounds.min(STARTS)
        } else {
            rounds
        } {
            starts.push(self.start(size, &[]).await.1);
        }
        let (revisor, start) = self.start(size, &["--plain-http"]).await;
        starts.push(start);
        let origin = format!("http://127.0.0.1:{}", revisor.rest);
        let lists: Vec<_> = (0..size / EACH).map(|i| list_of(&uid(i))).collect();
        let body = self.once(revisor.rest, &lists[0]);
        let all: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            all["revisions"].as_array().map(Vec::len),
            Some(EACH),
            "{all}"
        );
        let gets: Vec<_> = (0..size).step_by(7).map(id).collect();
        let gets: Vec<_> = gets
            .iter()
            .map(|id| format!("/api/v1/workloads/inferences/revisions/{id}"))
            .collect();
        let one = self.once(revisor.rest, &gets[0]);
        let list = self.sides(&origin, &lists, body.len(), rounds);
        let get = self.sides(&origin, &gets, one.len(), rounds);
        drop(revisor);
        let tls = self.against_api_server(size, &lists, rounds).await;
        let json = count(body.len()) / count(EACH);
        Row {
            size,
            list,
            get,
            tls,
            starts,
            json,
        }
    }

    /// Starts Revisor; the bare list is half of it before and half after, as the server's memory of what was listed grows.
    async fn start(&self, size: usize, flags: &[&str]) -> (Revisor, Start) {
        let client = self.world.client().await;
        let collection = format!(
            "/apis/revisor.dev/v1alpha1/namespaces/{}/revisions",
            self.namespace
        );
        let before = seconds(floor::list(&client, &collection)).await;
        let started = Instant::now();
        let revisor = Revisor::launch_secure(self.world.cluster.kubeconfig(), flags);
        revisor.wait_ready_within(Duration::from_secs(600));
        let ready = started.elapsed().as_secs_f64();
        let bare_list = f64::midpoint(before, seconds(floor::list(&client, &collection)).await);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let heads = count(size / EACH);
        let snapshot = self.template["spec"]["snapshot"]["data"]
            .as_str()
            .map_or(0, str::len);
        // Kept as bytes, and only of the newest of each workload.
        let snapshots = heads * count(snapshot) * 0.75;
        let resident = kib(revisor.resident());
        let peak = kib(revisor.most_resident());
        let memory = ((resident - self.idle) * 1024.0 - snapshots) / count(size);
        let resident = resident / 1024.0;
        let peak = peak / 1024.0;
        (
            revisor,
            Start {
                ready,
                bare_list,
                memory,
                peak,
                resident,
            },
        )
    }

    /// The body of one answer.
    fn once(&self, port: u16, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let token = &self.token;
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n");
        write!(stream, "{head}Connection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text.split_once("\r\n\r\n").expect("a head").1.to_owned()
    }

    fn sides(&self, origin: &str, paths: &[String], size: usize, rounds: usize) -> Sides {
        let bare = Bare::start(size);
        let floor = format!("http://127.0.0.1:{}", bare.port);
        let ours = Requests::new(&self.token, paths);
        // As many, each as long, so that sending and reading them costs the same; the path is in the query, because
        // the floor is to pay for no routing.
        let theirs = Requests::new(
            &self.token,
            paths.iter().map(|path| format!("/?{}", &path[1..])),
        );
        let turns = (0..rounds * TURNS).map(|_| {
            (
                load::run(origin, &ours, TURN),
                load::run(&floor, &theirs, TURN),
            )
        });
        let turns: Vec<_> = turns.collect();
        let median =
            |of: &dyn Fn(&(Rate, Rate)) -> f64| median(&turns.iter().map(of).collect::<Vec<_>>());
        Sides {
            ours: median(&|(ours, _)| ours.per_second),
            bare: median(&|(_, bare)| bare.per_second),
            ratio: median(&|(ours, bare)| ours.per_second / bare.per_second),
            p99: Duration::from_secs_f64(median(&|(ours, _)| ours.p99.as_secs_f64())),
        }
    }

    /// Revisor's list and the API server's own of the same Revisions, by label: the same client, as many connections,
    /// TLS, and the same caller's token.
    async fn against_api_server(&self, size: usize, lists: &[String], rounds: usize) -> (f64, f64) {
        let revisor = Revisor::start_secure(self.world.cluster.kubeconfig(), &[]);
        let ours = format!("https://127.0.0.1:{}", revisor.rest);
        let theirs = self.world.cluster.api_server_url(0);
        let collection = format!(
            "/apis/revisor.dev/v1alpha1/namespaces/{}/revisions",
            self.namespace
        );
        let labelled = (0..size / EACH).map(|i| {
            format!(
                "{collection}?labelSelector=revisor.dev/workload-uid={}",
                uid(i)
            )
        });
        let labelled: Vec<_> = labelled.collect();
        let request = http::Request::get(&labelled[0])
            .body(Vec::new())
            .expect("a request");
        let text = self
            .world
            .client()
            .await
            .request_text(request)
            .await
            .expect("a list");
        assert_eq!(text.matches("\"kind\":\"Revision\"").count(), EACH);
        let lists = Requests::new(&self.token, lists);
        let labelled = Requests::new(&self.token, &labelled);
        let mut a = Vec::new();
        let mut b = Vec::new();
        for _ in 0..rounds {
            a.push(load::run(&ours, &lists, TURN).per_second);
            b.push(load::run(&theirs, &labelled, LONG_TURN).per_second);
        }
        (median(&a), median(&b))
    }
}

async fn seconds(work: impl Future<Output = ()>) -> f64 {
    let started = Instant::now();
    work.await;
    started.elapsed().as_secs_f64()
}

fn uuid(workload: usize) -> Uuid {
    Uuid::from_u128(workload as u128 + 1)
}

fn uid(workload: usize) -> String {
    uuid(workload).to_string()
}

fn generation(i: usize) -> i64 {
    i64::try_from(i % EACH).expect("few") + 1
}

/// As Revisor makes them; others are not served.
fn id(i: usize) -> Uuid {
    identity::id(uuid(i / EACH), generation(i))
}

fn list_of(uid: &str) -> String {
    format!("/api/v1/workloads/inferences/{uid}/revisions")
}

/// Bytes in KiB.
fn kib(bytes: usize) -> f64 {
    count(bytes) / 1024.0
}

#[allow(clippy::cast_precision_loss)]
fn count(n: usize) -> f64 {
    n as f64
}
