//! How fast Revisor writes what is waiting, against raw concurrent creates of the same objects on the same server.

use crate::support::{Binary, INFERENCE_SERVICE, Revisor, World, client, patch, post, revisions};
use crate::{floor, median};
use devcluster::Options;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

pub(crate) const WORKLOADS: usize = 50;
pub(crate) const EDITS: usize = 5_000;
pub(crate) const WARM_UP: usize = EDITS / 10;
const EDITORS: usize = 8;
const TARGET: f64 = 0.8;

/// The example with 20 variables, as `kubectl apply` leaves it: about 6 KB, of which a third is a copy in an annotation.
pub(crate) fn applied(name: &str) -> Value {
    let mut object = INFERENCE_SERVICE.example();
    object["metadata"]["name"] = name.into();
    let variable = |i: usize| json!({"name": format!("SETTING_{i}"), "value": format!("value {} of setting {i}", i * 7919 % 1000)});
    object["spec"]["predictor"]["model"]["env"] = (0..20).map(variable).collect();
    object["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": object.to_string()});
    object
}

/// The same with a spec of 8 KB: 50 volumes, which are 500 small parts.
pub(crate) fn workload(name: &str) -> Value {
    let mut object = applied(name);
    object["metadata"]["annotations"] = json!({});
    let volume = |i: usize| {
        let name = format!("volume-{i}");
        json!({"name": name, "projected": {"sources": [{"configMap": {"name": format!("settings-{}", i * 7919 % 1000), "items": [{"key": "a", "path": "b"}]}}]}})
    };
    object["spec"]["predictor"]["volumes"] = (0..50).map(volume).collect();
    object
}

pub(crate) fn path(namespace: &str, name: &str) -> String {
    format!("{}/{name}", INFERENCE_SERVICE.path(namespace))
}

pub(crate) fn edit(i: usize) -> Value {
    json!({"spec": {"predictor": {"model": {"storageUri": format!("s3://models/llama/{i}")}}}})
}

/// A drain, and the rate of the floor beside it.
struct Round {
    drained: Drained,
    floor: f64,
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Drained { edits, rate, cpu } = self.drained;
        let floor = self.floor;
        write!(
            f,
            "edits {edits:.0}/s, drain {rate:.0}/s, floor {floor:.0}/s, {cpu:.2} ms CPU each"
        )
    }
}

/// Measures, prints, and returns how many edits a second can be made and recorded at the same time.
pub(crate) async fn run(rounds: usize, quick: bool, met: &mut bool) -> f64 {
    let rounds = if quick { 1 } else { rounds };
    let (all, ratio) = drains(rounds, "as kubectl apply leaves them", applied).await;
    *met &= quick || ratio >= TARGET;
    if !quick {
        println!("| target of the ratio | {TARGET} |");
        // No target: the API server spends a quarter of its time on handing over edits of so many parts.
        drains(
            rounds.min(3),
            "with specs of 8 KB, 500 parts each",
            workload,
        )
        .await;
    }
    let middle = Drained {
        edits: middle(&all, |round| round.drained.edits),
        rate: middle(&all, |round| round.drained.rate),
        cpu: middle(&all, |round| round.drained.cpu),
    };
    middle.capacity()
}

fn middle(all: &[Round], pick: fn(&Round) -> f64) -> f64 {
    median(&all.iter().map(pick).collect::<Vec<_>>())
}

/// Rounds, and the ratio in the middle; prints them.
async fn drains(rounds: usize, which: &str, make: fn(&str) -> Value) -> (Vec<Round>, f64) {
    let mut all = Vec::new();
    for number in 0..rounds {
        all.push(round(make).await);
        eprintln!("drain round {}: {}", number + 1, all[all.len() - 1]);
    }
    let ratio = middle(&all, |round| round.drained.rate / round.floor);
    println!(
        "\n| drain of {EDITS} edits over {WORKLOADS} workloads {which} | Revisions/s |\n|---|---|"
    );
    println!(
        "| Revisor, from thaw to the last one stored | {:.0} |",
        middle(&all, |round| round.drained.rate)
    );
    println!(
        "| raw creates of the same objects, {} connections | {:.0} |",
        crate::CONNECTIONS,
        middle(&all, |round| round.floor)
    );
    println!("| ratio | {ratio:.2} |");
    (all, ratio)
}

async fn round(make: fn(&str) -> Value) -> Round {
    let world = crate::world(Options::minimal()).await;
    let stage = Stage::set(&world, &Binary::present(), make).await;
    // The server slows down as its caches fill, so half of the floor is measured before and half after.
    let before = measure_floor(&world, &stage.namespace, &stage.revisor).await;
    let drained = stage.drain().await;
    let after = measure_floor(&world, &stage.namespace, &stage.revisor).await;
    stage.assert_complete().await;
    Round {
        drained,
        floor: 2.0 / (1.0 / before + 1.0 / after),
    }
}

