//! One state of everything, and everything that can happen next.

use crate::bounds::Bounds;
use crate::replica::{Phase, Replica};
use crate::server::{Object, Server, Write, number};
use crate::store::Store;
use std::collections::BTreeSet;
use std::fmt;

/// The number of a replica.
pub type Who = usize;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The editor creates an object.
    Create(Object),
    /// The editor changes the spec of an object.
    Edit(Object),
    /// The editor deletes an object.
    Delete(Object),
    /// etcd forgets everything before a place.
    Compact(u64),
    /// The checkpoint is deleted.
    LoseCheckpoint,
    /// The API server starts anew: its watch cache begins at the present.
    RestartServer,
    /// A replica starts, and reads the checkpoint.
    Start(Who),
    /// A replica is killed.
    Kill(Who),
    /// A replica looks for the oldest place that can be read.
    Begin(Who),
    /// A replica lists, and is shown a place.
    List(Who, u64),
    /// A replica compares its watch with a list of a place.
    Audit(Who, u64),
    /// A replica reads the present place, and is shown this one.
    Check(Who, u64),
    /// A replica is shown one event, or reads back one thing.
    Step(Who),
    /// The watch of a replica passes over an event.
    PassOver(Who),
    /// A replay ends although there is more.
    Cut(Who),
    /// A replica writes the first write of a workload.
    Store(Who, Object),
    /// A replica writes the checkpoint.
    Save(Who),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(object) => write!(f, "object {object} is created"),
            Self::Edit(object) => write!(f, "object {object} is edited"),
            Self::Delete(object) => write!(f, "object {object} is deleted"),
            Self::Compact(at) => write!(f, "etcd forgets everything before place {at}"),
            Self::LoseCheckpoint => f.write_str("the checkpoint is deleted"),
            Self::RestartServer => f.write_str("the API server is restarted"),
            Self::Start(who) => write!(f, "replica {who} starts, and reads the checkpoint"),
            Self::Kill(who) => write!(f, "replica {who} is killed"),
            Self::Begin(who) => write!(f, "replica {who} begins where history can be read"),
            Self::List(who, at) => write!(f, "replica {who} is shown a list of place {at}"),
            Self::Audit(who, at) => {
                write!(f, "replica {who} compares with a list of place {at}")
            }
            Self::Check(who, at) => write!(f, "replica {who} is told the present place {at}"),
            Self::Step(who) => write!(f, "replica {who} is shown an event, or reads back"),
            Self::PassOver(who) => write!(f, "the watch of replica {who} passes over an event"),
            Self::Cut(who) => write!(f, "the replay of replica {who} ends early"),
            Self::Store(who, object) => write!(f, "replica {who} writes of object {object}"),
            Self::Save(who) => write!(f, "replica {who} writes the checkpoint"),
        }
    }
}

/// The number of bounded events that have happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Used {
    kills: u8,
    compactions: u8,
    losses: u8,
    restarts: u8,
    stale: u8,
    lagging: u8,
    cuts: u8,
    audits: u8,
    checks: u8,
}

/// One state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The bounds within which things happen.
    pub bounds: Bounds,
    /// The API server.
    pub server: Server,
    /// Everything that is durable.
    pub store: Store,
    /// The replicas.
    pub replicas: Vec<Replica>,
    /// The places of events that a watch has passed over.
    pub passed_over: BTreeSet<u64>,
    used: Used,
}

impl World {
    /// Object 0 is recorded, and the checkpoint is at the beginning, unless the bounds say otherwise. No replica runs.
    pub fn new(bounds: Bounds) -> Self {
        let server = Server::new(bounds);
        let store = Store::new(&server, bounds);
        Self {
            bounds,
            server,
            store,
            replicas: vec![Replica::down(); bounds.replicas.into()],
            passed_over: BTreeSet::new(),
            used: Used::default(),
        }
    }

    /// Everything that can happen next.
    pub fn actions(&self, actions: &mut Vec<Action>) {
        self.edits(actions);
        self.faults(actions);
        for who in 0..self.replicas.len() {
            self.moves(who, actions);
        }
    }

    fn edits(&self, actions: &mut Vec<Action>) {
        if self.server.log.len() > self.bounds.writes.into() {
            return;
        }
        for object in 0..self.bounds.objects {
            match self.server.newest(object, u64::MAX) {
                // Objects that were not created yet are all alike.
                None => return actions.push(Action::Create(object)),
                Some(Write { generation: 0, .. }) => {}
                Some(_) => actions.extend([Action::Edit(object), Action::Delete(object)]),
            }
        }
    }

    fn faults(&self, actions: &mut Vec<Action>) {
        let server = &self.server;
        if self.used.compactions < self.bounds.compactions {
            let places = server.log.iter().map(|write| write.at);
            let later = places.filter(|at| *at > server.compacted);
            actions.extend(later.map(Action::Compact));
        }
        if self.used.losses < self.bounds.losses && self.store.checkpoint.is_some() {
            actions.push(Action::LoseCheckpoint);
        }
        if self.used.restarts < self.bounds.restarts && server.window < server.now() {
            actions.push(Action::RestartServer);
        }
    }

