//! The failures that hold writing at the moment.
//!
//! In: failures and settled writes. Out: the holds that begin or end with them. A plain value, which can be copied and
//! compared; its order is that of reasons and scopes.

use super::evidence::{Cause, Proof, Scope};
use super::gate::Streak;
use super::lanes::Failed;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A transient failure is reported like a lasting one after this many attempts.
const LASTING_ATTEMPTS: u32 = 5;
/// A transient failure is reported like a lasting one after this time.
const LASTING_TIME: Duration = Duration::from_secs(30);

/// The writes that are held.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldScope {
    /// All of them.
    All,
    /// Those of one namespace.
    Namespace(String),
    /// Those of one workload.
    Workload(Uuid),
}

impl HoldScope {
    /// The writes that a failure of `workload` in `namespace` holds; none when it will probably have passed soon.
    pub fn of(
        cause: Cause,
        failed: &Failed,
        workload: Uuid,
        namespace: &str,
        now: Instant,
    ) -> Option<Self> {
        match failed.scope {
            Scope::All if lasts(cause, failed.gate, now) => Some(Self::All),
            Scope::Namespace if lasts(cause, failed.lane, now) => {
                Some(Self::Namespace(namespace.to_owned()))
            }
            _ if lasts(cause, failed.lane, now) => Some(Self::Workload(workload)),
            _ => None,
        }
    }
}

/// Whether failures in a row hold writing.
fn lasts(cause: Cause, streak: Streak, now: Instant) -> bool {
    let is_long = streak.lasts(LASTING_TIME, now);
    !cause.passing || streak.failures >= LASTING_ATTEMPTS || is_long
}

/// A reason for which writing is held, and the writes that are held for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hold {
    /// One CamelCase word.
    pub reason: &'static str,
    /// The writes that are held.
    pub scope: HoldScope,
}

impl Hold {
    /// Whether a settled write of `workload` in `namespace` shows that the hold is over.
    fn ends_with(&self, passing: bool, proof: Proof, workload: Uuid, namespace: &str) -> bool {
        match &self.scope {
            HoldScope::All => proof == Proof::Created || passing,
            HoldScope::Namespace(held) => {
                (proof != Proof::Answered || passing) && held == namespace
            }
            HoldScope::Workload(held) => *held == workload,
        }
    }
}

/// All holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Holds {
    present: BTreeMap<Hold, HoldState>,
}

/// The properties of a hold that do not tell it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct HoldState {
    /// Whether it is transient.
    passing: bool,
    since: Instant,
}

impl Holds {
    /// Adds a hold, unless `workload`, which failed, is known to fail by itself. True when the hold is new.
    pub fn raise(
        &mut self,
        reason: &'static str,
        scope: &HoldScope,
        workload: Uuid,
        passing: bool,
        now: Instant,
    ) -> bool {
        let own = Hold {
            reason,
            scope: HoldScope::Workload(workload),
        };
        if self.present.contains_key(&own) {
            return false;
        }
        let scope = scope.clone();
        let state = HoldState {
            passing,
            since: now,
        };
        let mut is_new = false;
        let present = self.present.entry(Hold { reason, scope });
        let present = present.or_insert_with(|| {
            is_new = true;
            state
        });
        present.passing = passing;
        is_new
    }

    /// Every hold, and since when it lasts.
    pub fn present(&self) -> impl Iterator<Item = (&Hold, Instant)> {
        self.present.iter().map(|(hold, state)| (hold, state.since))
    }

    /// Whether anything is held for `reason`.
    pub fn holds(&self, reason: &str) -> bool {
        self.present.keys().any(|hold| hold.reason == reason)
    }

    /// A write of `workload` was settled. Returns the holds that are over with it; all of them when the queue is idle.
    pub fn settle(
        &mut self,
        proof: Proof,
        workload: Uuid,
        namespace: &str,
        idle: bool,
    ) -> Vec<Hold> {
        self.end(|hold, passing| idle || hold.ends_with(passing, proof, workload, namespace))
    }

    /// A write failed, but was answered. Returns the holds that are over with it: those because nothing answered.
    pub fn answered(&mut self) -> Vec<Hold> {
        self.end(|hold, passing| passing && hold.scope == HoldScope::All)
    }

    /// Everything is over.
    pub fn clear(&mut self) -> Vec<Hold> {
        self.end(|_, _| true)
    }

    fn end(&mut self, is_over: impl Fn(&Hold, bool) -> bool) -> Vec<Hold> {
        self.present
            .extract_if(.., |hold, state| is_over(hold, state.passing))
            .map(|(hold, _)| hold)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Uuid = Uuid::from_u128(1);
    const TWO: Uuid = Uuid::from_u128(2);

    /// The reasons of the holds that a write settles: its proof, workload, namespace, whether the queue is idle.
    const CASES: &[(Proof, Uuid, &str, bool, &[&str])] = &[
        (
            Proof::Created,
            ONE,
            "free",
            false,
            &["Forbidden", "Network"],
        ),
        (
            Proof::Created,
            ONE,
            "full",
            false,
            &["QuotaExceeded", "Forbidden", "Network"],
        ),
        (Proof::Answered, ONE, "full", false, &["Network"]),
        (
            Proof::Answered,
            TWO,
            "free",
            false,
            &["Network", "ServerError"],
        ),
        (
            Proof::NamespaceGone,
            ONE,
            "full",
            false,
            &["QuotaExceeded", "Network"],
        ),
        (
            Proof::Answered,
            ONE,
            "free",
            true,
            &["QuotaExceeded", "Forbidden", "Network", "ServerError"],
        ),
    ];

    fn scope(reason: &str) -> HoldScope {
        match reason {
            "QuotaExceeded" => HoldScope::Namespace("full".to_owned()),
            "ServerError" => HoldScope::Workload(TWO),
            _ => HoldScope::All,
        }
    }

    fn start() -> Holds {
        let mut holds = Holds::default();
        let mut raise =
            |reason, passing| holds.raise(reason, &scope(reason), TWO, passing, Instant::now());
        assert!(raise("QuotaExceeded", false));
        assert!(!raise("QuotaExceeded", false), "told once");
        assert!(raise("Forbidden", false));
        assert!(raise("Network", true));
        assert!(raise("ServerError", true));
        holds
    }

    #[test]
    fn a_hold_ends_only_by_what_shows_that_it_is_over() {
        for (proof, workload, namespace, idle, expected) in CASES {
            let mut holds = start();
            let over = holds.settle(*proof, *workload, namespace, *idle);
            assert_eq!(
                over.len(),
                expected.len(),
                "{proof:?} {namespace}: {over:?}"
            );
            for reason in *expected {
                let scope = scope(reason);
                assert!(
                    over.contains(&Hold { reason, scope }),
                    "{proof:?} {namespace}: {over:?}"
                );
            }
            assert!(over.iter().all(|hold| !holds.holds(hold.reason)));
        }
    }

    #[test]
    fn a_workload_that_fails_by_itself_raises_no_other_hold_for_the_same_reason() {
        let mut holds = start();
        assert!(!holds.raise("ServerError", &HoldScope::All, TWO, true, Instant::now()));
        assert!(holds.raise("ServerError", &HoldScope::All, ONE, true, Instant::now()));
    }
}
