//! Which lists are complete: no status is decided on a part of what there is. Pure.
//!
//! A list that is forbidden counts as complete: nothing will ever be known of it.

use std::collections::BTreeSet;

/// What is known of the lists.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// All Revisions are known, and no later list of them is under way.
    pub(super) has_revisions: bool,
    /// All nodes are known, since this process leads.
    pub(super) has_nodes: bool,
    /// By the number of the kind.
    kinds: Vec<WorkloadList>,
    /// By the number of the watch.
    pods: Vec<PodList>,
}

/// The list of the workloads of a kind.
#[derive(Clone, Copy, Debug, Default)]
struct WorkloadList {
    /// The API server serves the kind.
    is_served: bool,
    /// It was found out whether it does, or a list came.
    is_tried: bool,
    /// All that a list has shown was passed on.
    is_joined: bool,
}

/// The list of a watch of pods.
#[derive(Debug)]
struct PodList {
    /// The numbers of the kinds whose pods it shows.
    kinds: Vec<usize>,
    progress: PodProgress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PodProgress {
    /// Not all pods are known.
    Pending,
    /// All are known, but of some it was not asked yet which workload they are of.
    Listed,
    Complete,
}

impl Lists {
    /// Nothing is known of so many kinds.
    pub(super) fn new(kinds: usize) -> Self {
        Self {
            kinds: vec![WorkloadList::default(); kinds],
            ..Self::default()
        }
    }

    /// This process watches pods from now on: each watch shows those of some kinds.
    pub(super) fn watch_pods(&mut self, watches: Vec<Vec<usize>>) {
        self.has_nodes = false;
        let pending = |kinds| PodList {
            kinds,
            progress: PodProgress::Pending,
        };
        self.pods = watches.into_iter().map(pending).collect();
    }

    /// Whether the API server serves a kind.
    pub(super) fn serves(&mut self, kind: usize, is_served: bool) {
        if let Some(list) = self.kinds.get_mut(kind) {
            list.is_served = is_served;
            list.is_joined &= is_served;
        }
    }

    /// A kind was listed, or is not served.
    pub(super) fn tried(&mut self, kind: usize) {
        if let Some(list) = self.kinds.get_mut(kind) {
            list.is_tried = true;
        }
    }

    /// All workloads of a kind that a list has shown are known.
    pub(super) fn joined(&mut self, kind: usize) {
        if let Some(list) = self.kinds.get_mut(kind) {
            list.is_joined = true;
        }
    }

    /// All pods of a watch are known.
    pub(super) fn has_pods(&mut self, watch: usize) {
        if let Some(list) = self.pods.get_mut(watch)
            && list.progress == PodProgress::Pending
        {
            list.progress = PodProgress::Listed;
        }
    }

    /// The watches whose pods are known, but not all of their workloads.
    pub(super) fn listed(&self) -> BTreeSet<usize> {
        let is_listed = |(_, list): &(usize, &PodList)| list.progress == PodProgress::Listed;
        let all = self.pods.iter().enumerate();
        all.filter(is_listed).map(|(watch, _)| watch).collect()
    }

    /// The workloads of the pods of these watches were asked for.
    pub(super) fn looked_up(&mut self, watches: &BTreeSet<usize>) {
        for watch in watches {
            if let Some(list) = self.pods.get_mut(*watch) {
                list.progress = PodProgress::Complete;
            }
        }
    }

    /// Whether statuses of no kind can be decided.
    pub(super) fn is_nothing_known(&self) -> bool {
        !self.has_revisions || !self.has_nodes || self.pods.is_empty()
    }

    /// Whether everything is known that statuses of a kind are made from.
    pub(super) fn is_complete(&self, kind: usize) -> bool {
        let workloads = self
            .kinds
            .get(kind)
            .is_some_and(|list| list.is_joined || (list.is_tried && !list.is_served));
        let mut pods = self.pods.iter().filter(|list| list.kinds.contains(&kind));
        !self.is_nothing_known()
            && workloads
            && pods.all(|list| list.progress == PodProgress::Complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two kinds, of which the first is served, and a watch of pods for each.
    fn known() -> Lists {
        let mut lists = Lists::new(2);
        lists.has_revisions = true;
        lists.serves(0, true);
        lists.joined(0);
        lists.tried(1);
        lists.watch_pods(vec![vec![0], vec![1, 0]]);
        lists.has_nodes = true;
        for watch in [0, 1] {
            lists.has_pods(watch);
        }
        lists.looked_up(&lists.listed());
        lists
    }

    /// What is forgotten, and which of the two kinds are complete without it.
    type Without = (fn(&mut Lists), [bool; 2]);

    #[test]
    fn a_kind_waits_for_each_of_its_lists() {
        assert!(known().is_complete(0) && known().is_complete(1));
        let without: [Without; 6] = [
            (|lists| lists.has_revisions = false, [false, false]),
            (|lists| lists.has_nodes = false, [false, false]),
            (|lists| lists.serves(1, true), [true, false]),
            (|lists| lists.serves(0, false), [false, true]),
            (
                |lists| lists.pods[0].progress = PodProgress::Listed,
                [false, true],
            ),
            (
                |lists| lists.pods[1].progress = PodProgress::Pending,
                [false, false],
            ),
        ];
        for (i, (forget, expected)) in without.iter().enumerate() {
            let mut lists = known();
            forget(&mut lists);
            assert_eq!(
                [lists.is_complete(0), lists.is_complete(1)],
                *expected,
                "{i}"
            );
        }
    }

    #[test]
    fn a_new_leader_lists_pods_and_nodes_again() {
        let mut lists = known();
        lists.watch_pods(vec![vec![0]]);
        assert!(lists.is_nothing_known());
        lists.has_nodes = true;
        assert!(!lists.is_complete(0));
        lists.has_pods(0);
        assert!(!lists.is_complete(0), "their owners are asked for");
        let listed = lists.listed();
        lists.looked_up(&listed);
        assert!(lists.is_complete(0));
        lists.has_pods(0);
        assert!(
            lists.is_complete(0),
            "a watch that lists again changes nothing"
        );
    }
}
