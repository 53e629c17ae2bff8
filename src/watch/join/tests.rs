//! Lists joined to the past of a small etcd in memory, whatever is compacted and wherever a watch ends.

mod etcd;

use super::*;
use crate::revision::Observed;
use crate::watch::known::Sight;
use crate::watch::walk::{State, Walk};
use crate::watch::{Lost, Reason};
use crate::workload::{Change, Op, Resource, Version};
use chrono::DateTime;
use etcd::{Etcd, Write, number, rv};
use proptest::prelude::*;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A watch and its recorder, reduced to what is known and what was told.
#[derive(Default)]
struct Follower {
    known: Known,
    told: BTreeMap<u128, Vec<i64>>,
    lost: BTreeMap<u128, Vec<i64>>,
    gone: BTreeSet<u128>,
    blind: bool,
}

fn change(write: Write, seen: Observed, op: Op) -> Change {
    Change {
        resource: Arc::new(Resource {
            group: "g".into(),
            version: "v1".into(),
            kind: "K".into(),
            plural: "ks".into(),
        }),
        uid: Uuid::from_u128(write.uid),
        name: format!("w{}", write.uid),
        namespace: "n".into(),
        generation: write.generation,
        resource_version: rv(write.at),
        created: Some(DateTime::UNIX_EPOCH),
        seen,
        op,
        raw: RawValue::from_string("{}".into()).expect("JSON"),
        absent_at: None,
    }
}

impl Follower {
    fn tell(&mut self, change: &Change) {
        match self.known.sight(change) {
            Sight::Ended => return,
            Sight::New => {
                self.known.select(change);
                let told = self.told.entry(change.uid.as_u128()).or_default();
                told.push(change.generation);
            }
            sight => {
                self.known.see_again(change, sight);
            }
        }
        self.known.end_with(change);
    }

    /// An event of a watch; the deletion of an object shows its last generation.
    fn event(&mut self, etcd: &Etcd, write: Write) {
        if write.generation > 0 {
            return self.tell(&change(write, Observed::Watch, Op::Modified));
        }
        let last = etcd.newest(write.uid, write.at - 1).expect("it was there");
        let generation = last.generation;
        let end = Write {
            generation,
            ..write
        };
        self.tell(&change(end, Observed::Watch, Op::Deleted));
    }

    fn watch(&mut self, etcd: &Etcd, from: u64, to: u64) {
        let shown = |write: &&Write| write.at > from && write.at <= to;
        for write in etcd.writes.iter().filter(shown) {
            self.event(etcd, *write);
        }
    }

    fn read_back(&mut self, etcd: &Etcd, behind: &Behind) {
        let uid = behind.of.uid.as_u128();
        let mut walk = Walk::new(behind.from, behind.to);
        let mut pieces = BTreeMap::new();
        while let Some(at) = walk.next() {
            let state = etcd.read(uid, at);
            if let (true, State::Present(found)) = (walk.saw(at, state), state) {
                pieces.insert(found.generation, Some(found.at));
            }
        }
        let lost = walk.lost();
        pieces.extend(lost.iter().map(|hole| (*hole.generations.end(), None)));
        if behind.listed.is_some() {
            pieces.insert(behind.to.generation, Some(behind.to.at));
        }
        for (generation, found) in pieces {
            if let Some(at) = found {
                let at = number(at);
                let write = Write {
                    at,
                    uid,
                    generation,
                };
                self.tell(&change(write, Observed::Repair, Op::Modified));
                continue;
            }
            let hole = lost
                .iter()
                .find(|hole| *hole.generations.end() == generation);
            self.lose(behind, hole.expect("it is one").generations.clone());
        }
    }

    fn lose(&mut self, behind: &Behind, generations: std::ops::RangeInclusive<i64>) {
        let write = Write {
            at: number(behind.to.at),
            uid: behind.of.uid.as_u128(),
            generation: *generations.end(),
        };
        let lost = Lost {
            generations,
            reason: Reason::Compacted,
            ..Lost::undecodable(&change(write, Observed::Repair, Op::Modified))
        };
        if let Some(lost) = self.known.lose(lost) {
            let all = self.lost.entry(write.uid).or_default();
            all.extend(lost.generations);
        }
    }

    fn end(&mut self, etcd: &Etcd, uid: u128, from: Version, by: u64) -> bool {
        let Some(last) = etcd.last_state(uid, number(from.at), by) else {
            return false;
        };
        let last = change(last, Observed::Repair, Op::Deleted);
        self.read_back(etcd, &Behind::new(&last, from, false, None));
        self.tell(&last);
        true
    }

