//! Reading back one object: one read after the other, and the pieces that come of it.

use crate::server::{Object, Server, number, object, place};
use crate::shown::{How, Shown};
use revisor::watch::join::Behind;
use revisor::watch::walk::{State, Walk};
use revisor::workload::{ResourceVersion, Version};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The next read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// The state that a list has shown.
    Listed,
    /// The last known state.
    Refresh,
    /// The states that lie between.
    Walk,
}

/// A state that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Found {
    /// Where it was read.
    read: ResourceVersion,
    /// Where it was written.
    written: ResourceVersion,
}

/// One piece of the history of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// A generation that was found.
    State(Shown),
    /// Generations that cannot be had, and the last place where they may have been.
    Hole(RangeInclusive<i64>, ResourceVersion),
}

/// The history of one object while it is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// The object.
    pub behind: Behind,
    /// The state that is passed on when everything before it was.
    pub then: Option<Shown>,
    stage: Stage,
    walk: Walk,
    found: BTreeMap<i64, Found>,
    /// Whether the state that a list has shown is lost.
    listed_lost: bool,
}

impl Reading {
    /// Nothing is read yet.
    pub fn new(behind: Behind, then: Option<Shown>) -> Self {
        let walk = Walk::new(behind.from, behind.to);
        let mut reading = Self {
            behind,
            then,
            stage: Stage::Listed,
            walk,
            found: BTreeMap::new(),
            listed_lost: false,
        };
        reading.leap();
        reading
    }

    fn object(&self) -> Object {
        object(self.behind.of.uid)
    }

    /// Leaves out reads that are not needed.
    fn leap(&mut self) {
        if self.stage == Stage::Listed && self.behind.listed.is_none() {
            self.stage = Stage::Refresh;
        }
        if self.stage == Stage::Refresh && !self.behind.refresh {
            self.stage = Stage::Walk;
        }
    }

    /// Whether everything is read.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Walk && self.walk.next().is_none()
    }

    /// Does the next read.
    pub fn read(&mut self, server: &Server) {
        match self.stage {
            Stage::Listed => {
                self.read_listed(server);
                self.stage = Stage::Refresh;
            }
            Stage::Refresh => {
                self.read_last_known(server);
                self.stage = Stage::Walk;
            }
            Stage::Walk => self.walk(server),
        }
        self.leap();
    }

    /// The state that a list has shown: as it was there, or as it is now, or in between.
    fn read_listed(&mut self, server: &Server) {
        let listed = self.behind.listed.unwrap_or_default();
        let to = self.behind.to.generation;
        let now = place(server.now());
        if let State::Present(found) = server.read(self.object(), listed)
            && found.generation == to
        {
            return self.keep(to, listed, found.at);
        }
        let later = match server.read(self.object(), now) {
            State::Present(found) => Some(found),
            _ => last_state(server, self.object(), listed, now).map(|last| Version {
                generation: last.generation,
                at: last.at,
            }),
        };
        match later {
            Some(found) if found.generation == to => self.keep(to, listed, found.at),
            Some(later) if later.generation > to => {
                self.walk = Walk::new(self.behind.from, later);
            }
            _ => self.listed_lost = true,
        }
    }

    fn read_last_known(&mut self, server: &Server) {
        let from = self.behind.from;
        if let State::Present(found) = server.read(self.object(), from.at) {
            self.keep(from.generation, from.at, found.at);
        }
    }

    fn walk(&mut self, server: &Server) {
        let Some(at) = self.walk.next() else {
            return;
        };
        let state = server.read(self.object(), at);
        if let (true, State::Present(found)) = (self.walk.saw(at, state), state)
            && found.generation <= self.behind.to.generation
        {
            self.keep(found.generation, at, found.at);
        }
    }

    fn keep(&mut self, generation: i64, read: ResourceVersion, written: ResourceVersion) {
        self.found.insert(generation, Found { read, written });
    }

    /// All pieces, from the oldest to the youngest.
    pub fn pieces(&self) -> Vec<Piece> {
        let to = self.behind.to;
        let lost = self.walk.lost().into_iter();
        let holes = lost
            .filter_map(|hole| hole.up_to(to.generation))
            .map(|hole| hole.generations);
        let newest = self.listed_lost.then_some(to.generation..=to.generation);
        let mut holes = holes.chain(newest).peekable();
        let mut pieces = Vec::new();
        for (generation, found) in &self.found {
            while let Some(hole) = holes.next_if(|hole| *hole.end() < *generation) {
                pieces.push(Piece::Hole(hole, found.read.min(to.at).before()));
            }
            pieces.push(Piece::State(Shown {
                object: self.object(),
                generation: *generation,
                at: found.written,
                how: How::Read,
            }));
        }
        pieces.extend(holes.map(|hole| {
            let is_newest = *hole.end() == to.generation;
            let at = if is_newest { to.at } else { to.at.before() };
            Piece::Hole(hole, at)
        }));
        pieces
    }
}

/// The last state, at or after `from`, of an object that is gone at `by`; none when its history is compacted.
pub fn last_state(
    server: &Server,
    object: Object,
    from: ResourceVersion,
    by: ResourceVersion,
) -> Option<Shown> {
    let (mut there, mut gone) = (from.before(), by);
    let mut last: Option<Version> = None;
    while there.distance(gone) > 1 {
        let at = there.middle(gone);
        match server.read(object, at) {
            State::Present(found) => (there, last) = (at, Some(found)),
            State::Absent => gone = at,
            State::Compacted | State::Unreadable => there = at,
        }
    }
    last.map(|last| Shown {
        object,
        generation: last.generation,
        at: last.at,
        how: How::ReadLast,
    })
}

/// Every object and its generation at a place; none when it is compacted.
pub fn all(server: &Server, at: ResourceVersion) -> Option<Vec<(Object, i64)>> {
    let at = number(at);
    let present = || {
        server
            .present(at)
            .map(|write| (write.object, write.generation))
    };
    (at >= server.compacted).then(|| present().collect())
}
