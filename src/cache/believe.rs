//! The cache believes what the watches show, and of what is stored only what does not contradict that.

use super::Cache;
use super::claims::Doubt;
use super::index::Index;
use crate::mutant::{self, Mutant};
use crate::revision::Revision;
use crate::view::judged;
use crate::watch::{Correction, Heads};
use crate::workload::{Change, Head, RemovedHead};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

impl Cache {
    /// Puts a Revision in. None when it is shown, else the reason for which it is not.
    pub(super) fn put(&self, index: &mut Index, revision: &Revision) -> Option<Doubt> {
        let lives = self.live.read();
        if let Some(doubt) = lives.doubt(revision) {
            index.doubt(revision, doubt, Instant::now());
            return Some(doubt);
        }
        let shown = judged(revision, &self.names);
        if !index.takes_name(&shown) {
            index.doubt(revision, Doubt::Name, Instant::now());
            return Some(Doubt::Name);
        }
        let is_owner = index.put(&shown, &self.identity);
        index.believe(revision, &lives);
        (!is_owner).then_some(Doubt::Namespace)
    }

    /// A list is complete, and takes the place of what was served.
    pub(super) fn replace(&self, mut fresh: Index) {
        let disowned = self.update(|index| {
            let disowned = fresh.settle_lives(&self.live.read(), Instant::now());
            let projects = index.projects();
            fresh.adopt_suspects(index);
            let mut before = std::mem::replace(index, fresh);
            index.adopt(projects);
            index.succeed(&mut before);
            disowned
        });
        self.tell_removed();
        for (uid, generation) in disowned {
            self.observer.forget_generation(uid, generation);
        }
        // Some that the list has shown as suspects may not be ones any more.
        self.reread.notify_one();
    }

    /// Hands a Revision on to the observer, unless it is not shown. The observer takes it as it is stored, so that it
    /// writes a message again that shows a secret there.
    pub(super) fn observe(&self, doubt: Option<Doubt>, revision: &Revision) {
        let Some(doubt) = doubt else {
            return self.observer.revision(revision);
        };
        self.metrics.misplaced.inc();
        let namespace = &revision.metadata.namespace;
        let name = &revision.metadata.name;
        let workload = revision.spec.workload.uid;
        let why = doubt.explain();
        tracing::debug!(?namespace, ?name, %workload, why, "a Revision is not believed");
    }
}

impl Heads for Cache {
    fn hand_over(&self, group: &str, kind: &str) -> Vec<(Uuid, Head)> {
        self.update(|index| index.hand_over(group, kind))
    }

    fn stored(&self, workload: Uuid) -> Option<Head> {
        self.read().stored(workload)
    }

    fn is_going(&self, namespace: &str) -> bool {
        self.lives.is_going(namespace)
    }

    fn removals(&self) -> watch::Receiver<u64> {
        self.removals.subscribe()
    }

    fn removed(&self, group: &str, kind: &str) -> Vec<(Uuid, RemovedHead)> {
        self.update(|index| index.take_removed_heads(group, kind))
    }

    fn is_refused(&self, namespace: &str) -> bool {
        self.read().is_refused(namespace)
    }

    fn shown(&self, change: &Change) -> Option<Correction> {
        if self.live.read().knows(change) || mutant::is(Mutant::ForgedHeadBelieved) {
            return None;
        }
        let shown = self.update(|index| {
            let mut lives = self.live.write();
            lives.see(change);
            index.shown(&lives, change, Instant::now())
        });
        for generation in shown.disowned {
            self.observer.forget_generation(change.uid, generation);
        }
        if shown.reread {
            self.reread.notify_one();
        }
        shown.corrected
    }

    fn had(&self, workload: Uuid, generation: i64) {
        if !self.live.read().is_above(workload, generation) {
            return;
        }
        let has_genuine = self.update(|index| {
            let mut lives = self.live.write();
            lives.raise(workload, generation);
            index.suspects().has_genuine(workload, &lives)
        });
        if has_genuine {
            self.reread.notify_one();
        }
    }

    fn over(&self, workload: Uuid, is_shown: bool) {
        let has_genuine = self.update(|index| {
            let is_recorded = index.over(workload);
            let mut lives = self.live.write();
            lives.end(workload, is_recorded, is_shown);
            index.suspects().has_genuine(workload, &lives)
        });
        if has_genuine {
            self.reread.notify_one();
        }
    }
}
