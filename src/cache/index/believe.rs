//! Only what is believed is shown: Revisions come as suspects, become ones, and cease to be ones. Pure.

use super::Index;
use crate::cache::claims::{Doubt, LiveWorkloads};
use crate::cache::ownership::has_long_name;
use crate::cache::suspects::{Key, Suspect, Suspects};
use crate::cache::workload::{CachedWorkload, Recorded};
use crate::kinds::GroupKind;
use crate::revision::Revision;
use crate::watch::Correction;
use crate::workload::{Change, Head};
use std::collections::BTreeMap;
use tokio::time::Instant;
use uuid::Uuid;

/// What follows from a live workload for its Revisions.
#[derive(Debug, Default, PartialEq)]
pub(in crate::cache) struct Shown {
    /// Generations whose Revisions are not shown any more.
    pub(in crate::cache) disowned: Vec<i64>,
    /// Whether Revisions that were suspects have to be read again.
    pub(in crate::cache) reread: bool,
    /// The newest Revision that is believed, where it is not the one that was handed over.
    pub(in crate::cache) corrected: Option<Correction>,
}

impl Index {
    /// A Revision is not believed.
    pub(in crate::cache) fn doubt(&mut self, revision: &Revision, doubt: Doubt, now: Instant) {
        let (key, suspect) = Suspects::of(revision, doubt, now);
        let recorded = Recorded::of(revision);
        let workload = self.workloads.get(key.workload);
        let is_shown = workload.is_some_and(|workload| {
            *key.namespace == **workload.namespace() && workload.stores(recorded, &key.name)
        });
        if is_shown {
            self.disown(key.workload, recorded);
        }
        self.suspects.put(key, suspect);
    }

    /// A Revision is believed.
    pub(in crate::cache) fn believe(&mut self, revision: &Revision, lives: &LiveWorkloads) {
        self.suspects.remove(&Key::of(revision));
        let uid = revision.spec.workload.uid;
        if let Some(workload) = self.workloads.shown_mut(uid) {
            workload.set_live(lives.is_live(uid), &self.projects);
        }
    }

    /// The short form of a name comes first: the long one is used only where a Revision of another workload has the short
    /// one. False when a Revision has the long form although the other is stored.
    pub(in crate::cache) fn takes_name(&mut self, revision: &Revision) -> bool {
        let generation = revision.spec.generation;
        let is_gap = revision.spec.gap.is_some();
        let workload = self.workloads.get_mut(revision);
        let stored = workload.and_then(|workload| workload.has_long_name(generation));
        is_gap || stored != Some(false) || !has_long_name(revision)
    }

    /// The watch has shown a live workload: whatever is not of it, or of a generation that it has not had, is not believed.
    pub(in crate::cache) fn shown(
        &mut self,
        lives: &LiveWorkloads,
        change: &Change,
        now: Instant,
    ) -> Shown {
        let uid = change.uid;
        let Some(live) = lives.get(uid) else {
            return Shown::default();
        };
        let (owner, newest) = (live.namespace.clone(), live.generation);
        let known = self.workloads.get(uid).map(CachedWorkload::namespace);
        let was_elsewhere = known.is_some_and(|known| **known != *owner);
        let mut disowned = self.evict(uid, &owner, now);
        let is_changed = self.is_renamed(change, &mut disowned, now) || was_elsewhere;
        let above = self.workloads.get(uid).map(CachedWorkload::all_recorded);
        let above = above.into_iter().flatten();
        for recorded in above.filter(|recorded| recorded.last() > newest) {
            disowned.extend(self.suspect(uid, recorded, Doubt::Generation, now));
        }
        let has_come_back = match self.workloads.shown_mut(uid) {
            Some(workload) => workload.set_live(lives.is_live(uid), &self.projects),
            None => false,
        };
        let is_corrected = is_changed || has_come_back || !disowned.is_empty();
        Shown {
            reread: self.suspects.has_genuine(uid, lives) || !self.again.is_empty(),
            corrected: is_corrected.then(|| Correction {
                head: self.head(uid),
            }),
            disowned,
        }
    }

