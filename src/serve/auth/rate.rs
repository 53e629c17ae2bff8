//! At most so many requests a second for each caller: the generic cell rate algorithm, one number a caller.

use super::Tag;
use crate::clock;
use moka::sync::Cache;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CALLERS: u64 = 10_000;
/// A caller may be so many times its rate ahead.
const BURST: u64 = 3;
const SECOND: u64 = 1_000_000_000;

/// The rates of all callers. Cloning shares them.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    /// When each caller has used up what it may, in nanoseconds since the start.
    used: Cache<Tag, Arc<AtomicU64>>,
    start: Instant,
    /// Nanoseconds a request takes up.
    cost: u64,
}

impl Rates {
    pub(super) fn new(per_second: u32) -> Self {
        let used = Cache::builder()
            .max_capacity(CALLERS)
            .time_to_idle(Duration::from_secs(60))
            .build();
        Self {
            used,
            start: clock::monotonic(),
            cost: SECOND / u64::from(per_second.max(1)),
        }
    }

    /// Takes one request into account; false when it is one too many.
    pub(super) fn admits(&self, caller: Tag) -> bool {
        let used = self.used.get_with(caller, Arc::default);
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.admits_at(&used, now)
    }

    fn admits_at(&self, used: &AtomicU64, now: u64) -> bool {
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until| {
            self.after(until, now)
        })
        .is_ok()
    }

    /// When a caller has used up what it may, after one more request; none when that is too far ahead.
    fn after(&self, until: u64, now: u64) -> Option<u64> {
        let next = until.max(now).saturating_add(self.cost);
        (next - now <= BURST * SECOND).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let rates = Rates::new(10);
        let used = AtomicU64::new(0);
        let admitted = |now: u64| (0..100).filter(|_| rates.admits_at(&used, now)).count();
        assert_eq!(
            (
                admitted(0),
                admitted(0),
                admitted(SECOND),
                admitted(10 * SECOND)
            ),
            (30, 0, 10, 30)
        );
        assert!(rates.admits([1; 32]) && rates.admits([2; 32]));
    }
}
