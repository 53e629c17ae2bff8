//! The order in which a replica lists, joins, replays, reads back and watches: that of the product's `Stream`.

use crate::past::{Reading, all, last_state};
use crate::replica::{Ending, Joining, Phase, Replay, Replica, Task};
use crate::server::{Server, number, object, place, uid};
use crate::shown::{How, Shown};
use crate::store::Store;
use revisor::mutant::{self, Mutant};
use revisor::watch::Position;
use revisor::watch::join::{Behind, Join, JoinStep, Lineage, Listed, ObjectName, Placed};
use revisor::watch::known::Need;
use revisor::workload::{ResourceVersion, Version};
use uuid::Uuid;

/// The consequence of an event that is due.
enum Due {
    /// It is passed on, or something is read first.
    Event(Shown),
    /// The history of the watch is gone.
    Expired,
    /// No event comes.
    Silence,
}

impl Replica {
    /// The first list of a process, or the one after a watch whose history is gone. It shows the place `at`.
    pub fn list(&mut self, at: u64, server: &Server, store: &mut Store) {
        let heads = if self.known.is_empty() {
            store.heads()
        } else {
            Vec::new()
        };
        self.known.listing(&heads);
        if self.is_beginning {
            self.begins(!heads.is_empty());
        }
        if !self.believes(at) {
            return;
        }
        let mut listed = Listed::default();
        for shown in shown_by_list(server, at) {
            let change = shown.change(server);
            listed.saw(change.uid);
            let need = self.need(shown, server);
            match listed.place(&change, need, place(at), self.since()) {
                Placed::Now => self.pass(shown, server),
                Placed::Later => {}
                Placed::Rewound => return self.start_over(store),
            }
        }
        self.measured(at, server);
        self.newest_list = Some(Position {
            at: place(at),
            time: server.time(server.now()),
        });
        listed.complete(place(at), &self.known);
        self.join(listed, server, store);
    }

    /// A list that is older than what was seen is not believed, since etcd is never restored here.
    fn believes(&self, at: u64) -> bool {
        place(at) >= self.seen() || mutant::is(Mutant::StaleListBelieved)
    }

    /// etcd is said to be restored.
    fn start_over(&mut self, store: &mut Store) {
        store.restored = true;
        *self = Self::down();
    }

    fn join(&mut self, listed: Listed, server: &Server, store: &mut Store) {
        match Lineage::of(self.since(), listed.at(), self.resumed) {
            Lineage::Follows => {}
            Lineage::Foreign | Lineage::Restored => return self.start_over(store),
        }
        let since = self.since();
        self.origin = self.dates.since().or(self.newest_list);
        self.at = since.unwrap_or_default();
        self.phase = Phase::Following;
        store.list(number(listed.at()));
        self.joining = Some(Joining {
            listed: listed.at(),
            join: match since.filter(|_| self.is_beginning) {
                Some(begin) => Join::begin(listed, begin, self.was_recorded),
                None => Join::start(listed, since, self.resumable),
            },
            is_audit: false,
        });
        self.go_on(server, store);
    }

    /// Compares a list at `at` with what was seen.
    pub fn audit(&mut self, at: u64, server: &Server, store: &mut Store) {
        if !self.believes(at) {
            return;
        }
        let mut listed = Listed::default();
        for shown in shown_by_list(server, at) {
            let change = shown.change(server);
            listed.saw(change.uid);
            if self.known.contradicts(&change) {
                return self.start_over(store);
            }
            if self.knows(shown) {
                continue;
            }
            let need = self.need(shown, server);
            let since = Some(ResourceVersion::default());
            match listed.place(&change, need, place(at), since) {
                Placed::Now => {
                    let last = self.known.last(change.uid);
                    if let Some(last) = last.filter(|_| !mutant::is(Mutant::LostLastIgnored)) {
                        listed.follows(&change, last, place(at));
                    }
                }
                Placed::Later => {}
                Placed::Rewound => return self.start_over(store),
            }
        }
        listed.complete(place(at), &self.known);
        self.joining = Some(Joining {
            listed: listed.at(),
            join: Join::audit(listed, self.at),
            is_audit: true,
        });
        self.go_on(server, store);
    }