/// What is waiting, once.
pub(crate) async fn once(world: &World, binary: &Binary) -> Drained {
    let stage = Stage::set(world, binary, applied).await;
    let drained = stage.drain().await;
    stage.assert_complete().await;
    drained
}

/// Rates of one drain.
pub(crate) struct Drained {
    pub(crate) edits: f64,
    pub(crate) rate: f64,
    /// Milliseconds of a core that Revisor used for each Revision while it drained.
    pub(crate) cpu: f64,
}

impl Drained {
    /// How many edits a second can be made and recorded at the same time.
    pub(crate) fn capacity(&self) -> f64 {
        1.0 / (1.0 / self.edits + 1.0 / self.rate)
    }
}

/// Workloads of a namespace, and what records them.
struct Stage<'a> {
    world: &'a World,
    namespace: String,
    revisor: Revisor,
}

impl<'a> Stage<'a> {
    /// Makes the workloads, and warms up: the edits are also the objects that the floor creates again.
    async fn set(world: &'a World, binary: &Binary, make: fn(&str) -> Value) -> Self {
        let client = world.client().await;
        let namespace = world.namespace("drain").await;
        let revisor = binary.start(world.cluster.kubeconfig(), &["--namespace", &namespace]);
        for i in 0..WORKLOADS {
            let object = make(&format!("w{i}"));
            post(&client, &INFERENCE_SERVICE.path(&namespace), &object).await;
        }
        wait_for(&revisor, WORKLOADS).await;
        edit_all(world, &namespace, 0, WARM_UP).await;
        wait_for(&revisor, WORKLOADS + WARM_UP).await;
        Self {
            world,
            namespace,
            revisor,
        }
    }

    /// Edits while Revisor is frozen, and thaws it.
    async fn drain(&self) -> Drained {
        let revisor = &self.revisor;
        revisor.signal("STOP");
        let edits = edit_all(self.world, &self.namespace, EDITS, EDITS).await;
        let started = Instant::now();
        let used = cpu_seconds(revisor.pid);
        revisor.signal("CONT");
        wait_for(revisor, WORKLOADS + WARM_UP + EDITS).await;
        #[allow(clippy::cast_precision_loss)]
        let count = EDITS as f64;
        let rate = count / started.elapsed().as_secs_f64();
        let cpu = 1e3 * (cpu_seconds(revisor.pid) - used) / count;
        assert!(
            revisor.metric("revisor_generation_holes_total", "").abs() < 0.5,
            "the watch did not resume"
        );
        Drained { edits, rate, cpu }
    }

    async fn assert_complete(&self) {
        let recorded = self
            .world
            .assert_recorded(&self.namespace, &[INFERENCE_SERVICE])
            .await;
        assert_eq!(recorded, WORKLOADS + WARM_UP + EDITS);
    }
}

/// What a process has used so far; the kernel counts in hundredths.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    // After the name, which may hold anything: state, then numbers; user and system time are the 12th and 13th.
    let fields = stat
        .rsplit(')')
        .next()
        .expect("a name")
        .split_whitespace()
        .skip(11)
        .take(2);
    fields
        .map(|field| field.parse::<f64>().expect("a number"))
        .sum::<f64>()
        / 100.0
}

/// Revisor sleeps meanwhile: the floor is a bare client with the machine to itself.
async fn measure_floor(world: &World, namespace: &str, revisor: &Revisor) -> f64 {
    let client = client(world.cluster.kubeconfig()).await;
    let target = world.namespace("floor").await;
    let stored = revisions(&client, namespace).await;
    let body = |i: usize| {
        let mut revision = stored[i % stored.len()].clone();
        revision["metadata"] =
            json!({"name": format!("floor-{i:05}"), "labels": revision["metadata"]["labels"]});
        revision.to_string()
    };
    let bodies: Vec<_> = (0..EDITS / 2).map(body).collect();
    revisor.signal("STOP");
    let rate = floor::creates(&client, &target, bodies).await;
    revisor.signal("CONT");
    rate
}

/// Edits all workloads in turn over several connections, each workload always over the same one.
pub(crate) async fn edit_all(world: &World, namespace: &str, offset: usize, count: usize) -> f64 {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for editor in 0..EDITORS {
        let client = client(world.cluster.kubeconfig()).await;
        let namespace = namespace.to_owned();
        tasks.spawn(async move {
            for i in (0..count).filter(|i| i % WORKLOADS % EDITORS == editor) {
                patch(
                    &client,
                    &path(&namespace, &format!("w{}", i % WORKLOADS)),
                    &edit(offset + i),
                )
                .await;
            }
        });
    }
    tasks.join_all().await;
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    count / started.elapsed().as_secs_f64()
}

/// Waits until so many Revisions were written.
pub(crate) async fn wait_for(revisor: &Revisor, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(120);
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    while revisor.metric("revisor_revisions_recorded_total", "") < count {
        assert!(
            Instant::now() < deadline,
            "{count} Revisions did not come:\n{}",
            revisor.log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
