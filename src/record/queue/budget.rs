//! The bytes of the queue, and the share of each namespace. Pure.
//!
//! A namespace may fill as much as is still free, so however many are full, there is always room for another. One that
//! is held has a quarter: beyond that its changes are not taken in any more, and are read back later.

use std::collections::{BTreeMap, BTreeSet};

/// The bytes that are taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    all: usize,
    taken: usize,
    namespaces: BTreeMap<String, usize>,
    /// Namespaces that are held, and have their quarter.
    full: BTreeSet<String>,
}

impl Budget {
    /// Nothing is taken of that many bytes.
    pub(super) fn new(all: usize) -> Self {
        Self {
            all: all.max(1),
            taken: 0,
            namespaces: BTreeMap::new(),
            full: BTreeSet::new(),
        }
    }

    /// Whether a write of so many bytes has room. Nothing waits behind a namespace that is held: what was decided
    /// already is taken in, and nothing more is after that.
    pub(super) fn admits(&self, namespace: &str, bytes: usize, is_held: bool) -> bool {
        if is_held || self.taken == 0 {
            return true;
        }
        let of_namespace = self.of(namespace);
        let free = self.all.saturating_sub(self.taken);
        bytes <= free && (of_namespace == 0 || of_namespace + bytes <= free)
    }

    fn of(&self, namespace: &str) -> usize {
        self.namespaces.get(namespace).copied().unwrap_or_default()
    }

    /// A write comes in.
    pub(super) fn take(&mut self, namespace: &str, bytes: usize) {
        self.taken += bytes;
        *self.namespaces.entry(namespace.to_owned()).or_default() += bytes;
    }

    /// A write goes.
    pub(super) fn give_back(&mut self, namespace: &str, bytes: usize) {
        self.taken = self.taken.saturating_sub(bytes);
        let Some(taken) = self.namespaces.get_mut(namespace) else {
            return;
        };
        *taken = taken.saturating_sub(bytes);
        if *taken == 0 {
            self.namespaces.remove(namespace);
        }
    }

    /// The namespaces that are full, given those that are held: they have a quarter, or, where less is free, as much as
    /// that. One has room again when half of it is free.
    pub(super) fn full<'n>(&mut self, held: impl Iterator<Item = &'n str>) -> &BTreeSet<String> {
        let limit = (self.all / 4).min(self.all.saturating_sub(self.taken));
        let is_full = |name: &&str| {
            let limit = if self.full.contains(*name) {
                limit / 2
            } else {
                limit
            };
            self.of(name) > limit
        };
        self.full = held.filter(is_full).map(str::to_owned).collect();
        &self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_room_for_another_namespace() {
        let mut budget = Budget::new(1000);
        for name in ["a", "b", "c"] {
            while budget.admits(name, 10, false) {
                budget.take(name, 10);
            }
        }
        let taken: Vec<_> = ["a", "b", "c"].map(|name| budget.of(name)).to_vec();
        assert_eq!(taken, [500, 250, 130]);
        assert!(budget.admits("d", 10, false));
        assert!(
            budget.admits("a", 10, true),
            "nothing waits behind one that is held"
        );
    }

    #[test]
    fn a_write_that_is_larger_than_the_whole_queue_goes_alone() {
        let mut budget = Budget::new(100);
        assert!(budget.admits("a", 5000, false));
        budget.take("a", 5000);
        assert!(!budget.admits("b", 1, false));
        budget.give_back("a", 5000);
        assert_eq!(budget, Budget::new(100));
    }

    #[test]
    fn a_held_namespace_is_full_at_a_quarter_and_has_room_again_at_an_eighth() {
        let mut budget = Budget::new(800);
        let full =
            |budget: &mut Budget, held: &[&str]| !budget.full(held.iter().copied()).is_empty();
        budget.take("a", 210);
        assert!(!full(&mut budget, &[]), "only one that is held");
        assert!(full(&mut budget, &["a"]));
        budget.give_back("a", 90);
        assert!(full(&mut budget, &["a"]));
        budget.give_back("a", 30);
        assert!(!full(&mut budget, &["a"]));
        budget.take("a", 30);
        assert!(!full(&mut budget, &["a"]));
    }

    #[test]
    fn however_many_are_held_the_bound_is_kept() {
        let names: Vec<_> = (0..20).map(|number| format!("n{number}")).collect();
        let mut budget = Budget::new(1000);
        for name in names.iter().cycle().take(2000) {
            let held = names.iter().map(String::as_str);
            if !budget.full(held).contains(name) {
                budget.take(name, 10);
            }
        }
        assert!(budget.taken <= 1000 + 20 * 10, "{}", budget.taken);
    }
}
