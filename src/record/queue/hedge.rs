//! Writes that wait, because the replica that holds the Lease is expected to carry them out. Pure.
//!
//! The holder writes at once. While it is seen to renew the Lease, any other replica keeps what it has decided until the
//! cache shows it as stored. What is not shown in time it writes itself, one write after the other: so a holder that is gone
//! costs seconds, and nothing depends on the Lease.
//!
//! In: writes, whether nobody else is expected to write, and what the cache shows. Out: the writes that go on.

use super::lane::LaneItem;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A write that is so old goes on if the cache has shown no other Revision for so long: nobody seems to write.
const SOON: Duration = Duration::from_secs(3);
/// A write that is so old goes on, whatever the cache shows.
const LATE: Duration = Duration::from_secs(15);

/// The end of a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Released<T> {
    /// It is stored.
    Stored(T),
    /// It is written by this replica.
    Write(T),
}

/// The state of other replicas, as far as it can be seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Others {
    /// Whether this replica holds the Lease, or no other one is seen to hold it.
    pub(super) leads: bool,
    /// For how long the cache has shown no new Revision; none while it may be behind.
    pub(super) quiet: Option<Duration>,
    /// Whether a write of this replica is under way, or could be.
    pub(super) is_moving: bool,
}

/// The writes that wait, in the order in which they came.
#[derive(Clone, Debug)]
pub(super) struct Hedge<T> {
    waiting: VecDeque<(Instant, T)>,
}

impl<T> Default for Hedge<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
        }
    }
}

impl<T: LaneItem> Hedge<T> {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A write waits from now on.
    pub(super) fn push(&mut self, item: T, now: Instant) {
        self.waiting.push_back((now, item));
    }

    /// Takes out everything.
    pub(super) fn clear(&mut self) -> Vec<T> {
        self.waiting.drain(..).map(|(_, item)| item).collect()
    }

    /// Ends the waits that are over, in their order. A write into the status of a Revision waits for the Revisions of its
    /// workload that came before it, and for nothing else.
    pub(super) fn release(
        &mut self,
        now: Instant,
        others: Others,
        is_stored: impl Fn(&T) -> bool,
    ) -> Vec<Released<T>> {
        let mut released = Vec::new();
        let mut waited_for: BTreeSet<Uuid> = BTreeSet::new();
        let mut may_write = !others.is_moving;
        for (since, item) in std::mem::take(&mut self.waiting) {
            let workload = item.workload();
            if item.creates() && is_stored(&item) {
                released.push(Released::Stored(item));
                continue;
            }
            let is_first = !waited_for.contains(&workload);
            let is_due = may_write && is_due(now.duration_since(since), others.quiet);
            if others.leads || is_first && (!item.creates() || is_due) {
                may_write &= !item.creates();
                released.push(Released::Write(item));
                continue;
            }
            waited_for.insert(workload);
            self.waiting.push_back((since, item));
        }
        released
    }
}

/// Whether a write of that age is carried out by a replica that does not hold the Lease.
fn is_due(age: Duration, quiet: Option<Duration>) -> bool {
    let nobody_writes = quiet.is_some_and(|quiet| quiet >= SOON);
    age >= LATE || age >= SOON && nobody_writes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Write(u128, i64, bool);

    impl LaneItem for Write {
        fn workload(&self) -> Uuid {
            Uuid::from_u128(self.0)
        }

        fn namespace(&self) -> &'static str {
            "n"
        }

        fn revision(&self) -> &'static str {
            "r"
        }

        fn creates(&self) -> bool {
            self.2
        }

        fn may_be_passed(&self) -> bool {
            false
        }
    }

    const FOLLOWER: Others = Others {
        leads: false,
        quiet: None,
        is_moving: false,
    };

    fn create(workload: u128, generation: i64) -> Write {
        Write(workload, generation, true)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn hedge(now: Instant, writes: &[Write]) -> Hedge<Write> {
        let mut hedge = Hedge::default();
        for write in writes {
            hedge.push(*write, now);
        }
        hedge
    }

    #[test]
    fn what_is_stored_is_not_written() {
        let now = Instant::now();
        let mut hedge = hedge(now, &[create(1, 1), create(1, 2), create(2, 1)]);
        let is_stored = |write: &Write| write.1 == 2;
        let released = hedge.release(now, FOLLOWER, is_stored);
        assert_eq!(released, [Released::Stored(create(1, 2))]);
        assert_eq!(hedge.len(), 2);
    }

    #[test]
    fn the_holder_of_the_lease_writes_everything_in_order() {
        let now = Instant::now();
        let status = Write(1, 1, false);
        let mut hedge = hedge(now, &[create(1, 1), status, create(2, 1)]);
        let leads = Others {
            leads: true,
            ..FOLLOWER
        };
        let released = hedge.release(now, leads, |_| false);
        let expected = [create(1, 1), status, create(2, 1)].map(Released::Write);
        assert_eq!(released, expected);
    }

    #[test]
    fn another_replica_writes_one_by_one_what_nobody_writes() {
        let now = Instant::now();
        let mut hedge = hedge(now, &[create(1, 1), create(2, 1)]);
        let quiet = |quiet| Others {
            quiet: Some(quiet),
            ..FOLLOWER
        };
        let mut release = |after, others| hedge.release(now + after, others, |_| false);
        assert_eq!(release(seconds(2), quiet(seconds(9))), []);
        assert_eq!(release(seconds(4), quiet(seconds(2))), []);
        assert_eq!(release(seconds(4), FOLLOWER), [], "the cache is behind");
        let moving = Others {
            is_moving: true,
            ..quiet(seconds(9))
        };
        assert_eq!(release(seconds(4), moving), []);
        let first = release(seconds(4), quiet(seconds(3)));
        assert_eq!(first, [Released::Write(create(1, 1))]);
        assert_eq!(release(seconds(14), FOLLOWER), []);
        let second = release(seconds(15), quiet(seconds(0)));
        assert_eq!(second, [Released::Write(create(2, 1))]);
    }

    #[test]
    fn a_status_waits_for_the_revisions_of_its_workload_only() {
        let now = Instant::now();
        let [own, other] = [1, 2].map(|workload| Write(workload, 1, false));
        let mut hedge = hedge(now, &[create(1, 1), own, other]);
        let released = hedge.release(now, FOLLOWER, |_| false);
        assert_eq!(released, [Released::Write(other)]);
        let released = hedge.release(now, FOLLOWER, |write| write.2);
        let expected = [Released::Stored(create(1, 1)), Released::Write(own)];
        assert_eq!(released, expected);
    }
}
