//! The state of a history: the control plane, the faults that wait, the judges and the trace.

use crate::call::{Call, Class};
use crate::etcd::{Entry, Key, Kind, Revision};
use crate::fault::{DENIALS, Fault, Injection, Strikes};
use crate::kinds::{CONFIG_MAP, DEPLOYMENT, INFERENCE_SERVICE};
use crate::oracle::Oracle;
use crate::plan::{KillAt, Plan};
use crate::server::{Answer, Denied, Servers};
use crate::trace::Trace;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The namespace of the checkpoint and the Lease.
pub const INSTALLATION: &str = "revisor";

/// Everything that exists. Shared by the tasks of one thread.
pub struct World {
    pub state: Mutex<State>,
    /// Notified after each write, and when a cache hears of the writes that it has missed.
    pub changed: Notify,
    /// Notified when a replica is to be killed.
    pub kills: Vec<Notify>,
    /// Whether pods are simulated, and statuses observed.
    pub is_observed: bool,
    /// KiB of Revisions that may wait to be written, unless as many as by default.
    pub queue: Option<usize>,
}

pub struct State {
    pub servers: Servers,
    pub oracle: Oracle,
    pub trace: Trace,
    pub rng: fastrand::Rng,
    /// Faults that wait for what they aim at.
    armed: Vec<Injection>,
    /// How often each kind of fault has struck.
    pub struck: BTreeMap<Fault, u32>,
    /// Windows of time in which the traffic of a replica, or of all, does not move.
    walls: Vec<Wall>,
    /// The places of the writes of autoscalers.
    autoscaled: BTreeSet<Revision>,
    requests: u64,
    kill: Option<KillAt>,
    /// How long a replica that is killed stays away, in milliseconds.
    pub away: Vec<u64>,
    /// How often each replica has ended.
    ends: Vec<u64>,
    /// Whether faults are over.
    pub is_calm: bool,
}

/// A time in which traffic does not move.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    /// None: of all replicas.
    replica: Option<usize>,
    pub until: Instant,
    pub kind: Fault,
    /// How many wait for its end: they go on in the order in which they came.
    waiting: u64,
}

/// The course of one request.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    pub number: u64,
    pub server: usize,
    pub there: Duration,
    pub back: Duration,
    pub fault: Option<Injection>,
    pub kill: Option<KillAt>,
    /// How often its sender had ended before.
    ends: u64,
}

impl Course {
    /// The time by which a slow answer is late.
    pub fn slow(&self) -> Duration {
        let slow = self
            .fault
            .filter(|injection| injection.fault == Fault::Slow);
        slow.map_or(Duration::ZERO, |injection| {
            Duration::from_millis(injection.millis(20_000))
        })
    }
}

impl World {
    pub fn new(plan: &Plan, verbose: bool) -> Arc<Self> {
        let namespaces = [
            "kube-system",
            INSTALLATION,
            crate::editor::NAMESPACES[0],
            crate::editor::NAMESPACES[1],
        ];
        let mut servers = Servers::new(plan.seed, &namespaces);
        servers.window = plan.window;
        servers.skew = chrono::TimeDelta::seconds(plan.skew);
        let mut oracle = Oracle {
            replicas: plan.replicas,
            ..Oracle::default()
        };
        oracle.denials.are_alone = plan.kill.is_none()
            && !plan.first_start
            && plan
                .injections
                .iter()
                .all(|injection| DENIALS.contains(&injection.fault));
        Arc::new(Self {
            state: Mutex::new(State {
                servers,
                oracle,
                trace: Trace::new(verbose),
                rng: fastrand::Rng::with_seed(plan.seed ^ 2),
                armed: Vec::new(),
                struck: BTreeMap::new(),
                walls: Vec::new(),
                autoscaled: BTreeSet::new(),
                requests: 0,
                kill: plan.kill,
                away: vec![0; plan.replicas],
                ends: vec![0; plan.replicas],
                is_calm: false,
            }),
            changed: Notify::new(),
            kills: (0..plan.replicas).map(|_| Notify::new()).collect(),
            is_observed: plan.observed,
            queue: plan.queue,
        })
    }

