//! The Revisions that are not believed, by name. Pure.
//!
//! Nothing of them is kept but what names them: one that turns out to be genuine is read again. A Revision of another
//! replica may come before the watch shows its generation, so a suspect is only said to be forged when it has been one for
//! a while, and when the API server has shown that it is.

use super::claims::{Doubt, LiveWorkloads, last};
use crate::revision::Revision;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How long a suspect waits before it is asked about, and again before the next time.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The name of a Revision, by its workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) workload: Uuid,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn of(revision: &Revision) -> Self {
        Self {
            workload: revision.spec.workload.uid,
            namespace: revision.metadata.namespace.clone().unwrap_or_default(),
            name: revision.metadata.name.clone().unwrap_or_default(),
        }
    }
}

/// A Revision that is not believed.
#[derive(Clone, Debug)]
pub(super) struct Suspect {
    pub(super) doubt: Doubt,
    /// The last generation that it stands for.
    pub(super) generation: i64,
    /// The name of its workload.
    pub(super) workload: String,
    /// When it is asked about next.
    due: Instant,
    /// Whether it was said to be forged.
    told: bool,
}

impl Suspect {
    pub(super) fn new(doubt: Doubt, generation: i64, workload: &str, now: Instant) -> Self {
        Self {
            doubt,
            generation,
            workload: workload.to_owned(),
            due: now + PATIENCE,
            told: false,
        }
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspects {
    all: BTreeMap<Key, Suspect>,
}

impl Suspects {
    pub(super) fn of(revision: &Revision, doubt: Doubt, now: Instant) -> (Key, Suspect) {
        let workload = &revision.spec.workload.name;
        let suspect = Suspect::new(doubt, last(revision), workload, now);
        (Key::of(revision), suspect)
    }

    /// Adds one. What was said of it before stays said.
    pub(super) fn put(&mut self, key: Key, suspect: Suspect) {
        let known = self
            .all
            .get(&key)
            .filter(|known| known.doubt == suspect.doubt);
        let suspect = known.map_or(suspect.clone(), |known| Suspect {
            due: known.due,
            told: known.told,
            ..suspect
        });
        self.all.insert(key, suspect);
    }

    /// Takes one out; false when it was not there.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        self.all.remove(key).is_some()
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.all.contains_key(key)
    }

    /// Takes over what was said of those that are in both.
    pub(super) fn adopt(&mut self, before: &Self) {
        for (key, suspect) in &mut self.all {
            if let Some(known) = before
                .all
                .get(key)
                .filter(|known| known.doubt == suspect.doubt)
            {
                suspect.due = known.due;
                suspect.told = known.told;
            }
        }
    }

    /// Whether the watch has shown the generation of any of this workload meanwhile, or that it is gone.
    pub(super) fn has_genuine(&self, workload: Uuid, lives: &LiveWorkloads) -> bool {
        self.of_workload(workload)
            .any(|(key, suspect)| is_shown(key, suspect, lives))
    }

    /// Those whose generation the watch has shown meanwhile: they have to be read again.
    pub(super) fn genuine(&self, lives: &LiveWorkloads) -> Vec<Key> {
        let all = self.all.iter();
        all.filter(|(key, suspect)| is_shown(key, suspect, lives))
            .map(|(key, _)| key.clone())
            .collect()
    }

    fn of_workload(&self, workload: Uuid) -> impl Iterator<Item = (&Key, &Suspect)> {
        let first = Key {
            workload,
            namespace: String::new(),
            name: String::new(),
        };
        self.all
            .range(first..)
            .take_while(move |(key, _)| key.workload == workload)
    }

    /// So many of those that it is time to ask about. They are asked about again after a while, unless they are told.
    pub(super) fn due(&mut self, now: Instant, most: usize) -> Vec<(Key, Suspect)> {
        let due = self
            .all
            .iter_mut()
            .filter(|(_, suspect)| !suspect.told && suspect.due <= now);
        due.take(most)
            .map(|(key, suspect)| {
                suspect.due = now + PATIENCE;
                (key.clone(), suspect.clone())
            })
            .collect()
    }

    /// One is said to be forged.
    pub(super) fn tell(&mut self, key: &Key) {
        if let Some(suspect) = self.all.get_mut(key) {
            suspect.told = true;
        }
    }

    /// How many are said to be forged, by the reason.
    pub(super) fn told(&self) -> BTreeMap<Doubt, usize> {
        let mut told = BTreeMap::new();
        for suspect in self.all.values().filter(|suspect| suspect.told) {
            *told.entry(suspect.doubt).or_default() += 1;
        }
        told
    }
}

fn is_shown(key: &Key, suspect: &Suspect, lives: &LiveWorkloads) -> bool {
    suspect.doubt == Doubt::Generation
        && lives
            .get(key.workload)
            .is_none_or(|live| live.generation >= suspect.generation)
}

#[cfg(test)]
mod tests {
    use super::super::claims::tests::{live, sound};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_is_asked_about_after_a_while_and_told_once() {
        let mut suspects = Suspects::default();
        let start = Instant::now();
        let (key, suspect) = Suspects::of(&sound(9), Doubt::Generation, start);
        suspects.put(key.clone(), suspect.clone());
        assert!(suspects.due(start, 8).is_empty());
        let later = start + PATIENCE;
        assert_eq!(suspects.due(later, 8).len(), 1);
        assert!(suspects.due(later, 8).is_empty(), "it was asked about");
        assert_eq!(suspects.due(later + PATIENCE, 8).len(), 1);
        suspects.tell(&key);
        suspects.put(key.clone(), suspect);
        assert!(suspects.due(later + 9 * PATIENCE, 8).is_empty());
        assert_eq!(suspects.told(), BTreeMap::from([(Doubt::Generation, 1)]));
        suspects.remove(&key);
        assert!(!suspects.has(&key) && suspects.told().is_empty());
    }

    #[test]
    fn one_whose_generation_is_shown_is_read_again() {
        let mut lives = LiveWorkloads::default();
        let mut suspects = Suspects::default();
        for generation in [6, 7] {
            let (key, suspect) =
                Suspects::of(&sound(generation), Doubt::Generation, Instant::now());
            suspects.put(key, suspect);
        }
        lives.see(&live(5));
        assert!(!suspects.has_genuine(live(5).uid, &lives) && suspects.genuine(&lives).is_empty());
        lives.see(&live(6));
        assert!(suspects.has_genuine(live(5).uid, &lives));
        assert_eq!(suspects.genuine(&lives), [Key::of(&sound(6))]);
        lives.end(live(5).uid, true, false);
        assert_eq!(
            suspects.genuine(&lives).len(),
            2,
            "its last is not known to the watch"
        );
    }
}