    /// Lists at the present and joins that to `since`. `replay` says up to where a watch shows the past; nothing when
    /// its history is gone. Returns from where the watch goes on.
    fn join(&mut self, etcd: &Etcd, since: Option<u64>, now: u64, replay: Option<u64>) -> u64 {
        self.known.listing(&[]);
        let mut listed = Listed::default();
        for write in etcd.present(now) {
            let change = change(write, Observed::List, Op::Added);
            listed.saw(change.uid);
            let need = self.known.need(&change, || true);
            match listed.place(&change, need, rv(now), since.map(rv)) {
                Placed::Now => self.tell(&change),
                Placed::Later => {}
                Placed::Rewound => panic!("{change:?} contradicts nothing"),
            }
        }
        listed.complete(rv(now), &self.known);
        let mut join = Join::start(listed, since.map(rv), replay.is_some());
        for _ in 0..100 {
            match join.step() {
                JoinStep::Replay(until) => {
                    let from = since.expect("a position");
                    let to = replay.expect("resumable");
                    let mut at = from;
                    while at < to && !until.is_reached(rv(at), &self.known) {
                        self.watch(etcd, at, at + 1);
                        at += 1;
                    }
                    join.replayed(rv(at), &self.known);
                }
                JoinStep::ReadBack { behind, gone, by } => {
                    for behind in behind {
                        self.read_back(etcd, &behind);
                    }
                    for recorded in gone {
                        let uid = recorded.uid.as_u128();
                        if !self.end(etcd, uid, recorded.version, number(by)) {
                            self.known.end(recorded.uid, recorded.version.at, false);
                            self.gone.insert(uid);
                        }
                    }
                }
                JoinStep::Sample(at) => self.sample(etcd, &mut join, number(at), now),
                JoinStep::Blind { .. } => self.blind = true,
                JoinStep::Joined(at) => return number(at),
            }
        }
        panic!("{join:?} does not end")
    }

    fn sample(&mut self, etcd: &Etcd, join: &mut Join, at: u64, now: u64) {
        if at < etcd.compacted {
            join.sampled(None, &self.known);
            return;
        }
        let objects: Vec<_> = etcd
            .present(at)
            .iter()
            .map(|write| (Uuid::from_u128(write.uid), write.generation))
            .collect();
        for uid in join.sampled(Some(&objects), &self.known) {
            let (from, _) = join.interval();
            let origin = Version {
                generation: 0,
                at: from,
            };
            assert!(
                self.end(etcd, uid.as_u128(), origin, now),
                "the sample showed it"
            );
        }
    }

    fn accounted(&self, uid: u128) -> Vec<i64> {
        let none = Vec::new();
        let told = self.told.get(&uid).unwrap_or(&none);
        let lost = self.lost.get(&uid).unwrap_or(&none);
        let mut all: Vec<_> = told.iter().chain(lost).copied().collect();
        all.sort_unstable();
        all
    }
}

/// Writes of at most four objects that live one after the other under each number.
fn writes(steps: &[(u64, u128, u8)]) -> Vec<Write> {
    let mut alive: BTreeMap<u128, (u128, i64)> = BTreeMap::new();
    let mut lives = 0;
    let mut at = 1;
    let mut writes = Vec::new();
    for (distance, name, what) in steps {
        at += distance;
        let (uid, generation) = *alive.entry(*name).or_insert_with(|| {
            lives += 1;
            (lives, 0)
        });
        let is_end = *what == 0 && generation > 0;
        // Some writes change only the status.
        let next = generation + i64::from(*what > 1 || generation == 0);
        let generation = if is_end { 0 } else { next };
        writes.push(Write {
            at,
            uid,
            generation,
        });
        if is_end {
            alive.remove(name);
        } else {
            alive.insert(*name, (uid, generation));
        }
    }
    writes
}

/// How far each of these is along a history.
#[derive(Clone, Copy, Debug)]
struct Cuts {
    since: u64,
    list: u64,
    replay: Option<u64>,
    compacted: u64,
}

fn cuts() -> impl Strategy<Value = Cuts> {
    let replay = proptest::option::of(0u64..100);
    let all = (0u64..100, 0u64..100, replay, 0u64..100);
    all.prop_map(|(since, list, replay, compacted)| Cuts {
        since: since.min(list),
        list,
        replay,
        compacted,
    })
}