    /// Does something to the control plane; the judges see each write, and watches are woken.
    pub fn write<T>(&self, autoscaled: bool, work: impl FnOnce(&mut Servers) -> T) -> T {
        let mut state = self.state.lock();
        let done = work(&mut state.servers);
        let written = state.servers.take_written();
        for entry in &written {
            state.judge(entry, autoscaled);
            if autoscaled {
                state.autoscaled.insert(entry.at);
            }
        }
        drop(state);
        if !written.is_empty() {
            self.changed.notify_waiters();
        }
        done
    }

    /// Compacts everything but the newest places.
    pub fn compact(&self, injection: &Injection) {
        let mut state = self.state.lock();
        let kept = u64::from(injection.size % 5) * u64::from(injection.size / 50);
        let to = state.servers.etcd.revision().saturating_sub(kept);
        state.servers.etcd.compact(to);
        state.trace.note(&format!("compacted to {to}"));
    }

    pub fn kill(&self, replica: usize, away: u64) {
        self.state.lock().away[replica] = away;
        self.kills[replica].notify_one();
    }

    /// A replica is gone. Returns how long it stays away, in milliseconds.
    pub fn gone(&self, replica: usize) -> u64 {
        let mut state = self.state.lock();
        let away = std::mem::take(&mut state.away[replica]);
        state.ends[replica] += 1;
        state.oracle.gone(replica);
        state
            .trace
            .note(&format!("replica {replica} is gone for {away} ms"));
        away
    }

    /// Waits while the traffic of a replica does not move. Returns the kind of wall that it has met.
    pub async fn pass_walls(&self, replica: usize) -> Option<Fault> {
        let mut met = None;
        loop {
            let Some((kind, until)) = self.state.lock().meet_wall(replica) else {
                return met;
            };
            met = Some(kind);
            tokio::time::sleep_until(until).await;
        }
    }
}

impl State {
    fn judge(&mut self, entry: &Entry, autoscaled: bool) {
        self.trace.wrote(entry);
        self.oracle.saw(entry, &self.servers.etcd, autoscaled);
    }

    /// etcd goes back to the state that it had `back` places ago, and both API servers with it.
    pub fn restore(&mut self, back: Revision, bumped: bool) {
        let etcd = &mut self.servers.etcd;
        let to = etcd.revision().saturating_sub(back);
        etcd.restore(to, bumped);
        let since = etcd.revision();
        for server in &mut self.servers.servers {
            server.since = since;
            server.frozen = None;
        }
        let etcd = &self.servers.etcd;
        self.oracle.restored(etcd.log(), etcd, &self.autoscaled);
        self.trace
            .note(&format!("etcd is restored to {to}, and goes on at {since}"));
    }

    /// A fault waits for the next thing that it aims at.
    pub fn arm(&mut self, injection: Injection) {
        self.armed.push(injection);
    }

    pub fn struck(&mut self, injection: &Injection) {
        *self.struck.entry(injection.fault).or_default() += 1;
        self.trace.struck(injection);
    }

    /// No fault waits any more, and none lasts.
    pub fn calm(&mut self) {
        self.is_calm = true;
        self.armed.clear();
        self.walls.clear();
        for server in &mut self.servers.servers {
            server.frozen = None;
        }
        self.kill = None;
        self.servers.admit_all();
        self.oracle.denials.end(self.servers.now());
    }

    pub fn build_wall(&mut self, kind: Fault, replica: Option<usize>, lasts: Duration) {
        let until = Instant::now() + lasts;
        self.walls.push(Wall {
            replica,
            until,
            kind,
            waiting: 0,
        });
    }

    /// The wall that the traffic of a replica meets, and when it goes on.
    fn meet_wall(&mut self, replica: usize) -> Option<(Fault, Instant)> {
        let now = Instant::now();
        let is_in_the_way =
            |wall: &&mut Wall| wall.until > now && wall.replica.is_none_or(|of| of == replica);
        let wall = self.walls.iter_mut().find(is_in_the_way)?;
        wall.waiting += 1;
        Some((wall.kind, wall.until + Duration::from_millis(wall.waiting)))
    }

