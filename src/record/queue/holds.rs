//! What holds writing at the moment, and whom. Pure.

use std::collections::HashMap;
use uuid::Uuid;

/// Whom something holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    All,
    Namespace(String),
    Workload(Uuid),
}

/// What a write that is settled shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Revisions can be created in its namespace: one was, or one was found to be there.
    Created,
    /// The API server answers, no more: it has refused the Revision, or the write was none of a Revision.
    Answered,
    /// Its namespace is gone.
    NamespaceGone,
}

#[derive(Debug, Default)]
pub(super) struct Holds {
    /// Whether it passes by itself.
    present: HashMap<(&'static str, Place), bool>,
}

impl Holds {
    /// True when that is news.
    pub(super) fn raise(&mut self, reason: &'static str, place: Place, passing: bool) -> bool {
        self.present.insert((reason, place), passing).is_none()
    }

    /// Whether it is known that `workload` fails by itself.
    pub(super) fn knows(&self, reason: &'static str, workload: Uuid) -> bool {
        self.present
            .contains_key(&(reason, Place::Workload(workload)))
    }

    /// Whether anything is held for `reason`.
    pub(super) fn holds(&self, reason: &str) -> bool {
        self.present.keys().any(|(held, _)| *held == reason)
    }

    /// A write of `workload` was settled: returns what is over with it. `idle`: nothing waits any more.
    pub(super) fn settle(
        &mut self,
        proof: Proof,
        workload: Uuid,
        namespace: &str,
        idle: bool,
    ) -> Vec<(&'static str, Place)> {
        let over = |(_, place): &(&'static str, Place), passing: &mut bool| match place {
            _ if idle => true,
            Place::All => proof == Proof::Created || *passing,
            Place::Namespace(held) => proof != Proof::Answered && held == namespace,
            Place::Workload(held) => *held == workload,
        };
        self.present
            .extract_if(over)
            .map(|(hold, _)| hold)
            .collect()
    }

    /// A write failed, but was answered: what was held because nothing answered goes on.
    pub(super) fn answered(&mut self) -> Vec<(&'static str, Place)> {
        let over = |(_, place): &(&'static str, Place), passing: &mut bool| {
            *passing && *place == Place::All
        };
        self.present
            .extract_if(over)
            .map(|(hold, _)| hold)
            .collect()
    }

    /// Everything is over.
    pub(super) fn clear(&mut self) -> Vec<(&'static str, Place)> {
        self.present.drain().map(|(hold, _)| hold).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_only_by_what_shows_that_it_is_over() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let full = || Place::Namespace("full".to_owned());
        let start = || {
            let mut holds = Holds::default();
            assert!(holds.raise("QuotaExceeded", full(), false));
            assert!(!holds.raise("QuotaExceeded", full(), false), "told once");
            assert!(holds.raise("Forbidden", Place::All, false));
            assert!(holds.raise("Network", Place::All, true));
            assert!(holds.raise("ServerError", Place::Workload(two), true));
            holds
        };
        let quota = || ("QuotaExceeded", full());
        let (forbidden, network) = (("Forbidden", Place::All), ("Network", Place::All));
        let own = || ("ServerError", Place::Workload(two));
        for (proof, workload, namespace, idle, expected) in [
            (
                Proof::Created,
                one,
                "free",
                false,
                vec![forbidden.clone(), network.clone()],
            ),
            (
                Proof::Created,
                one,
                "full",
                false,
                vec![quota(), forbidden.clone(), network.clone()],
            ),
            (Proof::Answered, one, "full", false, vec![network.clone()]),
            (
                Proof::Answered,
                two,
                "free",
                false,
                vec![network.clone(), own()],
            ),
            (
                Proof::NamespaceGone,
                one,
                "full",
                false,
                vec![quota(), network.clone()],
            ),
            (
                Proof::Answered,
                one,
                "free",
                true,
                vec![quota(), forbidden, network, own()],
            ),
        ] {
            let mut holds = start();
            let over = holds.settle(proof, workload, namespace, idle);
            assert_eq!(
                over.len(),
                expected.len(),
                "{proof:?} {namespace}: {over:?}"
            );
            assert!(
                expected.iter().all(|hold| over.contains(hold)),
                "{proof:?} {namespace}: {over:?}"
            );
            assert!(over.iter().all(|(reason, _)| !holds.holds(reason)));
        }
    }
}
