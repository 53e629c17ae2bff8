//! What to do about a Lease that was read. Pure.

use crate::clock;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use std::time::Duration;
use tokio::time::Instant;

/// Others may take the Lease when it was not renewed for so long.
pub(super) const DURATION: Duration = Duration::from_secs(15);
/// Who could not renew for so long does not lead any more.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// The time between two looks at the Lease.
pub(super) const PERIOD: Duration = Duration::from_secs(2);

/// A Lease as it was last seen, and since when it looks like that.
#[derive(Debug)]
pub(super) struct Seen {
    record: LeaseSpec,
    since: Instant,
}

impl Seen {
    /// Only a change of what is written restarts the clock.
    pub(super) fn update(before: Option<Self>, record: LeaseSpec, now: Instant) -> Self {
        let since = before
            .filter(|seen| seen.record == record)
            .map_or(now, |seen| seen.since);
        Self { record, since }
    }

    /// What `identity` may write in its place; none while somebody else leads.
    pub(super) fn claim(&self, identity: &str, now: Instant) -> Option<LeaseSpec> {
        let holder = self.record.holder_identity.as_deref().unwrap_or_default();
        let mine = holder == identity;
        let written = self
            .record
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        let lasts = written.map_or(DURATION, Duration::from_secs);
        if !mine && !holder.is_empty() && now.duration_since(self.since) < lasts {
            return None;
        }
        let transitions = self.record.lease_transitions.unwrap_or(0);
        Some(if mine {
            let acquired = self.record.acquire_time.clone();
            LeaseSpec {
                acquire_time: acquired,
                ..held(identity, transitions)
            }
        } else {
            held(identity, transitions.saturating_add(1))
        })
    }

    /// What is written when it is given up.
    pub(super) fn release(&self) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            renew_time: Some(MicroTime(clock::timestamp())),
            ..self.record.clone()
        }
    }
}

/// A Lease that `identity` holds from now on.
pub(super) fn held(identity: &str, transitions: i32) -> LeaseSpec {
    let now = MicroTime(clock::timestamp());
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

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_is_taken_when_nobody_renews_it() {
        let start = Instant::now();
        let seen = Seen::update(None, held("a", 3), start);
        assert_eq!(seen.claim("b", after(start, 14)), None);
        let taken = seen.claim("b", after(start, 15)).expect("expired");
        assert_eq!(
            (taken.holder_identity.as_deref(), taken.lease_transitions),
            (Some("b"), Some(4))
        );
    }

    #[test]
    fn only_a_change_of_the_record_counts_as_renewal() {
        let start = Instant::now();
        let record = held("a", 0);
        let seen = Seen::update(None, record.clone(), start);
        let seen = Seen::update(Some(seen), record.clone(), after(start, 10));
        assert!(
            seen.claim("b", after(start, 16)).is_some(),
            "seeing it again is no renewal"
        );
        let renewed = LeaseSpec {
            lease_transitions: Some(9),
            ..record
        };
        let seen = Seen::update(Some(seen), renewed, after(start, 16));
        assert_eq!(seen.claim("b", after(start, 30)), None);
    }

    #[test]
    fn its_holder_renews_at_once_and_keeps_when_it_began() {
        let start = Instant::now();
        let record = held("a", 3);
        let renewed = Seen::update(None, record.clone(), start)
            .claim("a", start)
            .expect("its own");
        assert_eq!(
            (renewed.acquire_time, renewed.lease_transitions),
            (record.acquire_time, Some(3))
        );
    }

    #[test]
    fn what_was_given_up_is_free_at_once() {
        let start = Instant::now();
        let released = Seen::update(None, held("a", 1), start).release();
        assert!(
            Seen::update(None, released, start)
                .claim("b", start)
                .is_some()
        );
    }
}
