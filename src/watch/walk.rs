//! Which places in etcd's history have to be read so that every generation of one object is found. Pure.
//!
//! Between two known states whose generations are not neighbours something is missing. It is looked for one step
//! before the younger of the two; when that meets only status writes, in the middle of the two. A generation that
//! lies where history was compacted is lost, and so is one that cannot be read; one for which no room is left was never
//! stored.

use crate::workload::{ResourceVersion, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// So many steps in a row may find nothing new before the middle is tried.
const PATIENCE: u32 = 3;

/// The state of an object at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It existed, in this generation, and was written at this place.
    Present(Version),
    /// It did not exist yet.
    Absent,
    /// History is compacted there.
    Compacted,
    /// It existed, and its state cannot be read.
    Unreadable,
}

/// One generation, known to be there from `first` (or earlier) to `last` (or later).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Span {
    first: ResourceVersion,
    last: ResourceVersion,
}

/// Generations that existed and cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hole {
    /// The generations.
    pub generations: RangeInclusive<i64>,
    /// Whether that is because what is stored cannot be read.
    pub unreadable: bool,
}

impl Hole {
    /// The part of it up to a generation; none when it begins later.
    pub fn up_to(self, last: i64) -> Option<Self> {
        let (from, to) = self.generations.into_inner();
        (from <= last).then(|| Self {
            generations: from..=to.min(last),
            unreadable: self.unreadable,
        })
    }
}

/// The search for the generations of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Walk {
    known: BTreeMap<i64, Span>,
    /// Generations below which something was met that cannot be read.
    unreadable: BTreeSet<i64>,
    /// Generations after which history is compacted. It may be compacted several times during one search.
    compacted: BTreeSet<i64>,
    stalled: u32,
}

impl Walk {
    /// A search from the state `from` up to the state `to`.
    pub fn new(from: Version, to: Version) -> Self {
        let state = |at| Span {
            first: at,
            last: at,
        };
        let known = BTreeMap::from([
            (from.generation, state(from.at)),
            (to.generation, state(to.at)),
        ]);
        Self {
            known,
            unreadable: BTreeSet::new(),
            compacted: BTreeSet::new(),
            stalled: 0,
        }
    }

    /// The youngest two states with something missing and room for it in between.
    fn open(&self) -> Option<(i64, i64)> {
        self.pairs()
            .rev()
            .find(|&((a, older), (b, younger))| b - a > 1 && older.last < younger.first.before())
            .map(|(a, b)| (a.0, b.0))
    }

    fn pairs(&self) -> impl DoubleEndedIterator<Item = ((i64, Span), (i64, Span))> {
        let all: Vec<_> = self.known.iter().map(|(g, k)| (*g, *k)).collect();
        (1..all.len()).map(move |i| (all[i - 1], all[i]))
    }

    /// Where to read next; none when everything that can be found is.
    pub fn next(&self) -> Option<ResourceVersion> {
        let (a, b) = self.open()?;
        let older = self.known.get(&a)?.last;
        let younger = self.known.get(&b)?.first;
        Some(if self.stalled < PATIENCE {
            younger.before()
        } else {
            older.middle(younger)
        })
    }

    /// What was found at the place that [`Walk::next`] named. True when it is a generation not known before.
    pub fn saw(&mut self, at: ResourceVersion, state: State) -> bool {
        let Some((a, b)) = self.open() else {
            return false;
        };
        self.stalled += 1;
        match state {
            State::Present(found) if found.generation >= b => {
                if let Some(younger) = self.known.get_mut(&b) {
                    younger.first = found.at.min(at);
                }
            }
            State::Present(found) if found.generation > a => {
                self.known.insert(
                    found.generation,
                    Span {
                        first: found.at.min(at),
                        last: at,
                    },
                );
                self.stalled = 0;
                return true;
            }
            State::Present(_) | State::Absent => {
                self.compacted.remove(&a);
                self.raise(a, at);
            }
            State::Compacted => {
                self.compacted.insert(a);
                self.raise(a, at);
            }
            // Whatever it is, what is older can still be read.
            State::Unreadable => {
                self.unreadable.insert(b);
                if let Some(younger) = self.known.get_mut(&b) {
                    younger.first = at;
                }
            }
        }
        false
    }

    fn raise(&mut self, generation: i64, to: ResourceVersion) {
        if let Some(older) = self.known.get_mut(&generation) {
            older.last = older.last.max(to);
        }
    }

