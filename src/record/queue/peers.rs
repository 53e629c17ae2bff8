//! The times at which a replica writes Revisions that other replicas write too.
//!
//! In: whether this replica holds the Lease, whether another one is seen to renew it, and the Revisions that are stored.

use super::super::Archive;
use super::hedge::{Others, Released};
use super::lanes::LaneKey;
use super::{Queue, QueueState, Queued, Write, size};
use crate::metrics;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// So often it is looked whether other replicas have written what waits.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// How it is known what other replicas write.
pub struct Peers {
    /// Whether this replica holds the Lease.
    pub leads: watch::Receiver<bool>,
    /// Whether another one is seen to hold it.
    pub led: watch::Receiver<bool>,
    /// The Revisions that are stored.
    pub archive: Arc<dyn Archive>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

impl Queue {
    /// From now on this replica waits for another one to write while that is seen to hold the Lease.
    pub fn share(&self, peers: Peers) {
        // Said once, before anything is handed in.
        let _ = self.inner.peers.set(peers);
    }

    /// Whether another replica may have stored what this one is about to write.
    pub(super) fn repeats(&self) -> bool {
        let peers = self.inner.peers.get();
        peers.is_some_and(|peers| !*peers.leads.borrow())
    }

    /// Whether nobody else is expected to write.
    pub(super) fn writes_at_once(&self) -> bool {
        let peers = self.inner.peers.get();
        peers.is_none_or(|peers| *peers.leads.borrow() || !*peers.led.borrow())
    }

    /// Ends the waits for other replicas that are over.
    pub(super) fn release(&self, state: &mut QueueState, now: Instant) {
        let Some(peers) = self.inner.peers.get() else {
            return;
        };
        let at_once = state.closed || self.writes_at_once();
        let is_early = |looked: Instant| now.duration_since(looked) < LOOK;
        if state.hedge.is_empty() || state.looked.is_some_and(is_early) && !at_once {
            return;
        }
        state.looked = Some(now);
        let others = Others {
            leads: at_once,
            quiet: peers.archive.quiet(),
            is_moving: state.lanes.is_moving(),
        };
        let is_stored = |queued: &Queued| match &queued.item.write {
            Write::Create(revision, _) => peers.archive.holds(revision),
            Write::Status(_) => false,
        };
        for released in state.hedge.release(now, others, is_stored) {
            match released {
                Released::Stored(queued) => self.found(state, &queued),
                Released::Write(queued) => state.enter(queued, now),
            }
        }
    }

    /// Another replica has stored it.
    fn found(&self, state: &mut QueueState, queued: &Queued) {
        queued.item.settle();
        if let Write::Create(revision, _) = &queued.item.write {
            let labels = metrics::kind(&revision.spec.workload.kind);
            self.inner.metrics.present.get_or_create(&labels).inc();
        }
        state
            .budget
            .give_back(queued.item.write.namespace(), queued.bytes);
        self.show_room(state);
        self.inner.metrics.queue_length.dec();
        self.inner.metrics.queue_bytes.dec_by(size(queued.bytes));
    }
}

impl QueueState {
    /// A write is carried out by this replica.
    pub(super) fn enter(&mut self, queued: Queued, now: Instant) {
        let lane = self.lanes.push(queued, now);
        if matches!(lane, LaneKey::Refused(..)) {
            self.follow(lane);
        }
    }
}