    /// Decides the course of a request.
    pub fn course(&mut self, replica: usize, call: &Call) -> Course {
        self.requests += 1;
        let number = self.requests;
        let class = call.class();
        let fault = self.strike(|injection| {
            injection.fault.strikes() == Strikes::Request
                && injection.fault.aims_at(class)
                && injection.replica == replica
        });
        if fault.is_some_and(|injection| injection.fault == Fault::ListStale) {
            self.oracle.is_misled = true;
        }
        Course {
            number,
            server: self.rng.usize(..2),
            there: self.latency(),
            back: self.latency(),
            fault,
            kill: self.kill.take_if(|kill| kill.request == number),
            ends: self.ends[replica],
        }
    }

    /// Whether the process that has sent a request still runs.
    fn is_awaited(&self, replica: usize, course: &Course) -> bool {
        self.ends[replica] == course.ends
    }

    /// A create of a replica was refused.
    pub fn denied(&mut self, replica: usize, course: &Course, denied: &Denied) {
        let is_awaited = self.is_awaited(replica, course);
        self.oracle
            .denials
            .refused(denied, is_awaited.then_some(replica));
    }

    /// A replica reads the checkpoint.
    pub fn shown_checkpoint(&mut self, replica: usize, course: &Course, answer: &Answer) {
        if let Answer::Whole { code, body, .. } = answer
            && self.is_awaited(replica, course)
        {
            let etcd = &self.servers.etcd;
            self.oracle
                .shown_checkpoint(replica, code.as_u16(), body, etcd);
        }
    }

    /// A fault stands in the way of creates in a namespace, or of reading the checkpoint.
    pub fn stand(&mut self, injection: &Injection) {
        let (namespace, until) = self.servers.stand(injection);
        self.oracle.denials.block(namespace, until);
    }

    /// The fault that strikes an event of a watch of this kind, if one does.
    pub fn strike_event(&mut self, replica: usize, kind: &Kind) -> Option<Injection> {
        self.strike(|injection| {
            injection.fault.strikes() == Strikes::Event
                && injection.replica == replica
                && injection.fault.strikes_events_of(kind)
        })
    }

    fn strike(&mut self, aims: impl Fn(&Injection) -> bool) -> Option<Injection> {
        let mut chosen = None;
        for (i, injection) in self.armed.iter_mut().enumerate() {
            if !aims(injection) {
                continue;
            }
            if injection.spares > 0 {
                injection.spares -= 1;
            } else if chosen.is_none() {
                chosen = Some(i);
            }
        }
        let injection = self.armed.remove(chosen?);
        self.struck(&injection);
        Some(injection)
    }

    /// Most answers take about a millisecond, a few much longer.
    pub fn latency(&mut self) -> Duration {
        let most = if self.rng.u8(..20) == 0 {
            60_000
        } else {
            2_000
        };
        Duration::from_micros(self.rng.u64(200..most))
    }

    /// Whether the checkpoint names every kind.
    pub fn has_checkpoint(&self) -> bool {
        let checkpoint = self.servers.etcd.get(&checkpoint_key());
        checkpoint.is_some_and(|entry| {
            let data = &entry.object.value["data"];
            [&DEPLOYMENT, &INFERENCE_SERVICE].iter().all(|kind| {
                let key = format!("{}.{}", kind.kind, kind.group);
                let later = format!("v2.{key}");
                data.get(&key).is_some() || data.get(&later).is_some()
            })
        })
    }
}

/// The checkpoint.
pub fn checkpoint_key() -> Key {
    Key {
        kind: &CONFIG_MAP,
        namespace: INSTALLATION.to_owned(),
        name: "revisor-checkpoint".to_owned(),
    }
}

/// Whether a replica is killed when this request of it was carried out.
pub fn kills_after(fault: Fault, class: Class) -> bool {
    matches!(
        (fault, class),
        (Fault::KillAfterCheckpoint, Class::Checkpoint)
            | (Fault::KillAfterList, Class::List)
            | (Fault::KillAfterCreate, Class::Create)
    )
}