    /// A read of the present, between two watches, shows the place `at`.
    pub fn check(&mut self, at: u64, server: &Server, store: &mut Store) {
        if place(at) >= self.at {
            self.measured(at, server);
        } else if mutant::is(Mutant::StaleListBelieved) {
            self.start_over(store);
        }
    }

    /// Does the next read: of a task, or an event of the watch.
    pub fn step(&mut self, server: &Server, store: &mut Store) {
        match self.tasks.pop_front() {
            None => self.watch(server, store),
            Some(Task::Replay(mut replay)) => {
                let was_open = std::mem::replace(&mut replay.is_open, true);
                self.tasks.push_front(Task::Replay(replay));
                if was_open || number(self.at) < server.window {
                    self.watch(server, store);
                }
            }
            Some(Task::History(mut reading)) => {
                reading.read(server);
                self.tasks.push_front(Task::History(reading));
            }
            Some(Task::End(ending)) => self.end(&ending, server, store),
            Some(Task::Sample(at)) => self.sample(at, server, store),
        }
        self.go_on(server, store);
    }

    fn due(&self, server: &Server) -> Due {
        match Shown::event(server, self.at) {
            _ if number(self.at) < server.window => Due::Expired,
            Some(event) => Due::Event(event),
            None => Due::Silence,
        }
    }

    /// Whether [`Replica::step`] can do anything.
    pub fn can_step(&self, server: &Server) -> bool {
        self.phase == Phase::Following
            && (!self.tasks.is_empty() || !matches!(self.due(server), Due::Silence))
    }

    fn watch(&mut self, server: &Server, store: &mut Store) {
        match self.due(server) {
            Due::Event(event) => self.event(event, server, store),
            Due::Expired => self.expired(),
            Due::Silence => self.silence(),
        }
    }

    fn expired(&mut self) {
        let replay = self.tasks.pop_front();
        match &mut self.joining {
            // The list that follows shows whatever an audit has missed.
            Some(joining) if joining.is_audit => self.joining = None,
            Some(joining) => joining.join.expired(&self.known),
            None => {
                debug_assert!(replay.is_none(), "only a join replays");
                self.phase = Phase::Listing;
                self.resumable = false;
            }
        }
    }

    /// A watch that ends without a word shows that no more comes.
    fn silence(&mut self) {
        if matches!(self.tasks.front(), Some(Task::Replay(_))) {
            self.tasks.pop_front();
            self.replayed();
        }
    }

    fn replayed(&mut self) {
        if let Some(joining) = &mut self.joining {
            joining.join.replayed(self.at, &self.known);
        }
    }

    /// An event of a watch, after the generations that have to be read before it.
    fn event(&mut self, event: Shown, server: &Server, store: &mut Store) {
        let change = event.change(server);
        if self.known.contradicts(&change) {
            return self.start_over(store);
        }
        let behind = match (self.need(event, server), self.origin) {
            (Need::After { last, refresh }, _) => Behind::new(&change, last, refresh, None),
            (Need::Origin, Some(origin)) if origin.at < event.at => {
                let nothing = Version {
                    generation: 0,
                    at: origin.at,
                };
                Behind::new(&change, nothing, false, None)
            }
            _ => {
                self.pass(event, server);
                return self.moved(event.at);
            }
        };
        let reading = Reading::new(behind, Some(event));
        self.tasks.push_front(Task::History(reading));
    }

    /// The watch passes over the next event, and a bookmark tells that nothing is missing. A list from before does not
    /// show what follows from that.
    pub fn pass_over(&mut self, server: &Server, store: &mut Store) {
        self.audited = ResourceVersion::default();
        if let Some(joining) = &mut self.joining {
            joining.listed = ResourceVersion::default();
        }
        if let Some(event) = Shown::event(server, self.at) {
            self.moved(event.at);
        }
        self.go_on(server, store);
    }

