//! Attributes pods to the Revisions that they are of. Pure.
//!
//! Pods that share a key (pod-template-hash and the like) are of the same generation. A kind's status may name the key of
//! the newest one. Else likeness decides: of the Revisions that are not younger than the pods, that whose view looks most
//! like them; of equals one that had pods of that key before, and of those the newest. Revisions that ask for the same
//! pods share them, and then they count for the newest of those. Every pod is of some Revision.

use super::pod::ViewHashes;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// What makes the pods of a Revision, by component; hashes of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Templates {
    /// By name of the component.
    pub(super) components: BTreeMap<Box<str>, u64>,
    /// Pods of all components together.
    pub(super) pods: i64,
    /// Where an autoscaler writes, what was there.
    pub(super) replicas: Option<i64>,
    /// Whether any number of pods is right, also none.
    pub(super) elastic: bool,
}

impl Templates {
    /// How many pods there should be while the workload asks for so many replicas; none when any number is right.
    pub(super) fn expected(&self, replicas: Option<i64>) -> Option<i64> {
        match (self.replicas, replicas) {
            _ if self.elastic => None,
            (Some(0), Some(now)) => Some(now),
            (Some(then), Some(now)) => Some(self.pods.saturating_mul(now) / then),
            // Where nobody wrote a number, it is the default that the components assume.
            (None, Some(now)) if self.components.len() == 1 => Some(now),
            _ => Some(self.pods),
        }
    }

    /// Whether there are pods of `component`.
    pub(super) fn has(&self, component: &str) -> bool {
        self.components.contains_key(component)
    }

    /// Whether both make the same pods of all components.
    pub(super) fn makes_equal_pods(&self, other: &Self) -> bool {
        !self.components.is_empty() && self.components == other.components
    }

    /// Whether both make the same pods of `component`, or of all components where that one is not known.
    fn makes_the_same(&self, other: &Self, component: Option<&str>) -> bool {
        match (self.hash_of(component), other.hash_of(component)) {
            (Some(a), Some(b)) => a == b,
            _ => self.components == other.components,
        }
    }

    fn hash_of(&self, component: Option<&str>) -> Option<u64> {
        self.components.get(component?).copied()
    }
}

/// A Revision that pods may be of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) generation: i64,
    /// When the change was made; whole seconds.
    pub(super) changed: DateTime<Utc>,
    pub(super) hashes: &'a ViewHashes,
    /// None when its content is not known.
    pub(super) templates: Option<&'a Templates>,
    /// The keys of the pods that it had.
    pub(super) keys: &'a [String],
}

/// Pods with the same key and component.
#[derive(Clone, Copy, Debug)]
pub(super) struct PodGroup<'a> {
    pub(super) key: Option<&'a str>,
    pub(super) component: Option<&'a str>,
    /// When the first of them was made; whole seconds of the same clock.
    pub(super) born: DateTime<Utc>,
    pub(super) hashes: &'a ViewHashes,
}

impl Candidate<'_> {
    fn shares(&self, other: &Self, component: Option<&str>) -> bool {
        match (self.templates, other.templates) {
            (Some(a), Some(b)) => a.makes_the_same(b, component),
            _ => false,
        }
    }

    fn likeness(&self, group: &PodGroup<'_>) -> usize {
        self.hashes.likeness(group.hashes)
    }

    fn had(&self, group: &PodGroup<'_>) -> bool {
        group
            .key
            .is_some_and(|key| self.keys.iter().any(|own| own == key))
    }
}