    /// The same for all, after a list of all Revisions.
    pub(in crate::cache) fn settle_lives(
        &mut self,
        lives: &LiveWorkloads,
        now: Instant,
    ) -> Vec<(Uuid, i64)> {
        let uids: Vec<Uuid> = self.workloads.uids().collect();
        let mut disowned = Vec::new();
        for uid in uids {
            let Some(live) = lives.get(uid) else { continue };
            let (owner, newest) = (live.namespace.clone(), live.generation);
            let mut gone = self.evict(uid, &owner, now);
            let all = self.workloads.get(uid).map(CachedWorkload::all_recorded);
            for recorded in all.into_iter().flatten() {
                if recorded.last() > newest {
                    gone.extend(self.suspect(uid, recorded, Doubt::Generation, now));
                }
            }
            if let Some(workload) = self.workloads.shown_mut(uid) {
                workload.set_live(lives.is_live(uid), &self.projects);
            }
            disowned.extend(gone.into_iter().map(|generation| (uid, generation)));
        }
        disowned
    }

    /// A workload is gone. True when something is recorded of it.
    pub(in crate::cache) fn over(&mut self, uid: Uuid) -> bool {
        let Some(workload) = self.workloads.shown_mut(uid) else {
            return false;
        };
        workload.set_live(false, &self.projects);
        true
    }

    /// A generation has another content than the Revision that is stored of it, or has not any more.
    pub(in crate::cache) fn contest(&mut self, uid: Uuid, generation: i64, is_contested: bool) {
        if is_contested {
            self.contested.insert((uid, generation));
        } else {
            self.contested.remove(&(uid, generation));
        }
        if let Some(workload) = self.workloads.shown_mut(uid) {
            workload.contest(generation, is_contested, &self.projects);
        }
    }

    pub(in crate::cache) fn suspects(&mut self) -> &mut Suspects {
        &mut self.suspects
    }

    pub(in crate::cache) fn is_suspect(&self, key: &Key) -> bool {
        self.suspects.has(key)
    }

    /// The Revisions that have to be read again: suspects whose generation the watch has shown meanwhile, and those that
    /// another namespace's had kept from being shown.
    pub(in crate::cache) fn genuine(&self, lives: &LiveWorkloads) -> Vec<Key> {
        let suspects = self.suspects.genuine(lives);
        suspects
            .into_iter()
            .chain(self.again.iter().cloned())
            .collect()
    }

    /// Whether a Revision that was read again is still waited for. It is not any more then.
    pub(in crate::cache) fn awaits(&mut self, key: &Key) -> bool {
        self.again.remove(key) || self.suspects.has(key)
    }

    /// How many are said to be forged, by the reason.
    pub(in crate::cache) fn forged(&self) -> BTreeMap<Doubt, usize> {
        self.suspects.told()
    }

    /// Takes over what is known of the suspects of the index that this one replaces.
    pub(in crate::cache) fn adopt_suspects(&mut self, before: &Self) {
        self.suspects.adopt(&before.suspects);
    }

    fn head(&mut self, uid: Uuid) -> Option<Head> {
        self.workloads.shown_mut(uid).map(CachedWorkload::hand_over)
    }

    /// Takes out the Revisions that do not name the workload as it is. True when it was known by another name or kind.
    fn is_renamed(&mut self, change: &Change, disowned: &mut Vec<i64>, now: Instant) -> bool {
        let kind = GroupKind {
            kind: change.resource.kind.clone(),
            group: change.resource.group.clone(),
        };
        let workload = self.workloads.get(change.uid);
        let Some(workload) = workload.filter(|known| known.is_mixed(&change.name, &kind)) else {
            return false;
        };
        for recorded in workload.of_others(&change.name, &kind) {
            disowned.extend(self.suspect(change.uid, recorded, Doubt::Workload, now));
        }
        if let Some(workload) = self.workloads.shown_mut(change.uid) {
            workload.rename(change.resource.api_version(), &change.name, kind);
        }
        true
    }

    /// Takes out what other namespaces claim of a workload that lives in this one. Returns the generations that are not
    /// shown any more.
    fn evict(&mut self, uid: Uuid, owner: &str, now: Instant) -> Vec<i64> {
        let shown = self.workloads.get(uid).map(CachedWorkload::namespace);
        let was_another = shown.is_some_and(|shown| **shown != *owner);
        let mut disowned = Vec::new();
        for workload in self.workloads.evict(uid, owner) {
            disowned.extend(self.evicted(&workload, now));
        }
        if let Some(workload) = self.workloads.get(uid).filter(|_| was_another) {
            let all = workload.all_recorded().into_iter();
            self.again
                .extend(all.map(|recorded| key_of(workload, recorded)));
        }
        disowned
    }