    /// A replay ends although there is more.
    pub fn cut(&mut self, server: &Server, store: &mut Store) {
        self.silence();
        self.go_on(server, store);
    }

    fn end(&mut self, ending: &Ending, server: &Server, store: &mut Store) {
        let last = last_state(server, ending.object, ending.there, ending.by);
        match (last, &ending.recorded) {
            (Some(last), _) => {
                let change = last.change(server);
                let behind = Behind::new(&change, ending.from, true, None);
                let reading = Reading::new(behind, Some(last));
                self.tasks.push_front(Task::History(reading));
            }
            (None, Some(recorded)) => self.gone(recorded, store),
            (None, None) => {
                if let Some(joining) = &mut self.joining {
                    joining.join.lost_sight();
                }
            }
        }
    }

    fn sample(&mut self, at: ResourceVersion, server: &Server, store: &mut Store) {
        let Some(Joining { join, .. }) = &mut self.joining else {
            return;
        };
        let (from, to) = join.interval();
        let objects = all(server, at).map(|objects| {
            let uids = objects.into_iter();
            uids.map(|(object, generation)| (uid(object), generation))
                .collect::<Vec<(Uuid, i64)>>()
        });
        let endings = join.sampled(objects.as_deref(), &self.known);
        let nothing = Version {
            generation: 0,
            at: from,
        };
        let endings = endings.into_iter().map(|uid| Ending {
            object: object(uid),
            from: nothing,
            there: at,
            by: to,
            recorded: None,
        });
        for ending in endings {
            if server.samples_split {
                self.tasks.push_back(Task::End(ending));
            } else {
                self.end(&ending, server, store);
            }
        }
    }

    /// Does everything that needs no read.
    fn go_on(&mut self, server: &Server, store: &mut Store) {
        loop {
            match self.tasks.front() {
                Some(Task::History(reading)) if reading.is_over() => {
                    let reading = reading.clone();
                    self.tasks.pop_front();
                    self.tell(&reading, server, store);
                }
                Some(Task::Replay(Replay {
                    until,
                    is_open: true,
                })) if until.is_reached(self.at, &self.known) => {
                    self.tasks.pop_front();
                    self.replayed();
                }
                Some(_) => return,
                None => match self.joining.take() {
                    Some(joining) => self.next_of_join(joining, store),
                    None => return,
                },
            }
        }
    }

    fn next_of_join(&mut self, mut joining: Joining, store: &mut Store) {
        match joining.join.step() {
            JoinStep::Replay(until) => {
                // An audit looks before it watches.
                let is_open = joining.is_audit;
                self.tasks
                    .push_back(Task::Replay(Replay { until, is_open }));
            }
            JoinStep::ReadBack { behind, gone, by } => {
                let histories = behind.into_iter();
                let histories = histories.map(|behind| Task::History(Reading::new(behind, None)));
                let ends = gone.into_iter().map(|recorded| {
                    Task::End(Ending {
                        object: object(ObjectName::from(&recorded).uid),
                        from: recorded.version,
                        there: recorded.version.at,
                        by,
                        recorded: Some(recorded),
                    })
                });
                self.tasks.extend(histories.chain(ends));
            }
            _ if joining.is_audit => {
                self.audited = joining.listed;
                return;
            }
            JoinStep::Sample(at) => self.tasks.push_back(Task::Sample(at)),
            JoinStep::Blind { from, to } => self.blind(from, to, store),
            JoinStep::Joined(at) => return self.joined(at),
        }
        self.joining = Some(joining);
    }

    fn joined(&mut self, at: ResourceVersion) {
        if let Some(list) = self.newest_list.filter(|list| list.at == at) {
            self.origin = Some(list);
        }
        self.is_beginning = false;
        self.was_recorded = false;
        self.known.has_begun();
        self.moved(at);
        self.resumed = true;
    }
}

fn shown_by_list(server: &Server, at: u64) -> impl Iterator<Item = Shown> {
    server.present(at).map(|write| Shown {
        object: write.object,
        generation: write.generation,
        at: place(write.at),
        how: How::Listed,
    })
}