    fn moves(&self, who: Who, actions: &mut Vec<Action>) {
        let replica = &self.replicas[who];
        match replica.phase {
            Phase::Down => {
                // Replicas that do not run are all alike.
                let is_first = self.replicas[..who].iter().all(|r| r.phase != Phase::Down);
                return actions.extend(is_first.then_some(Action::Start(who)));
            }
            Phase::Beginning => actions.push(Action::Begin(who)),
            Phase::Listing => self.answers(who, actions, |at| Action::List(who, at)),
            Phase::Following => self.follows(who, actions),
        }
        if self.used.kills < self.bounds.kills {
            actions.push(Action::Kill(who));
        }
        let objects: BTreeSet<_> = replica.queue.iter().map(|item| item.object).collect();
        let store = |object| Action::Store(who, object);
        actions.extend(objects.into_iter().map(store));
        let checkpoint = replica.checkpoint();
        if checkpoint.is_some() && checkpoint != self.store.checkpoint {
            actions.push(Action::Save(who));
        }
    }

    fn follows(&self, who: Who, actions: &mut Vec<Action>) {
        let replica = &self.replicas[who];
        if replica.can_step(&self.server) {
            actions.push(Action::Step(who));
        }
        let at = number(replica.at);
        let is_more = self.server.after(at).is_some() && at >= self.server.window;
        let is_replay = replica.is_replaying();
        let is_live = replica.is_live();
        let passed_over = self.passed_over.len();
        if is_more && (is_live || is_replay) && passed_over < self.bounds.lost.into() {
            actions.push(Action::PassOver(who));
        }
        if is_more && is_replay && self.used.cuts < self.bounds.cuts {
            actions.push(Action::Cut(who));
        }
        if is_live && self.used.audits < self.bounds.audits {
            self.answers(who, actions, |at| Action::Audit(who, at));
        }
        if is_live && self.used.checks < self.bounds.checks {
            self.answers(who, actions, |at| Action::Check(who, at));
        }
    }

    /// A read of the present shows that, or an older place.
    fn answers(&self, who: Who, actions: &mut Vec<Action>, action: impl Fn(u64) -> Action) {
        let now = self.server.now();
        let seen = number(self.replicas[who].seen());
        let is_possible = |at: &u64| {
            *at == now
                || (*at < seen && self.used.stale < self.bounds.stale)
                || (*at >= seen && self.used.lagging < self.bounds.lagging)
        };
        let places = self.server.log.iter().map(|write| write.at);
        actions.extend(places.filter(is_possible).map(action));
    }

    /// The state after something has happened.
    pub fn apply(&mut self, action: Action) {
        let Self { server, store, .. } = self;
        match action {
            Action::Create(object) => server.write(object, 1),
            Action::Edit(object) => {
                let newest = server.newest(object, u64::MAX);
                server.write(object, newest.map_or(0, |write| write.generation) + 1);
            }
            Action::Delete(object) => server.write(object, 0),
            Action::Compact(at) => {
                server.compacted = at;
                self.used.compactions += 1;
            }
            Action::RestartServer => {
                server.window = server.now();
                self.used.restarts += 1;
            }
            Action::LoseCheckpoint => {
                store.lose();
                self.used.losses += 1;
            }
            Action::Begin(who) => self.replicas[who].begin(server, store),
            Action::Start(who) => self.replicas[who] = Replica::start(store),
            Action::Kill(who) => {
                self.replicas[who] = Replica::down();
                self.used.kills += 1;
            }
            Action::List(who, at) | Action::Audit(who, at) | Action::Check(who, at) => {
                self.answered(action, who, at);
            }
            Action::Step(who) => self.replicas[who].step(server, store),
            Action::PassOver(who) => {
                let event = server.after(number(self.replicas[who].at));
                self.passed_over.extend(event.map(|write| write.at));
                self.replicas[who].pass_over(server, store);
            }
            Action::Cut(who) => {
                self.used.cuts += 1;
                self.replicas[who].cut(server, store);
            }
            Action::Store(who, object) => self.replicas[who].store(object, store),
            Action::Save(who) => {
                if let Some(entry) = self.replicas[who].checkpoint() {
                    store.save(&entry);
                }
            }
        }
    }

    /// A read of the present is answered.
    fn answered(&mut self, action: Action, who: Who, at: u64) {
        let Self {
            server,
            store,
            used,
            ..
        } = self;
        let replica = &mut self.replicas[who];
        if at < number(replica.seen()) {
            used.stale += 1;
        } else if at < server.now() {
            used.lagging += 1;
        }
        match action {
            Action::List(..) => replica.list(at, server, store),
            Action::Audit(..) => {
                used.audits += 1;
                replica.audit(at, server, store);
            }
            _ => {
                let before = replica.dates;
                replica.check(at, server, store);
                used.checks += u8::from(before != replica.dates);
            }
        }
    }
}