/// The generation that a group is of. `all` are in ascending order; `current` is the key of the newest one's pods, where
/// the workload's status says so of that very generation.
pub(super) fn generation(
    group: &PodGroup<'_>,
    all: &[Candidate<'_>],
    current: Option<&str>,
) -> Option<i64> {
    let newest = all.last()?;
    let named = group.key.zip(current);
    if named.is_some_and(|(key, current)| key == current) {
        return Some(newest.generation);
    }
    // Its pods have another key, so these are none of its own.
    let possible: Vec<_> = all
        .iter()
        .filter(|one| named.is_none() || one.generation != newest.generation)
        .collect();
    let Some(best) = most_alike(group, &possible) else {
        // The Revision that they are of is not known: they are the workload's all the same.
        return Some(newest.generation);
    };
    possible
        .iter()
        .filter(|one| one.shares(best, group.component))
        .map(|one| one.generation)
        .chain([best.generation])
        .max()
}

/// Of the candidates that are not younger than the group, or had its pods before, the one that looks most like it; of
/// equals one that had its pods, and of those the newest.
///
/// A group that is older than all candidates is one that a controller took up again, or has not deleted yet: of those
/// that look most like it, it is of the oldest.
fn most_alike<'a>(
    group: &PodGroup<'_>,
    possible: &[&'a Candidate<'a>],
) -> Option<&'a Candidate<'a>> {
    possible
        .iter()
        .filter(|one| one.changed <= group.born || one.had(group))
        .max_by_key(|one| (one.likeness(group), one.had(group), one.generation))
        .or_else(|| {
            let newest_first = possible.iter().rev();
            newest_first.max_by_key(|one| one.likeness(group))
        })
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::View;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + second, 0).expect("a time")
    }

    fn hashes(image: &str) -> ViewHashes {
        ViewHashes::of(&View {
            images: vec![image.into()],
            ..View::default()
        })
    }

    fn templates(pairs: &[(&str, u64)]) -> Templates {
        Templates {
            components: pairs
                .iter()
                .map(|(name, hash)| ((*name).into(), *hash))
                .collect(),
            ..Templates::default()
        }
    }

    /// A Revision: generation, second, image, hash of its only template.
    type RevisionRow = (i64, i64, &'static str, u64);

    fn decide(
        rows: &[RevisionRow],
        group: (Option<&str>, i64, &str),
        current: Option<&str>,
    ) -> Option<i64> {
        let known: Vec<_> = rows
            .iter()
            .map(|row| (row, hashes(row.2), templates(&[("main", row.3)])))
            .collect();
        let all: Vec<_> = known
            .iter()
            .map(|((generation, second, ..), hashes, templates)| Candidate {
                generation: *generation,
                changed: at(*second),
                hashes,
                templates: Some(templates),
                keys: &[],
            })
            .collect();
        let (key, born, image) = group;
        generation(
            &PodGroup {
                key,
                component: None,
                born: at(born),
                hashes: &hashes(image),
            },
            &all,
            current,
        )
    }

    #[test]
    fn pods_are_of_the_revision_that_looks_like_them() {
        let rows = [(1, 0, "a", 1), (2, 10, "b", 2)];
        assert_eq!(decide(&rows, (Some("k1"), 1, "a"), None), Some(1));
        assert_eq!(decide(&rows, (Some("k2"), 11, "b"), None), Some(2));
        assert_eq!(
            decide(&rows, (Some("k1"), 11, "a"), None),
            Some(1),
            "a pod that was replaced"
        );
        assert_eq!(decide(&[], (None, 0, "a"), None), None);
    }

    #[test]
    fn of_quick_edits_the_right_one_is_found_in_the_same_second() {
        let rows = [(5, 3, "a", 1), (6, 3, "b", 2), (7, 3, "c", 3)];
        assert_eq!(decide(&rows, (Some("x"), 3, "b"), None), Some(6));
        assert_eq!(decide(&rows, (Some("y"), 3, "c"), None), Some(7));
    }

    #[test]
    fn what_no_view_shows_is_told_by_time() {
        let rows = [(1, 0, "a", 1), (2, 10, "a", 2)];
        assert_eq!(decide(&rows, (Some("old"), 1, "a"), None), Some(1));
        assert_eq!(decide(&rows, (Some("new"), 10, "a"), None), Some(2));
    }

    #[test]
    fn shared_pods_count_for_the_newest() {
        let scaled = [(1, 0, "a", 1), (2, 10, "a", 1)];
        assert_eq!(decide(&scaled, (Some("k"), 1, "a"), None), Some(2));
        let rolled_back = [(1, 0, "a", 1), (2, 10, "b", 2), (3, 20, "a", 1)];
        assert_eq!(decide(&rolled_back, (Some("k1"), 1, "a"), None), Some(3));
        assert_eq!(decide(&rolled_back, (Some("k2"), 11, "b"), None), Some(2));
        // Generation 1 is not known any more: its pods are older than everything that is.
        assert_eq!(
            decide(&rolled_back[1..], (Some("k1"), 1, "a"), None),
            Some(3)
        );
    }

    #[test]
    fn the_status_names_the_newest() {
        let rows = [(1, 0, "a", 1), (2, 10, "a", 2)];
        assert_eq!(
            decide(&rows, (Some("k"), 1, "a"), Some("k")),
            Some(2),
            "an edit that brings no pods"
        );
        assert_eq!(
            decide(&rows, (Some("old"), 11, "a"), Some("k")),
            Some(1),
            "replaced meanwhile, and still old"
        );
        assert_eq!(
            decide(&rows[1..], (Some("old"), 1, "a"), Some("k")),
            Some(2),
            "of something that is not known any more: there is nothing else that they could be of"
        );
    }

    #[test]
    fn a_key_is_known_again() {
        let alike = hashes("a");
        let other = hashes("b");
        let key = ["k".to_owned()];
        let row = |generation, second, hashes, keys| Candidate {
            generation,
            changed: at(second),
            hashes,
            templates: None,
            keys,
        };
        let of = |all: &[Candidate<'_>]| {
            generation(
                &PodGroup {
                    key: Some("k"),
                    component: None,
                    born: at(20),
                    hashes: &alike,
                },
                all,
                None,
            )
        };
        let replaced = [row(1, 0, &alike, &key), row(2, 10, &alike, &[])];
        assert_eq!(of(&replaced), Some(1), "its pods are younger than a change");
        let scaled = [row(1, 0, &alike, &key), row(2, 30, &alike, &key)];
        assert_eq!(of(&scaled), Some(2), "a younger one has taken them over");
        let misled = [row(1, 0, &other, &key), row(2, 10, &alike, &[])];
        assert_eq!(of(&misled), Some(2), "likeness counts more");
    }

    #[test]
    fn components_are_told_apart() {
        let a = templates(&[("predictor", 1), ("transformer", 5)]);
        let b = templates(&[("predictor", 2), ("transformer", 5)]);
        let one = hashes("a");
        let two = hashes("b");
        let all = [
            Candidate {
                generation: 1,
                changed: at(0),
                hashes: &one,
                templates: Some(&a),
                keys: &[],
            },
            Candidate {
                generation: 2,
                changed: at(10),
                hashes: &two,
                templates: Some(&b),
                keys: &[],
            },
        ];
        let of = |component, image: &str| {
            let hashes = hashes(image);
            generation(
                &PodGroup {
                    key: Some("k"),
                    component: Some(component),
                    born: at(1),
                    hashes: &hashes,
                },
                &all,
                None,
            )
        };
        assert_eq!(of("predictor", "a"), Some(1));
        assert_eq!(
            of("transformer", "t"),
            Some(2),
            "its template did not change"
        );
    }
}
