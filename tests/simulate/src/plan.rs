//! A history before it happens: the changes of workloads and the faults, as data.
//!
//! A seed makes a plan, a plan can be made smaller and kept as JSON, and the same plan makes the same history.

use crate::fault::{Fault, Injection};
use anyhow::Context;
use revisor::mutant::Mutant;
use serde::{Deserialize, Serialize};

/// The changes that a history has at least.
const CHANGES: usize = 100;
const FEWEST_FAULTS: usize = 5;
/// Pods and statuses make a history several times as long; one of so many has them.
const OBSERVED: u64 = 8;
/// One of so many histories has a queue in which only a few Revisions have room.
const SMALL_QUEUE: u8 = 6;
/// The latest installation after the first change, in milliseconds.
const LATEST_INSTALLATION: u64 = 20_000;
/// More changes than usual come so long after the installation, in milliseconds.
const FIRST_MOMENTS: u64 = 4_000;
/// Within one of these times after the installation a `FirstStart` strikes, in milliseconds.
const SOON: &[u64] = &[60, 400, 2_000, 12_000];
/// The changes before and just after the installation.
const EARLY: &[Change] = &[
    Change::Spec,
    Change::Spec,
    Change::Annotation,
    Change::Deleted,
    Change::Replaced,
];

/// A whole history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The seed of latencies, lots and names.
    pub seed: u64,
    pub replicas: usize,
    /// The number of events that a watch cache holds.
    pub window: usize,
    /// Seconds by which the servers' clocks are ahead.
    pub skew: i64,
    /// Whether workloads change before the first checkpoint is written.
    pub first_start: bool,
    /// Milliseconds after the first change at which the replicas start for the first time.
    #[serde(default)]
    pub installed: u64,
    pub changes: Vec<Planned>,
    pub injections: Vec<Injection>,
    /// KiB of Revisions that may wait to be written; as many as by default without it.
    #[serde(default)]
    pub queue: Option<usize>,
    /// Whether pods are simulated, and statuses observed.
    #[serde(default)]
    pub observed: bool,
    /// A kill before, or after, the request of that number.
    #[serde(default)]
    pub kill: Option<KillAt>,
    /// A defect that is switched on.
    #[serde(default)]
    pub mutant: Option<String>,
}

/// A replica is killed at one request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KillAt {
    pub request: u64,
    /// After the request was carried out, instead of before it is.
    pub after: bool,
}

/// One change of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Milliseconds after the first change.
    pub at: u64,
    /// The place of the workload; another takes it when it is gone.
    pub slot: usize,
    pub change: Change,
}

/// A change of a workload. One that is not there is created instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Its spec.
    Spec,
    /// An annotation.
    Annotation,
    /// Its status.
    Status,
    /// Its replicas, by an autoscaler.
    Autoscaled,
    /// Its spec, back to the value before the last.
    Back,
    /// It is deleted.
    Deleted,
    /// It is deleted, and waits for a finalizer for a while.
    DeletedSlowly,
    /// It is deleted and made anew at once.
    Replaced,
}

impl Plan {
    /// The plan of a seed, with faults of these kinds.
    pub fn of(seed: u64, faults: &[Fault]) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let length = rng.u64(40_000..200_000);
        let replicas = match rng.u8(..50) {
            0 => 3,
            1..=5 => 2,
            _ => 1,
        };
        let drawn = subset(&mut rng, faults);
        let skew = if drawn.contains(&Fault::ClockSkew) {
            rng.i64(-60..=60)
        } else {
            0
        };
        let plan = Self {
            seed,
            replicas,
            window: if rng.u8(..4) == 0 { 20 } else { 1000 },
            skew,
            first_start: drawn.contains(&Fault::FirstStart),
            installed: 0,
            observed: seed.is_multiple_of(OBSERVED),
            changes: changes(&mut rng, length),
            injections: injections(&mut rng, &drawn, length, replicas),
            queue: (rng.u8(..SMALL_QUEUE) == 0).then(|| rng.usize(64..512)),
            kill: None,
            mutant: None,
        };
        if plan.first_start {
            plan.begun_at_once(&mut rng)
        } else {
            plan
        }
    }

    /// The same plan, in which workloads change before the replicas are installed and while they
    /// start for the first time, and each `FirstStart` strikes soon after that.
    fn begun_at_once(mut self, rng: &mut fastrand::Rng) -> Self {
        if rng.bool() {
            self.installed = rng.u64(..LATEST_INSTALLATION);
        }
        let slots = slots(&self.changes);
        for _ in 0..rng.usize(8..24) {
            let at = rng.u64(..self.installed + FIRST_MOMENTS);
            let change = *rng.choice(EARLY).unwrap_or(&Change::Spec);
            self.changes.push(planned(at, rng.usize(..slots), change));
        }
        self.changes.sort_by_key(|planned| planned.at);
        for injection in &mut self.injections {
            if injection.fault == Fault::FirstStart {
                let within = *rng.choice(SOON).unwrap_or(&60);
                injection.at = self.installed + rng.u64(..within);
            }
        }
        self.injections.sort_by_key(|injection| injection.at);
        self
    }
}

