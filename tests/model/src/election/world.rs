//! One state of everything, and everything that can happen next.

use super::Bounds;
use super::action::{Action, Who};
use super::k8s::jiff::Timestamp;
use super::lease::{DURATION, PERIOD};
use super::replica::{LOT, Replica, Second, seconds};
use super::server::{Answer, Call, Names, Server, Versioned};
use std::fmt::Write as _;

/// The time within which one leads again. The Lease of one that is gone is seen at the latest after a period, then it
/// has to expire, and that is seen at the latest a period later.
fn vacancy() -> Second {
    seconds(PERIOD + LOT + DURATION + PERIOD + LOT)
}

/// A request on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Request {
    who: Who,
    call: Call,
    /// Whether time may pass before it is carried out.
    is_slow: bool,
    /// Whether its sender waits for the answer.
    is_awaited: bool,
}

/// The number of bounded events that have happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Used {
    delays: u8,
    kills: u8,
    stops: u8,
    pauses: u8,
}

/// One state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    bounds: Bounds,
    server: Server,
    replicas: Vec<Replica>,
    requests: Vec<Request>,
    used: Used,
    /// Seconds for which a replica has run, nothing has gone wrong, and none has led.
    vacant: Second,
}

impl World {
    /// There is no Lease, and the first replica has just started.
    pub(super) fn new(bounds: Bounds) -> Self {
        let replica = |who: u8| {
            let identity = char::from(b'a' + who).to_string();
            Replica::new(identity, bounds.defect)
        };
        let mut world = Self {
            bounds,
            server: Server::default(),
            replicas: (0..bounds.replicas).map(replica).collect(),
            requests: Vec::new(),
            used: Used::default(),
            vacant: 0,
        };
        world.ask(0);
        world
    }

    /// Everything that can happen next.
    pub(super) fn actions(&self, actions: &mut Vec<Action>) {
        for at in 0..self.requests.len() {
            self.fates(at, actions);
        }
        for who in 0..self.replicas.len() {
            self.moves(who, actions);
            self.ends(who, actions);
        }
        if self.may_pass() {
            actions.push(Action::Second);
        }
    }

    /// Whether a second may pass: what is due has to happen first.
    fn may_pass(&self) -> bool {
        self.requests.iter().all(|request| request.is_slow)
            && !self.replicas.iter().any(Replica::is_late)
    }

    fn fates(&self, at: usize, actions: &mut Vec<Action>) {
        if self.requests[at].is_slow {
            return actions.push(Action::CarryOut(at));
        }
        actions.push(Action::Serve(at));
        if self.used.delays < self.bounds.delays {
            actions.push(Action::Delay(at));
        }
    }

    fn moves(&self, who: Who, actions: &mut Vec<Action>) {
        let replica = &self.replicas[who];
        if !replica.runs() {
            return actions.push(Action::Start(who));
        }
        if replica.is_paused() {
            return;
        }
        if replica.coming.is_some() {
            actions.push(Action::Answer(who));
        }
        if replica.may_look() {
            actions.push(Action::Look(who));
        }
        if self.waits_long(who) {
            actions.push(Action::Break(who));
        }
        if replica.is_late() {
            actions.push(Action::GiveUp(who));
        }
    }

    fn ends(&self, who: Who, actions: &mut Vec<Action>) {
        let Self { used, bounds, .. } = self;
        let replica = &self.replicas[who];
        if !replica.runs() {
            return;
        }
        if used.kills < bounds.kills {
            actions.push(Action::Kill(who));
        }
        if replica.is_paused() {
            return;
        }
        if used.stops < bounds.stops {
            actions.push(Action::Stop(who));
        }
        if used.pauses < bounds.pauses {
            actions.push(Action::Pause(who));
        }
    }

    /// Whether a replica waits for the answer to a slow request.
    fn waits_long(&self, who: Who) -> bool {
        let is_slow =
            |request: &Request| request.who == who && request.is_awaited && request.is_slow;
        self.replicas[who].coming.is_some() || self.requests.iter().any(is_slow)
    }

    /// The state after something has happened.
    pub(super) fn apply(&mut self, action: Action) {
        match action {
            Action::Second => return self.second(),
            Action::Serve(at) => return self.serve(at),
            Action::Look(who) => return self.ask(who),
            Action::Start(who) => self.ask(who),
            Action::Delay(at) => {
                self.used.delays += 1;
                self.requests[at].is_slow = true;
            }
            Action::CarryOut(at) => self.carry_out(at),
            Action::Answer(who) => {
                if let Some(answer) = self.replicas[who].coming.take() {
                    self.answer(who, answer);
                }
            }
            Action::Break(who) | Action::GiveUp(who) => {
                self.abandon(who);
                self.replicas[who].decide(None);
            }
            Action::Kill(who) => {
                self.used.kills += 1;
                self.abandon(who);
                self.replicas[who].end();
            }
            Action::Stop(who) => self.stop(who),
            Action::Pause(who) => self.pause(who),
        }
        self.vacant = 0;
        self.rename();
    }