    /// Another namespace's Revisions of a workload are none of it.
    fn evicted(&mut self, workload: &CachedWorkload, now: Instant) -> Vec<i64> {
        let all = workload.all_recorded();
        self.len -= all.len();
        self.removed -= workload.removed();
        let uid = workload.reference().uid;
        for recorded in &all {
            let (key, suspect) = suspect_of(workload, *recorded, Doubt::Namespace, now);
            self.suspects.put(key, suspect);
        }
        all.iter()
            .filter_map(|recorded| self.forget_id(uid, *recorded))
            .collect()
    }

    /// A Revision that was shown is none of its workload. Returns its generation, unless it is a Gap.
    fn suspect(
        &mut self,
        uid: Uuid,
        recorded: Recorded,
        doubt: Doubt,
        now: Instant,
    ) -> Option<i64> {
        let workload = self.workloads.get(uid)?;
        let (key, suspect) = suspect_of(workload, recorded, doubt, now);
        self.suspects.put(key, suspect);
        self.disown(uid, recorded)
    }

    fn disown(&mut self, uid: Uuid, recorded: Recorded) -> Option<i64> {
        let workload = self.workloads.shown_mut(uid)?;
        self.removed -= workload.removed();
        workload.disown(recorded, &self.projects);
        self.removed += workload.removed();
        self.len -= 1;
        self.workloads.settle(uid);
        self.forget_id(uid, recorded)
    }

    fn forget_id(&mut self, uid: Uuid, recorded: Recorded) -> Option<i64> {
        let Recorded::Revision(generation) = recorded else {
            return None;
        };
        if self.workloads.has(uid, generation) {
            return None;
        }
        self.ids
            .remove(&crate::revision::identity::id(uid, generation));
        Some(generation)
    }
}

fn suspect_of(
    workload: &CachedWorkload,
    recorded: Recorded,
    doubt: Doubt,
    now: Instant,
) -> (Key, Suspect) {
    let name = &workload.reference().name;
    let suspect = Suspect::new(doubt, recorded.last(), name, now);
    (key_of(workload, recorded), suspect)
}