/// The history is followed up to `since`, then a list is joined to that, then the watch goes on to its end.
fn followed(etcd: &Etcd, cuts: Cuts) -> (Follower, u64, u64) {
    let place = |percent: u64| 1 + (etcd.now() - 1) * percent / 100;
    let since = place(cuts.since);
    let list = place(cuts.list);
    let mut follower = Follower::default();
    follower.known.listing(&[]);
    follower.watch(etcd, 0, since);
    let replay = cuts
        .replay
        .map(|percent| since + (list - since) * percent / 100);
    let at = follower.join(etcd, Some(since), list, replay);
    follower.watch(etcd, at, etcd.now());
    (follower, since, list)
}

proptest! {
    #[test]
    fn every_generation_is_told_once_or_lost_by_name(
        steps in proptest::collection::vec((1u64..6, 0u128..4, 0u8..4), 1..80), cuts in cuts()
    ) {
        let writes = writes(&steps);
        let now = writes.last().map_or(1, |write| write.at);
        let list = 1 + (now - 1) * cuts.list / 100;
        let compacted = list * cuts.compacted / 100;
        let etcd = Etcd { writes, compacted };
        let (follower, since, list) = followed(&etcd, cuts);
        let uids: BTreeSet<_> = etcd.writes.iter().map(|write| write.uid).collect();
        for uid in uids {
            let mut generations: Vec<_> = etcd.writes.iter().filter(|write| write.uid == uid && write.generation > 0)
                .map(|write| write.generation).collect();
            generations.dedup();
            let told = follower.told.get(&uid).cloned().unwrap_or_default();
            prop_assert!(told.is_sorted_by(|a, b| a < b), "{uid}: {told:?} is out of order");
            let accounted = follower.accounted(uid);
            // The generations after the last readable one of a workload whose end is compacted are not known by number.
            if follower.gone.contains(&uid) {
                prop_assert!(compacted > since);
                generations.truncate(accounted.len());
            }
            let first = etcd.writes.iter().find(|write| write.uid == uid).map_or(0, |write| write.at);
            let is_gone_by_list = etcd.newest(uid, list).is_some_and(|write| write.generation == 0);
            let is_passed_by = first > since && first <= list && is_gone_by_list;
            if is_passed_by && accounted.is_empty() {
                prop_assert!(follower.blind, "{uid} came and went, and nothing says so");
                continue;
            }
            prop_assert_eq!(&accounted, &generations, "{}", uid);
            let is_gone = etcd.newest(uid, now).is_some_and(|write| write.generation == 0);
            prop_assert_eq!(follower.known.is_gone(Uuid::from_u128(uid)), is_gone);
        }
        if compacted <= since {
            prop_assert!(follower.lost.is_empty() && follower.gone.is_empty());
        }
    }
}

#[test]
fn a_list_is_joined_at_once_when_nothing_is_missing() {
    let etcd = Etcd {
        writes: writes(&[(1, 0, 1), (1, 1, 1)]),
        compacted: 0,
    };
    let mut follower = Follower::default();
    follower.known.listing(&[]);
    follower.watch(&etcd, 0, 3);
    let listed = Listed {
        at: rv(9),
        ..Listed::default()
    };
    let mut join = Join::start(listed.clone(), Some(rv(3)), true);
    assert_eq!(
        join.step(),
        JoinStep::Joined(rv(3)),
        "the watch shows the rest"
    );
    let mut join = Join::start(listed, None, true);
    assert!(matches!(join.step(), JoinStep::ReadBack { .. }));
    assert_eq!(join.step(), JoinStep::Joined(rv(9)));
}

#[test]
fn an_interval_is_blind_unless_every_place_was_looked_at() {
    for (now, is_blind) in [(11, false), (19, true)] {
        let listed = Listed {
            at: rv(now),
            ..Listed::default()
        };
        let mut join = Join::start(listed, Some(rv(10)), false);
        let known = Known::default();
        let mut samples = 0;
        let blind = loop {
            match join.step() {
                JoinStep::Sample(_) => {
                    samples += 1;
                    join.sampled(Some(&[]), &known);
                }
                JoinStep::Blind { from, to } => break Some((number(from), number(to))),
                JoinStep::Joined(at) => {
                    assert_eq!(at, rv(now));
                    break None;
                }
                _ => {}
            }
        };
        assert_eq!(blind, is_blind.then_some((10, now)));
        assert!((1..=8).contains(&samples));
    }
}

#[test]
fn a_checkpoint_may_be_of_another_history_and_a_watch_cannot() {
    assert_eq!(Lineage::of(None, rv(5), false), Lineage::Follows);
    assert_eq!(Lineage::of(Some(rv(5)), rv(5), true), Lineage::Follows);
    assert_eq!(Lineage::of(Some(rv(6)), rv(5), false), Lineage::Foreign);
    assert_eq!(Lineage::of(Some(rv(6)), rv(5), true), Lineage::Restored);
}
