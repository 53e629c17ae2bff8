//! The decision about a Lease that was read.
//!
//! In: the Lease, the identity of this process, and the time on both clocks. Out: the Lease to write, if any. A plain
//! value, which can be copied, compared and hashed.

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use std::hash::{Hash, Hasher};
use std::time::Duration;
use tokio::time::Instant;

/// Other processes may take the Lease when it was not renewed for so long.
pub(super) const DURATION: Duration = Duration::from_secs(15);
/// A process that could not renew for so long does not lead any more.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// The time between two looks at the Lease.
pub(super) const PERIOD: Duration = Duration::from_secs(2);

/// A holder that was not seen to renew for so long is not expected to write anything.
pub(super) const SILENCE: Duration = Duration::from_secs(6);

/// A Lease as it was last observed, and the time since which it looks like that.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ObservedLease {
    record: LeaseSpec,
    since: Instant,
}

// A LeaseSpec holds texts, integers and times: each is equal to itself.
impl Eq for ObservedLease {}

impl Hash for ObservedLease {
    /// The fields by which Leases of one name differ; the others are equal where the values are.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let LeaseSpec {
            holder_identity,
            lease_duration_seconds,
            lease_transitions,
            acquire_time,
            renew_time,
            ..
        } = &self.record;
        holder_identity.hash(state);
        lease_duration_seconds.hash(state);
        lease_transitions.hash(state);
        acquire_time.as_ref().map(|time| time.0).hash(state);
        renew_time.as_ref().map(|time| time.0).hash(state);
        self.since.hash(state);
    }
}

impl ObservedLease {
    /// The Lease was read or written. Only a change of its record restarts the clock.
    pub(super) fn update(before: Option<Self>, record: LeaseSpec, now: Instant) -> Self {
        let since = before
            .filter(|observed| observed.record == record)
            .map_or(now, |observed| observed.since);
        Self { record, since }
    }

    /// The record that `identity` may write in its place; none while another process leads. `time` is the wall time at
    /// `now`.
    pub(super) fn claim(&self, identity: &str, now: Instant, time: Timestamp) -> Option<LeaseSpec> {
        let transitions = self.record.lease_transitions.unwrap_or(0);
        let holder = self.record.holder_identity.as_deref().unwrap_or_default();
        if holder == identity {
            let acquired = self.record.acquire_time.clone();
            return Some(LeaseSpec {
                acquire_time: acquired,
                ..held(identity, transitions, time)
            });
        }
        let is_held = !holder.is_empty() && now.duration_since(self.since) < self.duration();
        (!is_held).then(|| held(identity, transitions.saturating_add(1), time))
    }

    /// Whether another process than `identity` seems to hold it and to run.
    pub(super) fn is_led(&self, identity: &str, now: Instant) -> bool {
        let holder = self.record.holder_identity.as_deref().unwrap_or_default();
        let is_another = !holder.is_empty() && holder != identity;
        is_another && now.duration_since(self.since) < SILENCE
    }

    /// The time for which the Lease is held without being renewed.
    fn duration(&self) -> Duration {
        self.record
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(DURATION, Duration::from_secs)
    }

    /// The record by which its holder gives it up at the wall time `time`.
    pub(super) fn release(&self, time: Timestamp) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: Some(MicroTime(time)),
            ..self.record.clone()
        }
    }
}

/// The record of a Lease that `identity` holds from the wall time `time` on.
pub(super) fn held(identity: &str, transitions: i32, time: Timestamp) -> LeaseSpec {
    let now = MicroTime(time);
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: Some(now.clone()),
        renew_time: Some(now),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::DefaultHasher;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    /// The wall time so many seconds after the epoch.
    fn wall(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    fn hash(lease: &ObservedLease) -> u64 {
        let mut hasher = DefaultHasher::new();
        lease.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn a_lease_is_taken_when_nobody_renews_it() {
        let start = Instant::now();
        let observed = ObservedLease::update(None, held("a", 3, wall(0)), start);
        assert_eq!(observed.claim("b", after(start, 14), wall(14)), None);
        let taken = observed
            .claim("b", after(start, 15), wall(15))
            .expect("expired");
        assert_eq!(taken, held("b", 4, wall(15)));
    }

    #[test]
    fn nobody_waits_for_a_holder_that_does_not_renew() {
        let start = Instant::now();
        let observed = ObservedLease::update(None, held("a", 3, wall(0)), start);
        assert!(observed.is_led("b", after(start, 5)));
        assert!(!observed.is_led("b", after(start, 6)));
        assert!(!observed.is_led("a", start), "its own");
        let renewed = ObservedLease::update(Some(observed), held("a", 3, wall(4)), after(start, 4));
        assert!(renewed.is_led("b", after(start, 9)));
        let free = ObservedLease::update(None, renewed.release(wall(9)), start);
        assert!(!free.is_led("b", start));
    }

    #[test]
    fn only_a_change_of_the_record_counts_as_renewal() {
        let start = Instant::now();
        let record = held("a", 0, wall(0));
        let first = ObservedLease::update(None, record.clone(), start);
        let again = ObservedLease::update(Some(first), record.clone(), after(start, 10));
        assert!(
            again.claim("b", after(start, 16), wall(16)).is_some(),
            "seeing it again is no renewal"
        );
        let renewed = LeaseSpec {
            lease_transitions: Some(9),
            ..record
        };
        let changed = ObservedLease::update(Some(again), renewed, after(start, 16));
        assert_eq!(changed.claim("b", after(start, 30), wall(30)), None);
    }

    #[test]
    fn its_holder_renews_at_once_and_keeps_when_it_began() {
        let start = Instant::now();
        let record = held("a", 3, wall(0));
        let renewed = ObservedLease::update(None, record.clone(), start)
            .claim("a", start, wall(2))
            .expect("its own");
        assert_eq!(
            renewed,
            LeaseSpec {
                renew_time: Some(MicroTime(wall(2))),
                ..record
            }
        );
    }

    #[test]
    fn what_was_given_up_is_free_at_once() {
        let start = Instant::now();
        let released = ObservedLease::update(None, held("a", 1, wall(0)), start).release(wall(1));
        assert_eq!(released.renew_time, Some(MicroTime(wall(1))));
        assert!(
            ObservedLease::update(None, released, start)
                .claim("b", start, wall(1))
                .is_some()
        );
    }

    #[test]
    fn equal_observations_have_equal_hashes() {
        let start = Instant::now();
        let observed = ObservedLease::update(None, held("a", 1, wall(0)), start);
        assert_eq!(hash(&observed), hash(&observed.clone()));
        let renewed = ObservedLease::update(None, held("a", 1, wall(1)), start);
        assert_ne!(observed, renewed);
        assert_ne!(hash(&observed), hash(&renewed));
    }
}
