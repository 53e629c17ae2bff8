//! The beginning, when there is no checkpoint: that of the product's `Stream::begin`, and whatever may be asked of it.

use crate::replica::{Phase, Replica};
use crate::server::{Object, Server, Write, place};
use crate::shown::{How, Shown};
use crate::store::Store;
use revisor::mutant::{self, Mutant};
use revisor::watch::{Dates, Position, Recorded, STALENESS};
use std::collections::BTreeMap;

/// Where recording began, the last time. What is asked of it is that of one replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Beginning {
    at: u64,
    /// The objects that were recorded before, and their first recorded generations.
    recorded: BTreeMap<Object, i64>,
    /// The place of the first list after it.
    listed: Option<u64>,
}

impl Beginning {
    /// A list shows a place.
    pub fn list(&mut self, at: u64) {
        self.listed.get_or_insert(at);
    }

    /// Whether a write has to be accounted for. What is older than the beginning is not known, unless its object was
    /// recorded before; and where nothing was, nobody expects what came and went before the first list.
    pub fn expects(&self, server: &Server, write: Write) -> bool {
        let object = write.object;
        let came_after = server.created(object).is_some_and(|at| at > self.at);
        let has_gone = server
            .deleted(object)
            .is_some_and(|at| self.listed.is_none_or(|listed| at <= listed));
        match server.there(object, self.at) {
            _ if self.is_recorded(write) => true,
            None if came_after => !has_gone || !self.recorded.is_empty(),
            // It came and went before.
            None => !self.recorded.is_empty(),
            // Compaction may be faster than the reads at that place.
            Some(first) if server.compacted > self.at => write.at > first.at && !has_gone,
            Some(first) => write.at >= first.at,
        }
    }

    fn is_recorded(&self, write: Write) -> bool {
        let first = self.recorded.get(&write.object);
        first.is_some_and(|first| write.generation >= *first)
    }

    /// Whether a write comes after it: a checkpoint says nothing of those that do not.
    pub fn precedes(&self, write: Write) -> bool {
        self.at < write.at
    }
}

impl Replica {
    /// The phase in which a process starts that has this position or none.
    pub fn first_phase(since: Option<Position>) -> Phase {
        if since.is_some() || mutant::is(Mutant::NoBeginning) {
            Phase::Listing
        } else {
            Phase::Beginning
        }
    }

    /// Looks for the oldest place that can be read, and reads everything that was there.
    pub fn begin(&mut self, server: &Server, store: &mut Store) {
        let at = server.compacted.max(1);
        let shown = server.present(at).map(|write| Shown {
            object: write.object,
            generation: write.generation,
            at: place(write.at),
            how: How::Read,
        });
        let there: Vec<_> = shown.map(|shown| shown.change(server)).collect();
        let newest = there.iter().filter_map(|change| change.created).max();
        let position = Position {
            at: place(at),
            time: newest.map(|time| time - STALENESS).unwrap_or_default(),
        };
        self.dates = Dates::new(Some(position));
        self.known
            .begin(there.iter().map(|change| Recorded::at(change, place(at))));
        self.phase = Phase::Listing;
        store.beginning = Some(Beginning {
            at,
            recorded: store.first_generations(),
            listed: None,
        });
    }

    /// The first list after the beginning begins. There is no place to go on from before it is joined.
    pub fn begins(&mut self, is_recorded: bool) {
        self.was_recorded |= is_recorded;
    }
}