    fn second(&mut self) {
        self.vacant = if self.is_vacant() {
            self.vacant.saturating_add(1)
        } else {
            0
        };
        self.replicas.iter_mut().for_each(Replica::pass);
        for who in 0..self.replicas.len() {
            if self.replicas[who].wakes() {
                self.ask(who);
            }
        }
    }

    /// Whether none leads, though one could.
    fn is_vacant(&self) -> bool {
        let is_well = (0..self.replicas.len()).all(|who| self.is_well(who));
        is_well && self.leaders() == 0 && self.replicas.iter().any(Replica::runs)
    }

    /// Whether a replica is run, and waits for nothing that has gone wrong.
    fn is_well(&self, who: Who) -> bool {
        !self.waits_long(who) && !self.replicas[who].is_paused()
    }

    fn ask(&mut self, who: Who) {
        let call = self.replicas[who].ask();
        self.send(who, call, true);
    }

    fn send(&mut self, who: Who, call: Call, is_awaited: bool) {
        self.requests.push(Request {
            who,
            call,
            is_slow: false,
            is_awaited,
        });
    }

    fn serve(&mut self, at: usize) {
        let Request {
            who,
            call,
            is_awaited,
            ..
        } = self.requests.remove(at);
        let answer = self.server.answer(call);
        if is_awaited {
            self.answer(who, answer);
        }
        self.rename();
    }

    fn carry_out(&mut self, at: usize) {
        let request = self.requests.remove(at);
        let answer = self.server.answer(request.call);
        if request.is_awaited {
            self.replicas[request.who].coming = Some(answer);
        }
    }

    fn answer(&mut self, who: Who, answer: Answer) {
        let wall = self.wall();
        if let Some(call) = self.replicas[who].answered(answer, wall) {
            self.send(who, call, true);
        }
    }

    fn requests_of(&mut self, who: Who) -> impl Iterator<Item = &mut Request> {
        let requests = self.requests.iter_mut();
        requests.filter(move |request| request.who == who)
    }

    /// Nobody waits for the answer to the request of a replica any longer. It may still be carried out.
    fn abandon(&mut self, who: Who) {
        for request in self.requests_of(who) {
            request.is_slow = true;
            request.is_awaited = false;
        }
    }

    fn stop(&mut self, who: Who) {
        self.used.stops += 1;
        self.abandon(who);
        let wall = self.wall();
        if let Some(release) = self.replicas[who].stop(wall) {
            self.send(who, release, false);
        }
    }

    fn pause(&mut self, who: Who) {
        self.used.pauses += 1;
        self.replicas[who].paused = self.bounds.pause;
        for request in self.requests_of(who) {
            request.is_slow = true;
        }
    }

    /// Leaves out requests that can change nothing any more, and differences that do not matter.
    fn rename(&mut self) {
        let Self {
            server, requests, ..
        } = self;
        requests.retain(|request| request.is_awaited || server.takes(&request.call));
        let names = Names {
            times: self.records().map(Versioned::time).collect(),
            newest: self.server.version(),
        };
        self.replicas
            .iter_mut()
            .for_each(|replica| replica.rename(&names));
        let calls = self.requests.iter_mut();
        let writes = calls.filter_map(|request| request.call.record_mut());
        for record in self.server.lease.iter_mut().chain(writes) {
            record.rename(&names);
        }
    }

    fn records(&self) -> impl Iterator<Item = &Versioned> {
        let writes = self.requests.iter();
        let writes = writes.filter_map(|request| request.call.record());
        let known = self.replicas.iter().flat_map(Replica::records);
        self.server.lease.iter().chain(writes).chain(known)
    }

    /// A wall time that no record has.
    fn wall(&self) -> Timestamp {
        let newest = self.records().map(Versioned::time).max();
        Timestamp(newest.unwrap_or(0) + 1)
    }

    /// How many replicas believe that they lead.
    pub(super) fn leaders(&self) -> usize {
        self.replicas.iter().filter(|replica| replica.leads).count()
    }

    /// Whether one leads, or will soon.
    pub(super) fn is_led(&self) -> bool {
        self.vacant < vacancy()
    }

    /// Whether one leads by a Lease that another has held before.
    pub(super) fn is_succeeded(&self) -> bool {
        self.leaders() > 0 && self.server.has_passed()
    }

    /// The changes since a state before, as far as they are of interest.
    pub(super) fn told(&self, before: &Self) -> String {
        let mut text = String::new();
        let gone = |request: &&Request| !self.requests.contains(request);
        for Request { who, call, .. } in before.requests.iter().filter(gone) {
            let _ = write!(text, ": {call} of replica {who}");
        }
        if self.server.holder() != before.server.holder() {
            let _ = write!(text, "; it is held by {:?}", self.server.holder());
        }
        for (who, replica) in self.replicas.iter().enumerate() {
            if replica.leads != before.replicas[who].leads {
                let verb = if replica.leads {
                    "leads"
                } else {
                    "does not lead"
                };
                let _ = write!(text, "; replica {who} {verb}");
            }
        }
        text
    }
}