impl Plan {
    /// The same plan with a defect.
    pub fn with(self, mutant: Mutant) -> Self {
        let mutant = Some(format!("{mutant:?}"));
        Self { mutant, ..self }
    }

    /// The defect that is switched on.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn mutant(&self) -> anyhow::Result<Option<Mutant>> {
        let Some(name) = &self.mutant else {
            return Ok(None);
        };
        let found = Mutant::ALL
            .into_iter()
            .find(|mutant| format!("{mutant:?}") == *name);
        found
            .map(Some)
            .with_context(|| format!("mutant: {name:?} is not one of {:?}", Mutant::ALL))
    }
}

/// The number of places of workloads.
pub fn slots(changes: &[Planned]) -> usize {
    let slots = changes.iter().map(|planned| planned.slot);
    slots.max().unwrap_or_default() + 1
}

/// A few of the faults, so that each history has a character of its own.
fn subset(rng: &mut fastrand::Rng, faults: &[Fault]) -> Vec<Fault> {
    let count = match rng.u8(..10) {
        0 => faults.len(),
        1..=5 => rng.usize(1..=4),
        _ => rng.usize(3..=10),
    };
    let mut all = faults.to_vec();
    rng.shuffle(&mut all);
    all.truncate(count.max(1));
    all
}

fn changes(rng: &mut fastrand::Rng, length: u64) -> Vec<Planned> {
    let slots = rng.usize(2..=4);
    let count = CHANGES + rng.usize(10..50);
    let mut changes: Vec<Planned> = (0..slots)
        .map(|slot| planned(0, slot, Change::Spec))
        .collect();
    while changes.len() < count {
        let at = rng.u64(..length);
        let slot = rng.usize(..slots);
        // Some changes follow each other at once.
        let burst = if rng.u8(..12) == 0 {
            rng.usize(2..8)
        } else {
            1
        };
        for i in 0..burst as u64 {
            let apart = rng.u64(..40);
            changes.push(planned(at + i * apart, slot, change(rng)));
        }
    }
    changes.sort_by_key(|planned| planned.at);
    changes
}

fn planned(at: u64, slot: usize, change: Change) -> Planned {
    Planned { at, slot, change }
}

fn change(rng: &mut fastrand::Rng) -> Change {
    match rng.u8(..100) {
        0..70 => Change::Spec,
        70..78 => Change::Annotation,
        78..83 => Change::Status,
        83..89 => Change::Autoscaled,
        89..94 => Change::Back,
        94..96 => Change::Deleted,
        96..98 => Change::DeletedSlowly,
        _ => Change::Replaced,
    }
}

fn injections(
    rng: &mut fastrand::Rng,
    drawn: &[Fault],
    length: u64,
    replicas: usize,
) -> Vec<Injection> {
    let count = FEWEST_FAULTS + rng.usize(..10);
    let mut injections: Vec<Injection> = (0..count)
        .map(|_| Injection {
            at: rng.u64(..length),
            fault: *rng.choice(drawn).unwrap_or(&Fault::Kill),
            replica: rng.usize(..replicas),
            size: rng.u32(..1000),
            spares: if rng.bool() { 0 } else { rng.u32(..6) },
        })
        .collect();
    // Some faults come together: that is when they hurt.
    if rng.bool() {
        let at = rng.u64(..length);
        let together = rng.usize(2..=4);
        for injection in injections.iter_mut().take(together) {
            injection.at = at + rng.u64(..3_000);
        }
    }
    injections.sort_by_key(|injection| injection.at);
    injections
}
