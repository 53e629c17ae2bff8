//! What a restart costs with many workloads, and what they cost in memory.

use crate::drain::{edit, path, workload};
use crate::floor;
use crate::support::{Binary, INFERENCE_SERVICE, Meta, Revisor, World, client, patch, post, read};
use devcluster::{Component, Options};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const WRITERS: usize = 8;
/// One workload of so many is edited while Revisor is away.
const EDITED: usize = 10;
/// Memory that a workload of 8 KB and its first Revision may take, in KiB.
const MEMORY: f64 = 12.0;

/// Measures and prints.
pub(crate) async fn run(sizes: &[usize], met: &mut bool) {
    println!(
        "\n| workloads of 8 KB | start to caught up, one in {EDITED} edited once | the same, and the API server restarted, three edits each | bare LIST of both | resident memory | KiB per workload (target ≤ {MEMORY}) |\n|---|---|---|---|---|---|"
    );
    for size in sizes {
        let row = measure(*size).await;
        *met &= row.per_workload() <= MEMORY;
        println!(
            "| {size} | {:.2} s | {:.2} s, {:.1} ms a generation | {:.2} s | {:.0} MiB (idle: {:.0}) | {:.1} |",
            row.warm,
            row.cold,
            row.cold_per_generation,
            row.list,
            row.resident / 1024.0,
            row.idle / 1024.0,
            row.per_workload()
        );
    }
}

/// Seconds and KiB.
pub(crate) struct Row {
    size: usize,
    pub(crate) warm: f64,
    pub(crate) cold: f64,
    cold_per_generation: f64,
    list: f64,
    pub(crate) idle: f64,
    resident: f64,
}

impl Row {
    /// KiB of a workload.
    pub(crate) fn per_workload(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let size = self.size as f64;
        (self.resident - self.idle) / size
    }
}

async fn measure(size: usize) -> Row {
    let world = crate::world(Options::minimal()).await;
    of_program(&world, &Binary::present(), size).await
}

/// What becomes of `size` workloads that one program records, and the namespace they are in.
pub(crate) async fn of_program(world: &World, binary: &Binary, size: usize) -> Row {
    let namespace = world.namespace("outage").await;
    let stage = Stage {
        world,
        binary,
        namespace: &namespace,
    };
    let (idle, resident) = stage.memory(size).await;
    let last = each(world, &namespace, size / EDITED, 1, false).await;
    let (revisor, warm) = stage.start(&last);
    drop(revisor);
    let last = each(world, &namespace, size / EDITED, 3, false).await;
    let restart = world.cluster.restart(Component::ApiServer(0));
    restart.expect("an API server");
    let list = stage.list().await;
    let (revisor, cold) = stage.start(&last);
    let repaired = revisor.metric("revisor_generations_repaired_total", "");
    world
        .assert_recorded(&namespace, &[INFERENCE_SERVICE])
        .await;
    Row {
        size,
        warm,
        cold,
        cold_per_generation: 1000.0 * cold / repaired.max(1.0),
        list,
        idle,
        resident,
    }
}

struct Stage<'a> {
    world: &'a World,
    binary: &'a Binary,
    namespace: &'a str,
}

impl Stage<'_> {
    fn revisor(&self) -> Revisor {
        let flags = ["--namespace", self.namespace];
        self.binary.start(self.world.cluster.kubeconfig(), &flags)
    }

    /// Starts until everything up to `last` is recorded, and for how long that took.
    fn start(&self, last: &Meta) -> (Revisor, f64) {
        let started = Instant::now();
        let revisor = self.revisor();
        caught_up(&revisor, last);
        (revisor, started.elapsed().as_secs_f64())
    }

    /// Resident without workloads, and with `size` of them, which are made here.
    async fn memory(&self, size: usize) -> (f64, f64) {
        let revisor = self.revisor();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let idle = resident(&revisor);
        let last = each(self.world, self.namespace, size, 1, true).await;
        caught_up(&revisor, &last);
        drop(revisor);
        // What is kept, not what the first sight of everything took.
        let (revisor, _) = self.start(&last);
        tokio::time::sleep(Duration::from_secs(3)).await;
        (idle, resident(&revisor))
    }

    /// How long a bare client takes to read the workloads and their Revisions.
    async fn list(&self) -> f64 {
        let before = Instant::now();
        let client = self.world.client().await;
        let namespace = self.namespace;
        for path in [
            INFERENCE_SERVICE.path(namespace),
            format!("/apis/revisor.dev/v1alpha1/namespaces/{namespace}/revisions"),
        ] {
            floor::list(&client, &path).await;
        }
        before.elapsed().as_secs_f64()
    }
}

fn caught_up(revisor: &Revisor, last: &Meta) {
    revisor.wait_recorded(INFERENCE_SERVICE, last.version());
}

/// Makes `count` workloads, or edits each of them `times` times.
async fn each(world: &World, namespace: &str, count: usize, times: usize, make: bool) -> Meta {
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let client = client(world.cluster.kubeconfig()).await;
        let namespace = namespace.to_owned();
        tasks.spawn(async move {
            let mut last = None;
            for i in (0..count).filter(|i| i % WRITERS == writer) {
                let name = format!("w{i}");
                for n in 0..times {
                    let change = edit(times * 1_000_000 + i * 10 + n);
                    last = Some(if make {
                        let collection = INFERENCE_SERVICE.path(&namespace);
                        post(&client, &collection, &workload(&name)).await
                    } else {
                        patch(&client, &path(&namespace, &name), &change).await
                    });
                }
            }
            last
        });
    }
    let all = tasks.join_all().await;
    all.into_iter()
        .flatten()
        .max_by_key(Meta::version)
        .expect("at least one")
}

/// Resident memory in KiB.
#[allow(clippy::cast_precision_loss)]
fn resident(revisor: &Revisor) -> f64 {
    revisor.resident() as f64 / 1024.0
}

/// How many objects a collection holds.
pub(crate) async fn count(client: &kube::Client, path: &str) -> usize {
    read(client, path).await["items"]
        .as_array()
        .map_or(0, Vec::len)
}

/// The items of a collection.
pub(crate) async fn items(client: &kube::Client, path: &str) -> Vec<Value> {
    read(client, path).await["items"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}
