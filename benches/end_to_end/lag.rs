//! How long after the writer's 200 a Revision can be read, against a bare watch-and-create loop.

use crate::drain::{applied, edit, path};
use crate::support::{
    Binary, INFERENCE_SERVICE, Revisor, World, client, patch, post, read, revisions,
};
use crate::{floor, median, percentile};
use devcluster::Options;
use futures::StreamExt;
use http::Request;
use kube::Client;
use kube::api::WatchEvent;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

const WORKLOADS: usize = 20;
/// How long each round lasts at least, and how many edits it has at least: p99 of a few is just the slowest.
const SECONDS: f64 = 6.0;
const EDITS: f64 = 150.0;
/// How much the size of what the bare loop posts may differ from what Revisor posts.
const SIZES: f64 = 0.15;
/// Parts of the capacity.
pub(crate) const LOADS: [f64; 3] = [0.1, 0.3, 0.6];
const TARGET: f64 = 2.0;

/// When each (workload, generation) was acknowledged and when its Revision was seen.
#[derive(Default)]
struct Times {
    acknowledged: HashMap<(String, i64), Instant>,
    readable: HashMap<(String, i64), Instant>,
}

type Shared = Arc<Mutex<Times>>;

/// Percentiles in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Lag {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    edits: usize,
    /// Bytes of a Revision, on average.
    size: f64,
}

/// Measures and prints; `capacity` is how many edits a second can be made and recorded at the same time.
pub(crate) async fn run(rounds: usize, capacity: f64, met: &mut bool) {
    println!("\nCapacity, edits made and recorded at the same time: {capacity:.0}/s\n");
    println!(
        "| load | Revisor p50 / p99 | bare loop p50 / p99 | ratio of p99 (target ≤ {TARGET}) |\n|---|---|---|---|"
    );
    let view: Arc<str> = view().await.into();
    for load in LOADS {
        let rate = capacity * load;
        let mut ours = Vec::new();
        let mut bare = Vec::new();
        for number in 0..rounds {
            for ours_now in [number % 2 == 0, number % 2 != 0] {
                let lag = measure(rate, (!ours_now).then(|| view.clone())).await;
                let who = if ours_now { "Revisor" } else { "bare loop" };
                eprintln!(
                    "lag at {rate:.0}/s, {who}: p50 {:.1} ms, p99 {:.1} ms of {} edits of {:.0} bytes",
                    lag.p50, lag.p99, lag.edits, lag.size
                );
                if ours_now {
                    ours.push(lag);
                } else {
                    bare.push(lag);
                }
            }
        }
        let of = |lags: &[Lag], pick: fn(&Lag) -> f64| {
            median(&lags.iter().map(pick).collect::<Vec<_>>())
        };
        let p50 = of(&ours, |l| l.p50);
        let p99 = of(&ours, |l| l.p99);
        let floor50 = of(&bare, |l| l.p50);
        let floor99 = of(&bare, |l| l.p99);
        let size = of(&ours, |l| l.size);
        let bare_size = of(&bare, |l| l.size);
        assert!(
            (bare_size / size - 1.0).abs() <= SIZES,
            "{bare_size:.0} bytes are no floor for {size:.0}"
        );
        let ratio = median(
            &ours
                .iter()
                .zip(&bare)
                .map(|(a, b)| a.p99 / b.p99)
                .collect::<Vec<_>>(),
        );
        *met &= ratio <= TARGET;
        let percent = load * 100.0;
        println!(
            "| {percent:.0} % ({rate:.0}/s) | {p50:.1} / {p99:.1} ms | {floor50:.1} / {floor99:.1} ms | {ratio:.2} |"
        );
    }
}

/// The view of an edit, as Revisor makes it.
async fn view() -> String {
    let world = crate::world(Options::minimal()).await;
    let api = world.client().await;
    let namespace = world.namespace("view").await;
    let revisor = Revisor::start(world.cluster.kubeconfig(), &[]);
    post(&api, &INFERENCE_SERVICE.path(&namespace), &applied("w0")).await;
    let edited = patch(&api, &path(&namespace, "w0"), &edit(1)).await;
    revisor.wait_recorded(INFERENCE_SERVICE, edited.version());
    let all = revisions(&api, &namespace).await;
    let newest = all
        .iter()
        .find(|r| r["spec"]["generation"] == edited.generation)
        .expect("recorded");
    newest["spec"]["view"].to_string()
}

/// One round on a cluster of its own; with a view, of the bare loop that posts that.
async fn measure(rate: f64, view: Option<Arc<str>>) -> Lag {
    let world = crate::world(Options::minimal()).await;
    let Some(view) = view else {
        let mut lags = of_program(&world, &Binary::present(), &[rate]).await;
        return lags.remove(0);
    };
    let namespace = make(&world).await;
    let api = world.client().await;
    let version = current(&api, &INFERENCE_SERVICE.path(&namespace)).await;
    tokio::spawn(floor::watch_and_post(
        client(world.cluster.kubeconfig()).await,
        namespace.clone(),
        version,
        view,
    ));
    at(&world, &namespace, rate).await
}

/// How late one process is at each of `rates`, one after the other, each with workloads in a namespace of their own.
pub(crate) async fn of_program(world: &World, binary: &Binary, rates: &[f64]) -> Vec<Lag> {
    let home = world.namespace("home").await;
    let revisor = binary.start(world.cluster.kubeconfig(), &["--namespace", &home]);
    let mut lags = Vec::new();
    for rate in rates {
        lags.push(apart(world, *rate).await);
    }
    drop(revisor);
    lags
}

/// How late a running process is at `rate`, with workloads in a namespace of their own.
pub(crate) async fn apart(world: &World, rate: f64) -> Lag {
    let namespace = make(world).await;
    at(world, &namespace, rate).await
}