    /// The generations that existed and cannot be had, from the oldest to the youngest.
    pub fn lost(&self) -> Vec<Hole> {
        let hole = |((a, _), (b, _)): ((i64, Span), (i64, Span))| {
            let unreadable = self.unreadable.contains(&b);
            let lost = b - a > 1 && (unreadable || self.compacted.contains(&a));
            lost.then_some(Hole {
                generations: a + 1..=b - 1,
                unreadable,
            })
        };
        self.pairs().filter_map(hole).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rv(number: u64) -> ResourceVersion {
        number.to_string().parse().expect("positive")
    }

    fn version(generation: i64, at: u64) -> Version {
        let at = rv(at);
        Version { generation, at }
    }

    #[test]
    fn history_that_is_compacted_again_during_the_search_hides_nothing() {
        let mut walk = Walk::new(version(1, 10), version(6, 60));
        let mut reads = vec![
            State::Present(version(5, 50)),
            State::Compacted,
            State::Present(version(3, 30)),
        ];
        // By then it is compacted up to there.
        let mut compacted = 20;
        while let Some(at) = walk.next() {
            let state = if at <= rv(compacted) || reads.is_empty() {
                compacted = compacted.max(45);
                State::Compacted
            } else {
                reads.remove(0)
            };
            walk.saw(at, state);
        }
        let lost: Vec<_> = walk
            .lost()
            .into_iter()
            .map(|hole| hole.generations)
            .collect();
        let named: Vec<_> = lost.iter().cloned().flatten().collect();
        assert!(named.contains(&2) && named.contains(&4), "{lost:?}");
    }

    /// The writes of one object: place and generation, ascending.
    struct History {
        writes: Vec<(u64, i64)>,
        compacted: u64,
    }

    impl History {
        fn read(&self, at: ResourceVersion) -> State {
            if at <= rv(self.compacted.max(1)) && self.compacted > 0 {
                return State::Compacted;
            }
            match self.writes.iter().rev().find(|(place, _)| rv(*place) <= at) {
                Some((place, generation)) => State::Present(version(*generation, *place)),
                None => State::Absent,
            }
        }

        fn walk(&self, from: (i64, u64)) -> (Vec<i64>, Option<RangeInclusive<i64>>, usize) {
            let (found, lost, reads) = self.walk_past(from, &[]);
            assert!(
                lost.len() <= 1 && lost.iter().all(|hole| !hole.unreadable),
                "{lost:?}"
            );
            (
                found,
                lost.into_iter().next().map(|hole| hole.generations),
                reads,
            )
        }

        /// As if these places could not be read.
        fn walk_past(&self, from: (i64, u64), unreadable: &[u64]) -> (Vec<i64>, Vec<Hole>, usize) {
            let (place, generation) = *self.writes.last().expect("one write");
            let mut walk = Walk::new(version(from.0, from.1), version(generation, place));
            let (mut found, mut reads) = (Vec::new(), 0);
            while let Some(at) = walk.next() {
                let bad = unreadable.iter().any(|place| rv(*place) == at);
                let state = if bad {
                    State::Unreadable
                } else {
                    self.read(at)
                };
                if walk.saw(at, state) {
                    let State::Present(new) = state else {
                        panic!("not a version")
                    };
                    found.push(new.generation);
                }
                reads += 1;
                assert!(reads < 100_000, "endless");
            }
            found.sort_unstable();
            (found, walk.lost(), reads)
        }
    }

    #[test]
    fn every_step_finds_one_generation() {
        let history = History {
            writes: (1u64..=20)
                .map(|g| (100 + 10 * g, g.cast_signed()))
                .collect(),
            compacted: 0,
        };
        assert_eq!(history.walk((3, 130)), ((4..20).collect(), None, 16));
        assert_eq!(history.walk((19, 290)), (vec![], None, 0));
    }

    #[test]
    fn an_object_that_is_new_is_followed_to_its_first_generation() {
        let history = History {
            writes: vec![(50, 1), (60, 2), (70, 3)],
            compacted: 0,
        };
        assert_eq!(history.walk((0, 10)), (vec![1, 2], None, 2));
    }

    #[test]
    fn status_writes_are_leapt_over() {
        let mut writes: Vec<_> = (0..5000).map(|i| (1000 + i, 7)).collect();
        writes.splice(0..0, [(900, 5), (950, 6)]);
        let (found, lost, reads) = History {
            writes,
            compacted: 0,
        }
        .walk((5, 900));
        assert_eq!((found, lost), (vec![6], None));
        assert!(reads < 30, "{reads}");
    }

    #[test]
    fn what_is_compacted_is_lost_and_said() {
        let history = History {
            writes: (1u64..=9).map(|g| (100 + g, g.cast_signed())).collect(),
            compacted: 104,
        };
        let (found, lost, _) = history.walk((2, 102));
        assert_eq!((found, lost), (vec![5, 6, 7, 8], Some(3..=4)));
        let (found, lost, _) = history.walk((0, 50));
        assert_eq!((found, lost), (vec![5, 6, 7, 8], Some(1..=4)));
    }

    #[test]
    fn a_generation_that_was_never_stored_is_not_lost() {
        let history = History {
            writes: vec![(10, 1), (20, 4), (30, 5)],
            compacted: 0,
        };
        assert_eq!(history.walk((1, 10)), (vec![4], None, 2));
    }

    #[test]
    fn what_cannot_be_read_is_lost_alone() {
        let history = History {
            writes: (1u64..=9).map(|g| (100 + g, g.cast_signed())).collect(),
            compacted: 103,
        };
        let (found, lost, _) = history.walk_past((1, 101), &[106]);
        assert_eq!(found, [4, 5, 7, 8]);
        let hole = |generations, unreadable| Hole {
            generations,
            unreadable,
        };
        assert_eq!(lost, [hole(2..=3, false), hole(6..=6, true)]);
    }

    proptest! {
        #[test]
        fn found_and_lost_together_are_everything(
            steps in proptest::collection::vec((1u64..50, 0i64..2), 1..80), from in 0usize..80, compacted in 0u64..2000
        ) {
            let (mut place, mut generation) = (1, 0);
            let mut writes = Vec::new();
            for (distance, bump) in steps {
                place += distance;
                generation = (generation + bump).max(1);
                writes.push((place, generation));
            }
            let from = writes[from % writes.len()];
            let history = History { writes: writes.clone(), compacted };
            let (found, lost, _) = history.walk((from.1, from.0));
            let mut all: Vec<_> = found.into_iter().chain(lost.into_iter().flatten()).collect();
            all.sort_unstable();
            let expected: Vec<_> = (from.1 + 1..generation).collect();
            prop_assert_eq!(all, expected);
        }
    }
}