fn key_of(workload: &CachedWorkload, recorded: Recorded) -> Key {
    let of = workload.reference();
    Key {
        workload: of.uid,
        namespace: of.namespace.to_string(),
        name: workload.stored_name(recorded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Of;
    use crate::cache::claims::tests::{live, sound};
    use crate::cache::render::tests::identity as installation;
    use crate::revision::identity;
    use chrono::DateTime;

    fn index(revisions: &[Revision]) -> Index {
        let mut index = Index::default();
        for revision in revisions {
            assert!(index.put(revision, &installation()));
        }
        index
    }

    fn seen(generation: i64) -> LiveWorkloads {
        let mut lives = LiveWorkloads::default();
        lives.see(&live(generation));
        lives
    }

    fn shown(index: &mut Index, generation: i64) -> Shown {
        index.shown(&seen(generation), &live(generation), Instant::now())
    }

    fn generations(index: &Index) -> Vec<i64> {
        let uid = live(1).uid;
        let all = index.history(uid, None).into_iter().flatten();
        all.map(|item| item.generation).collect()
    }

    fn in_namespace(generation: i64, namespace: &str) -> Revision {
        let mut revision = sound(generation);
        revision.metadata.namespace = Some(namespace.to_owned());
        revision
    }

    #[test]
    fn a_head_above_the_live_generation_is_corrected() {
        let mut observed = sound(2);
        observed.spec.resource_version = "20".into();
        let status = observed.status.get_or_insert_default();
        status.observed_through = Some(crate::revision::ObservedThrough {
            generation: 4,
            resource_version: "40".into(),
        });
        let mut index = index(&[sound(1), observed, sound(1_000_000)]);
        index.hand_over("apps", "Deployment");
        let shown = shown(&mut index, 5);
        assert_eq!((shown.disowned, shown.reread), (vec![1_000_000], false));
        let head = shown.corrected.expect("corrected").head.expect("a head");
        assert_eq!(
            (head.generation, head.resource_version.to_string()),
            (2, "20".into())
        );
        assert_eq!(
            (head.last().generation, head.last().at.to_string()),
            (4, "40".into()),
            "what it says itself"
        );
        assert_eq!(generations(&index), [2, 1]);
        assert_eq!(index.len(), 2);
        assert_eq!(self::shown(&mut index, 5), Shown::default(), "once");
        assert!(index.get(identity::id(live(1).uid, 1_000_000)).is_none());
        // The workload comes to that generation: it is read again.
        assert!(self::shown(&mut index, 1_000_000).reread);
    }

    #[test]
    fn the_namespace_of_a_live_workload_owns_it_whatever_is_older() {
        let at = |generation, namespace, year: u32| {
            let mut revision = in_namespace(generation, namespace);
            let created = format!("\"{year}-01-01T00:00:00Z\"");
            revision.metadata.creation_timestamp = serde_json::from_str(&created).ok();
            revision
        };
        let old = at(1, "team-b", 2020);
        let mut index = index(std::slice::from_ref(&old));
        index.put(&at(1, "team-a", 2026), &installation());
        index.put(&at(2, "team-a", 2026), &installation());
        let of = Of::Workload(live(1).uid);
        assert_eq!(index.namespace(of).as_deref(), Some("team-b"));
        let shown = shown(&mut index, 2);
        assert_eq!(index.namespace(of).as_deref(), Some("team-a"));
        assert_eq!(generations(&index), [2, 1]);
        assert!(shown.corrected.is_some() && shown.disowned.is_empty());
        assert!(shown.reread, "nobody was told of those before");
        assert_eq!(index.genuine(&seen(2)).len(), 2);
        assert_eq!(index.len(), 2);
        assert!(!index.remove(&old), "it was not shown");
        assert_eq!(index.len(), 2);
    }

    #[test]
    fn nothing_is_shown_of_a_live_workload_that_only_another_namespace_claims() {
        let mut index = index(&[in_namespace(1, "team-b"), in_namespace(2, "team-b")]);
        let shown = shown(&mut index, 2);
        assert_eq!(
            (shown.disowned, shown.corrected),
            (vec![2, 1], Some(Correction { head: None }))
        );
        assert_eq!(
            (index.len(), index.workload(Of::Workload(live(1).uid))),
            (0, None)
        );
    }

    #[test]
    fn the_first_revision_does_not_decide_what_a_live_workload_is() {
        let mut other = sound(1);
        other.spec.workload.kind = "Nothing".into();
        let mut index = index(&[other, sound(2)]);
        assert!(index.hand_over("apps", "Deployment").is_empty());
        let shown = shown(&mut index, 3);
        assert_eq!(shown.disowned, [1]);
        let head = shown.corrected.expect("corrected").head.expect("a head");
        assert_eq!(head.generation, 2);
        assert_eq!(generations(&index), [2]);
        assert_eq!(index.hand_over("apps", "Deployment").len(), 1);
    }

    #[test]
    fn a_workload_that_is_there_was_not_deleted() {
        let mut ended = sound(2);
        let status = ended.status.get_or_insert_default();
        status.workload_deletion_time = DateTime::from_timestamp(1, 0);
        let mut index = index(&[sound(1), ended]);
        let uid = live(1).uid;
        assert_eq!((index.count(uid, false), index.count(uid, true)), (0, 2));
        let shown = shown(&mut index, 2);
        assert!(
            !shown
                .corrected
                .expect("corrected")
                .head
                .expect("a head")
                .deleted
        );
        assert_eq!((index.count(uid, false), index.count(uid, true)), (2, 0));
        assert!(index.over(uid));
        assert_eq!((index.count(uid, false), index.count(uid, true)), (0, 2));
    }

    #[test]
    fn a_contested_generation_is_shown_and_is_no_head() {
        let mut index = index(&[sound(1), sound(2)]);
        let uid = live(1).uid;
        index.contest(uid, 2, true);
        let contested = |index: &Index| {
            let json = index.get(identity::id(uid, 2)).expect("shown").json;
            let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
            value["additionalFields"]["contested"] == true
        };
        assert!(contested(&index));
        assert_eq!(index.hand_over("apps", "Deployment")[0].1.generation, 1);
        let mut successor = index.successor();
        for generation in [1, 2] {
            successor.put(&sound(generation), &installation());
        }
        assert!(contested(&successor), "after a list of all Revisions too");
        successor.contest(uid, 2, false);
        assert!(!contested(&successor));
        assert_eq!(successor.hand_over("apps", "Deployment")[0].1.generation, 2);
    }

    #[test]
    fn the_long_form_of_a_name_does_not_take_the_place_of_the_short_one() {
        let uid = live(1).uid;
        let mut long = sound(1);
        long.metadata.name = Some(identity::long_name("llama", uid, 1));
        long.spec.change_cause = Some("forged".into());
        for order in [[false, true], [true, false]] {
            let mut index = Index::default();
            for is_long in order {
                let revision = if is_long { &long } else { &sound(1) };
                index.put(revision, &installation());
            }
            let served = index.get(identity::id(uid, 1)).expect("shown");
            assert_eq!(served.name(), identity::name("llama", uid, 1));
            index.remove(&long);
            assert!(index.get(identity::id(uid, 1)).is_some());
        }
    }
}