/// The workloads, in a namespace of their own.
async fn make(world: &World) -> String {
    let api = world.client().await;
    let namespace = world.namespace("lag").await;
    for i in 0..WORKLOADS {
        let object = applied(&format!("w{i}"));
        post(&api, &INFERENCE_SERVICE.path(&namespace), &object).await;
    }
    namespace
}

/// Edits the workloads at `rate` while something records them.
async fn at(world: &World, namespace: &str, rate: f64) -> Lag {
    let api = world.client().await;
    let times = Shared::default();
    let seen = current(&api, &revisions_path(namespace)).await;
    let watcher = tokio::spawn(watch(
        client(world.cluster.kubeconfig()).await,
        namespace.to_owned(),
        seen,
        times.clone(),
    ));
    edit_at(world, namespace, rate, &times).await;
    let lags = collect(&times).await;
    watcher.abort();
    Lag {
        p50: percentile(&lags, 0.5),
        p90: percentile(&lags, 0.9),
        p99: percentile(&lags, 0.99),
        edits: lags.len(),
        size: floor::mean_size(&revisions(&api, namespace).await),
    }
}

fn revisions_path(namespace: &str) -> String {
    format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions")
}

async fn current(client: &Client, collection: &str) -> String {
    let list = read(client, &format!("{collection}?limit=1")).await;
    list["metadata"]["resourceVersion"]
        .as_str()
        .expect("a version")
        .to_owned()
}

#[derive(Deserialize, Clone, Debug)]
struct Revision {
    spec: Spec,
}

#[derive(Deserialize, Clone, Debug)]
struct Spec {
    generation: i64,
    workload: Workload,
}

#[derive(Deserialize, Clone, Debug)]
struct Workload {
    name: String,
}

/// Notes when each Revision appears.
async fn watch(client: Client, namespace: String, version: String, times: Shared) {
    let path = revisions_path(&namespace);
    let request =
        Request::get(format!("{path}?watch=true&resourceVersion={version}")).body(Vec::new());
    let events = client
        .request_events::<Revision>(request.expect("a request"))
        .await
        .expect("a watch");
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let now = Instant::now();
        if let Ok(WatchEvent::Added(Revision { spec })) = event {
            times
                .lock()
                .expect("no panic")
                .readable
                .insert((spec.workload.name, spec.generation), now);
        }
    }
}

/// Each workload is edited at its share of `rate`, never twice at the same time: without that bound merge patches
/// pile up in the API server and only its own collapse is measured.
async fn edit_at(world: &World, namespace: &str, rate: f64, times: &Shared) {
    let mut tasks = JoinSet::new();
    #[allow(clippy::cast_precision_loss)]
    let workloads = WORKLOADS as f64;
    let every = Duration::from_secs_f64(workloads / rate);
    // The first edit of each waits for its turn, so that up to one round of them is missing at the end.
    let end = Instant::now() + Duration::from_secs_f64(SECONDS.max((EDITS + workloads) / rate));
    for number in 0..WORKLOADS {
        let client = client(world.cluster.kubeconfig()).await;
        let times = times.clone();
        let name = format!("w{number}");
        let path = path(namespace, &format!("w{number}"));
        tasks.spawn(async move {
            let offset = every.mul_f64(f64::from(u32::try_from(number).expect("small")) / 20.0);
            tokio::time::sleep(offset).await;
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for i in 0.. {
                ticks.tick().await;
                if Instant::now() > end {
                    return;
                }
                let edited = patch(&client, &path, &edit(i)).await;
                let now = Instant::now();
                times
                    .lock()
                    .expect("no panic")
                    .acknowledged
                    .insert((name.clone(), edited.generation), now);
            }
        });
    }
    tasks.join_all().await;
}

/// Waits for the last Revision; every edit must have one. The lags in milliseconds.
async fn collect(times: &Shared) -> Vec<f64> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let lags = {
            let times = times.lock().expect("no panic");
            let lag = |(key, at): (&(String, i64), &Instant)| {
                Some(times.readable.get(key)?.saturating_duration_since(*at))
            };
            times
                .acknowledged
                .iter()
                .map(lag)
                .collect::<Option<Vec<_>>>()
        };
        if let Some(lags) = lags {
            return lags
                .into_iter()
                .map(|lag| lag.as_secs_f64() * 1000.0)
                .collect();
        }
        assert!(Instant::now() < deadline, "a Revision is missing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Edits all at once over several connections, each as `edits` say by path; milliseconds from each answer until its
/// Revision can be read.
pub(crate) async fn of(
    world: &World,
    namespace: &str,
    edits: Vec<(String, Value)>,
    connections: usize,
) -> Vec<f64> {
    let api = world.client().await;
    let times = Shared::default();
    let seen = current(&api, &revisions_path(namespace)).await;
    let watcher = tokio::spawn(watch(
        client(world.cluster.kubeconfig()).await,
        namespace.to_owned(),
        seen,
        times.clone(),
    ));
    let mut tasks = JoinSet::new();
    for connection in 0..connections {
        let own: Vec<_> = edits
            .iter()
            .skip(connection)
            .step_by(connections)
            .cloned()
            .collect();
        let client = client(world.cluster.kubeconfig()).await;
        let times = times.clone();
        tasks.spawn(async move {
            for (path, change) in own {
                let edited = patch(&client, &path, &change).await;
                let key = (edited.name, edited.generation);
                times
                    .lock()
                    .expect("no panic")
                    .acknowledged
                    .insert(key, Instant::now());
            }
        });
    }
    tasks.join_all().await;
    let lags = collect(&times).await;
    watcher.abort();
    lags
}
