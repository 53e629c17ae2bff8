//! A small etcd in memory, for tests of a list that is joined to the past.

use crate::watch::walk::State;
use crate::workload::{ResourceVersion, Version};
use std::collections::BTreeSet;

/// One write: its place, the object, and its generation; 0 when it was deleted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) at: u64,
    pub(super) uid: u128,
    pub(super) generation: i64,
}

/// The history of a kind.
pub(super) struct Etcd {
    pub(super) writes: Vec<Write>,
    pub(super) compacted: u64,
}

pub(super) fn rv(number: u64) -> ResourceVersion {
    number.to_string().parse().expect("positive")
}

pub(super) fn number(at: ResourceVersion) -> u64 {
    at.to_string().parse().expect("small")
}

impl Etcd {
    /// The newest write of an object up to a place.
    pub(super) fn newest(&self, uid: u128, at: u64) -> Option<Write> {
        let of = |write: &&Write| write.uid == uid && write.at <= at;
        self.writes.iter().rev().find(of).copied()
    }

    pub(super) fn read(&self, uid: u128, at: ResourceVersion) -> State {
        if number(at) < self.compacted {
            return State::Compacted;
        }
        match self.newest(uid, number(at)) {
            Some(write) if write.generation > 0 => State::Present(Version {
                generation: write.generation,
                at: rv(write.at),
            }),
            _ => State::Absent,
        }
    }

    pub(super) fn present(&self, at: u64) -> Vec<Write> {
        let uids: BTreeSet<_> = self.writes.iter().map(|write| write.uid).collect();
        let newest = uids.into_iter().filter_map(|uid| self.newest(uid, at));
        newest.filter(|write| write.generation > 0).collect()
    }

    /// The last state of an object that is gone, as far as it can be read.
    pub(super) fn last_state(&self, uid: u128, from: u64, by: u64) -> Option<Write> {
        (from.max(self.compacted)..by)
            .rev()
            .filter_map(|at| self.newest(uid, at))
            .find(|write| write.generation > 0)
    }

    pub(super) fn now(&self) -> u64 {
        self.writes.last().map_or(1, |write| write.at)
    }
}
