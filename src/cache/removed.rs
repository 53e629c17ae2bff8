//! Heads that were removed: each was the newest Revision of a workload that is not deleted. Pure.
//!
//! In: Revisions that go or come, and lists in which they are missing. Out: those that the recorder of a kind has not been
//! told of yet.

use crate::kinds::GroupKind;
use crate::workload::RemovedHead;
use std::collections::BTreeMap;
use uuid::Uuid;

/// All of them, by the uid of the workload.
#[derive(Clone, Debug, Default)]
pub(super) struct RemovedHeads {
    heads: BTreeMap<Uuid, (GroupKind, RemovedHead)>,
}

impl RemovedHeads {
    /// Whether there is any.
    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The head of a workload is gone. When an older Revision has become the head and goes too, the newest counts.
    pub(super) fn add(&mut self, uid: Uuid, kind: &GroupKind, removed: RemovedHead) {
        let newest = self.heads.get(&uid).map(|(_, known)| known.head.generation);
        if newest.is_none_or(|newest| newest < removed.head.generation) {
            self.heads.insert(uid, (kind.clone(), removed));
        }
    }

    /// This generation of a workload is stored, by whomever.
    pub(super) fn stored(&mut self, uid: Uuid, generation: i64) {
        let is_older =
            |(_, removed): &(GroupKind, RemovedHead)| removed.head.generation <= generation;
        if self.heads.get(&uid).is_some_and(is_older) {
            self.heads.remove(&uid);
        }
    }

    /// All of them; they are not kept.
    pub(super) fn drain(&mut self) -> BTreeMap<Uuid, (GroupKind, RemovedHead)> {
        std::mem::take(&mut self.heads)
    }

    /// Those of a kind; they are not kept.
    pub(super) fn take(&mut self, kind: &GroupKind) -> Vec<(Uuid, RemovedHead)> {
        let of_kind = self.heads.extract_if(.., |_, (of, _)| of == kind);
        of_kind.map(|(uid, (_, removed))| (uid, removed)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Head;

    const W: Uuid = Uuid::from_u128(5);

    fn removed(generation: i64) -> RemovedHead {
        RemovedHead {
            head: Head {
                generation,
                ..Head::default()
            },
            previous: None,
        }
    }

    fn kind(kind: &str) -> GroupKind {
        GroupKind {
            kind: kind.to_owned(),
            group: "apps".to_owned(),
        }
    }

    #[test]
    fn the_newest_head_is_told_once_to_its_own_kind() {
        let mut heads = RemovedHeads::default();
        for generation in [4, 7, 6] {
            heads.add(W, &kind("Deployment"), removed(generation));
        }
        assert!(heads.take(&kind("StatefulSet")).is_empty());
        assert_eq!(heads.take(&kind("Deployment")), [(W, removed(7))]);
        assert!(heads.is_empty());
    }

    #[test]
    fn a_head_that_is_stored_again_is_none() {
        let mut heads = RemovedHeads::default();
        heads.add(W, &kind("Deployment"), removed(4));
        heads.stored(W, 3);
        assert!(!heads.is_empty());
        heads.stored(W, 4);
        assert!(heads.is_empty());
    }
}
